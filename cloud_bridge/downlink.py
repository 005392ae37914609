"""The bridge's end of the downlink: carries what platforms ask to the gateway, and its answers back.

A Unix socket in the data directory, one JSON object a line. Nothing waits for the gateway: while it is away a request
is refused at once. Deadlines go as instants of the monotonic clock, which both processes share, so that neither a
clock that is set nor a process that was stopped lets a request be carried out late. Who may ask what is decided at the
other end (`gateway.app`); the wires of the platforms belong to the uplinks.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import orjson
import structlog

from cloud_bridge.ask import GRACE_S, LONGEST_S, MAX_OPEN, PER_S, Answer, Ask, Code, Request, not_done, refuse
from cloud_bridge.pace import RateLimit
from cloud_bridge.settings import Commands
from gateway.clock import Clock

SOCKET_FILE = "downlink.sock"
MAX_LINE = 65_536  # bytes of one request or answer, with its end

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def short_path(data_dir: str, name: str) -> Iterator[str]:
    """A path to ``name`` in ``data_dir`` that fits into the 107 bytes of a socket's address. Raises OSError."""
    descriptor = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


class Lines:
    """Cuts a stream into lines; what has no end within `MAX_LINE` is no line."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        """More of the stream."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole line; None while there is none.

        Raises:
            ValueError: longer than `MAX_LINE`.
        """
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_LINE:
                raise ValueError("a line without an end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    @property
    def is_half(self) -> bool:
        """Has something begun that has no end yet?"""
        return bool(self._buffer)


class Naps:
    """How old a message may be that has just been read: a process that was stopped reads late what came early."""

    BEAT_S = 0.25
    _LATE_S = 0.5
    _AFTER_S = 5.0  # so long after waking what was waiting is still being read

    def __init__(self, now_s: float) -> None:
        self._beat_s = now_s
        self._slept_s = 0.0
        self._until_s = float("-inf")

    def beat(self, now_s: float) -> None:
        """Called every `BEAT_S` by a process that runs."""
        gap_s = now_s - self._beat_s - self.BEAT_S
        self._beat_s = now_s
        if gap_s > self._LATE_S:
            self._slept_s = max(gap_s, self._slept_s if now_s < self._until_s else 0.0)
            self._until_s = now_s + self._AFTER_S

    def age_s(self, now_s: float) -> float:
        """At most so long ago has come what is read now."""
        gap_s = now_s - self._beat_s - self.BEAT_S
        slept_s = self._slept_s if now_s < self._until_s else 0.0
        return max(gap_s, slept_s) if gap_s > self._LATE_S else slept_s


class _Wire(asyncio.Protocol):
    """One connection to the gateway, and the requests that wait at it."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[Answer]] = {}
        self.is_open = True
        self._lines = Lines()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is none by its class

    def send(self, number: int, line: bytes) -> asyncio.Future[Answer]:
        """Send one request; the future ends with its answer."""
        assert self._transport is not None
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        self._transport.write(line)
        return future

    def data_received(self, data: bytes) -> None:
        self._lines.add(data)
        try:
            while (line := self._lines.next()) is not None:
                self._take(orjson.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("downlink_broken", error=str(error)[:200], note="the gateway's answers make no sense")
            self.close()

    def _take(self, body: dict[str, Any]) -> None:
        detail = body["detail"]
        answer = Answer(bool(body["is_accepted"]), str(body["code"]), dict(detail), int(body["version"]))
        future = self.waiting.pop(int(body["n"]), None)
        if future is not None and not future.done():
            future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """The gateway has gone: whether it had done what was asked, nobody here knows."""
        self.is_open = False
        for future in self.waiting.values():
            if not future.done():
                future.set_result(not_done(Code.NO_ANSWER))
        self.waiting.clear()

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()


class _Asker(NamedTuple):
    """One uplink's way to the gateway."""

    uplink: str
    commands: Commands
    limit: RateLimit


class Downlink:
    """One connection for all uplinks, opened when it is needed."""

    def __init__(self, data_dir: str, clock: Clock) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()
        self._number = 0
        self._open: dict[str, int] = {}  # by uplink: requests without an answer
        self._naps = Naps(clock.now().mono_s)

    def ask_for(self, uplink: str, commands: Commands | None) -> Ask:
        """What `Context.ask` of this uplink is."""
        if commands is None:
            return refuse
        asker = _Asker(uplink, commands, RateLimit(PER_S, self._clock.now().mono_s))
        return lambda request: self._ask(asker, request)

    async def watch(self) -> None:
        """Notice when this process was stopped; runs until cancelled."""
        while True:
            self._naps.beat(self._clock.now().mono_s)
            await asyncio.sleep(Naps.BEAT_S)

    def close(self) -> None:
        """Hang up."""
        if self._wire is not None:
            self._wire.close()

    async def _ask(self, asker: _Asker, request: Request) -> Answer:
        now_s = self._clock.now().mono_s
        asked_s = asker.commands.answer if request.expires_in_s is None else request.expires_in_s
        if not math.isfinite(asked_s):
            return not_done(Code.INVALID, why="no deadline")
        left_s = min(asked_s, LONGEST_S) - self._naps.age_s(now_s)
        if not asker.limit.allowance(now_s, 1):
            return not_done(Code.TOO_MANY)
        asker.limit.spend(1)
        if self._open.get(asker.uplink, 0) >= MAX_OPEN:
            return not_done(Code.BUSY)
        self._open[asker.uplink] = self._open.get(asker.uplink, 0) + 1
        try:
            return await self._carry(asker, request, now_s + left_s, max(left_s, 0.0) + GRACE_S)
        finally:
            self._open[asker.uplink] -= 1

    async def _carry(self, asker: _Asker, request: Request, deadline_s: float, patience_s: float) -> Answer:
        self._number += 1
        number = self._number
        try:
            line = _line(number, asker.uplink, request, deadline_s)
        except (TypeError, ValueError) as error:
            return not_done(Code.INVALID, why=str(error)[:200])
        if len(line) > MAX_LINE:
            return not_done(Code.INVALID, why=f"longer than {MAX_LINE} bytes")
        wire = await self._connected()
        if wire is None:
            return not_done(Code.UNREACHABLE)
        answer = wire.send(number, line)
        try:
            async with asyncio.timeout(patience_s):
                return await answer
        except TimeoutError:
            return not_done(Code.NO_ANSWER)
        finally:
            wire.waiting.pop(number, None)

    async def _connected(self) -> _Wire | None:
        """The connection; None while the gateway is away."""
        async with self._connecting:
            if self._wire is not None and self._wire.is_open:
                return self._wire
            self._wire = None
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                end.setblocking(False)
                with short_path(self._data_dir, SOCKET_FILE) as path:
                    end.connect(path)  # of a Unix socket: at once or not at all
                _, wire = await asyncio.get_running_loop().create_unix_connection(_Wire, sock=end)
            except OSError:
                end.close()
                return None
            self._wire = wire
            return wire


def _line(number: int, uplink: str, request: Request, deadline_s: float) -> bytes:
    body = {
        "n": number,
        "uplink": uplink,
        "id": request.id,
        "verb": request.verb,
        "alarm": request.alarm_id,
        "version": request.version,
        "args": dict(request.args),
        "user": request.user,
        "deadline_mono_s": deadline_s,
    }
    return orjson.dumps(body) + b"\n"
