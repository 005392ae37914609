"""The Sparkplug uplink and its host: commands, STATE of the primary host, receipts that do not come, the will."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloud_bridge.ask import Answer, Request
from cloud_bridge.selection import Selection
from cloud_bridge.settings import Commands
from cloud_bridge.sparkplug_bdseq import BirthNumber
from cloud_bridge.sparkplug_params import SparkplugParams
from cloud_bridge.sparkplug_uplink import KIND, SparkplugUplink
from cloud_bridge.uplink import Context, UplinkError
from gateway.clock import SystemClock
from gateway.model import Lane, Uplink, Verb
from tests.support_bridge import Box, bridging, device, listening, mosquitto, site, stand_in, until
from tests.support_sparkplug import Host, command, decode, host, nats

SIREN = "3:siren"
DEVICES = (
    device("3", "siren", [("sound", "bool"), ("level", "int")]),
    device("3-1-B1-CP01", "ebike", [("power.1", "int")]),
)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def up(port: int, **more: Any) -> Uplink:
    return Uplink("cloud", "sparkplug", {"host": "127.0.0.1", "port": str(port), **more})


class Desk:
    """The gateway's end of `Ask`: remembers what was asked and gives the answer it was told to."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[Request] = []
        self._answer = answer

    async def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        return self._answer


@contextlib.asynccontextmanager
async def node(port: int, directory: Path, desk: Desk, **more: Any) -> AsyncIterator[SparkplugUplink]:
    """The uplink alone, in an open session."""
    params = SparkplugParams(host="127.0.0.1", port=port, commands=Commands(), **more)
    of = site(directory, devices=DEVICES)
    uplink = KIND.build(Context(of, SystemClock(), Selection(of), "e1", desk.ask, str(directory)), params)
    assert isinstance(uplink, SparkplugUplink)
    await uplink.open()
    try:
        yield uplink
    finally:
        await uplink.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    with mosquitto(tmp_path) as running:
        yield running.port


def outcome(seen: Host) -> Any:
    return seen.live.get(("", "Command/Outcome"))


async def test_a_dcmd_becomes_a_request_and_its_outcome_is_told(broker: int, tmp_path: Path) -> None:
    """By alias or by name: OPERATE of the point, with what is left of its deadline; the outcome comes as NDATA."""
    desk = Desk(Answer(is_accepted=True, detail={"outcome": "done"}))
    with host(broker) as seen:
        async with node(broker, tmp_path, desk):
            await until(lambda: SIREN in seen.alive, "births")
            seen.ask(command(True, alias=seen.alias(SIREN, "sound")), SIREN)
            await until(lambda: outcome(seen) == "done", "the outcome")
            seen.ask(command(-3, name="level"), SIREN)
            await until(lambda: len(desk.asked) == 2, "the second")
    first, second = desk.asked
    assert (first.verb, first.args) == (Verb.OPERATE, {"point": "3/siren/sound", "value": "true"})
    assert second.args == {"point": "3/siren/level", "value": "-3"}
    assert first.expires_in_s is not None
    assert 5 < first.expires_in_s <= 10
    assert not seen.wrong


async def test_the_same_command_twice_is_one_request_and_a_second_press_another(broker: int, tmp_path: Path) -> None:
    """QoS 1 may repeat a command: the id is the same, and the gateway answers a repeat with the first answer."""
    desk = Desk(Answer(is_accepted=True))
    with host(broker) as seen:
        async with node(broker, tmp_path, desk):
            await until(lambda: SIREN in seen.alive, "births")
            now_ms = int(time.time() * 1000)
            for at_ms in (now_ms, now_ms, now_ms + 1):
                seen.ask(command(True, name="sound", at_ms=at_ms), SIREN)
            await until(lambda: len(desk.asked) == 3, "the requests")
    ids = [each.id for each in desk.asked]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("body", "retain", "why"),
    [
        (lambda: command(True, name="sound"), True, "retained"),
        (lambda: command(True, name="sound", at_ms=int(time.time() * 1000) - 60_000), False, "too late"),
        (lambda: command(True, name="sound", at_ms=int(time.time() * 1000) + 60_000), False, "clocks"),
        (lambda: command(True, name="sound")[7:], False, "timestamp"),
        (lambda: command(True, name="valve"), False, "no metric"),
        (lambda: command(True, alias=201_000), False, "no metric"),
        (lambda: command("x" * 300, name="sound"), False, "256"),
        (lambda: b"\xff\x00nonsense", False, "no Sparkplug payload"),
        (lambda: b"\x12\x02\x0a\x00" * 65, False, "64 metrics"),
        (lambda: b"\x00" * 70_000, False, "larger"),
    ],
)
async def test_what_must_not_be_carried_out_is_refused_counted_and_told(
    broker: int, tmp_path: Path, body: Callable[[], bytes], retain: bool, why: str
) -> None:
    """A retained, late, undated, unknown or broken command never reaches the gateway; the host is told why."""
    desk = Desk(Answer(is_accepted=True))
    with host(broker) as seen:
        if retain:
            seen.ask(body(), SIREN, retain=True)
        async with node(broker, tmp_path, desk) as uplink:
            await until(lambda: SIREN in seen.alive, "births")
            if not retain:
                seen.ask(body(), SIREN)
            await until(lambda: "refused" in (outcome(seen) or ""), "the refusal")
            assert why in outcome(seen)
            assert uplink.counts["commands_refused"] == 1
    assert desk.asked == []
    assert not seen.wrong


async def test_a_message_full_of_commands_is_no_way_around_the_pace(broker: int, tmp_path: Path) -> None:
    """Sixty metrics in each of ten messages: a second's worth is asked and answered, the others are counted."""
    desk = Desk(Answer(is_accepted=True))
    until_at = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    asked = {"v": 1, "verb": "take", "alarm": "smoke-fire:p:1", "version": 2, "epoch": "e1", "expires_at": until_at}
    with host(broker) as seen:
        async with node(broker, tmp_path, desk) as uplink:
            await until(lambda: seen.is_node_alive, "birth")
            for message in range(10):
                texts = [orjson.dumps({**asked, "id": f"r{message}-{each}"}).decode() for each in range(60)]
                # messages of protobuf, one behind the other, are one message with the metrics of all
                seen.ask(b"".join(command(each, name="Node Control/Request") for each in texts))
            counts = uplink.counts
            await until(lambda: counts["commands"] + counts["commands_dropped"] > 60, "the flood")
            assert counts["commands"] < 100
            assert counts["commands_dropped"] > 0
    assert not seen.wrong


async def test_alarms_are_taken_by_a_request_of_the_node(broker: int, tmp_path: Path) -> None:
    """Node Control/Request holds request.v1.json; the gateway's refusal comes back with its words and version."""
    desk = Desk(Answer(is_accepted=False, code="stale_version", version=4, detail={"words": {"zh": "李工已接警"}}))
    until_at = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    asked = {"v": 1, "id": "r1", "verb": "take", "alarm": "smoke-fire:p:1", "version": 2, "epoch": "e1"}
    asked |= {"expires_at": until_at, "user": "li"}
    with host(broker) as seen:
        async with node(broker, tmp_path, desk):
            await until(lambda: seen.is_node_alive, "birth")
            seen.ask(command(orjson.dumps(asked).decode(), name="Node Control/Request"))
            await until(lambda: outcome(seen) == "refused: stale_version", "the answer")
            assert (seen.live["", "Command/Version"], seen.live["", "Command/Words"]) == (4, "李工已接警")
            seen.ask(command(orjson.dumps({**asked, "epoch": "e0"}).decode(), name="Node Control/Request"))
            await until(lambda: "epoch" in outcome(seen), "the refusal")
    assert [each[:4] for each in desk.asked] == [("r1", Verb.TAKE, "smoke-fire:p:1", 2)]


async def test_nothing_is_born_before_the_primary_host_is_online(box: Box, tmp_path: Path, broker: int) -> None:
    """tck-id-message-flow-edge-node-birth-publish-phid-wait, -phid-offline: no birth without it; gone, an NDEATH."""
    box.readings(5)
    with host(broker, host_id="scada") as seen:
        seen.state(is_online=False)
        async with bridging(site(tmp_path, up(broker, primary_host="scada", answer="3s"), devices=DEVICES)):
            await until((tmp_path / "bridge.lock").exists, "the bridge")
            with host(broker, host_id="other") as another:
                another.state(is_online=True)
            assert seen.messages == []
            seen.state(is_online=True)
            await until(lambda: seen.is_node_alive, "birth")
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            seen.state(is_online=False)
            await until(lambda: seen.verbs().count("NDEATH") == 1, "NDEATH")
            assert box.settled("cloud") == box.last()
            box.readings(5, start=5)
            seen.state(is_online=True)
            await until(lambda: box.settled("cloud") == box.last(), "settled again")
    assert not seen.wrong
    assert [each.payload.metrics[0].value for each in seen.of("NBIRTH")] == [0, 1]


async def test_a_late_word_of_the_host_counts_for_nothing(broker: int, tmp_path: Path) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-offline-timestamp: an older offline is not believed."""
    desk = Desk(Answer(is_accepted=True))
    with host(broker, host_id="scada") as seen:
        seen.state(is_online=True)
        async with node(broker, tmp_path, desk, primary_host="scada"):
            seen.raw("spBv1.0/STATE/scada", orjson.dumps({"online": False, "timestamp": 1}))
            seen.raw("spBv1.0/STATE/scada", b"OFFLINE")
            seen.rebirth()
            await until(lambda: seen.verbs().count("NBIRTH") == 2, "still there")
            assert "NDEATH" not in seen.verbs()
        await until(lambda: seen.verbs()[-1] == "NDEATH", "the farewell")


async def test_a_primary_host_that_goes_offline_blames_no_row(broker: int, tmp_path: Path) -> None:
    """It is we who leave then: a row that was under way again and again when that happened must not be put aside."""
    with host(broker, host_id="scada") as seen:
        seen.state(is_online=True)
        async with node(broker, tmp_path, Desk(Answer(is_accepted=True)), primary_host="scada") as uplink:
            seen.state(is_online=False)
            error = await asyncio.wait_for(uplink.ended(), 20)
    assert "scada is offline" in str(error)
    assert not error.is_refusal


async def test_strict_sends_qos_0_and_settles_at_the_state_of_the_host(box: Box, tmp_path: Path, broker: int) -> None:
    """tck-id-topics-nbirth-mqtt and its like: everything QoS 0; without the host's STATE nothing is settled."""
    box.readings(200)
    box.alarms(1)
    with host(broker, host_id="scada") as seen:
        seen.state(is_online=True)
        async with bridging(site(tmp_path, up(broker, primary_host="scada", strict="true"), devices=DEVICES)):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
        await until(lambda: not seen.is_node_alive, "the farewell")
    assert {each.qos for each in seen.messages if each.verb != "NDEATH"} == {0}
    charger = seen.history("3-1-B1-CP01:ebike", "power/1")
    assert charger[:200] == list(range(200))
    assert not seen.wrong


async def test_strict_settles_nothing_while_no_host_is_there(broker: int, tmp_path: Path) -> None:
    """A broker that takes everything and a host that is not there: QoS 0 would lose it all, so nothing is open."""
    desk = Desk(Answer(is_accepted=True))
    params = SparkplugParams(host="127.0.0.1", port=broker, primary_host="scada", strict=True)
    of = site(tmp_path, devices=DEVICES)
    uplink = KIND.build(Context(of, SystemClock(), Selection(of), "e1", desk.ask, str(tmp_path)), params)
    with host(broker) as seen:
        opening = asyncio.create_task(uplink.open())
        seen.raw("spBv1.0/STATE/scada", b"{}")
        done, _ = await asyncio.wait([opening], timeout=1.0)
        assert not done
        assert seen.messages == []
        opening.cancel()
        await asyncio.wait([opening])
        await uplink.close()


async def test_a_withheld_puback_settles_nothing_and_the_row_comes_again(box: Box, tmp_path: Path) -> None:
    """A platform that takes and never acknowledges costs nothing but time; births are acknowledged, data is not."""
    box.readings(3)
    is_withheld = True
    async with (
        stand_in(lambda packet: not (is_withheld and "/DDATA/" in packet.topic)) as cloud,
        bridging(site(tmp_path, up(cloud.port, answer="2s"), devices=DEVICES)),
    ):
        await until(lambda: cloud.sessions >= 2, "given up", 40)
        assert box.settled("cloud")[Lane.TELEMETRY] == 0
        is_withheld = False
        await until(lambda: box.settled("cloud") == box.last(), "settled", 40)
    data = [each.payload for each in cloud.published if "/DDATA/" in each.topic]
    values = [metric.value for each in data for metric in decode(each).metrics if metric.is_historical]
    assert values[:6] == [0, 1, 2, 0, 1, 2]


async def test_the_will_is_the_death_of_this_birth(tmp_path: Path) -> None:
    """tck-id-message-flow-edge-node-birth-publish-will-message-*: NDEATH, QoS 1, not retained, clean session, bdSeq."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.close()

    async with listening(serve) as port:
        params = SparkplugParams(host="127.0.0.1", port=port)
        of = site(tmp_path, devices=DEVICES)
        context = Context(of, SystemClock(), Selection(of), data_dir=str(tmp_path))
        for _ in range(2):  # as after a restart: the number goes on
            uplink = KIND.build(context, params)
            with pytest.raises(UplinkError):
                await uplink.open()
            await uplink.close()
    for number, packet in enumerate(heard):
        flags, topic = packet[9], packet.index(b"spBv1.0/shouwang/NDEATH/gw-1")
        assert flags & 0b0011_1110 == 0b0000_1110  # will, QoS 1, no retain, clean session
        size = int.from_bytes(packet[topic + 28 : topic + 30])
        death = decode(packet[topic + 30 : topic + 30 + size])
        assert [(each.name, each.datatype, each.value) for each in death.metrics] == [("bdSeq", 4, number)]


async def test_the_number_of_the_birth_goes_on_over_restarts(tmp_path: Path) -> None:
    """From 0 to 255 and again from 0; a file that can't be read or written stops nothing."""
    found = []
    for _ in range(2):
        number = BirthNumber(str(tmp_path), "a")
        found += [await number.next() for _ in range(130)]
    assert found == [each % 256 for each in range(260)]
    assert await BirthNumber(str(tmp_path), "b").next() == 0
    assert [await BirthNumber("/proc/none", "a").next() for _ in range(2)] == [0, 0]


async def test_a_broker_that_cannot_carry_the_namespace_loses_nothing(box: Box, tmp_path: Path) -> None:
    """nats-server before 2.10 refuses the dot in spBv1.0 (its issue 3482): the status says down, nothing is settled."""
    with nats(tmp_path) as (port, version):
        if version >= (2, 10):
            pytest.skip("this nats-server takes dots")
        box.readings(3)
        async with bridging(site(tmp_path, up(port), devices=DEVICES)):
            await until(lambda: box.status("cloud").get("state") == "down", "the status")
    assert box.settled("cloud")[Lane.TELEMETRY] == 0
    assert box.rejected("cloud") == 0


async def test_a_nats_server_is_a_platform_too(box: Box, tmp_path: Path) -> None:
    """The same through nats-server's MQTT from 2.10: births, alarms, all readings in order, a rebirth, the farewell."""
    with nats(tmp_path) as (port, version):
        if version < (2, 10):
            pytest.skip("nats-server before 2.10 refuses the dot in spBv1.0; Debian 12 has 2.9")
        box.readings(300, each=5)
        box.alarms(1)
        with host(port) as seen:
            async with bridging(site(tmp_path, up(port), devices=DEVICES)):
                await until(lambda: box.settled("cloud") == box.last(), "settled")
                await until(lambda: len(seen.history("3-1-B1-CP01:ebike", "power/1")) >= 1500, "all readings")
                seen.rebirth()
                await until(lambda: seen.verbs().count("NBIRTH") == 2 and SIREN in seen.alive, "a rebirth")
            await until(lambda: not seen.is_node_alive, "the farewell")
        assert seen.history("3-1-B1-CP01:ebike", "power/1")[:1500] == list(range(1500))
        assert not seen.wrong
