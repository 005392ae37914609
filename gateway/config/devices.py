"""Configuration: devices/*.yaml with the patterns that stand for many devices.

Per item of a file a device is shaped and checked once; the devices an ``each:`` stands for are cast from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.config.desk import Desk, DriverShape, Profile, device_subject
from gateway.config.expand import MOST, PatternError, expand, first_of, place_of
from gateway.config.findings import DEFINED, Say, perhaps
from gateway.config.operating import read_snapshot, snapshot_at
from gateway.config.reporting import with_reports
from gateway.config.shapes import DeviceItem
from gateway.config.shaping import Part, keys_of, known_keys, shape
from gateway.config.tree import Entry
from gateway.model import Bus, Device, DeviceParams, Place

_COMMON = keys_of(DeviceItem)
_AT = "{at}"
_NO_ADDRESS = re.compile(r"^\d{3,}$|^[^-]*\d\s*(?:栋|号楼|幢|单元|楼|层|室)[^-]*$", re.ASCII)


def read_devices(desk: Desk, entry: Entry) -> None:
    """Add the devices listed in a file to the desk."""
    for item in entry.items("devices"):
        _read_item(desk, item)


def _read_item(desk: Desk, entry: Entry) -> None:
    part = Part(entry, (), _subject(entry.plain))
    if not isinstance(entry.plain, dict):
        shape(desk.findings, DeviceItem, entry.plain, part)
        return
    profile = desk.profiles.get(_text(entry.plain.get("profile")))
    driver = desk.via(profile.via) if profile else None
    plain = known_keys(desk.findings, part, entry.plain, (*_COMMON, *_own_keys(desk, driver)))
    if driver is None:  # the key may have been misspelt
        profile = desk.profiles.get(_text(plain.get("profile")))
        driver = desk.via(profile.via) if profile else None
    item = shape(desk.findings, DeviceItem, {k: v for k, v in plain.items() if k in _COMMON}, part)
    addresses = _addresses(desk, item, part) if item is not None else ()
    if addresses:
        _check_written(desk, addresses[0], part)
    own = {k: v for k, v in plain.items() if k not in _COMMON}
    params = None
    if driver is not None:
        params = shape(desk.findings, driver.device, _filled(own, addresses[0] if addresses else ""), part)
    if item is None:
        return
    _check_names(desk, item, part)
    bus = desk.buses.get(item.bus)
    if profile is None or driver is None or bus is None or params is None:
        return
    if desk.drivers[bus.type].via != driver.via:
        _say_other_via(desk, bus, profile, part)
        return
    _cast(desk, _Batch(item, own, driver.device, params, profile, bus), addresses, part)


def _check_written(desk: Desk, at: str, part: Part) -> None:
    """An address in words, or a room number alone: all of it would be the name of a building."""
    if not _NO_ADDRESS.search(at):
        return
    desk.findings.add(
        "W114",
        part.entry.at("at" if "at" in part.entry.plain else "each"),
        Say(f'"{at}" 没有用 - 分段,整个会当作楼栋', f'"{at}" has no parts divided by -: all of it is a building'),
        subject=part.subject,
        fix=Say("写成 楼栋-单元-楼层-房号,例如 3-1-03-0301", "write building-unit-floor-room, such as 3-1-03-0301"),
    )


def _own_keys(desk: Desk, driver: DriverShape | None) -> list[str]:
    """The driver's keys of a device; those of every driver while it is not known."""
    models = [driver.device] if driver else [each.device for each in desk.drivers.values()]
    return list(dict.fromkeys(key for model in models for key in keys_of(model)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _subject(plain: Any) -> Say:
    """The address as written, and for a pattern the first address it stands for."""
    if not isinstance(plain, dict):
        return Say("设备", "device")
    at, pattern = plain.get("at"), plain.get("each")
    if isinstance(at, str):
        return device_subject(at)
    if not isinstance(pattern, str):
        return Say("设备", "device")
    try:
        first = first_of(pattern)
    except PatternError:
        return device_subject(pattern)
    return Say(f"设备 {pattern}(第一台 {first})", f"device {pattern} (first {first})")


def _check_names(desk: Desk, item: DeviceItem, part: Part) -> None:
    if item.profile not in desk.profiles and item.profile not in desk.unread_profiles and not desk.is_partial:
        known = sorted({*desk.profiles, *desk.unread_profiles})
        desk.findings.add(
            "E202",
            part.entry.at("profile"),
            Say(f'档案 "{item.profile}" 没有定义', f'profile "{item.profile}" is not defined'),
            subject=part.subject,
            fix=Say(f"写 {titled[0]}", f"write {titled[0]}")
            if (titled := [each.id for each in desk.profiles.values() if each.title == item.profile])
            else perhaps(
                item.profile,
                known,
                Say("在 profiles/ 里为这个型号写一个文件", "write a file for this model in profiles/"),
                {name: profile.entry.at("profile") for name, profile in desk.profiles.items()},
            ),
            options=known,
            options_label=DEFINED,
        )
    if item.bus not in desk.buses and item.bus not in desk.unread_buses and not desk.is_partial:
        desk.findings.add(
            "E201",
            part.entry.at("bus"),
            Say(f'总线 "{item.bus}" 没有定义', f'bus "{item.bus}" is not defined'),
            subject=part.subject,
            fix=perhaps(
                item.bus,
                desk.bus_spots,
                Say("在 site.yaml 的 buses 里加上这条总线", "add this bus to buses in site.yaml"),
                desk.bus_spots,
            ),
            options=desk.bus_spots,
            options_label=DEFINED,
        )


def _say_other_via(desk: Desk, bus: Bus, profile: Profile, part: Part) -> None:
    fitting = sorted(b.id for b in desk.buses.values() if desk.drivers[b.type].via == profile.via)
    desk.findings.add(
        "E204",
        part.entry.at("bus"),
        Say(
            f'档案 "{profile.id}" 走 {profile.via},总线 "{bus.id}" 却是 {bus.type}',
            f'profile "{profile.id}" speaks {profile.via}, but bus "{bus.id}" is {bus.type}',
        ),
        subject=part.subject,
        fix=Say("换一条同类的总线,或换一个档案", "choose a fitting bus, or another profile"),
        options=fitting,
        options_label=Say("合适的总线", "fitting buses"),
    )


def _addresses(desk: Desk, item: DeviceItem, part: Part) -> Sequence[str]:
    if (item.at is None) == (item.each is None):
        desk.findings.add(
            "E106",
            part.entry.at() if item.at is None else part.entry.key("each"),
            Say("at 和 each 要写其中一个", "write exactly one of at and each"),
            subject=part.subject,
            fix=Say('单台写 "at: 3-2-03-0301",成批写 "each: ..."', 'write "at: 3-2-03-0301", or "each: ..." for many'),
        )
        return ()
    try:
        return expand(item.each, MOST - len(desk.devices)) if item.each is not None else (item.at or "",)
    except PatternError as error:
        desk.findings.add("E114", part.entry.at("each"), error.what, subject=part.subject, fix=error.fix)
        return ()


class _Batch(NamedTuple):
    """One item of a file whose names are all known."""

    item: DeviceItem
    own: Mapping[str, Any]  # the driver's keys
    model: type[BaseModel]
    params: BaseModel  # of the first device
    profile: Profile
    bus: Bus


def _cast(desk: Desk, batch: _Batch, addresses: Sequence[str], part: Part) -> None:
    item, own, _, params, profile, bus = batch
    name = f"/{item.name or profile.kind}"
    title = item.title or profile.title
    varying = [key for key, value in own.items() if isinstance(value, str) and _AT in value]
    shared = DeviceParams(profile.params, params)
    tags = tuple(item.tags or ())
    snapshot = read_snapshot(desk, item.snapshot, addresses, part)
    moulds = with_reports(desk.findings, item.report or {}, profile.moulds, part)
    for at in addresses:
        place = _place(desk, at, item.zone or "", part)
        device_id = at + name
        if place is None or not _is_new(desk, device_id, part):
            return
        device = Device(
            device_id,
            profile.kind,
            title.replace(_AT, at) if _AT in title else title,
            place,
            profile.id,
            bus.id,
            profile.offline_after_s,
            tuple([mould.cast(device_id) for mould in moulds]),
            DeviceParams(profile.params, _again(batch, varying, addresses[0], at)) if varying else shared,
            tags,
            snapshot_at(snapshot, at) if snapshot else "",
        )
        desk.devices[device_id] = device
        desk.origins[device_id] = part.entry
        if item.limits:
            desk.limits[device_id] = item.limits
        desk.by_kind.setdefault(profile.kind, []).append(device)


def _filled(own: Mapping[str, Any], at: str) -> dict[str, Any]:
    return {key: value.replace(_AT, at) if isinstance(value, str) else value for key, value in own.items()}


def _again(batch: _Batch, varying: Sequence[str], first: str, at: str) -> BaseModel:
    """The parameters of ``first`` for another address: a copy, where the model keeps texts as they are."""
    own = batch.own
    if all(getattr(batch.params, key, None) == own[key].replace(_AT, first) for key in varying):
        return batch.params.model_copy(update={key: own[key].replace(_AT, at) for key in varying})
    return batch.model.model_validate(_filled(own, at))


def _place(desk: Desk, at: str, zone: str, part: Part) -> Place | None:
    try:
        return place_of(at, zone)
    except PatternError as error:
        key = "at" if "at" in part.entry.plain else "each"
        desk.findings.add("E114", part.entry.at(key), error.what, subject=part.subject, fix=error.fix)
        return None


def _is_new(desk: Desk, device_id: str, part: Part) -> bool:
    first = desk.origins.get(device_id)
    if first is None:
        return True
    spot = first.at("at" if "at" in first.plain else "each")
    where = Say("同一条 each 里", "the same each") if first is part.entry else Say(spot.brief, spot.brief)
    desk.findings.add(
        "E205",
        part.entry.at("at" if "at" in part.entry.plain else "each"),
        Say(f'设备 "{device_id}" 重复,{where.zh} 已经有了', f'device "{device_id}" is repeated, first in {where.en}'),
        subject=part.subject,
        fix=Say(
            '改地址;同一地址有两台同类设备时,用 "name:" 区分', 'change the address; tell two alike apart by "name:"'
        ),
    )
    return False
