"""Modbus TCP polling: 200 devices × 10 registers each second, with servers, driver and floor in their own processes.

Two layouts: each device on its own host:port, and 50 units behind each of 4 hosts. The floor is a bare task per
connection that reads the same registers at the same moments with pymodbus and does nothing else: no decoding, no
readings, no breaker. Jitter is |sent − due| of every poll.

``python -m benchmarks.modbus_poll [--seconds 60] [--runs 3]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvloop
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from benchmarks.harness import BenchError, Lab, wait_until
from benchmarks.report import Figure, Report, Spread, percentile, show
from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.drivers.modbus import KINDS
from gateway.drivers.modbus_params import TcpBus
from gateway.model import Arrival, Bus, Device, DeviceParams, Place, Point

DEVICES = 200
REGISTERS = 10
WARM_UP_S = 3.0
LAYOUTS = {"200 hosts": 200, "4 hosts × 50 units": 4}
TARGET_ON_TIME, TARGET_JITTER_MS, TARGET_CPU = 99.9, 15.0, 12.0


class _Addresses:
    """Every register answers with its own address: what a pymodbus server asks of its context."""

    def device_ids(self) -> list[int]:
        return list(range(1, 248))

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> list[int]:  # noqa: ARG002, N802
        return list(range(address, address + count))

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> None:  # noqa: N802
        """Nothing is kept."""


async def serve(hosts: int) -> None:
    """Listen on ``hosts`` free ports of loopback, print them, go on until killed."""
    ports = []
    nobody = SimDevice(255, simdata=[SimData(0, datatype=DataType.REGISTERS)])
    for _ in range(hosts):
        server = ModbusTcpServer(nobody, address=("127.0.0.1", 0), ignore_missing_devices=True)
        server.context = _Addresses()  # type: ignore[assignment]  # it asks for three methods only
        await server.serve_forever(background=True)
        ports.append(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
    print("PORTS " + json.dumps(ports), flush=True)
    await asyncio.Event().wait()


class Tally:
    """What one process under test did within its window."""

    def __init__(self) -> None:
        self.jitter_s: list[float] = []
        self.missed = 0
        self.is_open = False
        self._last_s: dict[object, float] = {}

    def add(self, device: object, late_s: float) -> None:
        """One answered poll of ``device`` that was sent ``late_s`` after it was due."""
        now_s = time.perf_counter()
        if self.is_open:
            self.jitter_s.append(abs(late_s))
            self._count_missed(device, now_s)
        self._last_s[device] = now_s

    def close(self) -> None:
        """The window is over: who fell silent in it has missed polls too."""
        self.is_open = False
        for device in self._last_s:
            self._count_missed(device, time.perf_counter())
        self.missed += DEVICES - len(self._last_s)

    def _count_missed(self, device: object, now_s: float) -> None:
        gap_s = now_s - self._last_s.get(device, now_s)
        self.missed += round(gap_s) - 1 if gap_s > 1.5 else 0


async def measured(tally: Tally, seconds: float, polling: Awaitable[Any]) -> None:
    """Run ``polling`` for a warm-up and the window, print what happened."""
    task = asyncio.ensure_future(polling)
    await asyncio.sleep(WARM_UP_S)
    tally.is_open = True
    began_cpu_s, began_s = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    cpu_s, window_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
    tally.close()
    if task.done():
        task.result()
    task.cancel()
    on_time = sum(each <= 0.1 for each in tally.jitter_s)  # a tenth of the interval, as the driver counts
    found = {
        "on_time": 100 * on_time / (len(tally.jitter_s) + tally.missed),
        "p50": 1000 * percentile(tally.jitter_s, 0.5),
        "p99": 1000 * percentile(tally.jitter_s, 0.99),
        "worst": 1000 * max(tally.jitter_s),
        "cpu": 100 * cpu_s / window_s,
        "polls": len(tally.jitter_s),
    }
    print("FOUND " + json.dumps(found), flush=True)


def make_device(number: int, unit: int, bus_id: str) -> Device:
    """A device of ten holding registers, read each second."""
    kind = KINDS["modbus-tcp"]
    device_id = f"3-1-B1-CP{number:03d}/ebike"
    points = []
    for index in range(REGISTERS):
        params = kind.point.model_validate(
            {"table": "holding", "address": str(100 + index), "type": "uint16", "scale": "0.1"}
        )
        name = f"power.{index + 1}"
        points.append(Point(f"{device_id}/{name}", device_id, name, params.value_type, params=params))
    params_of = DeviceParams(
        kind.profile.model_validate({"addressing": "pdu", "poll": "1s"}),
        kind.device.model_validate({"unit": str(unit)}),
    )
    return Device(device_id, "ebike", "", Place("3-1-B1"), "cabinet", bus_id, None, tuple(points), params_of)


async def drive(ports: list[int], seconds: float) -> None:
    """The driver: one bus per host, all of them in this process."""
    tally, counters, clock = Tally(), Counters(), SystemClock()
    buses = []
    share = DEVICES // len(ports)
    for index, port in enumerate(ports):
        bus = Bus(f"bus{index}", "modbus-tcp", TcpBus(host="127.0.0.1", port=port))
        devices = [make_device(index * share + unit, unit, bus.id) for unit in range(1, share + 1)]
        buses.append((bus, KINDS["modbus-tcp"].build(bus, devices, clock, counters)))

    def receiver(bus_id: str) -> Callable[[Arrival], None]:
        key = ("modbus_poll_lateness_seconds", (("bus", bus_id),))

        def deliver(arrival: Arrival) -> None:
            if len(arrival.inputs) == REGISTERS:
                tally.add(arrival.inputs[0][0], counters.gauges[key])

        return deliver

    await measured(tally, seconds, asyncio.gather(*(driver.run(receiver(bus.id)) for bus, driver in buses)))


async def floor(ports: list[int], seconds: float) -> None:
    """A bare loop of pymodbus reads per connection, at the same moments."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    share = DEVICES // len(ports)
    start_s = loop.time() + 1

    async def read(index: int, port: int) -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        own = zlib.crc32(f"bus{index}".encode()) / 2**32
        phases = sorted(((own + unit / share) % 1.0, unit) for unit in range(share))
        beat = 0
        while True:
            for phase, unit in phases:
                due_s = start_s + beat + phase
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                late_s = loop.time() - due_s
                await client.read_holding_registers(100, count=REGISTERS, device_id=unit + 1)
                tally.add((index, unit), late_s)
            beat += 1

    await measured(tally, seconds, asyncio.gather(*(read(index, port) for index, port in enumerate(ports))))


def _one(hosts: int, seconds: float) -> dict[str, dict[str, float]]:
    """Floor and driver in turn against the same servers."""
    with Lab() as lab:
        field = lab.script("modbus_poll", "--role", "serve", "--hosts", str(hosts))
        wait_until(lambda: field.has_said("PORTS"), 20, "the Modbus servers listen")
        ports = field.log.read_text().partition("PORTS ")[2].splitlines()[0]
        found = {}
        for role in ("floor", "drive"):
            child = lab.script("modbus_poll", "--role", role, "--ports", ports, "--seconds", str(seconds))
            wait_until(partial(child.has_said, "FOUND"), seconds + WARM_UP_S + 30, f"{role} has measured")
            found[role] = json.loads(child.log.read_text().partition("FOUND ")[2].splitlines()[0])
            child.stop()
        return found


def run(seconds: float = 60, runs: int = 3) -> Report:
    """Both layouts, ``runs`` times; ``seconds`` are shared out over the runs of each."""
    report = Report(f"Modbus TCP: {DEVICES} devices × {REGISTERS} registers each second")
    for name, hosts in LAYOUTS.items():
        taken = [_one(hosts, seconds / runs) for _ in range(runs)]

        def spread(role: str, key: str, taken: list[dict[str, dict[str, float]]] = taken) -> Spread:
            return Spread(tuple(each[role][key] for each in taken))

        def figure(key: str, what: str, unit: str, target: str, name: str = name, **more: Any) -> Figure:
            return Figure(f"{name}: {what}", unit, target, spread("drive", key), spread("floor", key), **more)

        report.figures += [
            figure(
                "on_time", "polls on time", "%", f"≥ {TARGET_ON_TIME}", form=".3f",
                holds=lambda it: it.ours is not None and it.ours.median >= TARGET_ON_TIME,
            ),
            figure("p50", "jitter p50", "ms", ""),
            figure(
                "p99", "jitter p99", "ms", f"≤ {TARGET_JITTER_MS:g}",
                holds=lambda it: it.ours is not None and it.ours.median <= TARGET_JITTER_MS,
            ),
            figure("worst", "jitter worst", "ms", ""),
            figure(
                "cpu", "CPU of the process", "% of a core", f"≤ {TARGET_CPU:g}", form=".1f",
                holds=lambda it: it.ours is not None and it.ours.median <= TARGET_CPU,
            ),
        ]  # fmt: skip
        polls = [int(each["drive"]["polls"]) for each in taken]
        report.notes.append(
            f"{name}: {seconds / runs:g} s × {runs} runs, {WARM_UP_S:g} s of warm-up each; polls {polls}"
        )
    report.notes.append("floor: one bare pymodbus read loop per connection; servers in another process, uvloop in all")
    return report


def main() -> int:
    """Command line; the exit code."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.modbus_poll", description=__doc__)
    options.add_argument("--seconds", type=float, default=60, help="of each layout, over all runs")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--role", choices=["serve", "drive", "floor"], help=argparse.SUPPRESS)
    options.add_argument("--hosts", type=int, default=4, help=argparse.SUPPRESS)
    options.add_argument("--ports", type=json.loads, default=[], help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.role:
        roles = {
            "serve": lambda: serve(given.hosts),
            "drive": lambda: drive(given.ports, given.seconds),
            "floor": lambda: floor(given.ports, given.seconds),
        }
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(roles[given.role]())
        return 0
    try:
        show(run(given.seconds, given.runs))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
