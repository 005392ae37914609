"""Web: serves the app on a socket until cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from gateway.web.live import LiveView

MAX_CONNECTIONS = 256
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


class _Server(uvicorn.Server):
    """Signals belong to the composition root."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: FastAPI, live: LiveView, server: socket.socket) -> None:
    """Answer on ``server`` until cancelled; then end the event streams, finish what is running, and return."""
    config = uvicorn.Config(
        app,
        http="h11",
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
