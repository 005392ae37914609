"""ThingsBoard's messages: every value once, at its first instant, in messages that fit, and the same at each repeat."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge import thingsboard_limits
from cloud_bridge.encode import EncodeError
from cloud_bridge.selection import Selection
from cloud_bridge.settings import Common, Only
from cloud_bridge.thingsboard_encode import MOST_BYTES, Encoder, text
from cloud_bridge.thingsboard_limits import Limits, Pace
from cloud_bridge.thingsboard_split import Value, split, within
from gateway.model import Lane, OutboxEntry, Reading
from gateway.store import codec
from tests.support_bridge import START, event
from tests.support_thingsboard import CABINET, DOOR, SMOKE, house, name

HERE = Path(__file__).parent
AT = int(START.timestamp() * 1000)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = st.builds(Value, st.integers(AT, AT + 40), TEXT.filter(bool), TEXT | st.booleans() | st.integers(-9, 9**9))


def encoder(selection: Selection | None = None, **more: Any) -> Encoder:
    site = house(HERE)
    return Encoder(site, "e0", selection or Selection(site), **more)


def row(*values: tuple[str, Any], at_ms: int = AT) -> OutboxEntry:
    at = codec.from_ms(at_ms)
    return OutboxEntry(1, Lane.TELEMETRY, START, codec.telemetry_body([Reading(*each, at, START) for each in values]))


def alarm_row(number: int, version: int = 1) -> OutboxEntry:
    return OutboxEntry(1, Lane.ALARM, START, codec.alarm_body(*event(number, version)))


def sent(of: Encoder, entry: OutboxEntry) -> list[tuple[str, Any]]:
    return [(each.topic, orjson.loads(each.payload)) for part in of.parts(entry) for each in part.messages]


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, max_size=200), st.integers(200, 9000))
def test_cutting_loses_nothing_and_fits(values: list[Value], most: int) -> None:
    """Invariant: of each instant and key the last value arrives, once; a message of several values is not too large."""
    payloads = [each for array in split(values, most) for each in within("gw/a", array, most)]
    found: dict[tuple[int, str], Any] = {}
    for payload in payloads:
        (chunks,) = orjson.loads(payload).values()
        count = 0
        for chunk in chunks:
            for key, value in chunk["values"].items():
                found[chunk["ts"], key] = value
                count += 1
        assert len(payload) <= most or count == 1
    assert found == {(each.ts, each.key): each.value for each in values}


def test_one_message_a_device_and_instants_together() -> None:
    """Values of one device and instant stand together; devices have their own messages, the box speaks for itself."""
    entry = row((f"{SMOKE}/alarm", True), (f"{CABINET}/power.1", 5), (f"{SMOKE}/battery", 88.5), ("gateway/box/x", 1))
    assert sent(encoder(), entry) == [
        ("v1/gateway/telemetry", {name(SMOKE): [{"ts": AT, "values": {"alarm": True, "battery": 88.5}}]}),
        ("v1/gateway/telemetry", {name(CABINET): [{"ts": AT, "values": {"power.1": 5}}]}),
        ("v1/devices/me/telemetry", [{"ts": AT, "values": {"x": 1}}]),
    ]


def test_several_devices_travel_together_where_that_is_asked_for() -> None:
    """The same arrays in fewer messages; whoever has gone is told alone, the gateway itself on its own topic."""
    values = [(f"{SMOKE}/alarm", True), (f"{CABINET}/power.1", 5), ("gateway/box/x", 1), (f"{DOOR}/online", False)]
    apart, together = (encoder(together=each).parts(row(*values)) for each in (1, 100))
    assert [(each.device, each.also) for each in together] == [
        (name(SMOKE), (name(CABINET),)),
        ("", ()),
        (name(DOOR), ()),
    ]
    merged: dict[str, Any] = {}
    for part in apart[:2]:
        merged |= orjson.loads(part.messages[0].payload)
    assert orjson.loads(together[0].messages[0].payload) == merged
    assert together[0].points == 2
    few = encoder(together=100)
    few.limit(60, 65_536)
    assert all(not each.also for each in few.parts(row(*values)))


def test_what_hangs_on_no_bus_is_the_gateways_own_under_its_whole_name() -> None:
    """The state of a line is told by the gateway itself, with the line's name in the key."""
    site = house(HERE)
    line = replace(site.devices["gateway/box"], id="line/field", kind="line")
    known = replace(site, devices={**site.devices, "line/field": line})
    of = Encoder(known, "e0", Selection(known))
    assert sent(of, row(("line/field/online", True))) == [
        ("v1/devices/me/telemetry", [{"ts": AT, "values": {"line/field.online": True}}])
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("00123", '"00123"'),
        ("1.50", '"1.50"'),
        ("-0", '"-0"'),
        (".5", '".5"'),
        ("\uff11\uff12", '"\uff11\uff12"'),
        ("1234567890123456789", '"1234567890123456789"'),
        ("0301", '"0301"'),
        ("42", "42"),
        ("1.5", "1.5"),
        ("-7", "-7"),
        ("3-2-03-0301", "3-2-03-0301"),
        ("1e5", "1e5"),
        ("1.", "1."),
        ("", ""),
        ("火", "火"),
    ],
)
def test_a_text_that_looks_like_a_number_keeps_its_zeros(said: str, kept: str) -> None:
    """The platform makes numbers of such texts: one that would come back different goes in quotes."""
    assert text(said) == kept
    assert text(said, is_plain=True) == said


@given(st.text(alphabet="0123456789.-+eE \u0663\uff11", max_size=20))
def test_no_text_comes_back_different(said: str) -> None:
    """Invariant: what the platform keeps (as commons-lang's isParsable decides) is the text, or the text in quotes."""
    told = text(said)
    if re.fullmatch(r"-?\d*\.?\d+", told):
        told = repr(float(told)) if "." in told else str(int(told))
    assert told in (said, f'"{said}"')


def test_a_value_that_is_none_is_left_out_and_counted() -> None:
    """A bad reading has no value: the platform skips nulls, the count says how many."""
    of = encoder()
    assert sent(of, row((f"{SMOKE}/alarm", None))) == []
    assert of.without_value == 1
    of.telemetry([[f"{SMOKE}/alarm", None, AT, AT, "bad"]], is_repeat=True)
    assert of.without_value == 1


def test_the_instant_is_that_of_the_observation() -> None:
    """Whenever it arrived: first timestamps are kept."""
    ((_, body),) = sent(encoder(), row((f"{SMOKE}/alarm", True), at_ms=AT - 90_000))
    assert body[name(SMOKE)][0]["ts"] == AT - 90_000


def test_a_device_in_a_far_century_falls_back_to_the_receive_time() -> None:
    """A device's clock in the year 9999, or before 1970, doesn't refuse the value: the gateway's time is written."""
    for at_ms in (253_402_300_799_000, -5):
        ((_, body),) = sent(encoder(), row((f"{SMOKE}/alarm", True), at_ms=at_ms))
        assert body[name(SMOKE)][0]["ts"] == AT


def test_an_alarm_is_an_event_and_a_state_with_ids() -> None:
    """Each event is telemetry of its own with the whole event; the attribute of the same key is the alarm now."""
    (event_topic, event_body), (state_topic, state_body) = sent(encoder(), alarm_row(301, 2))
    assert (event_topic, state_topic) == ("v1/gateway/telemetry", "v1/gateway/attributes")
    ((key, told),) = event_body[name(SMOKE)][0]["values"].items()
    assert key == "alarm.smoke-fire.alarm"
    assert told["id"] == "smoke-fire:3-2-03-0301/smoke/alarm:1#2"
    assert told["epoch"] == "e0"
    state = state_body[name(SMOKE)][key]
    assert (state["id"], state["version"], state["is_open"], state["isa_state"]) == (
        told["alarm"]["id"],
        2,
        True,
        "UNACK",
    )


def test_events_of_one_instant_do_not_overwrite_each_other() -> None:
    """The platform keeps one value of a key and millisecond: two versions of one instant have two."""
    instants = [sent(encoder(), alarm_row(301, version))[0][1][name(SMOKE)][0]["ts"] for version in (1, 2, 3)]
    assert len(set(instants)) == 3
    assert max(instants) - min(instants) < 1000


def test_the_alarm_of_a_group_is_the_gateways_own() -> None:
    """An alarm of a zone belongs to no device: the gateway tells it itself, nothing is dropped."""
    told = orjson.loads(alarm_row(301).body)
    told["alarm"] |= {"device_id": "", "point_id": "@zone:地下充电区"}
    entry = OutboxEntry(1, Lane.ALARM, START, orjson.dumps(told))
    assert [
        (topic, list(body[0]["values"] if isinstance(body, list) else body)) for topic, body in sent(encoder(), entry)
    ] == [
        ("v1/devices/me/telemetry", ["alarm.smoke-fire.@zone:地下充电区"]),
        ("v1/devices/me/attributes", ["alarm.smoke-fire.@zone:地下充电区"]),
    ]


def test_what_is_not_selected_is_counted_and_not_sent() -> None:
    """A row of which nothing is left makes no message."""
    of = encoder(Selection(house(HERE), Common(only=Only(kinds=("smoke",), classes=()))))
    assert [list(body) for _, body in sent(of, row((f"{SMOKE}/alarm", True), (f"{DOOR}/lock", True)))] == [
        [name(SMOKE)]
    ]
    assert sent(of, alarm_row(301)) == []
    assert of.not_selected == 2
    assert [of.is_shown(each) for each in (SMOKE, DOOR)] == [True, False]


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200) | st.builds(orjson.dumps, st.dictionaries(st.sampled_from(["id", "event", "alarm"]), TEXT))
)
def test_a_damaged_row_is_refused_and_nothing_else(body: bytes) -> None:
    """Invariant: any bytes make `EncodeError`, never another exception."""
    for lane in Lane:
        with pytest.raises(EncodeError):
            encoder().parts(OutboxEntry(1, lane, START, body))


def test_a_message_larger_than_the_platform_takes_is_cut_by_its_bytes() -> None:
    """Their guess counts characters: Chinese text of three bytes each would end the session."""
    of = encoder()
    of.limit(60_000, 65_536)
    entry = row(*[(f"{CABINET}/card.{n}", "卡" * 400) for n in range(100)])
    payloads = [each.payload for part in of.parts(entry) for each in part.messages]
    assert len(payloads) > 1
    assert all(len(each) < MOST_BYTES for each in payloads)


def test_the_platforms_limits_are_kept_with_a_fifth_to_spare() -> None:
    """What getSessionLimits answers, as the platform writes it."""
    told = {
        "maxPayloadSize": 65536,
        "maxInflightMessages": 100,
        "rateLimits": {"messages": "200:1,6000:60,14000:3600"},
        "gatewayRateLimits": {"messages": "100:1", "telemetryMessages": "50:1;600:60", "telemetryDataPoints": "0:0"},
    }
    limits = thingsboard_limits.read(told)
    assert limits == Limits(65536, 80, ((80, 1),), ((40, 1), (480, 60)), ())
    assert limits.split_at == 52428


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["maxPayloadSize", "maxInflightMessages", "rateLimits", "messages"]) | TEXT, inner
            )
        ),
    )
)
def test_any_answer_about_limits_is_read(told: Any) -> None:
    """Invariant: whatever a platform answers, the limits are sane."""
    limits = thingsboard_limits.read(told)
    assert limits.payload == 0 or limits.payload >= 8192
    assert all(count > 0 and seconds > 0 for count, seconds in (*limits.messages, *limits.telemetry, *limits.points))


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 30)), max_size=60))
def test_no_more_goes_than_the_platform_takes(asked: list[tuple[float, int]]) -> None:
    """Invariant: who waits as long as told never sends more than a bucket holds and gains."""
    pace, now_s, spent = Pace(((20, 2), (50, 10)), 0.0), 0.0, 0
    for pause_s, amount in asked:
        now_s += pause_s
        now_s += pace.wait_s(now_s, amount) + 1e-9
        pace.spend(now_s, amount)
        spent += amount
        assert spent <= 20 + now_s * 10 + 30
        assert spent <= 50 + now_s * 5 + 30
