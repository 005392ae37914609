"""Room: notify. A serial port as lines of text on the event loop. What is said on it is `modem`'s."""

from __future__ import annotations

import asyncio
import os
from collections import deque

import serial

from gateway.notify.channels.base import NotNowError

PROMPT = ">"
_MOST_LINES = 256  # a modem that chatters: the oldest go
_MOST_LINE = 1_024


class SerialLine:
    """An open port. Once it is broken, every call says so: open another."""

    def __init__(self, port: str, baud: int) -> None:
        """Open ``port`` for nobody else.

        Raises:
            NotNowError: it is not there, or in use.
        """
        try:
            self._port = serial.Serial(port, baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError) as error:
            raise _broken(port, type(error).__name__) from None
        self._name = port
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._rest = b""
        self._news = asyncio.Event()
        self.is_broken = False
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._hear)

    async def say(self, data: bytes) -> None:
        """Write all of ``data``; the caller has the deadline.

        Raises:
            NotNowError: the port is gone.
        """
        while data:
            if self.is_broken:
                raise _broken(self._name, "closed")
            try:
                data = data[os.write(self._port.fileno(), data) :]
            except BlockingIOError:
                await asyncio.sleep(0.02)
            except OSError as error:
                self.close()
                raise _broken(self._name, type(error).__name__) from None

    async def line(self) -> str:
        """The next line that is not empty, or `PROMPT`; the caller has the deadline.

        Raises:
            NotNowError: the port is gone.
        """
        while not self._lines:
            if self.is_broken:
                raise _broken(self._name, "closed")
            self._news.clear()
            await self._news.wait()
        return self._lines.popleft()

    def drain(self) -> list[str]:
        """The lines that nobody has read yet."""
        found = list(self._lines)
        self._lines.clear()
        return found

    def close(self) -> None:
        """Give the port back."""
        if self.is_broken:
            return
        self.is_broken = True
        asyncio.get_running_loop().remove_reader(self._port.fileno())
        self._port.close()
        self._news.set()

    def _hear(self) -> None:
        try:
            data = os.read(self._port.fileno(), 4_096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # readable and nothing to read: unplugged
            self.close()
            return
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if self._rest.strip() == b">":
            lines.append(self._rest)
            self._rest = b""
        if len(self._rest) > _MOST_LINE:
            self._rest = b""
        for each in lines:
            text = each.decode("ascii", "replace").strip()
            if text:
                self._lines.append(text)
        if self._lines:
            self._news.set()


def _broken(port: str, why: str) -> NotNowError:
    return NotNowError(
        f"打不开串口 {port}({why}):检查调制解调器的线和端口名",
        f"the serial port {port} is not usable ({why}): check the modem's cable and the name of the port",
        is_link=True,
    )
