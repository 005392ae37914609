"""The Sparkplug uplink against real brokers: births, deaths, order, and nothing lost over any interruption.

`Host.wrong` holds every tck-id of Sparkplug 3.0 that a message broke: at the end of each test it is empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.model import Reading, Uplink
from tests.support_bridge import Box, bridging, device, mosquitto, site, until
from tests.support_sparkplug import Host, command, host

CHARGER, METER = "3-1-B1-CP01:ebike", "3-1-B1-M1:meter"
DEVICES = (
    device("3-1-B1-CP01", "ebike", [("power.1", "int"), ("temp", "float")]),
    device("3-1-B1-M1", "meter", [("energy", "float"), ("text", "text")]),
)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def up(port: int, **more: Any) -> Uplink:
    return Uplink("cloud", "sparkplug", {"host": "127.0.0.1", "port": str(port), **more})


@contextlib.contextmanager
def right(seen: Host) -> Iterator[Host]:
    """At the end nothing that came has broken the specification."""
    yield seen
    assert not seen.wrong


def say(box: Box, point: str, value: Any, number: int) -> None:
    at = box.reading(number).at
    box.append([Reading(point, value, at, at)])


async def test_births_come_first_then_alarms_and_every_reading_in_order(box: Box, tmp_path: Path) -> None:
    """After an outage: NBIRTH (seq 0), alarms, DBIRTHs, then each reading once and in order; a farewell at the end."""
    box.readings(300, each=10)
    box.alarms(1, 2, 3)
    with mosquitto(tmp_path) as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port), devices=DEVICES)):
            await until(lambda: len(seen.history(CHARGER, "power/1")) >= 3000, "all readings")
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            assert seen.alive == {CHARGER, METER}
        await until(lambda: not seen.is_node_alive, "the farewell")
    assert seen.history(CHARGER, "power/1")[:3000] == list(range(3000))
    verbs = seen.verbs()
    assert verbs[0] == "NBIRTH"  # tck-id-message-flow-edge-node-birth-publish-connect
    assert verbs[-1] == "NDEATH"  # tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath
    assert [verb for verb in verbs if verb != "DBIRTH"][1:4] == ["NDATA"] * 3
    assert verbs.index("DDATA") > max(at for at, verb in enumerate(verbs) if verb in {"DBIRTH", "NDATA"})


async def test_an_alarm_is_told_as_metrics_of_the_node_and_as_the_published_json(box: Box, tmp_path: Path) -> None:
    """A host without a parser shows the alarm; one with a parser has every field; it is never told as historical."""
    box.alarms(7)
    with mosquitto(tmp_path) as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port), devices=DEVICES)):
            await until(lambda: seen.live.get(("", "Alarm/Id")), "the alarm")
            live = dict(seen.live)
    assert live["", "Alarm/Id"] == "smoke-fire:3-2-03-0007/smoke/alarm:1#1"
    assert (live["", "Alarm/Class"], live["", "Alarm/Place"]) == ("fire", "3-2-03-0301")
    assert '"v":1,"gateway":"gw-1"' in live["", "Alarm/Json"]
    assert not any(each.is_historical for each in seen.of("NDATA")[0].payload.metrics)


async def test_what_had_waited_is_historical_and_the_newest_of_it_is_shown(box: Box, tmp_path: Path) -> None:
    """Values of an outage are flagged, so that no host takes them for now; then the newest is told as live."""
    for number in range(5):
        say(box, "3-1-B1-CP01/ebike/temp", 20.0 + number, number)
    with mosquitto(tmp_path) as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port), devices=DEVICES)):
            await until(lambda: seen.live.get((CHARGER, "temp")) == 24.0, "the newest as live")
            told = list(seen.told[CHARGER, "temp"])
    assert [each.is_historical for each in told] == [True] * 5 + [False]
    assert told[4].timestamp == told[5].timestamp  # the time is that of the measurement, both times


async def test_a_device_that_is_lost_dies_and_is_born_again_when_found(box: Box, tmp_path: Path) -> None:
    """tck-id-operational-behavior-device-ddeath: a lost device has a DDEATH; found again, a DBIRTH with its values."""
    with mosquitto(tmp_path) as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port), devices=DEVICES)):
            await until(lambda: seen.alive == {CHARGER, METER}, "births")
            say(box, "3-1-B1-M1/meter/energy", 1.5, 1)
            say(box, "3-1-B1-M1/meter/online", False, 2)
            await until(lambda: seen.alive == {CHARGER}, "the death")
            seen.rebirth()
            await until(lambda: seen.verbs().count("NBIRTH") == 2 and CHARGER in seen.alive, "a rebirth")
            assert METER not in seen.alive  # who is lost is not announced
            say(box, "3-1-B1-M1/meter/online", True, 3)
            await until(lambda: seen.alive == {CHARGER, METER}, "found")
            await until(lambda: seen.live[METER, "online"], "online")
    births = seen.of("DBIRTH", METER)
    assert [each.value for each in births[-1].payload.metrics if each.name == "energy"] == [1.5]


@pytest.mark.usefixtures("box")
async def test_after_the_farewell_nothing_more_is_said(tmp_path: Path) -> None:
    """A bridge that ends in the middle of its births sends the NDEATH and then nothing: the host would take the rest
    for messages of a node without a birth."""
    many = tuple(device(f"3-1-01-{n:04}", "ebike", [("power", "int")]) for n in range(3000))
    with mosquitto(tmp_path) as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port), devices=many)):
            await until(lambda: "DBIRTH" in seen.verbs(), "births")
        await until(lambda: "NDEATH" in seen.verbs(), "the farewell")
        seen.raw("spBv1.0/shouwang/NDEATH/gw-1", command(0, name="bdSeq"))  # what came before has then been heard
        await until(lambda: seen.verbs().count("NDEATH") > 1, "our own word behind it")
    assert seen.verbs().count("DBIRTH") < len(many)


async def test_a_rebirth_in_the_middle_of_a_replay_costs_nothing(box: Box, tmp_path: Path) -> None:
    """tck-id-operational-behavior-data-commands-rebirth-action-1 to -3: births, the same bdSeq, then on."""
    box.readings(1500, each=5)
    with mosquitto(tmp_path) as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port, rate="300", window="20"), devices=DEVICES)):
            await until(lambda: len(seen.history(CHARGER, "power/1")) > 300, "the replay")
            seen.rebirth()
            await until(lambda: seen.verbs().count("NBIRTH") == 2, "the second NBIRTH")
            await until(lambda: len(seen.of("DBIRTH")) >= 4, "both devices again")
            assert len(seen.history(CHARGER, "power/1")) < 7500
            for _ in range(50):
                seen.rebirth()  # a host that asks like mad
            await until(lambda: box.settled("cloud") == box.last(), "settled", 60)
    values = seen.history(CHARGER, "power/1")
    assert [value for at, value in enumerate(values) if value not in values[:at][-20:]] == list(range(7500))
    assert len({each.payload.metrics[0].value for each in seen.of("NBIRTH")}) == 1
    assert seen.verbs().count("NBIRTH") < 8


async def test_a_broker_killed_in_the_middle_costs_nothing(box: Box, tmp_path: Path) -> None:
    """kill -9 of the platform's broker: a new session with the next bdSeq, and what was not acknowledged again."""
    box.readings(2000)
    with mosquitto(tmp_path, "persistence false") as broker, host(broker.port) as seen, right(seen):
        async with bridging(site(tmp_path, up(broker.port, window="20", rate="800"), devices=DEVICES)):
            await until(lambda: len(seen.history(CHARGER, "power/1")) > 200, "the first readings")
            broker.kill()
            before = seen.history(CHARGER, "power/1")
            seen.is_ready.clear()
            broker.start()
            await until(seen.is_ready.is_set, "the host is back")
            seen.rebirth()  # what was published between the broker's start and our subscription has no receiver
            box.readings(50, start=2000)
            await until(lambda: box.settled("cloud") == box.last(), "settled")
            await until(lambda: 2049 in seen.values(CHARGER, "power/1"), "the last one")
    values = seen.history(CHARGER, "power/1")[len(before) :]
    assert before == list(range(len(before)))
    assert values == sorted(values)
    assert [each.payload.metrics[0].value for each in seen.of("NBIRTH")][:2] == [0, 1]
