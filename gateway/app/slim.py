"""What of a site the bridge is handed: what uplinks ask of it, each text once. How it is read belongs to `apart`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.model import Condition, Device, DeviceParams, Place, Point, Rule, Site, Watched

_NO_PARAMS = DeviceParams(None, None)
_NOTHING = Condition("")

Share = Callable[[str], str]


def for_uplinks(site: Site) -> Site:
    """The same devices, points, rules and uplinks, without what is for drivers, the engine and people's telephones.

    A site of 9,000 devices is half as large so.
    """
    texts: dict[str, str] = {}

    def share(text: str) -> str:
        return texts.setdefault(text, text)

    devices = {share(key): _device(each, share) for key, each in site.devices.items()}
    rules = tuple(_rule(each, share) for each in site.rules)
    return replace(site, devices=devices, rules=rules, buses={}, recipients={}, calendars={})


def _device(device: Device, share: Share) -> Device:
    device_id = share(device.id)
    points = tuple(
        Point(
            share(each.id),
            device_id,
            share(each.name),
            each.type,
            each.unit,
            title=each.title,
            is_writable=each.is_writable,
            is_personal=each.is_personal,
        )
        for each in device.points
    )
    at = device.place
    place = Place(share(at.text), share(at.building), zone=share(at.zone))
    return Device(
        id=device_id,
        kind=device.kind,
        title=share(device.title),
        place=place,
        profile=device.profile,
        bus_id=device.bus_id,
        offline_after_s=None,
        points=points,
        params=_NO_PARAMS,
    )


def _rule(rule: Rule, share: Share) -> Rule:
    """Its name, what it looks at, and the words that it offers for closing an alarm."""
    parts = tuple(Watched(tuple(map(share, each.points)), _NOTHING) for each in rule.condition.parts)
    return Rule(
        id=rule.id,
        title=rule.title,
        alarm_class=rule.alarm_class,
        points=tuple(map(share, rule.points)),
        condition=Condition(rule.condition.kind, parts=parts),
        outcomes=rule.outcomes,
    )
