"""A socket that reads and writes in large pieces, and paho made to use it. No session and no packets here."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client

_READ_BYTES = 65_536


class BufferedSocket:
    """Looks like a socket to paho; reads and writes the real one in large pieces."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.data = b""  # what was read; ``at`` is how far it was taken
        self.at = 0
        self.until = 0  # how far `recv` may take: paho reads on where it finds more than one packet
        self._discard = 0  # bytes to throw away as they come
        self._out = bytearray()
        self.on_close: Callable[[int], None] | None = None  # called with the descriptor while it is still open

    def fileno(self) -> int:
        """The real descriptor."""
        return self._real.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the signature of socket
        """As of a socket."""
        self._real.setblocking(flag)

    def settimeout(self, value: float | None) -> None:
        """As of a socket."""
        self._real.settimeout(value)

    def pending(self) -> int:
        """Bytes that were read and not yet asked for."""
        return len(self.data) - self.at

    def close(self) -> None:
        """Write what is left, and close."""
        if self.on_close is not None and self._real.fileno() >= 0:
            self.on_close(self._real.fileno())
        with contextlib.suppress(OSError):
            self.flush()  # paho closes right after DISCONNECT: unsent, the broker would publish the will
        self._real.close()

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes of what was read, up to ``until``; raises BlockingIOError where there are none."""
        start = self.at
        end = min(start + size, self.until)
        if end <= start:
            raise BlockingIOError
        self.at = end
        return self.data[start:end]

    def discard_to(self, end: int) -> None:
        """Throw away everything up to ``end``, also what has not come yet: it is never kept."""
        self._discard = max(0, end - len(self.data))
        self.at = min(end, len(self.data))

    def fill(self) -> bool:
        """Read what the real socket holds; False at the end of the stream."""
        try:
            data = self._real.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        is_alive = bool(data)
        if self._discard:
            gone = min(self._discard, len(data))
            self._discard -= gone
            data = data[gone:]
        self.data = self.data[self.at :] + data
        self.at = 0
        return is_alive

    def tls_pending(self) -> bool:
        """Decrypted bytes wait that the selector cannot see."""
        return isinstance(self._real, ssl.SSLSocket) and self._real.pending() > 0

    def send(self, data: bytes | bytearray) -> int:
        """Keep for the next flush; all of it."""
        self._out += data
        return len(data)

    def flush(self) -> bool:
        """Write what is buffered; False while some of it waits for the real socket."""
        try:
            while self._out:
                sent = self._real.send(self._out)
                del self._out[:sent]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True

    def forget(self) -> None:
        """Throw away what has not been sent."""
        self._out.clear()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the real socket."""
        return len(self._out)


class Paho(Client):
    """paho with a buffered socket and nothing else changed."""

    buffered: BufferedSocket | None = None

    def _create_socket(self) -> Any:
        real: Any = super()._create_socket()
        real.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a command must not wait for another's ACK
        self.buffered = BufferedSocket(real)
        return self.buffered
