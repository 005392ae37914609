"""Simulators: reads the installer's YAML into the devices' view of it.

A loader of its own, on purpose: the gateway's loader is what is tested. It trusts files that `shouwang check` accepts
and says so when it cannot read them; judging configurations is the gateway's business.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from simulators import profiles
from simulators.addresses import AddressError, expand
from simulators.spec import Availability, SetTopic, SimBus, SimDevice, SimError, SimPoint, SimSite

_Loader: type[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar stays text: "0301" keeps its zero


def load(directory: Path) -> SimSite:
    """The site described in ``directory``.

    Raises:
        SimError: a file is missing or cannot be understood.
    """
    if not (directory / "site.yaml").is_file():
        raise SimError(f"{directory} 里没有 site.yaml", f"no site.yaml in {directory}")
    try:
        return _load(directory)
    except (yaml.YAMLError, AddressError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise SimError(
            f"模拟器读不懂 {directory} 的配置({detail})。先运行: shouwang check --config {directory}",
            f"the simulator cannot read {directory} ({detail}). First run: shouwang check --config {directory}",
        ) from error


def _load(directory: Path) -> SimSite:
    site = _read(directory / "site.yaml")
    gateway = _read(directory / "gateway.yaml")["gateway"] if (directory / "gateway.yaml").is_file() else {}
    known = {
        raw["profile"]: raw for path in sorted((directory / "profiles").glob("*.yaml")) for raw in [_read(path)] if raw
    }
    shapes = {name: profiles.points(raw) for name, raw in known.items()}
    devices: dict[str, SimDevice] = {}
    for entry in _entries(directory, site):
        for device in _devices(entry, known[entry["profile"]], shapes[entry["profile"]]):
            devices[device.id] = device
    return SimSite(
        title=str(site.get("site", "")),
        data_dir=str(gateway.get("data_dir") or "var"),
        buses={name: _bus(directory, name, raw) for name, raw in (site.get("buses") or {}).items()},
        devices=devices,
    )


def _read(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig") as file:
        found = yaml.load(file, _Loader)  # noqa: S506  BaseLoader makes only text, lists and mappings
    return found if isinstance(found, dict) else {}


def _entries(directory: Path, site: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from site.get("devices") or ()
    for path in sorted((directory / "devices").glob("*.yaml")):
        yield from _read(path).get("devices") or ()


def _bus(directory: Path, name: str, raw: Mapping[str, Any]) -> SimBus:
    tls = raw.get("tls") or {}
    files = {key: str(directory / tls[key]) for key in ("ca", "cert", "key") if tls.get(key)}
    default = 1883 if raw["type"] == "mqtt" else 502
    port = raw.get("port", str(default))
    return SimBus(
        id=name,
        type=raw["type"],
        host=raw.get("host", ""),
        port=int(port) if str(port).isdecimal() else 0,
        username=_secret(directory, raw.get("username", "")),
        password=_secret(directory, raw.get("password", "")),
        **files,
    )


def _secret(directory: Path, raw: Any) -> str:
    """A plain text, or ``{file: path}`` / ``{env: NAME}``."""
    if isinstance(raw, Mapping):
        if "file" in raw:
            return (directory / str(raw["file"])).read_text(encoding="utf-8").strip()
        return os.environ.get(str(raw["env"]), "")
    return str(raw)


def _devices(
    entry: Mapping[str, Any], profile: Mapping[str, Any], shape: Mapping[str, SimPoint]
) -> Iterator[SimDevice]:
    addresses = [entry["at"]] if "at" in entry else expand(entry["each"])
    behaviour = profiles.behaviour(profile, shape)
    for at in addresses:
        words = {"at": at, "serial": entry.get("serial", "").replace("{at}", at)}
        yield SimDevice(
            id=f"{at}/{entry.get('name') or profile['kind']}",
            at=at,
            kind=profile["kind"],
            title=str(entry.get("title") or profile.get("title", "")).replace("{at}", at),
            bus=entry["bus"],
            profile=profile["profile"],
            serial=words["serial"],
            points={name: _placed(point, words) for name, point in shape.items()},
            behaviour=behaviour,
            topic=_filled(profile.get("topic", ""), words),
            is_text=profile.get("format") == "text",
            availability=_availability(profile.get("availability"), words),
            time_path=profiles.json_path(profile.get("time", "$")),
            each_path=profiles.json_path(profile["each"]) if "each" in profile else None,
            serial_path=profiles.json_path(profile.get("device_from", "$")),
            unit=int(entry.get("unit", "0")),
            zone=str(entry.get("zone", "")),
        )


def _placed(point: SimPoint, words: Mapping[str, str]) -> SimPoint:
    if point.set_topic is None:
        return point
    target = SetTopic(_filled(point.set_topic.topic, words), _filled_in(point.set_topic.payload, words))
    return dataclasses.replace(point, set_topic=target)


def _availability(raw: Mapping[str, str] | None, words: Mapping[str, str]) -> Availability | None:
    if not raw:
        return None
    path = profiles.json_path(raw.get("from", "$"))
    return Availability(_filled(raw["topic"], words), path, raw.get("online", "online"))


def _filled_in(template: Any, words: Mapping[str, str]) -> Any:
    if isinstance(template, dict):
        return {key: _filled_in(each, words) for key, each in template.items()}
    return _filled(template, words) if isinstance(template, str) else template


def _filled(template: str, words: Mapping[str, str]) -> str:
    for key, text in words.items():
        template = template.replace(f"{{{key}}}", text)
    return template
