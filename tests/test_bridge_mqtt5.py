"""MQTT 5 of the project's own messages: what the broker says is believed, and a broker of 3.1.1 is served as well."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cloud_bridge import pace, suspicion
from gateway.model import Lane, Uplink
from tests.support_bridge import (
    DEADLINE_S,
    Box,
    Hangup,
    Packet,
    Platform,
    StandIn,
    bridging,
    free_port,
    listening,
    mosquitto,
    need,
    site,
    stand_in,
    until,
)

PAYLOAD_INVALID, NOT_AUTHORIZED = 0x99, 0x87


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


def number(packet: Packet) -> int | None:
    """The first reading's value; None for another message."""
    body = orjson.loads(packet.payload)
    return int(body["r"][0][1]) if "r" in body and packet.mid else None


async def test_each_message_says_what_it_is(box: Box, tmp_path: Path) -> None:
    """A platform's programmer finds content type and id without parsing the payload; the id is that of the payload."""
    box.readings(2)
    box.alarms(1)
    got: list[paho.MQTTMessage] = []
    ready = threading.Event()
    seen = paho.Client(CallbackAPIVersion.VERSION2, "platform", protocol=MQTTProtocolVersion.MQTTv5)
    seen.on_message = lambda _client, _data, message: got.append(message)
    seen.on_connect = lambda client, *_: client.subscribe("shouwang/#", 1) and None
    seen.on_subscribe = lambda *_: ready.set()
    with mosquitto(tmp_path) as broker:
        seen.connect("127.0.0.1", broker.port)
        seen.loop_start()
        assert ready.wait(DEADLINE_S)
        async with bridging(site(tmp_path, up(broker.port, version="5"))):
            await until(lambda: len(got) >= 4, "the messages")
        seen.disconnect()
        seen.loop_stop()
    for each in got:
        said: Any = each.properties
        assert (said.ContentType, said.PayloadFormatIndicator) == ("application/json", 1)
        if not each.topic.endswith("/state"):
            assert said.UserProperty == [("id", orjson.loads(each.payload)["id"])]


async def test_a_broker_of_the_older_version_is_served(box: Box, tmp_path: Path) -> None:
    """A broker that refuses MQTT 5 is spoken to in 3.1.1 at once: one connection more, nothing else."""
    box.readings(30)
    async with stand_in(lambda _: True) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert cloud.sessions == 1
    assert all(not each.properties for each in cloud.published)


class Mute(StandIn):
    """Hangs up on MQTT 5 without a word, until it has been brought up to date."""

    is_old = True

    def _connack(self, *, is_v5: bool) -> bytes:
        if is_v5 and self.is_old:
            raise Hangup
        return super()._connack(is_v5=is_v5)


async def test_a_broker_that_hangs_up_on_the_newer_version_is_served_and_asked_again(box: Box, tmp_path: Path) -> None:
    """It does not say why it hung up: that session goes by 3.1.1, the next one is tried with 5 again."""
    box.readings(30)
    cloud = Mute(lambda packet: _hang_up_if(cloud, packet), receive_max=100)
    async with listening(cloud.serve) as port, bridging(site(tmp_path, up(port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        assert all(not each.properties for each in cloud.published)
        cloud.is_old = False
        box.readings(1)
        await until(lambda: cloud.published[-1].properties, "MQTT 5")
        await until(lambda: box.settled("cloud") == box.last(), "settled")


def _hang_up_if(cloud: Mute, packet: Packet) -> bool:
    """Once it is up to date, it ends the session of the older version."""
    if not cloud.is_old and not packet.properties:
        raise Hangup
    return True


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[int]:
    """Debian's NATS server: a platform's broker of MQTT 3.1.1."""
    port, own = free_port(), free_port()
    config = tmp_path / "nats.conf"
    config.write_text(
        f'server_name: one\nlisten: "127.0.0.1:{own}"\njetstream {{store_dir: "{tmp_path}/js"}}\n'
        f'mqtt {{listen: "127.0.0.1:{port}"}}\n'
    )
    process = subprocess.Popen(
        [need("nats-server", "nats-server"), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield port
    process.kill()
    process.wait()


async def test_nats_is_served(box: Box, tmp_path: Path, nats: int) -> None:
    """A real broker that speaks 3.1.1 only: every reading arrives and is settled."""
    box.readings(500)
    box.alarms(1, 2)

    async def subscribed() -> Platform:
        while True:
            try:
                return await asyncio.to_thread(lambda: Platform(nats))
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)

    seen = await asyncio.wait_for(subscribed(), DEADLINE_S)
    try:
        async with bridging(site(tmp_path, up(nats))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            await until(lambda: len(seen.values()) >= 500, "the readings")
    finally:
        seen.close()
    assert seen.values() == list(range(500))
    assert len(seen.alarm_ids()) == 2


async def test_a_row_refused_by_its_reason_is_put_aside_and_no_other(box: Box, tmp_path: Path) -> None:
    """0x99 to one row: it is tried a few times, kept as a dead letter with the reason, and everything else arrives."""
    box.readings(60)
    tried = 0

    def answer(packet: Packet) -> bool | int:
        nonlocal tried
        if number(packet) == 37:
            tried += 1
            return PAYLOAD_INVALID
        return True

    async with stand_in(answer, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 1
    assert tried <= 1 + suspicion._REFUSALS[Lane.TELEMETRY]
    got = [value for each in cloud.published if (value := number(each)) is not None]
    assert set(got) == set(range(60))


async def test_who_may_not_publish_loses_nothing(box: Box, tmp_path: Path) -> None:
    """Not authorized is no row's fault: all are kept, the status says why, and the broker is left alone for a while."""
    box.readings(5)

    def answer(packet: Packet) -> bool | int:
        return True if packet.topic.endswith("/state") else NOT_AUTHORIZED

    async with stand_in(answer, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: "not authorized" in str(box.status("cloud").get("error")), "the status")
        assert cloud.sessions == 1
    assert box.rejected("cloud") == 0
    assert box.settled("cloud")[Lane.TELEMETRY] == 0


async def test_no_more_is_sent_than_the_broker_takes_and_alarms_go_first(box: Box, tmp_path: Path) -> None:
    """Receive Maximum 3: never four without an answer; an alarm passes the telemetry that is held back."""
    box.readings(50)
    open_mids: set[bytes] = set()
    most, order, gate = 0, [], asyncio.Event()

    def answer(packet: Packet) -> bool:
        nonlocal most
        if not packet.mid:
            return True
        order.append(packet)
        open_mids.add(packet.mid)
        most = max(most, len(open_mids))
        is_let = gate.is_set() or packet.topic.endswith("/state")
        if is_let:
            open_mids.discard(packet.mid)
        else:
            held.append(packet.mid)
        return is_let

    held: list[bytes] = []
    async with stand_in(answer, 3) as cloud, bridging(site(tmp_path, up(cloud.port, window="20", version="5"))):
        await until(lambda: len(held) == 3, "what the broker takes")
        box.alarms(1)
        await until(lambda: box.status("cloud").get("backlog", {}).get("alarm", {}).get("entries") == 1, "the alarm")
        gate.set()
        for mid in held:
            open_mids.discard(mid)
            cloud.acknowledge(mid)
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert most == 3
    kinds = [each.topic.rpartition("/")[2] for each in order]
    assert kinds.index("alarm") <= 5  # the state, three readings, the alarm


async def test_messages_that_nobody_hears_are_counted(box: Box, tmp_path: Path) -> None:
    """A broker without a subscriber takes everything and keeps nothing: MQTT 5 says so, and so does the status."""
    box.readings(10)
    with mosquitto(tmp_path) as broker:
        async with bridging(site(tmp_path, up(broker.port))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            await until(lambda: box.status("cloud")["counts"]["unheard"] >= 10, "counted")
