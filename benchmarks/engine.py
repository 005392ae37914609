"""The engine alone: readings a second through the pure step on one core, without disk, network or loop.

The community: 9,000 devices, 300 rules of all kinds. The curve: the same readings while 10 to 10,000 rules look at
other points. The floor is what no engine can do without: find the point of each reading in a dict and compare its
value. Memory is that of a process of its own, everything included.

``python -m benchmarks.engine [--runs 5] [--batches 400]``
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.harness import ROOT, BenchError
from benchmarks.report import Figure, Report, Spread, show
from gateway.counters import Counters
from gateway.model import (
    AlarmClass,
    Condition,
    Device,
    DeviceParams,
    Now,
    Place,
    Point,
    Reading,
    Rule,
    Scope,
    Site,
    Watched,
)
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine

DEVICES, RULES, BATCH = 9_000, 300, 256
TARGET, MEMORY_TARGET_MB = 50_000, 100.0
CURVE = (10, 100, 1_000, 10_000)
SHARED = 1_000  # points whose readings make the curve
START = datetime(2025, 6, 1, 8, 0, tzinfo=UTC)
Batches = Sequence[tuple[list[Reading], Now]]


def device(number: int, points: Sequence[str] = ("v",)) -> Device:
    """One of 30 in a unit, 300 in a building."""
    building, unit, floor = str(number // 300), str(number // 30 % 10), f"{number // 3 % 10:02}"
    address = f"{building}-{unit}-{floor}-{number:05}"
    place = Place(address, building, unit, floor, f"{number:05}", f"{building}号楼")
    made = tuple(Point(f"{address}/m/{name}", f"{address}/m", name, "float") for name in points)
    return Device(f"{address}/m", "meter", "", place, "p", "b", None, made, DeviceParams(None, None))


def site(devices: Sequence[Device], rules: Sequence[Rule]) -> Site:
    """With nothing else in it."""
    return Site(
        id="gw",
        title="小区",
        timezone="Asia/Shanghai",
        data_dir="",
        web_host="",
        web_port=0,
        buses={},
        devices={each.id: each for each in devices},
        rules=tuple(rules),
        recipients={},
        uplinks=(),
        digest="",
    )


def rule(number: int, points: Sequence[str], condition: Condition) -> Rule:
    """One that is not met by what is read."""
    return Rule(f"r{number}", "规则", AlarmClass.WARNING, tuple(points), condition)


def community() -> Engine:
    """Every point in a plain rule; every fifth in a rule of another kind too."""
    devices = [device(each) for each in range(DEVICES)]
    ids = [each.points[0].id for each in devices]
    above = Condition("above", 60.0, 50.0)
    others = [
        Condition("above", 60.0, count=3, within_s=600.0),
        Condition("absent", within_s=600.0),
        Condition("rises", 60.0, within_s=60.0),
        Condition("expression", expression="v > 60 && v < 1000"),
        Condition("devices", count=2, within_s=300.0, same=Scope.UNIT),
        Condition("still", within_s=43_200.0, same=Scope.ROOM),
    ]
    plain = RULES * 4 // 5
    rules = [rule(each, ids[each::plain], above) for each in range(plain)]
    for each in range(RULES - plain):
        points, condition = tuple(ids[each * 5 :: (RULES - plain) * 5]), others[each % len(others)]
        if condition.kind in {"devices", "still"}:
            rules.append(rule(plain + each, (), replace(condition, parts=(Watched(points, above),))))
        else:
            rules.append(rule(plain + each, points, condition))
    return engine(site(devices, rules))


def elsewhere(rules: int) -> Engine:
    """Ten rules on the points that are read, all the others on points that are not."""
    devices = [device(each) for each in range(DEVICES)]
    ids = [each.points[0].id for each in devices]
    own = [rule(each, ids[each:SHARED:10], Condition("above", 60.0, 50.0)) for each in range(10)]
    free = ids[SHARED:]
    rest = [rule(each, [free[each % len(free)]], Condition("above", 60.0, 50.0)) for each in range(10, rules)]
    return engine(site(devices, own + rest))


def engine(of: Site) -> Engine:
    """Started."""
    made = Engine(of, counters=Counters(), policy=NoticePolicy(of))
    made.restore([], {}, [], Now(START, 1000.0))
    made.step([], Now(START, 1000.0))
    return made


def batches_of(points: int, count: int) -> Batches:
    """Readings with the devices' own time, none of them alarming, in the order of a shuffled site."""
    ids = [device(each).points[0].id for each in range(points)]
    made = []
    for batch in range(count):
        at = START + timedelta(milliseconds=5 * batch)
        received = at + timedelta(milliseconds=3)
        numbers = [(batch * BATCH + n) * 7919 % points for n in range(BATCH)]
        readings = [Reading(ids[n], float((n + batch) % 49), at, received) for n in numbers]
        made.append((readings, Now(received, 1000.0 + batch / 200)))
    return made


def rate(step: Callable[[list[Reading], Now], object], batches: Batches) -> float:
    """Readings in a second of CPU time: other processes of the machine do not count."""
    began = time.process_time()
    for readings, now in batches:
        step(readings, now)
    return len(batches) * BATCH / (time.process_time() - began)


def floor(points: int) -> Callable[[list[Reading], Now], object]:
    """A dict, a comparison, nothing more."""
    limits = {device(each).points[0].id: 60.0 for each in range(points)}

    def step(readings: list[Reading], _now: Now) -> int:
        met = 0
        for reading in readings:
            limit = limits.get(reading.point_id)
            if limit is not None and reading.value > limit:  # type: ignore[operator]  # all are floats
                met += 1
        return met

    return step


def memory_mb() -> float:
    """Peak of a process that builds the community and reads every point some times."""
    argv = [sys.executable, "-m", "benchmarks.engine", "--memory"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    if done.returncode:
        raise BenchError(f"the engine's own process failed: {done.stderr[-500:]}")
    return float(done.stdout)


def _say_memory() -> None:
    made = community()
    ids = [device(each).points[0].id for each in range(DEVICES)]
    for batch in range(200):
        at = START + timedelta(seconds=batch)
        numbers = [(batch * BATCH + n) * 7919 % DEVICES for n in range(BATCH)]
        made.step([Reading(ids[n], float(n % 49), at, at) for n in numbers], Now(at, 1000.0 + batch))
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # getrusage has the parent's in it
    assert peak
    print(int(peak[1]) * 1024 / 1e6)


def run(runs: int = 5, batches: int = 400) -> Report:
    """All figures, floor and ours in turn."""
    report = Report("Engine: readings a second of one core through the pure step")
    load = batches_of(DEVICES, batches)
    bare, made = floor(DEVICES), community()
    floors, ours = [], []
    rate(made.step, load)  # every point has spoken
    for number in range(runs):
        later = _later(load, 60.0 * (number + 1))
        floors.append(rate(bare, later))
        ours.append(rate(made.step, later))
    report.figures.append(
        _figure(f"{DEVICES:,} devices, {RULES} rules of all kinds", Spread(tuple(ours)), Spread(tuple(floors)))
    )
    spreads = _curve(runs, batches)
    for rules, spread in spreads.items():
        report.figures.append(_figure(f"the same readings, {rules:,} rules (all but 10 elsewhere)", spread, None))
    peaks = tuple(memory_mb() for _ in range(min(runs, 3)))
    report.figures.append(
        Figure(
            "memory of the process, peak",
            "MB",
            f"≤ {MEMORY_TARGET_MB:g}",
            Spread(peaks),
            holds=lambda each: bool(each.ours and each.ours.median <= MEMORY_TARGET_MB),
            form=".1f",
        )
    )
    first, last = spreads[CURVE[0]].median, spreads[CURVE[-1]].median
    report.notes.append(f"rules elsewhere: {CURVE[-1]:,} of them leave {last / first:.0%} of the speed of {CURVE[0]}")
    report.notes.append("CPU time of one thread; no disk, no network, no event loop")
    return report


def _curve(runs: int, batches: int) -> dict[int, Spread]:
    load = batches_of(SHARED, batches)
    engines = {rules: elsewhere(rules) for rules in CURVE}
    found: dict[int, list[float]] = {rules: [] for rules in CURVE}
    for number in range(runs + 1):
        for rules, made in engines.items():
            taken = rate(made.step, _later(load, 60.0 * number))
            if number:  # the first time every point speaks for the first time
                found[rules].append(taken)
    return {rules: Spread(tuple(rates)) for rules, rates in found.items()}


def _later(load: Batches, by_s: float) -> Batches:
    by = timedelta(seconds=by_s)
    return [
        (
            [each._replace(at=each.at + by, received_at=each.received_at + by) for each in readings],
            Now(now.utc + by, now.mono_s + by_s),
        )
        for readings, now in load
    ]


def _figure(name: str, ours: Spread, bare: Spread | None) -> Figure:
    return Figure(
        name,
        "readings/s",
        f"≥ {TARGET:,}",
        ours,
        bare,
        holds=lambda each: bool(each.ours and each.ours.median >= TARGET),
        form=",.0f",
    )


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--batches", type=int, default=400)
    options.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.memory:
        _say_memory()
    else:
        show(run(given.runs, given.batches))


if __name__ == "__main__":
    main()
