"""The outage test: a platform that is away for a minute under load, with kill -9 of each process at random moments.

A run is a community of its own: own gateway, bridge, data directory, field broker, platform broker and line, an own
outage of ``--outage-s`` (in turn: line reset, line stalled, broker dead), and kills of the gateway, the bridge
and the platform's broker at moments drawn over the outage and the replay after it. Several runs go beside each other.
The field's broker is not killed: what it held in memory is not the gateway's to lose. Ends with 1 unless every count
that must be 0 is 0.

``python -m benchmarks.outage [--uplink mqtt sparkplug thingsboard influxdb] [--runs 3] [--outage-s 60] [--rate 200]
[--at-once 8] [--seed 1]``
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import random
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks import outbox, site, systems
from benchmarks.crash_field import SCALE, Field
from benchmarks.harness import HANG_S, BenchError, Child, Lab, wait_until, wait_while_moving
from benchmarks.outage_platforms import KINDS as UPLINKS
from benchmarks.outage_platforms import Platform, platform
from benchmarks.outage_verdict import Verdict, total
from benchmarks.witness import Line, Trouble

ALARMS_PER_S = 1.0
WARM_S = 3.0  # of work before the outage
LAST_S = 8.0  # so long after the outage gateway and bridge may be killed
AFTER_S = 12.0  # the load goes on for so long after the outage, while history is replayed


class Plan(NamedTuple):
    """One run, as the command line asks for it."""

    seed: int
    outage_s: float
    rate: float
    uplink: str = "mqtt"


@dataclass
class Scene:
    """What a run is made of."""

    lab: Lab
    plan: site.Plan
    devices: Field
    line: Line
    platform: Platform
    gateway: Child
    kills: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Found:
    """What became of a run."""

    plan: Plan
    trouble: str
    kills: Counter[str]
    seconds: float
    sessions: int
    replay_s: float  # from the end of the load until the platform had settled everything
    verdict: Verdict


@contextmanager
def _scene(lab: Lab, asked: Plan) -> Iterator[Scene]:
    field_port = lab.broker("field-broker")
    with platform(asked.uplink, lab) as there, Line(there.port, there.ear).working() as line:
        plan = systems.plan_for(
            field_port, smoke_buildings=1, env_buildings=1, sirens=1, units=2, uplinks=there.uplink(line.port)
        )
        config = site.write(lab.dir, plan)
        gateway = systems.start_gateway(lab, config)
        systems.wait_listening(plan)
        wait_until(lambda: line.record.sessions > 0, HANG_S, "the bridge has a session", every_s=0.1)
        devices = Field(field_port, asked.rate, ALARMS_PER_S, smoke_buildings=1)
        devices.start()
        yield Scene(lab, plan, devices, line, there, gateway)


def _kill_gateway(scene: Scene) -> None:
    if not scene.gateway.is_running:
        raise BenchError(f"the gateway had ended by itself: {scene.gateway.tail()}")
    scene.gateway.kill()
    scene.gateway = systems.start_gateway(scene.lab, scene.lab.dir / "config")


def _kill_bridge(scene: Scene) -> None:
    """The bridge that runs, or the next one that starts."""
    until = time.perf_counter() + HANG_S
    while not systems.kill_bridge(scene.lab.dir, scene.gateway.pid):
        if time.perf_counter() > until:
            raise BenchError("there is no bridge to kill")
        time.sleep(0.05)


def _kill_broker(scene: Scene) -> None:
    scene.platform.kill()
    scene.platform.start()


KILLS = {"gateway": _kill_gateway, "bridge": _kill_bridge, "broker": _kill_broker}


def _moments(plan: Plan, trouble: Trouble, chance: random.Random) -> list[tuple[float, str]]:
    """Of each process one kill during the outage and one in the time after it; the broker that is dead dies once.

    The broker's is the last: a bridge that had a session then, and goes on, begins another one.
    """
    drawn = []
    for name in KILLS:
        if not (name == "broker" and trouble is Trouble.DOWN):
            drawn.append((chance.uniform(0, plan.outage_s), name))
        first, last = (LAST_S, AFTER_S) if name == "broker" else (0, LAST_S)
        drawn.append((plan.outage_s + chance.uniform(first, last), name))
    return sorted([*drawn, (0.0, "fail"), (plan.outage_s, "mend")])


def _play(scene: Scene, plan: Plan, trouble: Trouble, chance: random.Random) -> None:
    time.sleep(WARM_S)
    began = time.perf_counter()
    for at_s, what in _moments(plan, trouble, chance):
        time.sleep(max(0.0, began + at_s - time.perf_counter()))
        if what in KILLS:
            KILLS[what](scene)
            scene.kills[what] += 1
        elif trouble is not Trouble.DOWN:
            scene.line.fail(trouble) if what == "fail" else scene.line.mend()
        elif what == "fail":
            scene.platform.kill()
            scene.kills["broker"] += 1
        else:
            scene.platform.start()
    time.sleep(max(0.0, began + plan.outage_s + AFTER_S - time.perf_counter()))


def _drain(scene: Scene) -> None:
    """Until the last reading is at the platform and everything is settled, for as long as anything moves.

    The last reading stands behind all others in the outbox. What is lost stands still; then the count decides.
    """
    data, record, seen = scene.lab.dir / "data", scene.line.record, 0
    last = max(scene.devices.readings) / SCALE
    words = (repr(last).encode(), struct.pack("<d", last))
    is_told = False

    def is_done() -> bool:
        nonlocal is_told, seen
        told = record.told[seen:]
        seen += len(told)
        is_told = is_told or any(word in payload for _, payload in told for word in words)
        return is_told and outbox.is_settled(data, "platform")

    wait_while_moving(is_done, lambda: (len(record.told), outbox.last_seq(data), outbox.cursors(data)))


def run(plan: Plan) -> Found:
    """One run."""
    chance = random.Random(plan.seed)
    trouble = list(Trouble)[plan.seed % len(Trouble)]
    began = time.perf_counter()
    with Lab() as lab, _scene(lab, plan) as scene:
        _play(scene, plan, trouble, chance)
        scene.devices.finish()
        ended = time.perf_counter()
        _drain(scene)
        replay_s = time.perf_counter() - ended
        seen = scene.line.record
        verdict = scene.platform.judge(seen, scene.devices)
        scene.gateway.stop()
        if not verdict.is_clean:
            lab.keep("the count is not clean")
        return Found(plan, trouble, scene.kills, time.perf_counter() - began, seen.sessions, replay_s, verdict)


def _end_with_parent() -> None:
    """In a worker: SIGTERM when the command is ended, by whatever (prctl(2), PR_SET_PDEATHSIG); its `Lab` cleans up."""
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGTERM)


def _one(plan: Plan) -> Found:
    try:
        return run(plan)
    except SystemExit:  # told to end: everything is cleaned up; the pool would go on with the next run
        os._exit(143)


def run_all(plans: list[Plan], at_once: int) -> Iterator[Found | str]:
    """Every run as it ends; a text for one that failed itself."""
    with ProcessPoolExecutor(at_once, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
        waiting = {pool.submit(_one, plan): plan for plan in plans}
        for each in as_completed(waiting):
            try:
                yield each.result()
            except (BenchError, OSError) as error:
                yield f"run {waiting[each].seed} failed itself: {error}"


def line_of(found: Found) -> str:
    """One run in one line."""
    verdict = found.verdict
    kills = " ".join(f"{name} {found.kills[name]}" for name in KILLS)
    wrong = ", ".join(f"{name} {value}" for name, value in verdict.faults.items() if value) or "nothing wrong"
    return (
        f"run {found.plan.seed:4}: {found.plan.uplink}, {found.trouble:5} {found.plan.outage_s:g} s, killed {kills}; "
        f"{verdict.readings} readings, {verdict.alarms} alarms, {found.sessions} sessions, {found.seconds:.0f} s; "
        f"repeats {verdict.wire_repeats} on the wire, {verdict.told_repeats} acknowledged; {wrong}"
    )


def tally(found: list[Found], failed: int) -> str:
    """The sum of all."""
    sums = total(each.verdict for each in found)
    kills: Counter[str] = sum((each.kills for each in found), Counter())
    lines = [
        f"{len(found)} runs ({failed} failed themselves), "
        + ", ".join(f"{n} {t}" for t, n in sorted(Counter(str(each.trouble) for each in found).items())),
        f"kill -9: {', '.join(f'{kills[name]} of the {name}' for name in KILLS)}",
        f"acknowledged to devices: {sums['readings']} readings, {sums['alarms']} alarms",
        f"told to the platform: {sums['messages']} different messages",
        f"repeats, same id: {sums['wire_repeats']} on the wire, {sums['told_repeats']} acknowledged again",
        "after dropping by id:",
    ]
    names = found[0].verdict.faults if found else {}
    lines += [f"  {name.replace('_', ' '):20} {sums[name]}" for name in names]
    return "\n".join(lines)


def main() -> int:
    """Command line; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uplink", choices=tuple(UPLINKS), nargs="+", default=["mqtt"])
    options.add_argument("--runs", type=int, default=3, help="of each kind of uplink")
    options.add_argument("--outage-s", type=float, default=60)
    options.add_argument("--rate", type=float, default=200, help="readings per second of each run")
    options.add_argument("--at-once", type=int, default=8, help="runs beside each other")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    kinds = [each for each in given.uplink for _ in range(given.runs)]
    plans = [Plan(given.seed + n, given.outage_s, given.rate, each) for n, each in enumerate(kinds)]
    began = time.perf_counter()
    found: list[Found] = []
    failed = 0
    for each in run_all(plans, min(given.at_once, len(plans))):
        if isinstance(each, str):
            failed += 1
            print(each, flush=True)
            continue
        found.append(each)
        print(line_of(each), flush=True)
        for text in each.verdict.examples:
            print(f"          {text}", flush=True)
    print(f"\n{tally(found, failed)}\n{time.perf_counter() - began:.0f} s in all")
    is_clean = bool(found) and not failed and all(each.verdict.is_clean for each in found)
    print("PASSED" if is_clean else "FAILED")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
