"""Configuration: which devices and points a rule looks at, by kind, name of point and tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.config.desk import ONLINE, RESPONDING, Desk, Mould, Profile
from gateway.config.findings import Say, nearest, perhaps
from gateway.config.hints import by_title
from gateway.config.pseudo import PSEUDO, switch
from gateway.config.shaping import Part
from gateway.model import Device

BUILT_IN = (ONLINE, RESPONDING)  # points that every device has, and every device with an output


class Target(NamedTuple):
    """What a rule looks at: the profiles that have the points, the moulds of these, the devices, the points' ids."""

    profiles: Sequence[Profile]
    moulds: Sequence[Mould]
    devices: Sequence[Device]
    points: tuple[str, ...]

    @property
    def is_built_in(self) -> bool:
        """Is it a point that the gateway makes itself, rather than one of a profile?"""
        return any(each.params is None for each in self.moulds)


class Ask(NamedTuple):
    """What the rule names. ``is_each``: a device needs all the points (else: any of them)."""

    kinds: Sequence[str] | None  # None: every device that has the point
    points: Sequence[str]
    tag: str | None = None  # "!tag": devices without it
    is_each: bool = False

    def takes(self, device: Device) -> bool:
        """Has the device the tag that is asked for, or lacks the one that must not be there?"""
        if self.tag is None:
            return True
        return (self.tag.removeprefix("!") in device.tags) is not self.tag.startswith("!")


def find(desk: Desk, ask: Ask, part: Part) -> Target | None:
    """The target, or None with the reasons told; one without devices is told, too."""
    meant = meant_by(desk, ask, part)
    if not meant:
        return None
    is_told = False
    for index, name in enumerate(ask.points):
        if not any(_has(profile, name) for profile in meant):
            say_no_point(desk, ask, meant, name, part._replace(path=(*part.path, "point", index)))
            is_told = True
    if is_told or not _all_kinds_have(desk, ask, meant, part):
        return None
    is_ours = ask.points[0] in BUILT_IN or all(profile.kind in PSEUDO for profile in meant)
    target = _built_in(desk, ask, meant) if is_ours else _own(desk, ask, meant)
    _check_devices(desk, ask, target, part)
    return target


def meant_by(desk: Desk, ask: Ask, part: Part) -> list[Profile]:
    """The profiles of the kinds named; none, and told, where one of the kinds is unknown."""
    if not _knows_kinds(desk, ask, part):
        return []
    meant = [p for p in desk.profiles.values() if ask.kinds is None or p.kind in ask.kinds]
    return meant + [PSEUDO[kind] for kind in ask.kinds or () if kind in PSEUDO]


def _has(profile: Profile, name: str) -> bool:
    """``online`` is everybody's, ``responding`` is that of devices with an output."""
    if name == RESPONDING:
        return any(each.is_writable for each in profile.moulds)
    return name == ONLINE or profile.has(name)


def _own(desk: Desk, ask: Ask, meant: Sequence[Profile]) -> Target:
    names = set(ask.points)
    fit = all if ask.is_each else any
    having = [profile for profile in meant if fit(profile.has(name) for name in ask.points)]
    moulds = [mould for profile in having for mould in profile.moulds if mould.base in names]
    places = {p.id: [i for i, mould in enumerate(p.moulds) if mould.base in names] for p in having}
    devices = [
        device
        for kind in dict.fromkeys(p.kind for p in having)
        for device in desk.by_kind.get(kind, ())
        if device.profile in places and ask.takes(device)
    ]
    points = tuple([device.points[i].id for device in devices for i in places[device.profile]])
    return Target(having, moulds, devices, points)


def _built_in(desk: Desk, ask: Ask, meant: Sequence[Profile]) -> Target:
    """A point the gateway makes itself; without kinds it is that of every device but the gateway's own."""
    is_output = RESPONDING in ask.points
    kinds = ask.kinds or [kind for kind in desk.by_kind if kind not in PSEUDO]
    devices = [
        device
        for kind in dict.fromkeys(kinds)
        for device in desk.by_kind.get(kind, ())
        if (not is_output or any(each.is_writable for each in device.points)) and ask.takes(device)
    ]
    moulds = [switch(name) for name in ask.points]
    return Target(meant, moulds, devices, tuple([f"{each.id}/{name}" for each in devices for name in ask.points]))


def _knows_kinds(desk: Desk, ask: Ask, part: Part) -> bool:
    if desk.is_partial or desk.unread_profiles:
        return True
    known = sorted({*PSEUDO, *(profile.kind for profile in desk.profiles.values())})
    unknown = [(i, kind) for i, kind in enumerate(ask.kinds or ()) if kind not in known]
    for index, kind in unknown:
        desk.findings.add(
            "E208",
            part.entry.at(*part.path, "kind", index),
            Say(f'没有 "{kind}" 这类设备的档案', f'no profile is of kind "{kind}"'),
            subject=part.subject,
            fix=_kind_for(desk, kind, known),
            options=known,
        )
    return not unknown


def _kind_for(desk: Desk, kind: str, known: Sequence[str]) -> Say:
    titled = by_title(kind, {each.kind: each.title for each in desk.profiles.values()})
    if titled:
        return Say(f"写 {titled}", f"write {titled}")
    return perhaps(kind, known, Say("改成已有的类别,或先写档案", "use a known kind, or write a profile first"))


def say_no_point(desk: Desk, ask: Ask, meant: Iterable[Profile], name: str, part: Part) -> None:
    """No profile of these kinds has the point: say so, unless one could not be read."""
    if desk.unread_profiles or desk.is_partial:
        return
    names = sorted({mould.base for profile in meant for mould in profile.moulds} | {ONLINE})
    who = ", ".join(ask.kinds or ())
    desk.findings.add(
        "E209",
        part.entry.at(*part.path),
        Say(f'{who or "哪类设备都"} 没有点 "{name}"', f'{who or "no device"} has no point "{name}"'),
        subject=part.subject,
        fix=_whole(name, names) or perhaps(name, names, Say("写档案里定义过的点名", "name a point of a profile")),
        options=names,
    )


def _whole(name: str, names: Sequence[str]) -> Say | None:
    """For the id of a point (device and point), the point alone."""
    *_, last = name.split("/")
    if last == name or last.partition(".")[0] not in names:
        return None
    point = last.partition(".")[0]
    return Say(
        f"只写点名 {point};只管一部分设备就给它们写 tags,这里写 tag",
        f"write {point} only; for some of the devices give them tags and write tag here",
    )


def _all_kinds_have(desk: Desk, ask: Ask, meant: Sequence[Profile], part: Part) -> bool:
    """Of several kinds each must be able to make the rule true: else one of them is watched in name only."""
    if desk.unread_profiles or desk.is_partial or ask.points[0] in BUILT_IN:
        return True
    fit = all if ask.is_each else any
    lacking = [
        (index, kind)
        for index, kind in enumerate(ask.kinds or ())
        if not any(profile.kind == kind and fit(map(profile.has, ask.points)) for profile in meant)
    ]
    shown = ", ".join(ask.points)
    for index, kind in lacking:
        desk.findings.add(
            "E209",
            part.entry.at(*part.path, "kind", index),
            Say(f'{kind} 没有点 "{shown}",规则管不到它', f'{kind} has no point "{shown}": the rule does not see it'),
            subject=part.subject,
            fix=Say("从 kind 里去掉它,或另写一条规则", "take it out of kind, or write another rule for it"),
        )
    return not lacking


def _check_devices(desk: Desk, ask: Ask, target: Target, part: Part) -> None:
    tag = (ask.tag or "").removeprefix("!")
    known = sorted({each for device in desk.devices.values() for each in device.tags}) if tag else []
    if tag and tag not in known and nearest(tag, known) and not desk.findings.errors:
        desk.findings.add(
            "E213",
            part.entry.at(*part.path, "tag"),
            Say(f'没有设备带标签 "{tag}"', f'no device has the tag "{tag}"'),
            subject=part.subject,
            fix=perhaps(tag, known),
            options=known,
        )
        return
    if target.devices or desk.findings.errors or any(kind in PSEUDO for kind in ask.kinds or ()):
        return
    desk.findings.add(
        "W208",
        part.entry.at(*part.path),
        Say("没有设备用到这条规则", "no device is watched by this rule"),
        subject=part.subject,
        fix=Say(
            "装了这类设备后自然生效;用不到就删掉这条规则",
            "it takes effect once there is such a device; else delete it",
        ),
    )
