"""Alarm latency: from a device's publish to the siren's command, seen by an independent client.

A real mosquitto, 10,000 topics, 500 QoS 1 messages a second beside it, the journal on. Each sample is another
smoke detector, so that each raises an alarm of its own. Floor, peer and gateway take turns in one run.

``python -m benchmarks.latency [--samples 300] [--runs 3] [--only shouwang] [--pin]``
"""

from __future__ import annotations

import argparse
import random

from benchmarks import site, systems
from benchmarks.harness import BenchError, Lab
from benchmarks.probe import Probe
from benchmarks.report import Figure, Report, Spread, percentile, show
from benchmarks.systems import System

RATE = 500  # background messages a second
SHARES = (0.50, 0.95, 0.99)
FLOOR_FACTOR = 1.5  # the target at p50


def measure(system: System, samples: int, *, pin: bool = False, rate: float = RATE) -> list[float]:
    """Milliseconds of each alarm. Raises BenchError when one was never answered."""
    with Lab() as lab:
        port = lab.broker(cpus="0" if pin else "")
        plan = systems.plan_for(port)
        subject = systems.start(system, lab, plan, cpus="1" if pin else "")
        probe = Probe(port)
        used = probe.wait_ready(60)
        if rate:
            lab.script("background", str(port), str(rate), str(9 * site.ROOMS_PER_BUILDING), cpus="0" if pin else "")
        probe.settle(2)
        pause = random.Random(7)
        found: list[float] = []
        for n in range(min(samples, site.ROOMS_PER_BUILDING - used)):
            took_ms = probe.alarm(site.address(n))
            if took_ms is None:
                raise BenchError(f"{system}: the alarm of {site.address(n)} was never answered: {subject.tail()}")
            found.append(took_ms)
            probe.settle(pause.uniform(0.01, 0.05))  # so that samples do not keep step with the background
        probe.close()
        return found


def run(samples: int = 300, runs: int = 3, only: str = "", *, pin: bool = False) -> Report:
    """The three systems in turn, ``runs`` times."""
    report = Report("Alarm latency: device publish → siren command (10,000 topics, 500 QoS 1 msg/s beside it)")
    wanted: list[System] = []
    for each in (System.FLOOR, System.PEER, System.OURS):
        if only and each != only:
            continue
        if why := systems.is_available(each):
            report.notes.append(f"{each} was not measured: {why}")
        else:
            wanted.append(each)
    taken: dict[System, list[list[float]]] = {each: [] for each in wanted}
    for _ in range(runs):
        for each in wanted:
            taken[each].append(measure(each, samples, pin=pin))
    report.figures = [_figure(share, taken) for share in SHARES]
    report.notes.append(
        f"{samples} alarms × {runs} runs each, interleaved; "
        + ("broker and load on core 0, the system on core 1" if pin else "nothing pinned")
    )
    report.notes += [f"{each}: slowest {max(map(max, all_)):.1f} ms" for each, all_ in taken.items() if all_]
    return report


def _figure(share: float, taken: dict[System, list[list[float]]]) -> Figure:
    def spread(system: System) -> Spread | None:
        runs = taken.get(system)
        return Spread(tuple(percentile(each, share) for each in runs)) if runs else None

    def holds(figure: Figure) -> bool:
        assert figure.ours
        within = share > 0.5 or not figure.floor or figure.ours.median <= FLOOR_FACTOR * figure.floor.median
        return within and (not figure.peer or figure.ours.median < figure.peer.median)

    return Figure(
        name=f"alarm latency p{share * 100:.0f}",
        unit="ms",
        target=(f"≤ {FLOOR_FACTOR:g}× floor, " if share == 0.5 else "") + "< peer",
        ours=spread(System.OURS),
        floor=spread(System.FLOOR),
        peer=spread(System.PEER),
        holds=holds,
    )


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=300)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--only", default="", choices=["", *(each.value for each in System)])
    options.add_argument("--pin", action="store_true", help="broker and load on core 0, the system on core 1")
    given = options.parse_args()
    show(run(given.samples, given.runs, given.only, pin=given.pin))


if __name__ == "__main__":
    main()
