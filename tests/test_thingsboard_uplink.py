"""The ThingsBoard uplink at work: devices before their data, rows settled at PUBACK, calls answered, limits kept."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cloud_bridge import pace
from gateway.model import Lane, Reading
from gateway.mqtt_link import LinkError
from tests.support_bridge import START, Box, Hangup, Packet, bridging, mosquitto, stand_in, until
from tests.support_thingsboard import CABINET, DOOR, SMOKE, ear, house, name, pumping, up

RPC = "v1/gateway/rpc"
TELEMETRY = "v1/gateway/telemetry"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of these tests are a tenth: what happens after them is the subject."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)


def numbers(packets: list[Packet]) -> list[int]:
    """Values of the cabinet's first socket in order of arrival."""
    found = []
    for each in packets:
        if each.topic == TELEMETRY:
            for chunk in orjson.loads(each.payload).get(name(CABINET), ()):
                found += [int(chunk["values"]["power.1"])] if "power.1" in chunk["values"] else []
    return found


def is_value(packet: Packet, number: int) -> bool:
    return number in numbers([packet])


async def test_everything_arrives_in_order_with_the_alarms_first(box: Box, tmp_path: Path) -> None:
    """After an outage the alarms come before any telemetry, then every reading, at its first instant."""
    box.readings(300, each=10)
    box.alarms(301, 301)
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with bridging(house(tmp_path, up(broker.port))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
        told = [each.body for each in heard.said if each.topic == TELEMETRY]
    assert [list(each) for each in told[:2]] == [[name(SMOKE)]] * 2
    chunks = [chunk for each in told[2:] for chunk in each[name(CABINET)]]
    found = [(chunk["ts"], chunk["values"]["power.1"]) for chunk in chunks]
    found = [*dict.fromkeys(reversed(found))][::-1]  # the newest values may have gone ahead of the history
    assert found == [(int(START.timestamp() * 1000) + each, each) for each in range(3000)]


async def test_devices_are_connected_again_in_every_session_before_anything_else(box: Box, tmp_path: Path) -> None:
    """T6: whatever is said of a device comes after its connect of that session; those that are silent follow."""
    starts: list[int] = []

    def answer(packet: Packet) -> bool:
        if packet.topic == "v1/devices/me/attributes":
            starts.append(len(cloud.published))
        if is_value(packet, 5) and len(starts) < 3:
            raise Hangup
        return True

    box.readings(6)
    box.alarms(301)
    async with stand_in(answer) as cloud, pumping(house(tmp_path), cloud.port):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        await until(lambda: _connected(cloud.published[starts[-1] :]) == {SMOKE, CABINET, DOOR}, "all devices")
    assert len(starts) == 3
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        known: set[str] = set()
        for each in cloud.published[start:end]:
            body = orjson.loads(each.payload)
            if each.topic == "v1/gateway/connect":
                known.add(body["device"])
            elif each.topic in {TELEMETRY, "v1/gateway/attributes"}:
                assert set(body) <= known


def _connected(packets: list[Packet]) -> set[str]:
    bodies = [orjson.loads(each.payload) for each in packets if each.topic == "v1/gateway/connect"]
    return {each["device"].partition("/")[2] for each in bodies}


async def test_devices_that_travel_together_are_all_connected_before(box: Box, tmp_path: Path) -> None:
    """A message of several devices comes after the connect of each of them, and is settled as any other."""
    box.append([Reading(f"{each}/x", 1, START, START) for each in (SMOKE, CABINET, DOOR)])
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port, devices_per_message=10):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            await until(lambda: heard.of(TELEMETRY), "the message")
        (told,) = heard.of(TELEMETRY)
        before = heard.said[: [each.topic for each in heard.said].index(TELEMETRY)]
    assert set(told) == {each.body["device"] for each in before if each.topic == "v1/gateway/connect"}
    assert len(told) == 3


async def test_a_device_that_is_lost_is_disconnected_and_comes_back(box: Box, tmp_path: Path) -> None:
    """The platform shows a device as its gateway sees it: gone after the reading that says so, back with the next."""
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port):
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "the descriptions")
            for is_online in (False, True):
                box.append([Reading(f"{DOOR}/online", is_online, START, START)])
                await until(lambda: box.settled("cloud") == box.last(), "settled")
        of_door = [each.topic.rpartition("/")[2] for each in heard.said if name(DOOR) in str(each.body)]
    assert of_door == ["connect", "attributes", "telemetry", "disconnect", "connect", "telemetry"]


async def test_a_withheld_puback_settles_nothing_and_the_same_rows_come_again(box: Box, tmp_path: Path) -> None:
    """T2: a platform that takes data and never acknowledges it: the row stays, and comes again byte for byte."""
    box.readings(3)
    box.alarms(301)

    def answer(packet: Packet) -> bool:
        return packet.topic != TELEMETRY

    async with stand_in(answer) as cloud, pumping(house(tmp_path), cloud.port, answer=2):
        await until(lambda: cloud.sessions >= 3, "another session")
        assert box.settled("cloud") == {Lane.ALARM: 0, Lane.TELEMETRY: 0}
        sent = [each.payload for each in cloud.published if each.topic == TELEMETRY]
        assert sent[:4] == sent[4:8]
        await until(lambda: "not answered" in str(box.status("cloud").get("error")), "the status")


async def test_a_row_that_ends_the_session_is_put_aside_and_no_other(box: Box, tmp_path: Path) -> None:
    """T3: the platform closes the session at one bad row: it is kept aside and counted, the stream goes on."""
    box.readings(40)

    def answer(packet: Packet) -> bool:
        if is_value(packet, 17):
            raise Hangup
        return True

    async with stand_in(answer) as cloud, pumping(house(tmp_path), cloud.port):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert box.rejected("cloud") == 1
    assert set(numbers(cloud.published)) == set(range(40))


async def test_a_row_refused_with_a_reason_is_put_aside_and_no_other(box: Box, tmp_path: Path) -> None:
    """T3 over MQTT 5: payload format invalid (0x99) puts the row aside, quota exceeded (0x97) blames none."""
    box.readings(20)
    quota = [9]

    def answer(packet: Packet) -> bool | int:
        if is_value(packet, 7):
            return 0x99
        if quota and is_value(packet, quota[0]):
            quota.clear()
            return 0x97
        return True

    async with stand_in(answer, 100) as cloud, pumping(house(tmp_path), cloud.port):
        await until(lambda: box.settled("cloud") == box.last(), "settled", 60)
    assert box.rejected("cloud") == 1
    assert set(numbers(cloud.published)) == set(range(20))


async def test_a_device_that_ends_the_session_costs_no_row(box: Box, tmp_path: Path) -> None:
    """The platform closes the session at the introduction of one device: rows of all others are settled, none lost."""

    def answer(packet: Packet) -> bool:
        if packet.topic == "v1/gateway/connect" and name(DOOR).encode() in packet.payload:
            raise Hangup
        return True

    async with stand_in(answer) as cloud, pumping(house(tmp_path), cloud.port) as uplink:
        box.readings(20)
        box.alarms(301)
        await until(lambda: uplink.counts["devices_refused"] == 1, "the device is found")
        box.readings(20, start=20)
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        sessions = cloud.sessions
        box.readings(20, start=40)
        await until(lambda: box.settled("cloud") == box.last(), "settled again")
    assert cloud.sessions == sessions
    assert box.rejected("cloud") == 0


async def test_a_row_is_blamed_only_where_nothing_else_may_have_ended_the_session(box: Box, tmp_path: Path) -> None:
    """A session that ends while a device is introduced says nothing about the row beside it; later it does."""
    bad = [f'"{name(DOOR)}"'.encode()]

    def answer(packet: Packet) -> bool:
        if packet.topic == TELEMETRY or (bad and bad[0] in packet.payload):
            raise Hangup
        return True

    async with stand_in(answer) as cloud, pumping(house(tmp_path), cloud.port) as uplink:
        await until(lambda: uplink._session.reason, "the end of the session")
        assert not uplink._failure(LinkError("")).is_refusal
        bad.clear()
        await until(lambda: _connected(cloud.published) == {SMOKE, CABINET, DOOR}, "another session")
        await until(lambda: not uplink._devices._introduced and not uplink._session.reason, "all are introduced")
        box.readings(1)
        await until(lambda: uplink._session.reason, "the end of that")
        assert uplink._failure(LinkError("")).is_refusal


async def test_newest_values_that_end_the_session_cost_no_row_and_are_withheld(box: Box, tmp_path: Path) -> None:
    """Newest values are a favour: where they may have ended a session no row is blamed, and they stay away."""
    bad = [[f"{CABINET}/power.1", 99, 1, 1, "good"]]

    def answer(packet: Packet) -> bool:
        if is_value(packet, 99):
            raise Hangup
        return True

    async with stand_in(answer) as cloud, pumping(house(tmp_path), cloud.port) as uplink:
        await until(lambda: _connected(cloud.published) == {SMOKE, CABINET, DOOR}, "a session")
        uplink.newest(bad, 1)
        await until(lambda: cloud.sessions == 2, "the next session")
        box.readings(20)
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        uplink.newest(bad, 2)
        assert uplink.counts["newest_withheld"] == 1
    assert cloud.sessions == 2
    assert box.rejected("cloud") == 0


async def test_newest_values_look_as_those_of_the_history(box: Box, tmp_path: Path) -> None:
    """The newest values are the same messages, at the same instant: the history overwrites them with themselves."""
    at = int(START.timestamp() * 1000)
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port) as uplink:
            uplink.newest([[f"{CABINET}/power.1", 1, at, at, "good"]], 1)  # no session: nothing, and no harm
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            uplink.newest([[f"{CABINET}/power.1", 7, at, at, "good"]], 1)
            uplink.newest([["nonsense"]], 2)
            box.append([Reading(f"{CABINET}/power.1", 7, START, START)])
            await until(lambda: len(heard.of(TELEMETRY)) == 2, "both")
    first, second = heard.of(TELEMETRY)
    assert first == second == {name(CABINET): [{"ts": at, "values": {"power.1": 7}}]}


async def test_an_alarm_overtakes_telemetry_that_waits_for_the_platforms_rate(box: Box, tmp_path: Path) -> None:
    """One message a second is all the platform takes: the alarm does not stand in that queue."""
    with mosquitto(tmp_path) as broker, ear(broker.port) as heard:
        async with pumping(house(tmp_path), broker.port):
            await until(lambda: len(heard.of("v1/gateway/attributes")) == 3, "a session")
            limits = {"maxInflightMessages": 100, "gatewayRateLimits": {"telemetryMessages": "2:1,6:60"}}
            heard.say("v1/devices/me/rpc/response/1", limits)
            box.readings(30)
            await until(lambda: len(heard.of(TELEMETRY)) >= 1, "the first")
            box.alarms(301)
            await until(lambda: box.settled("cloud")[Lane.ALARM] == 1, "the alarm", 5.0)
            assert box.settled("cloud")[Lane.TELEMETRY] < 30
            assert len(heard.of(TELEMETRY)) < 12
