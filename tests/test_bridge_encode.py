"""Messages and lines: every row becomes what the schema and the line protocol say, whatever it holds."""

from __future__ import annotations

import json
import math
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.encode import EncodeError, Encoder
from cloud_bridge.influx_lines import Lines, alarm_event
from cloud_bridge.series import Series, describe
from gateway.model import Lane, OutboxEntry, Quality, Reading
from gateway.store import codec
from tests.support_bridge import START, device, event, site
from tests.support_series import influx1

SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"
HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def valid(kind: str, payload: bytes) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(payload)
    schema = json.loads((SCHEMAS / f"{kind}.v1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(body)
    return body


def row(seq: int, readings: list[Reading]) -> OutboxEntry:
    return OutboxEntry(seq, Lane.TELEMETRY, START, codec.telemetry_body(readings))


def reading(point_id: str, value: Any, quality: Quality = Quality.GOOD) -> Reading:
    return Reading(point_id, value, START, START + timedelta(seconds=1), quality)


def test_messages_are_what_the_published_schema_says() -> None:
    """What the schema in docs promises to a platform's programmer is what goes out."""
    encoder = Encoder("gw-1", "e0", "shouwang", 8192)
    alarm = encoder.messages(OutboxEntry(7, Lane.ALARM, START, codec.alarm_body(*event(1))))
    assert [each.topic for each in alarm] == ["shouwang/gw-1/alarm"]
    assert valid("alarm", alarm[0].payload)["id"] == "smoke-fire:3-2-03-0001/smoke/alarm:1#1"
    values = [reading("a/b/c", value) for value in (True, 1, 2.5, "火")] + [reading("a/b/c", None, Quality.BAD)]
    (telemetry,) = encoder.messages(row(9, values))
    assert valid("telemetry", telemetry.payload)["id"] == "gw-1/e0/9/0"
    for is_online in (True, False):
        valid("state", encoder.state(is_online=is_online))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=120))
def test_a_large_row_is_cut_into_messages_that_fit(sizes: list[int]) -> None:
    """The cutting loses or moves no reading, no message is larger than said, and a repeat is byte for byte equal."""
    encoder = Encoder("gw-1", "e0", "shouwang", 8192)
    entry = row(5, [reading(f"a/b/p.{n}", "x" * size) for n, size in enumerate(sizes)])
    messages = encoder.messages(entry)
    assert messages == encoder.messages(entry)
    assert all(len(each.payload) <= 8192 for each in messages)
    bodies = [valid("telemetry", each.payload) for each in messages]
    assert [body["id"] for body in bodies] == [f"gw-1/e0/5/{n}" for n in range(len(bodies))]
    assert [line[0] for body in bodies for line in body["r"]] == [f"a/b/p.{n}" for n in range(len(sizes))]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(list(Lane)))
def test_a_damaged_row_is_refused_and_nothing_else(body: bytes, lane: Lane) -> None:
    """Invariant: any bytes either make valid messages or `EncodeError`."""
    with pytest.raises(EncodeError):
        Encoder("gw-1", "e0", "shouwang", 8192).messages(OutboxEntry(1, lane, START, body))


def test_a_row_that_unpacks_to_gigabytes_is_refused() -> None:
    """A damaged row must not fill the memory of a small box."""
    bomb = zlib.compress(b'{"r":[' + b" " * 50_000_000)
    with pytest.raises(EncodeError, match="16 MB"):
        Encoder("gw-1", "e0", "shouwang", 8192).messages(OutboxEntry(1, Lane.TELEMETRY, START, bomb))


@pytest.mark.parametrize("gateway_id", ["", "a/b", "a+", "#"])
def test_an_id_that_would_change_the_topic_is_refused(gateway_id: str) -> None:
    """A gateway's id with a slash or wildcard would publish under somebody else's name."""
    with pytest.raises(ValueError, match="id"):
        Encoder(gateway_id, "e0", "shouwang", 8192)


def lines_of(series: Series) -> Lines:
    return Lines(lambda _: series)


def test_a_line_has_kind_tags_and_first_instant() -> None:
    """Measurement = kind, tags of low cardinality, the field named after the point, nanoseconds of the observation."""
    of = describe(site(SCHEMAS, devices=[device("3-1-B1-CP01", "ebike", [("power.1", "float")], zone="车库 A,1")]))
    line = Lines(of).reading(["3-1-B1-CP01/ebike/power.1", 12, 1000, 2000, "good"])
    assert line is not None
    assert line.decode() == (
        r"ebike,building=3,device=3-1-B1-CP01/ebike,site=gw-1,zone=车库\ A\,1 power.1=12.0 1000000000"
    )


def test_a_point_that_has_left_the_configuration_keeps_its_readings() -> None:
    """Rows of a device that was removed meanwhile are still written, named after the id."""
    line = Lines(describe(site(SCHEMAS))).reading(["3-1/gas/lel", 4, 1, 2, "good"])
    assert line == b"gas,device=3-1/gas,site=gw-1 lel=4i 1000000"


def test_a_field_never_mixes_types() -> None:
    """A value of another type than the point's goes into a field of its own: the server would refuse the line."""
    lines = lines_of(Series("k", {}, "f", "int"))
    values = [3, 3.5, True, "x", 2**70, math.nan, math.inf, None]
    assert [lines.reading(["p", value, 0, 0, "good"]) for value in values] == [
        b"k f=3i 0",
        b"k f_float=3.5 0",
        b"k f_bool=true 0",
        b'k f_text="x" 0',
        b"k f_float=1.1805916207174113e+21 0",
        None,
        None,
        None,
    ]
    assert lines.without_value == 3


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_no_content_becomes_a_second_line(end: str) -> None:
    """A name or a text that holds a whole line of its own stays inside its line: others take a line's end literally."""
    forged = f"x{end}door,site=gw-1 open=1i 1"
    line = lines_of(Series(forged, {forged: forged}, forged, "text")).reading(["p", forged, 1, 0, "good"])
    assert line is not None
    told = alarm_event(forged, orjson.loads(codec.alarm_body(*event(1))) | {"id": forged})
    assert not {b"\n", b"\r"} & {bytes((each,)) for each in line + told}


def test_an_instant_beyond_the_format_falls_back_to_the_receive_time() -> None:
    """A device's clock in the year 9999 doesn't fit into nanoseconds: the gateway's own time is written."""
    line = lines_of(Series("k", {}, "f", "int")).reading(["p", 1, 253_402_300_799_000, 5, "good"])
    assert line == b"k f=1i 5000000"


def test_events_of_one_instant_stay_apart() -> None:
    """Two versions of an alarm in one batch are two points, not one overwriting the other."""
    lines = {
        alarm_event("gw", orjson.loads(codec.alarm_body(*event(1, version)))).rpartition(b" ")[2] for version in (1, 2)
    }
    assert len(lines) == 2


async def test_any_text_survives_a_real_parser(tmp_path: Path) -> None:
    """Invariant: whatever names and values devices bring, a line is one valid line; values come back as they were."""
    async with influx1(tmp_path) as server:
        number = 0

        @settings(max_examples=150, deadline=None, database=None)
        @given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
        def write(kind: str, tag: str, field: str, value: str) -> None:
            nonlocal number
            number += 1
            series = Series("m" + kind, {"n": str(number), "zone": tag}, field, "text")
            line = lines_of(series).reading(["p", value, number, 0, "good"])
            assert line is not None
            status, answer = server.write(line)
            assert status == 204, (line, answer)

        write()
        assert number >= 100
        text = 'a"b\\c,d e=f 火 \\'
        series = Series("plain", {"zone": "a,b c=d\\"}, "f,1 =x", "text")
        line = lines_of(series).reading(["p", text, 1, 0, "good"])
        assert line is not None
        assert server.write(line)[0] == 204
        (found,) = server.rows("plain")
        assert found == {"time": 1_000_000, "zone": "a,b c=d/", "f,1 =x": text}
