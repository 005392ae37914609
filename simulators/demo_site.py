"""Simulators: which ports a configuration uses on this machine, and a copy of it with other ports. No processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from simulators.spec import SimError

_LOOPBACK = ("127.0.0.1", "localhost")
_Loader: type[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Port:
    """One port the demo listens on. ``role``: field | modbus | web | platform | series."""

    role: str
    name: str  # the bus or uplink
    number: int

    @property
    def title(self) -> tuple[str, str]:
        """What it is for, in Chinese and English."""
        return {
            "field": ("现场 MQTT", "field MQTT"),
            "modbus": ("Modbus TCP", "Modbus TCP"),
            "web": ("值班页", "console page"),
            "platform": ("平台 MQTT", "platform MQTT"),
            "series": ("时序库", "time series"),
        }[self.role]


@dataclass(frozen=True, slots=True)
class DemoSite:
    """The configuration the demo runs: the one asked for, or a copy of it in the data directory."""

    config: Path
    data_dir: Path
    ports: tuple[Port, ...]
    is_copy: bool

    def port(self, role: str) -> int:
        """The first port of a role; 0 when the configuration has none."""
        return next((each.number for each in self.ports if each.role == role), 0)


def prepare(config: Path, data_dir: Path, offset: int) -> DemoSite:
    """Read the ports; where they must be shifted or the data lies elsewhere, write a copy of the configuration.

    Raises:
        SimError: no configuration there, or a port would be impossible.
    """
    try:
        gateway, site = _read(config / "gateway.yaml"), _read(config / "site.yaml")
        is_copy = bool(offset) or Path(gateway["gateway"].get("data_dir", "var")) != data_dir
        ports = tuple(_shifted(gateway["gateway"], site, offset))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SimError(
            f"读不懂 {config} 的 gateway.yaml 或 site.yaml({error})。先运行: shouwang check --config {config}",
            f"cannot read gateway.yaml or site.yaml in {config} ({error}). First: shouwang check --config {config}",
        ) from error
    if not is_copy:
        return DemoSite(config, data_dir, ports, is_copy=False)
    copy = data_dir / "config"
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(config, copy)
    gateway["gateway"]["data_dir"] = str(data_dir)
    for name, content in (("gateway.yaml", gateway), ("site.yaml", site)):
        (copy / name).write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return DemoSite(copy, data_dir, ports, is_copy=True)


def _read(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig") as file:
        found = yaml.load(file, _Loader)  # noqa: S506  BaseLoader makes only text, lists and mappings
    return dict(found)


def _shifted(gateway: dict[str, Any], site: dict[str, Any], offset: int) -> Iterator[Port]:
    """Move every port of this machine by ``offset``, in place; yields them as they are then."""

    def move(text: str) -> int:
        number = int(text) + offset
        if not 0 < number <= _LAST_PORT:
            raise SimError(f"没有端口 {number},请换 PORT_OFFSET", f"no port {number}: choose another PORT_OFFSET")
        return number

    for name, bus in (site.get("buses") or {}).items():
        is_mqtt = bus["type"] == "mqtt"
        if bus.get("host") in _LOOPBACK and (is_mqtt or bus["type"].startswith("modbus")):
            number = move(bus.get("port", "1883" if is_mqtt else "502"))
            bus["port"] = str(number)
            yield Port("field" if is_mqtt else "modbus", name, number)
    web = gateway.setdefault("web", {})
    web["port"] = str(move(web.get("port", "8080")))
    yield Port("web", "web", int(web["port"]))
    for name, uplink in (gateway.get("uplinks") or {}).items():
        yield from _uplink(name, uplink, move)


def _uplink(name: str, uplink: dict[str, Any], move: Callable[[str], int]) -> Iterator[Port]:
    if uplink.get("host") in _LOOPBACK:
        number = move(uplink.get("port", "1883"))
        uplink["port"] = str(number)
        yield Port("platform", name, number)
    parts = urlsplit(str(uplink.get("url", "")))
    if parts.hostname in _LOOPBACK:
        number = move(str(parts.port or 80))
        uplink["url"] = urlunsplit(parts._replace(netloc=f"{parts.hostname}:{number}"))
        yield Port("series", name, number)
