"""Configuration: the ``when:`` of a rule against the points it looks at. Evaluating it is `gateway.rules`' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.config.desk import DETECTORS, LIFE_SAFETY, ONLINE, Mould, Profile
from gateway.config.findings import NOTHING, Findings, Say
from gateway.config.shapes import RuleItem, When
from gateway.config.shaping import Part
from gateway.config.values import BadValueError, number_of, value_of
from gateway.model import Condition

_NUMBERS = {"int", "float"}
_TYPES = {"bool": Say("开关量", "true or false"), "text": Say("文字", "text")}


class Target(NamedTuple):
    """What a rule looks at: the profiles that have the point, the point's moulds in them, the ids of all points."""

    profiles: Sequence[Profile]
    moulds: Sequence[Mould]
    points: tuple[str, ...]


class Conditions:
    """Reads conditions; what is wrong goes to ``findings``."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def read(self, item: RuleItem, target: Target, part: Part) -> Condition | None:
        """The rule's condition, or None with the reasons told."""
        part = part._replace(path=("when",))
        when = item.when
        values = {"is": when.is_, "above": when.above, "below": when.below, "changed_to": when.changed_to}
        given = {kind: text for kind, text in values.items() if text is not None}
        if len(given) != 1:
            self._say_count(tuple(given), part)
            return None
        self._check_delay(item, target, part)
        ((kind, text),) = given.items()
        try:
            if not self._is_alike(target, part):
                return None
            if kind in {"above", "below"}:
                return self._threshold(kind, text, when.clear, target, part)
            return self._equality(kind, text, when, target, part)
        except BadValueError as error:
            self._say(part, (kind,), error.code, error.what, error.fix)
            return None

    def _say_count(self, given: Sequence[str], part: Part) -> None:
        fix = Say("一条规则只留一个条件,其余另写一条规则", "keep one condition; write another rule for the others")
        self._findings.add(
            "E605",
            part.entry.key("when", given[1]) if given else part.entry.at("when"),
            Say("is、above、below、changed_to 要写其中一个", "write exactly one of is, above, below, changed_to"),
            subject=part.subject,
            fix=fix if given else Say("加上条件,例如 is: true 或 above: 60", "add one, such as is: true or above: 60"),
        )

    def _is_alike(self, target: Target, part: Part) -> bool:
        types = {mould.type for mould in target.moulds}
        if len(types) == 1 or types <= _NUMBERS:
            return True
        what = Say(
            f"同名的点类型不同: {', '.join(sorted(types))}",
            f"points of this name differ in type: {', '.join(sorted(types))}",
        )
        self._say(part, ("point",), "E603", what, Say("按类别分成几条规则", "write one rule for each kind"))
        return False

    def _equality(self, kind: str, text: str, when: When, target: Target, part: Part) -> Condition:
        if when.clear is not None:
            what = Say("clear 只能与 above、below 一起用", "clear only goes with above or below")
            self._say(part, ("clear",), "E605", what, Say("删掉 clear", "remove clear"))
        if kind == "changed_to":
            self._check_moment(when, part)
        elif any(mould.is_event for mould in target.moulds):
            what = Say(
                "这个点是一瞬间的动作(event),按 is 判断不会自己恢复", "this point is a moment: with is it never returns"
            )
            self._say(part, ("is",), "W605", what, Say("改用 changed_to", "use changed_to"))
        values = [value_of(text, mould.type, mould.unit) for mould in target.moulds]
        return Condition("equals" if kind == "is" else "changed_to", values[0])

    def _check_moment(self, when: When, part: Part) -> None:
        for key, given in (("for", when.for_), ("clear_for", when.clear_for)):
            if given:
                what = Say(f"changed_to 是一瞬间的事,没有 {key}", f"changed_to is a moment and has no {key}")
                self._say(part, (key,), "E605", what, Say(f"删掉 {key}", f"remove {key}"))

    def _threshold(self, kind: str, text: str, clear: str | None, target: Target, part: Part) -> Condition | None:
        mould = target.moulds[0]
        if mould.type not in _NUMBERS:
            zh, en = _TYPES[mould.type]
            what = Say(
                f'点 "{mould.base}" 是{zh},不能比大小',
                f'point "{mould.base}" is {en} and cannot be compared with {kind}',
            )
            self._say(part, (kind,), "E602", what, Say("改用 is", "use is"))
            return None
        for each in {(each.unit, each.low, each.high): each for each in target.moulds}.values():
            value = number_of(text, each.unit)
            self._check_reach(kind, value, each, part)
        if clear is None:
            return Condition(kind, value)
        try:
            end = number_of(clear, mould.unit)
        except BadValueError as error:
            self._say(part, ("clear",), error.code, error.what, error.fix)
            return None
        self._check_clear(kind, value, end, part)
        return Condition(kind, value, end)

    def _check_clear(self, kind: str, value: float, clear: float, part: Part) -> None:
        if clear <= value if kind == "above" else clear >= value:
            return
        zh, en = ("高于", "higher than") if kind == "above" else ("低于", "lower than")
        self._say(
            part,
            ("clear",),
            "E606",
            Say(f"clear {clear:g} {zh} {kind} {value:g}", f"clear {clear:g} is {en} {kind} {value:g}"),
            Say("clear 是恢复正常的界限,写在报警界限的正常一侧", "clear is where it is normal again: the normal side"),
        )

    def _check_reach(self, kind: str, value: float, mould: Mould, part: Part) -> None:
        """A limit outside the point's range can never be passed."""
        end = mould.high if kind == "above" else mould.low
        if end is None or (value < end if kind == "above" else value > end):
            return
        span = f"{mould.low:g} 到 {mould.high:g}"
        self._say(
            part,
            (kind,),
            "E607",
            Say(
                f'界限 {value:g} 超出点 "{mould.base}" 的量程 {span},永远不会报警',
                f'limit {value:g} is outside the range {mould.low:g} to {mould.high:g} of point "{mould.base}"',
            ),
            Say("改界限,或改档案里的 range", "change the limit, or range in the profile"),
        )

    def _check_delay(self, item: RuleItem, target: Target, part: Part) -> None:
        """On-delay of smoke, heat, gas, call points and buttons is 0 s (alarms.md, section 3)."""
        if not item.when.for_ or item.when.point == ONLINE:
            return
        is_vital = any(mould.alarm_class in LIFE_SAFETY for mould in target.moulds)
        is_detector = item.raise_.class_ in LIFE_SAFETY and any(p.kind in DETECTORS for p in target.profiles)
        if not is_vital and not is_detector:
            return
        delay = f"{item.when.for_:g}s"
        what = Say(
            f"火警、燃气、求助不允许延时报警(for: {delay})", f"fire, gas and sos must not be delayed (for: {delay})"
        )
        if item.when.override:
            fix = Say("留好书面依据;没有就删掉 for 和 override", "keep the written reason, or remove for and override")
            self._say(part, ("for",), "W601", what, fix)
        else:
            fix = Say(
                '删掉 for;确有书面依据时加 "override: true"', 'remove for; with a written reason "override: true"'
            )
            self._say(part, ("for",), "E601", what, fix)

    def _say(self, part: Part, path: Sequence[str], code: str, what: Say, fix: Say = NOTHING) -> None:
        self._findings.add(code, part.entry.at(*part.path, *path), what, subject=part.subject, fix=fix)
