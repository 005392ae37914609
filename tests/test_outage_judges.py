"""The judges and stand-ins of the outage tests can see what they are there to see."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from benchmarks import wire
from benchmarks.cluster import Asked
from benchmarks.crash_field import DEVICES, SCALE
from benchmarks.outage_verdict import Verdict, judge
from benchmarks.witness import Ear, Record
from cloud_bridge.suspicion import _REFUSALS, Row, Suspicion
from gateway.model import Lane
from simulators.cloud_mqtt import CloudMqtt
from tests.support_core import until

Message = tuple[str, bytes]


def telemetry(row: int, *numbers: int, at_ms: int | None = None) -> Message:
    rows = [["1-1-01-0101/env/v", n / SCALE, n + 1000 if at_ms is None else at_ms, 0, "good"] for n in numbers]
    return "shouwang/g/telemetry", orjson.dumps({"v": 1, "id": f"g/e/{row}/0", "r": rows})


def alarm(version: int, kind: str = "raised", room: str = "1-1-01-0101", occurrence: int = 1) -> Message:
    alarm_id = f"smoke-fire:{room}/smoke/alarm:{occurrence}"
    event = {"alarm_id": alarm_id, "version": version, "kind": kind}
    body = {"v": 1, "epoch": "e", "id": f"{alarm_id}#{version}", "event": event, "alarm": {}}
    return "shouwang/g/alarm", orjson.dumps(body)


def verdict(*told: Message, published: tuple[Message, ...] = (), numbers: tuple[int, ...] = (1, 2)) -> Verdict:
    stamps = {n: n + 1000 for n in range(2 * DEVICES)}
    return judge(stamps, set(numbers), {"1-1-01-0101"}, published or told, told)


GOOD = (telemetry(1, 1), telemetry(2, 2), alarm(1))


def test_a_clean_run_is_clean_and_repeats_by_id_are_only_counted() -> None:
    """The same message again is a repeat, on the wire or acknowledged, and no fault."""
    found = verdict(*GOOD, GOOD[0], published=(*GOOD, GOOD[0], GOOD[1]))
    assert found.is_clean
    assert (found.wire_repeats, found.told_repeats, found.messages) == (2, 1, 3)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("readings_lost", (telemetry(1, 1), alarm(1))),
        ("readings_twice", (*GOOD, telemetry(3, 2))),
        ("readings_restamped", (telemetry(1, 1), telemetry(2, 2, at_ms=7), alarm(1))),
        ("alarms_lost", GOOD[:2]),
        ("alarms_twice", (*GOOD, alarm(1, occurrence=2))),
        ("alarms_disordered", (*GOOD, alarm(3, "cleared"), alarm(2, "taken"))),
        ("changed", (*GOOD, telemetry(2, 2, at_ms=8))),
    ],
)
def test_each_fault_is_seen(name: str, told: tuple[Message, ...]) -> None:
    """Lost, under a second id, with another instant, out of order, changed: each has its count."""
    found = verdict(*told)
    assert {key for key, value in found.faults.items() if value} == {name}
    assert not found.is_clean


def test_disorder_of_one_device_is_seen_and_newest_values_are_no_history() -> None:
    """Older after newer of one device is a fault; the topic of newest values is not judged at all."""
    swapped = verdict(telemetry(1, 1 + DEVICES), telemetry(2, 1), alarm(1), numbers=(1, 1 + DEVICES))
    assert swapped.readings_disordered == 1
    newest = ("shouwang/g/newest", telemetry(9, 2)[1])
    assert verdict(newest, *GOOD).is_clean


def test_nothing_counted_is_not_clean() -> None:
    """A run without readings or alarms proves nothing."""
    assert not judge({}, set(), set(), (), ()).is_clean


def test_a_missing_a_moved_and_a_doubled_point_are_seen() -> None:
    """What a time-series server answers is judged point by point."""
    stamps = {1: 10, 2: 20, 3: 30}
    assert Asked.of("s", {1: [10], 2: [20], 3: [30]}, stamps, {1, 2, 3}).is_clean
    found = Asked.of("s", {1: [11], 2: [20, 21]}, stamps, {1, 2, 3})
    assert (found.missing, found.restamped, found.doubled) == (1, 1, 1)


def _publish(mid: int, topic: str, payload: bytes, properties: bytes | None = None) -> bytes:
    packet = bytearray(wire.encode_publish(topic, payload, mid))
    if properties is None:
        return bytes(packet)
    at = 2 + 2 + len(topic) + 2  # fixed header of one length byte, topic, packet identifier
    packet[at:at] = bytes((len(properties),)) + properties
    packet[1] += 1 + len(properties)
    return bytes(packet)


def test_only_what_the_broker_acknowledged_counts_as_told() -> None:
    """MQTT 3.1.1: a PUBLISH without its PUBACK was on the wire and is not told; cuts of the stream do not matter."""
    record = Record()
    ear = Ear(record)
    stream = wire.encode_connect("b") + _publish(1, "g/alarm", b"a") + _publish(2, "g/alarm", b"b")
    for n in range(0, len(stream), 3):
        ear.hear_out(stream[n : n + 3])
    ear.hear_in(b"\x20\x02\x00\x00" + wire.encode_puback(2))
    assert (record.published, record.told, record.sessions) == ([("g/alarm", b"a"), ("g/alarm", b"b")],
                                                                [("g/alarm", b"b")], 1)  # fmt: skip


def test_it_understands_mqtt_5() -> None:
    """Properties and topic aliases of MQTT 5 are read, and a PUBACK of 0x80 or more is a refusal."""
    record = Record()
    ear = Ear(record)
    packed = (
        b"\x01\x01" + b"\x02\x00\x00\x00\x3c" + b"\x03\x00\x01x" + b"\x08\x00\x01r" + b"\x09\x00\x01c"
        b"\x23\x00\x04" + b"\x26\x00\x01k\x00\x01v"
    )  # format, expiry, content type, response topic, correlation data, topic alias 4, user property
    hello = bytearray(wire.encode_connect("b"))
    hello[8] = 5
    ear.hear_out(bytes(hello) + _publish(1, "g/alarm", b"a", packed) + _publish(2, "", b"b", b"\x23\x00\x04"))
    ear.hear_in(b"\x40\x04\x00\x01\x99\x00" + b"\x40\x03\x00\x02\x00")
    assert record.published == [("g/alarm", b"a"), ("g/alarm", b"b")]
    assert record.told == [("g/alarm", b"b")]


class Bridge:
    """An independent client of the stand-in platform."""

    def __init__(self, port: int, protocol: MQTTProtocolVersion) -> None:
        self.acknowledged: dict[int, ReasonCode] = {}
        self.is_up = False
        self.lost = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "bridge", protocol=protocol)
        self._client.on_connect = lambda *_: setattr(self, "is_up", True)
        self._client.on_publish = lambda _c, _d, mid, code, _p: self.acknowledged.update({mid: code})
        self._client.on_disconnect = self._end
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _end(self, *_: Any) -> None:
        self.lost += 1

    def say(self, payload: bytes) -> int:
        return self._client.publish("t", payload, 1).mid

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


PROTOCOLS = [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_stand_in_takes_and_acknowledges(protocol: MQTTProtocolVersion) -> None:
    """A healthy stand-in is a platform that an independent client can speak to."""
    cloud, taken = CloudMqtt(), []
    cloud.on_taken = lambda topic, payload: taken.append((topic, payload))
    await cloud.start()
    bridge = await asyncio.to_thread(Bridge, cloud.port, protocol)
    try:
        mids = [bridge.say(b"1"), bridge.say(b"2")]
        await until(lambda: set(mids) <= bridge.acknowledged.keys())
        assert taken == [("t", b"1"), ("t", b"2")]
    finally:
        await asyncio.to_thread(bridge.close)
        await cloud.stop()


@pytest.mark.parametrize("mode", ["close", "refuse", "reset", "garbage", "half_close"])
async def test_the_stand_in_ends_sessions_in_every_way(mode: str) -> None:
    """A poisonous message costs an MQTT 3.1.1 session, and nothing of it is taken."""
    cloud, taken = CloudMqtt(mode, poison=[b"bad"]), []
    cloud.on_taken = lambda _topic, payload: taken.append(payload)
    await cloud.start()
    bridge = await asyncio.to_thread(Bridge, cloud.port, MQTTProtocolVersion.MQTTv311)
    try:
        bridge.say(b"bad")
        await until(lambda: bridge.lost > 0)
        assert taken == []
    finally:
        await asyncio.to_thread(bridge.close)
        await cloud.stop()


async def test_the_stand_in_refuses_one_message_over_mqtt_5() -> None:
    """PUBACK 0x99 for the poison, an acknowledgement for the next, in one session."""
    cloud = CloudMqtt("refuse", poison=[b"bad"])
    await cloud.start()
    bridge = await asyncio.to_thread(Bridge, cloud.port, MQTTProtocolVersion.MQTTv5)
    try:
        bad, good = bridge.say(b"bad"), bridge.say(b"good")
        await until(lambda: {bad, good} <= bridge.acknowledged.keys())
        assert (bridge.acknowledged[bad].value, bridge.acknowledged[good].value) == (0x99, 0)
    finally:
        await asyncio.to_thread(bridge.close)
        await cloud.stop()


async def test_what_was_withheld_is_never_taken_and_a_stall_goes_on_when_told() -> None:
    """Withheld messages have no acknowledgement; stalled ones get theirs after the stall."""
    cloud = CloudMqtt("withhold")
    await cloud.start()
    bridge = await asyncio.to_thread(Bridge, cloud.port, MQTTProtocolVersion.MQTTv311)
    try:
        first = bridge.say(b"1")
        await until(lambda: cloud.counts["published"] == 1)
        cloud.set_mode("stall")
        second = bridge.say(b"2")
        cloud.set_mode("ok")
        await until(lambda: second in bridge.acknowledged)
        assert first not in bridge.acknowledged
        with pytest.raises(ValueError, match="nonsense"):
            cloud.set_mode("nonsense")
    finally:
        await asyncio.to_thread(bridge.close)
        await cloud.stop()


def test_a_bad_row_in_each_lane_does_not_hide_the_other() -> None:
    """A platform that never answers for one alarm and one reading: in turn they are ignored, and both are put aside."""
    suspicion = Suspicion()
    suspicion.answered(Row(Lane.TELEMETRY, 10))  # later rows were taken, else these would not be ignored but waiting
    bad = [Row(Lane.ALARM, 7), Row(Lane.TELEMETRY, 9)]
    aside: list[Row] = []
    for _ in range(2 * max(_REFUSALS.values())):
        for each in bad:
            if each not in aside and (found := suspicion.ignored(each)) is not None:
                aside.append(found)
                suspicion.answered(found, is_taken=False)
    assert sorted(aside) == sorted(bad)


def refusals(suspicion: Suspicion, row: Row) -> int:
    """How many sessions this row must end before it is put aside."""
    count = 1
    while suspicion.refused([row], is_explicit=True) is None:
        count += 1
    suspicion.answered(row, is_taken=False)
    return count


def test_a_platform_that_takes_nothing_at_all_does_not_eat_the_alarms() -> None:
    """While nothing else is taken each further row needs twice the refusals, up to a bound; one that is taken proves
    that the platform works, and the next bad row is found as fast as ever."""
    suspicion = Suspicion()
    counts = [refusals(suspicion, Row(Lane.ALARM, seq)) for seq in range(1, 9)]
    assert counts == [24, 48, 96, 192, 384, 768, 768, 768]
    suspicion.answered(Row(Lane.ALARM, 9))
    assert [refusals(suspicion, Row(Lane.ALARM, seq)) for seq in (10, 11)] == [6, 12]
