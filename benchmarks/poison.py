"""The poison test: platforms that choke on one row, or misbehave for a while; each costs time, and nothing else.

One gateway under load forwards to many platforms at once, each a stand-in that does what no server does on demand.
For those that refuse a poisonous reading and a poisonous alarm, exactly the rows with these must have been put
aside and shown, everything else must have arrived. For those that are ill for a while nothing may be put aside.
Ends with 1 unless every platform holds.

``python -m benchmarks.poison [--seconds 20] [--rate 20]``
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from benchmarks import outbox, site, systems, wire
from benchmarks.crash_field import SCALE, Field
from benchmarks.crash_verdict import judge_alarms
from benchmarks.harness import HANG_S, BenchError, Lab, wait_until, wait_while_moving
from benchmarks.outage_verdict import by_id
from gateway.model import Lane
from gateway.store.database import BRIDGE_FILE, open_reader
from simulators.cloud_mqtt import CloudMqtt
from simulators.timeseries import TimeSeries

POISON_VALUE = -7777.25
POISON_ROOM = site.address(499)
POISON = (b"-7777.25", f'{POISON_ROOM}/smoke/alarm:1#1"'.encode())  # the alarm's first event; later ones wait for it
ALARMS_PER_S = 0.5
ILL_FROM_S = 2.0
ILL_S = 12.0
ANSWER_S = 2
_PUBACK_BYTES = 4
_SPARE_ROOM = 480  # and downwards: no other alarm is from there
_ONE_MORE_S = 3.0
_MOST_MORE = 100
REFUSING = ("close", "refuse", "reset", "garbage", "silent")  # MQTT: one row
ILL = ("withhold", "slow", "half_close", "stall", "deaf")  # MQTT: everything, for a while
HTTP_ILL = ("busy", "broken", "stall", "cut", "unauthorized")


class Case(NamedTuple):
    """One platform."""

    name: str
    mode: str
    is_http: bool
    has_poison: bool  # else: ill for a while


def cases() -> list[Case]:
    """Every platform, a healthy one of each kind first."""
    return [
        Case("mqtt-healthy", "ok", is_http=False, has_poison=False),
        Case("http-healthy", "ok", is_http=True, has_poison=False),
        *(Case(f"mqtt-{mode}", mode, is_http=False, has_poison=True) for mode in REFUSING),
        Case("http-refuse-line", "ok", is_http=True, has_poison=True),
        Case("http-half-accept", "partial", is_http=True, has_poison=True),
        *(Case(f"mqtt-{mode}", mode, is_http=False, has_poison=False) for mode in ILL),
        *(Case(f"http-{mode}", mode, is_http=True, has_poison=False) for mode in HTTP_ILL),
    ]


@dataclass
class Stand:
    """A platform and what it took."""

    case: Case
    platform: CloudMqtt | TimeSeries
    told: list[tuple[str, bytes]] = field(default_factory=list)
    lines: set[str] = field(default_factory=set)

    async def start(self) -> None:
        """Listen."""
        if isinstance(self.platform, CloudMqtt):
            self.platform.on_taken = lambda topic, payload: self.told.append((topic, payload))
        else:
            self.platform.on_taken = self.lines.add
        await self.platform.start()

    def yaml(self) -> str:
        """Its uplink."""
        port = self.platform.port
        what = (
            f"type: influxdb, url: 'http://127.0.0.1:{port}', bucket: b, org: o, timeout: {ANSWER_S}s"
            if self.case.is_http
            else f"type: mqtt, host: 127.0.0.1, port: {port}, answer: {ANSWER_S}s"
        )
        return f"    {self.case.name}: {{{what}}}\n"

    def numbers(self) -> set[int]:
        """The readings that it took."""
        if self.case.is_http:
            return {_line_number(line) for line in self.lines if line.startswith("env,")}
        first, _, _ = by_id(self.told)
        return set(_numbers(row for body in first.values() for row in body.get("r", ())))

    def events(self) -> list[tuple[str, str]]:
        """(alarm id, kind) of the alarm events that it took."""
        if self.case.is_http:
            return [_line_event(line) for line in self.lines if line.startswith("alarm_event,")]
        first, _, _ = by_id(self.told)
        return [(body["event"]["alarm_id"], body["event"]["kind"]) for body in first.values() if "event" in body]


def _numbers(rows: Iterable[list[Any]]) -> Iterable[int]:
    return (round(float(row[1]) * SCALE) for row in rows if row[0].endswith("/env/v") and row[1] >= 0)


def _line_number(line: str) -> int:
    value = float(line.split(" ")[-2].partition("=")[2])
    return round(value * SCALE)


def _line_event(line: str) -> tuple[str, str]:
    fields = dict(each.split("=", 1) for each in line.split(" ")[-2].split(","))
    return fields["id"].strip('"').partition("#")[0], fields["kind"].strip('"')


@dataclass(frozen=True)
class Row:
    """What became of one platform."""

    name: str
    lost: int
    alarms_lost: int
    aside: int  # rows put aside
    innocent: int  # of them without anything poisonous
    shown: int  # what the status says of them
    replay_s: float

    def problems(self, *, has_poison: bool, is_http: bool) -> list[str]:
        """What is wrong; nothing where it holds."""
        found = [f"{self.lost} readings lost"] if self.lost else []
        found += [f"{self.alarms_lost} alarms lost"] if self.alarms_lost else []
        found += [f"{self.innocent} innocent rows put aside"] if self.innocent else []
        found += ["the poison was not put aside"] if has_poison and self.aside < (1 if is_http else 2) else []
        found += [f"{self.aside} rows put aside"] if self.aside and not has_poison else []
        found += [f"{self.shown} shown"] if self.shown != self.aside else []
        return found


def _letters(data: Any, uplink: str) -> list[tuple[str, bytes]]:
    """(lane, body as text) of the rows that were put aside."""
    db = open_reader(str(data), BRIDGE_FILE)
    try:
        rows: list[Any] = db.execute("SELECT lane, body FROM dead_letters WHERE uplink = ?", (uplink,)).fetchall()
    finally:
        db.close()
    return [(lane, zlib.decompress(body) if lane == "telemetry" else body) for lane, body in rows]


def _judge(stand: Stand, devices: Field, data: Any, replay_s: float) -> Row:
    letters = _letters(data, stand.case.name)
    aside = {n for lane, body in letters if lane == "telemetry" for n in _numbers(orjson.loads(body)["r"])}
    alarms = judge_alarms(devices.alarms - {POISON_ROOM}, set(stand.events()))
    return Row(
        name=stand.case.name,
        lost=len(devices.readings - stand.numbers() - aside),
        alarms_lost=alarms.lost,
        aside=len(letters),
        innocent=sum(not any(each in body for each in POISON) for _, body in letters),
        shown=_shown(data, stand.case.name),
        replay_s=replay_s,
    )


def _status(data: Any) -> dict[str, dict[str, Any]]:
    db = open_reader(str(data), BRIDGE_FILE)
    try:
        return {str(name): orjson.loads(str(body)) for name, body in db.execute("SELECT uplink, body FROM status")}
    finally:
        db.close()


def _poison(port: int) -> None:
    """One reading and one alarm that no poisoned platform takes."""
    now_ms = time.time_ns() // 1_000_000
    _publish(
        port,
        (site.env_topic(site.address(498)), b'{"v":%.2f,"ts":%d}' % (POISON_VALUE, now_ms)),
        (site.smoke_topic(POISON_ROOM), site.smoke_payload(POISON_ROOM, now_ms)),
    )


def _publish(port: int, *messages: tuple[str, bytes]) -> None:
    """By a device of its own; returns when all are acknowledged."""
    link, _ = wire.connect(port, "poisoner")
    for mid, (topic, payload) in enumerate(messages, start=1):
        link.sendall(wire.encode_publish(topic, payload, mid))
    link.settimeout(10)
    got = b""
    while len(got) < _PUBACK_BYTES * len(messages):
        got += link.recv(_PUBACK_BYTES * len(messages) - len(got))
    link.close()


async def _play(stands: list[Stand], field_port: int, seconds: float) -> None:
    ill = [each for each in stands if not each.case.has_poison]
    await asyncio.sleep(ILL_FROM_S)
    for each in ill:
        each.platform.set_mode(each.case.mode)
    await asyncio.to_thread(_poison, field_port)
    await asyncio.sleep(min(ILL_S, seconds - ILL_FROM_S))
    for each in ill:
        each.platform.set_mode("ok")
    await asyncio.sleep(max(0.0, seconds - ILL_FROM_S - ILL_S))


def _drain(stands: list[Stand], devices: Field, data: Any, field_port: int) -> dict[str, float]:
    """Seconds after the end of the load until each platform had settled everything, for as long as anything moves.

    Several bad alarms in a row need more refusals each. The last reading stands behind all others in the outbox. An
    alarm is blamed only once another was taken after it: now and then there is one more, as life goes on.
    """
    began = time.perf_counter()
    settled: dict[str, float] = {}
    last, is_in, more = max(devices.readings), False, 0

    def is_done() -> bool:
        nonlocal is_in, more
        due_s = began + (more + 1) * _ONE_MORE_S
        if len(settled) < len(stands) and more < _MOST_MORE and time.perf_counter() > due_s:
            room = site.address(_SPARE_ROOM - more)
            _publish(field_port, (site.smoke_topic(room), site.smoke_payload(room, time.time_ns() // 1_000_000)))
            devices.alarms.add(room)
            more += 1
        is_in = is_in or last in set(_numbers(outbox.readings(data)))
        if not is_in:
            return False
        now = [each.case.name for each in stands if outbox.is_settled(data, each.case.name)]
        for name in now:
            settled.setdefault(name, time.perf_counter() - began)
        return len(now) == len(stands) and _is_whole(stands, devices, data)

    def state() -> object:
        status = _status(data)
        return outbox.last_seq(data), outbox.cursors(data), {name: each["sessions"] for name, each in status.items()}

    wait_while_moving(is_done, state)
    return {each.case.name: settled.get(each.case.name, math.inf) for each in stands}


def _is_whole(stands: list[Stand], devices: Field, data: Any) -> bool:
    """Has the gateway stored the last alarm, too, and the bridge its status? Both are a moment later."""
    events = [each["event"] for each in outbox.rows(data, Lane.ALARM)]
    stored = judge_alarms(devices.alarms, [(each["alarm_id"], each["kind"]) for each in events])
    return not stored.lost and all(
        len(_letters(data, each.case.name)) == _shown(data, each.case.name) for each in stands
    )


def _shown(data: Any, uplink: str) -> int:
    return int(str(_status(data).get(uplink, {}).get("rejected", -1)))


def _stand(case: Case) -> Stand:
    poison = POISON if case.has_poison else ()
    mode = case.mode if case.has_poison else "ok"
    if not case.is_http:
        return Stand(case, CloudMqtt(mode, poison=poison))
    platform = TimeSeries(poison=POISON[0].decode() if case.has_poison else "")
    platform.set_mode(mode)
    return Stand(case, platform)


async def measure(seconds: float, rate: float) -> list[tuple[Case, Row]]:
    """Every platform at once."""
    stands = [_stand(each) for each in cases()]
    with Lab() as lab:
        for each in stands:
            await each.start()
        field_port = lab.broker("field-broker")
        plan = systems.plan_for(
            field_port, smoke_buildings=1, env_buildings=1, sirens=1, units=2,
            uplinks="".join(each.yaml() for each in stands),
        )  # fmt: skip
        gateway = systems.start_gateway(lab, site.write(lab.dir, plan, keeps_all=True))
        await asyncio.to_thread(systems.wait_listening, plan)
        data = lab.dir / "data"
        await asyncio.to_thread(wait_until, (data / BRIDGE_FILE).exists, HANG_S, "the bridge has its books", 0.1)
        devices = Field(field_port, rate, ALARMS_PER_S, smoke_buildings=1)
        devices.start()
        await _play(stands, field_port, seconds)
        await asyncio.to_thread(devices.finish)
        settled = await asyncio.to_thread(_drain, stands, devices, data, field_port)
        found = [(each.case, _judge(each, devices, data, settled[each.case.name])) for each in stands]
        await asyncio.to_thread(gateway.stop)
        if any(row.problems(has_poison=case.has_poison, is_http=case.is_http) for case, row in found):
            lab.keep("a platform does not hold")
        for each in stands:
            await each.platform.stop()
        print(
            f"acknowledged to devices: {len(devices.readings)} readings, {len(devices.alarms)} alarms, and the poison"
        )
        return found


def main() -> int:
    """Command line; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--rate", type=float, default=20)
    given = options.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a stand-in that ends an answer in its middle
    began = time.perf_counter()
    try:
        found = asyncio.run(measure(given.seconds, given.rate))
    except BenchError as error:
        print(f"FAILED: {error}")
        return 1
    print(f"{'platform':20} {'lost':>5} {'alarms lost':>12} {'put aside':>10} {'shown':>6} {'settled after':>14}")
    holds = True
    for case, row in found:
        problems = row.problems(has_poison=case.has_poison, is_http=case.is_http)
        holds = holds and not problems
        print(
            f"{row.name:20} {row.lost:5} {row.alarms_lost:12} {row.aside:10} {row.shown:6} {row.replay_s:12.1f} s"
            f"  {', '.join(problems) or 'holds'}"
        )
    print(f"{time.perf_counter() - began:.0f} s in all\n{'PASSED' if holds else 'FAILED'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
