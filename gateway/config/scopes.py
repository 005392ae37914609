"""Configuration: areas that devices share (room, unit, zone ...), and whether rules on areas can be true in any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from gateway.config.findings import Findings, Say
from gateway.config.shaping import Part
from gateway.model import Device, Scope

AREAS = {
    Scope.DEVICE: Say("设备", "device"),
    Scope.ROOM: Say("房间", "room"),
    Scope.FLOOR: Say("楼层", "floor"),
    Scope.UNIT: Say("单元", "unit"),
    Scope.BUILDING: Say("楼栋", "building"),
    Scope.ZONE: Say("分区", "zone"),
    Scope.SITE: Say("全小区", "the site"),
}
_DEPTHS = {Scope.BUILDING: 1, Scope.UNIT: 2, Scope.FLOOR: 3, Scope.ROOM: 4}
Area = tuple[str, ...]


def area_of(device: Device, scope: Scope) -> Area | None:
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


def is_narrower(scope: Scope, than: Scope) -> bool:
    """Is it only a part of the other area, judged by addresses? Zones lie across them: nothing can be said."""
    order = (Scope.DEVICE, Scope.ROOM, Scope.FLOOR, Scope.UNIT, Scope.BUILDING, Scope.SITE)
    if Scope.DEVICE in {scope, than}:
        return scope is not than and scope is Scope.DEVICE
    return scope in order and than in order and order.index(scope) < order.index(than)


def check_within(findings: Findings, devices: Sequence[Device], same: Scope, part: Part) -> set[Area]:
    """The areas of ``devices``; an error where none of them lies in one.

    Some may lie outside and nothing is said: another rule may look at those.
    """
    areas = {area for each in devices if (area := area_of(each, same)) is not None}
    if devices and not areas:
        findings.add(
            "E612",
            part.entry.at(*part.path, "same"),
            Say(
                f"{listed(devices).zh}不在任何{AREAS[same].zh}里,这条规则永远不会报警",
                f"{listed(devices).en} in no {AREAS[same].en}: this rule never fires",
            ),
            subject=part.subject,
            fix=_way_in(same),
        )
    return areas


def say_unconfirmed(findings: Findings, outside: Sequence[Device], same: Scope, part: Part) -> None:
    """Warn of sources of fire alarms that no rule with ``confirmed`` reaches."""
    findings.add(
        "W612",
        part.entry.at(*part.path, "same"),
        Say(
            f"{listed(outside).zh}不在任何{AREAS[same].zh}里,那里的火警得不到第二台设备的确认",
            f"{listed(outside).en} in no {AREAS[same].en}: no second device confirms a fire there",
        ),
        subject=part.subject,
        fix=_way_in(same),
    )


def check_enough(findings: Findings, devices: Iterable[Device], count: int, same: Scope, part: Part) -> None:
    """No area has ``count`` of the devices: the rule waits for what cannot come."""
    areas = Counter(area for each in devices if (area := area_of(each, same)) is not None)
    most = max(areas.values(), default=0)
    if not 0 < most < count:
        return
    name = AREAS[same]
    nowhere = name.zh + "没有" if same is Scope.SITE else f"没有一个{name.zh}里有"
    findings.add(
        "E612",
        part.entry.at(*part.path, "devices"),
        Say(
            f"{nowhere} {count} 台这样的设备(最多 {most} 台),这条规则永远不会报警",
            f"nowhere ({name.en}) are there {count} such devices ({most} at most): this rule never fires",
        ),
        subject=part.subject,
        fix=Say("把 devices 改小,或把 same 放宽一级", "write fewer devices, or widen same"),
    )


def say_apart(findings: Findings, same: Scope, part: Part) -> None:
    """The parts of a sequence never meet in one area."""
    name = AREAS[same]
    findings.add(
        "E612",
        part.entry.at(*part.path, "same"),
        Say(
            f"没有一个{name.zh}里同时有 first 和 then 的设备,这条规则永远不会报警",
            f"no {name.en} has devices of both first and then: this rule never fires",
        ),
        subject=part.subject,
        fix=Say("把 same 放宽一级,或给设备写同一个 zone", "widen same, or give the devices the same zone"),
    )


def listed(devices: Sequence[Device]) -> Say:
    """The first of them, and how many."""
    first, count = devices[0].id, len(devices)
    return (
        Say(f"{first} 等 {count} 台", f"{first} and {count - 1} more are")
        if count > 1
        else Say(f"{first} ", f"{first} is")
    )


def _way_in(same: Scope) -> Say:
    if same is Scope.ZONE:
        return Say(
            "在 devices/ 里给设备写 zone,或换一个范围", "give the devices a zone in devices/, or use another scope"
        )
    return Say("把地址写到这一级,或换一个范围", "write addresses down to that part, or use another scope")
