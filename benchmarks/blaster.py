"""A load generator that costs next to nothing: PUBLISH packets at QoS 1 encoded in advance, sent by the thousand.

The messages go out in chunks; each ends with a marker whose answer (an alarm's command) comes back through the
system under test. No more than `WINDOW` chunks are unanswered at a time, so the rate is what the system sustains
with the generator beside it, not how fast a broker's queue can be filled or emptied.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks import wire
from benchmarks.harness import BenchError
from benchmarks.probe import Probe, is_for

WINDOW = 4
STALL_S = 30.0
PUBACK_BYTES = 4


@dataclass(frozen=True)
class Chunk:
    """Encoded messages, and the room whose siren answers the last of them."""

    data: bytes
    messages: int
    marker: str


def encode(messages: Iterable[tuple[str, bytes]], first_mid: int, marker: str) -> Chunk:
    """Packets with message ids from ``first_mid`` (1 or more; the last must not exceed 65,535)."""
    packets = [wire.encode_publish(topic, payload, first_mid + n) for n, (topic, payload) in enumerate(messages)]
    return Chunk(b"".join(packets), len(packets), marker)


@dataclass
class Blast:
    """What happened: seconds of the whole, and when each chunk was answered."""

    messages: int = 0
    acked: int = 0
    seconds: float = 0.0
    answered_at: list[float] = field(default_factory=list)
    per_chunk: int = 0

    @property
    def rate(self) -> float:
        """Messages a second from the first publish to the last answer."""
        return self.messages / self.seconds

    def slowest_second(self) -> float:
        """Messages a second in the worst whole second."""
        counts = [0] * (int(self.seconds) + 1)
        for at in self.answered_at:
            counts[int(at)] += self.per_chunk
        return float(min(counts[:-1] or counts))


class Blaster:
    """One publishing connection beside a probe."""

    def __init__(self, port: int, probe: Probe) -> None:
        self._link, _ = wire.connect(port, "blaster")
        self._link.setblocking(False)
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._probe = probe
        self._unsent = memoryview(b"")
        self._acked = 0

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def run(self, chunks: Iterable[Chunk], for_s: float, on_begin: Callable[[], None] = lambda: None) -> Blast:
        """Send for ``for_s`` seconds or until the chunks end, then wait for every answer and PUBACK."""
        blast = Blast()
        open_markers: list[str] = []
        source = iter(chunks)
        on_begin()
        began = last = time.perf_counter()
        is_over = False
        while open_markers or not is_over:
            now = time.perf_counter()
            is_over = is_over or now - began > for_s
            if not is_over and len(open_markers) < WINDOW and not self._unsent:
                chunk = next(source, None)
                if chunk is None:
                    is_over = True
                    continue
                self._unsent = memoryview(chunk.data)
                open_markers.append(chunk.marker)
                blast.messages += chunk.messages
                blast.per_chunk = chunk.messages
            self._pump(0.25)
            for command in self._probe.take(0):
                found = next((each for each in open_markers if is_for(command, each)), None)
                if found is not None:
                    open_markers.remove(found)
                    last = time.perf_counter()
                    blast.answered_at.append(last - began)
            if now - last > STALL_S:
                raise BenchError(f"no chunk was answered for {STALL_S:g} s ({blast.messages} messages sent)")
        blast.seconds = last - began
        blast.acked = self._wait_acked(blast.messages)
        return blast

    def _pump(self, within_s: float) -> None:
        mine, theirs = self._link.fileno(), self._probe.fileno()
        readable, writable, _ = select.select([mine, theirs], [mine] if self._unsent else [], [], within_s)
        if mine in readable:
            data = self._link.recv(1 << 20)
            if not data:
                raise BenchError("the broker closed the blaster's connection")
            self._acked += len(data)
        if writable:
            self._unsent = self._unsent[self._link.send(self._unsent) :]

    def _wait_acked(self, messages: int) -> int:
        until = time.perf_counter() + STALL_S
        while self._acked < messages * PUBACK_BYTES and time.perf_counter() < until:
            self._pump(0.25)
            self._probe.take(0)
        return self._acked // PUBACK_BYTES
