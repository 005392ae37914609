"""A big community: 9,000 devices. Start to first alarm, and the memory of the gateway's process.

The clock starts with the process; another smoke detector is lit every 50 ms until a siren is commanded. The second
start finds a session and an alarm that the broker kept while the gateway was down. Node-RED, its flow connected and
no device at all, stands beside it for its memory.

``python -m benchmarks.scale [--runs 3] [--load-s 60]``
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import node_red, site, systems
from benchmarks.harness import BenchError, Lab, wait_until
from benchmarks.probe import Probe
from benchmarks.report import Figure, Report, Spread, show
from benchmarks.systems import System

DEVICES = {"smoke_buildings": 4, "env_buildings": 4, "sirens": 1}  # 1,000 each
START_TARGET_S = 5.0
MEMORY_TARGET_MB = 150.0
LIMIT_S = 60.0


@dataclass
class Sizes:
    """What was measured of the gateway."""

    first_start_s: list[float] = field(default_factory=list)
    next_start_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    loaded_mb: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)


def _measure(sizes: Sizes, load_s: float) -> None:
    with Lab() as lab:
        plan = systems.plan_for(lab.broker(), **DEVICES)
        config = site.write(lab.dir, plan)
        probe = Probe(plan.field_port)
        began = time.perf_counter()
        gateway = systems.start_gateway(lab, config)
        probe.wait_ready(LIMIT_S, every_s=0.05)
        sizes.first_start_s.append(time.perf_counter() - began)
        probe.settle(3)
        sizes.rss_mb.append(gateway.rss_mb())
        if load_s:
            topics = (DEVICES["env_buildings"] - 1) * site.ROOMS_PER_BUILDING
            lab.script("background", str(plan.field_port), "500", str(topics))
            for n in range(int(load_s)):
                if probe.alarm(site.address(n)) is None:
                    raise BenchError(f"an alarm under load was not answered: {gateway.tail()}")
                probe.settle(1)
            lab.child("background").stop()
            sizes.loaded_mb.append(gateway.rss_mb())
        sizes.peak_mb.append(gateway.rss_mb("VmHWM"))
        gateway.stop()
        sizes.next_start_s.append(_restart(lab, config, probe))
        probe.close()


def _restart(lab: Lab, config: Path, probe: Probe) -> float:
    """Seconds from the start of the process to the command for an alarm that was sent while it was down."""
    at = site.address(500)
    while probe.take(0.2):
        pass
    probe.publish(site.smoke_topic(at), site.smoke_payload(at, time.time_ns() // 1_000_000))
    began = time.perf_counter()
    gateway = systems.start_gateway(lab, config)
    while time.perf_counter() - began < LIMIT_S:
        if any(at in each.topic for each in probe.take(0.1)):
            return time.perf_counter() - began
    raise BenchError(f"the alarm sent while the gateway was down was never answered: {gateway.tail()}")


def _peer_memory() -> float:
    with Lab() as lab:
        peer = node_red.start(lab, lab.broker())
        wait_until(lambda: peer.has_said("Connected to broker"), 30, "Node-RED starts")
        time.sleep(5)
        return peer.rss_mb()


def run(runs: int = 3, load_s: float = 60) -> Report:
    """``runs`` starts; the load is applied in the last one."""
    report = Report("9,000 devices: start, memory")
    sizes = Sizes()
    peer: Spread | None = None
    if why := systems.is_available(System.PEER):
        report.notes.append(f"Node-RED was not measured: {why}")
    else:
        peer = Spread(tuple(_peer_memory() for _ in range(runs)))
    if why := systems.is_available(System.OURS):
        report.notes.append(f"the gateway was not measured: {why}")
    else:
        for n in range(runs):
            _measure(sizes, load_s if n == runs - 1 else 0)
    soon, small = f"≤ {START_TARGET_S:g}", f"≤ {MEMORY_TARGET_MB:g}"
    report.figures = [
        _figure("first start to first alarm", "s", soon, sizes.first_start_s, START_TARGET_S),
        _figure("next start to an alarm sent meanwhile", "s", soon, sizes.next_start_s, START_TARGET_S),
        _figure("memory after start (peer: no device)", "MB", small, sizes.rss_mb, MEMORY_TARGET_MB, peer=peer),
        _figure(f"memory after {load_s:g} s of load", "MB", small, sizes.loaded_mb, MEMORY_TARGET_MB, peer=peer),
        _figure("peak memory", "MB", "", sizes.peak_mb, 0),
    ]
    return report


def _figure(
    name: str, unit: str, target: str, found: list[float], limit: float, *, peer: Spread | None = None
) -> Figure:
    return Figure(
        name=name,
        unit=unit,
        target=target,
        ours=Spread(tuple(found)) if found else None,
        peer=peer,
        holds=(lambda figure: bool(figure.ours and max(figure.ours.runs) <= limit)) if limit else None,
        form=".1f",
    )


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--load-s", type=float, default=60)
    given = options.parse_args()
    show(run(given.runs, given.load_s))


if __name__ == "__main__":
    main()
