"""A ThingsBoard and a Sparkplug host that ask: their own wires, real brokers, the real gateway and its bridge."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from simulators.broker import MosquittoBroker, Security
from simulators.processes import free_port
from tests.support_core import until
from tests.support_downlink import Field, write_asked_site
from tests.support_process import GatewayProcess, Person
from tests.support_sparkplug import Host, command
from tests.support_sparkplug import host as sparkplug_host
from tests.support_thingsboard import Ear, ear

Brokers = Callable[[Security], MosquittoBroker]
SMOKE, DOOR, OTHER, GAS = "3-2-03-0301/smoke", "3-2-01-DOOR/door", "3-2-02-DOOR/door", "3-2-01-GAS/gas-valve"
_RPC = "v1/gateway/rpc"
_WITHIN_S = 20.0


@dataclass(slots=True)
class House:
    """One gateway with one platform's broker."""

    platform: int  # its port
    field: Field
    person: Person
    gateway: GatewayProcess

    async def fire(self) -> dict[str, Any]:
        """A fire, as the console has it."""
        await self.field.say("smoke/SM3-2-03-0301/up", alarm=True)
        (alarm,) = await self.person.until_alarms(1)
        return alarm


@contextlib.asynccontextmanager
async def living(brokers: Brokers, directory: Path, kind: str) -> AsyncIterator[House]:
    field, platform = brokers(Security()), brokers(Security())
    web = free_port()
    gateway = GatewayProcess(write_asked_site(directory, field.port, platform.port, web_port=web, kind=kind), web)
    devices = Field(field.port)
    task = await devices.start()
    try:
        await asyncio.to_thread(gateway.start)
        await gateway.until_bus_up()
        person = Person(gateway)
        await person.set_up()
        yield House(platform.port, devices, person, gateway)
        await person.client.aclose()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gateway.end()


class ThingsBoard:
    """Calls, as its rule chains and dashboards make them."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._numbers = itertools.count(1)

    async def call(self, device: str, method: str, **params: Any) -> dict[str, Any]:
        """Call a device, or "" the gateway itself; its answer."""
        number = next(self._numbers)
        body = {"method": method, "params": params}
        told = {"device": f"gw1/{device}", "data": {"id": number, **body}} if device else body
        topic = _RPC if device else f"v1/devices/me/rpc/request/{number}"
        await asyncio.to_thread(self._ear.say, topic, told)
        await until(lambda: bool(self._answers(device, number)), _WITHIN_S)
        return self._answers(device, number)[-1]

    def _answers(self, device: str, number: int) -> list[dict[str, Any]]:
        if not device:
            return self._ear.of(f"v1/devices/me/rpc/response/{number}")
        return [each["data"] for each in self._ear.of(_RPC) if each.get("id") == number and "data" in each]

    def alarm(self) -> dict[str, Any]:
        """The fire's attribute as it is now."""
        found = [each[f"gw1/{SMOKE}"] for each in self._ear.of("v1/gateway/attributes") if f"gw1/{SMOKE}" in each]
        states = [value for each in found for key, value in each.items() if key.startswith("alarm.")]
        return states[-1] if states else {}


async def test_a_thingsboard_takes_a_fire_opens_a_door_and_no_gas(mosquitto_with: Brokers, tmp_path: Path) -> None:
    """The whole way by its own calls: taken once and told on, a stale version refused with who did what, a door opened
    once whatever is repeated, other doors, gas and what is late refused; and each of it is on record."""
    async with living(mosquitto_with, tmp_path, "thingsboard") as house:
        with ear(house.platform) as heard:
            platform = ThingsBoard(heard)
            await house.fire()
            await until(lambda: bool(platform.alarm()), _WITHIN_S)
            known = platform.alarm()
            named = {"alarm": known["id"], "version": known["version"], "epoch": known["epoch"], "user": "li"}
            taken = await platform.call(SMOKE, "take", **named)
            assert taken["success"] is True, taken
            assert (await house.person.alarms())[0]["taken_by"] == "platform:li"
            await until(lambda: platform.alarm()["version"] == taken["version"], _WITHIN_S)
            stale = await platform.call(SMOKE, "note", **named, text="晚了")
            assert stale["error"] == "stale_version"
            assert [each["kind"] for each in stale["detail"]["between"]] == ["taken"]
            assert (await platform.call(SMOKE, "verify", **named, real=False))["error"] == "verb_not_allowed"
            foreign = await platform.call(DOOR, "take", **named)
            assert foreign["error"] == "invalid"

            for _ in range(2):  # the same id is one request
                opened = await platform.call(DOOR, "operate", point="unlock", value=True, id="open-1")
                assert (opened["success"], opened["detail"]["outcome"]) == (True, "done")
            assert house.field.to("L1") == [{"unlock": True}]
            other = await platform.call(OTHER, "operate", point="unlock", value=True)
            assert other["error"] == "point_not_allowed"
            by_gateway = await platform.call("", "operate", point=f"{OTHER}/unlock", value=True)
            assert by_gateway["error"] == "point_not_allowed"
            assert (await platform.call(GAS, "operate", point="closed", value=False))["error"] in {
                "not_operable",
                "never_by_software",
            }
            late = await platform.call(DOOR, "operate", point="unlock", value=True, timeout=0.001)
            assert late["error"] == "expired"
            kept = await platform.call(DOOR, "operate", point="unlock", value=True, expires_at=_an_hour_ago())
            assert kept["error"] == "expired"
            assert house.field.to("L1") == [{"unlock": True}]
            assert house.field.to("L2") == house.field.to("V1") == []


def _an_hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat()


class Sparkplug:
    """Commands, as a host application gives them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._told = 0
        self._numbers = itertools.count(1)

    async def heard(self) -> dict[str, Any]:
        """The next answer."""
        self._told += 1
        await until(lambda: len(self.host.values("", "Command/Words")) >= self._told, _WITHIN_S)
        names = ("Id", "Accepted", "Outcome", "Version")
        return {name: self.host.values("", f"Command/{name}")[self._told - 1] for name in names}

    async def request(self, verb: str, told: dict[str, Any], *, for_s: float = 10.0, **more: Any) -> dict[str, Any]:
        """An NCMD with a request on an alarm."""
        at = datetime.now(UTC) + timedelta(seconds=for_s)
        event = told["event"]
        body = {"v": 1, "id": f"n{next(self._numbers)}", "verb": verb, "user": "li", "expires_at": at.isoformat()}
        body |= {"alarm": event["alarm_id"], "version": event["version"], "epoch": told["epoch"], **more}
        payload = command(json.dumps(body), name="Node Control/Request")
        await asyncio.to_thread(self.host.ask, payload)
        return await self.heard()

    async def set(self, device: str, name: str, *, is_on: bool, age_s: float = 0.0) -> dict[str, Any]:
        """A DCMD."""
        at_ms = int((time.time() - age_s) * 1000)
        payload = command(is_on, alias=self.host.alias(device, name), at_ms=at_ms)
        await asyncio.to_thread(self.host.ask, payload, device)
        return await self.heard()

    def alarms(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.host.values("", "Alarm/Json")]


async def test_a_sparkplug_host_takes_a_fire_opens_a_door_and_no_gas(mosquitto_with: Brokers, tmp_path: Path) -> None:
    """The whole way by NCMD and DCMD: taken once and told on, a stale version refused, a door opened, other doors, gas,
    what is late and what was sent an hour ago refused."""
    async with living(mosquitto_with, tmp_path, "sparkplug") as house:
        with sparkplug_host(house.platform, node="gw1") as heard:
            platform = Sparkplug(heard)
            heard.rebirth()
            await until(lambda: len(heard.alive) > 20, _WITHIN_S)
            await house.fire()
            await until(lambda: bool(platform.alarms()), _WITHIN_S)
            (known,) = platform.alarms()
            taken = await platform.request("take", known)
            assert taken["Accepted"] is True, taken
            assert (await house.person.alarms())[0]["taken_by"] == "platform:li"
            await until(lambda: platform.alarms()[-1]["event"]["version"] == taken["Version"], _WITHIN_S)
            stale = await platform.request("note", known, args={"text": "晚了"})
            assert stale["Outcome"] == "refused: stale_version"
            late = await platform.request("note", platform.alarms()[-1], args={"text": "晚了"}, for_s=-1)
            assert late["Outcome"] == "refused: expired"

            door, other, gas = (_born(heard, each) for each in (DOOR, OTHER, GAS))
            opened = await platform.set(door, "unlock", is_on=True)
            assert (opened["Accepted"], opened["Outcome"]) == (True, "done")
            assert house.field.to("L1") == [{"unlock": True}]
            assert (await platform.set(other, "unlock", is_on=True))["Outcome"] == "refused: point_not_allowed"
            refused = await platform.set(gas, "closed", is_on=False)
            assert refused["Outcome"] in {"refused: not_operable", "refused: never_by_software"}
            old = await platform.set(door, "unlock", is_on=True, age_s=3600)
            assert old["Accepted"] is False
            assert house.field.to("L1") == [{"unlock": True}]
            assert house.field.to("L2") == house.field.to("V1") == []
            assert heard.wrong == []


def _born(heard: Host, device_id: str) -> str:
    """What a device is called on that wire."""
    return next(each for each in heard.alive if device_id.partition("/")[0] in each)
