"""The bridge's own file: damage in it costs what lies there, holds up no cloud, and the gateway notices the new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model import Lane, OutboxEntry, Uplink
from gateway.store.database import BRIDGE_FILE, epoch, put_aside
from gateway.store.dead_letters import dead_letters
from gateway.store.journal import Journal
from gateway.store.outbox import CursorStore
from tests.support_bridge import START, Box, bridging, mosquitto, platform, site, until
from tests.support_core import now
from tests.test_store_carry import ruin_a_leaf

LETTERS = 200


def with_letters(directory: Path, outbox_epoch: str) -> None:
    store = CursorStore(str(directory))
    store.adopt(outbox_epoch)
    for number in range(1, LETTERS + 1):
        store.reject("cloud", OutboxEntry(number, Lane.TELEMETRY, START, b"x" * 200), "400")
    store.set_status("cloud", {"state": "down"})
    store.close()


@pytest.mark.parametrize("table", ["cursors", "dead_letters", "status", "meta"])
async def test_damage_in_the_bridges_file_holds_up_no_cloud(tmp_path: Path, table: str) -> None:
    """Whichever table it is in: alarms go up, the state is told, and letters on other pages are still there."""
    box = Box(tmp_path)
    with_letters(tmp_path, epoch(box.db))
    lost = ruin_a_leaf(tmp_path / BRIDGE_FILE, table)
    box.alarms(1, 2, 3)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(broker.port)}))):
            await until(lambda: len(seen.alarm_ids()) == 3, "the alarms", 5)
            await until(lambda: box.settled("cloud") == box.last(), "settled", 5)
            await until(lambda: box.status("cloud").get("state") == "up", "the status", 5)
    kept = len(dead_letters(str(tmp_path), "cloud", 1_000))
    assert kept == LETTERS - (lost if table == "dead_letters" else 0)
    assert (tmp_path / (BRIDGE_FILE + ".broken")).exists()


def test_a_bridges_file_that_was_replaced_is_noticed_by_housekeeping(tmp_path: Path) -> None:
    """The gateway runs on: what clouds have settled in the new file is deleted, not judged by the one put aside."""
    journal = Journal(str(tmp_path), ["cloud"], 10_000_000)
    box = Box(tmp_path)
    box.alarms(1)
    store = CursorStore(str(tmp_path))
    store.adopt(epoch(box.db))
    journal.trim(now())
    store.close()
    put_aside(tmp_path / BRIDGE_FILE)
    store = CursorStore(str(tmp_path))
    store.adopt(epoch(box.db))
    store.settle("cloud", Lane.ALARM, 1)
    journal.trim(now(1))
    assert box.db.execute("SELECT count(*) FROM outbox_alarm").fetchall() == [(0,)]
    store.close()
    journal.close()
