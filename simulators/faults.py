"""Simulators: link faults: a TCP proxy on loopback that goes down, stalls, delays or resets (Toxiproxy's words)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Literal

_CHUNK = 65_536
Direction = Literal["up", "down", "both"]  # up: from the client to the server


class Proxy:
    """One link. Fresh from `start` it passes everything on.

    `down` refuses and cuts connections, `stall` accepts and keeps silent (also one way: withheld acknowledgements),
    ``latency_s`` delays each chunk per direction, `reset` cuts every connection with RST once. `up` heals.
    """

    def __init__(self, upstream_port: int, *, upstream_host: str = "127.0.0.1", port: int = 0) -> None:
        """``port`` 0: any free one, known after `start`."""
        self.port = port
        self.latency_s = 0.0
        self.connections = 0  # accepted so far
        self.bytes_up = 0
        self.bytes_down = 0
        self._upstream = (upstream_host, upstream_port)
        self._server: asyncio.Server | None = None
        self._flows = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on 127.0.0.1 and pass everything on."""
        await self.up()

    async def stop(self) -> None:
        """Close everything."""
        await self.down()

    async def up(self) -> None:
        """Heal: listen, no stall, no latency."""
        self.latency_s = 0.0
        for flow in self._flows.values():
            flow.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_CHUNK)
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Cut every connection and refuse new ones."""
        if self._server:
            self._server.close()
            self._server = None
        self._cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self, direction: Direction = "both") -> None:
        """Keep connections open and pass nothing on; what arrives meanwhile waits in bounded buffers."""
        for name, flow in self._flows.items():
            if direction in (name, "both"):
                flow.clear()

    def reset(self) -> None:
        """Cut every connection with RST, in the middle of whatever is under way; new ones are served."""
        for writer in self._writers:
            peer: socket.socket | None = writer.get_extra_info("socket")
            if peer is not None:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._cut()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(client_out)
        self.connections += 1
        server_out: asyncio.StreamWriter | None = None
        try:
            await self._flows["up"].wait()
            server_in, server_out = await asyncio.open_connection(*self._upstream, limit=_CHUNK)
            self._writers.add(server_out)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump("up", client_in, server_out))
                both.create_task(self._pump("down", server_in, client_out))
        except (OSError, ExceptionGroup):
            pass  # either side went away: so does the other
        except asyncio.CancelledError:
            pass  # cut
        finally:
            self._tasks.discard(task)
            for writer in (client_out, server_out):
                if writer is not None:
                    self._writers.discard(writer)
                    writer.transport.abort() if task.cancelling() else writer.close()

    async def _pump(self, name: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass one direction on; the end of input is passed on as a half-close."""
        while chunk := await source.read(_CHUNK):
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            await self._flows[name].wait()
            sink.write(chunk)
            await sink.drain()
            if name == "up":
                self.bytes_up += len(chunk)
            else:
                self.bytes_down += len(chunk)
        with contextlib.suppress(OSError):
            sink.write_eof()
