"""What tests of the bridge need: an outbox with rows, real brokers, a platform that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud_bridge.run import run_bridge
from gateway.model import (
    SYSTEM,
    Alarm,
    AlarmClass,
    AlarmEvent,
    Device,
    DeviceParams,
    Lane,
    Place,
    Point,
    Reading,
    Site,
    Uplink,
)
from gateway.store import outbox
from gateway.store.database import open_gateway

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
GATEWAY = "gw-1"
DEADLINE_S = 20.0


async def until(is_true: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition; fail with ``what`` when it does not come true."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not is_true():
        assert asyncio.get_running_loop().time() < end, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need(program: str, package: str) -> str:
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if path is None:
        pytest.skip(f"needs {program}: apt-get install {package}")
    return path


def device(address: str, kind: str, points: Sequence[tuple[str, str]], zone: str = "") -> Device:
    device_id = f"{address}/{kind}"
    return Device(
        id=device_id,
        kind=kind,
        title=kind,
        place=Place(address, building=address.split("-", maxsplit=1)[0], zone=zone),
        profile=kind,
        bus_id="field",
        offline_after_s=None,
        points=tuple(Point(f"{device_id}/{name}", device_id, name, type_) for name, type_ in points),
        params=DeviceParams(None, None),
    )


def site(data_dir: Path, *uplinks: Uplink, devices: Sequence[Device] = ()) -> Site:
    return Site(
        id=GATEWAY,
        title="阳光花园",
        timezone="Asia/Shanghai",
        data_dir=str(data_dir),
        web_host="127.0.0.1",
        web_port=0,
        buses={},
        devices={each.id: each for each in devices},
        rules=(),
        recipients={},
        uplinks=uplinks,
        digest="",
    )


def event(number: int, version: int = 1) -> tuple[AlarmEvent, Alarm]:
    at = START + timedelta(seconds=number)
    point = f"3-2-03-{number:04d}/smoke/alarm"
    alarm = Alarm(
        id=f"smoke-fire:{point}:1",
        rule_id="smoke-fire",
        point_id=point,
        device_id=point.rpartition("/")[0],
        occurrence=1,
        alarm_class=AlarmClass.FIRE,
        title="烟感火警",
        place="3-2-03-0301",
        raised_at=at,
        version=version,
    )
    return AlarmEvent(alarm.id, version, "raised", at, SYSTEM, {"value": True}), alarm


class Box:
    """A gateway's data directory with a real outbox."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.db = open_gateway(str(directory))

    def readings(self, count: int, start: int = 0, each: int = 1) -> None:
        """``count`` rows of ``each`` readings of one point, numbered on from ``start``."""
        for row in range(count):
            first = start + row * each
            self.append([self.reading(first + index) for index in range(each)])

    def reading(self, number: int) -> Reading:
        at = START + timedelta(milliseconds=number)
        return Reading("3-1-B1-CP01/ebike/power.1", number, at, at)

    def append(self, readings: Sequence[Reading] = (), events: Sequence[tuple[AlarmEvent, Alarm]] = ()) -> None:
        with self.db:
            outbox.append(self.db, 0, readings, events)

    def alarms(self, *numbers: int) -> None:
        self.append(events=[event(each) for each in numbers])

    def settled(self, uplink: str) -> dict[Lane, int]:
        store = outbox.CursorStore(str(self.directory))
        try:
            return {lane: store.get(uplink, lane) for lane in Lane}
        finally:
            store.close()

    def rejected(self, uplink: str) -> int:
        store = outbox.CursorStore(str(self.directory))
        try:
            return store.rejected(uplink)
        finally:
            store.close()

    def last(self) -> dict[Lane, int]:
        reader = outbox.OutboxReader(str(self.directory))
        try:
            return {lane: reader.last_seq(lane) for lane in Lane}
        finally:
            reader.close()

    def status(self, uplink: str) -> dict[str, Any]:
        return outbox.bridge_status(str(self.directory)).get(uplink, {})


@contextlib.asynccontextmanager
async def bridging(of: Site) -> AsyncIterator[asyncio.Task[None]]:
    """The bridge, in this process, until the end of the block."""
    task = asyncio.create_task(run_bridge(of, of.data_dir))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Mosquitto:
    """A real broker that can be killed and started again on the same port."""

    def __init__(self, directory: Path, extra: str = "") -> None:
        self._program = need("mosquitto", "mosquitto")
        self.port = free_port()
        self._config = directory / f"mosquitto-{self.port}.conf"
        self._config.write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            f"max_inflight_messages 1000\n{extra}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
        raise AssertionError("mosquitto does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def mosquitto(directory: Path, extra: str = "") -> Iterator[Mosquitto]:
    broker = Mosquitto(directory, extra)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class Platform:
    """What the cloud sees: a subscriber at the platform's broker that comes back after each loss."""

    def __init__(self, port: int, tls: Callable[[paho.Client], None] | None = None) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.is_ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "platform", clean_session=False)
        if tls is not None:
            tls(self._client)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("shouwang/#", 1) and None
        self._client.on_subscribe = lambda *_: self.is_ready.set()
        self._client.on_message = lambda _client, _data, got: self.messages.append(
            (got.topic, orjson.loads(got.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self.is_ready.wait(DEADLINE_S)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for topic, body in list(self.messages) if topic.endswith("/" + kind)]

    def values(self) -> list[Any]:
        """Every reading's value, in the order of arrival."""
        return [row[1] for body in self.of("telemetry") for row in body["r"]]

    def alarm_ids(self) -> list[str]:
        return [body["id"] for body in self.of("alarm")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def platform(port: int, tls: Callable[[paho.Client], None] | None = None) -> Iterator[Platform]:
    seen = Platform(port, tls)
    try:
        yield seen
    finally:
        seen.close()


class Packet:
    """An MQTT packet as the stand-in reads it."""

    def __init__(self, head: int, body: bytes, *, is_v5: bool = False) -> None:
        self.kind = head >> 4
        self.body = body
        self.properties = b""  # at most 127 bytes of them
        if self.kind == 3:
            size = int.from_bytes(body[:2])
            self.topic = body[2 : 2 + size].decode()
            body = body[2 + size :]
            self.mid, body = (body[:2], body[2:]) if head & 6 else (b"", body)
            if is_v5:
                self.properties, body = body[1 : 1 + body[0]], body[1 + body[0] :]
            self.payload = body


class StandIn:
    """A platform that does what no broker does on demand. ``answer`` gets each PUBLISH; True sends its PUBACK.

    A number of 128 or more instead of True is the reason of the PUBACK (MQTT 5). ``receive_max`` None: MQTT 3.1.1.
    """

    def __init__(self, answer: Callable[[Packet], bool | int], receive_max: int | None = None) -> None:
        self.published: list[Packet] = []
        self.sessions = 0
        self.port = 0
        self._answer = answer
        self._receive_max = receive_max
        self._writer: asyncio.StreamWriter | None = None

    def acknowledge(self, mid: bytes) -> None:
        """The PUBACK of a message that was not answered at once."""
        assert self._writer is not None
        self._writer.write(b"\x40\x02" + mid)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self._writer, is_v5 = writer, False
            while True:
                packet = await _packet(reader, is_v5=is_v5)
                if packet.kind == 1:
                    is_v5 = packet.body[6] == 5
                    writer.write(self._connack(is_v5=is_v5))
                elif packet.kind == 3:
                    self.published.append(packet)
                    said = self._answer(packet)
                    if said and packet.mid:
                        reason = bytes((said,)) if said >= 0x80 else b""
                        writer.write(bytes((0x40, 2 + len(reason))) + packet.mid + reason)
                elif packet.kind == 8:
                    writer.write(_suback(packet.body, is_v5=is_v5))
                elif packet.kind == 12:
                    writer.write(b"\xd0\x00")
        except (asyncio.IncompleteReadError, ConnectionError, Hangup):
            pass
        finally:
            writer.close()

    def _connack(self, *, is_v5: bool) -> bytes:
        if self._receive_max is None and is_v5:
            return b"\x20\x02\x00\x01"  # unacceptable protocol version
        self.sessions += 1
        most = self._receive_max or 0
        return b"\x20\x06\x00\x00\x03\x21" + most.to_bytes(2, "big") if is_v5 else b"\x20\x02\x00\x00"

    def ids(self) -> list[str]:
        return [orjson.loads(each.payload).get("id", "state") for each in self.published]


class Hangup(Exception):  # noqa: N818 - raised by an ``answer`` to drop the session
    """Drop the session now."""


def _suback(body: bytes, *, is_v5: bool) -> bytes:
    """QoS 1 granted to each filter of a SUBSCRIBE."""
    at, count = (3 if is_v5 else 2), 0
    while at < len(body):
        at, count = at + 3 + int.from_bytes(body[at : at + 2]), count + 1
    properties = b"\x00" if is_v5 else b""
    return bytes((0x90, 2 + len(properties) + count)) + body[:2] + properties + b"\x01" * count


async def _packet(reader: asyncio.StreamReader, *, is_v5: bool = False) -> Packet:
    head = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return Packet(head, await reader.readexactly(size), is_v5=is_v5)


@contextlib.asynccontextmanager
async def stand_in(answer: Callable[[Packet], bool | int], receive_max: int | None = None) -> AsyncIterator[StandIn]:
    """A stand-in on a free port of loopback."""
    it = StandIn(answer, receive_max)
    async with listening(it.serve) as port:
        it.port = port
        yield it


@contextlib.asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A TCP server of the test's own; the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.sleep(0)
