"""The fleet: its messages are those of real gateways, its tally is the truth, and a cloud that falls behind is told."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from cloud_bridge.influx_lines import Lines, alarm_event
from cloud_bridge.series import describe
from gateway.app.loading import check_site
from simulators import fleet_run
from simulators.cli import app
from simulators.fleet import Behaviour, Box, behaviour, measured
from simulators.fleet_paper import EACH, paper, rows
from simulators.fleet_run import Tally, Target, bucket, play
from simulators.fleet_wire import MqttLine
from tests.support_bridge import listening, until
from tests.support_cloud import cloud_side, query, trusting

ROOT = Path(__file__).parent.parent
HOW = Behaviour(devices=200, readings_per_s=200, messages_per_s=160, posts_per_s=9, alarms_per_h=3600)
NOW_MS = 1_780_000_000_000
NOW = "2026-05-28T20:26:40+00:00"


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "docs" / "schema" / f"{name}.v1.json").read_text()))


def test_messages_are_those_of_the_published_schemas() -> None:
    """State, telemetry and alarm events as a platform may expect them of any gateway."""
    box = Box("fleet-0001", HOW, 1)
    schema("state").validate(orjson.loads(box.state(is_online=True)))
    for each in box.messages(box.readings(2.0, NOW_MS), 2.0):
        schema("telemetry").validate(orjson.loads(each))
    events = [box.alarm(NOW_MS, NOW)[0] for _ in range(200)]
    for each in events:
        schema("alarm").validate(orjson.loads(each))
    ids = [orjson.loads(each)["id"] for each in events]
    assert len(set(ids)) == len(ids)


def shape(line: bytes) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Measurement, keys of tags, keys of fields of a line."""
    head, fields, _ = re.split(r"(?<!\\) (?=[^ ]+=|-?\d+$)", line.decode(), maxsplit=2)
    name, *tags = re.split(r"(?<!\\),", head)
    keys = re.findall(r'(?:^|,)([a-z_]+(?:\.\d+)?)=(?:"[^"]*"|[^,]*)', fields)
    return name, tuple(each.partition("=")[0] for each in tags), tuple(keys)


def test_its_lines_have_the_names_that_the_bridge_gives() -> None:
    """Uplinks, lines, channels, the box itself and alarm events: dashboards made for one are right for the other."""
    site = check_site(ROOT / "config").site
    assert site is not None
    real = Lines(describe(site))
    mine = {shape(each) for each in Box("fleet-0001", HOW, 1).presence(NOW_MS)}
    own = ["uplink/platform/online", "gateway/box/time_ok", "gateway/box/disk_ok"]
    own += [f"{each.id}/online" for each in site.devices.values() if each.kind in ("line", "channel")]
    for point in own:
        line = real.reading([point, True, NOW_MS, NOW_MS, "good"])
        assert line is not None
        assert shape(line) in mine, point
    smoke = next(each for each in site.devices.values() if each.kind == "smoke")
    line = real.reading([f"{smoke.id}/online", True, NOW_MS, NOW_MS, "good"])
    assert line is not None
    assert {key for key in shape(line)[1] if key != "zone"} == {"building", "device", "site"}
    message, line = Box("fleet-0001", HOW, 1).alarm(NOW_MS, NOW)
    assert shape(line) == shape(alarm_event("fleet-0001", orjson.loads(message)))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=15), st.integers(0, 3))
def test_it_sends_what_the_measurement_says_and_the_same_again(steps: list[float], seed: int) -> None:
    """Invariant: whatever the ticks, readings are the rate times the time, ids are used once, and a seed repeats."""

    def run() -> tuple[list[bytes], list[bytes], Box]:
        box, messages, lines = Box("fleet-0001", HOW, seed), [], []
        for passed_s in steps:
            rows = box.readings(passed_s, NOW_MS)
            messages += box.messages(rows, passed_s)
            lines += box.lines(rows)
        return messages, lines, box

    messages, lines, box = run()
    assert abs(box.counts["readings"] - sum(steps) * HOW.readings_per_s) <= 1
    sent = [orjson.loads(each) for each in messages]
    assert sum(len(each["r"]) for each in sent) == box.counts["readings"] == len(lines)
    assert len({each["id"] for each in sent}) == len(sent)
    assert (messages, lines) == run()[:2]


def test_as_many_messages_as_were_measured() -> None:
    """Over time the number of messages is that of the measurement, not one for each reading."""
    box, how = Box("fleet-0001", behaviour(measured()), 1), behaviour(measured())
    for _ in range(600):
        box.messages(box.readings(0.1, NOW_MS), 0.1)
    assert box.counts["messages"] == pytest.approx(60 * how.messages_per_s, rel=0.02)
    assert box.counts["readings"] == pytest.approx(60 * how.readings_per_s, rel=0.02)


async def test_a_few_gateways_on_the_shipped_cloud_side(tmp_path: Path) -> None:
    """Every message acknowledged by the cluster, every line in the store: the tally is what can be asked back."""
    ids = fleet_run.gateway_ids(3)
    with cloud_side(tmp_path, ids) as cloud:
        brokers = [("127.0.0.1", port) for port in cloud.broker.mqtt_ports]
        target = Target(brokers, ("127.0.0.1", cloud.series.port), cloud.certificates.path)
        tally = await play(3, HOW, target, 3, 1)
        found = tally.as_dict()
        # how fast it went is no matter here, nor that a cluster still choosing its leaders turned a session away
        assert found["acked"] == found["messages"] > 3 * 3 * 100, found
        assert found["written"] == found["lines"] > 3 * 3 * 150
        reader = trusting(cloud.certificates, "platform")

        def stored() -> float:
            readings = 'sum(count_over_time({__name__!~".*_online|shouwang_.*|gateway_.*|alarm_.*"}[1h]))'
            answer = query(cloud.series.url, reader, readings)
            return float(answer[0]["value"][1]) if answer else 0

        await until(lambda: stored() == found["lines"] - found["events"], "every reading")


async def test_a_broker_that_never_acknowledges_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without a single PUBACK: the window fills, and the verdict is that the cloud does not keep up."""
    monkeypatch.setattr(fleet_run, "_DRAIN_S", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x02\x00\x00")
        while await reader.read(65536):
            pass

    async with listening(serve) as port:
        tally = await play(2, HOW, Target([("127.0.0.1", port)]), 1.5, 1)
    assert not tally.keeps_up()
    assert tally.counts["acked"] == 0
    assert tally.counts["messages_left"] > 2 * HOW.window


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", b""])
async def test_a_store_that_refuses_or_hangs_up_is_told(answer: bytes) -> None:
    """Neither a refusal nor a dropped connection is counted as written."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer and await reader.read(65536):
            writer.write(answer)

    async with listening(serve) as port:
        tally = await play(1, HOW, Target(series=("127.0.0.1", port)), 1, 1)
    assert not tally.keeps_up()
    assert tally.counts["written"] == 0
    assert tally.errors


@given(st.floats(0.0001, 60), st.floats(0.0001, 60))
def test_times_fall_into_growing_buckets(one: float, other: float) -> None:
    """Invariant: a longer time is never in an earlier bucket, and a bucket is at most a quarter too long."""
    assert (bucket(one) <= bucket(other)) == (one <= other) or bucket(one) == bucket(other)
    assert one <= 0.0001 * 1.25 ** bucket(one) * 1.001 <= one * 1.26 or bucket(one) == 0


def test_the_paper_multiplies_and_says_that_it_does() -> None:
    """1,500 gateways are 1,500 times one, in both languages, with the conditions of the measurement."""
    found = measured()
    one = {en: float(of_one.replace(",", "")) for _, en, of_one, _ in rows(found, 1)}
    for _, en, _, many in (each for each in rows(found, 1500) if each[3] != EACH):
        assert float(many.replace(",", "")) == pytest.approx(1500 * one[en], rel=0.06), en
    assert "没有运行过" in paper(found, 1500)
    assert "multiplied" in paper(found, 1500, "en")
    assert "13,500,000" in paper(found, 1500)


RUN: Callable[..., Any] = CliRunner().invoke


def test_the_command_line_says_what_is_wrong() -> None:
    """An address without a port, an unknown way: a sentence and exit code 1, no traceback."""
    for words in (["--mqtt", "nowhere"], ["--ways", "pigeons"]):
        done = RUN(app, ["fleet", "-n", "1", "--seconds", "1", *words])
        assert done.exit_code == 1, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
    done = RUN(app, ["fleet", "--paper", "-n", "1500", "--lang", "en"])
    assert done.exit_code == 0
    assert "1,500 gateways, on paper" in done.output


@pytest.mark.parametrize(
    ("what", "keeps_up"),
    [({}, True), ({"acked": 97}, False), ({"written": 97}, False), ({"sessions": 1}, False), ({"behind_s": 2.1}, False),
     ({"error": "HTTP status 503"}, False)],
)  # fmt: skip
def test_who_keeps_up(what: dict[str, Any], *, keeps_up: bool) -> None:
    """Everybody connected, 98 % answered, soon after the end, and without an error: only all of it keeps up."""
    numbers = {"gateways": 2, "sessions": 2, "messages": 100, "acked": 98, "lines": 100, "written": 98}
    tally = Tally(behind_s=2.0)
    tally.counts.update(numbers)
    tally.counts.update({name: value - numbers[name] for name, value in what.items() if name in numbers})
    tally.behind_s = what.get("behind_s", tally.behind_s)
    if "error" in what:
        tally.failed(what["error"])
    assert tally.keeps_up() is keeps_up


def test_a_tally_without_anything_does_not_keep_up() -> None:
    """Nothing connected is no success."""
    tally = Tally()
    tally.counts["gateways"] = 1
    assert not tally.keeps_up()
    assert dataclasses.asdict(tally)["seconds"] == 0.0


def test_an_alarm_has_four_events() -> None:
    """Raised, taken, returned, closed: so many messages an alarm costs, on paper and on the wire."""
    box = Box("fleet-0001", dataclasses.replace(HOW, alarms_per_h=3_600), 1)
    events = [orjson.loads(message)["event"] for _ in range(1_200) for message, _ in box.alarms(1.0, NOW_MS, NOW)]
    assert len(events) == pytest.approx(4 * 1_200, rel=0.1)
    assert {each["kind"] for each in events} == {"raised", "taken", "returned", "closed"}


async def test_how_long_an_answer_took_is_measured() -> None:
    """From the PUBLISH to its PUBACK; an answer to nothing is none."""
    times: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(100)
        await asyncio.sleep(0.2)  # what is measured
        writer.write(b"\x40\x02\x00\x07" + b"\x40\x02\x00\x01")
        await reader.read(100)

    async with listening(serve) as port:
        line = MqttLine(times.append)
        await line.open("127.0.0.1", port, "fleet-0001", None, ("s", b"{}"))
        line.publish("t", [b"x"])
        await until(lambda: times, "the answer")
        await line.close()
    assert len(times) == 1
    assert times[0] >= 0.2
