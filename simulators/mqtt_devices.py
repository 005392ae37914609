"""Simulators: the MQTT devices of one bus on real sockets, behind paho. What they feel is in `plant`.

Like real devices they keep a few alarm messages while the broker is away and send them later; periodic reports made
in that time are lost, and counted. Everything but paho's callbacks runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from simulators import payloads
from simulators.payloads import Outgoing
from simulators.plant import Event
from simulators.spec import SimBus, SimDevice, SimError, Value

_log = structlog.get_logger(__name__)
_WINDOW = 1000  # messages under way
_KEPT_PER_DEVICE = 20  # alarm messages a device remembers while the broker is away
_OWN_CONNECTIONS = 64  # devices with a last will of their own
_KEEPALIVE_S = 30

OnWrite = Callable[[str, str, Value], None]  # device id, point, value


class _Link:
    """One MQTT connection and the devices that speak through it."""

    def __init__(self, bus: SimBus, client_id: str, devices: Sequence[SimDevice], fleet: Fleet) -> None:
        self.devices = devices
        self.is_up = False
        self._fleet = fleet
        self._loop = asyncio.get_running_loop()
        self._under_way: set[int] = set()
        self._kept: deque[Outgoing] = deque(maxlen=_KEPT_PER_DEVICE * len(devices))
        self._client = self._make(bus, client_id)
        self._bus = bus

    def _make(self, bus: SimBus, client_id: str) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        client.max_inflight_messages_set(_WINDOW)
        client.max_queued_messages_set(_WINDOW)
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        if bus.username:
            client.username_pw_set(bus.username, bus.password or None)
        if bus.ca:
            context = ssl.create_default_context(cafile=bus.ca)
            if bus.cert:
                context.load_cert_chain(bus.cert, bus.key or None)
            client.tls_set_context(context)
        if asked := self.devices[0].availability:
            will = payloads.availability(asked, is_online=False)
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._from_thread(lambda *args: self._on_connect(args[3]))
        client.on_disconnect = self._from_thread(lambda *_: self._on_disconnect())
        client.on_publish = self._from_thread(lambda *args: self._on_puback(args[2]))
        client.on_message = self._from_thread(lambda *args: self._on_message(args[2]))
        return client

    def _from_thread(self, act: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(act, *args)

        return call

    def start(self) -> None:
        """Connect in the background; paho tries again while the broker is away."""
        self._client.connect_async(self._bus.host, self._bus.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def vanish(self) -> None:
        """Cut the connection without a good-bye: the broker tells the last will. It comes back by itself."""
        if peer := self._client.socket():
            cast("socket.socket", peer).shutdown(socket.SHUT_RDWR)

    async def stop(self) -> None:
        """Say good-bye and end the thread."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def send(self, message: Outgoing, *, retain: bool, is_alarm: bool) -> None:
        """Publish at QoS 1 now; while that is impossible keep alarms (a bounded number), lose the rest."""
        if self.is_up and len(self._under_way) < _WINDOW:
            self._publish(message, retain=retain)
        elif is_alarm:
            self._fleet.counts["kept"] += 1
            if len(self._kept) == self._kept.maxlen:
                self._fleet.counts["dropped_alarm"] += 1  # the oldest goes
            self._kept.append(message)
        else:
            self._fleet.counts["dropped"] += 1

    def _publish(self, message: Outgoing, *, retain: bool) -> None:
        info = self._client.publish(message.topic, message.payload, qos=1, retain=retain)
        self._under_way.add(info.mid)
        self._fleet.counts["sent"] += 1

    def _on_connect(self, reason: Any) -> None:
        if reason.is_failure:
            self._fleet.counts["refused"] += 1
            _log.warning("sim.broker_refused", bus=self._bus.id, reason=str(reason))
            return
        self.is_up = True
        self._fleet.counts["connected"] += 1
        _log.info("sim.connected", bus=self._bus.id, devices=len(self.devices))
        topics = sorted({p.set_topic.topic for d in self.devices for p in d.points.values() if p.set_topic})
        for start in range(0, len(topics), 100):
            self._client.subscribe([(topic, 1) for topic in topics[start : start + 100]])
        if asked := self.devices[0].availability:
            self._publish(payloads.availability(asked, is_online=True), retain=True)
        while self._kept:
            self._publish(self._kept.popleft(), retain=False)

    def _on_disconnect(self) -> None:
        if self.is_up:
            _log.warning("sim.disconnected", bus=self._bus.id)
        self.is_up = False

    def _on_puback(self, mid: int) -> None:
        self._under_way.discard(mid)
        self._fleet.counts["acknowledged"] += 1
        while self._kept and self.is_up and len(self._under_way) < _WINDOW:
            self._publish(self._kept.popleft(), retain=False)

    def _on_message(self, message: MQTTMessage) -> None:
        self._fleet.take(message.topic, bytes(message.payload))


class Fleet:
    """All MQTT devices of one bus. ``counts``: sent, acknowledged, kept, dropped, dropped_alarm, connected, ..."""

    def __init__(self, bus: SimBus, devices: Sequence[SimDevice], on_write: OnWrite) -> None:
        """``on_write`` is called on the event loop for every command a device understands.

        Raises:
            SimError: more devices want a last will of their own than connections are good for.
        """
        self.counts: Counter[str] = Counter()
        self._on_write = on_write
        self._devices = {device.id: device for device in devices}
        self._seq: Counter[str] = Counter()
        self._listening: dict[str, list[SimDevice]] = {}
        for device in devices:
            for topic in {p.set_topic.topic for p in device.points.values() if p.set_topic}:
                self._listening.setdefault(topic, []).append(device)
        alone = [device for device in devices if device.availability]
        shared = [device for device in devices if not device.availability]
        if len(alone) > _OWN_CONNECTIONS:
            raise SimError(
                f"总线 {bus.id}:带 availability 的模拟设备最多 {_OWN_CONNECTIONS} 台",
                f"bus {bus.id}: at most {_OWN_CONNECTIONS} simulated devices with availability",
            )
        self._links = [_Link(bus, f"sim-{bus.id}-{device.serial}", [device], self) for device in alone]
        if shared:
            self._links.append(_Link(bus, f"sim-{bus.id}", shared, self))
        self._link_of = {device.id: link for link in self._links for device in link.devices}

    @property
    def is_up(self) -> bool:
        """Are all connections there?"""
        return all(link.is_up for link in self._links)

    def start(self) -> None:
        """Connect in the background."""
        for link in self._links:
            link.start()

    async def stop(self) -> None:
        """Disconnect."""
        await asyncio.gather(*(link.stop() for link in self._links))

    def vanish(self, device_id: str) -> None:
        """Cut the connection of a device (and of those that share it), as a power cut would."""
        self._link_of[device_id].vanish()

    def tell(self, event: Event, now_ms: int) -> None:
        """Publish what a device has to tell."""
        device = self._devices[event.device_id]
        self._seq[device.id] += 1
        message = payloads.report(device, event.values, now_ms, self._seq[device.id])
        self._link_of[device.id].send(message, retain=device.behaviour.retain, is_alarm=event.is_alarm)

    def take(self, topic: str, payload: bytes) -> None:
        """A command came in."""
        for device in self._listening.get(topic, ()):
            understood = list(payloads.understood(device, topic, payload))
            self.counts["commands" if understood else "not_understood"] += 1
            for point, value in understood:
                self._on_write(device.id, point, value)
