"""A bridge that stands still: it may hold up the database's log only so far."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import apsw
import pytest

from benchmarks import site
from gateway.app.bridge import BridgeEnded, BridgeProcess
from gateway.store.database import GATEWAY_FILE, log_path
from gateway.store.journal import Journal
from tests.support_core import until

_LIMIT = 64_000_000


def children() -> set[int]:
    """Processes that this test has started."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.add(int(entry.name))
    return found


async def test_a_bridge_that_stands_still_while_the_log_grows_is_killed(tmp_path: Path) -> None:
    """SIGSTOP in the middle of a read keeps the log from beginning again: the disk must not fill up because of it."""
    config = site.write(tmp_path, site.Plan(field_port=1, web_port=1, smoke_buildings=1, env_buildings=0))
    data = tmp_path / "data"
    store = Journal(str(data), ["platform"], 10**9)
    before = children()
    log = log_path(str(data))
    process = BridgeProcess(config, str(data))
    running = asyncio.create_task(process.run())
    await until(lambda: bool(children() - before), 30)
    (pid,) = children() - before
    os.kill(pid, signal.SIGSTOP)
    reader = apsw.Connection(str(data / GATEWAY_FILE), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM outbox_telemetry").fetchall()  # what the stopped bridge would hold
    try:
        async with asyncio.timeout(60):
            while not running.done():
                if log.stat().st_size < 3 * _LIMIT:
                    store.connection.execute(
                        "INSERT INTO outbox_telemetry (at_ms, items, body) VALUES (0, 1, zeroblob(4000000))"
                    )
                await asyncio.sleep(0.02)
        assert log.stat().st_size > _LIMIT, "it was killed too soon"
        with pytest.raises(BridgeEnded, match="stood still"):
            await running
        assert pid not in children()
    finally:
        running.cancel()
        reader.close()
        store.close()
