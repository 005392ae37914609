"""The gateway's end of the downlink: a Unix socket in the data directory, one JSON object a line, bounded everywhere.

The bridge may be slow, stopped, killed or broken: its lines are read at a limited pace, cut at a limited length, and a
line that does not end, or makes no sense, ends its connection and nothing else. What is asked, and whether it is done,
is `gateway.app.cloud_requests`'.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import structlog

from cloud_bridge.ask import MAX_OPEN, Code, not_done
from cloud_bridge.downlink import MAX_LINE, SOCKET_FILE, Lines, short_path
from cloud_bridge.pace import RateLimit
from gateway.app.cloud_requests import Asked, CloudRequests, asked_of
from gateway.clock import Clock
from gateway.counters import Counters

_MOST_CONNECTIONS = 4  # one bridge has one; the oldest makes room
_LINES_PER_S = 200.0  # of a connection: beyond it lines wait in the socket
_HALF_LINE_S = 5.0  # a line that has begun ends by then
_LOOK_EVERY_S = 5.0
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid

_log = structlog.get_logger(__name__)


class DownlinkGone(Exception):  # noqa: N818 - the supervisor expects it
    """The socket could not be made, or somebody has removed it."""


class DownlinkServer:
    """Listens for the bridge."""

    def __init__(self, data_dir: str, requests: CloudRequests, clock: Clock, counters: Counters) -> None:
        self._data_dir = data_dir
        self._path = Path(data_dir) / SOCKET_FILE
        self.requests = requests
        self.clock = clock
        self.counters = counters
        self._connections: dict[_Connection, None] = {}  # oldest first

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            DownlinkGone: see there; trying again may help.
        """
        try:
            listener = self._listener()
            inode = self._path.stat().st_ino
        except OSError as error:
            raise DownlinkGone(f"{self._path}: {error}") from error
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), sock=listener)
        try:
            while True:
                await asyncio.sleep(_LOOK_EVERY_S)
                if not self._is_there(inode):
                    raise DownlinkGone(f"{self._path} was removed")
        finally:
            server.close()
            for each in list(self._connections):
                each.hang_up("")
            if self._is_there(inode):
                self._path.unlink(missing_ok=True)

    def _is_there(self, inode: int) -> bool:
        with contextlib.suppress(OSError):
            return self._path.stat().st_ino == inode
        return False

    def _listener(self) -> socket.socket:
        """A socket that only our user can reach: it listens after its mode is set, and is named after it listens."""
        half = f"{SOCKET_FILE}.new"
        (self._path.parent / half).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(self._data_dir, half) as path:
                listener.bind(path)
            (self._path.parent / half).chmod(0o600)
            listener.listen(_MOST_CONNECTIONS)
            listener.setblocking(False)
            (self._path.parent / half).rename(self._path)
        except OSError:
            listener.close()
            raise
        return listener

    def enter(self, connection: _Connection) -> None:
        """A bridge has connected."""
        if len(self._connections) >= _MOST_CONNECTIONS:
            next(iter(self._connections)).hang_up("too_many")
        self._connections[connection] = None

    def leave(self, connection: _Connection) -> None:
        """It has gone."""
        self._connections.pop(connection, None)


class _Connection(asyncio.Protocol):
    """One bridge's connection. Requests are answered as they end, each with its number."""

    def __init__(self, server: DownlinkServer) -> None:
        self._server = server
        self._lines = Lines()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pace = RateLimit(_LINES_PER_S, server.clock.now().mono_s)
        self._half: asyncio.TimerHandle | None = None
        self._is_due = False  # reading goes on by a timer
        self._is_unread = False  # the other side does not read its answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is none by its class
        peer = self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        self._server.enter(self)
        if _PEER.unpack(peer)[1] not in {os.getuid(), 0}:
            self.hang_up("foreign")

    def data_received(self, data: bytes) -> None:
        self._lines.add(data)
        if not self._is_due:
            self._read()

    def _read(self) -> None:
        """Take lines at the pace that is allowed; the rest waits, at last in the socket."""
        self._is_due = False
        try:
            for line in self._allowed():
                self._take(line)
        except ValueError as error:
            _log.warning("downlink_garbage", error=str(error)[:200])
            self.hang_up("garbage")
            return
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if self._is_due:
            asyncio.get_running_loop().call_later(max(self._pace.wait_s, 0.005), self._go_on)
        self._listen()
        self._watch_half_line()

    def _allowed(self) -> Iterator[bytes]:
        while True:
            if not self._pace.allowance(self._server.clock.now().mono_s, 1):
                self._is_due = True
                return
            line = self._lines.next()
            if line is None:
                return
            self._pace.spend(1)
            yield line

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._read()

    def _listen(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_due or self._is_unread:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _watch_half_line(self) -> None:
        is_half = self._lines.is_half and not self._is_due
        if self._half is not None and not is_half:
            self._half.cancel()
            self._half = None
        elif self._half is None and is_half:
            self._half = asyncio.get_running_loop().call_later(_HALF_LINE_S, self.hang_up, "half_line")

    def _take(self, line: bytes) -> None:
        """Raises ValueError for a line that cannot be answered."""
        body = orjson.loads(line)
        number = body.get("n") if isinstance(body, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError("a line without a number")  # noqa: TRY004 - as for every other line that makes no sense
        if len(self._tasks) >= MAX_OPEN * _MOST_CONNECTIONS:
            self._refuse(number, Code.BUSY)
            return
        try:
            asked = asked_of(body)
        except ValueError as error:
            self._refuse(number, Code.INVALID, str(error))
            return
        task = asyncio.create_task(self._answer(number, asked), name="platform's request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, number: int, code: Code, why: str = "") -> None:
        self._server.counters.count("cloud_requests_refused", uplink="", code=str(code))
        answer = not_done(code, why=why[:200])
        self._say({"n": number, "is_accepted": False, "code": code, "detail": answer.detail, "version": 0})

    async def _answer(self, number: int, asked: Asked) -> None:
        try:
            answer = await self._server.requests.answer(asked)
        except Exception:  # noqa: BLE001 - the boundary: shown with its traceback; the bridge must not wait in vain
            _log.exception("request_broke", uplink=asked.uplink)
            self._refuse(number, Code.NO_ANSWER)
            return
        self._say({"n": number, **answer})

    def _say(self, body: dict[str, Any]) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        line = orjson.dumps(body, default=str) + b"\n"
        if len(line) > MAX_LINE:
            words = body["detail"].get("words", {})
            line = orjson.dumps({**body, "detail": {"words": words, "why": "the details are too long"}}) + b"\n"
        self._transport.write(line)

    def pause_writing(self) -> None:
        self._is_unread = True
        self._listen()

    def resume_writing(self) -> None:
        self._is_unread = False
        self._listen()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """The bridge has gone. What it asked for goes on: the same id asked again gets the answer."""
        self._server.leave(self)
        if self._half is not None:
            self._half.cancel()

    def hang_up(self, why: str) -> None:
        """End the connection; counted where there is a reason."""
        if why:
            self._server.counters.count("downlink_hang_ups", reason=why)
        self._server.leave(self)
        if self._transport is not None:
            self._transport.abort()
