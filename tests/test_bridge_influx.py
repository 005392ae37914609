"""The time-series uplink against a real server and a scripted one: every point is there, only bad lines are not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from cloud_bridge import influx_split, influx_uplink, pace
from gateway.model import Lane, Quality, Reading, Uplink
from simulators.timeseries import TimeSeries
from tests.support_bridge import START, Box, bridging, device, event, site, until
from tests.support_series import Answer, Asked, http_stand_in, victoria

DEVICES = (
    device("3-1-B1-CP01", "ebike", [("power.1", "float"), ("on.1", "bool")], zone="地下车库, A=1"),
    device("3-2-03-0301", "smoke", [("alarm", "bool"), ("battery", "int"), ("state", "text")]),
)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)


def up(url: str, **more: str) -> Uplink:
    return Uplink("history", "influxdb", {"url": url, "bucket": "b", "org": "o", **more})


def readings(count: int) -> list[Reading]:
    """For each number one reading of each point; every instant of a point is another millisecond."""
    rows = []
    for number in range(count):
        at = START + timedelta(milliseconds=number)
        rows += [
            Reading("3-1-B1-CP01/ebike/power.1", number, at, at),
            Reading("3-2-03-0301/smoke/battery", number % 101, at, at),
            Reading("3-2-03-0301/smoke/alarm", number % 2 == 0, at, at),
        ]
    return rows


async def test_every_point_can_be_asked_back(box: Box, tmp_path: Path) -> None:
    """All readings and alarm events are in the server, with their first instants, values, names and tags."""
    for start in range(0, 3000, 300):
        box.append(readings(1000)[start : start + 300])
    box.append(events=[event(1), event(2), event(2, version=2)])
    async with victoria(tmp_path) as server:
        async with bridging(site(tmp_path, up(server.url), devices=DEVICES)):
            await until(lambda: box.settled("history") == box.last(), "settled")
        found = await server.found(3000 + 3 * 2 + 1)  # an event has its version and its open flag; the check line
    start_ms = int(START.timestamp() * 1000)
    ebike, smoke = "3-1-B1-CP01/ebike", "3-2-03-0301/smoke"
    assert found["ebike_power.1", ebike] == [(start_ms + number, float(number)) for number in range(1000)]
    assert found["smoke_battery", smoke] == [(start_ms + number, number % 101) for number in range(1000)]
    assert found["smoke_alarm", smoke] == [(start_ms + number, int(number % 2 == 0)) for number in range(1000)]
    versions = [found["alarm_event_version", f"3-2-03-000{number}/smoke"] for number in (1, 2)]
    assert [[value for _, value in each] for each in versions] == [[1], [1, 2]]


async def test_once_a_minute_it_says_that_it_is_there(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches many gateways sees a silent one: said at the start, and again with what is written, in its time."""
    box.append(readings(5))
    asked = await scripted(box, tmp_path, lambda _: "204")
    assert asked[0].is_check
    assert not [line for each in asked[1:] for line in each.lines if line.startswith("shouwang_bridge,")]
    monkeypatch.setattr(influx_uplink, "_ALIVE_EVERY_S", 0.0)
    box.append(readings(5))
    asked = await scripted(box, tmp_path, lambda _: "204")
    assert asked[1:]
    assert all(each.lines[-1].startswith("shouwang_bridge,site=gw-1 up=1i ") for each in asked[1:])
    assert box.rejected("history") == 0


async def test_a_server_started_later_gets_what_it_missed(box: Box, tmp_path: Path) -> None:
    """While the server is away the rows wait on disk; afterwards every point is there."""
    box.append(readings(10))
    async with bridging(site(tmp_path, up("http://127.0.0.1:1"), devices=DEVICES)):
        await until(lambda: box.status("history").get("state") == "down", "the status")
    assert box.settled("history")[Lane.TELEMETRY] == 0
    async with victoria(tmp_path) as server:
        async with bridging(site(tmp_path, up(server.url), devices=DEVICES)):
            await until(lambda: box.settled("history") == box.last(), "settled")
        found = await server.found(30 + 1)
        assert len(found["smoke_battery", "3-2-03-0301/smoke"]) == 10


async def scripted(box: Box, directory: Path, answer: Answer) -> list[Asked]:
    """Serve until everything is settled; what the server was asked."""
    async with http_stand_in(answer) as (url, asked), bridging(site(directory, up(url), devices=DEVICES)):
        await until(lambda: box.settled("history") == box.last(), "settled")
    return asked


async def test_only_the_row_with_the_bad_line_is_put_aside(box: Box, tmp_path: Path) -> None:
    """One refused line in a batch: every other line arrives, the row of the bad one is kept with the reason."""
    for start in range(0, 300, 30):
        box.append(readings(100)[start : start + 30])
    taken: set[str] = set()

    def answer(asked: Asked) -> str:
        if any(" power.1=55.0 " in line for line in asked.lines):
            return "400"
        taken.update(asked.lines)
        return "204"

    await scripted(box, tmp_path, answer)
    assert box.rejected("history") == 1
    assert sum(line.startswith("ebike") for line in taken) == 99
    assert sum(line.startswith("smoke") for line in taken) == 200


async def test_a_server_that_refuses_everything_loses_nothing(box: Box, tmp_path: Path) -> None:
    """400 for every line is the server's trouble (a proxy, a wrong path), not the rows': all are kept."""
    box.append(readings(10))
    seen: list[Asked] = []

    def answer(request: Asked) -> str:
        seen.append(request)
        return "204" if len(seen) == 1 else "400"  # it worked when the session began

    async with http_stand_in(answer) as (url, asked), bridging(site(tmp_path, up(url), devices=DEVICES)):
        await until(lambda: len(asked) >= 4, "several attempts")
        await until(lambda: "refuses every write" in str(box.status("history").get("error")), "the status")
    assert box.rejected("history") == 0
    assert box.settled("history")[Lane.TELEMETRY] == 0


@pytest.mark.parametrize("secret", ["hunter2\nsecond line", "hunter2-密"])
async def test_a_token_that_fits_no_header_is_never_shown(
    box: Box, tmp_path: Path, secret: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The HTTP library quotes what it can't send, all of it: neither status nor log shows it."""
    box.append(readings(1))
    (tmp_path / "token").write_text(secret, encoding="utf-8")
    params = {"url": "http://127.0.0.1:9", "bucket": "b", "token": {"file": str(tmp_path / "token")}}
    async with bridging(site(tmp_path, Uplink("history", "influxdb", params), devices=DEVICES)):
        await until(lambda: box.status("history").get("error"), "the reason")
        said = str(box.status("history"))
    assert "hunter2" not in said + "".join(capfd.readouterr())
    assert "the bridge itself" not in said


@pytest.mark.parametrize("status", ["401", "403", "404", "302 Location: http://127.0.0.1:1/", "500"])
async def test_nothing_but_success_settles(box: Box, tmp_path: Path, status: str) -> None:
    """A refused token, a missing bucket, a redirect (the token must not follow it) and an error keep every row."""
    box.append(readings(10))
    async with (
        http_stand_in(lambda asked: "204" if asked.is_check else status) as (url, asked),
        bridging(site(tmp_path, up(url), devices=DEVICES)),
    ):
        await until(lambda: sum(not each.is_check for each in asked) >= 1, "an attempt")
        await until(lambda: status[:3] in str(box.status("history").get("error")), "the status")
    assert box.settled("history")[Lane.TELEMETRY] == 0
    assert box.rejected("history") == 0


async def test_a_busy_server_is_left_alone_as_long_as_it_asks(box: Box, tmp_path: Path) -> None:
    """429 with Retry-After: no request before that time, then everything arrives."""
    box.append(readings(10))
    clock: list[float] = []

    def answer(asked: Asked) -> str:
        clock.append(asyncio.get_running_loop().time())
        return "429 Retry-After: 2" if len(clock) == 2 and not asked.is_check else "204"

    await scripted(box, tmp_path, answer)
    assert clock[2] - clock[1] >= 2


async def test_an_alarm_does_not_shorten_a_pause_that_the_server_asked_for(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other pauses end sooner for an alarm; this one the server needs, and would only make longer."""
    monkeypatch.setattr(pace, "_ALARM_CAP_S", 0.05)
    box.append(readings(10))
    clock: list[float] = []

    def answer(_: Asked) -> str:
        clock.append(asyncio.get_running_loop().time())
        if len(clock) != 2:
            return "204"
        box.alarms(1)
        return "429 Retry-After: 2"

    await scripted(box, tmp_path, answer)
    assert clock[2] - clock[1] >= 2


async def test_a_batch_of_many_bad_lines_goes_on_in_the_next(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where finding them takes too many requests, what was not tried is kept: it comes again, and nothing is lost."""
    monkeypatch.setattr(influx_split, "_MAX_REQUESTS", 6)
    for start in range(0, 120, 3):
        box.append(readings(40)[start : start + 3])
    taken: set[str] = set()

    def answer(asked: Asked) -> str:
        if any(f" power.1={number}.0 " in line for line in asked.lines for number in (9, 19, 29)):
            return "400"
        taken.update(asked.lines)
        return "204"

    await scripted(box, tmp_path, answer)
    assert box.rejected("history") == 3
    assert sum(line.startswith("ebike") for line in taken) == 37
    assert sum(line.startswith("smoke") for line in taken) == 80


async def test_while_a_write_hangs_no_other_is_begun(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stands still gets no thread more at each try, and what hung is written again afterwards."""
    monkeypatch.setattr(influx_uplink, "_ANSWER_S", 0.3)
    server = TimeSeries()
    await server.start()
    try:
        async with bridging(site(tmp_path, up(f"http://127.0.0.1:{server.port}"), devices=DEVICES)):
            await until(lambda: box.status("history").get("state") == "up", "a session")
            server.set_mode("stall")
            box.append(readings(10))
            await until(lambda: "still hangs" in str(box.status("history").get("error")), "the status")
            assert server.counts["requests"] == 2
            assert box.settled("history")[Lane.TELEMETRY] == 0
            server.set_mode("ok")
            await until(lambda: box.settled("history") == box.last(), "settled")
    finally:
        await server.stop()


async def test_rows_without_an_answer_are_written_again(box: Box, tmp_path: Path) -> None:
    """A server that hangs up instead of answering: the rows are kept, and the same lines come again."""
    box.append(readings(10))
    seen: list[Asked] = []

    def answer(asked: Asked) -> str:
        seen.append(asked)
        if len(seen) == 2:
            raise ConnectionError  # hangs up without an answer
        return "204"

    await scripted(box, tmp_path, answer)
    first, again = (each.lines for each in seen if not each.is_check)
    assert first == again


async def test_a_batch_that_is_too_large_is_halved(box: Box, tmp_path: Path) -> None:
    """413 is not the rows' fault: the batch arrives in pieces."""
    box.append(readings(50))
    taken: list[str] = []

    def answer(asked: Asked) -> str:
        if len(asked.lines) > 40:
            return "413"
        taken.extend(line for line in asked.lines if not asked.is_check)
        return "204"

    await scripted(box, tmp_path, answer)
    assert len(taken) == 150
    assert box.rejected("history") == 0


async def test_a_reading_without_a_value_is_counted_and_not_written(box: Box, tmp_path: Path) -> None:
    """A bad reading makes no point; the status counts it."""
    at = START
    box.append([Reading("3-2-03-0301/smoke/battery", None, at, at, Quality.BAD), *readings(1)])
    asked: list[Asked] = []

    def answer(request: Asked) -> str:
        asked.append(request)
        return "204"

    async with http_stand_in(answer) as (url, _), bridging(site(tmp_path, up(url), devices=DEVICES)):
        await until(lambda: box.settled("history") == box.last(), "settled")
        await until(lambda: box.status("history").get("counts", {}).get("without_value") == 1, "the status")
    assert sum(len(each.lines) for each in asked if not each.is_check) == 3
    assert all(each.headers.get("content-encoding") == "gzip" for each in asked)


def test_a_token_is_never_sent_in_the_clear_over_a_network() -> None:
    """http to another machine is refused by the configuration."""
    with pytest.raises(ValueError, match="令牌"):
        influx_uplink.InfluxParams(url="http://10.0.0.1:8086", bucket="b")
    assert influx_uplink.InfluxParams(url="http://127.0.0.1:8086", bucket="b").bucket == "b"
