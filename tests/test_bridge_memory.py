"""The bridge's memory does not grow with what waits: neither lane is ever read as a whole."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.model import Lane
from gateway.store import codec
from tests.support_bridge import Box, Packet, event, mosquitto, stand_in, until

ROWS = 300_000
MOST_MB = 90  # it takes 60 with nothing to do
ENOUGH = 20_000  # rows of a lane that have gone up: what grows with them would be seen


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A directory in which so many rows wait in both lanes."""
    made = Box(tmp_path)
    made.db.pragma("synchronous", 0)
    alarm, readings = codec.alarm_body(*event(1)), codec.telemetry_body([made.reading(1)])
    with made.db:
        for table, body in (("outbox_alarm", alarm), ("outbox_telemetry", readings)):
            made.db.executemany(
                f"INSERT INTO {table} (at_ms, items, body) VALUES (0, 1, ?)",
                ((body,) for _ in range(ROWS)),
            )
    return made


class Bridge:
    """The bridge in a process of its own."""

    def __init__(self, directory: Path, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support_bridge_main", "bridge", str(directory), str(port)],
            stdin=subprocess.PIPE,
        )

    def most_mb(self) -> float:
        """The most it has ever held."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (found,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        return int(found) / 1024

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


async def test_a_long_backlog_in_both_lanes_goes_up_in_little_memory(box: Box, tmp_path: Path) -> None:
    """300,000 alarms and 300,000 rows of readings wait: the bridge sends them in little memory, alarms first; then the
    alarms are settled, and the readings go up in as little."""
    with mosquitto(tmp_path) as broker:
        for lane in (Lane.ALARM, Lane.TELEMETRY):
            bridge = Bridge(tmp_path, broker.port)
            try:
                await until(lambda lane=lane: box.settled("cloud")[lane] >= ENOUGH, f"{lane} goes up", 60)  # type: ignore[misc]
                assert bridge.most_mb() < MOST_MB
            finally:
                bridge.end()
            with box.db:
                box.db.execute("DELETE FROM outbox_alarm")


async def test_a_platform_that_answers_nothing_costs_no_memory(box: Box, tmp_path: Path) -> None:
    """It accepts and never acknowledges, and the bridge is rung for as long: what is in flight has a bound."""
    async with stand_in(lambda packet: not packet.topic.endswith(("/alarm", "/telemetry"))) as platform:
        bridge = Bridge(tmp_path, platform.port)
        try:
            seen: set[str] = set()

            def is_full() -> bool:
                before = len(seen)
                seen.update(_alarms(platform.published))
                return before == len(seen) > 0

            await until(is_full, "the window is full", 30)
            for _ in range(50):
                box.alarms(1)
                await asyncio.sleep(0)
            assert bridge.most_mb() < MOST_MB
            assert len(seen) < 2_000
        finally:
            bridge.end()


def _alarms(packets: list[Packet]) -> list[str]:
    return [each.payload.decode() for each in packets if each.topic.endswith("/alarm")]
