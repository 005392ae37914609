"""Alarm latency of the gateway while its bridge is well, stopped, killed, starved, or waits for its platform.

The cloud's side must not be heard at the siren.

One gateway, 500 messages a second beside it. The states take turns in short rounds, so that whatever else the machine
does falls on all of them alike. What counts is the difference to the bridge that is well.

``python -m benchmarks.cloud_isolation [--rounds 12]``
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import outbox, site, systems
from benchmarks.harness import BenchError, Child, Lab, wait_until
from benchmarks.probe import Probe
from benchmarks.report import Figure, Report, Spread, percentile, show
from gateway.store.database import StoreError

RATE = 500
PER_ROUND = 12
BUILDINGS = 2
SPARED = 20  # rooms at the end, for the probe that waits for the start
MOST_FACTOR, MOST_MS = 1.25, 1.0  # at p50, whichever is more: rounds on a shared machine vary by so much
KILL_EVERY = 3  # alarms
READY_S = 120.0


@dataclass
class Scene:
    """One gateway with its bridge and platform."""

    lab: Lab
    gateway: Child
    probe: Probe

    def bridges(self) -> list[int]:
        """The gateway's child processes: the bridge, where it runs."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit():
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[1]) == self.gateway.pid and fields[0] != "Z":
                        found.append(int(entry.name))
        return found

    def is_settled(self) -> bool:
        """Has the platform acknowledged everything?"""
        try:
            return outbox.is_settled(self.lab.dir / "data", "platform")
        except StoreError:  # the bridge has not begun
            return False

    def tell(self, what: signal.Signals) -> None:
        """A signal to the bridge."""
        for pid in self.bridges():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)


@contextlib.contextmanager
def _well(_: Scene) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


@contextlib.contextmanager
def _stopped(scene: Scene) -> Iterator[Callable[[int], None]]:
    scene.tell(signal.SIGSTOP)
    try:
        yield lambda _: None
    finally:
        scene.tell(signal.SIGCONT)


@contextlib.contextmanager
def _killed(scene: Scene) -> Iterator[Callable[[int], None]]:
    yield lambda n: scene.tell(signal.SIGKILL) if n % KILL_EVERY == 0 else None


@contextlib.contextmanager
def _starved(scene: Scene) -> Iterator[Callable[[int], None]]:
    """Of every moment it runs it gets a tenth, at the lowest priority, and may be stopped anywhere."""

    def starve(_: int) -> None:
        scene.tell(signal.SIGCONT)
        scene.probe.settle(0.002)
        scene.tell(signal.SIGSTOP)

    for pid in scene.bridges():
        os.setpriority(os.PRIO_PROCESS, pid, 19)
    try:
        yield starve
    finally:
        scene.tell(signal.SIGCONT)


@contextlib.contextmanager
def _stalled(scene: Scene) -> Iterator[Callable[[int], None]]:
    platform = scene.lab.child("platform-broker").pid
    os.kill(platform, signal.SIGSTOP)
    try:
        yield lambda _: None
    finally:
        os.kill(platform, signal.SIGCONT)


STATES = {
    "well": _well,
    "stopped (SIGSTOP)": _stopped,
    "killed (SIGKILL)": _killed,
    "starved": _starved,
    "platform stands still": _stalled,
}


def measure(rounds: int) -> tuple[dict[str, list[float]], float]:
    """Milliseconds of each alarm by the state of the bridge; seconds until the platform had all of it afterwards."""
    found: dict[str, list[float]] = {name: [] for name in STATES}
    with Lab() as lab:
        field, platform = lab.broker("field-broker"), lab.broker("platform-broker")
        plan = systems.plan_for(
            field, smoke_buildings=BUILDINGS, env_buildings=5, sirens=BUILDINGS, platform_port=platform
        )
        gateway = systems.start_gateway(lab, site.write(lab.dir, plan))
        scene = Scene(lab, gateway, Probe(field))
        scene.probe.wait_ready(60)
        wait_until(scene.is_settled, READY_S, "the bridge works", 0.2)
        lab.script("background", str(field), str(RATE), "4000")
        scene.probe.settle(3)
        rooms = _rooms()
        for _ in range(rounds):
            for name, state in STATES.items():
                with state(scene) as act:
                    found[name] += [_alarm(scene, next(rooms), act, n) for n in range(PER_ROUND)]
                scene.probe.settle(0.5)
        lab.child("background").stop()
        took_s = wait_until(scene.is_settled, READY_S, "all is settled", 0.2)
        scene.probe.close()
    return found, took_s


def _rooms() -> Iterator[tuple[int, int]]:
    yield from itertools.product(range(1, BUILDINGS + 1), range(site.ROOMS_PER_BUILDING - SPARED))


def _alarm(scene: Scene, room: tuple[int, int], act: Callable[[int], None], n: int) -> float:
    act(n)
    scene.probe.settle(0.02)  # what looked for the processes is over
    building, index = room
    took_ms = scene.probe.alarm(site.address(index, building))
    if took_ms is None:
        raise BenchError(f"the alarm of {site.address(index, building)} was never answered: {scene.gateway.tail()}")
    return took_ms


def run(rounds: int = 12) -> Report:
    """All states in turn."""
    report = Report(f"Alarm latency while the bridge is hindered ({RATE} QoS 1 msg/s beside it)")
    began = time.perf_counter()
    found, took_s = measure(rounds)
    well = statistics.median(found["well"])
    most = max(MOST_FACTOR * well, well + MOST_MS)
    for name, samples in found.items():
        p50 = Spread((statistics.median(samples),))
        judge = None if name == "well" else (lambda figure: bool(figure.ours and figure.ours.median <= most))
        target = "" if name == "well" else f"≤ {most:.1f}"
        report.figures.append(Figure(f"bridge {name}: p50", "ms", target, p50, holds=judge))
        for share in (0.95, 0.99):
            of = Spread((percentile(samples, share),))
            report.figures.append(Figure(f"bridge {name}: p{share * 100:.0f}", "ms", "", of))
    report.notes.append(
        f"{rounds} rounds × {PER_ROUND} alarms in each state, {time.perf_counter() - began:.0f} s; afterwards the "
        f"platform had acknowledged everything within {took_s:.1f} s"
    )
    return report


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=12)
    show(run(options.parse_args().rounds))


if __name__ == "__main__":
    main()
