"""A damaged page of the outbox costs the rows on it, says so, and holds up nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

from gateway.model import Lane, Uplink
from gateway.store import outbox
from gateway.store.database import GATEWAY_FILE
from tests.support_bridge import Box, bridging, mosquitto, platform, site, until

TABLES = {Lane.ALARM: "outbox_alarm", Lane.TELEMETRY: "outbox_telemetry"}


def damage(directory: Path, lane: Lane, *places: float) -> None:
    """Overwrite leaf pages of a lane's table: 0 is its first, 1 its last. Nobody may have the database open."""
    db = apsw.Connection(str(directory / GATEWAY_FILE))
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
    leaves = [int(str(row[0])) for row in db.execute(query, (TABLES[lane],))]
    size = int(str(db.pragma("page_size")))
    db.close()
    assert len(leaves) > 8, "the table is too small to be damaged in the middle"
    with (directory / GATEWAY_FILE).open("r+b") as file:
        for place in places:
            file.seek((leaves[round(place * (len(leaves) - 1))] - 1) * size)
            file.write(random.Random(place).randbytes(size))


def whole(directory: Path, lane: Lane) -> list[int]:
    """Every row that can be read, as the bridge would."""
    reader = outbox.OutboxReader(str(directory))
    found: list[int] = []
    after = 0
    while got := reader.take(lane, after):
        found += [each.seq for each in got if not each.body.startswith(b"rows ")]
        after = got[-1].seq
    reader.close()
    return found


@pytest.mark.parametrize("lane", list(Lane))
async def test_a_damaged_page_costs_its_rows_and_nothing_else(tmp_path: Path, lane: Lane) -> None:
    """Everything that lies on other pages arrives, in order, alarms too; what does not is put aside and shown, with
    the numbers of the rows; what is written afterwards goes out as ever."""
    box = Box(tmp_path)
    box.readings(1000)
    box.alarms(*range(1, 101))
    box.db.close()
    damage(tmp_path, lane, 0.5)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(broker.port)}))):
            await until(lambda: Box(tmp_path).settled("cloud") == Box(tmp_path).last(), "settled")
            again = Box(tmp_path)
            again.alarms(999)
            again.readings(1, start=5000)
            await until(lambda: 5000 in seen.values() and len(seen.alarm_ids()) > 50, "what came afterwards")
            await until(lambda: any("0999" in each for each in seen.alarm_ids()), "the next alarm")
            await until(lambda: again.status("cloud").get("rejected") == 1, "the status")
        values = seen.values()
        assert values == sorted(values)
        assert (len(values), len(seen.alarm_ids())) != (1001, 101)
        if lane is Lane.TELEMETRY:
            assert len(seen.alarm_ids()) == 101
            assert 900 < len(values) < 1001
        else:
            assert len(values) == 1001
            assert 80 < len(seen.alarm_ids()) < 101
        db = apsw.Connection(str(tmp_path / "bridge.db"))
        (body,) = db.execute("SELECT body FROM dead_letters").fetchone() or (b"",)
        assert b"lie on a damaged page" in bytes(body)


def test_several_damaged_pages_are_each_passed(tmp_path: Path) -> None:
    """Two pages beside each other and one far away, the first of the table among them: the rest is read, to the row."""
    box = Box(tmp_path)
    box.readings(1000)
    box.db.close()
    before = whole(tmp_path, Lane.TELEMETRY)
    assert before == list(range(1, 1001))
    damage(tmp_path, Lane.TELEMETRY, 0.0, 0.4, 0.45, 0.8)
    found = whole(tmp_path, Lane.TELEMETRY)
    assert found == sorted(set(found))
    assert 600 < len(found) < 1000
    assert found[-1] == 1000
    assert found[0] > 1


def test_the_backlog_is_told_although_it_cannot_be_counted(tmp_path: Path) -> None:
    """A status without numbers would be no status: the newest row's number still tells how many wait."""
    box = Box(tmp_path)
    box.readings(1000)
    box.db.close()
    damage(tmp_path, Lane.TELEMETRY, 0.5)
    reader = outbox.OutboxReader(str(tmp_path))
    assert reader.backlog(Lane.TELEMETRY, 100) == (900, 0)
    reader.close()
