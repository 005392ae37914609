"""Platforms that misbehave: they cost time, never a row, and never the rows behind a bad one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import orjson
import pytest

from cloud_bridge import pace, settling, suspicion
from gateway.model import Lane, Uplink
from tests.support_bridge import Box, Hangup, Packet, StandIn, bridging, listening, site, stand_in, until


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of these tests are a tenth: what happens after them is the subject."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


def number(packet: Packet) -> int | None:
    """The first reading's value; None for another message."""
    body = orjson.loads(packet.payload)
    return int(body["r"][0][1]) if "r" in body else None


async def test_a_withheld_puback_settles_nothing_and_the_same_rows_come_again(box: Box, tmp_path: Path) -> None:
    """A platform that accepts and never acknowledges: the rows stay, and come again with the same ids."""
    box.readings(5)
    box.alarms(1)
    async with (
        stand_in(lambda packet: packet.topic.endswith("/state")) as cloud,
        bridging(site(tmp_path, up(cloud.port, answer="2s"))),
    ):
        await until(lambda: cloud.sessions >= 2 and len(cloud.ids()) >= 14, "a second session")
        assert box.settled("cloud") == {Lane.ALARM: 0, Lane.TELEMETRY: 0}
        ids = [each for each in cloud.ids() if each != "state"]
        assert ids[:6] == ids[6:12]
        assert len(set(ids[:6])) == 6
        await until(lambda: "not answered" in str(box.status("cloud").get("error")), "the status")


async def test_a_row_of_several_messages_is_settled_at_the_last_puback(box: Box, tmp_path: Path) -> None:
    """A large row goes in several messages: it is settled only when all of them are acknowledged."""
    box.readings(1, each=3000)

    def answer(packet: Packet) -> bool:
        return number(packet) in (None, 0)  # the first chunk begins with reading 0

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port, answer="2s"))):
        await until(lambda: len(cloud.published) >= 6, "all chunks")
        await until(lambda: cloud.sessions >= 2, "a second try")
        assert box.settled("cloud")[Lane.TELEMETRY] == 0


async def test_a_row_that_kills_the_session_is_put_aside_and_no_other(box: Box, tmp_path: Path) -> None:
    """A platform that drops the session at one bad row gets everything else; the bad row is kept and counted."""
    box.readings(60)

    def answer(packet: Packet) -> bool:
        if number(packet) == 37:
            raise Hangup
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 1
    got = [value for each in cloud.published if (value := number(each)) is not None]
    assert set(got) == set(range(60))
    assert got.count(37) <= 1 + suspicion._REFUSALS[Lane.TELEMETRY]  # seen in the first window, then alone


async def test_an_alarm_does_not_wait_behind_a_bad_row(box: Box, tmp_path: Path) -> None:
    """While a bad telemetry row is still being tried, an alarm goes through."""
    box.readings(5)

    def answer(packet: Packet) -> bool:
        if number(packet) == 0:
            raise Hangup
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: cloud.sessions >= 2, "the first refusal")
        box.alarms(1)
        await until(lambda: box.settled("cloud")[Lane.ALARM] == 1, "the alarm")


async def test_a_row_that_is_never_acknowledged_is_put_aside_when_all_others_are(box: Box, tmp_path: Path) -> None:
    """One row without a PUBACK among acknowledged ones doesn't hold up the rest for ever."""
    box.readings(40)
    async with (
        stand_in(lambda packet: number(packet) != 5) as cloud,
        bridging(site(tmp_path, up(cloud.port, answer="2s"))),
    ):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 1


async def test_an_outage_in_the_middle_of_a_row_never_costs_the_row(box: Box, tmp_path: Path) -> None:
    """A platform that drops every session at whatever comes first is ill: no row is blamed before it works at all."""
    box.readings(3)
    box.alarms(1)

    def answer(_packet: Packet) -> bool:
        raise Hangup

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: cloud.sessions >= 8, "several sessions")
    assert box.rejected("cloud") == 0


async def test_a_server_that_accepts_and_says_nothing_is_given_up(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP connects, no CONNACK ever: the status says so and the bridge tries again."""
    box.readings(1)
    connections = 0

    async def hold(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(1000):
            pass

    monkeypatch.setattr("cloud_bridge.broker_session._OPEN_S", 0.3)
    async with listening(hold) as port, bridging(site(tmp_path, up(port))):
        await until(lambda: connections >= 3, "another try")
        await until(lambda: "not answered" in str(box.status("cloud").get("error")), "the status")


def acknowledged(cloud: StandIn) -> list[Packet]:
    """all but the newest values."""
    return [each for each in cloud.published if each.mid and not each.topic.endswith("/newest")]


async def test_an_alarm_overtakes_the_telemetry_in_flight(box: Box, tmp_path: Path) -> None:
    """With a full window of telemetry without an answer, an alarm goes out at once."""
    box.readings(500)
    held = asyncio.Event()

    def answer(packet: Packet) -> bool:
        if number(packet) is not None:
            held.set()
            return False
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port, window="20"))):
        await asyncio.wait_for(held.wait(), 10)
        await until(lambda: len(acknowledged(cloud)) == 21, "a full window")
        box.alarms(1)
        await until(lambda: box.settled("cloud")[Lane.ALARM] == 1, "the alarm")
    assert len(acknowledged(cloud)) <= 23  # the state before and after, 20 readings, the alarm


async def test_a_full_disk_does_not_stop_alarms(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the cursor can't be written the alarms still go out, and the trouble is logged once."""
    box.alarms(1)
    monkeypatch.setattr(settling, "_SETTLE_S", 0.05)
    async with stand_in(lambda _: True) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "the first alarm")
        books = apsw.Connection(str(tmp_path / "bridge.db"))
        books.execute("CREATE TRIGGER full BEFORE UPDATE ON cursors BEGIN SELECT raise(abort, 'disk full'); END")
        box.alarms(2, 3)
        await until(lambda: sum("#1" in each for each in cloud.ids()) == 3, "the alarms")
        books.execute("DROP TRIGGER full")
        box.alarms(4)
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert len([each for each in cloud.ids() if each != "state"]) == 4
