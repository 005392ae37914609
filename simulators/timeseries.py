"""Simulators: the stand-in time-series server: takes InfluxDB v2 writes, and misbehaves when told to.

Wire: POST /api/v2/write (InfluxDB v2 API), line protocol, gzip. What it took is counted, not queried.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import socket
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.processes import PortTaken

MODES = (
    "ok",  # 204
    "refuse",  # 400, nothing taken
    "partial",  # 400, only lines that contain ``poison`` are left out
    "unauthorized",  # 401
    "busy",  # 429 with Retry-After
    "broken",  # 500
    "stall",  # no answer until the mode changes
    "cut",  # everything taken, then the connection ends in the middle of the answer
)
_MAX_BODY = 20_000_000
_MAX_LINES_KNOWN = 1_000_000
_LINE = re.compile(r"^[^\s,](?:\\.|[^\s\\])* (?:\"(?:\\.|[^\"\\])*\"|\\.|[^\s\"\\])+(?: -?\d+)?$")
Send = Callable[[Any], Awaitable[None]]


class TimeSeries:
    """One receiver on 127.0.0.1. ``counts``: requests, lines (taken), repeated, refused, malformed, status_<code>."""

    def __init__(self, port: int = 0, *, poison: str = "poison", token: str = "", status: Any = None) -> None:
        """``port`` 0: any free one, known after `start`. ``status`` is called for GET /status, beside the counts."""
        self.port = port
        self.mode = "ok"
        self.poison = poison
        self.retry_after_s = 1
        self.counts: Counter[str] = Counter()
        self.on_taken: Callable[[str], None] = lambda _line: None
        self.samples: list[str] = []  # the first lines taken, for a look
        self._token = token
        self._status = status
        self._known: set[int] = set()
        self._changed = asyncio.Event()
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            PortTaken: somebody else does.
        """
        routes = [
            Route("/api/v2/write", self._write, methods=["POST"]),
            Route("/health", lambda _: JSONResponse({"status": "pass"})),
            Route("/status", lambda _: JSONResponse(self.status())),
            Route("/mode/{mode}", self._set_mode, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off"
        )
        try:
            listener = _listen(self.port)
        except OSError as error:
            raise PortTaken(self.port) from error
        self.port = listener.getsockname()[1]
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="time series")
        await self._server.is_ready.wait()

    async def stop(self) -> None:
        """End; requests that are stalled are dropped."""
        self.set_mode("ok")
        if self._server and self._task:
            self._server.should_exit = True
            await self._task

    def set_mode(self, mode: str) -> None:
        """One of MODES.

        Raises:
            ValueError: no such mode.
        """
        if mode not in MODES:
            raise ValueError(f"mode {mode}: use one of {', '.join(MODES)}")
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    def status(self) -> dict[str, Any]:
        """Mode and counts, and whatever ``status`` adds."""
        return {"mode": self.mode, "lines": 0, **self.counts, **(self._status() if self._status else {})}

    async def _set_mode(self, request: Request) -> Response:
        try:
            self.set_mode(request.path_params["mode"])
        except ValueError as error:
            return _error(404, "not found", str(error))
        return JSONResponse(self.status())

    async def _write(self, request: Request) -> Response:
        self.counts["requests"] += 1
        try:
            lines = _lines(await _body(request))
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, ValueError) as error:
            self.counts["malformed"] += 1
            return _error(400, "invalid", str(error))
        if self._token and request.headers.get("authorization") != f"Token {self._token}":
            return self._answer(401, "unauthorized", "unauthorized access")
        return await self._judge(lines)

    async def _judge(self, lines: list[str]) -> Response:
        while self.mode == "stall":
            await self._changed.wait()
        plain = {"unauthorized": (401, "unauthorized"), "busy": (429, "too many requests"), "broken": (500, "internal")}
        if self.mode in plain:
            status, code = plain[self.mode]
            return self._answer(status, code, f"stand-in: {self.mode}")
        bad = [line for line in lines if self._is_bad(line)]
        if self.mode == "refuse":
            bad = lines
        if self.mode != "refuse" and (self.mode == "partial" or not bad):
            self._take([line for line in lines if line not in set(bad)])
        if bad:
            self.counts["refused"] += len(bad)
            partial = "partial write: " if self.mode == "partial" else ""
            return self._answer(400, "invalid", f"{partial}unable to parse {bad[0][:80]!r} dropped={len(bad)}")
        self.counts["status_204"] += self.mode != "cut"
        return _CutShort() if self.mode == "cut" else Response(status_code=204)

    def _is_bad(self, line: str) -> bool:
        return _LINE.match(line) is None or (bool(self.poison) and self.poison in line)

    def _take(self, lines: list[str]) -> None:
        for line in lines:
            self.counts["lines"] += 1
            self.on_taken(line)
            if len(self.samples) < 100:
                self.samples.append(line)
            key = hash(line)
            if key in self._known:
                self.counts["repeated"] += 1
            elif len(self._known) < _MAX_LINES_KNOWN:
                self._known.add(key)

    def _answer(self, status: int, code: str, message: str) -> Response:
        self.counts[f"status_{status}"] += 1
        answer = _error(status, code, message)
        if status == 429:
            answer.headers["Retry-After"] = str(self.retry_after_s)
        return answer


class _Server(uvicorn.Server):
    """Signals belong to whoever runs the loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when it listens."""
        await super().startup(sockets)
        self.is_ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _CutShort(Response):
    """Promises more than it sends: the server closes the connection in the middle of the answer."""

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:  # noqa: ARG002  ASGI's shape
        """ASGI."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"{"})


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


async def _body(request: Request) -> bytes:
    """The decoded body, bounded.

    Raises:
        ValueError: larger than the server takes.
    """
    raw = b""
    with contextlib.suppress(ClientDisconnect):
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > _MAX_BODY:
                raise ValueError("body too large")
    if request.headers.get("content-encoding") == "gzip":
        return gzip.decompress(raw)
    return raw


def _lines(body: bytes) -> list[str]:
    return [line for line in body.decode().split("\n") if line.strip() and not line.startswith("#")]


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status_code=status)
