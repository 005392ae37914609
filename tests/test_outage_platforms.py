"""The judges of platforms without message ids see what they are there to see."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks import outage_series, outage_sparkplug, outage_thingsboard
from benchmarks.crash_field import DEVICES, SCALE
from benchmarks.outage_heard import Heard, Telling, judge_heard
from benchmarks.outage_verdict import Verdict
from benchmarks.witness import Record
from cloud_bridge.selection import Selection
from cloud_bridge.sparkplug_messages import Composer, Message, Row, Seen, death
from cloud_bridge.sparkplug_roster import Roster
from gateway.model import Quality
from tests.support_bridge import device, site

STAMPS = {n: n + 1000 for n in range(3 * DEVICES)}


def event(version: int, kind: str = "raised", occurrence: int = 1, **more: Any) -> dict[str, Any]:
    alarm_id = f"smoke-fire:1-1-01-0101/smoke/alarm:{occurrence}"
    return {"epoch": "e", "id": f"{alarm_id}#{version}", **more,
            "event": {"alarm_id": alarm_id, "version": version, "kind": kind}}  # fmt: skip


def verdict(numbers: list[int], events: list[dict[str, Any]], *, wrong: tuple[str, ...] = ()) -> Verdict:
    told = [Telling(abs(n), STAMPS[abs(n)] if n >= 0 else 7) for n in numbers]
    heard = Heard(told, list(events), list(wrong), sent=len(numbers) + len(events))
    return judge_heard(STAMPS, {1, 1 + DEVICES}, {"1-1-01-0101"}, heard)


def test_newest_values_ahead_of_the_history_and_repeats_are_no_fault() -> None:
    """The newest comes first and comes again in its turn; what comes again says the same."""
    found = verdict([1 + DEVICES, 1, 1, 1 + DEVICES], [event(1), event(1), event(2, "cleared")])
    assert found.is_clean
    assert (found.told_repeats, found.wire_repeats) == (3, 3)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("readings_lost", verdict([1], [event(1)])),
        ("readings_disordered", verdict([1 + DEVICES, 1], [event(1)])),
        ("readings_restamped", verdict([-1, 1 + DEVICES], [event(1)])),
        ("alarms_lost", verdict([1, 1 + DEVICES], [])),
        ("alarms_twice", verdict([1, 1 + DEVICES], [event(1), event(1, occurrence=2)])),
        ("alarms_disordered", verdict([1, 1 + DEVICES], [event(1), event(3, "cleared"), event(2, "taken")])),
        ("changed", verdict([1, 1 + DEVICES], [event(1), event(1, more=1)])),
        ("protocol", verdict([1, 1 + DEVICES], [event(1)], wrong=("x",))),
    ],
)
def test_each_fault_is_seen(name: str, found: Verdict) -> None:
    """Each has its count, and no other has any."""
    assert {key for key, value in found.faults.items() if value} == {name}


def test_a_reading_under_two_instants_is_twice() -> None:
    """A platform that knows a value by its instant would keep both."""
    assert verdict([1, -1, 1 + DEVICES], [event(1)]).readings_twice == 1


def record(*messages: tuple[str, bytes], hello: bytes = b"") -> Record:
    made = Record()
    connection = made.connect()
    made.hellos[connection] = hello
    for each in messages:
        made.tell(made.publish(connection, each))
    return made


def thingsboard(*, connects: bool) -> Heard:
    name = "bench/1-1-01-0101/env"
    hello = ("v1/gateway/connect", orjson.dumps({"device": name, "type": "env"}))
    said = [{"ts": 1001, "values": {"v": 1 / SCALE, "alarm.too-hot.v": event(1)}}]
    return outage_thingsboard.read(record(*[hello] * connects, ("v1/gateway/telemetry", orjson.dumps({name: said}))))


def test_thingsboard_readings_and_alarms_are_found_in_its_telemetry() -> None:
    """A device that is connected first is right; one that is not is named."""
    heard = thingsboard(connects=True)
    assert (heard.readings, heard.events, heard.wrong) == ([Telling(1, 1001)], [event(1)], [])
    assert thingsboard(connects=False).wrong == ["v1/gateway/telemetry of bench/1-1-01-0101/env, not connected"]


def spoken(messages: list[Message], *, will: int = 3, step: int = 1) -> Heard:
    """Read by the judge what the bridge's own composer made, with ``will`` as bdSeq of the will, numbered in steps."""
    said = []
    for seq, each in enumerate(messages):
        each.payload.seq, each.payload.timestamp = seq * step, 1
        level = f"/{each.device}" if each.device else ""
        said.append((f"spBv1.0/shouwang/{each.verb}/bench{level}", each.payload.SerializeToString()))
    body = death(will, 1)
    hello = b"\x00\x04MQTT\x04\x2e\x00\x3c" + b"\x00\x01c" + b"\x00\x01t" + len(body).to_bytes(2, "big") + body
    return outage_sparkplug.read(record(*said, hello=hello))


def composer() -> Composer:
    place = site(Path(), devices=(device("1-1-01-0102", "env", [("v", "float")]),))
    return Composer(Roster(place, Selection(place)), "bench", "e", 4000, {"historical": 0})


def row(seq: int, number: int, *, has_waited: bool) -> Row:
    return Row(seq, [Seen("1-1-01-0102/env/v", number / SCALE, STAMPS[number], Quality.GOOD)], has_waited=has_waited)


def test_sparkplug_readings_are_found_live_and_historical() -> None:
    """A birth, history, the newest live: all right; the wrong bdSeq, a gap, a live value that goes back are seen."""
    maker = composer()
    said = [maker.node_birth(3, 1), *maker.rows([row(1, 1, has_waited=True)], 1), *maker.rows(
        [row(2, 1 + DEVICES, has_waited=False)], 1)]  # fmt: skip
    heard = spoken(said)
    assert (heard.readings, heard.wrong) == ([Telling(1, 1001), Telling(1 + DEVICES, 1001 + DEVICES)], [])
    assert spoken(said, will=4).wrong == ["NBIRTH with bdSeq 3, the will has 4"]
    assert any("sequence-num" in each for each in spoken(said, step=2).wrong)
    back = [*said, *composer().rows([row(1, 1, has_waited=False)], 1)]
    assert f"reading 1 told as live after {1 + DEVICES}" in spoken(back).wrong


def test_a_write_counts_as_told_with_its_2xx() -> None:
    """A request in pieces, packed; 204 acknowledges it, 500 does not."""
    lines = (
        b"env,device=1-1-01-0101/env v=1e-06 1001000000\n"
        b'alarm_event,class=fire id="a:b:1#2",kind="raised",version=2i,x=1 9'
    )
    body = gzip.compress(lines)
    head = f"POST /api/v2/write HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    seen = Record()
    for status in (b"204", b"500"):
        ear = outage_series.HttpEar(seen)
        for at in range(0, len(head + body), 50):
            ear.hear_out((head + body)[at : at + 50])
        ear.hear_in(b"HTTP/1.1 ")
        ear.hear_in(status + b" x\r\n\r\n")
    heard = outage_series.read(seen)
    assert heard.readings == [Telling(1, 1001)]
    assert [each["event"]["alarm_id"] for each in heard.events] == ["a:b:1"]
    assert (heard.sent, seen.sessions) == (4, 1)
