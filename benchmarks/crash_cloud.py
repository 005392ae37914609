"""The cloud's side of the crash test: a line that can be cut, and a subscriber that keeps everything it was told."""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
from collections import Counter
from typing import Any

import orjson

from benchmarks import site, wire
from benchmarks.harness import BenchError, free_port


class Line(threading.Thread):
    """A TCP relay to the platform's broker; `cut` resets every connection and refuses new ones until `mend`."""

    def __init__(self, target: int) -> None:
        super().__init__(name="line", daemon=True)
        self.port = free_port()
        self.target = target
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """The thread."""
        self._loop.run_forever()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._do(self._close())

    def mend(self) -> None:
        """From now on it passes again."""
        self._do(self._listen())

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        for each in self._open:
            each.transport.abort()
        self._open.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._open -= {writer, far_writer}


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


class Cloud(threading.Thread):
    """Subscribes to everything of the gateway and keeps it by message id."""

    def __init__(self, port: int) -> None:
        super().__init__(name="cloud", daemon=True)
        self._link, _ = wire.connect(port, "cloud", clean=False)
        self._link.sendall(wire.encode_subscribe(1, [(f"shouwang/{site.GATEWAY_ID}/#", 1)]))
        self._over = threading.Event()
        self.events: dict[str, dict[str, Any]] = {}  # alarm events by id
        self.rows: dict[str, list[list[Any]]] = {}  # readings by message id
        self.repeats: Counter[str] = Counter()  # messages told more than once, by lane: harmless, but counted
        self.changed: list[str] = []  # repeats that said something else under the same id
        self.error: Exception | None = None

    def run(self) -> None:
        """The thread."""
        splitter = wire.Splitter()
        try:
            while not self._over.is_set():
                if not select.select([self._link], [], [], 0.2)[0]:
                    continue
                for packet in splitter.feed(self._read()):
                    if packet.kind == wire.PUBLISH:
                        self._keep(wire.decode_publish(packet))
        except (OSError, BenchError, KeyError, ValueError) as error:
            self.error = error
        finally:
            self._link.close()

    def _read(self) -> bytes:
        data = self._link.recv(1 << 18)
        if not data:
            raise BenchError("the platform's broker closed the subscriber's connection")
        return data

    def finish(self) -> None:
        """Stop; raises what went wrong."""
        self._over.set()
        self.join(10)
        if self.error:
            raise BenchError(f"the stand-in cloud failed: {self.error!r}") from self.error

    def _keep(self, message: wire.Published) -> None:
        lane = message.topic.rpartition("/")[2]
        if lane == "alarm":
            body = orjson.loads(message.payload)
            self._remember(lane, self.events, body["id"], body["event"])
        elif lane == "telemetry":
            body = orjson.loads(message.payload)
            self._remember(lane, self.rows, body["id"], body["r"])
        if message.mid:
            self._link.sendall(wire.encode_puback(message.mid))

    def _remember(self, lane: str, kept: dict[str, Any], key: str, value: Any) -> None:
        if key in kept:
            self.repeats[lane] += 1
            if kept[key] != value:
                self.changed.append(key)
        kept[key] = value
