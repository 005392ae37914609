"""Calls as requests: whatever comes, either a request of this device alone, or an answer that says what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge import thingsboard_rpc as rpc
from cloud_bridge.ask import Answer, Request
from cloud_bridge.thingsboard_encode import RPC
from gateway.model import Now, Verb
from tests.support_thingsboard import DOOR, name

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KEYS = st.sampled_from(["alarm", "version", "user", "timeout", "id", "point", "value", "real", "text"]) | WORDS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=12,
)
ALARMS = st.sampled_from([f"rule:{DOOR}/lock:1", "rule:3-2-03-0301/smoke/alarm:1", "rule:@zone:x:1", ""]) | WORDS
POINTS = st.sampled_from(["lock", f"{DOOR}/lock", "3-2-03-0301/smoke/alarm", f"{DOOR}x/lock", "../x"]) | WORDS
SESSION = rpc.Session("s1", "e0")
NOW = Now(datetime(2026, 5, 1, 12, tzinfo=UTC), 100.0)
PARAMS = st.fixed_dictionaries(
    {"alarm": ALARMS, "point": POINTS, "value": JSON, "epoch": st.sampled_from(["e0", "former"])},
    optional={"version": JSON, "timeout": JSON, "expires_at": JSON, "user": JSON},
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.builds(orjson.dumps, JSON), st.sampled_from([RPC, "v1/devices/me/rpc/request/4"]))
def test_any_bytes_are_a_call_or_nothing(payload: bytes, topic: str) -> None:
    """Invariant: no payload raises, and a call has what an answer needs."""
    call = rpc.read(topic, payload)
    assert call is None or (isinstance(call.id, int) if topic == RPC else call.id == "4")


def _request(call: rpc.Call, device_id: str) -> Request | str:
    try:
        return rpc.request(call, device_id, SESSION, NOW)
    except rpc.WrongCallError as error:
        return str(error)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([*Verb, "reboot", ""]) | WORDS, PARAMS | JSON, st.booleans())
def test_a_request_reaches_its_device_only(method: str, params: Any, is_gateway: bool) -> None:
    """Invariant: a call makes a sound request or `WrongCallError`; one to a device never reaches beyond it."""
    call = rpc.Call("" if is_gateway else name(DOOR), 7, method, params)
    request = _request(call, "" if is_gateway else DOOR)
    if isinstance(request, str):
        assert len(request) < 300
        assert orjson.loads(rpc.reply(call, {"error": request}).payload)
        return
    assert request.version >= 0
    assert request.expires_in_s is None or 0 < request.expires_in_s <= 120
    assert all(isinstance(each, str) and len(each) <= 500 for each in request.args.values())
    if not is_gateway:
        assert request.verb.is_of_alarm
        assert request.alarm_id.partition(":")[2].startswith(f"{DOOR}/") or not request.alarm_id
        assert request.verb is not Verb.OPERATE or request.args["point"].startswith(f"{DOOR}/")


def test_a_device_whose_name_begins_alike_is_another() -> None:
    """Who may call door 1 has no say about door 10."""
    for device, reaches in ((DOOR, True), (f"{DOOR}2", False), (DOOR.rpartition("/")[0], False)):
        params = {"alarm": f"door-held:{device}/contact:1", "version": 1, "epoch": SESSION.epoch}
        asked = _request(rpc.Call(name(DOOR), 7, "take", params), DOOR)
        assert isinstance(asked, Request) is reaches, asked


def test_the_point_in_a_call_can_not_be_put_in_by_another_name() -> None:
    """What the gateway reads as point and value are the call's own, checked: not a parameter of the same name."""
    call = rpc.Call(name(DOOR), 7, "operate", {"point": "lock", "value": 1, "Point": "x", "minutes": 5})
    assert rpc.request(call, DOOR, SESSION, NOW).args == {
        "point": f"{DOOR}/lock",
        "value": "1",
        "Point": "x",
        "minutes": "5",
    }


def test_refusals_say_why_and_who() -> None:
    """A stale version comes back with its code, the version now, and who did what."""
    told = rpc.words(Answer(is_accepted=False, code="stale", detail={"by": "王工", "did": "taken"}, version=5))
    assert told == {"error": "stale", "version": 5, "detail": {"by": "王工", "did": "taken"}}


@pytest.mark.parametrize(
    ("params", "left_s"),
    [
        ({}, None),
        ({"timeout": 5000}, 5.0),
        ({"expires_at": "2026-05-01T12:00:30Z"}, 30.0),
        ({"expires_at": "2026-05-01T20:00:30+08:00", "timeout": 5000}, 5.0),
        ({"expires_at": "2026-05-01T11:00:00Z", "timeout": 5000}, -3600.0),
    ],
)
def test_a_call_that_was_kept_on_its_way_is_late(params: dict[str, Any], left_s: float | None) -> None:
    """A platform that keeps calls for a device until it is back hands them over hours later: the instant says so."""
    call = rpc.Call(name(DOOR), 1, "operate", {"point": "lock", "value": False, **params})
    assert rpc.request(call, DOOR, SESSION, NOW).expires_in_s == left_s


@pytest.mark.parametrize("at", ["2026-05-01T12:00:30", "soon", "2026-05-01T13:00:00Z", 5])
def test_an_instant_that_is_none_or_far_ahead_is_refused(at: object) -> None:
    """Without its time zone, or so far ahead that one of the two clocks is wrong."""
    call = rpc.Call(name(DOOR), 1, "operate", {"point": "lock", "value": False, "expires_at": at})
    with pytest.raises(rpc.WrongCallError, match="expires_at"):
        rpc.request(call, DOOR, SESSION, NOW)
