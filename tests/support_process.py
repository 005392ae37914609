"""The real gateway as a child process, with a person at its API."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

_numbers = itertools.count()
START_S = 20.0
HEADERS = {"X-Shouwang": "1"}


class GatewayProcess:
    """`shouwang run` on a configuration directory."""

    def __init__(self, config: Path, web_port: int, *options: str) -> None:
        self.config, self._options = config, options
        self.data = config.parent / "data"
        self.url = f"http://127.0.0.1:{web_port}"
        self.log = config.parent / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self.config), *self._options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            try:
                httpx.get(f"{self.url}/healthz", timeout=1)
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return

    async def until_bus_up(self, bus: str = "field") -> None:
        """Wait until the gateway listens to the broker: what is said before its first session is nobody's."""
        async with asyncio.timeout(START_S), httpx.AsyncClient() as client:
            while f'shouwang_bus_up{{bus="{bus}"}} 1.0' not in (await client.get(f"{self.url}/metrics")).text:
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, the gateway only: its bridge must notice by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """SIGKILL and start again."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(10)

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Person:
    """Somebody who is logged in."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self.client = httpx.AsyncClient(base_url=gateway.url, headers={**HEADERS, "Origin": gateway.url}, timeout=10)

    async def set_up(self) -> None:
        """Make the first account with the code in the data directory."""
        code = (self._gateway.data / "setup-code").read_text().strip()
        body = {"code": code, "name": "张师傅", "password": "shou-wang-2026"}
        answer = await self.client.post("/api/v1/setup", json=body)
        assert answer.status_code == 204, answer.text

    async def alarms(self) -> list[dict[str, Any]]:
        """Open alarms in the order of the screen."""
        answer = await self.client.get("/api/v1/alarms")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["alarms"]
        return found

    async def until_alarms(self, count: int, timeout_s: float = 5.0) -> list[dict[str, Any]]:
        """Wait until ``count`` alarms are open."""
        async with asyncio.timeout(timeout_s):
            while len(found := await self.alarms()) != count:
                await asyncio.sleep(0.02)
        return found

    async def act(self, alarm: dict[str, Any], verb: str, **args: object) -> httpx.Response:
        """A verb on the version of the alarm that was seen."""
        body = {"version": alarm["version"], "request_id": f"test-{next(_numbers):08d}", **args}
        return await self.client.post(f"/api/v1/alarms/{alarm['key']}/{verb}", json=body)
