"""Requests in the project's own JSON: what is carried, what is not, and what a platform hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_bridge import requests as requests_room
from cloud_bridge.ask import LONGEST_S, Answer, Request
from cloud_bridge.mqtt_uplink import MqttParams, MqttUplink
from cloud_bridge.requests import NoRequestError, request_of
from cloud_bridge.selection import Selection
from cloud_bridge.settings import Commands
from cloud_bridge.uplink import Context
from gateway.clock import SystemClock
from gateway.model import Uplink, Verb
from tests.support_bridge import Box, _packet, bridging, listening, mosquitto, site, until
from tests.support_core import now
from tests.support_downlink import SCHEMAS, Cloud, validator

EPOCH = "e1"
NOW = now()
COMMANDS = {"verbs": ["take"]}
ALARM = {"alarm": {"id": "fire:x:1"}, "event": {"version": 3}, "epoch": EPOCH}


def body(**more: Any) -> dict[str, Any]:
    soon = (NOW.utc + timedelta(seconds=10)).isoformat()
    found = {"v": 1, "id": "a", "verb": "take", "alarm": "fire:x:1", "version": 3, "epoch": EPOCH, "expires_at": soon}
    return {key: value for key, value in {**found, **more}.items() if value is not None}


def test_a_request_is_carried_as_it_was_meant() -> None:
    """Every field arrives; what the schema allows is what is understood."""
    full = body(args={"outcome": "误报"}, user="li", verb="close")
    validator("request").validate(full)
    assert request_of(full, EPOCH, NOW) == Request("a", Verb.CLOSE, "fire:x:1", 3, {"outcome": "误报"}, "li", 10.0)
    short = body(alarm=None, version=None, epoch=None, verb="operate", args={"point": "p", "value": "true"})
    validator("request").validate(short)
    assert request_of(short, EPOCH, NOW).alarm_id == ""
    schema = json.loads((SCHEMAS / "request.v1.json").read_text("utf-8"))
    assert set(schema["properties"]["verb"]["enum"]) == set(Verb)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"v": 2}, "v"), ({"v": None}, "v"), ({"verb": "open"}, "verb"), ({"verb": None}, "verb"),
        ({"expires_at": None}, "expires_at"), ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2026-01-15T02:00:05"}, "expires_at"), ({"epoch": "e0"}, "epoch"), ({"epoch": None}, "epoch"),
        ({"version": "3"}, "version"), ({"version": True}, "version"), ({"args": {"a": 1}}, "args"),
        ({"args": []}, "args"), ({"alarm": 7}, "alarm"), ({"user": 7}, "user"), ({"force": True}, "force"),
    ],
)  # fmt: skip
def test_what_is_no_request_says_why(more: dict[str, Any], word: str) -> None:
    """Missing, unknown, of another type, of another epoch: refused by name, nothing guessed."""
    with pytest.raises(NoRequestError, match=word):
        request_of(body(**more), EPOCH, NOW)


def test_a_deadline_far_ahead_means_that_the_clocks_differ() -> None:
    """Then nobody knows how old the request is: refused, with the gateway's time in the words."""
    late = (NOW.utc + timedelta(hours=1)).isoformat()
    with pytest.raises(NoRequestError, match="2026-01-15T02:00:00Z"):
        request_of(body(expires_at=late), EPOCH, NOW)
    old = (NOW.utc - timedelta(hours=1)).isoformat()
    assert request_of(body(expires_at=old), EPOCH, NOW).expires_in_s == -3600  # the gateway says expired, on record


@given(
    st.dictionaries(
        st.sampled_from(("v", "verb", "alarm", "version", "epoch", "args", "user", "expires_at")),
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.integers(), max_size=2)
        | st.just("2026-01-15T02:00:09Z") | st.just("take") | st.just(1),
    )
)  # fmt: skip
def test_whatever_comes_is_a_request_or_says_why_not(more: dict[str, Any]) -> None:
    """Invariant: any JSON object is a request with a bounded deadline, or a `NoRequestError`."""
    try:
        found = request_of({"id": "a", **more}, EPOCH, NOW)
    except NoRequestError:
        return
    assert found.expires_in_s is not None
    assert found.expires_in_s <= LONGEST_S


@asynccontextmanager
async def asking(port: int, directory: Path, answer: Answer) -> AsyncIterator[tuple[Cloud, MqttUplink, list[Request]]]:
    """An uplink of this process whose gateway gives ``answer``, and a platform that asks it."""
    heard: list[Request] = []

    async def ask(request: Request) -> Answer:
        heard.append(request)
        return answer

    here = site(directory)
    params = MqttParams.model_validate({"host": "127.0.0.1", "port": port, "commands": COMMANDS})
    uplink = MqttUplink(Context(here, SystemClock(), Selection(here), EPOCH, ask), params)
    cloud = Cloud(port, "asking", gateway=here.id)
    task = await cloud.start()
    try:
        await uplink.open()
        await until(lambda: uplink.counts["is_listening"] == 1, "subscribed")
        yield cloud, uplink, heard
    finally:
        await uplink.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_response_says_what_became_of_it(tmp_path: Path) -> None:
    """Accepted and refused, by the published schema, on the topic of its id; asked twice, answered twice."""
    answer = Answer(False, "stale_version", {"words": {"zh": "没有执行", "en": "Not done"}}, 5)
    with mosquitto(tmp_path) as broker:
        async with asking(broker.port, tmp_path, answer) as (cloud, uplink, heard):
            asked = cloud.request("take", ALARM)
            said = await cloud.ask(asked)
            assert (said["code"], said["version"], said["gateway"], said["epoch"]) == (
                "stale_version",
                5,
                "gw-1",
                EPOCH,
            )
            assert await cloud.ask(asked) == said
            assert [each.verb for each in heard] == [Verb.TAKE] * 2
            await cloud.ask(cloud.request("take", ALARM))
            assert len(cloud.responses[asked["id"]]) == 2
            assert [uplink.counts[each] for each in requests_room.COUNTS] == [3, 3, 0, 0, 1]
        async with asking(broker.port, tmp_path, answer) as (late, _, _):
            assert (await late.ask(late.request("take", ALARM)))["code"] == "stale_version"
            assert asked["id"] not in late.responses  # an old answer lies about for nobody


async def test_a_request_that_was_left_lying_is_not_done(tmp_path: Path) -> None:
    """A retained request would be told again at every session: refused, and never carried."""
    with mosquitto(tmp_path) as broker:
        first = Cloud(broker.port, gateway="gw-1")
        task = await first.start()
        left = first.request("take", ALARM)
        await first.send(left, retain=True)
        async with asking(broker.port, tmp_path, Answer(True)) as (_, _, heard):
            await until(lambda: left["id"] in first.responses, "an answer")
            assert first.responses[left["id"]][0]["code"] == "invalid"
            assert "retained" in first.responses[left["id"]][0]["detail"]["why"]
            assert heard == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_has_no_usable_id_is_counted(tmp_path: Path) -> None:
    """Nobody can be answered: no JSON, no object, an id that would be another topic."""
    with mosquitto(tmp_path) as broker:
        async with asking(broker.port, tmp_path, Answer(True)) as (cloud, uplink, heard):
            for payload in (b"", b"{", b"[]", b"x" * 40_000, b"{}", *(_with_id(each) for each in ("a/b", "#", "", 7))):
                await cloud.link.publish("shouwang/gw-1/request", payload, 1)
            await until(lambda: uplink.counts["requests_dropped"] == 9, "all counted")
            assert heard == []
            assert (await cloud.ask(cloud.request("take", ALARM)))["is_accepted"] is True


def _with_id(name: object) -> bytes:
    return json.dumps({**body(), "id": name}).encode()


@pytest.mark.parametrize("suback", [b"\x90\x03%b\x80", b""], ids=["refused", "silent"])
async def test_a_platform_that_lets_nobody_listen_gets_its_alarms_all_the_same(
    tmp_path: Path, suback: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses the subscription, or never answers it: alarms go up, the count says that requests are not heard."""
    monkeypatch.setattr(requests_room, "_SUBACK_S", 0.5)
    box = Box(tmp_path)
    box.alarms(1)
    published: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                packet = await _packet(reader)
                if packet.kind == 1:
                    writer.write(b"\x20\x02\x00\x00")
                elif packet.kind == 3:
                    published.append(packet.topic)
                    writer.write(b"\x40\x02" + packet.mid)
                elif packet.kind == 8 and suback:
                    writer.write(suback % packet.body[:2])

    async with listening(serve) as port:
        up = Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), "commands": COMMANDS})
        async with bridging(site(tmp_path, up)):
            await until(lambda: "shouwang/gw-1/alarm" in published, "the alarm")
            await until(lambda: box.status("cloud").get("counts", {}).get("requests_unheard") == 1, "counted")
            await until(lambda: box.settled("cloud") == box.last(), "settled")


def test_commands_are_read_from_text() -> None:
    """As configuration gives them: texts."""
    found = Commands.model_validate(
        {"role": "supervisor", "verbs": ["take", "operate"], "points": ["*"], "answer": "5s"}
    )
    assert (found.verbs, found.answer) == ((Verb.TAKE, Verb.OPERATE), 5.0)
