"""What a ThingsBoard platform asks and says: calls are answered within bounds, old answers end no alarm of now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloud_bridge import pace, thingsboard_calls
from cloud_bridge.ask import Answer, Request
from gateway.model import Lane, Verb
from gateway.mqtt_link import Message
from tests.support_bridge import Box, bridging, event, mosquitto, until
from tests.support_thingsboard import CABINET, DOOR, SMOKE, Asked, Ear, ear, house, name, pumping, up

RPC = "v1/gateway/rpc"
TELEMETRY = "v1/gateway/telemetry"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of these tests are a tenth: what happens after them is the subject."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)


def call(device_id: str, number: int, method: str, params: Any) -> dict[str, Any]:
    return {"device": name(device_id), "data": {"id": number, "method": method, "params": params}}


def answers(heard: Ear) -> dict[int, Any]:
    return {
        each["id"]: each["data"] for each in heard.of(RPC) if isinstance(each, dict) and isinstance(each.get("id"), int)
    }


@pytest.mark.usefixtures("box")
async def test_a_call_is_asked_of_the_gateway_and_answered(tmp_path: Path) -> None:
    """A device's call reaches the gateway as one request, its deadline and who asked with it; the answer goes back."""
    alarm = event(301)[1]
    ask = Asked(Answer(is_accepted=True, version=4, detail={"outcome": "done"}))
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, ask) as uplink:
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            heard.say(RPC, call(DOOR, 1, "operate", {"point": "lock", "value": False, "user": "wang", "timeout": 4000}))
            known = {"alarm": alarm.id, "version": 3, "epoch": uplink._epoch}
            heard.say(RPC, call(SMOKE, 2, "verify", {**known, "real": True, "id": "k1"}))
            heard.say("v1/devices/me/rpc/request/9", {"method": "mark", "params": {"mark": "drill", "minutes": 30}})
            await until(lambda: len(answers(heard)) == 2, "the answers")
            await until(lambda: heard.of("v1/devices/me/rpc/response/9"), "the answer to the gateway")
    by_verb = {each.verb: each for each in ask.requests}
    operate, verify, mark = by_verb[Verb.OPERATE], by_verb[Verb.VERIFY], by_verb[Verb.MARK]
    assert (operate.args, operate.user, operate.expires_in_s) == (
        {"point": f"{DOOR}/lock", "value": "false"},
        "wang",
        4.0,
    )
    assert (verify.id, verify.alarm_id, verify.version, verify.args) == ("id/k1", alarm.id, 3, {"real": "true"})
    assert mark.args == {"mark": "drill", "minutes": "30"}
    assert operate.id.endswith(f"/{name(DOOR)}/1")
    assert answers(heard)[1] == {"success": True, "version": 4, "detail": {"outcome": "done"}}
    told = [each["id"] for each in heard.of(RPC) if "id" in each]
    assert sorted(told) == [1, 2]  # each once


@pytest.mark.usefixtures("box")
async def test_a_repeated_call_has_the_same_id_and_one_of_another_session_has_not(tmp_path: Path) -> None:
    """The platform counts calls from 0 in each session: call 1 of tomorrow is not call 1 of today."""
    ask = Asked(Answer(is_accepted=True))
    unlock = call(DOOR, 1, "operate", {"point": "lock", "value": True})
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        for session in (1, 2):
            async with pumping(house(tmp_path), broker.port, ask):
                await until(lambda: len(heard.of("v1/gateway/connect")) == 3 * session, "a session")  # noqa: B023 - awaited here
                for count in (1, 2):
                    heard.say(RPC, unlock)
                    await until(lambda: len(ask.requests) == 2 * session - 2 + count, "the request")  # noqa: B023 - as above
    ids = [each.id for each in ask.requests]
    assert ids[0] == ids[1] != ids[2] == ids[3]


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("reboot", {}, "unknown method"),
        ("operate", {"point": f"{SMOKE}/alarm", "value": True}, "not of this device"),
        ("operate", {"point": "lock", "value": {"a": 1}}, "value must be"),
        ("operate", {"value": True}, "which point"),
        ("take", {"alarm": "smoke-fire:3-2-03-0301/smoke/alarm:1", "version": 1}, "not of this device"),
        ("take", {"version": 1}, "which alarm"),
        ("take", {"alarm": f"r:{DOOR}/lock:1", "version": 1, "epoch": "former"}, "epoch"),
        ("take", ["x"], "params must be an object"),
        ("mark", {"mark": "drill"}, "not of this device"),
        ("operate", {"point": "lock", "value": True, "timeout": -1}, "timeout"),
    ],
)
async def test_a_call_that_can_not_be_is_answered_with_its_error(
    tmp_path: Path, method: str, params: Any, why: str
) -> None:
    """T5: what is no request of ours, or reaches beyond its device, gets an error at once and asks nothing."""
    ask = Asked(Answer(is_accepted=True))
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, ask):
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            heard.say(RPC, call(DOOR, 1, method, params))
            await until(lambda: answers(heard), "the answer")
    assert answers(heard)[1]["error"] == "invalid"
    assert why in answers(heard)[1]["detail"]["why"]
    assert ask.requests == []


@pytest.mark.usefixtures("box")
async def test_calls_are_refused_without_commands_and_of_unknown_devices(tmp_path: Path) -> None:
    """An uplink without commands: takes none; a device that is not ours is said to be none."""
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port) as uplink:
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            heard.say(RPC, call(DOOR, 1, "operate", {"point": "lock", "value": True}))
            heard.say(RPC, call("nobody", 2, "operate", {"point": "lock", "value": True}))
            await until(lambda: len(answers(heard)) == 2, "the answers")
            assert uplink.counts["calls_refused"] == 2
    assert [answers(heard)[each]["error"] for each in (1, 2)] == ["commands_off", "invalid"]


@pytest.mark.usefixtures("box")
async def test_a_call_while_the_gateway_is_away_is_answered_at_once(tmp_path: Path) -> None:
    """The whole bridge, with commands allowed and no gateway: nothing is kept for later."""
    commands = {"verbs": ["operate"], "points": ["*"]}
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        of = house(tmp_path, replace(up(broker.port), params={**up(broker.port).params, "commands": commands}))
        async with bridging(of):
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            heard.say(RPC, call(DOOR, 1, "operate", {"point": "lock", "value": True}))
            await until(lambda: answers(heard), "the answer")
    assert answers(heard)[1]["error"] == "unreachable"


@pytest.mark.usefixtures("box")
async def test_calls_beyond_the_bound_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that answers late holds a bounded number of calls; a call it never answers ends."""
    monkeypatch.setattr(thingsboard_calls, "_MOST", 3)
    monkeypatch.setattr(thingsboard_calls, "_SPARE_S", 0.1)

    async def never(_: Request) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, never):
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            for number in range(5):
                heard.say(RPC, call(DOOR, number, "operate", {"point": "lock", "value": True, "timeout": 1500}))
            await until(lambda: len(answers(heard)) == 5, "the answers")
    assert [answers(heard)[each]["error"] for each in range(5)] == ["no_answer"] * 3 + ["busy"] * 2


async def test_a_flood_of_calls_is_dropped_and_holds_up_no_row(box: Box, tmp_path: Path) -> None:
    """Two thousand calls at once: a second's worth is answered, the others are counted, and rows go on."""
    ask = Asked(Answer(is_accepted=True))
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, ask) as uplink:
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            calls = [call(DOOR, number, "operate", {"point": "lock", "value": True}) for number in range(2000)]
            heard.shout(RPC, calls)
            await until(lambda: uplink.counts["calls_dropped"] > 500, "a flood")  # the broker drops some, too
            box.readings(3)
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            assert 1 <= len(answers(heard)) < 200
            assert len(heard.of("v1/gateway/connect")) == 3  # still the first session


@pytest.mark.usefixtures("box")
async def test_a_call_that_was_retained_is_refused(tmp_path: Path) -> None:
    """A retained call would be told again at every session: a door would open at each reconnection."""
    ask = Asked(Answer(is_accepted=True))
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        heard.say(RPC, call(DOOR, 1, "operate", {"point": "lock", "value": False}), retain=True)
        async with pumping(house(tmp_path), broker.port, ask):
            await until(lambda: answers(heard), "the answer")
    assert "retained" in answers(heard)[1]["detail"]["why"]
    assert ask.requests == []


@pytest.mark.usefixtures("box")
async def test_attributes_set_on_the_platform_change_nothing_and_are_counted(tmp_path: Path) -> None:
    """A wish that stands on the platform is no command: it is acknowledged and counted, and nothing is asked."""
    ask = Asked(Answer(is_accepted=True))
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, ask) as uplink:
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            before = uplink.counts["attributes_ignored"]
            heard.say("v1/gateway/attributes", {"device": name(DOOR), "data": {"lock": False}})
            await until(lambda: uplink.counts["attributes_ignored"] > before, "the count")
    assert ask.requests == []


@pytest.mark.usefixtures("box")
async def test_open_alarms_of_a_former_database_are_ended_there(tmp_path: Path) -> None:
    """After the database was replaced no event will ever end them: they are read back and ended, those of now stay."""
    old, key = {"id": "a", "epoch": "former", "is_open": True}, "alarm.smoke-fire.alarm"
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port) as uplink:
            await until(lambda: heard.of("v1/devices/me/attributes/request/1"), "the question")
            heard.say("v1/devices/me/attributes/response/1", {"client": {"epoch": "former"}})
            await until(lambda: heard.of("v1/gateway/attributes/request"), "the questions")
            heard.say("v1/gateway/attributes/response", {"id": 2, "device": name(SMOKE), "value": old})
            await until(lambda: len(heard.of("v1/devices/me/attributes")) == 2, "the new epoch")
            assert uplink.counts["ended_there"] == 1
    (asked,) = heard.of("v1/gateway/attributes/request")
    assert asked == {"keys": [key], "device": name(SMOKE), "client": True, "id": 2}
    ended = heard.of("v1/gateway/attributes")[-1][name(SMOKE)][key]
    assert (ended["is_open"], ended["ended"]) == (False, "database_replaced")


@pytest.mark.usefixtures("box")
async def test_an_alarm_of_this_database_is_not_ended_though_the_platform_has_no_epoch_of_it(tmp_path: Path) -> None:
    """The session broke off before the new epoch was written: what has been told since is of now, and stays open."""
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port) as uplink:
            await until(lambda: heard.of("v1/devices/me/attributes/request/1"), "the question")
            heard.say("v1/devices/me/attributes/response/1", {"client": {"epoch": "former"}})
            await until(lambda: heard.of("v1/gateway/attributes/request"), "the questions")
            state = {"id": "a", "epoch": uplink._epoch, "is_open": True}
            heard.say("v1/gateway/attributes/response", {"id": 2, "device": name(SMOKE), "value": state})
            await until(lambda: len(heard.of("v1/devices/me/attributes")) == 2, "the new epoch")
            assert uplink.counts["ended_there"] == 0


async def test_an_alarm_of_now_is_not_ended_by_an_old_answer(box: Box, tmp_path: Path) -> None:
    """An alarm sent while the old ones are read back is newer than the answer."""
    key = "alarm.smoke-fire.alarm"
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port) as uplink:
            await until(lambda: heard.of("v1/devices/me/attributes/request/1"), "the question")
            heard.say("v1/devices/me/attributes/response/1", {"client": {"epoch": "former"}})
            await until(lambda: heard.of("v1/gateway/attributes/request"), "the questions")
            box.alarms(301)
            await until(lambda: box.settled("cloud")[Lane.ALARM] == 1, "the alarm")
            old = {"id": "a", "epoch": "former", "is_open": True}
            heard.say("v1/gateway/attributes/response", {"id": 2, "device": name(SMOKE), "values": {key: old}})
            await until(lambda: len(heard.of("v1/devices/me/attributes")) == 2, "the new epoch")
            assert uplink.counts["ended_there"] == 0
    states = [each[name(SMOKE)][key] for each in heard.of("v1/gateway/attributes") if key in each.get(name(SMOKE), {})]
    assert [each["is_open"] for each in states] == [True]


async def test_a_device_that_the_platform_has_disconnected_is_connected_again(box: Box, tmp_path: Path) -> None:
    """The platform says that it has put a device out (reason 150: its rate): its next word comes after a connect."""
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port) as uplink:
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            for payload in (b"[]", b"x", orjson.dumps({"device": name(CABINET), "reason": 150})):
                uplink._take(Message("v1/gateway/disconnect", payload, 0, False, False, 0, 1))
            box.readings(1)
            await until(lambda: heard.of(TELEMETRY), "the reading")
    of_cabinet = [each.topic.rpartition("/")[2] for each in heard.said if name(CABINET) in str(each.body)]
    assert of_cabinet == ["connect", "attributes", "connect", "telemetry"]


async def test_nothing_a_platform_says_ends_the_uplink(box: Box, tmp_path: Path) -> None:
    """Hostile calls, answers and limits in one session: the session stays, the next call is answered, rows go on."""
    ask = Asked(Answer(is_accepted=True))
    deep = b"[" * 5000 + b"]" * 5000
    huge = orjson.dumps(call(DOOR, 1, "operate", {"point": "lock", "value": "x" * 70_000}))
    hostile = [b"", b"\xff", b"null", b"[]", b"{}", b'{"device":1}', deep, huge, b'{"id":[],"device":{},"data":"x"}']
    topics = [RPC, "v1/devices/me/rpc/request/1", "v1/devices/me/rpc/request/x", "v1/devices/me/rpc/response/1"]
    topics += ["v1/gateway/attributes", "v1/gateway/attributes/response", "v1/devices/me/attributes/response/1"]
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, ask) as uplink:
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            for topic in topics:
                for payload in hostile:
                    heard.say(topic, payload)
            box.readings(3)
            heard.say(RPC, call(DOOR, 3, "operate", {"point": "lock", "value": True}))
            await until(lambda: 3 in answers(heard), "the answer")
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            assert uplink.counts["calls_unreadable"] >= 9
            assert len(heard.of("v1/gateway/connect")) == 3  # still the first session
