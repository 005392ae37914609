"""Configuration: what is written correctly and still leaves somebody unprotected. Warnings only."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.desk import LIFE_SAFETY, Desk
from gateway.config.findings import Say
from gateway.config.rules import Rules
from gateway.config.shaping import Part
from gateway.model import Action, Device, Scope


def check_coverage(desk: Desk, rules: Rules) -> None:
    """Say which alarms no rule watches, and which actions reach nothing."""
    _check_watched(desk, rules)
    _check_reach(desk, rules)


def _check_watched(desk: Desk, rules: Rules) -> None:
    used = {device.profile for device in desk.devices.values()}
    for profile in desk.profiles.values():
        bases = {m.base: m for m in profile.moulds if m.alarm_class in LIFE_SAFETY}
        for base, mould in bases.items():
            if profile.id not in used or (profile.id, base) in rules.watched:
                continue
            desk.findings.add(
                "W602",
                profile.entry.key("points", base),
                Say(
                    f'点 "{base}" 是 {mould.alarm_class} 类,却没有规则用到它:报警不会有人知道',
                    f'point "{base}" is of class {mould.alarm_class}, but no rule watches it: its alarm reaches nobody',
                ),
                subject=Say(f"档案 {profile.id}", f"profile {profile.id}"),
                fix=Say(
                    f"在 rules/ 里写一条 when: {{kind: {profile.kind}, point: {base}, ...}}",
                    f"write a rule with when: {{kind: {profile.kind}, point: {base}, ...}}",
                ),
            )


def _check_reach(desk: Desk, rules: Rules) -> None:
    owners = {point.id: device for device in desk.devices.values() for point in device.points}
    for rule in rules.rules:
        if not any(action.kind and action.is_safety for action in rule.actions):
            continue
        sources = list({owner.id: owner for each in rule.points if (owner := owners.get(each)) is not None}.values())
        for index, action in enumerate(rule.actions):
            if action.kind and action.is_safety:
                lacking = _lacking(desk, action, sources)
                if lacking:
                    subject = Say(f"规则 {rule.id}", f"rule {rule.id}")
                    part = Part(rules.entry_of(rule.id), ("do", index, "kind"), subject)
                    _say_lacking(desk, part, action, lacking)


def _lacking(desk: Desk, action: Action, sources: Sequence[Device]) -> list[str]:
    """The areas with a source and nothing for the action to set."""
    fit = {p.id for p in desk.profiles.values() if any(m.base == action.point and m.is_writable for m in p.moulds)}
    reached = {_area(d, action.scope) for d in desk.by_kind.get(action.kind, ()) if d.profile in fit}
    return sorted(
        {
            _named(each, action.scope)
            for each in sources
            if (area := _area(each, action.scope)) is None or area not in reached
        }
    )


def _named(device: Device, scope: Scope) -> str:
    area = _area(device, scope)
    return device.place.text if area is None else "-".join(area)


def _say_lacking(desk: Desk, part: Part, action: Action, lacking: Sequence[str]) -> None:
    area, shown = _AREAS[action.scope], ", ".join(lacking[:5])
    more = f" 等 {len(lacking)} 处" if len(lacking) > 5 else ""
    desk.findings.add(
        "W603",
        part.entry.at(*part.path),
        Say(
            f"{area.zh} {shown}{more} 没有 {action.kind},联动在那里不起作用".replace("  ", " "),
            f"no {action.kind} in {area.en} {shown}{' ...' if more else ''}: the action does nothing there",
        ),
        subject=part.subject,
        fix=Say("在那里装上,或把 within 放宽一级", "install one there, or widen within"),
    )


_AREAS = {
    Scope.DEVICE: Say("设备", "device"),
    Scope.ROOM: Say("房间", "room"),
    Scope.FLOOR: Say("楼层", "floor"),
    Scope.UNIT: Say("单元", "unit"),
    Scope.BUILDING: Say("楼栋", "building"),
    Scope.ZONE: Say("分区", "zone"),
    Scope.SITE: Say("全小区", "the site"),
}
_DEPTHS = {Scope.BUILDING: 1, Scope.UNIT: 2, Scope.FLOOR: 3, Scope.ROOM: 4}


def _area(device: Device, scope: Scope) -> tuple[str, ...] | None:
    """What two devices share within ``scope``; None where a device lies in no such area."""
    if scope is Scope.DEVICE:
        return (device.id,)
    if scope is Scope.SITE:
        return ()
    place = device.place
    if scope is Scope.ZONE:
        return (place.zone,) if place.zone else None
    area = (place.building, place.unit, place.floor, place.room)[: _DEPTHS[scope]]
    return area if area[-1] else None
