"""A flood: 300 devices are lost within five seconds, a fire breaks out in the middle. What does the duty officer see?

A real gateway on a real broker; a console on its event stream. Counted are the alarms that stood on the console at
any moment without being listed under another one, and the time from the fire's message to the fire being first on
the list. The devices are spread over as many buildings as given: with few, each building is a group of its own.

``python -m benchmarks.flood [--runs 3] [--buildings 6]``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks import systems, wire
from benchmarks.harness import BenchError, Lab, free_port, wait_until
from benchmarks.report import Figure, Report, Spread, show

DEVICES = 300
WITHIN_S = 5.0
LIMIT_S = 30.0
RANKS = ("fire", "gas", "sos", "security", "warning", "supervisory", "fault", "maintenance")
HEADERS = {"X-Shouwang": "1"}

_PROFILE = """
profile: lamp
title: 烟感
kind: smoke
via: mqtt
topic: "zigbee2mqtt/{serial}"
availability: {topic: "zigbee2mqtt/{serial}/availability", from: $.state}
offline_after: 12h
points:
  alarm: {from: $.alarm, type: bool, class: fire}
"""

_RULES = """
rules:
  - rule: smoke-fire
    title: 烟感火警
    when: {kind: smoke, point: alarm, is: true}
    raise: {class: fire, latch: true, text: 烟感报警}
    tell: [{to: duty, by: [console]}]
  - rule: device-lost
    title: 设备失联
    when: {point: online, is: false}
    raise: {class: fault, text: 设备失联}
    group: [line, cabinet, building]
    tell: [{to: duty, by: [console]}]
"""


def _write(folder: Path, field_port: int, web_port: int, buildings: int) -> Path:
    config = folder / "config"
    for each in ("devices", "profiles", "rules"):
        (config / each).mkdir(parents=True)
    (config / "gateway.yaml").write_text(
        f"gateway: {{id: flood, data_dir: {folder / 'data'}, web: {{host: 127.0.0.1, port: {web_port}}}}}\n"
    )
    (config / "site.yaml").write_text(
        f"site: 测量小区\nbuses:\n  field: {{type: mqtt, host: 127.0.0.1, port: {field_port}}}\n"
    )
    (config / "notify.yaml").write_text('recipients: {duty: {title: 值班室, console: ""}}\n')
    (config / "profiles" / "lamp.yaml").write_text(_PROFILE)
    (config / "rules" / "all.yaml").write_text(_RULES)
    lines = [f'  - {{at: "{_address(n, buildings)}", profile: lamp, bus: field, serial: L{n}}}' for n in range(DEVICES)]
    (config / "devices" / "all.yaml").write_text("devices:\n" + "\n".join(lines) + "\n")
    return config


def _address(n: int, buildings: int) -> str:
    return f"{1 + n % buildings}-1-01-{n:04d}"


@dataclass(eq=False)
class Console(threading.Thread):
    """What is on the screen of somebody who watches."""

    url: str
    code: str
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    stood_alone: set[str] = field(default_factory=set)  # ids that were ever seen, not under another alarm
    first_fire_s: float = 0.0
    is_listening: bool = False

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Log in and follow the stream until the process ends."""
        with httpx.Client(base_url=self.url, headers={**HEADERS, "Origin": self.url}, timeout=LIMIT_S) as client:
            account = {"code": self.code, "name": "值班员", "password": "flood-2026-bench"}
            client.post("/api/v1/setup", json=account).raise_for_status()
            with contextlib.suppress(httpx.TransportError):  # the gateway has stopped
                while True:  # "reload" asks for a new snapshot
                    self._follow(client)

    def _follow(self, client: httpx.Client) -> None:
        kind = ""
        with client.stream("GET", "/api/v1/stream") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == "reload":
                    return
                elif line.startswith("data: ") and kind in {"snapshot", "change"}:
                    self._take(kind, json.loads(line.removeprefix("data: "))["alarms"])

    def _take(self, kind: str, alarms: list[dict[str, Any]]) -> None:
        if kind == "snapshot":
            self.alarms = {}
        for each in alarms:
            if each["is_open"]:
                self.alarms[each["id"]] = each
            else:
                self.alarms.pop(each["id"], None)
        self.is_listening = True
        alone = [each for each in self.alarms.values() if not each["suppressed_by"]]
        self.stood_alone.update(each["id"] for each in alone)
        first = min(alone, key=lambda each: (RANKS.index(each["class"]), each["raised_at"]), default=None)
        if first is not None and first["class"] == "fire" and not self.first_fire_s:
            self.first_fire_s = time.perf_counter()


def _measure(buildings: int) -> tuple[float, float, float]:
    """(annunciated, seconds to the fire being first, left on the screen)."""
    with Lab() as lab:
        port, web = lab.broker(), free_port()
        gateway = systems.start_gateway(lab, _write(lab.dir, port, web, buildings))
        code = lab.dir / "data" / "setup-code"
        wait_until(code.exists, LIMIT_S, "the gateway starts")
        url = f"http://127.0.0.1:{web}"
        wait_until(lambda: _is_up(url), LIMIT_S, f"the line is up: {gateway.tail()}")
        console = Console(url, code.read_text().strip())
        console.start()
        wait_until(lambda: console.is_listening, LIMIT_S, "the console listens")
        link, _ = wire.connect(port, "plant")
        for n in range(DEVICES):
            link.sendall(_message(n, "zigbee2mqtt/L{}/availability", b'{"state":"online"}'))
        time.sleep(2.0)
        lit_s = 0.0
        for n in range(DEVICES):
            link.sendall(_message(n, "zigbee2mqtt/L{}/availability", b'{"state":"offline"}'))
            if n == DEVICES // 2:
                lit_s = time.perf_counter()
                link.sendall(_message(7, "zigbee2mqtt/L{}", b'{"alarm":true}'))
            time.sleep(WITHIN_S / DEVICES)
        wait_until(lambda: len(console.alarms) > DEVICES - 1, LIMIT_S, "every loss is recorded")
        wait_until(lambda: console.first_fire_s > 0, LIMIT_S, "the fire is on the screen")
        link.close()
        left = sum(not each["suppressed_by"] for each in console.alarms.values())
        return float(len(console.stood_alone) - 1), console.first_fire_s - lit_s, float(left)


def _is_up(url: str) -> bool:
    try:
        return 'bus_up{bus="field"} 1.0' in httpx.get(f"{url}/metrics", timeout=1).text
    except httpx.TransportError:
        return False


def _message(n: int, topic: str, payload: bytes) -> bytes:
    return wire.encode_publish(topic.format(n), payload)


def run(runs: int = 3, buildings: int = 6) -> Report:
    """``runs`` floods."""
    report = Report(f"Flood: {DEVICES} devices in {buildings} buildings lost in {WITHIN_S:g} s, a fire in the middle")
    if why := systems.is_available(systems.System.OURS):
        raise BenchError(why)
    found = [_measure(buildings) for _ in range(runs)]
    alone, first, left = (Spread(each) for each in zip(*found, strict=True))
    report.figures = [
        Figure("annunciated, without the fire", "", "≤ 10", alone, holds=lambda f: _most(f) <= 10, form=".0f"),
        Figure("fire first on the screen after", "s", "≤ 2", first, holds=lambda f: _most(f) <= 2.0),
        Figure("lines on the screen afterwards, with the fire", "", "", left, form=".0f"),
    ]
    return report


def _most(figure: Figure) -> float:
    return max(figure.ours.runs) if figure.ours else float("inf")


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--buildings", type=int, default=6)
    given = options.parse_args()
    show(run(given.runs, given.buildings))


if __name__ == "__main__":
    main()
