"""A broken disk ends in a clear state with alarms kept: the gateway as a process on a database that was damaged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.model import Lane
from gateway.mqtt_link import LinkOptions, MqttLink
from simulators.broker import MosquittoBroker
from simulators.processes import free_port
from tests.support_bridge import Box
from tests.support_broker import need
from tests.support_core import until
from tests.support_process import GatewayProcess, Person
from tests.support_site import write_site
from tests.test_outage_damage import damage

NOBODY = "    cloud: {type: mqtt, host: 127.0.0.1, port: 9}\n"


@pytest.fixture
async def devices(tmp_path: Path) -> AsyncIterator[tuple[MosquittoBroker, MqttLink]]:
    need("mosquitto", is_there=MosquittoBroker.find() is not None)
    broker = MosquittoBroker(None, tmp_path / "mosquitto")
    broker.start()
    link = MqttLink(LinkOptions("127.0.0.1", broker.port, "devices"))
    task = asyncio.create_task(link.run())
    try:
        await until(lambda: link.is_up)
        yield broker, link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        broker.kill()


async def the_alarm(person: Person) -> dict[str, Any]:
    """The one that is open; the page may be away for a moment while the database is mended."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(httpx.TransportError, TimeoutError, AssertionError):
                (found,) = await person.until_alarms(1, 1)
                return found
            await asyncio.sleep(0.05)


async def bus_up(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(httpx.TransportError):
                return await gateway.until_bus_up()
            await asyncio.sleep(0.05)


async def until_said(person: Person, word: str) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if word in (await person.client.get("/healthz")).text:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("lane", "place"), [(Lane.TELEMETRY, 0.5), (Lane.TELEMETRY, 1.0), (Lane.ALARM, 1.0)])
async def test_a_damaged_page_of_the_outbox_takes_no_alarm_away(
    tmp_path: Path, devices: tuple[MosquittoBroker, MqttLink], lane: Lane, place: float
) -> None:
    """With a page of the outbox broken, in its middle or where the next row would go, a fire is shown, the database is
    mended and that is said, and the fire is still there after kill -9."""
    broker, link = devices
    web = free_port()
    gateway = GatewayProcess(write_site(tmp_path, broker.port, web_port=web, uplinks=NOBODY), web)
    try:
        await asyncio.to_thread(gateway.start)
        await gateway.until_bus_up()
        person = Person(gateway)
        await person.set_up()
        gateway.kill()
        box = Box(gateway.data)
        box.readings(1000)
        box.alarms(*range(1, 101))
        box.db.close()
        damage(gateway.data, lane, place)
        await asyncio.to_thread(gateway.start)
        await bus_up(gateway)
        await link.publish("smoke/SM3-2-03-0301/up", b'{"alarm": true}')
        fire = await the_alarm(person)
        if place == 1.0:  # the next row goes there: it is found at once
            await until_said(person, "mended")
        await asyncio.to_thread(gateway.restart)
        again = await the_alarm(person)
        assert again["place"] == fire["place"]
    finally:
        gateway.end()
