"""Real time-series servers of Debian, asked back for every point; and an HTTP server that answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import orjson

from tests.support_bridge import DEADLINE_S, free_port, listening, need, until

Found = dict[tuple[str, str], list[tuple[int, Any]]]  # (name, device) to (ms, value), ascending


def fetch(url: str, data: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urlopen(Request(url, data), timeout=10) as answer:
            return answer.status, answer.read()
    except OSError as error:
        return getattr(error, "code", 0), getattr(error, "read", bytes)()


@contextlib.asynccontextmanager
async def _serving(command: list[str], ping: str) -> AsyncIterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: fetch(ping)[0] in (200, 204), f"{command[0]} answers")
        yield
    finally:
        process.terminate()
        process.wait()


class Victoria:
    """A VictoriaMetrics: names are <measurement>_<field>, timestamps milliseconds."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def found(self, points: int) -> Found:
        """Every point there is, once there are ``points`` (at the deadline: whatever there is).

        The server may answer a query before all that it has acknowledged can be seen, even after a flush.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + DEADLINE_S
        while sum(map(len, (found := self._visible()).values())) < points and loop.time() < end_s:
            await asyncio.sleep(0.1)
        return found

    def _visible(self) -> Found:
        fetch(f"{self.url}/internal/force_flush")
        _, body = fetch(f"{self.url}/api/v1/export?" + urlencode({"match[]": '{__name__!=""}'}))
        found: Found = {}
        for line in body.splitlines():
            series = orjson.loads(line)
            key = (series["metric"]["__name__"], series["metric"].get("device", ""))
            found.setdefault(key, []).extend(zip(series["timestamps"], series["values"], strict=True))
        return {key: sorted(points) for key, points in found.items()}


@contextlib.asynccontextmanager
async def victoria(directory: Path) -> AsyncIterator[Victoria]:
    port = free_port()
    command = [
        need("victoria-metrics", "victoria-metrics"),
        f"-storageDataPath={directory}/victoria",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
        "-memory.allowedPercent=5",
    ]
    url = f"http://127.0.0.1:{port}"
    async with _serving(command, f"{url}/health"):
        yield Victoria(url)


class Influx1:
    """InfluxDB 1.x: no v2 API, but the reference parser of line protocol."""

    def __init__(self, url: str) -> None:
        self.url = url
        fetch(f"{url}/query", urlencode({"q": "CREATE DATABASE t"}).encode())

    def write(self, lines: bytes) -> tuple[int, bytes]:
        return fetch(f"{self.url}/write?db=t&precision=ns", lines)

    def rows(self, measurement: str) -> list[dict[str, Any]]:
        query = 'SELECT * FROM "' + measurement.replace("\\", "\\\\").replace('"', '\\"') + '"'
        _, body = fetch(f"{self.url}/query?" + urlencode({"db": "t", "epoch": "ns", "q": query}))
        series = orjson.loads(body)["results"][0].get("series", [])
        return [dict(zip(each["columns"], row, strict=True)) for each in series for row in each["values"]]


@contextlib.asynccontextmanager
async def influx1(directory: Path) -> AsyncIterator[Influx1]:
    port, rpc = free_port(), free_port()
    config = directory / "influx.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n[meta]\ndir = "{directory}/meta"\n'
        f'[data]\ndir = "{directory}/data"\nwal-dir = "{directory}/wal"\n[http]\nbind-address = "127.0.0.1:{port}"\n'
        "log-enabled = false\n"
    )
    url = f"http://127.0.0.1:{port}"
    async with _serving([need("influxd", "influxdb"), "-config", str(config)], f"{url}/ping"):
        yield Influx1(url)


class Asked:
    """A request that the stand-in got."""

    def __init__(self, path: str, headers: dict[str, str], lines: list[str]) -> None:
        self.path = path
        self.headers = headers
        self.lines = lines

    @property
    def is_check(self) -> bool:
        """Is it the line that the bridge writes to see whether the server takes anything at all?"""
        return len(self.lines) == 1 and self.lines[0].startswith("shouwang_bridge,")


Answer = Callable[[Asked], str]  # "204", or "429 Retry-After: 3", "302 Location: http://…"


@contextlib.asynccontextmanager
async def http_stand_in(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[Asked]]]:
    """An HTTP server on loopback, HTTPS with ``tls``; its address and what it was asked."""
    asked: list[Asked] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _request(reader)
                asked.append(request)
                status, _, header = answer(request).partition(" ")
                extra = f"{header}\r\n" if header else ""
                writer.write(f"HTTP/1.1 {status} x\r\n{extra}Content-Length: 2\r\n\r\n{{}}".encode()
                             if status != "204" else b"HTTP/1.1 204 No Content\r\n\r\n")  # fmt: skip

    async with listening(serve, tls=tls) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", asked


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return Asked(head[0].split(" ")[1], headers, body.decode().splitlines())
