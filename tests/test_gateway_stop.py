"""The gateway as a process that is told to stop, and started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.model import Actor, OperatorRequest, Verb
from gateway.mqtt_link import LinkOptions, MqttLink
from simulators.broker import MosquittoBroker
from simulators.processes import free_port
from tests.support_core import now, until
from tests.support_process import GatewayProcess, Person
from tests.support_receiver import receiver
from tests.support_site import write_site
from tests.test_pipeline import Rig


async def test_a_notice_under_way_at_a_good_stop_is_not_said_again(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """Told to stop while a provider has the notice and has not answered: its answer is awaited and put on record, and
    nobody hears of the same fire twice after the start."""
    async with receiver(pause_s=0.8) as provider:
        web = free_port()
        config = write_site(tmp_path, mosquitto.port, web_port=web)
        hook = tmp_path / "hook"
        hook.write_text(f"http://127.0.0.1:{provider.port}/hook#a-secret-of-sixteen-or-more\n")
        (config / "notify.yaml").write_text(
            f'recipients: {{duty: {{title: 值班室, console: "", webhook: {{file: {hook}}}}}}}\n', encoding="utf-8"
        )
        rules = config / "rules" / "all.yaml"
        rules.write_text(rules.read_text("utf-8").replace("by: [console]", "by: [console, webhook]"), encoding="utf-8")
        gateway = GatewayProcess(config, web)
        devices = MqttLink(LinkOptions("127.0.0.1", mosquitto.port, "devices"))
        link = asyncio.create_task(devices.run())
        try:
            await until(lambda: devices.is_up)
            await asyncio.to_thread(gateway.start)
            await gateway.until_bus_up()
            person = Person(gateway)
            await person.set_up()
            await devices.publish("smoke/SM3-2-03-0301/up", b'{"alarm": true}')
            await until(lambda: len(provider.raw) == 1)
            assert await asyncio.to_thread(gateway.stop) == 0
            await asyncio.to_thread(gateway.start)
            await gateway.until_bus_up()
            await devices.publish(
                "smoke/SM3-2-03-0302/up", b'{"alarm": true}'
            )  # what is still to be said was said first
            await until(lambda: any("0302" in each["alarm"] for each in provider.bodies))
            assert [each["alarm"] for each in provider.bodies if "0301" in each["alarm"]] == [
                "smoke-fire:3-2-03-0301/smoke/alarm:1"
            ]
        finally:
            link.cancel()
            await asyncio.gather(link, return_exceptions=True)
            gateway.end()


async def test_who_asks_while_it_stops_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose answer the disk holds up beyond the stop, and one that comes after it, are refused: they are
    asked again after the start, and do not hang until then."""
    monkeypatch.setattr("gateway.pipeline._LAST_COMMIT_S", 0.05)
    rig = Rig(tmp_path)
    rig.disk.may_go.clear()
    actor = Actor("张师傅", "duty", "console")
    requests = [OperatorRequest(f"r{n}", actor, Verb.TAKE, "a", 1, now().utc, now(10).utc) for n in (1, 2)]
    running = asyncio.create_task(rig.pipeline.run())
    waiting = asyncio.create_task(rig.pipeline.submit(requests[0]))
    await until(lambda: rig.disk.is_waiting)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    late = asyncio.create_task(rig.pipeline.submit(requests[1]))
    await until(lambda: waiting.done() and late.done(), timeout_s=1.0)
    rig.disk.may_go.set()
    for each in (waiting, late):
        with pytest.raises(TimeoutError):
            each.result()
