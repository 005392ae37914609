"""The MQTT driver on a real broker: what becomes a reading, what is counted, what comes again, what is set."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.drivers.base import DriverError
from gateway.drivers.mqtt import MqttDriver
from gateway.model import (
    SYSTEM,
    Arrival,
    Command,
    CommandOutcome,
    DeviceStatus,
    Quality,
    Reading,
    Site,
)
from gateway.mqtt_link import LinkOptions, Message, MqttLink
from simulators.broker import Broker, EmbeddedBroker, MosquittoBroker
from tests.support_core import until
from tests.support_site import site_at, write_site

SMOKE = "3-2-03-0301/smoke"
TOPIC = "smoke/SM3-2-03-0301/up"


class Field:
    """A driver on a broker, what it delivered, and a device's own session."""

    def __init__(self, site: Site, broker: Broker) -> None:
        self.site = site
        self.broker = broker
        self.counters = Counters()
        self.arrivals: list[Arrival] = []
        self.heard: list[Message] = []
        self.acks = True
        self.driver = self.new_driver()
        self.device = MqttLink(LinkOptions("127.0.0.1", broker.port, "device"), on_message=self.heard.append)

    def new_driver(self) -> MqttDriver:
        devices = [each for each in self.site.devices.values() if each.bus_id == "field"]  # not the gateway's own
        return MqttDriver(self.site.buses["field"], devices, SystemClock(), self.counters)

    def deliver(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        if arrival.receipt and self.acks:
            arrival.receipt()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        ups = self.counters.gauges
        ups.clear()
        tasks = [asyncio.create_task(self.driver.run(self.deliver)), asyncio.create_task(self.device.run())]
        try:
            await until(lambda: self.device.is_up and ups.get(("bus_up", (("bus", "field"),))) == 1)
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def publish(self, topic: str, body: object, *, retain: bool = False) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.device.publish(topic, payload, 1, retain=retain)

    def readings(self) -> list[Reading]:
        return [each for arrival in self.arrivals for each in arrival.inputs if isinstance(each, Reading)]

    def statuses(self) -> list[DeviceStatus]:
        return [each for arrival in self.arrivals for each in arrival.inputs if isinstance(each, DeviceStatus)]


@pytest.fixture
def field(mosquitto: MosquittoBroker, tmp_path: Path) -> Field:
    return Field(site_at(write_site(tmp_path, mosquitto.port)), mosquitto)


async def test_several_points_of_one_message(field: Field) -> None:
    """One message gives a reading for each point it holds, with the device's own time, and shows the device there."""
    async with field.running():
        await field.publish(TOPIC, {"alarm": False, "temp": 21.5, "ts": 1_760_000_000_000})
        await until(lambda: len(field.readings()) == 2)
    alarm, temp = field.readings()
    assert (alarm.point_id, alarm.value, alarm.quality) == (f"{SMOKE}/alarm", False, Quality.GOOD)
    assert (temp.point_id, temp.value) == (f"{SMOKE}/temp", 21.5)
    assert temp.at.timestamp() == 1_760_000_000
    assert temp.received_at > temp.at  # both are kept
    assert [(each.device_id, each.is_online) for each in field.statuses()] == [(SMOKE, True)]


BAD = {
    "malformed": b'{"alarm": tru',
    "nan": b'{"temp": NaN}',
    "encoding": b'{"temp": "\xff\xfe"}',
    "type": b'{"temp": "warm"}',
    "range": b'{"temp": 900}',
    "shape": b'{"something": 1}',
    "array": b"[1, 2]",
    "empty": b"",
    "huge_number": b'{"temp": 1e999}',
    "oversize": b'{"temp": "' + b"x" * 1_000_000 + b'"}',
    "deep": b"[" * 100_000,
}
REASONS = {
    "nan": "not_finite",
    "array": "shape",
    "empty": "malformed",
    "huge_number": "malformed",
    "deep": "malformed",
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_payloads_are_counted_and_never_become_values(field: Field, name: str) -> None:
    """Whatever a device sends, it is counted by reason, is no value, and the next good message arrives."""
    async with field.running():
        await field.publish(TOPIC, BAD[name])
        await field.publish(TOPIC, {"temp": 20})
        await until(lambda: any(each.value == 20 for each in field.readings()))
    assert field.counters.total("inputs_refused", reason=REASONS.get(name, name)) == 1
    assert [each.value for each in field.readings() if each.quality is not Quality.BAD] == [20.0]
    assert all(each.value is None for each in field.readings() if each.quality is Quality.BAD)


@pytest.mark.parametrize("payload", [b'{"alarm": true, "temp": NaN}', b'{"alarm": "true", "temp": "x"}'])
async def test_a_fire_beside_a_bad_value_is_a_fire(field: Field, payload: bytes) -> None:
    """One bad value is refused by itself; the alarm in the same message is heard."""
    async with field.running():
        await field.publish(TOPIC, payload)
        await until(lambda: len(field.readings()) == 2)
    assert [(each.value, each.quality) for each in field.readings()] == [(True, Quality.GOOD), (None, Quality.BAD)]


@pytest.mark.parametrize("ts", [0, 4_070_908_800_000, "1970-01-01T00:00:00Z", "yesterday", True, [1]])
async def test_an_alarm_with_an_absurd_clock_is_still_an_alarm(field: Field, ts: object) -> None:
    """1970, 2099 and nonsense are counted and replaced by our own time; the alarm is not refused."""
    async with field.running():
        await field.publish(TOPIC, {"alarm": True, "ts": ts})
        await until(lambda: len(field.readings()) == 1)
    (alarm,) = field.readings()
    assert alarm.value is True
    assert alarm.at == alarm.received_at
    assert field.counters.total("inputs_refused", reason="time") == 1


async def test_an_unknown_device_is_counted_and_acknowledged(field: Field) -> None:
    """A stranger's message is not kept by the broker for ever, and is seen in the counters."""
    async with field.running():
        await field.publish("smoke/NOBODY/up", {"alarm": True})
        await until(lambda: field.counters.total("inputs_refused", reason="unknown_device") == 1)
    assert field.arrivals == []


async def test_an_empty_or_null_action_is_not_a_press(field: Field) -> None:
    """A Zigbee button sends its action and then takes it back: only the press is a reading, a null battery is none."""
    async with field.running():
        for action in ("emergency", "", None):
            await field.publish("zigbee2mqtt/B1", {"action": action, "battery": None, "linkquality": 90})
        await field.publish("zigbee2mqtt/B1", {"battery": 90})
        await until(lambda: any(each.value == 90 for each in field.readings()))
    assert [each.value for each in field.readings()] == ["emergency", 90]


async def test_retained_messages_are_told_from_new_ones(field: Field) -> None:
    """What the broker kept from before is a state told again, and does not show the device to be alive."""
    async with field.running():
        await field.publish(TOPIC, {"alarm": True}, retain=True)
        await until(lambda: len(field.readings()) == 1)
    field.driver = field.new_driver()
    async with field.running():
        await until(lambda: len(field.readings()) >= 2)
    assert [each.quality for each in field.readings()][:2] == [Quality.GOOD, Quality.RETAINED]
    assert len(field.statuses()) == 1


@pytest.mark.parametrize("word", [b"offline", b'{"state":"offline"}'])
async def test_availability_tells_a_lost_device(field: Field, word: bytes) -> None:
    """The broker's last will of a device is a lost device, in the old form and the new."""
    async with field.running():
        await field.publish("zigbee2mqtt/B1/availability", word)
        await until(lambda: len(field.statuses()) == 1)
    assert field.statuses()[0][:2] == ("3-2-03-0301/sos", False)


@pytest.fixture(params=["mosquitto", "embedded_broker"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Field:
    broker: Broker = request.getfixturevalue(request.param)
    config = write_site(tmp_path, broker.port)
    if isinstance(broker, EmbeddedBroker):
        text = (config / "site.yaml").read_text()
        (config / "site.yaml").write_text(text.replace("type: mqtt", "type: mqtt, marks_repeats: false"))
    return Field(site_at(config), broker)


async def test_a_message_that_comes_again_after_a_crash_enters_once(either: Field) -> None:
    """Committed but not yet acknowledged at the crash: the repeat is recognised and acknowledged; what had not been
    committed enters."""
    async with either.running():
        either.acks = False
        for n in range(3):
            await either.publish(TOPIC, {"temp": n})
        await until(lambda: len(either.readings()) == 3)
    committed = [each.digest for each in either.arrivals[:2]]
    either.arrivals.clear()
    either.acks = True
    either.driver = either.new_driver()
    either.driver.expect_again(committed)
    async with either.running():
        await until(lambda: len(either.readings()) == 1)
        assert [each.value for each in either.readings()] == [2.0]
        assert either.counters.total("inputs_repeated") == 2
        await either.publish(TOPIC, {"temp": 3})
        await until(lambda: len(either.readings()) == 2)
    either.arrivals.clear()
    either.driver = either.new_driver()
    async with either.running():
        await either.publish(TOPIC, {"temp": 4})
        await until(lambda: len(either.readings()) == 1)
    assert [each.value for each in either.readings()] == [4.0]


async def test_an_alarm_that_was_not_committed_is_not_taken_for_an_older_one(field: Field) -> None:
    """Alarm, quiet (both committed), alarm again (not committed at the crash): the third comes again and is heard."""
    field.acks = False
    async with field.running():
        for alarm in (True, False, True):
            await field.publish(TOPIC, {"alarm": alarm})
        await until(lambda: len(field.readings()) == 3)
        committed = [each.digest for each in field.arrivals[:2]]
        for each in field.arrivals[:2]:
            assert each.receipt is not None
            each.receipt()
    field.arrivals.clear()
    field.driver = field.new_driver()
    field.driver.expect_again(committed)
    async with field.running():
        await until(lambda: len(field.readings()) == 1)
    assert field.readings()[0].value is True


async def test_the_same_message_sent_anew_is_not_a_repeat(field: Field) -> None:
    """A device that says the same thing again, right after the restart, is heard."""
    async with field.running():
        await field.publish(TOPIC, {"temp": 20})
        await until(lambda: len(field.readings()) == 1)
    digests = [each.digest for each in field.arrivals]
    field.arrivals.clear()
    field.driver = field.new_driver()
    field.driver.expect_again(digests)
    async with field.running():
        await field.publish(TOPIC, {"temp": 20})
        await until(lambda: len(field.readings()) == 1)


def command(value: bool = True, expires_s: float = 2.0) -> Command:
    at = SystemClock().now().utc
    return Command("c1", "3-2-03-0301/siren/on", value, SYSTEM, "a", at + timedelta(seconds=expires_s))


async def test_a_setting_is_done_when_the_device_reports_it(field: Field) -> None:
    """The siren is commanded on its own topic, and done only when it says that it sounds."""
    async with field.running():
        await field.device.subscribe([("siren/+/set", 1)])
        writing = asyncio.ensure_future(field.driver.write(command()))
        await until(lambda: len(field.heard) == 1)
        assert (field.heard[0].topic, field.heard[0].payload) == ("siren/SR3-2-03-0301/set", b'{"on":true}')
        await field.publish("siren/SR3-2-03-0301/up", {"on": False})
        await field.publish("siren/SR3-2-03-0301/up", {"on": True})
        result = await writing
    assert (result.outcome, result.readback) == (CommandOutcome.DONE, True)


async def test_a_silent_device_is_asked_again_and_reported(field: Field) -> None:
    """No report within the deadline: the value is sent three times more, and the end is `unconfirmed`, not success."""
    async with field.running():
        await field.device.subscribe([("siren/+/set", 1)])
        result = await field.driver.write(command(expires_s=0.6))
        await until(lambda: len(field.heard) == 4)
        await field.publish("siren/marker/set", {})
        await until(lambda: len(field.heard) == 5)
    assert result.outcome is CommandOutcome.UNCONFIRMED


async def test_a_device_that_was_away_is_not_commanded_afterwards(field: Field) -> None:
    """The broker does not keep a command for a device that comes back after the deadline."""
    sleepy = LinkOptions("127.0.0.1", field.broker.port, "sleepy", clean_session=False)
    heard: list[Message] = []
    async with field.running():
        for is_back in (False, True):
            link = MqttLink(sleepy, on_message=heard.append)
            task = asyncio.create_task(link.run())
            await until(lambda link=link: link.is_up)  # type: ignore[misc]
            await link.subscribe([("siren/+/set", 1)])
            if is_back:
                await field.publish("siren/marker/set", {})
                await until(lambda: bool(heard))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not is_back:
                assert (await field.driver.write(command(expires_s=0.3))).outcome is CommandOutcome.UNCONFIRMED
    assert [each.topic for each in heard] == ["siren/marker/set"]


async def test_a_retained_report_is_no_readback(field: Field) -> None:
    """What the broker kept of a device that is gone does not show that it obeys."""
    async with field.running():
        await field.publish("siren/SR3-2-03-0301/up", {"on": True}, retain=True)
    field.driver = field.new_driver()
    async with field.running():
        writing = asyncio.ensure_future(field.driver.write(command(expires_s=0.3)))
        assert (await writing).outcome is CommandOutcome.UNCONFIRMED


async def test_nothing_is_sent_after_the_deadline(field: Field) -> None:
    """A command that is too late is not executed."""
    async with field.running():
        await field.device.subscribe([("siren/+/set", 1)])
        result = await field.driver.write(command(expires_s=-0.1))
        await field.publish("siren/marker/set", {})
        await until(lambda: len(field.heard) == 1)
    assert result.outcome is CommandOutcome.EXPIRED
    assert field.heard[0].topic == "siren/marker/set"


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
async def test_setting_the_clock_moves_no_deadline(field: Field, jump_s: float) -> None:
    """The wall clock is set while a command is on its way: it neither expires early nor is sent late."""
    async with field.running():
        for within_s, outcome in ((0.3, CommandOutcome.UNCONFIRMED), (-0.1, CommandOutcome.EXPIRED)):
            taken = command(expires_s=within_s).taken_in(SystemClock().now())
            moved = replace(taken, expires_at=taken.expires_at - timedelta(seconds=jump_s))
            assert (await field.driver.write(moved)).outcome is outcome


async def test_a_lost_broker_is_a_driver_error(field: Field) -> None:
    """The supervisor hears that the line is down, and may try again."""
    task = asyncio.create_task(field.driver.run(field.deliver))
    await until(lambda: field.driver._link.is_up)
    field.broker.kill()
    with pytest.raises(DriverError):
        await task
    assert field.counters.gauges["bus_up", (("bus", "field"),)] == 0
