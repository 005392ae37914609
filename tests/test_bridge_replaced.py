"""Another database in the outbox's place, under a bridge that runs on: it notices, and loses no row of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_bridge import pace
from gateway.model import Lane, Uplink
from gateway.store.database import GATEWAY_FILE, StoreError, put_aside
from gateway.store.mending import mend_database
from gateway.store.outbox import OutboxReader
from tests.support_bridge import Box, bridging, mosquitto, platform, site, until


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)


@pytest.mark.parametrize("is_mended", [True, False])
async def test_rows_of_the_new_database_arrive(tmp_path: Path, is_mended: bool) -> None:
    """Mended under its own numbers, or begun anew: alarms and readings of the new database arrive at once."""
    box = Box(tmp_path)
    box.readings(50)
    box.alarms(1, 2, 3)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(broker.port)}))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            box.db.close()
            if is_mended:
                mend_database(str(tmp_path), ["cloud"])
            else:
                put_aside(tmp_path / GATEWAY_FILE)
            again = Box(tmp_path)
            again.alarms(900)
            again.readings(3, start=5000)
            await until(lambda: {5000, 5001, 5002} <= set(seen.values()), "the readings")
            await until(lambda: any("0900" in each for each in seen.alarm_ids()), "the alarm")
            await until(lambda: again.settled("cloud") == again.last(), "settled")
        assert len(seen.values()) == 53


def test_a_reader_does_not_go_on_in_another_outbox(tmp_path: Path) -> None:
    """Row 51 of the next database is not the one behind row 50 of this one."""
    box = Box(tmp_path)
    box.readings(100)
    reader = OutboxReader(str(tmp_path))
    box.db.close()
    put_aside(tmp_path / GATEWAY_FILE)
    Box(tmp_path).readings(100)
    with pytest.raises(StoreError, match="replaced"):
        reader._look_again([], Lane.TELEMETRY, 50)  # as `take` does at a damaged page
