"""A small site for the simulators' tests, on ports of its own, and waiting for a condition with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from simulators.processes import free_port
from simulators.service import SimService
from simulators.site import load
from simulators.spec import SimSite

CASE = Path(__file__).parent / "cases" / "sim"


def site_at(directory: Path, mqtt_port: int = 1) -> SimSite:
    """The case's site with its field broker on ``mqtt_port`` and Modbus on a free port."""
    return load(config_at(directory, mqtt_port))


def config_at(directory: Path, mqtt_port: int = 1) -> Path:
    """A copy of the case's configuration, changed so."""
    target = directory / "config"
    shutil.copytree(CASE, target)
    site = target / "site.yaml"
    text = site.read_text("utf-8").replace("1883", str(mqtt_port)).replace("1502", str(free_port()))
    site.write_text(text, "utf-8")
    gateway = target / "gateway.yaml"
    gateway.write_text(gateway.read_text("utf-8").replace("var/test", str(directory / "data")), "utf-8")
    return target


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for the condition; fails at the deadline."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(site: SimSite, *, pace: float = 1.0) -> AsyncIterator[SimService]:
    """The simulator of a site, playing."""
    service = SimService(site, pace=pace)
    task = asyncio.create_task(service.run())
    try:
        await until(lambda: task.done() or service.is_up)
        if task.done():
            await task
        yield service
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Listener:
    """A plain MQTT client that hears everything, and can speak."""

    def __init__(self, port: int, *, topics: str = "#", clean: bool = True, client_id: str = "listener") -> None:
        self.heard: list[MQTTMessage] = []
        self._ready = False
        self._said = self._taken = 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
        self._client.on_publish = lambda *_: setattr(self, "_taken", self._taken + 1)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics, 1)
        self._client.on_subscribe = lambda *_: setattr(self, "_ready", True)
        self._client.on_message = lambda *args: self.heard.append(args[2])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        deadline = time.perf_counter() + 5
        while not self._ready:
            assert time.perf_counter() < deadline, "no SUBACK"
            time.sleep(0.005)

    def payloads(self, topic: str) -> list[bytes]:
        """What came on one topic."""
        return [bytes(each.payload) for each in self.heard if each.topic == topic]

    def say(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1."""
        self._said += 1
        self._client.publish(topic, payload, qos=1)

    @property
    def is_idle(self) -> bool:
        """Has the broker acknowledged everything that was said?"""
        return self._said == self._taken

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
