"""Just enough MQTT 3.1.1 to generate load and to watch: encodes packets in advance and splits what comes back.

A load generator, not a client library: it never reconnects and keeps no state. It shares no code with what it
measures. Source: OASIS MQTT 3.1.1, chapters 2 and 3.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9


class Packet(NamedTuple):
    """One control packet: its type (2.2.1), its flags and everything after the fixed header."""

    kind: int
    flags: int
    body: bytes


class Published(NamedTuple):
    """A PUBLISH as received; ``mid`` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int
    mid: int


def _length(n: int) -> bytes:
    out = bytearray()
    while True:
        n, digit = divmod(n, 128)
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def encode_connect(client_id: str, *, clean: bool = True, keepalive_s: int = 600) -> bytes:
    """CONNECT (3.1) without credentials."""
    body = _text("MQTT") + bytes((4, 2 if clean else 0)) + keepalive_s.to_bytes(2, "big") + _text(client_id)
    return b"\x10" + _length(len(body)) + body


def encode_subscribe(mid: int, filters: Sequence[tuple[str, int]]) -> bytes:
    """SUBSCRIBE (3.8)."""
    body = mid.to_bytes(2, "big") + b"".join(_text(topic) + bytes((qos,)) for topic, qos in filters)
    return b"\x82" + _length(len(body)) + body


def encode_publish(topic: str, payload: bytes, mid: int = 0) -> bytes:
    """PUBLISH (3.3): QoS 1 with a ``mid`` of 1–65535, QoS 0 without."""
    body = _text(topic) + (mid.to_bytes(2, "big") if mid else b"") + payload
    return (b"\x32" if mid else b"\x30") + _length(len(body)) + body


def encode_puback(mid: int) -> bytes:
    """PUBACK (3.4)."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def decode_publish(packet: Packet) -> Published:
    """The parts of a PUBLISH."""
    body, qos = packet.body, (packet.flags >> 1) & 3
    end = 2 + int.from_bytes(body[:2], "big")
    mid = int.from_bytes(body[end : end + 2], "big") if qos else 0
    return Published(body[2:end].decode(), body[end + (2 if qos else 0) :], qos, mid)


class Splitter:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are complete now."""
        data = self._rest + data if self._rest else data
        start, end = 0, len(data)
        while end - start >= 2:
            length = shift = 0
            at = start + 1
            while at < end:
                digit = data[at]
                length |= (digit & 0x7F) << shift
                shift += 7
                at += 1
                if digit < 0x80:
                    break
            else:
                break
            if at + length > end:
                break
            yield Packet(data[start] >> 4, data[start] & 15, data[at : at + length])
            start = at + length
        self._rest = data[start:]


def connect(port: int, client_id: str, *, clean: bool = True, timeout_s: float = 10.0) -> tuple[socket.socket, bool]:
    """A blocking socket with an MQTT session on 127.0.0.1, and whether the broker knew the session before.

    Raises OSError when there is no broker or it refuses.
    """
    link = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(encode_connect(client_id, clean=clean))
    answer = b""
    while len(answer) < 4:
        more = link.recv(4 - len(answer))
        if not more:
            raise ConnectionError(f"the broker on port {port} closed the connection of {client_id}")
        answer += more
    if answer[0] >> 4 != CONNACK or answer[3] != 0:
        raise ConnectionError(f"the broker on port {port} refused {client_id}: return code {answer[3]}")
    return link, bool(answer[2] & 1)
