"""Simulators: what one of many gateways sends to its cloud side: own JSON and lines of time series. Pure.

How much and how often comes from a measurement of the real gateway (`benchmarks.fleet`, `fleet_measured.json`); formats
are those of `docs/schema` and InfluxDB's reference, written here a second time on purpose. Sockets: `fleet_wire`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from simulators.spec import SimError

MEASURED = Path(__file__).with_name("fleet_measured.json")
EPOCH = "f1ee7"
HEARTBEAT_S = 60.0  # as the bridge's line shouwang_bridge
_ROOMS = 40  # in one building and unit of the fleet's addresses

# Shares of 9,000 devices as in a community of 3,000 flats; points with their usual range.
_KINDS: tuple[tuple[str, float, tuple[tuple[str, float, float], ...]], ...] = (
    ("smoke", 0.40, (("battery", 60, 100), ("alarm", 0, 0))),
    ("gas", 0.15, (("lel", 0, 3), ("alarm", 0, 0))),
    ("door", 0.20, (("contact", 0, 1),)),
    ("water-meter", 0.10, (("flow", 0, 0.4),)),
    ("ebike-charger", 0.10, (("power.1", 0, 250), ("power.2", 0, 250), ("temp", 15, 45))),
    ("sos", 0.05, (("battery", 60, 100),)),
)
_FLAGS = frozenset({"alarm", "contact"})
_CLASSES = (("fault", "device-lost", 0.55), ("warning", "socket-hot", 0.25), ("security", "door-held", 0.12),
            ("sos", "sos-button", 0.05), ("gas", "gas-alarm", 0.02), ("fire", "smoke-fire", 0.01))  # fmt: skip
_VERBS = ("raised", "taken", "returned", "closed")


@dataclass(frozen=True)
class Behaviour:
    """What one gateway does, by second."""

    devices: int
    readings_per_s: float
    messages_per_s: float
    posts_per_s: float
    alarms_per_h: float
    window: int = 100  # messages without a PUBACK, as the bridge's

    @property
    def readings_per_message(self) -> float:
        """Readings of one telemetry message."""
        return self.readings_per_s / self.messages_per_s


def measured() -> dict[str, Any]:
    """The file that `benchmarks.fleet` wrote.

    Raises:
        SimError: it is missing or damaged.
    """
    try:
        found: dict[str, Any] = orjson.loads(MEASURED.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SimError(f"没有测量结果 {MEASURED.name}:{error}", f"no measurement {MEASURED.name}: {error}") from error
    return found


def behaviour(found: Mapping[str, Any], alarms_per_h: float = 20.0) -> Behaviour:
    """As it was measured."""
    return Behaviour(
        devices=int(found["devices"]),
        readings_per_s=float(found["readings_per_s"]),
        messages_per_s=float(found["mqtt"]["messages_per_s"]),
        posts_per_s=float(found["series"]["posts_per_s"]),
        alarms_per_h=alarms_per_h,
    )


@dataclass(frozen=True)
class Point:
    """One point of one device, with the beginning of its line."""

    id: str
    start: str
    least: float
    most: float
    is_flag: bool


class Box:
    """One gateway. The same seed and id send the same values at the same instants."""

    def __init__(self, gateway_id: str, how: Behaviour, seed: int) -> None:
        self.id = gateway_id
        self.how = how
        self.counts = {"readings": 0, "messages": 0, "alarms": 0, "lines": 0}
        self._chance = random.Random(f"{seed}/{gateway_id}")
        self._points = _points(gateway_id, how.devices)
        self._open: list[tuple[str, str, str, int]] = []  # class, rule, device, version of alarms that go on
        self._next = 0
        self._seq = 0
        self._alarms = 0
        self._readings_due = self._messages_due = 0.0
        self._alarm_in_s = self._wait()

    def _wait(self) -> float:
        events_per_s = self.how.alarms_per_h * len(_VERBS) / 3600
        return self._chance.expovariate(events_per_s) if events_per_s else float("inf")

    def readings(self, passed_s: float, now_ms: int) -> list[list[Any]]:
        """What its devices have reported in the time since the last call, in the order of arrival."""
        self._readings_due += passed_s * self.how.readings_per_s
        count = int(self._readings_due)
        self._readings_due -= count
        rows = []
        for _ in range(count):
            point = self._points[self._next % len(self._points)]
            self._next += 1
            rows.append([point.id, self._value(point), now_ms, now_ms, "good"])
        self.counts["readings"] += count
        return rows

    def _value(self, point: Point) -> bool | float:
        if point.is_flag:
            return point.most > 0 and self._chance.random() < 0.5
        return round(self._chance.uniform(point.least, point.most), 1)

    def messages(self, rows: list[list[Any]], passed_s: float) -> list[bytes]:
        """The rows as telemetry messages, as many as the bridge makes of them."""
        self._messages_due += passed_s * self.how.messages_per_s
        count = min(max(1, int(self._messages_due)), len(rows))
        self._messages_due = max(0.0, self._messages_due - count)
        made = []
        for index in range(count):
            part = rows[index * len(rows) // count : (index + 1) * len(rows) // count]
            self._seq += 1
            made.append(orjson.dumps({"v": 1, "id": f"{self.id}/{EPOCH}/{self._seq}/0", "r": part}))
        self.counts["messages"] += count
        return made

    def lines(self, rows: list[list[Any]]) -> list[bytes]:
        """The rows as lines."""
        first = self._next - len(rows)
        made = []
        for index, row in enumerate(rows):
            point, value = self._points[(first + index) % len(self._points)], row[1]
            text = str(value).lower() if point.is_flag else repr(float(value))
            made.append(f"{point.start}={text} {row[2]}000000".encode())
        self.counts["lines"] += len(rows)
        return made

    def presence(self, now_ms: int) -> list[bytes]:
        """What a bridge says at its start: who is there, and that the box is well."""
        at = f"{now_ms}000000"
        site = f"site={self.id}"
        own = [
            f"uplink,device=uplink/platform,{site} online=true {at}",
            f"uplink,device=uplink/series,{site} online=true {at}",
            f"line,device=line/field,{site} online={str(self._chance.random() > 0.02).lower()} {at}",
            f"channel,device=channel/duty.console,{site} online=true {at}",
            f"gateway,device=gateway/box,{site} time_ok=true {at}",
            f"gateway,device=gateway/box,{site} disk_ok=true {at}",
        ]
        heads = {each.start.rpartition(" ")[0]: each for each in self._points}
        own += [f"{head} online={str(self._chance.random() > 0.005).lower()} {at}" for head in heads]
        return [self.heartbeat(now_ms), *(line.encode() for line in own)]

    def heartbeat(self, now_ms: int) -> bytes:
        """The bridge's sign of life."""
        return f"shouwang_bridge,site={self.id} up=1i {now_ms}000000".encode()

    def alarms(self, passed_s: float, now_ms: int, now_text: str) -> list[tuple[bytes, bytes]]:
        """Alarm events that are due: (message, line)."""
        self._alarm_in_s -= passed_s
        made = []
        while self._alarm_in_s <= 0:
            made.append(self.alarm(now_ms, now_text))
            self._alarm_in_s += self._wait()
        return made

    def alarm(self, now_ms: int, now_text: str) -> tuple[bytes, bytes]:
        """The next event: of an alarm that goes on, or of a new one."""
        if self._open and self._chance.random() < 0.75:
            alarm_class, rule, point, version = self._open.pop(self._chance.randrange(len(self._open)))
        else:
            weights = [each[2] for each in _CLASSES]
            alarm_class, rule, _ = self._chance.choices(_CLASSES, weights)[0]
            self._alarms += 1
            point, version = self._points[self._chance.randrange(len(self._points))].id, 0
        version += 1
        verb = _VERBS[version - 1]
        is_open = version < len(_VERBS)
        if is_open:
            self._open.append((alarm_class, rule, point, version))
        self.counts["alarms"] += 1
        device = point.rpartition("/")[0]
        alarm_id = f"{rule}:{point}:{self._alarms}"
        line = (
            f"alarm_event,class={alarm_class},device={device},point={point},rule={rule},site={self.id} "
            f'id="{alarm_id}#{version}",kind="{verb}",version={version}i,actor="值班",open={str(is_open).lower()} '
            f"{now_ms}{version:06d}"
        )
        return self._alarm_message(alarm_id, version, verb, now_text, alarm_class), line.encode()

    def _alarm_message(self, alarm_id: str, version: int, verb: str, now_text: str, alarm_class: str) -> bytes:
        rule, point, occurrence = alarm_id.split(":")
        alarm = {
            "id": alarm_id, "rule_id": rule, "point_id": point, "device_id": point.rpartition("/")[0],
            "occurrence": int(occurrence), "alarm_class": alarm_class, "title": rule,
            "place": point.partition("/")[0], "raised_at": now_text, "version": version,
            "condition": "active" if version < 3 else "returned",
            "handling": ("new", "taken", "taken", "closed")[version - 1],
            "is_latched": False, "is_open": version < len(_VERBS),
        }  # fmt: skip
        event = {
            "alarm_id": alarm_id, "version": version, "kind": verb, "at": now_text,
            "actor": {"name": "值班", "role": "duty", "via": "console"}, "data": {},
        }  # fmt: skip
        return orjson.dumps(
            {"v": 1, "gateway": self.id, "epoch": EPOCH, "id": f"{alarm_id}#{version}", "event": event, "alarm": alarm}
        )

    def state(self, *, is_online: bool) -> bytes:
        """The retained word about the session."""
        return orjson.dumps({"v": 1, "gateway": self.id, "state": "online" if is_online else "offline"})


def _points(gateway_id: str, devices: int) -> list[Point]:
    points = []
    for kind, share, of in _KINDS:
        for number in range(round(devices * share)):
            building, room = divmod(number, _ROOMS)
            address = f"{building + 1}-1-{room // 4 + 1:02}-{room // 4 + 1:02}{room % 4 + 1:02}"
            device = f"{address}/{kind}"
            head = f"{kind},building={building + 1},device={device},site={gateway_id}"
            points += [Point(f"{device}/{name}", f"{head} {name}", low, high, name in _FLAGS) for name, low, high in of]
    return points
