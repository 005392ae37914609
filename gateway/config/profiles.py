"""Configuration: profiles/*.yaml, one file per model of device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gateway.config.desk import FIRE_KINDS, Desk, DriverShape, Mould, Profile
from gateway.config.findings import Say, perhaps
from gateway.config.operating import check_valve, read_operate
from gateway.config.privacy import check_privacy, is_personal
from gateway.config.pseudo import PSEUDO
from gateway.config.reporting import read_report
from gateway.config.shapes import PointItem, ProfileItem
from gateway.config.shaping import Part, keys_of, known_keys, shape
from gateway.config.tree import Entry
from gateway.model import AlarmClass

_DAY_S = 86_400
_COMMON = keys_of(ProfileItem)
_POINT = keys_of(PointItem)


def read_profile(desk: Desk, entry: Entry) -> None:
    """Add the profile in ``entry`` to the desk, or say why not."""
    name = str(entry.plain.get("profile") or "")
    subject = Say(f"档案 {name}", f"profile {name}") if name else Say("档案", "profile")
    part = Part(entry, (), subject)
    plain = entry.plain
    if "via" not in plain:  # it says which keys are allowed: without it, those of every driver are
        every = dict.fromkeys(key for each in desk.drivers.values() for key in _own(each.profile))
        plain = known_keys(desk.findings, part, plain, (*_COMMON, *every))
    driver = _driver(desk, plain, part)
    if driver is None:
        desk.unread_profiles.add(name)
        return
    plain = known_keys(desk.findings, part, plain, (*_COMMON, *_own(driver.profile)))
    item = shape(desk.findings, ProfileItem, {k: v for k, v in plain.items() if k in _COMMON}, part)
    params = shape(desk.findings, driver.profile, {k: v for k, v in plain.items() if k not in _COMMON}, part)
    points = _points(desk, driver, plain.get("points"), part)
    before = desk.findings.errors
    if params is not None and points is not None:
        _say_driver(desk, driver, params, points, part)
    if item is None or params is None or points is None:
        desk.unread_profiles.add(str(plain.get("profile") or ""))
        return
    if item.profile in desk.profiles:
        _say_twice(desk, item.profile, part)
        return
    profile = Profile(
        item.profile,
        item.title,
        item.kind,
        item.via,
        item.offline_after,
        tuple(points),
        params,
        entry,
        item.limits or {},
    )
    _check_kind(desk, profile, part)
    _check_supervision(desk, profile, part)
    check_privacy(desk, profile.kind, plain["points"], part)
    check_valve(desk, profile, part)
    _check_walk_test(desk, item, profile, part)
    if desk.findings.errors == before:
        desk.profiles[item.profile] = profile
    else:
        desk.unread_profiles.add(item.profile)


def _own(model: type[BaseModel]) -> list[str]:
    return [key for key in keys_of(model) if key not in _COMMON]


def _driver(desk: Desk, plain: Mapping[str, Any], part: Part) -> DriverShape | None:
    via = plain.get("via")
    if not isinstance(via, str):
        shape(desk.findings, ProfileItem, {k: v for k, v in plain.items() if k in _COMMON}, part)
        return None
    found = desk.via(via)
    if found is None:
        known = sorted({each.via for each in desk.drivers.values()})
        desk.findings.add(
            "E203",
            part.entry.at("via"),
            Say(f'不认识的接入方式 "{via}"', f'unknown via "{via}"'),
            subject=part.subject,
            fix=perhaps(via, known, Say("从可用的接入方式里选一个", "choose one of the known ones")),
            options=known,
        )
    return found


def _points(desk: Desk, driver: DriverShape, plain: Any, part: Part) -> list[Mould] | None:
    if not isinstance(plain, dict):
        return None
    moulds: list[Mould] = []
    is_whole = True
    for name, raw in plain.items():
        made = _point(desk, driver, name, raw, part._replace(path=("points", name)))
        is_whole &= made is not None
        moulds += made or ()
    return moulds if is_whole else None


def _point(desk: Desk, driver: DriverShape, name: str, raw: Any, part: Part) -> list[Mould] | None:
    subject = Say(f"{part.subject.zh} 的点 {name}", f"{part.subject.en}, point {name}")
    part = part._replace(subject=subject)
    if not isinstance(raw, dict):
        shape(desk.findings, PointItem, raw, part)
        return None
    own = keys_of(driver.point)
    plain = known_keys(desk.findings, part, raw, (*_POINT, *(key for key in own if key not in _POINT)))
    item = shape(desk.findings, PointItem, {k: v for k, v in plain.items() if k in _POINT}, part)
    params = shape(desk.findings, driver.point, {k: v for k, v in plain.items() if k in own}, part)
    if item is None or params is None:
        return None
    _check_range(desk, item, part)
    count = item.repeat
    operate = read_operate(desk, item, params.value_type, part)
    moulds = [_mould(name, item, params, index, count) for index in range(count or 1)]
    report = read_report(desk.findings, item.report, moulds[0], part._replace(path=(*part.path, "report")))
    return [each._replace(operate=operate, is_personal=is_personal(name, item), report=report) for each in moulds]


def _mould(name: str, item: PointItem, params: Any, index: int, count: int | None) -> Mould:
    full = f"{name}.{index + 1}" if count else name
    title = item.title or ""
    if count:
        title = title.replace("{n}", str(index + 1)) if "{n}" in title else f"{title} {index + 1}".strip()
    low, high = item.range or (None, None)
    mine = params.nth(index) if count else params
    return Mould(
        name, f"/{full}", full, params.value_type, item.unit or "", item.class_, title, low, high,
        item.writable, item.event, mine,
    )  # fmt: skip


def _check_range(desk: Desk, item: PointItem, part: Part) -> None:
    if item.range and item.range[0] >= item.range[1]:
        desk.findings.add(
            "E107",
            part.entry.at(*part.path, "range"),
            Say("range 的下限不小于上限", "range: the lower end is not below the upper"),
            subject=part.subject,
            fix=Say("写成 [下限, 上限]", "write [lowest, highest]"),
        )


def _say_driver(desk: Desk, driver: DriverShape, params: Any, points: list[Mould], part: Part) -> None:
    by_name: Mapping[str, Any] = {each.name: each.params for each in points}
    for problem in driver.check_profile(params, by_name):
        desk.findings.add(
            problem.code,
            part.entry.at(*problem.where),
            Say(problem.zh, problem.en),
            subject=part.subject,
            fix=Say(problem.fix_zh, problem.fix_en),
        )


def _say_twice(desk: Desk, name: str, part: Part) -> None:
    first = desk.profiles[name].entry.at("profile").brief
    desk.findings.add(
        "E206",
        part.entry.at("profile"),
        Say(f'名称 "{name}" 已在 {first} 用过', f'the name "{name}" is already used in {first}'),
        subject=part.subject,
        fix=Say("换一个名称,或删掉其中一个文件", "choose another name, or delete one of the files"),
    )


def _check_kind(desk: Desk, profile: Profile, part: Part) -> None:
    if profile.kind in PSEUDO:
        desk.findings.add(
            "E111",
            part.entry.at("kind"),
            Say(f'"{profile.kind}" 是网关自带的类别', f'"{profile.kind}" is a kind of the gateway\'s own'),
            subject=part.subject,
            fix=Say("换一个类别,例如 lora-gateway", "choose another kind, such as lora-gateway"),
        )


def _check_supervision(desk: Desk, profile: Profile, part: Part) -> None:
    """A fire detector that has gone silent must be noticed within a day (GB/T 45839 5.5.2)."""
    is_fire = profile.kind in FIRE_KINDS or any(each.alarm_class is AlarmClass.FIRE for each in profile.moulds)
    after = profile.offline_after_s
    if is_fire and after is not None and after > _DAY_S:
        desk.findings.add(
            "E501",
            part.entry.at("offline_after"),
            Say("火灾探测设备超过 24 小时没有消息才报失联", "a fire detector may be silent for more than 24 hours"),
            subject=part.subject,
            fix=Say("改为 24h 或更短(GB/T 45839 5.5.2)", "write 24h or less (GB/T 45839 5.5.2)"),
        )
    if is_fire and after is None and profile.via == "mqtt":
        desk.findings.add(
            "W501",
            part.entry.at("profile"),
            Say(
                "没有写 offline_after:设备失联时不会有人知道",
                "no offline_after: nobody will notice when the device is lost",
            ),
            subject=part.subject,
            fix=Say('加一行 "offline_after: 12h"(至多 24h)', 'add a line "offline_after: 12h" (24h at most)'),
        )


def _check_walk_test(desk: Desk, item: ProfileItem, profile: Profile, part: Part) -> None:
    names = {each.base for each in profile.moulds} | {each.name for each in profile.moulds}
    for index, step in enumerate(item.walk_test or ()):
        if step.expect.point not in names:
            desk.findings.add(
                "E209",
                part.entry.at("walk_test", index, "expect", "point"),
                Say(f'没有点 "{step.expect.point}"', f'there is no point "{step.expect.point}"'),
                subject=part.subject,
                fix=perhaps(step.expect.point, names, Say("写本档案里的点名", "name a point of this profile")),
                options=sorted({each.base for each in profile.moulds}),
            )
