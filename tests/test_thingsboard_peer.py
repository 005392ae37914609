"""What goes up equals, message for message, what ThingsBoard's own gateway client sends for the same data."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from cloud_bridge import thingsboard_rpc as rpc
from cloud_bridge.ask import Answer, Code, not_done
from cloud_bridge.thingsboard_split import Value, split
from gateway import __version__
from gateway.model import Reading
from gateway.store import codec
from gateway.store.outbox import OutboxReader
from tests.support_bridge import GATEWAY, START, Box, event, mosquitto, until
from tests.support_thingsboard import (
    CABINET,
    DOOR,
    SMOKE,
    Asked,
    Ear,
    Peer,
    Said,
    devices,
    ear,
    house,
    name,
    peer,
    peer_path,
    pumping,
)

__all__ = ["peer_path"]

AT = int(START.timestamp() * 1000)


def reading(point: str, value: Any, ms: int) -> Reading:
    at = START + timedelta(milliseconds=ms)
    return Reading(point, value, at, at + timedelta(seconds=1))


READINGS = [
    reading(f"{SMOKE}/alarm", True, 0),
    reading(f"{SMOKE}/battery", 87.5, 0),
    reading(f"{CABINET}/power.1", 120.25, 3),
    reading(f"{CABINET}/power.2", 0, 5),
    reading(f"{CABINET}/power.1", 121, 7),
    reading(f"{CABINET}/card", "卡 A-17", 7),
    reading(f"{DOOR}/online", False, 9),
]
LONG = [reading(f"{CABINET}/power.{n % 10}", n / 7, n // 3) for n in range(900)]
"""Three messages' worth: where it is cut must be the same."""


def random_values(seed: int) -> list[Value]:
    """Readings of one device as they come: many of one instant, keys that repeat, long and short texts."""
    chance = random.Random(seed)
    words = [True, False, 0, -17, 3.5, 1e-7, "", "开", "x" * 40, "y" * 400, {"id": "a", "alarm": [1, None]}]
    return [
        Value(AT + chance.randrange(chance.choice([1, 5, 200])), f"p.{chance.randrange(60)}", chance.choice(words))
        for _ in range(chance.randrange(1, 400))
    ]


def by_device(readings: list[Reading]) -> dict[str, list[dict[str, Any]]]:
    """The same data as a program that uses their client would hand it over: one value at a time."""
    found: dict[str, list[dict[str, Any]]] = {}
    for point_id, value, at, *_ in readings:
        device, _, key = point_id.rpartition("/")
        entry = {"ts": int(at.timestamp() * 1000), "values": {key: value}}
        found.setdefault(name(device), []).append(entry)
    return found


def epoch_of(box: Box) -> str:
    reader = OutboxReader(str(box.directory))
    try:
        return reader.epoch
    finally:
        reader.close()


def ordered(said: list[Said]) -> list[str]:
    """Topic, payload as JSON, QoS and retain flag of each message; devices are told in another order."""
    return sorted(
        f"{each.topic} qos={each.qos} retain={each.retain} "
        + orjson.dumps(each.body, option=orjson.OPT_SORT_KEYS).decode()
        for each in said
    )


ALARM = event(301)
TOLD = orjson.loads(codec.alarm_body(*ALARM))
KEY = "alarm.smoke-fire.alarm"
CODE = [reading(f"{CABINET}/card", "00123", 12)]


async def ours(box: Box, heard: Ear, epoch: str) -> None:
    """Rows of both lanes, calls, and the questions of the platform."""
    await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "the descriptions")
    box.append([*READINGS, reading("gateway/box/time_ok", True, 11)], [ALARM])
    box.append(LONG)
    box.append(CODE)
    await until(lambda: box.settled("cloud") == box.last(), "settled")
    heard.say("v1/gateway/rpc", {"device": name(SMOKE), "data": {"id": 7, "method": "no", "params": {}}})
    call = {"method": "note", "params": {"alarm": ALARM[1].id, "version": 3, "epoch": epoch, "text": "x"}}
    heard.say("v1/devices/me/rpc/request/5", call)
    await until(lambda: len(heard.of("v1/devices/me/rpc/response/5")) == 1, "the answer")
    heard.say("v1/devices/me/attributes/response/1", {"client": {"epoch": "of a former database"}})
    await until(lambda: len(heard.of("v1/gateway/attributes/request")) == 1, "the request")
    heard.say("v1/gateway/attributes/response", {"id": 2, "device": name(SMOKE), "values": {}})
    await until(lambda: len(heard.of("v1/devices/me/attributes")) == 2, "the new epoch")


async def theirs(peer: Peer, epoch: str) -> None:
    """The same by calls of their client."""
    await peer.call("send_attributes", {"gateway": GATEWAY, "title": "阳光花园", "version": __version__})
    await peer.call("request_attributes", ["epoch"], None)
    for each in devices():
        await peer.call("gw_connect_device", name(each.id), each.kind)
        about = {"kind": each.kind, "title": each.title, "place": each.place.text, "building": "3"}
        await peer.call("gw_send_attributes", name(each.id), about)
    for rows in (READINGS, LONG, CODE):
        for device, entries in by_device(rows).items():
            await peer.call("gw_send_telemetry", device, entries)
    await peer.call("gw_disconnect_device", name(DOOR))
    await peer.call("send_telemetry", {"ts": AT + 11, "values": {"time_ok": True}})
    at = int(ALARM[0].at.timestamp() * 1000)
    event_ = {"ts": at, "values": {KEY: {"epoch": epoch, **TOLD}}}
    await peer.call("gw_send_telemetry", name(SMOKE), event_)
    await peer.call("gw_send_attributes", name(SMOKE), {KEY: {"epoch": epoch, **TOLD["alarm"]}})
    refusal = rpc.words(not_done(Code.INVALID, why="unknown method 'no'"))
    await peer.call("gw_send_rpc_reply", name(SMOKE), 7, refusal)
    await peer.call("send_rpc_reply", "5", {"success": True, "version": 4})
    await peer.call("gw_request_client_attributes", name(SMOKE), [KEY])
    await peer.call("send_attributes", {"epoch": epoch})


def subscriptions(log: Path) -> dict[str, set[tuple[str, str]]]:
    """Who has subscribed to what with which QoS, from the broker's log."""
    found: dict[str, set[tuple[str, str]]] = {}
    for client, qos, topic in re.findall(r": (\S+) (\d) (\S+)$", log.read_text(), re.MULTILINE):
        found.setdefault(client, set()).add((topic, qos))
    return found


async def test_every_message_equals_that_of_their_own_client(tmp_path: Path, peer_path: Path) -> None:
    """Connect, attributes, telemetry, alarms, disconnect, requests, answers, limits: topic, JSON, QoS and retain."""
    box = Box(tmp_path)
    epoch = epoch_of(box)
    log = tmp_path / "broker.log"
    with mosquitto(tmp_path, f"log_dest file {log}\nlog_type subscribe") as broker:
        with ear(broker.port) as heard:
            answer = Asked(Answer(is_accepted=True, version=4))
            async with pumping(house(tmp_path), broker.port, answer, numbers_in_text="plain"):
                await ours(box, heard, epoch)
            mine = [each for each in heard.said if not heard.is_mine(each)]
        with ear(broker.port) as heard:
            async with peer(peer_path, broker.port) as their_client:
                await theirs(their_client, epoch)
                await until(lambda: {"epoch": epoch} in heard.of("v1/devices/me/attributes"), "the last of theirs")
                await until(lambda: heard.of("v1/devices/me/rpc/request/1"), "their question, asked by a thread")
            assert ordered(mine) == ordered(heard.said)
        found = subscriptions(log)
    assert found[f"shouwang-{GATEWAY}"] == found["peer"]
    cabinet = [each for each in mine if each.topic == "v1/gateway/telemetry" and name(CABINET) in each.body]
    assert len(cabinet) > 4  # the long row was cut


async def test_readings_are_cut_where_their_client_cuts(tmp_path: Path, peer_path: Path) -> None:
    """Whatever the readings and the limit, message for message the same arrays."""
    with mosquitto(tmp_path) as broker:
        async with peer(peer_path, broker.port) as their_client:
            for seed in range(60):
                values, most = random_values(seed), 300 + 150 * seed
                entries = [{"ts": each.ts, "values": {each.key: each.value}} for each in values]
                cut = await their_client.call("_split_message", entries, 0, most)
                assert split(values, most) == [each["data"] for each in cut], seed
