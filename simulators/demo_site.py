"""Simulators: which ports a configuration uses on this machine, and the copy of it that the demo runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from simulators.processes import is_taken
from simulators.spec import SimError

_LOOPBACK = ("127.0.0.1", "localhost")
_Loader: type[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_LAST_PORT = 65_535
_CREDENTIAL = re.compile(r"\{credential: [^}#\n]*\}")
_OFFSET_STEP = 100


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
    """The configuration the demo runs: a copy, in the data directory, of the one asked for."""

    config: Path
    data_dir: Path
    ports: tuple[Port, ...]
    offset: int = 0

    @property
    def page(self) -> str:
        """Where the console is."""
        return f"http://127.0.0.1:{self.port('web')}/"

    def port(self, role: str) -> int:
        """The first port of a role; 0 when the configuration has none."""
        return next((each.number for each in self.ports if each.role == role), 0)


def prepare(config: Path, data_dir: Path, offset: int, *, broker_kind: str = "embedded") -> DemoSite:
    """Write a copy of the configuration into the data directory, with ports, data and broker as the demo has them.

    Raises:
        SimError: no configuration there, or a port would be impossible.
    """
    copy = data_dir / "config"
    if config.resolve() in (copy.resolve(), *copy.resolve().parents):
        raise SimError(
            f"演示会重写 {copy},它不能是配置目录 {config} 或在它里面。换一个 --config 或 --data",
            f"the demo writes {copy} anew: it cannot be, or be inside, {config}. Choose another --config or --data",
        )
    try:
        gateway, site = _read(config / "gateway.yaml"), _read(config / "site.yaml")
        ports = tuple(_shifted(gateway["gateway"], site, offset))
        if broker_kind == "embedded":
            _expect_unmarked_repeats(site)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SimError(
            f"读不懂 {config} 的 gateway.yaml 或 site.yaml({error})。先运行: shouwang check --config {config}",
            f"cannot read gateway.yaml or site.yaml in {config} ({error}). First: shouwang check --config {config}",
        ) from error
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(config, copy)
    gateway["gateway"]["data_dir"] = str(data_dir)
    for name, content in (("gateway.yaml", gateway), ("site.yaml", site)):
        (copy / name).write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    _keep_messages_here(copy / "notify.yaml", data_dir / "messages.url")
    return DemoSite(copy, data_dir, ports, offset)


def _expect_unmarked_repeats(site: dict[str, Any]) -> None:
    """The embedded broker sends again with DUP=0: on its buses the gateway must not wait for the mark."""
    for bus in (site.get("buses") or {}).values():
        if bus["type"] == "mqtt" and bus.get("host") in _LOOPBACK:
            bus["marks_repeats"] = "false"


def _keep_messages_here(notify: Path, url: Path) -> None:
    """The demo has nobody's telephone: what would go out by a systemd credential goes to the system's log."""
    if notify.exists():
        url.write_text("syslog://\n", encoding="utf-8")
        text = notify.read_text(encoding="utf-8")
        reference = "{file: " + json.dumps(str(url)) + "}"
        notify.write_text(_CREDENTIAL.sub(lambda _: reference, text), encoding="utf-8")


def free_offset(ports: Sequence[Port], offset: int) -> int | None:
    """Another offset, at which every one of these ports (now at ``offset``) is free; None: there is none."""
    for more in range(_OFFSET_STEP, _LAST_PORT, _OFFSET_STEP):
        moved = [each.number + more for each in ports]
        if max(moved) > _LAST_PORT:
            return None
        if not any(is_taken(each) for each in moved):
            return offset + more
    return None


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
