"""The cluster test: a three-node platform that loses nodes, its leader too, and time-series servers that go and come.

One gateway under load forwards over TLS with a client certificate to a cluster of nats-server (MQTT, JetStream), to
victoria-metrics and to InfluxDB 1.6. Under load the node that leads the MQTT streams is killed (kill -9), then the
node that the bridge speaks to, each for some seconds; the time-series servers are ended and started again. The cloud
is a subscriber with a durable session at another node. Everything is asked back. Ends with 1 unless nothing is missing.

``python -m benchmarks.cluster [--seconds 60] [--rate 200]``
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import outbox, site, systems
from benchmarks.cluster_nodes import SESSIONS, STREAM, Cluster, Front, Node, Subscriber
from benchmarks.cluster_series import Influx, Points, Rename, Victoria
from benchmarks.crash_field import SCALE, Field
from benchmarks.harness import HANG_S, BenchError, Lab, wait_until, wait_while_moving
from benchmarks.outage_verdict import Verdict, judge
from gateway.store.outbox import bridge_status

ALARMS_PER_S = 1.0
DEAD_S = 6.0  # a killed node stays away for so long
UPLINKS = ("platform", "victoria", "influx")


@dataclass
class Scene:
    """What the test is made of."""

    lab: Lab
    cluster: Cluster
    front: Front
    cloud: Subscriber
    victoria: Victoria
    influx: Influx


def _open(stack: ExitStack, lab: Lab) -> tuple[Scene, Rename]:
    cluster, victoria, influx = Cluster(lab), Victoria(lab), Influx(lab)
    for each in (cluster, victoria, influx):
        each.start()
    ports = [node.mqtt for node in cluster.nodes]
    front, back = stack.enter_context(Front(ports).working()), stack.enter_context(Front(ports).working())
    rename = stack.enter_context(Rename(influx.port).working())
    if not cluster.refuses_strangers():
        raise BenchError("the cluster takes a client without a certificate")
    cloud = Subscriber(back.port, cluster.certificates)
    stack.callback(cloud.close)
    wait_until(lambda: cluster.leader() is not None, HANG_S, f"{STREAM} has a leader", every_s=0.1)
    return Scene(lab, cluster, front, cloud, victoria, influx), rename


def _uplinks(scene: Scene, rename: Rename) -> str:
    at = scene.cluster.certificates
    tls = f"{{ca: {at}/ca.pem, cert: {at}/gateway.pem, key: {at}/gateway.key}}"
    return (
        f"    platform: {{type: mqtt, host: 127.0.0.1, port: {scene.front.port}, answer: 10s, tls: {tls}}}\n"
        f"    victoria: {{type: influxdb, url: 'http://127.0.0.1:{scene.victoria.port}', bucket: b, org: o}}\n"
        f"    influx: {{type: influxdb, url: 'http://127.0.0.1:{rename.port}', bucket: b, org: o}}\n"
    )


def _lose(scene: Scene, node: Node, why: str) -> None:
    """Kill -9 of a node; it comes back after a while, and the next is not taken before the copies agree again."""
    assert node.child is not None
    led = [name for name in (STREAM, SESSIONS) if scene.cluster.leader(name) is node]
    began = time.perf_counter()
    node.child.kill()
    wait_until(lambda: scene.cluster.leader() is not None, HANG_S, f"{STREAM} has a new leader", every_s=0.1)
    elected_s = time.perf_counter() - began
    after = _leader(scene).name
    time.sleep(max(0.0, began + DEAD_S - time.perf_counter()))
    scene.cluster.start_node(node)
    wait_until(lambda: scene.cluster.replicas() == len(scene.cluster.nodes), HANG_S, "the copies agree", every_s=0.2)
    print(
        f"killed {node.name}, {why}; it led {', '.join(led) or 'no MQTT stream'}; {STREAM} led by {after} "
        f"after {elected_s:.1f} s; all copies agree again after {time.perf_counter() - began:.1f} s",
        flush=True,
    )


def _leader(scene: Scene) -> Node:
    wait_until(lambda: scene.cluster.leader() is not None, HANG_S, f"{STREAM} has a leader", every_s=0.1)
    found = scene.cluster.leader()
    if found is None:
        raise BenchError(f"{STREAM} has lost its leader again")
    return found


def _play(scene: Scene, seconds: float) -> None:
    began = time.perf_counter()
    acts: list[Callable[[], None]] = [
        lambda: _lose(scene, _leader(scene), f"the leader of {STREAM}"),
        lambda: _lose(scene, scene.cluster.nodes[scene.front.at], "the node that the bridge spoke to"),
        lambda: _away(scene),
        lambda: _lose(scene, _leader(scene), f"the leader of {STREAM}"),
    ]
    for n, act in enumerate(acts):
        time.sleep(max(2.0, began + n * seconds / len(acts) - time.perf_counter()))
        act()
    time.sleep(max(0.0, began + seconds - time.perf_counter()))


def _away(scene: Scene) -> None:
    scene.victoria.end()
    scene.influx.end()
    time.sleep(DEAD_S / 2)
    scene.victoria.start()
    scene.influx.start()
    print("ended and started again: victoria-metrics (SIGTERM), influxd (kill -9)")


def _drain(scene: Scene, devices: Field, data: Path) -> None:
    """Until the last reading is at the cloud and everything is settled, for as long as anything moves."""
    word, seen, is_told = repr(max(devices.readings) / SCALE).encode(), 0, False

    def is_done() -> bool:
        nonlocal seen, is_told
        told = scene.cloud.told[seen:]
        seen += len(told)
        is_told = is_told or any(word in payload for _, payload in told)
        return is_told and all(outbox.is_settled(data, each) for each in UPLINKS)

    wait_while_moving(is_done, lambda: (len(scene.cloud.told), outbox.last_seq(data), outbox.cursors(data)))


@dataclass(frozen=True)
class Asked:
    """What a time-series server answered."""

    name: str
    missing: int
    restamped: int
    doubled: int

    @classmethod
    def of(cls, name: str, points: Points, stamps: Mapping[int, int], acknowledged: set[int]) -> Asked:
        """Against what was acknowledged to devices."""
        return cls(
            name,
            missing=sum(number not in points for number in acknowledged),
            restamped=sum(points[number][0] != stamps[number] for number in acknowledged & points.keys()),
            doubled=sum(len(set(at)) > 1 for at in points.values()),
        )

    @property
    def is_clean(self) -> bool:
        """Everything there, once, with its first instant."""
        return not (self.missing or self.restamped or self.doubled)


def measure(seconds: float, rate: float) -> tuple[Verdict, list[Asked]]:
    """The whole test."""
    with Lab() as lab, ExitStack() as stack:
        scene, rename = _open(stack, lab)
        field_port = lab.broker("field-broker")
        plan = systems.plan_for(
            field_port, smoke_buildings=1, env_buildings=1, sirens=1, units=2, uplinks=_uplinks(scene, rename)
        )
        gateway = systems.start_gateway(lab, site.write(lab.dir, plan))
        systems.wait_listening(plan)
        wait_until(lambda: bool(scene.cloud.told), HANG_S, "the bridge has a session at the cluster", every_s=0.1)
        devices = Field(field_port, rate, ALARMS_PER_S, smoke_buildings=1)
        devices.start()
        _play(scene, seconds)
        devices.finish()
        _drain(scene, devices, lab.dir / "data")
        sessions = bridge_status(str(lab.dir / "data"))["platform"]["sessions"]
        print(f"the bridge had {sessions} sessions, the cloud {scene.cloud.sessions}")
        gateway.stop()
        told = list(scene.cloud.told)
        verdict = judge(devices.stamps, devices.readings, devices.alarms, told, told)
        asked = [
            Asked.of(each.name, each.points(), devices.stamps, devices.readings)
            for each in (scene.victoria, scene.influx)
        ]
        if not verdict.is_clean or not all(each.is_clean for each in asked):
            lab.keep("something is missing")
        return verdict, asked


def main() -> int:
    """Command line; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--rate", type=float, default=200)
    given = options.parse_args()
    began = time.perf_counter()
    try:
        verdict, asked = measure(given.seconds, given.rate)
    except BenchError as error:
        print(f"FAILED: {error}")
        return 1
    print(f"\nacknowledged to devices: {verdict.readings} readings, {verdict.alarms} alarms")
    print(
        f"the cloud behind the cluster: {verdict.messages} different messages, {verdict.told_repeats} repeats (same id)"
    )
    print("after dropping by id:")
    for name, value in verdict.faults.items():
        print(f"  {name.replace('_', ' '):20} {value}")
    for each in asked:
        print(f"{each.name}, asked back: {each.missing} missing, {each.restamped} restamped, {each.doubled} doubled")
    for text in verdict.examples:
        print(f"  {text}")
    is_clean = verdict.is_clean and all(each.is_clean for each in asked)
    print(f"{time.perf_counter() - began:.0f} s in all\n{'PASSED' if is_clean else 'FAILED'}")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
