"""Simulators: the control socket: a unix domain socket, for its owner only; one JSON line in, one JSON line out.

Requests: ``{"do": "status" | "list" | "report"}``, ``{"do": "press" | "show", "device": ...}``,
``{"do": "set", "device": ..., "values": {point: text}}``,
``{"do": "ramp", "device": ..., "point": ..., "first": n, "last": n, "over_s": n}``,
``{"do": "cut", "line": a Modbus bus, "for_s": n}``.
Answers: ``{"ok": true, ...}`` or ``{"ok": false, "zh": ..., "en": ...}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from simulators.spec import SimError

_MAX_LINE = 65_536
_MAX_ANSWER = 16_000_000
_PATIENCE_S = 5.0
_MAX_PATH = 107  # of a unix socket, bytes (unix(7))

DEMO_DIR = Path("var/demo")  # where `make demo` keeps its data: its simulator is found without --config

Handle = Callable[[dict[str, Any]], dict[str, Any]]


def socket_path(data_dir: str | Path) -> Path:
    """Where the simulator of a site listens."""
    return Path(data_dir) / "sim.sock"


class ControlServer:
    """Answers requests on the socket. Bound before the devices start, so that two simulators cannot play one site."""

    def __init__(self, path: Path, handle: Handle) -> None:
        self._path = path
        self._handle = handle
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, readable for the owner only.

        Raises:
            SimError: another simulator listens there, or the path is impossible.
        """
        if len(os.fsencode(self._path)) > _MAX_PATH:
            raise SimError(f"路径太长:{self._path}(改短 data_dir)", f"path too long: {self._path} (shorten data_dir)")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if _is_alive(self._path):
            raise SimError(f"已有一个模拟器在运行({self._path})", f"a simulator is already running ({self._path})")
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MAX_LINE)

    async def stop(self) -> None:
        """Close and remove the socket."""
        if self._server:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_PATIENCE_S):
                line = await reader.readline()
                writer.write(orjson.dumps(self._answer(line)) + b"\n")
                await writer.drain()
        writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
            return {"ok": True, **self._handle(request)}
        except SimError as error:
            return {"ok": False, "zh": error.zh, "en": error.en}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"ok": False, "zh": f"看不懂的请求:{error!r}", "en": f"bad request: {error!r}"}


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def running_socket(data_dir: str | Path) -> Path:
    """The socket of the simulator of this data directory, else of the demo where that one runs."""
    path, demo = socket_path(data_dir), socket_path(DEMO_DIR)
    return demo if not _is_alive(path) and _is_alive(demo) else path


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One request to a running simulator; blocks for at most five seconds.

    Raises:
        SimError: no simulator runs, or it refused.
    """
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(_PATIENCE_S)
        try:
            peer.connect(str(path))
            peer.sendall(orjson.dumps(request) + b"\n")
            answer = orjson.loads(_line(peer))
        except (OSError, ValueError) as error:
            raise SimError(
                f"模拟器没有运行({path})。先在另一个终端运行 make demo,或 shouwang sim serve --config DIR",
                f"the simulator is not running ({path}). First, in another terminal: "
                "make demo, or shouwang sim serve --config DIR",
            ) from error
    if not answer["ok"]:
        raise SimError(answer["zh"], answer["en"])
    return dict(answer)


def _line(peer: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _MAX_ANSWER:
        chunk = peer.recv(_MAX_LINE)
        if not chunk:
            break
        data += chunk
    return data
