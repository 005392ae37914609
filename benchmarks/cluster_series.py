"""The cluster test's time-series servers: VictoriaMetrics and InfluxDB 1.x, asked back for every point.

Debian's InfluxDB 1.6 has no v2 write API: between the bridge and it stands a proxy that only renames the path, so
that the reference parser of line protocol takes, or refuses, exactly the bytes that the bridge wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import orjson

from benchmarks.cluster_nodes import find
from benchmarks.crash_field import SCALE
from benchmarks.harness import HANG_S, Child, Lab, free_port, wait_until
from benchmarks.loops import LoopThread

Points = dict[int, list[int]]  # number of a reading to the instants (ms) that it is stored at
_BUCKET = "b"


def _fetch(url: str, data: bytes | None = None) -> bytes:
    with urlopen(Request(url, data), timeout=30) as answer:
        found: bytes = answer.read()
        return found


def _answers(url: str) -> bool:
    try:
        _fetch(url)
    except OSError:
        return False
    return True


class Victoria:
    """VictoriaMetrics. Only ended in good order: after kill -9 it misses seconds that it had answered 204 for."""

    name = "victoria-metrics"

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}"
        self._child: Child | None = None

    def start(self) -> None:
        """Start, or start again."""
        argv = [
            find("victoria-metrics", "victoria-metrics"), f"-storageDataPath={self._lab.dir}/victoria",
            f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=100y", "-search.latencyOffset=0s",
            "-memory.allowedPercent=5",
        ]  # fmt: skip
        self._child = self._lab.spawn("victoria", argv)
        wait_until(lambda: _answers(f"{self._url}/health"), HANG_S, "victoria-metrics answers", every_s=0.1)

    def end(self) -> None:
        """SIGTERM."""
        assert self._child is not None
        self._child.stop(30)

    def points(self) -> Points:
        """Every point of the temperature sensors."""
        _fetch(f"{self._url}/internal/force_flush")
        found: Points = {}
        query = urlencode({"match[]": '{__name__="env_v"}', "reduce_mem_usage": "1"})
        for line in _fetch(f"{self._url}/api/v1/export?{query}").splitlines():
            series = orjson.loads(line)
            for at_ms, value in zip(series["timestamps"], series["values"], strict=True):
                found.setdefault(round(value * SCALE), []).append(at_ms)
        return found


class Influx:
    """InfluxDB 1.x. Killed with -9: its log is synced before it answers."""

    name = "influxdb 1.6 /write"

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}"
        self._child: Child | None = None
        at: Path = lab.dir / "influx"
        self._config = lab.dir / "influx.conf"
        self._config.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n[meta]\ndir = "{at}/meta"\n'
            f'[data]\ndir = "{at}/data"\nwal-dir = "{at}/wal"\n'
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n'
        )

    def start(self) -> None:
        """Start, or start again."""
        self._child = self._lab.spawn("influxd", [find("influxd", "influxdb"), "-config", str(self._config)])
        wait_until(lambda: _answers(f"{self._url}/ping"), HANG_S, "influxd answers", every_s=0.1)
        _fetch(f"{self._url}/query", urlencode({"q": f"CREATE DATABASE {_BUCKET}"}).encode())

    def end(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self._child.kill()

    def points(self) -> Points:
        """Every point of the temperature sensors."""
        query = urlencode({"db": _BUCKET, "epoch": "ms", "q": "SELECT v FROM env", "chunked": "false"})
        found: Points = {}
        for each in orjson.loads(_fetch(f"{self._url}/query?{query}"))["results"][0].get("series", ()):
            for at_ms, value in each["values"]:
                found.setdefault(round(value * SCALE), []).append(at_ms)
        return found


_PATH = re.compile(rb"^POST /api/v2/write\?\S* HTTP")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Rename(LoopThread):
    """Hands ``POST /api/v2/write`` on as 1.x's ``POST /write``; everything else of the request stays as it is."""

    def __init__(self, target: int) -> None:
        super().__init__("rename")
        self.port = free_port()
        self._target = target

    async def begin(self) -> None:
        """Listen."""
        await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = _LENGTH.search(head)
            body = await reader.readexactly(int(size[1]) if size else 0)
            head = _PATH.sub(b"POST /write?db=" + _BUCKET.encode() + b"&precision=ns HTTP", head)
            head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            far_writer.write(head + body)
            writer.write(await far_reader.read(-1))  # to its end: one request a connection
            far_writer.close()
        writer.close()
