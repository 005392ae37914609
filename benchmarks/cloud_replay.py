"""Replay after an outage, and the bridge in ordinary operation: ``python -m benchmarks.cloud_replay``.

The bridge is a process of its own, as `shouwang bridge` starts it; the platform is a mosquitto, the time-series server
a victoria-metrics, both on loopback. Counted is what the platform has acknowledged.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

from benchmarks import cloud_box, site
from benchmarks.harness import BenchError, Lab, free_port, wait_until
from benchmarks.outbox import is_settled
from benchmarks.report import Figure, Report, Spread, show
from gateway.store import outbox
from gateway.store.database import open_gateway

REPLAY_PER_S = 20_000.0
SERIES_PER_S = 50_000.0
STEADY_PER_S = 200
STEADY_CPU = 5.0  # per cent of one core
STEADY_MB = 60.0
_ENV_BUILDINGS = 7  # with a thousand smoke detectors and as many sirens 9,000 devices
_WARM_S = 5.0


def run(rounds: int = 3, rows: int = 200_000, steady_s: float = 45) -> Report:
    """All three."""
    report = Report("Clouds: replay after an outage, and ordinary operation")
    packed = rows // 8
    for name, target, each, count, uplink in (
        ("replay to a broker, 1 reading a row", REPLAY_PER_S, 1, rows, "mqtt"),
        ("replay to a broker, 20 readings a row", REPLAY_PER_S, 20, packed, "mqtt"),
        ("replay to a time-series server, 20 a row", SERIES_PER_S, 20, packed, "influxdb"),
    ):
        speeds = [replay(uplink, count, each) for _ in range(rounds)]
        at_least = partial(_is_at_least, target)
        figure = Figure(name, "readings/s", f"≥ {target:,.0f}", Spread(tuple(speeds)), holds=at_least, form=",.0f")
        report.figures.append(figure)
    cpu, memory = steady(steady_s)
    for name, unit, most, value in (
        (f"{STEADY_PER_S} readings/s: processor", "% of a core", STEADY_CPU, cpu),
        (f"{STEADY_PER_S} readings/s: memory", "MB", STEADY_MB, memory),
    ):
        holds = partial(_is_at_most, most)
        report.figures.append(Figure(name, unit, f"≤ {most:g}", Spread((value,)), holds=holds, form=".1f"))
    report.notes.append("acknowledged readings over the time from the open session to the last cursor on disk")
    report.notes.append(
        "ordinary operation: 9,000 devices; a row of one reading every 5 ms, the worst case; MQTT over loopback"
    )
    return report


def replay(uplink: str, rows: int, each: int) -> float:
    """Readings per second until all of a backlog is settled."""
    with Lab() as lab:
        config = cloud_box.configure(lab, {"cloud": _uplink(lab, uplink)})
        data = cloud_box.fill(lab, rows, each)
        bridge = cloud_box.start_bridge(lab, config)
        began = time.perf_counter()
        wait_until(lambda: is_settled(data, "cloud") or not bridge.is_running, 120, "all is settled", every_s=0.02)
        if not bridge.is_running:
            raise BenchError(f"the bridge has ended: {bridge.tail()}")
        return rows * each / (time.perf_counter() - began)


def _uplink(lab: Lab, kind: str) -> str:
    if kind == "mqtt":
        return f"{{type: mqtt, host: 127.0.0.1, port: {lab.broker()}}}"
    return f'{{type: influxdb, url: "{cloud_box.start_victoria(lab)}", bucket: bench}}'


def steady(seconds: float) -> tuple[float, float]:
    """(per cent of a core, MB at the end) of the bridge of 9,000 devices at 200 rows of one reading per second."""
    with Lab() as lab:
        plan = site.Plan(site.DISCARD, free_port(), env_buildings=_ENV_BUILDINGS)
        config = cloud_box.configure(lab, {"cloud": _uplink(lab, "mqtt")}, plan)
        data = cloud_box.fill(lab, 1, 1)
        bridge = cloud_box.start_bridge(lab, config)
        db = open_gateway(str(data))
        began, cpu_s, number = time.perf_counter(), 0.0, 1
        while (passed_s := time.perf_counter() - began) < _WARM_S + seconds:
            if not cpu_s and passed_s >= _WARM_S:
                cpu_s, measured_from_s = bridge.cpu_s(), passed_s
            with db:
                outbox.append(db, 0, cloud_box.readings(number, 1, _ENV_BUILDINGS), ())
            number += 1
            time.sleep(max(0.0, began + number / STEADY_PER_S - time.perf_counter()))
        used_s, memory = bridge.cpu_s() - cpu_s, bridge.rss_mb()
        db.close()
        wait_until(lambda: is_settled(data, "cloud"), 10, "all is settled")
        return used_s / (passed_s - measured_from_s) * 100, memory


def _is_at_least(target: float, figure: Figure) -> bool:
    return figure.ours is not None and figure.ours.median >= target


def _is_at_most(target: float, figure: Figure) -> bool:
    return figure.ours is not None and figure.ours.median <= target


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--seconds", type=float, default=45)
    given = options.parse_args()
    show(run(given.rounds, given.rows, given.seconds))


if __name__ == "__main__":
    main()
