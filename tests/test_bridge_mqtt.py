"""The MQTT uplink against a real broker: everything arrives, alarms first, over every interruption."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from cloud_bridge import run
from cloud_bridge.settings import Common
from cloud_bridge.table import UPLINKS
from cloud_bridge.uplink import Context, UplinkKind
from gateway.model import Lane, Uplink
from tests.support_bridge import Box, bridging, mosquitto, platform, site, until


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


async def test_everything_arrives_in_order_with_the_alarms_first(box: Box, tmp_path: Path) -> None:
    """After an outage the platform has the alarms before any telemetry, then every reading, each once and in order."""
    box.readings(300, each=10)
    box.alarms(1, 2, 3)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port))):
            await until(lambda: len(seen.values()) >= 3000, "all readings")
            await until(lambda: box.settled("cloud") == box.last(), "settled")
        assert seen.values() == list(range(3000))
        kinds = [topic.rpartition("/")[2] for topic, _ in seen.messages]
        assert kinds[:4] == ["state", "alarm", "alarm", "alarm"]
        assert seen.of("telemetry")[0]["id"].endswith("/1/0")


async def test_a_broker_killed_in_the_middle_costs_nothing(box: Box, tmp_path: Path) -> None:
    """kill -9 of the platform's broker under load: whatever it had not acknowledged is sent again, in order."""
    box.readings(2000)
    with mosquitto(tmp_path, "persistence false") as broker:
        with platform(broker.port) as seen:
            async with bridging(site(tmp_path, up(broker.port, window="20", rate="800"))):
                await until(lambda: len(seen.values()) > 200, "the first readings")
                broker.kill()
                box.alarms(7)
                before = seen.values()
                seen.is_ready.clear()
                broker.start()
                await until(seen.is_ready.is_set, "the subscriber is back")
                box.readings(50, start=2000)
                await until(lambda: box.settled("cloud") == box.last(), "settled")
        # what was published between the broker's start and our subscription has no receiver: the cursor tells
        assert before == list(range(len(before)))
        after = seen.values()[len(before) :]
        assert after == sorted(after)
        assert set(range(2000, 2050)) <= set(after)


async def test_rows_written_while_the_platform_is_away_wait_on_disk(box: Box, tmp_path: Path) -> None:
    """With no platform at all nothing is settled, and the status says down, why, and how much waits."""
    box.readings(10)
    box.alarms(1)
    async with bridging(site(tmp_path, up(1))):
        await until(lambda: box.status("cloud").get("state") == "down", "the status")
    assert box.settled("cloud") == {Lane.ALARM: 0, Lane.TELEMETRY: 0}
    status = box.status("cloud")
    assert status["backlog"]["telemetry"]["entries"] == 10
    assert status["state"] == "stopped"


async def test_a_bridge_started_again_goes_on_at_the_cursor(box: Box, tmp_path: Path) -> None:
    """After a clean stop nothing is sent a second time."""
    box.readings(50)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        for _ in range(2):
            async with bridging(site(tmp_path, up(broker.port))):
                await until(lambda: box.settled("cloud") == box.last(), "settled")
            box.readings(30, start=50)
        await until(lambda: len(seen.values()) >= 80, "the readings")
        assert seen.values() == list(range(80))


async def test_two_platforms_each_have_their_own_cursor(box: Box, tmp_path: Path) -> None:
    """A platform that is down keeps nothing from the other."""
    box.readings(20)
    dead = Uplink("dead", "mqtt", {"host": "127.0.0.1", "port": "1"})
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, dead, up(broker.port))):
            await until(lambda: len(seen.values()) == 20, "the readings")
            await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.settled("dead")[Lane.TELEMETRY] == 0


async def test_a_damaged_row_is_put_aside_and_the_rest_goes_on(box: Box, tmp_path: Path) -> None:
    """A row that a bad sector has damaged is kept as a dead letter; the rows around it arrive."""
    box.readings(5)
    box.db.execute("UPDATE outbox_telemetry SET body = x'00112233' WHERE seq = 3")
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            await until(lambda: len(seen.values()) == 4, "the readings")
            await until(lambda: box.status("cloud").get("rejected") == 1, "the status")
    assert seen.values() == [0, 1, 3, 4]
    assert box.rejected("cloud") == 1


async def test_trouble_in_one_uplink_does_not_reach_the_others(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An uplink that breaks (a fault of ours) is tried again and again; the others never notice."""
    box.readings(5)
    broken = 0

    def build(_context: Context, _params: object) -> NoReturn:
        nonlocal broken
        broken += 1
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(run, "_RESTART_S", 0.05)
    monkeypatch.setattr(run, "UPLINKS", {**UPLINKS, "broken": UplinkKind(Common, build)})
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, Uplink("bad", "broken", {}), up(broker.port))):
            await until(lambda: broken >= 3, "started again")
            await until(lambda: seen.values() == [0, 1, 2, 3, 4], "the readings")
            box.alarms(1)
            await until(lambda: box.settled("cloud") == box.last(), "settled")


async def test_the_platform_knows_whether_the_gateway_is_online(box: Box, tmp_path: Path) -> None:
    """The retained state says online during a session and offline after it."""
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port))):
            await until(lambda: len(seen.of("state")) == 1, "online")
        await until(lambda: len(seen.of("state")) == 2, "offline")
    assert [each["state"] for each in seen.of("state")] == ["online", "offline"]
    assert box.last() == box.settled("cloud")
