"""Simulators: a platform that speaks MQTT (3.1.1 and 5) and misbehaves as told: what no real broker does on demand.

It takes publications and answers them; it has no subscribers. What it acknowledged is handed to ``on_taken``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

MODES = (
    "ok",  # everything is acknowledged
    "close",  # the session is ended at a poisonous message, as ThingsBoard does over 3.1.1
    "refuse",  # a poisonous message gets PUBACK 0x99 (MQTT 5); over 3.1.1, which has no such answer, the session ends
    "reset",  # RST at a poisonous message
    "garbage",  # bytes that are no MQTT at a poisonous message
    "silent",  # everything but a poisonous message is acknowledged
    "withhold",  # nothing is acknowledged
    "slow",  # every acknowledgement comes `slow_s` late
    "half_close",  # our side of the connection is ended at the next message, the other is read on
    "stall",  # nothing is read any more
    "deaf",  # no CONNACK
)
_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 8, 12, 14
_MAX_PACKET = 1_000_000
_INVALID_PAYLOAD = 0x99


class Message(NamedTuple):
    """A PUBLISH; ``mid`` is 0 at QoS 0."""

    topic: str
    payload: bytes
    mid: int


class _End(Exception):  # noqa: N818 - an answer
    """The session ends here."""


class CloudMqtt:
    """One platform on 127.0.0.1. ``counts``: sessions, published, poison (seen), acknowledged, refused."""

    def __init__(self, mode: str = "ok", *, poison: Sequence[bytes] = (), port: int = 0) -> None:
        """``poison``: a message that contains one of these is poisonous. ``port`` 0: any free one."""
        self.port = port
        self.poison = tuple(poison)
        self.slow_s = 0.5
        self.counts: Counter[str] = Counter()
        self.on_taken: Callable[[str, bytes], None] = lambda _topic, _payload: None
        self._mode = ""
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.TimerHandle] = set()
        self.set_mode(mode)

    @property
    def mode(self) -> str:
        """One of MODES."""
        return self._mode

    def set_mode(self, mode: str) -> None:
        """From now on; what was stalled goes on.

        Raises:
            ValueError: no such mode.
        """
        if mode not in MODES:
            raise ValueError(f"mode {mode}: use one of {', '.join(MODES)}")
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every session."""
        if self._server:
            self._server.close()
        for late in self._late:
            late.cancel()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await self._session(reader, writer)
        except (_End, asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._sessions.discard(task)
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_v5 = False
        while True:
            while self._mode == "stall":
                await self._changed.wait()
            head, body = await _packet(reader)
            if writer.transport.is_closing():
                raise _End
            kind = head >> 4
            if kind == _CONNECT:
                is_v5 = body[6] == 5
                while self._mode == "deaf":
                    await self._changed.wait()
                self.counts["sessions"] += 1
                writer.write(b"\x20\x03\x00\x00\x00" if is_v5 else b"\x20\x02\x00\x00")
            elif kind == _PUBLISH:
                self._answer(_message(head, body, is_v5=is_v5), writer, is_v5=is_v5)
            elif kind == _SUBSCRIBE:
                writer.write(b"\x90\x04" + body[:2] + b"\x00\x01" if is_v5 else b"\x90\x03" + body[:2] + b"\x01")
            elif kind == _PINGREQ:
                writer.write(b"\xd0\x00")
            elif kind == _DISCONNECT:
                raise _End

    def _answer(self, message: Message, writer: asyncio.StreamWriter, *, is_v5: bool) -> None:
        self.counts["published"] += 1
        is_poison = any(each in message.payload for each in self.poison)
        self.counts["poison"] += is_poison
        if self._mode == "half_close" and not writer.transport.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()
        if self._mode in ("withhold", "half_close") or not message.mid or (is_poison and self._mode == "silent"):
            return
        if is_poison and self._mode in ("close", "refuse", "reset", "garbage"):
            self.counts["refused"] += 1
            self._refuse(message, writer, is_v5=is_v5)
            return
        if self._mode == "slow":
            self._later(message, writer)
        else:
            self._take(message, writer)

    def _refuse(self, message: Message, writer: asyncio.StreamWriter, *, is_v5: bool) -> None:
        if self._mode == "refuse" and is_v5:
            writer.write(b"\x40\x04" + message.mid.to_bytes(2, "big") + bytes((_INVALID_PAYLOAD, 0)))
            return
        if self._mode == "garbage":
            writer.write(b"\x00\xff\xff\xff\xff\xff")
            return
        if self._mode == "reset":
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        raise _End

    def _later(self, message: Message, writer: asyncio.StreamWriter) -> None:
        def take() -> None:
            self._late.discard(handle)
            if not writer.transport.is_closing():
                self._take(message, writer)

        handle = asyncio.get_running_loop().call_later(self.slow_s, take)
        self._late.add(handle)

    def _take(self, message: Message, writer: asyncio.StreamWriter) -> None:
        """Written down first: an acknowledgement that gets lost must not look like a message that did."""
        self.counts["acknowledged"] += 1
        self.on_taken(message.topic, message.payload)
        writer.write(b"\x40\x02" + message.mid.to_bytes(2, "big"))


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            break
        if shift > 21:
            raise _End
    if size > _MAX_PACKET:
        raise _End
    return head, await reader.readexactly(size)


def _message(head: int, body: bytes, *, is_v5: bool) -> Message:
    size = int.from_bytes(body[:2], "big")
    at = 2 + size
    mid = 0
    if head & 6:
        mid, at = int.from_bytes(body[at : at + 2], "big"), at + 2
    if is_v5:
        at += _properties_size(body, at)
    return Message(body[2 : 2 + size].decode(), body[at:], mid)


def _properties_size(body: bytes, at: int) -> int:
    """Bytes of the properties with their length before them (MQTT 5, 2.2.2)."""
    size = shift = 0
    for used, digit in enumerate(body[at : at + 4], start=1):
        size |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return used + size
    raise _End
