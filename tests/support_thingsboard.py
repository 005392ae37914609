"""A ThingsBoard for tests: a real broker under it, all that is said there, and its own client as a peer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from cloud_bridge.ask import Answer, Ask, Request, refuse
from cloud_bridge.ledger import Ledger
from cloud_bridge.pump import Pump
from cloud_bridge.selection import Selection
from cloud_bridge.thingsboard_settings import ThingsboardParams
from cloud_bridge.thingsboard_uplink import ThingsboardUplink
from cloud_bridge.uplink import Context
from gateway.clock import SystemClock
from gateway.model import AlarmClass, Condition, Device, Rule, Site, Uplink
from gateway.store.outbox import OutboxReader
from tests.support_bridge import DEADLINE_S, GATEWAY, device, site
from tests.support_broker import need

HERE = Path(__file__).parent
SMOKE, CABINET, DOOR = "3-2-03-0301/smoke", "3-1-B1-CP01/ebike", "3-1-DOOR/door"


def devices() -> list[Device]:
    """A smoke detector, a charging cabinet, a door."""
    return [
        device("3-2-03-0301", "smoke", [("alarm", "bool"), ("battery", "float")]),
        device("3-1-B1-CP01", "ebike", [("power.1", "float"), ("power.2", "float"), ("card", "text")]),
        device("3-1-DOOR", "door", [("lock", "bool")]),
    ]


def name(device_id: str) -> str:
    """What a device is called on the platform."""
    return f"{GATEWAY}/{device_id}"


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "thingsboard", {"host": "127.0.0.1", "port": str(port), **more})


class Said(NamedTuple):
    """One message as the broker hands it on."""

    topic: str
    body: Any
    qos: int
    retain: bool


class Ear:
    """Hears everything that is published, with its QoS and retain flag as the publisher gave them; may speak."""

    def __init__(self, port: int) -> None:
        self.said: list[Said] = []
        self._mine: list[tuple[str, Any]] = []
        self._is_ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "ear", protocol=MQTTProtocolVersion.MQTTv5)
        options = SubscribeOptions(qos=2, retainAsPublished=True)
        self._client.on_connect = lambda client, *_: client.subscribe("#", options=options) and None
        self._client.on_subscribe = lambda *_: self._is_ready.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._is_ready.wait(DEADLINE_S)

    def _hear(self, _client: object, _data: object, got: paho.MQTTMessage) -> None:
        with contextlib.suppress(orjson.JSONDecodeError):  # what was said here to be hostile
            self.said.append(Said(got.topic, orjson.loads(got.payload), got.qos, got.retain))

    def of(self, topic: str) -> list[Any]:
        return [each.body for each in list(self.said) if each.topic == topic]

    def is_mine(self, said: Said) -> bool:
        """Was it said here, as the platform?"""
        return (said.topic, said.body) in self._mine

    def say(self, topic: str, body: Any, *, retain: bool = False) -> None:
        """As the platform."""
        self._mine.append((topic, body))
        payload = body if isinstance(body, bytes) else orjson.dumps(body)
        self._client.publish(topic, payload, 1, retain).wait_for_publish(DEADLINE_S)

    def shout(self, topic: str, bodies: list[Any]) -> None:
        """As the platform, all at once."""
        told = [self._client.publish(topic, orjson.dumps(each), 1) for each in bodies]
        told[-1].wait_for_publish(DEADLINE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def ear(port: int) -> Iterator[Ear]:
    it = Ear(port)
    try:
        yield it
    finally:
        it.close()


class Asked:
    """An `Ask` that answers as it is told and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Request] = []
        self._answer = answer

    async def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        return self._answer


def house(directory: Path, *uplinks: Uplink) -> Site:
    """The site with its devices, the box, and one rule."""
    box = replace(device("gateway", "box", [("time_ok", "bool")]), kind="gateway", bus_id="")
    rule = Rule("smoke-fire", "烟感火警", AlarmClass.FIRE, (f"{SMOKE}/alarm",), Condition("equals", True))
    return replace(site(directory, *uplinks, devices=[*devices(), box]), rules=(rule,))


@contextlib.asynccontextmanager
async def pumping(of: Site, port: int, ask: Ask = refuse, **params: Any) -> AsyncIterator[ThingsboardUplink]:
    """One uplink at work on the site's outbox, with its platform's questions answered by ``ask``."""
    reader, ledger, clock = OutboxReader(of.data_dir), Ledger(of.data_dir), SystemClock()
    await ledger.adopt(reader.epoch)
    known = ThingsboardParams.model_validate({"host": "127.0.0.1", "port": port, **params})
    uplink = ThingsboardUplink(Context(of, clock, Selection(of, known), reader.epoch, ask), known)
    pump = Pump("cloud", uplink, reader=reader, ledger=ledger, bell=asyncio.Event(), clock=clock)
    task = asyncio.create_task(pump.run())
    try:
        yield uplink
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        ledger.close()
        reader.close()


class Peer:
    """ThingsBoard's own client in its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method; returns what it returns, or when the broker has acknowledged what it published."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, *arguments]).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), DEADLINE_S)
        return orjson.loads(line)


@contextlib.asynccontextmanager
async def peer(path: Path, port: int) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "support_thingsboard_peer.py"),
        str(port),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(path)},
    )
    try:
        yield Peer(process)
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
def peer_path(request: pytest.FixtureRequest) -> Path:
    """Where the peer is installed; once, kept beside pytest's own cache."""
    cache: Path = request.config.cache.mkdir("thingsboard-peer")
    wanted = HERE / "peers" / "thingsboard.txt"
    path = cache / zlib.crc32(wanted.read_bytes()).to_bytes(4).hex()
    if not path.exists():
        fresh = cache / f"fresh-{os.getpid()}"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run([*command, "--target", str(fresh), "-r", str(wanted)], capture_output=True, check=False)
        need("tb-mqtt-client (from PyPI)", is_there=done.returncode == 0)
        with contextlib.suppress(OSError):
            fresh.rename(path)
        shutil.rmtree(fresh, ignore_errors=True)
    return path
