"""``python -m benchmarks``: every figure of the project beside its target, its floor and its peer.

Ends with 0 when every run could be made, whatever the figures are, and with 1 when a run itself failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import (
    cloud_alarm,
    cloud_isolation,
    cloud_replay,
    crash,
    day,
    engine,
    escalation,
    flood,
    ingest,
    latency,
    linkage,
    modbus_poll,
    outbox_growth,
    scale,
)
from benchmarks.harness import BenchError
from benchmarks.report import Report, machine, markdown, show

Runs = dict[str, Callable[[], Report]]


def full() -> Runs:
    """About fifty minutes on two cores."""
    return {
        "engine": partial(engine.run, 5, 400),
        "latency": partial(latency.run, 300, 3),
        "ingest": partial(ingest.run, 12, 3),
        "racks": partial(ingest.run, 10, 3, many=True),
        "modbus": partial(modbus_poll.run, 60, 3),
        "linkage": partial(linkage.run, 5),
        "scale": partial(scale.run, 3, 60),
        "escalation": partial(escalation.run, 30, 6),
        "crash": partial(crash.run, 200, 60),
        "flood": partial(flood.run, 3),
        "day": partial(day.run, 5),
        "cloud-alarm": partial(cloud_alarm.run, 1_000_000, 300),
        "cloud-replay": partial(cloud_replay.run, 3, 200_000, 30),
        "isolation": partial(cloud_isolation.run, 12),
        "growth": partial(outbox_growth.run, 50),
    }


def quick() -> Runs:
    """About nine minutes: shows that everything runs; the figures are rough."""
    return {
        "engine": partial(engine.run, 2, 100),
        "latency": partial(latency.run, 100, 1),
        "ingest": partial(ingest.run, 5, 1),
        "racks": partial(ingest.run, 5, 1, many=True),
        "modbus": partial(modbus_poll.run, 10, 1),
        "linkage": partial(linkage.run, 1),
        "scale": partial(scale.run, 1, 10),
        "escalation": partial(escalation.run, 3, 0),
        "crash": partial(crash.run, 5, 15),
        "flood": partial(flood.run, 1),
        "day": partial(day.run, 1),
        "cloud-alarm": partial(cloud_alarm.run, 200_000, 60),
        "cloud-replay": partial(cloud_replay.run, 1, 80_000, 10),
        "isolation": partial(cloud_isolation.run, 1),
        "growth": partial(outbox_growth.run, 1),
    }


def main() -> int:
    """Command line; the exit code."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--quick", action="store_true", help="few samples: about nine minutes")
    options.add_argument("--only", action="append", choices=list(full()), help="may be given several times")
    options.add_argument("--write", type=Path, metavar="FILE.md", help="also write the table as Markdown")
    given = options.parse_args()
    place = machine()
    print("\n".join(place))
    runs = quick() if given.quick else full()
    reports: list[Report] = []
    failed: list[str] = []
    began = time.perf_counter()
    for name, make in runs.items():
        if given.only and name not in given.only:
            continue
        try:
            report = make()
        except BenchError as error:
            failed.append(name)
            report = Report(f"{name}: the run failed", notes=[str(error)])
        show(report)
        reports.append(report)
    print(
        f"\n{time.perf_counter() - began:.0f} s in all; "
        + (f"failed: {', '.join(failed)}" if failed else "no run failed")
    )
    if given.write:
        given.write.parent.mkdir(parents=True, exist_ok=True)
        given.write.write_text(markdown(reports, "Benchmarks", place))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
