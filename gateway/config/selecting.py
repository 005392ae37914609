"""Configuration: does ``only:`` of an uplink name what is there? A misspelt kind would send nothing, silently.

Likewise uplinks that throw each other out, the certificate of another gateway, and commands of which nothing can ever
be done.

What passes is `cloud_bridge.selection`; the model of ``only:`` is the uplinks' own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from gateway.config.desk import Desk
from gateway.config.findings import DEFINED, Say, perhaps
from gateway.config.shaping import Part
from gateway.config.tree import Entry
from gateway.model import Uplink
from gateway.x509 import gateway_of


def check_only(desk: Desk, uplinks: Iterable[Uplink], entry: Entry | None) -> None:
    """Judge the names in ``only:`` of each uplink, once every device is known."""
    if entry is None or desk.is_partial or desk.findings.errors:
        return
    for uplink in uplinks:
        only = getattr(uplink.params, "only", None)
        if only is None:
            continue
        subject = Say(f"上行 {uplink.id}", f"uplink {uplink.id}")
        part = Part(entry, ("gateway", "uplinks", uplink.id, "only"), subject)
        say = partial(_check_names, desk, part)
        kinds = {*desk.by_kind, *(each.kind for each in desk.profiles.values())}
        say("kinds", only.kinds or (), known=kinds, what=Say("设备类别", "kind of device"))
        buildings = {each.place.building for each in desk.devices.values() if each.bus_id}
        say("buildings", only.buildings or (), known=buildings, what=Say("楼栋", "building"))
        _check_points(desk, only.points or (), part)


_SESSIONS = ("mqtt", "thingsboard", "sparkplug")  # a broker lets one connection of a client id in


def check_sessions(desk: Desk, site_id: str, uplinks: Iterable[Uplink], entry: Entry | None) -> None:
    """Two uplinks with one client id at one broker would throw each other out for ever. And idle commands."""
    if entry is None:
        return
    seen: dict[tuple[str, int, str], str] = {}
    for uplink in uplinks:
        part = Part(entry, ("gateway", "uplinks", uplink.id), Say(f"上行 {uplink.id}", f"uplink {uplink.id}"))
        _check_commands(desk, uplink, part)
        _check_account(desk, site_id, uplink, part)
        if uplink.type in _SESSIONS:
            params: Any = uplink.params
            port = params.port or (1883 if params.is_plaintext else 8883)
            key = (params.host.lower(), port, params.client_id or _default_id(site_id, uplink))
            if other := seen.get(key):
                _same_client(desk, part, other)
            seen.setdefault(key, uplink.id)


def _default_id(site_id: str, uplink: Uplink) -> str:
    """As the uplinks make it, as far as it tells one from another."""
    if uplink.type == "sparkplug":
        return f"shouwang-spb-{getattr(uplink.params, 'node', '') or site_id}"
    return f"shouwang-{site_id}"


def _same_client(desk: Desk, part: Part, other: str) -> None:
    desk.findings.add(
        "W410",
        part.entry.at(*part.path),
        Say(
            f"与上行 {other} 在同一个平台用同一个 client_id,会互相踢下线",
            f"the same client_id at the same platform as uplink {other}: each throws the other out",
        ),
        subject=part.subject,
        fix=Say("给其中一个写 client_id: 另一个名字", "give one of them a client_id of its own"),
    )


def _check_account(desk: Desk, site_id: str, uplink: Uplink, part: Part) -> None:
    """Where certificates are the accounts, some brokers acknowledge what another's may not say, and throw it away."""
    cert, owner = str(getattr(getattr(uplink.params, "tls", None), "cert", "")), ""
    with suppress(OSError, ValueError):  # `outside` says what is wrong with the file
        owner = gateway_of(Path(cert)) if cert else ""
    if owner in ("", site_id):
        return
    desk.findings.add(
        "W412",
        part.entry.at(*part.path, "tls", "cert"),
        Say(
            f"证书是网关 {owner} 的,本机编号是 {site_id}:平台可能照样应答却全部丢掉",
            f"the certificate is of gateway {owner} and this is {site_id}: the platform may answer and drop it all",
        ),
        subject=part.subject,
        fix=Say(f"换成 {site_id} 的证书,或改 gateway.id", f"use the certificate of {site_id}, or change gateway.id"),
    )


def _check_commands(desk: Desk, uplink: Uplink, part: Part) -> None:
    commands = getattr(uplink.params, "commands", None)
    if commands is None:
        return
    is_operating = any(verb.value == "operate" for verb in commands.verbs)
    if commands.verbs and (not is_operating or commands.points):
        return
    desk.findings.add(
        "W411",
        part.entry.at(*part.path, "commands"),
        Say("写了 operate 却没有写 points,平台什么点也操作不了", "operate without points: no point can be operated")
        if is_operating
        else Say("commands 里没有 verbs,平台什么也不能做", "commands without verbs: the platform may do nothing"),
        subject=part.subject,
        fix=Say('例如 points: ["*/door/unlock"]', 'for example points: ["*/door/unlock"]')
        if is_operating
        else Say("例如 verbs: [take, note, close]", "for example verbs: [take, note, close]"),
    )


def _check_names(desk: Desk, part: Part, key: str, names: Sequence[str], *, known: Collection[str], what: Say) -> None:
    for index, name in enumerate(names):
        if name not in known:
            options = sorted(known)
            desk.findings.add(
                "E218",
                part.entry.at(*part.path, key, index),
                Say(f'没有{what.zh} "{name}",什么都不会上送', f'there is no {what.en} "{name}": nothing goes up'),
                subject=part.subject,
                fix=perhaps(name, options, Say("写小区里有的", "write one that there is")),
                options=options,
                options_label=DEFINED,
            )


def _check_points(desk: Desk, globs: Sequence[str], part: Part) -> None:
    for index, glob in enumerate(globs):
        fits = re.compile(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL).fullmatch
        if not any(fits(point.id) for device in desk.devices.values() for point in device.points):
            desk.findings.add(
                "W218",
                part.entry.at(*part.path, "points", index),
                Say(f'没有点符合 "{glob}"', f'no point fits "{glob}"'),
                subject=part.subject,
                fix=Say(
                    "点的全名是 地址/设备/点,例如 3-2-03-0301/smoke/battery;* 代表任意文字,例如 */smoke/battery",
                    "a point is address/device/name, such as 3-2-03-0301/smoke/battery; * is any text",
                ),
            )
