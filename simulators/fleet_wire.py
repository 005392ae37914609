"""Simulators: the two sockets of one gateway of a fleet: MQTT 3.1.1 and HTTP/1.1, a hundred times on one event loop.

paho has a thread and a socket pair for each client: too much for hundreds in one process. What is sent belongs to
`fleet`, when to `fleet_run`.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import Callable, Sequence

_ANSWER_S = 30.0
_CONNECT_S = 30.0
_KEEPALIVE_S = 600  # hundreds connect one after another before the first of them sends; `ping` comes each minute


class WireError(Exception):
    """The session could not be opened, or has ended."""


class MqttLine:
    """One MQTT session; ``on_ack`` gets the seconds each QoS 1 publish waited for its PUBACK."""

    def __init__(self, on_ack: Callable[[float], None]) -> None:
        self.unanswered: dict[int, float] = {}  # packet id to when it was sent
        self.error: Exception | None = None
        self._on_ack = on_ack
        self._next_id = 0
        self._reading: asyncio.Task[None] | None = None

    async def open(
        self, host: str, port: int, client_id: str, tls: ssl.SSLContext | None, will: tuple[str, bytes]
    ) -> None:
        """Connect.

        Raises:
            WireError: not reached, or refused.
        """
        try:
            async with asyncio.timeout(_CONNECT_S):
                self._reader, self._writer = await asyncio.open_connection(host, port, ssl=tls)
                self._writer.write(_connect(client_id, will))
                answer = await self._reader.readexactly(4)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise WireError(f"MQTT {host}:{port}: {error!r}") from error
        if answer[0] != 0x20 or answer[3]:
            raise WireError(f"MQTT {host}:{port} refuses the session ({answer[3]})")
        self._reading = asyncio.create_task(self._read())

    def publish(self, topic: str, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        """Send at QoS 1, all in one write."""
        now_s, parts = time.perf_counter(), []
        for payload in payloads:
            self._next_id = self._next_id % 65_535 + 1
            self.unanswered[self._next_id] = now_s
            body = _text(topic) + self._next_id.to_bytes(2, "big") + payload
            parts.append(bytes([0x33 if retain else 0x32]) + _size(len(body)) + body)
        self._writer.write(b"".join(parts))

    def ping(self) -> None:
        """So that a quiet session is not taken for a dead one."""
        if self._reading is not None:
            self._writer.write(b"\xc0\x00")

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(2)
                body = await self._reader.readexactly(head[1])
                if head[0] & 0xF0 == 0x40:
                    sent_s = self.unanswered.pop(int.from_bytes(body[:2], "big"), None)
                    if sent_s is not None:
                        self._on_ack(time.perf_counter() - sent_s)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.error = error

    async def close(self) -> None:
        """Say goodbye and end."""
        if self._reading is None:
            return
        self._writer.write(b"\xe0\x00")
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


class HttpLine:
    """One kept connection for writing lines."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._address = (host, port, tls)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def write(self, lines: Sequence[bytes]) -> int:
        """POST them, gzipped as the bridge does; the status.

        Raises:
            WireError: not reached, or no answer.
        """
        host, port, tls = self._address
        body = gzip.compress(b"\n".join(lines), 6)
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(host, port, ssl=tls)
                reader, writer = self._streams
                writer.write(
                    b"POST /api/v2/write?org=o&bucket=shouwang&precision=ns HTTP/1.1\r\n"
                    b"Host: %b:%d\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
                    % (host.encode(), port, len(body))
                    + body
                )
                return await _status(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            self.close()
            raise WireError(f"HTTP {host}:{port}: {error!r}") from error

    def close(self) -> None:
        """End the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name == "content-length":
            await reader.readexactly(int(value))
    return int(head.split(" ", 2)[1])


def _connect(client_id: str, will: tuple[str, bytes]) -> bytes:
    flags = 0x02 | 0x04 | 0x08 | 0x20  # clean session; a will, QoS 1, retained
    body = _text("MQTT") + bytes([4, flags]) + _KEEPALIVE_S.to_bytes(2, "big") + _text(client_id) + _text(will[0])
    body += len(will[1]).to_bytes(2, "big") + will[1]
    return b"\x10" + _size(len(body)) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def _size(size: int) -> bytes:
    made = bytearray()
    while True:
        size, low = divmod(size, 128)
        made.append(low | (0x80 if size else 0))
        if not size:
            return bytes(made)
