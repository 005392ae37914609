"""The MQTT driver: one field broker, its devices' messages in, settings out.

A QoS 1 message carries its receipt with it: the pipeline calls it after the commit that contains the message, and
only then is the PUBACK sent. The session is persistent, so what the broker still holds after a crash comes again,
marked DUP (MQTT 3.1.1, 3.3.1.1); a message that had been committed before is recognised by the digest of its topic
and payload and acknowledged without entering twice. A broker that does not mark repeats is told by
``marks_repeats: false`` of the bus: then every message of the first seconds is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from datetime import datetime
from functools import partial

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.drivers.base import Deliver, DriverError, DriverKind
from gateway.drivers.mqtt_commands import Commands
from gateway.drivers.mqtt_params import (
    MqttBus,
    MqttDevice,
    MqttPoint,
    MqttProfile,
    check_devices,
    check_profile,
)
from gateway.drivers.mqtt_repeats import Repeats, digest_of
from gateway.drivers.mqtt_routes import Routes
from gateway.drivers.payloads import topic_filter
from gateway.model import (
    Arrival,
    Bus,
    Command,
    CommandResult,
    Device,
    DeviceStatus,
    Now,
    Reading,
)
from gateway.mqtt_link import LinkError, LinkOptions, Message, MqttLink, TlsOptions
from gateway.secret import SecretError

_MAX_PAYLOAD_BYTES = 262_144
_MOST_LOGGED = 500  # (reason, topic) pairs: a stranger must not fill the log
_SWEEP_S = 5.0
_SUBACK_S = 10.0

_log = structlog.get_logger(__name__)


class MqttDriver:
    """One running session to one field broker."""

    def __init__(self, bus: Bus, devices: Sequence[Device], clock: Clock, counters: Counters) -> None:
        self._bus_id = bus.id
        self._params: MqttBus = bus.params
        self._clock = clock
        self._counters = counters
        self._routes = Routes(devices)
        self._filters = _filters(devices)
        self._patience = {each.id: each.offline_after_s for each in devices if each.offline_after_s is not None}
        self._heard: dict[str, float] = {}  # by device: monotonic instant of its last message
        self._is_online: dict[str, bool] = {}
        self._repeats = Repeats(are_marked=self._params.marks_repeats)
        self._refused: set[tuple[str, str]] = set()  # (reason, topic) logged so far: transitions, not states
        self._qos = 1
        self._topic = ""  # of the message that is being read
        self._now: Now | None = None  # of the burst that is being received
        self._deliver: Deliver = lambda _arrival: None
        self._link = MqttLink(self._options, on_message=self._received, on_up=self._came_up, on_down=self._went_down)
        points = {point.id: (device, point) for device in devices for point in device.points}
        self._commands = Commands(points, self._link, clock)

    def expect_again(self, digests: Iterable[bytes]) -> None:
        """Digests of messages that were committed shortly before the last stop: the broker may send them again."""
        self._repeats.expect(digests)

    async def run(self, deliver: Deliver) -> None:
        """See `Driver.run`."""
        self._deliver = deliver
        start = self._clock.now().mono_s
        for device_id in self._patience:
            self._heard.setdefault(device_id, start)
        sweeper = asyncio.create_task(self._sweep(), name=f"{self._bus_id} offline")
        try:
            await self._link.run()
        except (LinkError, SecretError) as error:
            raise DriverError(str(error)) from error
        finally:
            sweeper.cancel()

    def ease(self, is_strained: bool) -> None:  # noqa: FBT001 - a state
        """Listen at QoS 0 for a while: so much waits for the disk that the broker's window would be used up.

        At QoS 0 nothing is promised and nothing held back: a fire is heard, though the broker keeps no copy of it.
        """
        self._qos = 0 if is_strained else 1
        self._counters.gauge("bus_eased", float(is_strained), bus=self._bus_id)
        _log.warning("broker_eased" if is_strained else "broker_as_usual", bus=self._bus_id, qos=self._qos)
        if self._link.is_up:
            self._subscribe()

    def write(self, command: Command) -> Awaitable[CommandResult]:
        """See `Driver.write`."""
        return self._commands.write(command)

    def _options(self) -> LinkOptions:
        params = self._params
        tls = None if params.tls is None else TlsOptions(params.tls.ca, params.tls.cert, params.tls.key)
        return LinkOptions(
            host=params.host,
            port=params.port,
            client_id=params.client_id or f"shouwang-{self._bus_id}",
            username=params.username,
            password=params.password.read() if params.password else "",
            tls=tls,
            keepalive_s=params.keepalive,
            clean_session=False,
        )

    def _came_up(self, is_resumed: bool) -> None:  # noqa: FBT001 - the callback of a link
        self._repeats.session_began(self._clock.now().mono_s, is_resumed=is_resumed)
        _log.info("broker_up", bus=self._bus_id, is_resumed=is_resumed)
        self._subscribe()

    def _subscribe(self) -> None:
        waiting = self._link.subscribe([(each, self._qos) for each in self._filters])
        timer = asyncio.get_running_loop().call_later(_SUBACK_S, self._link.end, "no SUBACK from the broker")
        waiting.add_done_callback(lambda future: self._subscribed(future, timer))

    def _subscribed(self, future: asyncio.Future[None], timer: asyncio.TimerHandle) -> None:
        """A line that is connected and deaf must not look well: without its subscription the session ends."""
        timer.cancel()
        if future.cancelled():
            return
        error = future.exception()
        self._counters.gauge("bus_up", float(error is None), bus=self._bus_id)
        if error is not None:
            self._counters.count("mqtt_subscribe_failed", bus=self._bus_id)
            self._link.end(str(error))

    def _went_down(self, reason: str) -> None:
        self._repeats.session_ended(self._clock.now().mono_s)
        _log.warning("broker_down", bus=self._bus_id, reason=reason)
        self._counters.gauge("bus_up", 0, bus=self._bus_id)

    def _received(self, message: Message) -> None:
        now = self._now or self._begin_burst()
        digest = b""
        receipt = None
        if message.qos:
            receipt = partial(self._link.ack, message)
            digest = digest_of(message.mid, message.topic, message.payload)
            if self._repeats.is_repeat(digest, now.mono_s, is_marked=message.dup):
                self._counters.count("inputs_repeated", bus=self._bus_id)
                self._deliver(Arrival((), receipt))  # acknowledged behind the commit of the first one
                return
            self._repeats.took(digest, now.mono_s)
        inputs = self._inputs(message, now)
        if inputs:
            if self._commands.is_waiting:
                self._commands.confirm(inputs)
            self._deliver(Arrival(inputs, receipt, digest))
        elif receipt is not None:
            receipt()  # there is nothing to lose in it

    def _begin_burst(self) -> Now:
        """What the socket held at once was received at one instant."""
        self._now = self._clock.now()
        asyncio.get_running_loop().call_soon(self._end_burst)
        return self._now

    def _end_burst(self) -> None:
        self._now = None

    def _inputs(self, message: Message, now: Now) -> tuple[Reading | DeviceStatus, ...]:
        """What the message says, and which devices it shows to be there."""
        self._topic = message.topic
        if message.is_oversize or len(message.payload) > _MAX_PAYLOAD_BYTES:
            self._refuse("oversize")
            return ()
        try:
            decoded = self._routes.decode(
                message.topic, message.payload, now.utc, is_retained=message.retain, refuse=self._refuse
            )
        except Exception:  # noqa: BLE001 - a fault of ours, but one message must not take the line down again and again
            _log.exception("input_not_understood", bus=self._bus_id, topic=message.topic)
            self._refuse("internal")
            return ()
        if decoded is None:
            return ()
        inputs = decoded.inputs
        if message.retain:
            return inputs
        for device_id in decoded.device_ids:
            self._heard[device_id] = now.mono_s
            if self._is_online.get(device_id) is not True:
                inputs = (*inputs, self._status(device_id, is_online=True, at=now.utc))
        return inputs

    def _refuse(self, reason: str) -> None:
        self._counters.count("inputs_refused", bus=self._bus_id, reason=reason)
        if (reason, self._topic) not in self._refused and len(self._refused) < _MOST_LOGGED:
            self._refused.add((reason, self._topic))
            _log.warning(
                "input_refused",
                bus=self._bus_id,
                reason=reason,
                topic=self._topic[:200],
                note="later ones of this topic are only counted",
            )

    async def _sweep(self) -> None:
        """Say which devices have been silent for longer than their profile allows."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._clock.now()
            lost = [
                self._status(device_id, is_online=False, at=now.utc)
                for device_id, patience_s in self._patience.items()
                if now.mono_s - self._heard[device_id] > patience_s and self._is_online.get(device_id) is not False
            ]
            if lost:
                self._deliver(Arrival(tuple(lost)))

    def _status(self, device_id: str, *, is_online: bool, at: datetime) -> DeviceStatus:
        self._is_online[device_id] = is_online
        return DeviceStatus(device_id, is_online, at, "" if is_online else "silent")


def _filters(devices: Sequence[Device]) -> list[str]:
    found: dict[str, None] = {}
    for device in devices:
        profile: MqttProfile = device.params.profile
        found[topic_filter(profile.topic)] = None
        if profile.availability is not None:
            found[topic_filter(profile.availability.topic)] = None
    return list(found)


KINDS: dict[str, DriverKind] = {
    "mqtt": DriverKind(
        via="mqtt",
        bus=MqttBus,
        profile=MqttProfile,
        point=MqttPoint,
        device=MqttDevice,
        check_profile=check_profile,
        check_devices=check_devices,
        build=MqttDriver,
    )
}
