"""The line between the bridge and the platform's broker: can be cut or stalled, and writes down what passed on it.

The broker is a real one; what counts as told is what it acknowledged on this line (PUBACK without an error, MQTT 3.1.1
and 5). So a broker that is killed with what it had in memory takes nothing away from the count.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from benchmarks import wire
from benchmarks.harness import free_port
from benchmarks.loops import LoopThread

_CONNECT = 1
_PIECE = 65_536


class Trouble(StrEnum):
    """How the line fails."""

    CUT = "cut"  # every connection reset, new ones refused
    STALL = "stall"  # connections stay and new ones are taken, but nothing passes
    DOWN = "down"  # the broker itself is dead; the line is whole


@dataclass
class Record:
    """What was seen, in order: ``(topic, payload)``."""

    published: list[tuple[str, bytes]] = field(default_factory=list)  # every PUBLISH of QoS 1, acknowledged or not
    told: list[tuple[str, bytes]] = field(default_factory=list)  # those that the broker acknowledged
    sessions: int = 0
    connections: list[int] = field(default_factory=list)  # on which one each of ``published`` went
    acknowledged: list[int] = field(default_factory=list)  # of each of ``told``: its place in ``published``
    hellos: dict[int, bytes] = field(default_factory=dict)  # what stands in the CONNECT of each connection

    def connect(self) -> int:
        """A connection was opened; its number."""
        self.hellos[len(self.hellos)] = b""
        return len(self.hellos) - 1

    def publish(self, connection: int, message: tuple[str, bytes]) -> int:
        """A message was seen; its place."""
        self.published.append(message)
        self.connections.append(connection)
        return len(self.published) - 1

    def tell(self, place: int) -> None:
        """It was acknowledged."""
        self.told.append(self.published[place])
        self.acknowledged.append(place)


class Listener(Protocol):
    """Listens to one connection, both ways, and writes into its `Record`."""

    def hear_out(self, data: bytes) -> None:
        """Bytes towards the platform."""
        ...

    def hear_in(self, data: bytes) -> None:
        """Bytes from the platform."""
        ...


class Ear:
    """Listens to one connection, both ways."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._out, self._in = wire.Splitter(), wire.Splitter()
        self._is_v5 = False
        self._number = record.connect()
        self._waiting: dict[int, int] = {}
        self._aliases: dict[int, str] = {}

    def hear_out(self, data: bytes) -> None:
        """Bytes towards the broker."""
        for packet in self._out.feed(data):
            if packet.kind == _CONNECT:
                self._is_v5 = packet.body[6] == 5
                self._record.hellos[self._number] = packet.body
            elif packet.kind == wire.PUBLISH:
                self._publish(packet)

    def hear_in(self, data: bytes) -> None:
        """Bytes from the broker."""
        for packet in self._in.feed(data):
            if packet.kind == wire.CONNACK and not packet.body[1]:
                self._record.sessions += 1
            elif packet.kind == wire.PUBACK:
                place = self._waiting.pop(int.from_bytes(packet.body[:2], "big"), None)
                is_refused = len(packet.body) > 2 and packet.body[2] >= 0x80
                if place is not None and not is_refused:
                    self._record.tell(place)

    def _publish(self, packet: wire.Packet) -> None:
        if not packet.flags & 6:
            return  # QoS 0: nobody acknowledges it, nobody counts on it
        found = wire.decode_publish(packet)
        topic, payload = found.topic, found.payload
        if self._is_v5:
            alias, payload = _properties(payload)
            if alias:
                topic = topic or self._aliases.get(alias, "")
                self._aliases[alias] = topic
        self._waiting[found.mid] = self._record.publish(self._number, (topic, payload))


def _properties(rest: bytes) -> tuple[int, bytes]:
    """(topic alias, payload) of what follows the packet identifier of an MQTT 5 PUBLISH (3.3.2.3)."""
    size, at = _varint(rest, 0)
    end = at + size
    alias = 0
    while at < end:
        kind, at = rest[at], at + 1
        if kind in (0x08, 0x09):  # response topic, correlation data
            at += 2 + int.from_bytes(rest[at : at + 2], "big")
        elif kind in (0x03, 0x26):  # content type; user property: two texts
            for _ in range(2 if kind == 0x26 else 1):
                at += 2 + int.from_bytes(rest[at : at + 2], "big")
        elif kind == 0x23:
            alias, at = int.from_bytes(rest[at : at + 2], "big"), at + 2
        elif kind == 0x0B:
            _, at = _varint(rest, at)
        else:  # payload format (1 byte), message expiry (4)
            at += 1 if kind == 0x01 else 4
    return alias, rest[end:]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        digit = data[at]
        value |= (digit & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if digit < 0x80:
            return value, at


class Line(LoopThread):
    """A TCP relay to the platform's broker; ``ear`` listens to each connection."""

    def __init__(self, target: int, ear: Callable[[Record], Listener] = Ear) -> None:
        super().__init__("line")
        self._ear = ear
        self.port = free_port()
        self.record = Record()
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._passes = asyncio.Event()

    def fail(self, trouble: Trouble) -> None:
        """From now on nothing passes."""
        if trouble is Trouble.CUT:
            self.do(self._close())
        elif trouble is Trouble.STALL:
            self.do(self._stall())

    def mend(self) -> None:
        """From now on it passes again."""
        self.do(self.begin())

    async def begin(self) -> None:
        """Let pass."""
        self._passes.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)

    async def _stall(self) -> None:
        self._passes.clear()

    async def _close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for each in self._open:
            each.transport.abort()
        self._open.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passes.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._open |= both
        ear = self._ear(self.record)
        await asyncio.gather(
            self._pass_on(reader, far_writer, ear.hear_out), self._pass_on(far_reader, writer, ear.hear_in)
        )
        self._open -= both

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, hear: Callable[[bytes], None]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                await self._passes.wait()
                hear(data)
                sink.write(data)
                await sink.drain()
        sink.close()
