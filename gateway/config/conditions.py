"""Configuration: what a value of a point is compared with: types, units, ranges. Evaluating it is `gateway.rules`."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.desk import Mould
from gateway.config.findings import NOTHING, Findings, Say
from gateway.config.rule_shapes import Level, When
from gateway.config.shaping import Part
from gateway.config.targets import Target
from gateway.config.values import BadValueError, number_of, value_of
from gateway.model import Condition

_NUMBERS = {"int", "float"}
_TYPES = {"bool": Say("开关量", "true or false"), "text": Say("文字", "text")}
_LONGEST_RATE_S = 86_400.0


class Conditions:
    """Reads conditions on values; what is wrong goes to ``findings``."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def level(self, when: When | Level, target: Target, part: Part) -> Condition | None:
        """``is``, ``above``, ``below`` or ``changed_to``: just one of them is written."""
        values = {"is": when.is_, "above": when.above, "below": when.below, "changed_to": when.changed_to}
        ((kind, text),) = ((kind, text) for kind, text in values.items() if text is not None)
        before = self._findings.errors
        condition = self._valued(kind, text, when, target, part)
        return condition if self._findings.errors == before else None

    def rate(self, when: When, target: Target, part: Part) -> Condition | None:
        """``rises`` or ``falls``: by how much, within what time."""
        kind, text = ("rises", when.rises) if when.rises is not None else ("falls", when.falls or "")
        before = self._findings.errors
        value = 0.0
        try:
            if self._is_alike(target, part) and self._are_numbers(kind, target, part):
                value = self._rate(kind, text, target, part)
        except BadValueError as error:
            fix = error.fix
            if "/" in text:
                fix = Say("时间写在 within 里,例如 rises: 5 °C, within: 1m", "the time goes into within: within: 1m")
            self._say(part, kind, error.code, error.what, fix)
        within_s = when.within or 0.0
        if within_s > _LONGEST_RATE_S:
            what = Say("变化率最长看 24h", "a rate of change looks at 24h at most")
            self._say(part, "within", "E110", what, Say("写 24h 以内", "write 24h or less"))
        return Condition(kind, value, within_s=within_s) if self._findings.errors == before else None

    def _rate(self, kind: str, text: str, target: Target, part: Part) -> float:
        value = 0.0
        for each in _distinct(target.moulds):
            value = number_of(text, each.unit)
            if value <= 0:
                what = Say(f"{kind} 要大于 0", f"{kind} must be more than 0")
                fix = Say("写变化多少,不带正负号;下降用 falls", "write how much, without a sign; for less use falls")
                self._say(part, kind, "E607", what, fix)
            elif each.low is not None and each.high is not None and value > each.high - each.low:
                self._say_reach(kind, value, each, part)
        return value

    def _valued(self, kind: str, text: str, when: When | Level, target: Target, part: Part) -> Condition | None:
        try:
            if not self._is_alike(target, part):
                return None
            if kind in {"above", "below"}:
                return self._threshold(kind, text, when.clear, target, part)
            return self._equality(kind, text, target, part)
        except BadValueError as error:
            self._say(part, kind, error.code, error.what, error.fix)
            return None

    def _is_alike(self, target: Target, part: Part) -> bool:
        types = {mould.type for mould in target.moulds}
        if len(types) == 1 or types <= _NUMBERS:
            return True
        what = Say(
            f"同名的点类型不同: {', '.join(sorted(types))}",
            f"points of this name differ in type: {', '.join(sorted(types))}",
        )
        self._say(part, "point", "E603", what, Say("按类别分成几条规则", "write one rule for each kind"))
        return False

    def _are_numbers(self, kind: str, target: Target, part: Part) -> bool:
        mould = target.moulds[0]
        if mould.type in _NUMBERS:
            return True
        zh, en = _TYPES[mould.type]
        what = Say(
            f'点 "{mould.base}" 是{zh},不能比大小',
            f'point "{mould.base}" is {en} and cannot be compared with {kind}',
        )
        self._say(part, kind, "E602", what, Say("改用 is", "use is"))
        return False

    def _equality(self, kind: str, text: str, target: Target, part: Part) -> Condition:
        if kind == "is" and any(mould.is_event for mould in target.moulds):
            what = Say(
                "这个点是一瞬间的动作(event),按 is 判断不会自己恢复", "this point is a moment: with is it never returns"
            )
            self._say(part, "is", "W605", what, Say("改用 changed_to", "use changed_to"))
        value = None
        for each in _distinct(target.moulds):
            value = value_of(text, each.type, each.unit)
            if isinstance(value, int | float) and not isinstance(value, bool):
                is_low = each.low is not None and value < each.low
                if is_low or (each.high is not None and value > each.high):
                    self._say_reach(kind, value, each, part)
        assert value is not None, "a target has points"
        return Condition("equals" if kind == "is" else "changed_to", value)

    def _threshold(self, kind: str, text: str, clear: str | None, target: Target, part: Part) -> Condition | None:
        if not self._are_numbers(kind, target, part):
            return None
        value = 0.0
        for each in _distinct(target.moulds):
            value = number_of(text, each.unit)
            end = each.high if kind == "above" else each.low
            if end is not None and (value >= end if kind == "above" else value <= end):
                self._say_reach(kind, value, each, part)
        if clear is None:
            return Condition(kind, value)
        try:
            end = number_of(clear, target.moulds[0].unit)
        except BadValueError as error:
            self._say(part, "clear", error.code, error.what, error.fix)
            return None
        self._check_clear(kind, value, end, part)
        return Condition(kind, value, end)

    def _check_clear(self, kind: str, value: float, clear: float, part: Part) -> None:
        if clear <= value if kind == "above" else clear >= value:
            return
        zh, en = ("高于", "higher than") if kind == "above" else ("低于", "lower than")
        self._say(
            part,
            "clear",
            "E606",
            Say(f"clear {clear:g} {zh} {kind} {value:g}", f"clear {clear:g} is {en} {kind} {value:g}"),
            Say("clear 是恢复正常的界限,写在报警界限的正常一侧", "clear is where it is normal again: the normal side"),
        )

    def _say_reach(self, kind: str, value: float, mould: Mould, part: Part) -> None:
        """A value outside the point's range is a bad reading: the rule would never be true."""
        low = "-∞" if mould.low is None else f"{mould.low:g}"
        high = "∞" if mould.high is None else f"{mould.high:g}"
        self._say(
            part,
            kind,
            "E607",
            Say(
                f'界限 {value:g} 超出点 "{mould.base}" 的量程 {low} 到 {high},永远不会报警',
                f'limit {value:g} is outside the range {low} to {high} of point "{mould.base}"',
            ),
            Say("改界限,或改档案里的 range", "change the limit, or range in the profile"),
        )

    def _say(self, part: Part, key: str, code: str, what: Say, fix: Say = NOTHING) -> None:
        self._findings.add(code, part.entry.at(*part.path, key), what, subject=part.subject, fix=fix)


def _distinct(moulds: Sequence[Mould]) -> list[Mould]:
    """One mould of each type, unit and range."""
    return list({(each.type, each.unit, each.low, each.high): each for each in moulds}.values())
