"""A socket that reads and writes in large pieces, for a library that asks for single bytes. No protocol here."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

_READ_BYTES = 65_536


class BufferedSocket:
    """Looks like a socket to paho; reads and writes the real one in large pieces."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self._in = b""
        self._at = 0
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
        return len(self._in) - self._at

    def close(self) -> None:
        """Write what is left, and close."""
        if self.on_close is not None and self._real.fileno() >= 0:
            self.on_close(self._real.fileno())
        with contextlib.suppress(OSError):
            self.flush()  # paho closes right after DISCONNECT: unsent, the broker would publish the will
        self._real.close()

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes of what was read; raises BlockingIOError while there are none."""
        start = self._at
        end = start + size
        if end > len(self._in):
            if start == len(self._in):
                raise BlockingIOError
            end = len(self._in)
        self._at = end
        return self._in[start:end]

    def fill(self) -> bool:
        """Read what the real socket holds; False at the end of the stream."""
        try:
            data = self._real.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        self._in = self._in[self._at :] + data
        self._at = 0
        return bool(data)

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

    @property
    def unsent(self) -> int:
        """Bytes that wait for the real socket."""
        return len(self._out)
