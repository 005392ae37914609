"""The gateway as a whole: a real process between a real broker, a real platform and a person, killed at will."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gateway.mqtt_link import LinkOptions, Message, MqttLink
from simulators.broker import MosquittoBroker, Security
from simulators.processes import free_port
from tests.support_core import until
from tests.support_process import GatewayProcess, Person
from tests.support_site import write_site


class Plant:
    """The community around one gateway."""

    def __init__(self, field: MosquittoBroker, platform: MosquittoBroker, gateway: GatewayProcess) -> None:
        self.field = field
        self.platform = platform
        self.gateway = gateway
        self.settings: list[Message] = []
        self.cloud: list[dict[str, object]] = []
        self.device = MqttLink(LinkOptions("127.0.0.1", field.port, "devices"), on_message=self.settings.append)
        self.cloud_link = MqttLink(
            LinkOptions("127.0.0.1", platform.port, "cloud", clean_session=False), on_message=self._cloud_got
        )

    def _cloud_got(self, message: Message) -> None:
        if not message.topic.endswith("/state"):
            self.cloud.append({"topic": message.topic, **json.loads(message.payload)})
        self.cloud_link.ack(message)

    async def say(self, topic: str, **body: object) -> None:
        """A device's QoS 1 message; returns when the broker has it."""
        await self.device.publish(topic, json.dumps(body).encode())

    def raised(self) -> list[str]:
        """Ids of the alarm events `raised` that the cloud has, one for each delivery."""
        return [str(each["id"]) for each in self.cloud if str(each["topic"]).endswith("/alarm") and _is_raised(each)]

    def values(self) -> list[object]:
        """Temperatures the cloud has, in order of arrival, each message id once."""
        seen: dict[str, list[object]] = {}
        for each in self.cloud:
            if str(each["topic"]).endswith("/telemetry"):
                rows = each["r"]
                assert isinstance(rows, list)
                seen[str(each["id"])] = [row[1] for row in rows if row[0].endswith("/temp")]
        return [value for values in seen.values() for value in values]


def _is_raised(message: dict[str, object]) -> bool:
    event = message["event"]
    return isinstance(event, dict) and event["kind"] == "raised"


@pytest.fixture
def gateway_process(
    mosquitto_with: Callable[[Security], MosquittoBroker], tmp_path: Path
) -> Iterator[tuple[MosquittoBroker, MosquittoBroker, GatewayProcess]]:
    field, platform = mosquitto_with(Security()), mosquitto_with(Security())
    web = free_port()
    uplinks = f"    platform: {{type: mqtt, host: 127.0.0.1, port: {platform.port}}}\n"
    gateway = GatewayProcess(write_site(tmp_path, field.port, web_port=web, uplinks=uplinks), web)
    try:
        yield field, platform, gateway
    finally:
        gateway.end()


@pytest.fixture
async def plant(gateway_process: tuple[MosquittoBroker, MosquittoBroker, GatewayProcess]) -> AsyncIterator[Plant]:
    plant = Plant(*gateway_process)
    tasks = [asyncio.create_task(plant.device.run()), asyncio.create_task(plant.cloud_link.run())]
    await until(lambda: plant.device.is_up and plant.cloud_link.is_up)
    await plant.device.subscribe([("siren/+/set", 1)])
    await plant.cloud_link.subscribe([("shouwang/#", 1)])
    await asyncio.to_thread(plant.gateway.start)
    await plant.gateway.until_bus_up()
    try:
        yield plant
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_from_smoke_to_close(plant: Plant) -> None:
    """A fire sounds its siren, is on the list, goes to the cloud, and is handled verb by verb with its refusals."""
    person = Person(plant.gateway)
    await person.set_up()
    await plant.say("smoke/SM3-2-03-0301/up", alarm=True)
    await until(lambda: len(plant.settings) == 1)
    assert plant.settings[0].topic == "siren/SR3-2-03-0301/set"
    await plant.say("siren/SR3-2-03-0301/up", on=True)
    (alarm,) = await person.until_alarms(1)
    assert (alarm["class"], alarm["device"], alarm["handling"]) == ("fire", "3-2-03-0301/smoke", "new")
    refused = await person.act(alarm, "reset")
    assert refused.status_code == 409
    assert (await person.act(alarm, "take")).status_code == 200
    stale = await person.act(alarm, "take")
    assert stale.status_code == 409
    assert "张师傅" in stale.text
    (alarm,) = await person.alarms()
    assert (await person.act(alarm, "verify", real=False)).status_code == 200
    (alarm,) = await person.alarms()
    assert (await person.act(alarm, "close", outcome="误报", cause="做饭油烟")).status_code == 200
    (alarm,) = await person.alarms()
    refused = await person.act(alarm, "reset")
    assert refused.status_code == 409
    assert "仍在报警" in refused.text
    await until(lambda: any(_kind(each) == "closed" for each in plant.cloud))
    assert plant.raised() == ["smoke-fire:3-2-03-0301/smoke/alarm:1#1"]


async def test_who_presses_is_answered_within_a_second_and_the_desk_within_three(plant: Plant) -> None:
    """The lamp of the button says 已收到 as soon as the call is decided; the desk has the call on its list."""
    person = Person(plant.gateway)
    await person.set_up()
    await plant.device.subscribe([("zigbee2mqtt/B1/set", 1)])
    async with asyncio.timeout(3.0):
        async with asyncio.timeout(1.0):
            await plant.say("zigbee2mqtt/B1", action="emergency")
            await until(lambda: len(plant.settings) > 0)
        (alarm,) = await person.until_alarms(1)
    assert (plant.settings[0].topic, json.loads(plant.settings[0].payload)) == ("zigbee2mqtt/B1/set", {"lamp": True})
    assert (alarm["class"], alarm["handling"]) == ("sos", "new")


def _kind(message: dict[str, object]) -> object:
    event = message.get("event")
    return event["kind"] if isinstance(event, dict) else None


async def test_kill_9_loses_and_repeats_nothing(plant: Plant) -> None:
    """Killed again and again under load: every reading the broker took and every alarm is at the cloud, alarms once,
    readings once and in order."""
    count = 0
    for round_ in range(4):
        for _ in range(150):
            await plant.say("smoke/SM3-2-03-0301/up", temp=count / 100)
            count += 1
        await plant.say(f"smoke/SM3-2-03-03{round_ + 2:02d}/up", alarm=True)
        plant.gateway.kill()
        await plant.say("smoke/SM3-2-03-0301/up", temp=count / 100)  # while nobody is there
        count += 1
        await asyncio.to_thread(plant.gateway.start)
    await until(lambda: len(plant.values()) >= count and len(set(plant.raised())) >= 4, 60)
    assert plant.values() == [n / 100 for n in range(count)]
    assert sorted(set(plant.raised())) == [f"smoke-fire:3-2-03-03{n + 2:02d}/smoke/alarm:1#1" for n in range(4)]


async def test_an_open_alarm_is_there_after_kill_9(plant: Plant) -> None:
    """What people had done to an alarm is remembered; it is marked unconfirmed until its point reports again."""
    person = Person(plant.gateway)
    await person.set_up()
    await plant.say("smoke/SM3-2-03-0301/up", alarm=True)
    (alarm,) = await person.until_alarms(1)
    await person.act(alarm, "take")
    await asyncio.to_thread(plant.gateway.restart)
    (again,) = await person.alarms()
    assert (again["id"], again["handling"], again["taken_by"]) == (alarm["id"], "taken", "张师傅")
    assert again["is_unconfirmed"] is True
    await plant.say("smoke/SM3-2-03-0301/up", alarm=True)
    async with asyncio.timeout(5):
        while (await person.alarms())[0]["is_unconfirmed"]:
            await asyncio.sleep(0.02)
    await until(lambda: set(plant.raised()) == {f"{alarm['id']}#1"})


async def test_a_disabled_detector_stays_so_over_kill_9_and_tells_the_truth_when_enabled(plant: Plant) -> None:
    """停用 survives kill -9; enabled again, the smoke that is still there raises its alarm and the siren at once."""
    person = Person(plant.gateway)
    await person.set_up()
    mark = {"mark": "disabled", "scope": "device", "key": "3-2-03-0301/smoke", "reason": "装修"}
    answer = await person.client.post("/api/v1/marks", json={**mark, "request_id": "test-mark"})
    assert answer.status_code == 200, answer.text
    await asyncio.to_thread(plant.gateway.restart)
    await plant.gateway.until_bus_up()
    await plant.say("smoke/SM3-2-03-0301/up", alarm=True)
    await plant.say("smoke/SM3-2-03-0302/up", alarm=True)
    (alarm,) = await person.until_alarms(1)
    assert alarm["device"] == "3-2-03-0302/smoke"
    (kept,) = (await person.client.get("/api/v1/marks")).json()["marks"]
    assert (kept["mark"], kept["until"], kept["by"], kept["reason"]) == ("disabled", None, "张师傅", "装修")
    assert (await person.client.get("/api/v1/status")).json()["counts"]["marks"] == 1  # consoles know it too
    lift = {**mark, "request_id": "test-lift"}
    assert (await person.client.post("/api/v1/marks/lift", json=lift)).status_code == 200
    assert "3-2-03-0301/smoke" in {each["device"] for each in await person.alarms()}
    await until(lambda: len(plant.settings) == 2)


async def test_the_siren_sounds_with_the_cloud_gone(plant: Plant) -> None:
    """No platform, no internet: the local rule still acts; the cloud hears of it once when it is back."""
    plant.platform.kill()
    await plant.say("smoke/SM3-2-03-0305/up", alarm=True)
    await until(lambda: len(plant.settings) == 1)


async def test_it_stops_in_good_order(plant: Plant) -> None:
    """SIGTERM ends the gateway and its bridge, with code 0."""
    assert await asyncio.to_thread(plant.gateway.stop) == 0


def test_a_taken_port_is_a_sentence(gateway_process: tuple[MosquittoBroker, MosquittoBroker, GatewayProcess]) -> None:
    """Starting it twice is answered with what to do, not with a traceback."""
    gateway = gateway_process[2]
    with socket.create_server(("127.0.0.1", httpx.URL(gateway.url).port or 0)):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "run", "--config", str(gateway.config)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "已被别的程序占用" in done.stderr
    assert "Traceback" not in done.stderr
