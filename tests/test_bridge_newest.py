"""Newest first: after an outage a platform shows the present at once, while history fills in from the oldest."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge import newest, pace
from cloud_bridge.encode import Encoder
from cloud_bridge.newest import Newest, latest
from gateway.model import Reading, Uplink
from gateway.store.outbox import OutboxReader
from tests.support_bridge import (
    START,
    Box,
    Hangup,
    Packet,
    _packet,
    bridging,
    device,
    listening,
    mosquitto,
    platform,
    site,
    stand_in,
    until,
)
from tests.support_series import Asked, http_stand_in

SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "newest.v1.json"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


def reading(point: int, number: int) -> Reading:
    at = START + timedelta(milliseconds=number)
    return Reading(f"3-1/meter/p.{point}", number, at, at)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=12), st.integers(0, 6))
def test_what_is_told_is_the_last_reading_of_each_point(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], after: int
) -> None:
    """Invariant: exactly one reading of each point behind ``after``, the one that was committed last."""
    box = Box(tmp_path_factory.mktemp("box"))
    want: dict[str, Any] = {}
    number = seq = 0
    for batch in batches:
        told = []
        for point in batch:
            number += 1
            told.append(reading(point, number))
        seq += bool(told)
        box.append(told)
        if seq > after:
            want |= {each.point_id: each.value for each in told}
    found = latest(str(box.directory), after)
    assert sorted((row[0], row[1]) for row in found.readings) == sorted(want.items())
    assert found.seq == max(seq, after)


def test_the_tail_that_is_searched_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a backlog of days only its end is read; what is older comes with the history."""
    monkeypatch.setattr(newest, "_MAX_BYTES", 2_000)
    for number in range(500):
        box.append([reading(number, number)])
    found = latest(str(box.directory), 0)
    assert 5 < len(found.readings) < 40
    assert [row[1] for row in found.readings] == list(range(499, 499 - len(found.readings), -1))
    monkeypatch.setattr(newest, "_MAX_POINTS", 3)
    assert len(latest(str(box.directory), 0).readings) == 3


def test_a_damaged_row_hides_no_other(box: Box) -> None:
    """A row that a bad sector has damaged is passed over: it is put aside when its turn comes."""
    for number in range(3):
        box.append([reading(number, number)])
    box.db.execute("UPDATE outbox_telemetry SET body = x'00112233' WHERE seq = 3")
    assert [row[1] for row in latest(str(box.directory), 0).readings] == [1, 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_messages_are_what_the_schema_says_and_no_id_comes_twice(sizes: list[int]) -> None:
    """Whatever slices one search is handed out in: ids of one row count on, and nothing is larger than said."""
    encoder = Encoder("gw-1", "e0", "shouwang", 8192)
    validate = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate
    ids: list[str] = []
    for part, size in enumerate(sizes):
        rows = [[f"p.{part}.{n}", "x" * 400, 1, 2, "good"] for n in range(size)]
        found = encoder.newest(rows, 77)
        bodies = [orjson.loads(each.payload) for each in found]
        for each, body in zip(found, bodies, strict=True):
            assert each.topic == "shouwang/gw-1/newest"
            assert len(each.payload) <= 8192
            validate(body)
            ids.append(body["id"])
        assert [line for body in bodies for line in body["r"]] == rows
    assert ids == [f"gw-1/e0/newest/77/{n}" for n in range(len(ids))]


async def test_the_present_is_there_at_once_and_history_comes_in_order(box: Box, tmp_path: Path) -> None:
    """After an outage the newest value of every point comes with the first messages, the oldest history beside it."""
    for number in range(3000):
        box.append([reading(point, number) for point in range(5)] if number < 2999 else [reading(9, number)])
    box.alarms(1)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port, rate="600"))):
            await until(lambda: seen.of("newest"), "newest values")
            assert len(seen.of("telemetry")) < 1500, "long before the history has arrived"
            await until(lambda: len(seen.of("telemetry")) == 3000, "the history")
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            await until(lambda: box.status("cloud")["counts"]["newest"] >= 6, "counted")
    kinds = [topic.rpartition("/")[2] for topic, _ in seen.messages]
    assert kinds[:2] == ["state", "alarm"]
    first = {row[0]: row[1] for row in seen.of("newest")[0]["r"]}
    assert first == {**{f"3-1/meter/p.{n}": 2998 for n in range(5)}, "3-1/meter/p.9": 2999}
    rows = [row for body in seen.of("telemetry") for row in body["r"]]
    for point in range(5):
        assert [row[1] for row in rows if row[0].endswith(f".{point}")] == list(range(2999))


async def test_newest_values_of_what_comes_meanwhile(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While history fills in, what is new is told again and again, and only what is new."""
    monkeypatch.setattr(newest, "_EVERY_S", 0.1)
    for number in range(1000):
        box.append([reading(number % 10, number)])
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port, rate="100"))):
            await until(lambda: len(seen.of("newest")) == 1, "newest values")
            box.append([reading(3, 5000)])
            await until(lambda: len(seen.of("newest")) == 2, "and of the new row")
    assert len(seen.of("newest")[0]["r"]) == 10
    assert [row[:2] for row in seen.of("newest")[1]["r"]] == [["3-1/meter/p.3", 5000]]
    assert len(seen.of("telemetry")) < 1000


async def test_nothing_is_told_ahead_where_nothing_waits(box: Box, tmp_path: Path) -> None:
    """In ordinary operation, and for a few rows, the readings themselves are the newest."""
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port))):
            for start in range(0, 200, 50):
                box.readings(50, start=start)
                await until(lambda: box.settled("cloud") == box.last(), "settled")
        assert not seen.of("newest")
        assert len(seen.values()) == 200


async def test_a_platform_that_cannot_bear_newest_values_gets_its_history(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform that drops the session at each newest value costs a few sessions, and not one row."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)
    for number in range(2000):
        box.append([reading(1, number)])
    hangups = 0

    def answer(packet: Packet) -> bool:
        nonlocal hangups
        if packet.topic.endswith("/newest"):
            hangups += 1
            raise Hangup
        return True

    async with stand_in(answer) as cloud, bridging(site(tmp_path, up(cloud.port, rate="200"))):
        await until(lambda: box.settled("cloud") == box.last(), "settled", 40)
    assert 1 <= hangups <= newest._STRIKES
    assert box.rejected("cloud") == 0


async def test_a_line_too_narrow_for_it_is_left_to_alarms_and_history(tmp_path: Path) -> None:
    """Where much is unsent already, newest values are left out and counted: they must not hold up an alarm."""
    box = Box(tmp_path)
    for number in range(100):
        box.append([Reading(f"3-1/text/t.{number}.{n}", "x" * 900, START, START) for n in range(90)])

    async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await _packet(reader)).kind == 1
        writer.write(b"\x20\x02\x00\x00")
        writer.write(b"\x40\x02" + (await _packet(reader)).mid)  # of the state
        await asyncio.Event().wait()

    async with listening(never_reads) as port, bridging(site(tmp_path, up(port, answer="3s"))):
        await until(lambda: box.status("cloud").get("counts", {}).get("newest_left_out", 0) > 0, "left out")


async def test_a_series_server_gets_the_same_lines_early(box: Box, tmp_path: Path) -> None:
    """The time-series server gets the newest points first, and later again: same series, same instants, same values."""
    for number in range(40_000 // 100):
        box.append([reading(point, number) for point in range(100)])
    asked: list[list[str]] = []
    hold: list[Any] = []

    def answer(request: Asked) -> str:
        asked.append(request.lines)
        if len(request.lines) > 400:
            hold.append(None)
            return "429 Retry-After: 1" if len(hold) == 1 else "204"
        return "204"

    devices = (device("3-1", "meter", [(f"p.{n}", "int") for n in range(100)]),)
    uplink_ = "history"
    async with http_stand_in(answer) as (url, _):
        series = Uplink(uplink_, "influxdb", {"url": url, "bucket": "b"})
        async with bridging(site(tmp_path, series, devices=devices)):
            await until(lambda: box.settled(uplink_) == box.last(), "settled")
            await until(lambda: box.status(uplink_)["counts"]["newest"] >= 100, "counted")
    early = next(lines for lines in asked if len(lines) == 100)
    assert all(line.endswith(f" {int(START.timestamp() * 1000 + 399) * 1_000_000}") for line in early)
    later = [line for lines in asked if lines is not early for line in lines]
    assert set(early) <= set(later)


async def test_a_narrow_line_is_shared_with_the_history(box: Box) -> None:
    """Handing out takes as long as the line is narrow; then the history has as long again."""
    for number in range(newest._SLICE * 3):
        box.append([reading(number, number)])
    reader = OutboxReader(str(box.directory))
    bell = asyncio.Event()
    it = Newest(reader, bell)
    it.look(100.0, 0)
    await asyncio.wait_for(bell.wait(), 10)
    it.look(100.0, 0)
    for second in range(3):
        assert it.is_waiting
        it.next(120.0 + 10 * second)  # the rate lets one go every ten seconds
    assert not it.is_waiting
    box.readings(1)
    for now_s in (141.0, 179.0):
        it.look(now_s, 0)
        assert it._search is None
    it.look(181.0, 0)
    assert it._search is not None
    it.end(181.0, is_refusal=False)
    reader.close()
