"""A platform that asks: real brokers, the real gateway and its bridge, a console beside it, kills and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.store.database import GATEWAY_FILE, open_reader
from simulators.broker import MosquittoBroker, Security
from simulators.processes import free_port
from tests.support_core import until
from tests.support_downlink import LOCK, OTHER_LOCK, VALVE, Cloud, Field, write_asked_site
from tests.support_process import GatewayProcess, Person


@dataclass(slots=True)
class House:
    gateway: GatewayProcess
    platform: MosquittoBroker
    cloud: Cloud
    field: Field
    person: Person

    async def fire(self, number: int = 1) -> dict[str, Any]:
        """A fire, as the platform has heard of it."""
        await self.field.say(f"smoke/SM3-2-03-03{number:02d}/up", alarm=True)
        return await self.cloud.until_alarm(lambda each: f"03{number:02d}/smoke" in each["alarm"]["id"])

    async def audit(self) -> list[tuple[str, str, str]]:
        """(actor, action, detail), oldest first."""
        return await asyncio.to_thread(_audit, self.gateway.data)

    def bridge_pid(self) -> int:
        children = Path(f"/proc/{self.gateway.pid}/task/{self.gateway.pid}/children").read_text().split()
        found = [int(each) for each in children if b"bridge" in Path(f"/proc/{each}/cmdline").read_bytes()]
        assert len(found) == 1
        return found[0]

    async def until_listening(self) -> None:
        """The platform hears the bridge: a request gets an answer."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(TimeoutError):
                    await self.cloud.ask(self.cloud.request("take"), 1.0)
                    return


def _audit(data: Path) -> list[tuple[str, str, str]]:
    db = open_reader(str(data), GATEWAY_FILE)
    try:
        return [
            (str(a), str(b), str(c)) for a, b, c in db.execute("SELECT actor, action, detail FROM audit ORDER BY seq")
        ]
    finally:
        db.close()


@pytest.fixture
async def house(mosquitto_with: Callable[[Security], MosquittoBroker], tmp_path: Path) -> AsyncIterator[House]:
    field, platform = mosquitto_with(Security()), mosquitto_with(Security())
    web = free_port()
    gateway = GatewayProcess(write_asked_site(tmp_path, field.port, platform.port, web_port=web), web)
    cloud, devices = Cloud(platform.port), Field(field.port)
    tasks = [await cloud.start(), await devices.start()]
    try:
        await asyncio.to_thread(gateway.start)
        await gateway.until_bus_up()
        person = Person(gateway)
        await person.set_up()
        found = House(gateway, platform, cloud, devices, person)
        await found.until_listening()
        yield found
        await person.client.aclose()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gateway.end()


async def test_of_cloud_and_console_exactly_one_takes_and_both_know_who(house: House) -> None:
    """Twelve fires, each taken by both at once: one winner each; the other is told who; both sides have the same."""
    alarms = [await house.fire(number) for number in range(1, 13)]
    on_screen = {each["id"]: each for each in await house.person.until_alarms(12)}
    winners = []
    for alarm in alarms:
        known = on_screen[alarm["alarm"]["id"]]
        response, answer = await asyncio.gather(
            house.cloud.ask(house.cloud.request("take", alarm)), house.person.act(known, "take")
        )
        assert response["is_accepted"] is not (answer.status_code == 200)
        if response["is_accepted"]:
            assert "platform:li" in answer.json()["detail"]
        else:
            assert response["code"] == "stale_version"
            assert [(each["kind"], each["via"]) for each in response["detail"]["between"]] == [("taken", "console")]
            assert "值班" in response["detail"]["words"]["zh"] or "主管" in response["detail"]["words"]["zh"]
        winners.append(response["is_accepted"])
        taken = await house.cloud.until_alarm(
            lambda each, it=alarm: each["alarm"]["id"] == it["alarm"]["id"] and each["event"]["version"] >= 2  # type: ignore[misc]
        )
        detail = next(each for each in await house.person.alarms() if each["id"] == known["id"])
        assert taken["event"]["actor"]["via"] == ("cloud" if response["is_accepted"] else "console")
        assert taken["event"]["version"] == response["version"] == detail["version"]
        assert detail["taken_by"] == ("platform:li" if response["is_accepted"] else "张师傅")


async def test_a_door_is_opened_once_and_its_end_is_told(house: House) -> None:
    """The result comes back with the readback; the same id again, also after kill -9 of both, opens nothing more."""
    body = house.cloud.request("operate", args={"point": LOCK, "value": "true"}, for_s=60)
    first = await house.cloud.ask(body)
    assert (first["is_accepted"], first["detail"]["outcome"], first["detail"]["readback"]) == (True, "done", True)
    assert house.field.to("L1") == [{"unlock": True}]
    assert (await house.cloud.ask(body))["detail"] == first["detail"]
    os.kill(house.bridge_pid(), signal.SIGKILL)
    await house.until_listening()
    assert (await house.cloud.ask(body))["detail"] == first["detail"]
    await asyncio.to_thread(house.gateway.restart)
    await house.gateway.until_bus_up()
    await house.until_listening()
    again = await house.cloud.ask(body)
    assert (again["detail"]["command"], again["detail"]["outcome"]) == (first["detail"]["command"], "done")
    assert house.field.to("L1") == [{"unlock": True}]
    other = await house.cloud.ask({**body, "args": {"point": LOCK, "value": "false"}})
    assert house.field.to("L1") == [{"unlock": True}], other
    house.field.obeys = False
    failed = await house.cloud.ask(house.cloud.request("operate", args={"point": LOCK, "value": "true"}))
    assert failed["is_accepted"] is True
    assert failed["detail"]["outcome"] in {"unconfirmed", "failed", "expired"}


async def test_killed_in_the_middle_of_an_operation_its_end_is_told_all_the_same(house: House) -> None:
    """kill -9 of the gateway while the door is being opened: after the start the same id hears how it ended (done again
    within its deadline, or expired), and the record has one press."""
    house.field.obeys = False
    body = house.cloud.request("operate", args={"point": LOCK, "value": "true"}, for_s=100)
    await house.cloud.send(body)
    await until(lambda: len(house.field.to("L1")) == 1, 10)
    house.gateway.kill()
    sent = len(house.field.to("L1"))  # more than once where the kill came late: the driver had asked again
    house.field.obeys = True
    await asyncio.to_thread(house.gateway.start)
    await house.gateway.until_bus_up()
    await house.until_listening()
    again = await house.cloud.ask(body)
    assert again["is_accepted"] is True
    assert again["detail"]["outcome"] in {"done", "expired"}
    assert (again["detail"]["outcome"] == "done") is (len(house.field.to("L1")) > sent)
    assert (await house.cloud.ask(body))["detail"] == again["detail"]
    presses = [each for each in await house.audit() if each[1] == "point.operate"]
    assert len(presses) == 1


async def test_what_is_not_allowed_is_refused_and_on_record(house: House) -> None:
    """A verb, a door, a value that the list does not have, a gas valve, something retained: nothing moves."""
    alarm = await house.fire()
    ask, request = house.cloud.ask, house.cloud.request
    assert (await ask(request("verify", alarm, args={"real": "false"})))["code"] == "verb_not_allowed"
    await until(lambda: _has(house.gateway.data, "cloud.refused", "verb_not_allowed"))
    refused = await ask(request("operate", args={"point": OTHER_LOCK, "value": "true"}))
    assert refused["code"] == "point_not_allowed"
    assert "不允许" in refused["detail"]["words"]["zh"]
    assert (await ask(request("operate", args={"point": LOCK, "value": "false"})))["code"] == "not_operable"
    opening = await ask(request("operate", args={"point": VALVE, "value": "false"}))
    assert opening["code"] in {"not_operable", "never_by_software"}
    assert (await ask(request("operate", args={"point": VALVE, "value": "true"})))["detail"]["outcome"] == "done"
    assert house.field.to("V1") == [{"closed": True}]
    old = request("take", alarm, epoch="0")
    assert (await ask(old))["code"] == "invalid"
    assert house.field.to("L1") == house.field.to("L2") == []
    taken = await ask(request("take", alarm))
    assert taken["is_accepted"] is True
    record = await house.audit()
    assert [(actor, action) for actor, action, _ in record if action == "alarm.take"][-1:] == [
        ('["platform:li","duty","cloud"]', "alarm.take")
    ]


def _has(data: Path, action: str, word: str) -> bool:
    return any(each[1] == action and word in each[2] for each in _audit(data))


async def test_late_is_refused_and_never_done(house: House) -> None:
    """Expired, and expiring while the bridge or the gateway is stopped: no door opens, then or later."""
    late = await house.cloud.ask(house.cloud.request("operate", args={"point": LOCK, "value": "true"}, for_s=-1))
    assert late["code"] == "expired"
    for pid in (house.bridge_pid(), house.gateway.pid):
        os.kill(pid, signal.SIGSTOP)
        try:
            body = house.cloud.request("operate", args={"point": LOCK, "value": "true"}, for_s=1.0)
            await house.cloud.send(body)
            await asyncio.sleep(2.0)  # the time during which it stands still is the subject
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda body=body: body["id"] in house.cloud.responses, 15)  # type: ignore[misc]
        assert house.cloud.responses[body["id"]][-1]["code"] in {"expired", "no_answer"}
        await house.until_listening()
    assert house.field.to("L1") == []
    fine = await house.cloud.ask(house.cloud.request("operate", args={"point": LOCK, "value": "true"}))
    assert fine["detail"]["outcome"] == "done"


async def test_while_the_bridge_stands_still_nothing_waits_for_it(house: House) -> None:
    """SIGSTOP of the bridge: a fire is on the screen at once, and what was asked meanwhile is answered after it."""
    pid = house.bridge_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        await house.field.say("smoke/SM3-2-03-0305/up", alarm=True)
        async with asyncio.timeout(1.0):
            await house.person.until_alarms(1)
    finally:
        os.kill(pid, signal.SIGCONT)
    alarm = await house.cloud.until_alarm(lambda each: "0305" in each["alarm"]["id"])
    await house.until_listening()
    assert (await house.cloud.ask(house.cloud.request("take", alarm)))["is_accepted"] is True


async def test_after_a_partition_the_platform_catches_up_in_order(house: House) -> None:
    """The platform's broker is away while the desk handles a fire: a request by the old version is refused with all
    that was done, and the platform ends with the same state, event by event in order."""
    alarm = await house.fire()
    (known,) = await house.person.until_alarms(1)
    house.platform.kill()
    assert (await house.person.act(known, "take")).status_code == 200
    (known,) = await house.person.alarms()
    assert (await house.person.act(known, "verify", real=False)).status_code == 200
    house.platform.start()
    cloud = Cloud(house.platform.port, "cloud again")
    task = await cloud.start()
    try:
        here = House(house.gateway, house.platform, cloud, house.field, house.person)
        await here.until_listening()
        refused = await cloud.ask(cloud.request("take", alarm))
        assert (refused["code"], refused["version"]) == ("stale_version", 3)
        assert [each["kind"] for each in refused["detail"]["between"]] == ["taken", "verified"]
        assert {each["who"] for each in refused["detail"]["between"]} == {"***"}  # people's names stay on the box
        newest = await cloud.until_alarm(lambda each: each["event"]["version"] == 3)
        versions = [each["event"]["version"] for each in cloud.events if each["event"]["alarm_id"] == known["id"]]
        assert versions == sorted(versions)
        assert newest["alarm"]["handling"] == "handling"
        closed = await cloud.ask(cloud.request("close", newest, args={"outcome": "误报", "cause": "油烟"}))
        assert closed["is_accepted"] is True
        (known,) = await house.person.alarms()
        assert (known["handling"], known["version"]) == ("closed", closed["version"])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_flood_of_requests_delays_no_fire(house: House) -> None:
    """A thousand requests at once: at most so many a second are carried, and a fire in the middle is there at once."""
    alarm = await house.fire(1)
    flood = [house.cloud.request("note", alarm, args={"text": f"n{each}"}) for each in range(1000)]
    for each in flood:
        house.cloud.link.publish("shouwang/gw1/request", _json(each), 1)
    await house.field.say("smoke/SM3-2-03-0302/up", alarm=True)
    async with asyncio.timeout(1.0):
        await house.person.until_alarms(2)
    await house.cloud.until_alarm(lambda each: "0302" in each["alarm"]["id"], 3.0)
    await until(lambda: sum(map(len, house.cloud.responses.values())) > 20, 15)
    codes = {each["code"] for said in house.cloud.responses.values() for each in said}
    assert "too_many" in codes or "busy" in codes
    await asyncio.sleep(1.1)  # a second of the rate
    newest = house.cloud.alarms[alarm["alarm"]["id"]]
    assert (await house.cloud.ask(house.cloud.request("silence", newest)))["code"] != "too_many"


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
