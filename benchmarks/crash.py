"""kill -9 of the gateway at random moments under load with alarms; then everything acknowledged is counted.

The field broker is not killed: what it acknowledged to a device must be in the outbox and at the stand-in cloud.
The moments are drawn over the whole life of the process, its start included. A second round cuts the platform's line
for a while and kills the gateway and the bridge meanwhile. An uplink to nobody keeps every row in the outbox.

``python -m benchmarks.crash [--kills 200] [--outage-s 60] [--rate 500] [--seed 1]``
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import outbox, site, systems
from benchmarks.crash_cloud import Cloud, Line
from benchmarks.crash_field import Field
from benchmarks.crash_verdict import Tally, judge_alarms, judge_readings
from benchmarks.harness import BenchError, Child, Lab
from benchmarks.probe import Probe
from benchmarks.report import Figure, Report, Spread, show
from gateway.model import Lane

READY_S = 60.0
DRAIN_S = 120.0
QUIET_S = 5.0
STARTING = 1 / 3  # of the kills fall into the start, the others into work under load
ALARMS_PER_S = 2.0


@dataclass
class Scene:
    """What one round is made of."""

    lab: Lab
    config: Path
    gateway: Child
    field: Field
    cloud: Cloud
    line: Line
    start_s: float  # how long a start takes, to its first alarm


@dataclass(frozen=True)
class Outcome:
    """What one round found."""

    kills: int
    bridge_kills: int
    seconds: float
    stored_alarms: Tally
    stored_readings: Tally
    cloud_alarms: Tally
    cloud_readings: Tally
    repeats: int
    changed: int
    orphans: int

    def tallies(self) -> list[Tally]:
        """All four."""
        return [self.stored_alarms, self.stored_readings, self.cloud_alarms, self.cloud_readings]


def _open(lab: Lab, rate: float) -> Scene:
    field_port, platform = lab.broker("field-broker"), lab.broker("platform-broker")
    line = Line(platform)
    line.start()
    line.mend()
    cloud = Cloud(platform)
    cloud.start()
    plan = systems.plan_for(field_port, smoke_buildings=2, env_buildings=1, sirens=1, platform_port=line.port)
    config = site.write(lab.dir, plan, keeps_all=True)
    began = time.perf_counter()
    gateway = systems.start_gateway(lab, config)
    probe = Probe(field_port)
    probe.wait_ready(READY_S)
    start_s = time.perf_counter() - began
    probe.close()
    field = Field(field_port, rate, ALARMS_PER_S)
    field.start()
    return Scene(lab, config, gateway, field, cloud, line, start_s)


def _restart(scene: Scene) -> None:
    if not scene.gateway.is_running:
        raise BenchError(f"the gateway had ended by itself: {scene.gateway.tail()}")
    scene.gateway.kill()
    scene.gateway = systems.start_gateway(scene.lab, scene.config)


def _killing(scene: Scene, kills: int, chance: random.Random) -> tuple[int, int]:
    bridge = 0
    for n in range(kills):
        is_starting = chance.random() < STARTING
        time.sleep(chance.uniform(0.02, scene.start_s) if is_starting else scene.start_s + chance.uniform(0, 3))
        if n % 5 == 4:
            bridge += systems.kill_bridge(scene.lab.dir, scene.gateway.pid)
            time.sleep(chance.uniform(0, 1))
        _restart(scene)
    return kills, bridge


def _outage(scene: Scene, outage_s: float, chance: random.Random) -> tuple[int, int]:
    time.sleep(3)
    scene.line.cut()
    began = time.perf_counter()
    time.sleep(outage_s * chance.uniform(0.3, 0.4))
    _restart(scene)
    time.sleep(outage_s * chance.uniform(0.2, 0.3))
    bridge = systems.kill_bridge(scene.lab.dir, scene.gateway.pid)
    time.sleep(max(0.0, outage_s - (time.perf_counter() - began)))
    scene.line.mend()
    return 1, bridge


def measure(rate: float, kills: int, outage_s: float, seed: int) -> Outcome:
    """One round: ``kills`` kills, or, where that is 0, an outage of ``outage_s``."""
    chance = random.Random(seed)
    began = time.perf_counter()
    with Lab() as lab:
        scene = _open(lab, rate)
        done = _killing(scene, kills, chance) if kills else _outage(scene, outage_s, chance)
        scene.field.finish()
        data = lab.dir / "data"
        _drain(scene, data)
        scene.gateway.stop()
        orphans = len(systems.bridge_pids(scene.lab.dir, scene.gateway.pid))
        scene.cloud.finish()
        field, cloud = scene.field, scene.cloud
        events = [each["event"] for each in outbox.rows(data, Lane.ALARM)]
        outcome = Outcome(
            kills=done[0],
            bridge_kills=done[1],
            seconds=time.perf_counter() - began,
            stored_alarms=judge_alarms(field.alarms, [(e["alarm_id"], e["kind"]) for e in events]),
            stored_readings=judge_readings(field.readings, outbox.readings(data)),
            cloud_alarms=judge_alarms(field.alarms, [(e["alarm_id"], e["kind"]) for e in cloud.events.values()]),
            cloud_readings=judge_readings(field.readings, [r for row in cloud.rows.values() for r in row]),
            repeats=cloud.repeats.total(),
            changed=len(cloud.changed),
            orphans=orphans,
        )
        if not all(each.is_clean for each in outcome.tallies()):
            lab.keep("the count is not clean")
        return outcome


def _drain(scene: Scene, data: Path) -> None:
    """Wait until nothing new is stored or told for a while and the platform has settled all; then the count decides."""
    until = time.perf_counter() + DRAIN_S
    state, since = (-1, -1), time.perf_counter()
    while time.perf_counter() < until:
        time.sleep(1)
        now = (outbox.last_seq(data), len(scene.cloud.events) + len(scene.cloud.rows))
        if now != state:
            state, since = now, time.perf_counter()
        if time.perf_counter() - since > QUIET_S and outbox.is_settled(data, "platform"):
            return


def run(kills: int = 200, outage_s: float = 60, rate: float = 500, seed: int = 1) -> Report:
    """Both rounds."""
    report = Report(f"kill -9 under load ({rate:g} readings/s, {ALARMS_PER_S:g} alarms/s)")
    if why := systems.is_available(systems.System.OURS):
        report.notes.append(f"the gateway was not measured: {why}")
        return report
    if kills:
        _add(report, f"{kills} kills", measure(rate, kills, 0, seed))
    if outage_s:
        _add(report, f"{outage_s:g} s outage", measure(rate, 0, outage_s, seed))
        report.notes.append("outage: the platform's line is cut; gateway, then bridge, are killed meanwhile")
    report.notes.append("each count is the worse of two: the outbox, and what the stand-in cloud was told")
    return report


def _add(report: Report, title: str, found: Outcome) -> None:
    cloud, stored = found.cloud_alarms, found.stored_alarms
    rows = [
        ("acknowledged alarms lost", max(stored.lost, cloud.lost)),
        ("alarms duplicated (by id)", max(stored.duplicated, cloud.duplicated) + found.changed),
        ("acknowledged readings lost", max(found.stored_readings.lost, found.cloud_readings.lost)),
        ("readings stored twice or out of order", _unwanted(found)),
        ("bridges that outlived their gateway", found.orphans),
    ]
    for name, value in rows:
        report.figures.append(Figure(f"{title}: {name}", "", "0", Spread((float(value),)), holds=_is_zero, form=".0f"))
    report.notes.append(
        f"{title}: {cloud.sent} alarms and {found.cloud_readings.sent} readings acknowledged in {found.seconds:.0f} s; "
        f"{found.kills} kills of the gateway, {found.bridge_kills} of the bridge; "
        f"{found.repeats} messages told to the cloud again under the same id"
    )
    report.notes += [f"{title}: {text}" for each in found.tallies() for text in each.examples]


def _unwanted(found: Outcome) -> int:
    return max(each.duplicated + each.disordered for each in (found.stored_readings, found.cloud_readings))


def _is_zero(figure: Figure) -> bool:
    return figure.ours is not None and not any(figure.ours.runs)


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--outage-s", type=float, default=60)
    options.add_argument("--rate", type=float, default=500)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    show(run(given.kills, given.outage_s, given.rate, given.seed))


if __name__ == "__main__":
    main()
