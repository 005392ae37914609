"""Configuration: what a value of a point is compared with: types, units, ranges. Evaluating it is `gateway.rules`."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.desk import Mould
from gateway.config.findings import NOTHING, Findings, Say, perhaps
from gateway.config.reach import Reach, ignored, reach_of, words_of
from gateway.config.rule_shapes import Level, When
from gateway.config.shaping import Part
from gateway.config.targets import Target
from gateway.config.units import is_same
from gateway.config.values import BadValueError, number_of, value_of
from gateway.model import Condition, Value

_NUMBERS = {"int", "float"}
_TYPES = {"bool": Say("开关量", "true or false"), "text": Say("文字", "text")}
_LONGEST_RATE_S = 86_400.0
_CHANGE_LIMIT = Say("改界限,或改档案里的 range", "change the limit, or range in the profile")


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
        for each, value in _numbers(text, target.moulds, is_change=True):
            reach = reach_of(each)
            if value <= 0:
                what = Say(f"{kind} 要大于 0", f"{kind} must be more than 0")
                fix = Say("写变化多少,不带正负号;下降用 falls", "write how much, without a sign; for less use falls")
                self._say(part, kind, "E607", what, fix)
            elif reach.low is not None and reach.high is not None and value > reach.high - reach.low:
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
        value: Value | None = None
        if target.moulds[0].type in _NUMBERS:
            _numbers(text, target.moulds)
        for each in _distinct(target.moulds):
            value = value_of(text, each.type, each.unit)
            if isinstance(value, str):
                self._check_word(kind, value, each, part)
            elif not isinstance(value, bool):
                self._check_number(kind, value, each, part)
        assert value is not None, "a target has points"
        return Condition("equals" if kind == "is" else "changed_to", value)

    def _check_word(self, kind: str, word: str, mould: Mould, part: Part) -> None:
        """A text that the point never has."""
        known = words_of(mould)
        if (known is None or word in known) and word not in ignored(mould):
            return
        what = Say(f'点 "{mould.base}" 不会是 "{word}",永远不会报警', f'point "{mould.base}" is never "{word}"')
        otherwise = Say("写档案里 words 译成的词,ignore 里的除外", "write a word that words of the profile gives")
        self._findings.add(
            "E607",
            part.entry.at(*part.path, kind),
            what,
            subject=part.subject,
            fix=perhaps(word, known or (), otherwise),
            options=known or (),
        )

    def _check_number(self, kind: str, value: float, mould: Mould, part: Part) -> None:
        """A number that the point never shows, or hardly ever."""
        reach = reach_of(mould)
        if not reach.spans(value):
            self._say_reach(kind, value, mould, part)
        elif not reach.shows(value):
            what = Say(
                f'点 "{mould.base}" 的值隔 {reach.step:g} 一个,不会正好是 {value:g}',
                f'point "{mould.base}" goes in steps of {reach.step:g}: it is never {value:g}',
            )
            self._say(part, kind, "E607", what, Say("改用 above 或 below", "use above or below"))
        elif mould.type == "float" and reach.step is None and value:
            what = Say(
                f'点 "{mould.base}" 是小数,很少正好等于 {value:g}',
                f'point "{mould.base}" is a fraction: it is hardly ever just {value:g}',
            )
            self._say(part, kind, "W607", what, Say("改用 above 或 below", "use above or below"))

    def _threshold(self, kind: str, text: str, clear: str | None, target: Target, part: Part) -> Condition | None:
        if not self._are_numbers(kind, target, part):
            return None
        value = 0.0
        for each, value in _numbers(text, target.moulds):
            self._check_limit(kind, value, each, part)
        if clear is None:
            return Condition(kind, value)
        try:
            *_, (_, end) = _numbers(clear, target.moulds)
        except BadValueError as error:
            self._say(part, "clear", error.code, error.what, error.fix)
            return None
        self._check_clear(kind, value, end, part)
        self._check_end(kind, end, target, part)
        return Condition(kind, value, end)

    def _check_limit(self, kind: str, value: float, mould: Mould, part: Part) -> None:
        """A limit beyond what the point shows: never passed, or always."""
        reach = reach_of(mould)
        far, near = (reach.high, reach.low) if kind == "above" else (reach.low, reach.high)
        if far is not None and (value >= far if kind == "above" else value <= far):
            self._say_reach(kind, value, mould, part)
        elif near is not None and (value < near if kind == "above" else value > near):
            what = Say(
                f'界限 {value:g} 在点 "{mould.base}" 的量程 {_ends(reach).zh} 以外,会一直报警',
                f'limit {value:g} is outside the range {_ends(reach).en} of point "{mould.base}": it is always true',
            )
            self._say(part, kind, "W607", what, _CHANGE_LIMIT)

    def _check_end(self, kind: str, clear: float, target: Target, part: Part) -> None:
        """An end of the deadband beyond what the point shows: the alarm would never return."""
        for each in _distinct(target.moulds):
            reach = reach_of(each)
            near = reach.low if kind == "above" else reach.high
            if near is not None and (clear < near if kind == "above" else clear > near):
                what = Say(
                    f'clear {clear:g} 在点 "{each.base}" 的量程 {_ends(reach).zh} 以外,报警永远不会恢复',
                    f'clear {clear:g} is outside the range {_ends(reach).en} of point "{each.base}": it never returns',
                )
                self._say(part, "clear", "E607", what, _CHANGE_LIMIT)
                return

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
        ends = _ends(reach_of(mould))
        zh, en = ("变化", "a change of") if kind in {"rises", "falls"} else ("界限", "limit")
        self._say(
            part,
            kind,
            "E607",
            Say(
                f'{zh} {value:g} 超出点 "{mould.base}" 的量程 {ends.zh},永远不会报警',
                f'{en} {value:g} is outside the range {ends.en} of point "{mould.base}": this rule never fires',
            ),
            _CHANGE_LIMIT,
        )

    def _say(self, part: Part, key: str, code: str, what: Say, fix: Say = NOTHING) -> None:
        self._findings.add(code, part.entry.at(*part.path, key), what, subject=part.subject, fix=fix)


def _distinct(moulds: Sequence[Mould]) -> list[Mould]:
    """One mould of each type, unit, reach and words."""
    return list(
        {(each.type, each.unit, reach_of(each), words_of(each), ignored(each)): each for each in moulds}.values()
    )


def _numbers(text: str, moulds: Sequence[Mould], *, is_change: bool = False) -> list[tuple[Mould, float]]:
    """The number of ``text`` in each mould's unit.

    Raises:
        BadValueError: it is no number, has another unit, or the units differ so that it means several numbers.
    """
    found = [(each, number_of(text, each.unit, is_change=is_change)) for each in _distinct(moulds)]
    units = {each.unit for each, _ in found}
    if len(units) > 1 and any(not is_same(each, found[0][0].unit) for each in units):
        shown = "、".join(sorted(each or "-" for each in units))
        raise BadValueError(
            "E604",
            Say(f"同名的点单位不同: {shown}", f"points of this name differ in unit: {shown}"),
            Say("按类别分成几条规则", "write one rule for each kind"),
        )
    return found


def _ends(reach: Reach) -> Say:
    low = "-∞" if reach.low is None else f"{reach.low:g}"
    high = "∞" if reach.high is None else f"{reach.high:g}"
    return Say(f"{low} 到 {high}", f"{low} to {high}")
