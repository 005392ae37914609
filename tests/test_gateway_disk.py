"""The gateway as a process whose disk refuses: it hears, shows, obeys, and loses nothing once there is room again.

The disk is made to refuse by the limit of the size of files (setrlimit(2), RLIMIT_FSIZE): every write fails, that of
its log too.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.mqtt_link import LinkOptions, Message, MqttLink
from simulators.broker import MosquittoBroker
from simulators.processes import free_port
from tests.support_broker import need
from tests.support_core import until
from tests.support_process import GatewayProcess, Person
from tests.support_site import write_site


class SmallBroker(MosquittoBroker):
    """Hands over 20 messages without an acknowledgement: mosquitto as shipped."""

    def _lines(self) -> list[str]:
        return [each.replace("max_inflight_messages 1000", "max_inflight_messages 20") for each in super()._lines()]


class Box:
    """A gateway with its broker and its devices."""

    def __init__(self, broker: MosquittoBroker, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.person = Person(gateway)
        self.settings: list[Message] = []
        self.devices = MqttLink(LinkOptions("127.0.0.1", broker.port, "devices"), on_message=self.settings.append)

    def refuse(self) -> None:
        """Every write of the process fails from now on."""
        resource.prlimit(self.gateway.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def accept(self) -> None:
        """There is room again."""
        resource.prlimit(self.gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    async def until_storing(self, *, is_storing: bool) -> None:
        """Wait until the gateway says so."""
        async with asyncio.timeout(15):
            while ("store" in (await self.person.client.get("/healthz")).text) is is_storing:
                await asyncio.sleep(0.05)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    need("mosquitto", is_there=MosquittoBroker.find() is not None)
    broker = SmallBroker(None, tmp_path / "mosquitto")
    broker.start()
    web = free_port()
    gateway = GatewayProcess(write_site(tmp_path, broker.port, web_port=web), web)
    made = Box(broker, gateway)
    link = asyncio.create_task(made.devices.run())
    try:
        await until(lambda: made.devices.is_up)
        await made.devices.subscribe([("siren/+/set", 1)])
        await asyncio.to_thread(gateway.start)
        await gateway.until_bus_up()
        await made.person.set_up()
        yield made
    finally:
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)
        gateway.end()
        broker.kill()


async def test_a_disk_that_refuses_for_long_makes_nobody_deaf_and_forgets_nothing(box: Box) -> None:
    """With no byte to be written and a broker of 20 messages: telemetry by the hundred, a fire in each of twenty
    flats, a call for help; all are shown and sound, and one is taken. When there is room again all of it is on the
    disk, and there after kill -9."""
    box.refuse()
    for n in range(200):
        await box.devices.publish("smoke/SM3-2-03-0301/up", b'{"temp": %d}' % (n % 40))
    await box.until_storing(is_storing=False)
    for n in range(1, 21):
        await box.devices.publish(f"smoke/SM3-2-03-03{n:02d}/up", b'{"alarm": true}')
        await box.person.until_alarms(n)
    await until(lambda: len({each.topic for each in box.settings}) == 20)
    await box.devices.publish("zigbee2mqtt/B1", b'{"action": "emergency"}')
    alarms = await box.person.until_alarms(21)
    (call,) = [each for each in alarms if each["class"] == "sos"]
    with contextlib.suppress(httpx.TimeoutException):  # the answer waits for the disk, what it does does not
        box.person.client.timeout = httpx.Timeout(0.5)
        await box.person.act(call, "take")
    box.person.client.timeout = httpx.Timeout(10)
    (call,) = [each for each in await box.person.alarms() if each["class"] == "sos"]
    assert call["handling"] == "taken"
    before = {each["id"]: (each["version"], each["handling"]) for each in await box.person.alarms()}
    box.accept()
    await box.until_storing(is_storing=True)
    await asyncio.to_thread(box.gateway.restart)
    after = {each["id"]: (each["version"], each["handling"]) for each in await box.person.alarms()}
    assert after == before
