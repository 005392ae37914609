"""Configuration: conditions on what shares an area: several devices, stillness, a sequence, a confirmed fire.

The source of their alarms is the area, not a device.
"""

from __future__ import annotations

from gateway.config.conditions import Conditions
from gateway.config.desk import Desk
from gateway.config.findings import Say
from gateway.config.forms import UnfitError
from gateway.config.order import check_order
from gateway.config.pace import check_wait
from gateway.config.rule_shapes import Level, When
from gateway.config.scopes import check_enough, check_within, say_apart
from gateway.config.shaping import Part
from gateway.config.targets import Ask, Target, find
from gateway.model import AlarmClass, Condition, Scope, Watched

_LEVELS = ("is", "above", "below", "changed_to")


class Groups:
    """Reads conditions on areas. What is wrong goes to the desk's findings, or is raised as `UnfitError`."""

    def __init__(self, desk: Desk, conditions: Conditions) -> None:
        self._desk = desk
        self._findings = desk.findings
        self._conditions = conditions

    def several(self, when: When, target: Target, part: Part) -> Condition | None:
        """``devices``: so many different devices of one area."""
        level = self._conditions.level(when, target, part)
        same, count = when.same or Scope.SITE, when.devices or 0
        if same is Scope.DEVICE:
            what = Say("一台设备不能互相印证", "one device cannot bear itself out")
            raise UnfitError("same", what, Say("same 写 zone、unit 等", "write same: zone, unit or the like"))
        is_moment = when.changed_to is not None or any(each.is_event for each in target.moulds)
        if is_moment and when.within is None:
            what = Say("一瞬间的动作不会同时存在,devices 还要写 within", "moments do not last: devices needs within")
            raise UnfitError("devices", what, Say('加上 "within: 5m"', 'add "within: 5m"'))
        if level is None:
            return None
        if self._desk.is_whole and check_within(self._findings, target.devices, same, part):
            check_enough(self._findings, target.devices, count, same, part)
        if when.within is not None:
            check_wait(self._findings, target, when.within, part)
        watched = Watched(target.points, level)
        return Condition("devices", count=count, within_s=when.within or 0.0, same=same, parts=(watched,))

    def still(self, when: When, target: Target, part: Part) -> Condition | None:
        """``still``: nothing has changed."""
        if target.is_built_in:
            what = Say("网关自己产生的点不是动静", "what the gateway notes itself is no sign of anything")
            raise UnfitError("point", what, Say("写设备上报的点,例如 contact", "name points that devices report"))
        same = when.same or Scope.SITE
        if self._desk.is_whole:
            check_within(self._findings, target.devices, same, part)
        watched = Watched(target.points, Condition("still"))
        return Condition("still", within_s=when.still or 0.0, same=same, parts=(watched,))

    def sequence(self, when: When, part: Part) -> tuple[Condition, list[Target]] | None:
        """``first``, ``then`` (and ``unless``); the targets are those of ``first`` and ``then``."""
        same = when.same or Scope.SITE
        named = {"first": when.first, "then": when.then, "unless": when.unless}
        parts, targets = [], []
        for key, level in named.items():
            made = self._part(level, when.tag, part._replace(path=(*part.path, key))) if level is not None else None
            if made is not None:
                parts.append(made[0])
                targets.append(made[1])
        if len(parts) < sum(each is not None for each in named.values()):
            return None
        if self._desk.is_whole:
            first, then = targets[0].devices, targets[1].devices
            here, there = (check_within(self._findings, each, same, part) for each in (first, then))
            if here and there and here.isdisjoint(there):
                say_apart(self._findings, same, part)
        check_order(self._findings, parts, part)
        for target in targets[:2]:
            check_wait(self._findings, target, when.within or 0.0, part)
        return Condition("sequence", within_s=when.within or 0.0, same=same, parts=tuple(parts)), targets[:2]

    def _part(self, level: Level, tag: str | None, part: Part) -> tuple[Watched, Target] | None:
        try:
            _check_level(level)
        except UnfitError as error:
            error.say(self._findings, part)
            return None
        target = find(self._desk, Ask(level.kind, [level.point], level.tag or tag), part)
        condition = self._conditions.level(level, target, part) if target is not None else None
        return (Watched(target.points, condition), target) if target is not None and condition is not None else None

    @staticmethod
    def confirmed(when: When) -> Condition:
        """``confirmed``: fire alarms of two independent devices, or a person's word."""
        if not when.confirmed:
            what = Say("confirmed 只能写 true", "confirmed can only be true")
            raise UnfitError("confirmed", what, Say("写 confirmed: true", "write confirmed: true"))
        if when.class_ is not AlarmClass.FIRE:
            what = Say("只有火警有确认(confirmed)", "only fire is confirmed")
            raise UnfitError("class", what, Say("写 class: fire", "write class: fire"))
        if when.same is Scope.DEVICE:
            what = Say("一台设备的两次报警不算确认", "two alarms of one device confirm nothing")
            raise UnfitError("same", what, Say("same 写 zone、unit 等", "write same: zone, unit or the like"))
        return Condition("confirmed", same=when.same)


def _check_level(level: Level) -> None:
    values = {"is": level.is_, "above": level.above, "below": level.below, "changed_to": level.changed_to}
    given = [key for key in _LEVELS if values[key] is not None]
    if len(given) != 1:
        what = Say("is、above、below、changed_to 要写其中一个", "write exactly one of is, above, below, changed_to")
        raise UnfitError(given[1] if given else "", what, Say("例如 is: true", "for example is: true"))
    if level.clear is not None and given[0] not in {"above", "below"}:
        what = Say("clear 只能与 above、below 一起用", "clear only goes with above, below")
        raise UnfitError("clear", what, Say("删掉 clear", "remove clear"))
