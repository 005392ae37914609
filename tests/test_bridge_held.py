"""An alarm that ends the session: others pass it, it is blamed only once they have, and a bad link costs none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from cloud_bridge import pace, retries, suspicion
from gateway.model import Lane, Uplink
from gateway.store import outbox
from gateway.store.dead_letters import dead_letters, want
from tests.support_bridge import Box, Hangup, Packet, bridging, event, site, stand_in, until


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_FIRST_S", 0.02)
    monkeypatch.setattr(suspicion, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "_LOOK_S", 0.1)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


def alarm(packet: Packet) -> str:
    """The event's id without its rule, "" for another message."""
    if not packet.topic.endswith("/alarm"):
        return ""
    return str(orjson.loads(packet.payload)["id"]).rpartition("-")[2]


def kills(*numbers: int) -> Callable[[Packet], bool]:
    def answer(packet: Packet) -> bool:
        if any(f"{each:04d}/" in alarm(packet) for each in numbers):
            raise Hangup
        return True

    return answer


async def test_alarms_pass_one_that_ends_the_session(box: Box, tmp_path: Path) -> None:
    """Two bad alarms at the head: the fifty behind them have arrived before either is blamed, each of them once."""
    box.alarms(*range(1, 53))
    box.readings(20)
    async with stand_in(kills(1, 2)) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.status("cloud").get("settled", {}).get("alarm") == 50, "the others", 5)
        assert box.rejected("cloud") == 0
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert sorted(each.seq for each in dead_letters(str(tmp_path), "cloud")) == [1, 2]
    good = [each for packet in cloud.published if (each := alarm(packet)) and each[:5] not in ("0001/", "0002/")]
    assert len(good) == len(set(good)) == 50
    tried = [each for packet in cloud.published if (each := alarm(packet)).startswith("0001/")]
    assert len(tried) <= 2 + suspicion._REFUSALS[Lane.ALARM]


async def test_an_alarm_alone_is_kept_until_another_was_taken(box: Box, tmp_path: Path) -> None:
    """Telemetry flows, nobody is blamed; the next alarm arrives at once, and only then the bad one is put aside."""
    box.alarms(1)
    async with stand_in(kills(1)) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: cloud.sessions > suspicion._REFUSALS[Lane.ALARM] + 2, "more than six refusals")
        box.readings(100)
        await until(lambda: box.settled("cloud")[Lane.TELEMETRY] == 100, "telemetry")
        assert box.rejected("cloud") == 0
        box.alarms(2)
        await until(lambda: any("0002/" in alarm(each) for each in cloud.published), "the next alarm", 2)
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert [each.seq for each in dead_letters(str(tmp_path), "cloud")] == [1]


async def test_a_link_that_breaks_at_the_same_alarm_again_and_again_costs_nothing(box: Box, tmp_path: Path) -> None:
    """Eight sessions end at it, then it goes: it was never put aside."""
    box.alarms(1)
    box.readings(30)
    broken = 0

    def answer(packet: Packet) -> bool:
        nonlocal broken
        if alarm(packet) and broken < 8:
            broken += 1
            raise Hangup
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 0


@pytest.mark.parametrize("bad", ["123", "1"])
async def test_events_of_one_alarm_stay_in_order(
    box: Box, tmp_path: Path, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later event of the alarm that is held waits with it, though nothing is wrong with it; others do not."""
    monkeypatch.setattr(suspicion, "_FIRST_PAUSE_S", 0.4)  # the next session is open before the first may be tried
    outbox.append(box.db, 1, (), [event(1), event(1, 2), event(2), event(1, 3)])
    broken = 0

    def answer(packet: Packet) -> bool:
        nonlocal broken
        if "0001/" in (each := alarm(packet)) and each[-1] in bad and broken < 3:
            broken += 1
            raise Hangup
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 0
    versions = [each[-1] for packet in cloud.published if "0001/" in (each := alarm(packet))]
    assert list(dict.fromkeys(versions)) == ["1", "2", "3"]
    assert versions[-3:] == ["1", "2", "3"]


async def test_every_bad_event_of_one_alarm_is_put_aside_in_its_turn(box: Box, tmp_path: Path) -> None:
    """Two bad events of one alarm, a good one behind them: each is blamed by itself, then the third arrives."""
    outbox.append(box.db, 1, (), [event(1), event(1, 2), event(1, 3)])

    def answer(packet: Packet) -> bool:
        if "0001/" in (each := alarm(packet)) and each[-1] in "12":
            raise Hangup
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port))):
        for bad in (1, 2):
            box.alarms(bad + 1)  # one is blamed only where another was taken since
            await until(lambda: box.rejected("cloud") == bad, f"dead letter {bad}")  # noqa: B023 - asked at once
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert [each.seq for each in dead_letters(str(tmp_path), "cloud")] == [2, 1]
    told = [each[-1] for packet in cloud.published if "0001/" in (each := alarm(packet))]
    assert list(dict.fromkeys(told)) == ["1", "2", "3"]
    assert told[-1] == "3"


async def test_an_alarm_refused_by_name_is_put_aside_at_once(box: Box, tmp_path: Path) -> None:
    """0x99 to one alarm among others: one session, one try, no other row sent twice."""
    box.alarms(*range(1, 21))

    def answer(packet: Packet) -> bool | int:
        return 0x99 if "0007/" in alarm(packet) else True

    async with stand_in(answer, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        assert cloud.sessions == 1
    assert [each.seq for each in dead_letters(str(tmp_path), "cloud")] == [7]
    assert len([each for each in cloud.published if alarm(each)]) == 20


async def test_a_platform_that_refuses_every_alarm_by_name_eats_none_at_once(box: Box, tmp_path: Path) -> None:
    """It takes telemetry and no alarm: alarms are not put aside one after the other."""
    box.alarms(*range(1, 21))
    box.readings(50)

    def answer(packet: Packet) -> bool | int:
        return 0x99 if alarm(packet) else True

    async with stand_in(answer, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: cloud.sessions >= 12, "sessions")
    assert box.rejected("cloud") <= 1


async def test_a_letter_that_ends_the_session_blames_no_row(box: Box, tmp_path: Path) -> None:
    """A dead letter tried again kills each session, in which one row is always on its way: that row is not blamed."""
    box.readings(2)
    entry, _ = outbox.OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0)
    store = outbox.CursorStore(str(tmp_path))
    store.adopt(outbox.OutboxReader(str(tmp_path)).epoch)
    for seq in range(1001, 1006):
        store.reject("cloud", entry._replace(seq=seq), "400")
    is_held, wanted_sessions = asyncio.Event(), [0]

    def answer(packet: Packet) -> bool:
        if packet.topic.endswith("/telemetry"):
            row = int(str(orjson.loads(packet.payload)["id"]).split("/")[2])
            if row > 1000:
                raise Hangup
            return row == 1 or is_held.is_set()
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port, answer="2s"))):
        await until(lambda: any(each.topic.endswith("/telemetry") for each in cloud.published), "the row")
        for letter in dead_letters(str(tmp_path), "cloud"):
            assert want(str(tmp_path), letter.id)
            wanted_sessions.append(cloud.sessions + 1)
            await until(lambda: cloud.sessions >= wanted_sessions[-1], "the next session")
        assert box.rejected("cloud") == 5
        is_held.set()
        await until(lambda: box.settled("cloud")[Lane.TELEMETRY] == 2, "settled")


async def test_a_platform_without_room_blames_no_row(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0x97 to one row, later ones are taken: no row is to blame, however often; it goes when there is room again."""
    monkeypatch.setattr("cloud_bridge.broker_session._REFUSED_ALL_S", 0.05)
    box.readings(40)
    refused = 0

    def answer(packet: Packet) -> bool | int:
        nonlocal refused
        if packet.topic.endswith("/telemetry") and orjson.loads(packet.payload)["r"][0][1] == 5 and refused < 8:
            refused += 1
            return 0x97
        return True

    async with stand_in(answer, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 0
