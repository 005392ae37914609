"""Configuration: ``when:`` of a rule as a whole: its form, its target, its condition; and what may not be delayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.config.conditions import Conditions
from gateway.config.desk import DETECTORS, LIFE_SAFETY, ONLINE, Desk, Profile
from gateway.config.expressions import CheckExpression, check_names, check_text, names_in
from gateway.config.findings import Say
from gateway.config.forms import UnfitError, form_of
from gateway.config.groups import Groups
from gateway.config.pace import check_pace
from gateway.config.possible import Compile, verdict
from gateway.config.rule_shapes import RuleItem, When
from gateway.config.shaping import Part
from gateway.config.targets import BUILT_IN, Ask, Target, find, meant_by
from gateway.model import AlarmClass, Condition

_VALUES = ("is", "above", "below", "changed_to")
_NEVER = (
    "E614",
    Say("这个表达式永远不成立,这条规则永远不会报警", "this expression is never true: this rule never fires"),
    Say("检查两边是不是矛盾,界限是不是在量程以外", "look for parts that exclude each other, and limits out of range"),
)
_ALWAYS = (
    "W614",
    Say("这个表达式一直成立,会一直报警", "this expression is always true: the alarm never ends"),
    Say("检查界限,并且写 &&,或者写 ||", "check the limits; && is and, || is or"),
)


class Judged(NamedTuple):
    """A condition that can be used, and what it looks at."""

    condition: Condition
    points: tuple[str, ...]  # of the rule; a group has its own in the parts of its condition
    profiles: Sequence[Profile]  # of the device that is the source; none for a group
    targets: Sequence[Target]
    is_prompt: bool  # the first sign raises it: no counting, no second device, no calendar


class Judging:
    """Reads the conditions of rules."""

    def __init__(self, desk: Desk, check: CheckExpression | None, compiled: Compile | None) -> None:
        self._desk = desk
        self._findings = desk.findings
        self._check = check
        self._compiled = compiled
        self._conditions = Conditions(desk.findings)
        self._groups = Groups(desk, self._conditions)

    def read(self, item: RuleItem, part: Part) -> Judged | None:
        """The rule's condition, or None with the reasons told."""
        part = part._replace(path=("when",))
        form = form_of(self._findings, item.when, part)
        if form is None:
            return None
        try:
            if form in {"confirmed", "first"}:
                return self._of_area(form, item, part)
            return self._of_points(form, item, part)
        except UnfitError as error:
            error.say(self._findings, part)
            return None

    def _of_area(self, form: str, item: RuleItem, part: Part) -> Judged | None:
        if form == "confirmed":
            self._check_confirming(item, part)
            return Judged(self._groups.confirmed(item.when), (), (), (), is_prompt=False)
        found = self._groups.sequence(item.when, part)
        return Judged(found[0], (), (), found[1], is_prompt=False) if found is not None else None

    def _check_confirming(self, item: RuleItem, part: Part) -> None:
        """What follows a confirmed fire is of class fire, and is due at any hour."""
        if item.raise_.class_ is not AlarmClass.FIRE:
            what = Say("确认的火警只能是 fire 类", "a confirmed fire is of class fire")
            fix = Say("写 class: fire", "write class: fire")
            self._findings.add("E605", part.entry.at("raise", "class"), what, subject=part.subject, fix=fix)
        for key in ("only", "unless"):
            if getattr(item, key) is not None:
                what = Say(f"火警任何时候都要确认,不能按日历({key})", f"a fire is confirmed at any hour: no {key}")
                fix = Say(f"删掉 {key}", f"remove {key}")
                self._findings.add("E601", part.entry.at(key), what, subject=part.subject, fix=fix)

    def _of_points(self, form: str, item: RuleItem, part: Part) -> Judged | None:
        when = item.when
        if form == "expr":
            target = self._expressed(when, part)
        else:
            target = find(self._desk, Ask(when.kind, when.point or [], when.tag), part)
        if target is None:
            return None
        self._check_delay(item, target, part)
        condition = self._condition(form, when, target, part)
        if condition is None:
            return None
        check_pace(self._findings, when, target, part)
        if when.point == [ONLINE] and when.is_ is not None:
            self._check_lost(target, part)
        if condition.parts:
            return Judged(condition, (), (), (target,), is_prompt=False)
        is_prompt = condition.count == 1 and form in {*_VALUES, "expr"}
        is_prompt &= when.override or not (item.only or item.unless)
        return Judged(condition, target.points, target.profiles, (target,), is_prompt)

    def _condition(self, form: str, when: When, target: Target, part: Part) -> Condition | None:
        if form in _VALUES:
            return self._level(when, target, part)
        if form == "still":
            return self._groups.still(when, target, part)
        if form == "absent":
            return _absence(when, target)
        if form == "expr":
            return Condition("expression", expression=when.expr or "")
        return self._conditions.rate(when, target, part)

    def _level(self, when: When, target: Target, part: Part) -> Condition | None:
        if when.devices is not None:
            return self._groups.several(when, target, part)
        level = self._conditions.level(when, target, part)
        if level is None or when.times is None:
            return level
        return replace(level, count=when.times, within_s=when.within or 0.0)

    def _expressed(self, when: When, part: Part) -> Target | None:
        """The points an expression names: of every device that has them all."""
        desk, text = self._desk, when.expr or ""
        meant = meant_by(desk, Ask(when.kind, ()), part)
        moulds = [mould for profile in meant for mould in profile.moulds]
        if not meant or not check_names(desk, text, moulds, part):
            return None
        known = {mould.base for mould in moulds}
        named = [each.text for each in names_in(text)]
        names = [each for each in named if each in known] or [each for each in named if each in BUILT_IN]
        if not names:
            what = Say("表达式里没有点,永远不会变", "the expression names no point: it never changes")
            fix = Say("写上点名,例如 power > 60", "name a point, for example power > 60")
            self._findings.add("E614", part.entry.at(*part.path, "expr"), what, subject=part.subject, fix=fix)
            return None
        target = find(desk, Ask(when.kind, names, when.tag, is_each=True), part)
        if target is None:
            return None
        alike = {tuple(sorted({(m.base, m.type) for m in p.moulds})): p for p in target.profiles}
        if not all(check_text(desk, self._check, text, each.moulds, part) for each in alike.values()):
            return None
        self._check_possible(text, target, part)
        return target

    def _check_possible(self, text: str, target: Target, part: Part) -> None:
        """An expression that is never true, or always."""
        if self._check is None or self._compiled is None:
            return
        found = {verdict(text, each.moulds, self._compiled) for each in target.profiles}
        if len(found) != 1 or found == {None}:
            return
        code, what, fix = _ALWAYS if found.pop() else _NEVER
        self._findings.add(code, part.entry.at(*part.path, "expr"), what, subject=part.subject, fix=fix)

    def _check_lost(self, target: Target, part: Part) -> None:
        """Whether a device is there, asked of devices that are never given up."""
        kinds = {device.profile for device in target.devices if device.bus_id}
        profiles = [self._desk.profiles[each] for each in sorted(kinds) if each in self._desk.profiles]
        if not profiles or any(
            each.via != "mqtt" or each.offline_after_s is not None or getattr(each.params, "availability", None)
            for each in profiles
        ):
            return
        what = Say(
            f"档案 {profiles[0].id} 没有写 offline_after:设备不响也不会算失联",
            f"profile {profiles[0].id} has no offline_after: silence is never taken for a loss",
        )
        fix = Say('在档案里加一行 "offline_after: 12h"', 'add a line "offline_after: 12h" to the profile')
        self._findings.add("W618", part.entry.at(*part.path, "point"), what, subject=part.subject, fix=fix)

    def _check_delay(self, item: RuleItem, target: Target, part: Part) -> None:
        """What tells of fire, gas and calls is told at once and always (alarms.md, section 3)."""
        when = item.when
        is_vital = any(mould.alarm_class in LIFE_SAFETY for mould in target.moulds)
        is_detector = item.raise_.class_ in LIFE_SAFETY and any(p.kind in DETECTORS for p in target.profiles)
        if target.is_built_in or not (is_vital or is_detector):
            return
        if when.for_:
            delay = f"{when.for_:g}s"
            what = Say(
                f"火警、燃气、求助不允许延时报警(for: {delay})", f"fire, gas and sos must not be delayed (for: {delay})"
            )
            self._say_delay("for", what, part._replace(path=("when", "for")), is_meant=when.override)
        if when.absent is not None and item.raise_.class_ in LIFE_SAFETY:
            what = Say(
                "没有消息(absent)不是火警、燃气、求助,是故障",
                "silence (absent) is no fire, gas or sos: it is a fault",
            )
            self._say_delay("absent", what, part._replace(path=("when", "absent")), is_meant=when.override)
        for key in ("only", "unless"):
            if getattr(item, key) is not None and when.devices is None and when.times is None:
                what = Say(
                    f"火警、燃气、求助任何时候都要报警,不能按日历({key})",
                    f"fire, gas and sos are alarms at any time: no calendar ({key})",
                )
                self._say_delay(key, what, part._replace(path=(key,)), is_meant=when.override)

    def _say_delay(self, key: str, what: Say, part: Part, *, is_meant: bool) -> None:
        spot = part.entry.at(*part.path)
        if is_meant:
            fix = Say(
                f"留好书面依据;没有就删掉 {key} 和 override", f"keep the written reason, or remove {key} and override"
            )
            self._findings.add("W601", spot, what, subject=part.subject, fix=fix)
            return
        fix = Say(
            f'删掉 {key};确有书面依据时加 "override: true"', f'remove {key}; with a written reason "override: true"'
        )
        self._findings.add("E601", spot, what, subject=part.subject, fix=fix)


def _absence(when: When, target: Target) -> Condition:
    if target.is_built_in:
        what = Say("网关自己产生的点总是有值", "a point that the gateway makes itself is always there")
        fix = Say("设备失联写 point: online, is: false", "for a lost device write point: online, is: false")
        raise UnfitError("point", what, fix)
    if any(mould.is_event for mould in target.moulds):
        what = Say("一瞬间的动作(event)平时不发消息,这条规则会一直报警", "a moment (event) is mostly absent")
        raise UnfitError("point", what, Say("换一个按时上报的点", "use a point that reports regularly"))
    return Condition("absent", within_s=when.absent or 0.0)
