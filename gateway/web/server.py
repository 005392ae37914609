"""Web: serves the app on a socket until cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.counters import Counters
from gateway.web.live import LiveView

MAX_CONNECTIONS = 256
MAX_PER_ADDRESS = 64  # of them from one address
HEAD_S = 10.0  # a request's head must have come by then
DEAD_PEER_MS = 20_000  # a console whose cable was pulled: its connection ends after this


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises OSError (EADDRINUSE) when the port is taken. Port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
        server.bind((host, port))
        server.listen(128)
    except BaseException:
        server.close()
        raise
    return server


class PatientHttp(H11Protocol):
    """HTTP/1.1 that waits for a request's head only so long, and for one address keeps only so many connections.

    Uvicorn's own time-outs begin after the first answer: a peer that connects and says nothing, or one letter a minute,
    would hold its socket for ever.
    """

    counters: Counters
    head_s: float = HEAD_S
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait, or refuse: the address has enough already."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if sum(_address_of(each) == address for each in self.connections) > MAX_PER_ADDRESS:
            self.counters.count("web_connections_refused", reason="too_many")
            transport.abort()
            return
        self._follow()

    def data_received(self, data: bytes) -> None:
        """Some bytes; the time for a head that has begun is not prolonged by them."""
        super().data_received(data)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _follow(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self.counters.count("web_connections_dropped", reason="slow_head")
        self.transport.abort()


def _address_of(connection: object) -> str:
    client = getattr(connection, "client", None)
    return client[0] if client else ""


class _Server(uvicorn.Server):
    """Signals belong to the composition root."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: FastAPI, live: LiveView, server: socket.socket) -> None:
    """Answer on ``server`` until cancelled; then end the event streams, finish what is running, and return."""
    web_counters: Counters = app.state.web.counters

    class Http(PatientHttp):
        counters = web_counters

    config = uvicorn.Config(
        app,
        http=Http,
        ws="none",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16_384,
    )
    running = _Server(config)
    task = asyncio.create_task(running.serve(sockets=[server]), name="web-server")
    try:
        await asyncio.shield(task)
    finally:
        running.should_exit = True
        live.close()  # or the open streams would hold the shutdown up
        await task
        server.close()
