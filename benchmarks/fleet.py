"""What one gateway of 9,000 devices costs its cloud side: messages, bytes on the wire, CPU, disk.

`shouwang sim fleet` plays and multiplies what is found here.

The real gateway with 200 readings/s from its field broker, its bridge with two uplinks by TLS and client certificate:
own JSON to three nats-servers, lines to VictoriaMetrics behind nginx, as `deploy/` describes them. Bytes are counted by
a relay, with TLS and without the headers of TCP and IP.

``python -m benchmarks.fleet [--seconds 60] [--rate 200] [--write]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import site, systems
from benchmarks.harness import ROOT, BenchError, Lab, wait_until
from benchmarks.probe import Probe
from benchmarks.scale import DEVICES
from simulators.fleet_cloud import CloudSide

FILE = ROOT / "simulators" / "fleet_measured.json"
_WARM_UP_S = 10.0
_LIMIT_S = 60.0
_ALARMS = 5


@dataclass
class Relay:
    """A TCP relay that counts; `start` runs it on a thread of its own."""

    target: int
    port: int = 0
    up: int = 0  # bytes from the gateway
    down: int = 0
    ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Listen."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="relay", daemon=True).start()
        if not self.ready.wait(10):
            raise BenchError("the relay does not listen")

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the run is over
            writer.transport.abort()
            return
        await asyncio.gather(self._copy(reader, far_writer, is_up=True), self._copy(far_reader, writer, is_up=False))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_up: bool) -> None:
        try:
            while block := await source.read(65536):
                if is_up:
                    self.up += len(block)
                else:
                    self.down += len(block)
                target.write(block)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


class Listener:
    """The platform's subscriber: counts messages, readings and bytes by lane."""

    def __init__(self, cloud: CloudSide) -> None:
        self.counts: Counter[str] = Counter()
        certificates = cloud.certificates.path
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="platform")
        self._client.tls_set(
            str(certificates / "ca.pem"), str(certificates / "platform.pem"), str(certificates / "platform.key")
        )
        self._client.on_connect = lambda client, *_: client.subscribe("shouwang/#", 1)
        self._client.on_message = lambda _client, _data, message: self._take(message)
        self._client.connect("127.0.0.1", cloud.broker.mqtt_ports[1])
        self._client.loop_start()

    def _take(self, message: paho.MQTTMessage) -> None:
        lane = message.topic.rpartition("/")[2]
        self.counts[f"{lane}_messages"] += 1
        self.counts[f"{lane}_bytes"] += len(message.payload)
        if lane == "telemetry":
            self.counts["readings"] += len(json.loads(message.payload)["r"])

    def close(self) -> None:
        """End the session."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Process:
    """What a process has used, from /proc."""

    pid: int

    def cpu_s(self) -> float:
        """User and system (proc(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in text.splitlines() if line.startswith("VmRSS:"))

    def written(self) -> int:
        """Bytes sent to the disk (proc(5), io: write_bytes)."""
        text = Path(f"/proc/{self.pid}/io").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes:"))

    def child(self) -> Process:
        """Its only child process."""
        (pid,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return Process(int(pid))


def _configure(config: Path, cloud: CloudSide, mqtt: Relay, lines: Relay) -> None:
    certificates, path = cloud.certificates.path, config / "gateway.yaml"
    tls = f"{{ca: {certificates}/ca.pem, cert: {certificates}/bench.pem, key: {certificates}/bench.key}}"
    head = path.read_text().partition("  uplinks:\n")[0]
    path.write_text(
        f"{head}  uplinks:\n    platform: {{type: mqtt, host: 127.0.0.1, port: {mqtt.port}, tls: {tls}}}\n"
        f'    series: {{type: influxdb, url: "https://127.0.0.1:{lines.port}", bucket: b, org: o, tls: {tls}}}\n'
    )


def measure(seconds: float, rate: float) -> dict[str, Any]:
    """One run; what a gateway costs, by second."""
    with Lab() as lab, CloudSide(lab.dir / "cloud", [site.GATEWAY_ID]).running() as cloud:
        mqtt, lines = Relay(cloud.broker.mqtt_ports[0]), Relay(cloud.series.port)
        mqtt.start()
        lines.start()
        plan = systems.plan_for(lab.broker(), **DEVICES)
        config = site.write(lab.dir, plan)
        _configure(config, cloud, mqtt, lines)
        listener, probe = Listener(cloud), Probe(plan.field_port)
        gateway = Process(systems.start_gateway(lab, config).pid)
        probe.wait_ready(_LIMIT_S, every_s=0.05)
        topics = (DEVICES["env_buildings"] - 1) * site.ROOMS_PER_BUILDING
        lab.script("background", str(plan.field_port), str(rate), str(topics))
        wait_until(lambda: listener.counts["telemetry_messages"] > 0, _LIMIT_S, "telemetry arrives")
        time.sleep(_WARM_UP_S)
        found = _window(seconds, gateway, listener, (mqtt, lines), cloud)
        before = Counter(listener.counts)
        for n in range(_ALARMS):
            if probe.alarm(site.address(n)) is None:
                raise BenchError("an alarm was not answered")
        wait_until(
            lambda: listener.counts["alarm_messages"] - before["alarm_messages"] >= _ALARMS, 10, "alarms in the cloud"
        )
        found["mqtt"]["bytes_per_alarm_message"] = round(
            (listener.counts["alarm_bytes"] - before["alarm_bytes"])
            / (listener.counts["alarm_messages"] - before["alarm_messages"])
        )
        listener.close()
        probe.close()
    return found


def _requests(cloud: CloudSide) -> int:
    """How many writes the time-series store has answered."""
    from urllib.request import urlopen  # noqa: PLC0415

    with urlopen(f"{cloud.series.inner_url}/metrics") as answer:
        text = answer.read().decode()
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in text.splitlines()
        if line.startswith("vm_http_requests_total{") and "write" in line and "influx" in line.lower()
    )


def _window(
    seconds: float, gateway: Process, listener: Listener, relays: tuple[Relay, Relay], cloud: CloudSide
) -> dict[str, Any]:
    bridge, (mqtt, lines) = gateway.child(), relays
    names = ("gateway_cpu", "bridge_cpu", "gateway_disk", "bridge_disk", "mqtt_up", "mqtt_down", "lines_up",
             "lines_down", "posts", "messages", "readings", "bytes")  # fmt: skip

    def look() -> dict[str, float]:
        counts = listener.counts
        return dict(zip(names, (
            gateway.cpu_s(), bridge.cpu_s(), gateway.written(), bridge.written(), mqtt.up, mqtt.down, lines.up,
            lines.down, _requests(cloud), counts["telemetry_messages"], counts["readings"], counts["telemetry_bytes"],
        ), strict=True))  # fmt: skip

    began, first = time.perf_counter(), look()
    time.sleep(seconds)
    last, took_s = look(), time.perf_counter() - began
    each = {name: (last[name] - first[name]) / took_s for name in names}
    return {
        "devices": sum(DEVICES.values()) * site.ROOMS_PER_BUILDING,
        "readings_per_s": round(each["readings"], 1),
        "mqtt": {
            "messages_per_s": round(each["messages"], 1),
            "readings_per_message": round(each["readings"] / each["messages"], 2),
            "bytes_per_message": round(each["bytes"] / each["messages"]),
            "up_bytes_per_s": round(each["mqtt_up"]),
            "down_bytes_per_s": round(each["mqtt_down"]),
        },
        "series": {
            "posts_per_s": round(each["posts"], 2),
            "lines_per_post": round(each["readings"] / max(each["posts"], 0.01), 1),
            "up_bytes_per_s": round(each["lines_up"]),
            "down_bytes_per_s": round(each["lines_down"]),
        },
        "box": {
            "gateway_cpu_percent": round(each["gateway_cpu"] * 100, 1),
            "bridge_cpu_percent": round(each["bridge_cpu"] * 100, 1),
            "gateway_rss_mb": round(gateway.rss_mb()),
            "bridge_rss_mb": round(bridge.rss_mb()),
            "disk_bytes_per_s": round(each["gateway_disk"] + each["bridge_disk"]),
        },
        "measured": {"seconds": round(took_s), "cpus": os.cpu_count(), "python": platform.python_version(),
                     "load": [round(one, 2) for one in os.getloadavg()]},
    }  # fmt: skip


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--rate", type=float, default=200)
    options.add_argument("--write", action="store_true", help=f"keep it in {FILE.name}")
    given = options.parse_args()
    text = json.dumps(measure(given.seconds, given.rate), indent=2) + "\n"
    print(text, end="")
    if given.write:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
