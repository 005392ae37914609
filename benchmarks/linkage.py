"""Linkage: from the second detector of a fire to the last of 60 doors, commanded and read back, with one door dead.

The gateway's engine, pipeline, journal (on the disk), effects and Modbus drivers in one process, the doors on real
Modbus TCP in another. Two layouts: 60 controllers each on its own address, and 4 TCP gateways with 15 doors each
behind a serial line where every exchange takes 35 ms (as at 9600 baud). The floor is a bare loop per connection that
writes the same coils and reads them back, does nothing else, and knows in advance which door is dead.

``python -m benchmarks.linkage [--runs 5]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop
from pymodbus import FramerType
from pymodbus.exceptions import NoSuchIdException
from pymodbus.framer import FramerRTU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from benchmarks.harness import BenchError, Lab, wait_until
from benchmarks.report import Figure, Report, Spread, show
from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.drivers.modbus import KINDS
from gateway.drivers.modbus_params import RtuOverTcpBus, TcpBus
from gateway.effects import Effects
from gateway.model import (
    Action,
    AlarmClass,
    Arrival,
    Bus,
    CommandOutcome,
    CommandResult,
    Condition,
    Device,
    DeviceParams,
    Input,
    Notice,
    NoticeResult,
    Place,
    Point,
    Reading,
    Rule,
    Scope,
    Site,
    Step,
)
from gateway.notify.policy import NoticePolicy
from gateway.pipeline import Pipeline
from gateway.rules import Engine
from gateway.store.journal import Journal

DOORS = 60
TARGET_COMMANDED_MS, TARGET_READ_BACK_MS = 1000.0, 3000.0
EXCHANGE_S = 0.035
WRITE_COIL = 5
WARM_UP_S = 20.0  # at most, until every living door has been polled
DEADLINE_S = 15.0


@dataclass(frozen=True)
class Layout:
    """How many hosts, and how long an exchange on one of them takes."""

    name: str
    hosts: int
    takes_s: float

    @property
    def units(self) -> int:
        """Doors behind each host."""
        return DOORS // self.hosts

    @property
    def is_serial(self) -> bool:
        """Is it a serial line behind a TCP gateway?"""
        return self.units > 1


LAYOUTS = {
    "hosts": Layout("60 controllers", DOORS, 0.0),
    "lines": Layout("4 serial lines × 15 doors", 4, EXCHANGE_S),
}


class _Doors:
    """The doors of one host: what a pymodbus server asks of its context. The last unit of the last host is dead."""

    def __init__(self, layout: Layout, host: int, told: Any) -> None:
        self._layout = layout
        self._dead = layout.units if host == layout.hosts - 1 else 0
        self._is_open = dict.fromkeys(range(1, layout.units + 1), False)
        self._told = told

    def device_ids(self) -> list[int]:
        return list(self._is_open)

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> list[bool]:  # noqa: ARG002, N802
        await self._line(device_id, func_code != WRITE_COIL)  # the server looks at a coil that it has just written
        return [self._is_open[device_id]] * count

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> None:  # noqa: ARG002, N802
        await self._line(device_id, True)
        self._is_open[device_id] = bool(values[0])
        self._told()

    async def _line(self, device_id: int, is_exchange: bool) -> None:  # noqa: FBT001
        if device_id == self._dead:
            raise NoSuchIdException(str(device_id))  # the server says nothing
        if is_exchange and self._layout.takes_s:
            await asyncio.sleep(self._layout.takes_s)


async def serve(layout: Layout) -> None:
    """Listen, print the ports; print when the last living door was written; go on until killed."""
    written = 0

    def told() -> None:
        nonlocal written
        written += 1
        if written == DOORS - 1:
            print(f"WRITTEN {time.perf_counter()}", flush=True)

    ports = []
    nobody = SimDevice(255, simdata=[SimData(0, datatype=DataType.REGISTERS)])
    framer = FramerType.RTU if layout.is_serial else FramerType.SOCKET
    for host in range(layout.hosts):
        server = ModbusTcpServer(nobody, framer=framer, address=("127.0.0.1", 0), ignore_missing_devices=True)
        server.context = _Doors(layout, host, told)  # type: ignore[assignment]  # it asks for three methods only
        await server.serve_forever(background=True)
        ports.append(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
    print("PORTS " + json.dumps(ports), flush=True)
    await asyncio.Event().wait()


def _site(layout: Layout, ports: Sequence[int]) -> Site:
    kind = KINDS["modbus-tcp"]
    coil = kind.point.model_validate({"table": "coil", "address": "0", "type": "bool"})
    profile = kind.profile.model_validate({"addressing": "pdu", "poll": "1s"})
    made: list[Device] = []
    for number in range(DOORS):
        id_ = f"3-2-01-{number:04d}/door"
        params = DeviceParams(profile, kind.device.model_validate({"unit": str(number % layout.units + 1)}))
        point = Point(f"{id_}/release", id_, "release", "bool", is_writable=True, params=coil)
        bus = f"bus{number // layout.units}"
        made.append(Device(id_, "door", "", Place(id_, "3", "2", "01", ""), "door", bus, None, (point,), params))
    smokes = []
    for number in range(2):
        id_ = f"3-2-02-{number:04d}/smoke"
        points = (Point(f"{id_}/alarm", id_, "alarm", "bool", alarm_class=AlarmClass.FIRE),)
        place = Place(id_, "3", "2", "02", "", "east")
        smokes.append(Device(id_, "smoke", "", place, "smoke", "", None, points, DeviceParams(None, None)))
    release = Action("door", "release", Scope.BUILDING, True, 10.0, True)
    rules = (
        Rule("fire", "", AlarmClass.FIRE, tuple(each.points[0].id for each in smokes), Condition("equals", True)),
        Rule("confirmed", "", AlarmClass.FIRE, (), Condition("confirmed", same=Scope.ZONE), actions=(release,)),
    )
    if layout.is_serial:
        params_of: Any = partial(RtuOverTcpBus, timeout=0.3)
    else:
        params_of = TcpBus
    bus_kind = "modbus-rtu-over-tcp" if layout.is_serial else "modbus-tcp"
    buses = {
        f"bus{n}": Bus(f"bus{n}", bus_kind, params_of(host="127.0.0.1", port=port)) for n, port in enumerate(ports)
    }
    devices = {each.id: each for each in (*made, *smokes)}
    return Site("bench", "", "UTC", "", "", 0, buses, devices, rules, {}, (), "")


async def drive(layout: Layout, ports: Sequence[int], directory: str) -> None:
    """The gateway: report the first detector, wait until all is polled, report the second."""
    site, clock, counters = _site(layout, ports), SystemClock(), Counters()
    engine = Engine(site, counters=counters, policy=NoticePolicy(site))
    drivers = {
        bus.id: KINDS[bus.type].build(
            bus, [each for each in site.devices.values() if each.bus_id == bus.id], clock, counters
        )
        for bus in site.buses.values()
    }
    done: list[float] = []
    all_done = asyncio.Event()

    def report(item: Input) -> None:
        if isinstance(item, CommandResult) and item.outcome is CommandOutcome.DONE:
            done.append(time.perf_counter())
            if len(done) == DOORS - 1:
                all_done.set()
        pipeline.inbox.put(item)

    async def send(notice: Notice) -> NoticeResult:
        return NoticeResult(notice.key, is_accepted=True, at=clock.now().utc)

    def publish(step: Step) -> None:
        effects.act([each for each in step.commands if not each.is_safety], step.now)

    writers = {
        point.id: drivers[each.bus_id].write for each in site.devices.values() if each.bus_id for point in each.points
    }
    effects = Effects(writers, send, report, clock, counters)
    pipeline = Pipeline(
        engine, Journal(directory, (), 10_000_000), clock, counters,
        executor=ThreadPoolExecutor(1), act=effects.act, publish=publish,
    )  # fmt: skip
    heard: set[str] = set()
    polled = asyncio.Event()

    def deliver(arrival: Arrival) -> None:
        heard.update(each.point_id for each in arrival.inputs if isinstance(each, Reading) and each.value is not None)
        if len(heard) >= DOORS - 1:
            polled.set()
        pipeline.inbox.deliver(arrival)

    running = [asyncio.ensure_future(pipeline.run())]
    running += [asyncio.ensure_future(each.run(deliver)) for each in drivers.values()]
    smokes = [each.points[0].id for each in site.devices.values() if each.kind == "smoke"]
    at = clock.now().utc
    pipeline.inbox.deliver(Arrival((Reading(smokes[0], True, at, at),)))
    async with asyncio.timeout(WARM_UP_S):
        await polled.wait()
    await asyncio.sleep(1.0)
    began_s = time.perf_counter()
    at = clock.now().utc
    pipeline.inbox.deliver(Arrival((Reading(smokes[1], True, at, at),)))
    async with asyncio.timeout(DEADLINE_S):
        await all_done.wait()
    print("FOUND " + json.dumps({"began": began_s, "read_back": done[DOORS - 2]}), flush=True)
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def floor(layout: Layout, ports: Sequence[int], _directory: str) -> None:
    """A bare loop per connection: all its coils are written, then all are read back."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for port in ports]

    async def exchange(host: int, unit: int, pdu: bytes) -> None:
        reader, writer = streams[host]
        if layout.is_serial:
            frame = bytes((unit,)) + pdu
            writer.write(frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big"))
            await reader.readexactly(8 if pdu[0] == WRITE_COIL else 6)
        else:
            writer.write(struct.pack(">HHHB", 1, 0, len(pdu) + 1, unit) + pdu)
            head = await reader.readexactly(7)
            await reader.readexactly(struct.unpack(">H", head[4:6])[0] - 1)

    async def one(host: int) -> None:
        living = [unit for unit in range(1, layout.units + 1) if (host, unit) != (layout.hosts - 1, layout.units)]
        for pdu in (struct.pack(">BHH", WRITE_COIL, 0, 0xFF00), struct.pack(">BHH", 1, 0, 1)):
            for unit in living:
                await exchange(host, unit, pdu)

    began_s = time.perf_counter()
    await asyncio.gather(*map(one, range(layout.hosts)))
    print("FOUND " + json.dumps({"began": began_s, "read_back": time.perf_counter()}), flush=True)


def _one(key: str) -> dict[str, tuple[float, float]]:
    """Floor and gateway against servers of their own: (commanded, read back) in ms after the second detector."""
    found = {}
    for role in ("floor", "drive"):
        with Lab() as lab:
            field = lab.script("linkage", "--role", "serve", "--layout", key)
            wait_until(partial(field.has_said, "PORTS"), 20, "the doors listen")
            ports = field.log.read_text().partition("PORTS ")[2].splitlines()[0]
            child = lab.script("linkage", "--role", role, "--layout", key, "--ports", ports, "--dir", str(lab.dir))
            wait_until(partial(child.has_said, "FOUND"), WARM_UP_S + DEADLINE_S + 15, f"{role} has released all doors")
            wait_until(partial(field.has_said, "WRITTEN"), 5, "the doors have been written")
            said = json.loads(child.log.read_text().partition("FOUND ")[2].splitlines()[0])
            written_s = float(field.log.read_text().partition("WRITTEN ")[2].splitlines()[0])
            found[role] = 1000 * (written_s - said["began"]), 1000 * (said["read_back"] - said["began"])
    return found


def _figure(name: str, target: float, taken: list[dict[str, tuple[float, float]]], index: int) -> Figure:
    ours, bare = (Spread(tuple(each[role][index] for each in taken)) for role in ("drive", "floor"))

    def holds(figure: Figure) -> bool:
        return figure.ours is not None and max(figure.ours.runs) <= target

    return Figure(name, "ms", f"≤ {target:g}", ours, bare, holds=holds, form=".0f")


def run(runs: int = 5) -> Report:
    """Both layouts, ``runs`` times each, floor and gateway in turn."""
    report = Report(f"Linkage: confirmed fire to the last of {DOORS} doors, one of them dead")
    for key, layout in LAYOUTS.items():
        taken = [_one(key) for _ in range(runs)]
        report.figures += [
            _figure(f"{layout.name}: last door commanded", TARGET_COMMANDED_MS, taken, 0),
            _figure(f"{layout.name}: last door read back", TARGET_READ_BACK_MS, taken, 1),
        ]
    report.notes.append(f"{runs} runs each, worst run judged; doors in another process; {DOORS - 1} doors answer")
    return report


def main() -> int:
    """Command line; the exit code."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.linkage", description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--role", choices=["serve", "drive", "floor"], help=argparse.SUPPRESS)
    options.add_argument("--layout", choices=list(LAYOUTS), default="hosts", help=argparse.SUPPRESS)
    options.add_argument("--ports", type=json.loads, default=[], help=argparse.SUPPRESS)
    options.add_argument("--dir", default="", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.role:
        layout = LAYOUTS[given.layout]
        roles = {
            "serve": lambda: serve(layout),
            "drive": lambda: drive(layout, given.ports, given.dir),
            "floor": lambda: floor(layout, given.ports, given.dir),
        }
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(roles[given.role]())
        return 0
    try:
        show(run(given.runs))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
