"""A narrow line: a TCP relay that lets so many bits a second up, with a delay each way (token bucket)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support_bridge import listening

_PIECE = 1_000  # bytes


class Line:
    """What went over it, and when it did."""

    def __init__(self, bits_per_s: float, delay_s: float) -> None:
        self.bytes_per_s = bits_per_s / 8
        self.delay_s = delay_s
        self.carried = 0  # bytes, up
        self.sessions = 0
        self.port = 0

    async def up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Upwards: no byte before its turn."""
        loop = asyncio.get_running_loop()
        free_at_s = loop.time()
        while data := await reader.read(_PIECE):
            free_at_s = max(free_at_s, loop.time()) + len(data) / self.bytes_per_s
            await asyncio.sleep(free_at_s - loop.time())
            self.carried += len(data)
            loop.call_later(self.delay_s, _write, writer, data)

    async def down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Downwards: the delay alone."""
        loop = asyncio.get_running_loop()
        while data := await reader.read(65_536):
            loop.call_later(self.delay_s, _write, writer, data)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


@contextlib.asynccontextmanager
async def narrow(port: int, *, bits_per_s: float, round_trip_s: float) -> AsyncIterator[Line]:
    """A line to this port of loopback."""
    line = Line(bits_per_s, round_trip_s / 2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.sessions += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port, limit=_PIECE)
        ways = [
            asyncio.create_task(line.up(reader, far_writer), name="up"),
            asyncio.create_task(line.down(far_reader, writer), name="down"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.close()

    async with listening(serve) as line.port:
        yield line
