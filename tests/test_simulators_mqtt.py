"""Simulated MQTT devices on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from simulators.broker import EmbeddedBroker, MosquittoBroker
from simulators.site import load
from simulators.spec import SimError
from tests.support_sim import Listener, config_at, served, site_at, until

SMOKE_TOPIC = "smoke/SM3-2-03-0301/up"


@pytest.fixture
def listener(embedded_broker: EmbeddedBroker) -> Iterator[Listener]:
    found = Listener(embedded_broker.port)
    yield found
    found.close()


async def test_devices_report_and_alarms_come_at_once(
    embedded_broker: EmbeddedBroker, listener: Listener, tmp_path: Path
) -> None:
    """Every device is heard soon after the start, and a fire is heard at once."""
    site = site_at(tmp_path, embedded_broker.port)
    async with served(site) as sim:
        topics = {device.topic for device in site.devices.values() if device.topic}
        await until(lambda: topics <= {message.topic for message in listener.heard})
        sim.handle({"do": "set", "device": "3-2-03-0301/smoke", "values": {"alarm": "true"}})
        await until(lambda: b'"alarm":true' in b"".join(listener.payloads(SMOKE_TOPIC)), 1.0)
        assert all(message.qos == 1 for message in listener.heard)


async def test_a_command_is_carried_out_and_reported(
    embedded_broker: EmbeddedBroker, listener: Listener, tmp_path: Path
) -> None:
    """The siren sounds and says so on its own topic: that is what the gateway reads back."""
    async with served(site_at(tmp_path, embedded_broker.port)) as sim:
        await until(lambda: bool(listener.payloads("siren/SI1/up")))
        listener.say("siren/SI1/set", b'{"state":"ON"}')
        await until(lambda: listener.payloads("siren/SI1/up")[-1] == b'{"state":"ON"}')
        assert sim.plant.values("3-1-01/siren")["on"] is True
        listener.say("siren/SI1/set", b"\xff not json")
        await until(lambda: sim.fleets["field"].counts["not_understood"] == 1)
        assert sim.plant.values("3-1-01/siren")["on"] is True


async def test_alarms_made_while_the_broker_is_away_come_later(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """A press during a broker's restart is not lost, and periodic reports of that time are counted as dropped."""
    async with served(site_at(tmp_path, mosquitto.port), pace=0.05) as sim:
        fleet = sim.fleets["field"]
        mosquitto.kill()
        await until(lambda: not fleet.is_up)
        sim.handle({"do": "press", "device": "3-2-03-0301/sos"})
        await until(lambda: fleet.counts["kept"] >= 2 and fleet.counts["dropped"] > 0)
        mosquitto.start()
        listener = Listener(mosquitto.port)
        try:
            await until(lambda: b"emergency" in b"".join(listener.payloads("sos/up")), 10.0)
        finally:
            listener.close()
        assert fleet.counts["dropped_alarm"] == 0


async def test_what_a_device_keeps_is_bounded(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """A broker that stays away for long costs the oldest alarms, counted, and not the memory."""
    async with served(site_at(tmp_path, mosquitto.port)) as sim:
        fleet = sim.fleets["field"]
        mosquitto.kill()
        await until(lambda: not fleet.is_up)
        for n in range(30):
            sim.handle({"do": "set", "device": "3-2-03-0301/sos", "values": {"action": f"press {n}"}})
        await until(lambda: fleet.counts["kept"] >= 30)
        assert fleet.counts["dropped_alarm"] == 10  # the button has a connection of its own: 20 are kept


async def test_a_device_that_dies_leaves_its_last_will(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """Devices with an availability topic say online, and the broker says offline for them when they vanish."""
    listener = Listener(mosquitto.port, topics="sos/+/availability")
    try:
        async with served(site_at(tmp_path, mosquitto.port)) as sim:
            await until(lambda: len(listener.heard) == 1)
            sim.fleets["field"].vanish("3-2-03-0301/sos")
            await until(lambda: len(listener.heard) > 1)
        states = [orjson.loads(each.payload)["state"] for each in listener.heard[:2]]
        assert states == ["online", "offline"]
    finally:
        listener.close()


async def test_the_simulator_never_plays_on_a_real_site(tmp_path: Path) -> None:
    """A bus that leads off this machine is refused: simulated alarms must not reach a real gateway."""
    config = config_at(tmp_path)
    site = config / "site.yaml"
    site.write_text(site.read_text("utf-8").replace("127.0.0.1", "10.0.0.5"), "utf-8")
    with pytest.raises(SimError, match="stays on this machine"):
        async with served(load(config)):
            pass
