"""The gateway's own devices and groups in a real process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.broker import MosquittoBroker, Security
from simulators.processes import free_port
from tests.support_process import GatewayProcess, Person
from tests.support_site import write_site

RULES = """
rules:
  - rule: device-lost
    title: 设备失联
    when: {point: online, is: false}
    raise: {class: fault, text: 设备失联}
    group: [line, cabinet, building]
  - rule: line-down
    title: 线路中断
    when: {kind: line, point: online, is: false}
    raise: {class: fault, text: 线路断了}
  - rule: clock
    title: 时钟未校准
    when: {kind: gateway, point: time_ok, is: false}
    raise: {class: maintenance, text: 网关时钟未校准}
  - rule: disk
    title: 磁盘
    when: {kind: gateway, point: disk_ok, is: false}
    raise: {class: fault, text: 数据存不进磁盘}
"""


@pytest.fixture
async def plant(
    mosquitto_with: Callable[[Security], MosquittoBroker], tmp_path: Path
) -> AsyncIterator[tuple[MosquittoBroker, GatewayProcess, Person]]:
    field, web = mosquitto_with(Security()), free_port()
    config = write_site(tmp_path, field.port, web_port=web)
    profile = config / "profiles" / "smoke.yaml"  # silent for a second is lost: the sweep looks every five
    profile.write_text(profile.read_text(encoding="utf-8").replace("12h", "1s"), encoding="utf-8")
    (config / "rules" / "own.yaml").write_text(RULES, encoding="utf-8")
    gateway = GatewayProcess(config, web)
    try:
        await asyncio.to_thread(gateway.start)
        await gateway.until_bus_up()
        person = Person(gateway)
        await person.set_up()
        yield field, gateway, person
    finally:
        gateway.end()


async def until_alarms(person: Person, is_so: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The open alarms as soon as ``is_so`` of them."""
    async with asyncio.timeout(20):
        while not is_so(found := await person.alarms()):
            await asyncio.sleep(0.05)
    return found


async def test_a_broker_that_dies_is_an_alarm_of_its_line(
    plant: tuple[MosquittoBroker, GatewayProcess, Person],
) -> None:
    """The line is said within two seconds, by its own name."""
    field, _, person = plant
    field.kill()
    async with asyncio.timeout(2):
        found = await until_alarms(person, lambda found: any(each["rule"] == "line-down" for each in found))
    (line,) = [each for each in found if each["rule"] == "line-down"]
    assert (line["device"], line["place"], line["suppressed_by"]) == ("line/field", "线路 field", "")


async def test_a_building_that_falls_silent_is_one_line_on_the_screen(
    plant: tuple[MosquittoBroker, GatewayProcess, Person],
) -> None:
    """Twenty devices of a building, silent together: recorded each, shown as one; the disk has said that it is well."""
    _, gateway, person = plant

    def are_lost(found: list[dict[str, Any]]) -> bool:
        return sum(str(each["device"]).endswith("/smoke") for each in found) == 20

    found = [each for each in await until_alarms(person, are_lost) if each["rule"] == "device-lost"]
    (group,) = [each for each in found if not each["suppressed_by"]]
    assert group["point"] == "@building:3"
    assert {each["suppressed_by"] for each in found} == {"", group["id"]}
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        metrics = (await client.get("/metrics")).text
    assert "shouwang_alarms_suppressed 20.0" in metrics
    assert "shouwang_disk_free_bytes" in metrics
