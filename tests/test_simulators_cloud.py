"""The stand-in cloud: what it records, how it judges, how it misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest

from simulators.broker import EmbeddedBroker
from simulators.processes import PortTaken
from simulators.recorder import Platform, Record
from simulators.timeseries import TimeSeries
from tests.support_sim import Listener, until


def alarm(version: int, name: str = "r:p:1") -> bytes:
    event = {"alarm_id": name, "version": version, "kind": "raised"}
    return orjson.dumps({"v": 1, "gateway": "g", "id": f"{name}#{version}", "event": event, "alarm": {}})


def telemetry(seq: int, *received_ms: int) -> bytes:
    return orjson.dumps({"v": 1, "id": f"g/{seq}/0", "r": [["d/p", 1, ms, ms, "good"] for ms in received_ms]})


def test_it_counts_duplicates_and_disorder() -> None:
    """Every id counts once; a version or a reading that comes after a later one is an order violation."""
    record = Record()
    for topic, payload in (
        ("shouwang/g/alarm", alarm(1)),
        ("shouwang/g/alarm", alarm(1)),
        ("shouwang/g/alarm", alarm(3)),
        ("shouwang/g/alarm", alarm(2)),
        ("shouwang/g/telemetry", telemetry(1, 10, 20)),
        ("shouwang/g/telemetry", telemetry(1, 10, 20)),
        ("shouwang/g/telemetry", telemetry(2, 15)),
        ("shouwang/g/state", b'{"v":1,"gateway":"g","state":"online"}'),
    ):
        record.take(topic, payload)
    counts = record.counts
    assert (counts["alarms"], counts["readings"], counts["duplicates"], counts["order"]) == (3, 3, 2, 2)
    assert list(record.alarms) == ["r:p:1#1", "r:p:1#3", "r:p:1#2"]
    assert record.online == {"g": True}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("shouwang/g/alarm", b"{"),
        ("shouwang/g/alarm", b"[]"),
        ("shouwang/g/telemetry", b'{"id":"x","r":[[]]}'),
        ("shouwang/g/other", b"{}"),
        ("x", b"{}"),
    ],
)
def test_rubbish_is_counted_and_recorded_as_nothing(topic: str, payload: bytes) -> None:
    """A message of the wrong shape cannot pass for a delivery."""
    record = Record()
    record.take(topic, payload)
    assert dict(record.counts) == {"unreadable": 1}


async def test_it_hears_what_the_platform_broker_took(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Alarms on the platform's broker are in memory and in the file, also those that came while it was away."""
    record = Record(tmp_path / "cloud.jsonl")
    platform = Platform(embedded_broker.port, record)
    platform.start()
    await until(lambda: platform.is_up)
    bridge = Listener(embedded_broker.port, topics="nothing", client_id="bridge")
    try:
        bridge.say("shouwang/g/alarm", alarm(1))
        await until(lambda: record.counts["alarms"] == 1)
        await platform.stop()
        bridge.say("shouwang/g/alarm", alarm(2))
        again = Platform(embedded_broker.port, record)
        again.start()
        await until(lambda: record.counts["alarms"] == 2)
        await again.stop()
    finally:
        bridge.close()
        record.close()
    lines = [json.loads(line) for line in (tmp_path / "cloud.jsonl").read_text("utf-8").splitlines()]
    assert [line["body"]["event"]["version"] for line in lines] == [1, 2]


LINES = (
    b'smoke,site=s,device=3-1/x alarm=true,battery=9i 1700000000000000000\nsos,site=s text="a b" 1700000000000000001\n'
)


@pytest.fixture
async def series() -> AsyncIterator[TimeSeries]:
    server = TimeSeries()
    await server.start()
    yield server
    await server.stop()


async def write(server: TimeSeries, body: bytes = LINES, timeout_s: float = 5.0) -> httpx.Response:
    async with httpx.AsyncClient(timeout=timeout_s) as client:
        url = f"http://127.0.0.1:{server.port}/api/v2/write?bucket=b&org=o&precision=ns"
        return await client.post(url, content=gzip.compress(body), headers={"Content-Encoding": "gzip"})


async def test_good_lines_are_counted_and_repeats_known(series: TimeSeries) -> None:
    """Two good lines are two lines; sending them again is two repeats."""
    assert (await write(series)).status_code == 204
    assert (await write(series)).status_code == 204
    assert (series.counts["lines"], series.counts["repeated"]) == (4, 2)


@pytest.mark.parametrize(
    ("mode", "status", "taken"),
    [("refuse", 400, 0), ("partial", 400, 2), ("unauthorized", 401, 0), ("busy", 429, 0), ("broken", 500, 0)],
)
async def test_it_refuses_in_every_way_a_server_can(series: TimeSeries, mode: str, status: int, taken: int) -> None:
    """Each refusal has its status, and partial takes the good lines of a bad batch."""
    series.set_mode(mode)
    answer = await write(series, LINES + b"poison,site=s v=1 1\n")
    assert (answer.status_code, series.counts["lines"]) == (status, taken)
    assert ("Retry-After" in answer.headers) == (mode == "busy")


async def test_a_bad_line_fails_its_whole_batch(series: TimeSeries) -> None:
    """In the normal mode a malformed line is refused with 400, and nothing of the batch is taken."""
    answer = await write(series, LINES + b"no fields here\n")
    assert answer.status_code == 400
    assert "dropped=1" in answer.json()["message"]
    assert series.counts["lines"] == 0


async def test_a_stall_ends_when_told_and_a_cut_loses_only_the_answer(series: TimeSeries) -> None:
    """A stalled write is answered after the stall; a cut one was taken, and the client cannot know."""
    series.set_mode("stall")
    waiting = asyncio.create_task(write(series))
    await until(lambda: series.counts["requests"] == 1)
    assert not waiting.done()
    async with httpx.AsyncClient() as person:
        assert (await person.post(f"http://127.0.0.1:{series.port}/mode/ok")).json()["mode"] == "ok"
        assert (await person.post(f"http://127.0.0.1:{series.port}/mode/nonsense")).status_code == 404
    assert (await waiting).status_code == 204
    series.set_mode("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        await write(series)
    assert series.counts["lines"] == 4


async def test_rubbish_in_gzip_is_refused(series: TimeSeries) -> None:
    """A damaged body is the client's fault."""
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{series.port}/api/v2/write"
        answer = await client.post(url, content=b"\x1f\x8bxx", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400


async def test_a_taken_port_is_said(series: TimeSeries) -> None:
    """The second server on a port names it."""
    with pytest.raises(PortTaken, match=str(series.port)):
        await TimeSeries(series.port).start()
