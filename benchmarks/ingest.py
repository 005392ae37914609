"""Ingest: sustained readings a second at QoS 1 through one threshold rule, committed and in the outbox.

Closed loop: chunks of messages whose last one raises an alarm; the alarm's command (which leaves after the commit)
admits the next chunk. Afterwards the readings in the outbox are counted: every one that was sent has to be there.

``python -m benchmarks.ingest [--seconds 12] [--runs 3] [--only shouwang] [--racks] [--profile]``
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import blaster, outbox, profiling, site, systems
from benchmarks.harness import BenchError, Lab, wait_until
from benchmarks.probe import Probe
from benchmarks.report import Figure, Report, Spread, show
from benchmarks.systems import System

CHUNK = 2000  # messages, one a reading
RACK_CHUNK = 100  # messages of 100 readings
TARGET, AIM, RACK_TARGET = 20_000, 30_000, 100_000


@dataclass(frozen=True)
class Run:
    """One system for some seconds."""

    blast: blaster.Blast
    readings: int
    cores: float  # CPU seconds of the system per second
    broker_cores: float
    profile: str = ""

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / self.blast.seconds


def singles(marker: str, n: int, now_ms: int) -> Iterator[tuple[str, bytes]]:
    """A chunk of one-reading messages over 8,000 topics, its last one above the threshold."""
    for i in range(n * CHUNK, (n + 1) * CHUNK - 1):
        at = site.address(i, 2 + i // site.ROOMS_PER_BUILDING % 8)
        yield site.env_topic(at), site.env_payload(20 + i % 30000 / 1000, now_ms + i // 20)
    yield site.env_topic(marker), site.hot_payload(marker, now_ms + n)


def racks(marker: str, n: int, now_ms: int) -> Iterator[tuple[str, bytes]]:
    """A chunk of hundred-reading messages over 10 topics, and a marker."""
    for i in range(n * RACK_CHUNK, (n + 1) * RACK_CHUNK - 1):
        yield f"rack/RK1-1-01-01{i % 10 + 1:02}/up", site.rack_payload(20 + i % 30000 / 1000, now_ms + i)
    yield site.env_topic(marker), site.hot_payload(marker, now_ms + n)


def chunks(used: int, now_ms: int, *, many: bool) -> list[blaster.Chunk]:
    """Everything there is to send, encoded in advance: enough for the fastest system."""
    make, size = (racks, RACK_CHUNK) if many else (singles, CHUNK)
    slots = 65_000 // size
    markers = [site.address(n) for n in range(min(400, site.ROOMS_PER_BUILDING - used))]
    return [blaster.encode(make(marker, n, now_ms), 1 + n % slots * size, marker) for n, marker in enumerate(markers)]


def measure(system: System, seconds: float, *, many: bool = False, profile: bool = False) -> Run:
    """One run of one system on a fresh broker; counts what it stored."""
    with Lab() as lab:
        plan = systems.plan_for(lab.broker(), racks=many)
        subject = systems.start(system, lab, plan)
        probe = Probe(plan.field_port)
        used = probe.wait_ready(60)
        load = blaster.Blaster(plan.field_port, probe)
        supply = chunks(used, time.time_ns() // 1_000_000, many=many)
        probe.settle(1)
        profiler = profiling.start(lab, subject, seconds) if profile else None
        broker = lab.child("mosquitto")
        before = subject.cpu_s(), broker.cpu_s()
        blast = load.run(supply, seconds)
        after = subject.cpu_s(), broker.cpu_s()
        per = RACK_CHUNK * site.RACK_POINTS - site.RACK_POINTS + 1 if many else CHUNK
        readings = blast.messages // blast.per_chunk * per
        if blast.acked != blast.messages:
            raise BenchError(f"the broker acknowledged {blast.acked} of {blast.messages} messages")
        load.close()
        probe.close()
        text = profiling.finish(lab, profiler) if profiler else ""
        if system is System.OURS:
            _verify(lab, readings)
        cores = [(b - a) / blast.seconds for a, b in zip(before, after, strict=True)]
        return Run(blast, readings, cores[0], cores[1], text)


def _verify(lab: Lab, readings: int) -> None:
    """Every reading of the load must be in the outbox."""
    path = lab.dir / "data"
    wanted = ("/v", *(f"/p{n:03}" for n in range(site.RACK_POINTS)))
    try:
        wait_until(lambda: outbox.count(path, wanted) >= readings, 10, "all readings are in the outbox", every_s=1)
    finally:
        stored = outbox.count(path, wanted)
        if stored != readings:
            print(f"sent {readings} readings, the outbox holds {stored}")


def run(seconds: float = 12, runs: int = 3, only: str = "", *, many: bool = False, profile: bool = False) -> Report:
    """All systems in turn."""
    what = "100 readings a message" if many else "one reading a message"
    report = Report(f"Ingest: sustained readings/s at QoS 1, {what}, one threshold rule, committed and in the outbox")
    order = [System.FLOOR, System.PEER, System.OURS] + ([] if many else [System.ECHO])
    wanted = [each for each in order if not only or each == only]
    if many and System.OURS in wanted:
        wanted = [System.OURS]
    taken: dict[System, list[Run]] = {}
    for each in wanted:
        if why := systems.is_available(each):
            report.notes.append(f"{each} was not measured: {why}")
        else:
            taken[each] = []
    for n in range(runs):
        for each, found in taken.items():
            if each is not System.ECHO or n == 0:
                found.append(measure(each, seconds, many=many, profile=profile and each is System.OURS))
    report.figures = [_figure(taken, many=many)]
    for each, found in taken.items():
        for one in found:
            report.notes.append(
                f"{each}: {one.rate:,.0f}/s over {one.blast.seconds:.1f} s (worst second {_worst(one):,.0f}), "
                f"{one.cores:.2f} cores, {one.cores / one.rate * 1e6:.1f} µs of CPU a reading; "
                f"broker {one.broker_cores:.2f} cores"
            )
            report.notes += [one.profile] if one.profile else []
    return report


def _worst(one: Run) -> float:
    return one.blast.slowest_second() * one.readings / one.blast.messages


def _figure(taken: dict[System, list[Run]], *, many: bool) -> Figure:
    def spread(system: System) -> Spread | None:
        return Spread(tuple(each.rate for each in taken[system])) if taken.get(system) else None

    target = RACK_TARGET if many else TARGET

    def holds(figure: Figure) -> bool:
        assert figure.ours
        return figure.ours.median >= target and (not figure.peer or figure.ours.median > figure.peer.median)

    return Figure(
        name="ingest, 100 readings a message" if many else "ingest, one reading a message",
        unit="readings/s",
        target=f"≥ {target:,}" + ("" if many else f" (aim {AIM:,}), > peer"),
        ours=spread(System.OURS),
        floor=spread(System.FLOOR),
        peer=spread(System.PEER),
        holds=holds,
        form=",.0f",
    )


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=12)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--only", default="", choices=["", *(each.value for each in System)])
    options.add_argument("--racks", action="store_true", help="100 readings a message")
    options.add_argument("--profile", action="store_true", help="say where the gateway's time goes")
    given = options.parse_args()
    show(run(given.seconds, given.runs, given.only, many=given.racks, profile=given.profile))


if __name__ == "__main__":
    main()
