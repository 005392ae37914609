"""Report on change and privacy in real processes: what the platform has in the end, over a kill -9."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import orjson
import pytest

from gateway.store import reports
from gateway.store.database import GATEWAY_FILE, open_reader
from simulators.broker import MosquittoBroker, Security
from simulators.processes import free_port
from tests.support_core import until
from tests.support_process import GatewayProcess, Person
from tests.support_site import write_site
from tests.test_gateway import Plant

_LONG_S = 30.0


def _held(data: Path) -> list[object]:
    db = open_reader(str(data), GATEWAY_FILE)
    try:
        return [each.value for each in reports.read(db)]
    finally:
        db.close()


def _kinds(plant: Plant) -> list[object]:
    events = [each["event"] for each in plant.cloud if "event" in each]
    return [each["kind"] for each in events if isinstance(each, dict)]


@pytest.fixture
async def plant(mosquitto_with: Callable[[Security], MosquittoBroker], tmp_path: Path) -> AsyncIterator[Plant]:
    field, platform, web = mosquitto_with(Security()), mosquitto_with(Security()), free_port()
    uplinks = f"    platform: {{type: mqtt, host: 127.0.0.1, port: {platform.port}}}\n"
    config = write_site(tmp_path, field.port, web_port=web, uplinks=uplinks)
    profile = config / "profiles" / "smoke.yaml"
    text = profile.read_text("utf-8").replace("range: [-40, 125]", "report: {deadband: 0.5, min: 1h}")
    assert "report" in text
    profile.write_text(text, "utf-8")
    found = Plant(field, platform, GatewayProcess(config, web))
    tasks = [asyncio.create_task(found.device.run()), asyncio.create_task(found.cloud_link.run())]
    await until(lambda: found.device.is_up and found.cloud_link.is_up)
    await found.cloud_link.subscribe([("shouwang/#", 1)])
    await asyncio.to_thread(found.gateway.start)
    await found.gateway.until_bus_up()
    try:
        yield found
    finally:
        found.gateway.end()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_last_change_reaches_the_platform_although_the_gateway_was_killed(
    plant: Plant, tmp_path: Path
) -> None:
    """Of 20.0, 20.1, 20.4, 31.5 the first goes up, the last is held; after kill -9 it is sent, unasked."""
    for value in (20.0, 20.1, 20.4, 31.5):
        await plant.say("smoke/SM3-2-03-0301/up", temp=value)
    await until(lambda: plant.values() == [20.0] and _held(tmp_path / "data") == [31.5], _LONG_S)
    await plant.gateway.until_bus_up()
    async with asyncio.timeout(_LONG_S), httpx.AsyncClient() as client:  # counted at the next housekeeping
        while "shouwang_readings_saved_total 2.0" not in (await client.get(f"{plant.gateway.url}/metrics")).text:
            await asyncio.sleep(0.05)
    plant.gateway.kill()
    await asyncio.to_thread(plant.gateway.start)
    await until(lambda: plant.values() == [20.0, 31.5], _LONG_S)
    await until(lambda: _held(tmp_path / "data") == [], _LONG_S)


async def test_rules_see_every_reading_and_names_stay_in_the_box(plant: Plant) -> None:
    """A temperature that is held raises its alarm at once; the cloud has the alarm and nobody's name."""
    person = Person(plant.gateway)
    await person.set_up()
    for value in (20.0, 80.0):
        await plant.say("smoke/SM3-2-03-0301/up", temp=value)
    (alarm,) = await person.until_alarms(1)
    assert (await person.act(alarm, "take")).status_code == 200
    (alarm,) = await person.alarms()
    assert (await person.act(alarm, "note", text="王奶奶在做饭,电话 13800001111")).status_code == 200
    await until(lambda: _kinds(plant) == ["raised", "taken", "noted"], _LONG_S)
    said = orjson.dumps(plant.cloud).decode()
    assert all(word not in said for word in ("张师傅", "王奶奶", "13800001111"))
    assert "3-2-03-0301" in said
    await until(lambda: plant.values() == [20.0], _LONG_S)  # alarms pass telemetry, which gathers first
