"""What a Sparkplug host makes of the messages of an outage test, with the decoder of the tests, which is not ours.

Two look on: the witness on the wire reads each connection (births, sequence, bdSeq, history), and a real host at the
broker asks for a rebirth where it has missed something; in the end it must show the newest value of each device.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.crash_field import DEVICES, SCALE
from benchmarks.outage_heard import Heard, Telling, telling
from benchmarks.witness import Record
from tests.support_sparkplug import View, command, decode

_NODE = "spBv1.0/shouwang/{}/bench"
_BIRTH_NUMBERS = 256
_REBIRTH_EVERY_S = 1.0
_SETTLES_S = 60.0  # until the host has been told what it lacked: nothing but a rebirth is on its way


def read(record: Record) -> Heard:
    """Everything that was acknowledged, and what the specification forbids of all that was sent."""
    views = {number: View() for number in record.hellos}
    said: list[list[tuple[Telling | dict[str, Any], bool]]] = []
    heard = Heard(messages=len(set(record.told)))
    newest: dict[tuple[int, int], int] = {}
    for connection, (topic, payload) in zip(record.connections, record.published, strict=True):
        view, items = views[connection], []
        view.hear(topic, payload, 1)
        for item, is_historical in _items(view, topic, payload):
            items.append((item, is_historical))
            if isinstance(item, Telling) and not is_historical:
                device = connection, item.number % DEVICES
                if item.number < newest.get(device, -1):
                    heard.wrong.append(f"reading {item.number} told as live after {newest[device]}")
                newest[device] = item.number
        said.append(items)
    heard.sent = sum(map(len, said))
    for place in record.acknowledged:
        for item, _ in said[place]:
            (heard.readings if isinstance(item, Telling) else heard.events).append(item)  # type: ignore[arg-type]
    heard.wrong += [each for view in views.values() for each in view.wrong] + _births(record, views)
    return heard


def _items(view: View, topic: str, payload: bytes) -> Iterator[tuple[Telling | dict[str, Any], bool]]:
    if "/NDATA/" not in topic and "/DDATA/" not in topic:
        return
    for metric in decode(payload).metrics:
        device, name, _ = view.aliases.get(metric.alias or 0, ("?", "?", 0))
        if device.endswith(":env") and name == "v" and not metric.is_null:
            yield telling(metric.value, metric.timestamp or 0), metric.is_historical
        elif name == "Alarm/Json" and not metric.is_null:
            yield orjson.loads(metric.value), metric.is_historical


def of_last_session(record: Record) -> set[int]:
    """The readings that were told in the last session."""
    last, view = record.connections[-1], View()
    told: set[int] = set()
    for connection, (topic, payload) in zip(record.connections, record.published, strict=True):
        if connection == last:
            view.hear(topic, payload, 1)
            told |= {item.number for item, _ in _items(view, topic, payload) if isinstance(item, Telling)}
    return told


def _births(record: Record, views: Mapping[int, View]) -> list[str]:
    """bdSeq: that of the birth is that of the connection's will, and no other connection has it."""
    wrong, used = [], set()
    for number, hello in record.hellos.items():
        if not hello:
            continue
        will = _will(hello)
        if will in used and len(record.hellos) < _BIRTH_NUMBERS:
            wrong.append(f"bdSeq {will} of two connections")
        used.add(will)
        if views[number].bd_seq not in (None, will):
            wrong.append(f"NBIRTH with bdSeq {views[number].bd_seq}, the will has {will}")
    return wrong


def _will(hello: bytes) -> int:
    """BdSeq of the will in a CONNECT of MQTT 3.1.1 (3.1.3)."""
    at = 10
    for _ in range(2):  # client id, topic of the will
        at += 2 + int.from_bytes(hello[at : at + 2], "big")
    (metric,) = decode(hello[at + 2 : at + 2 + int.from_bytes(hello[at : at + 2], "big")]).metrics
    assert metric.name == "bdSeq"
    return int(metric.value)


class Host(View):
    """A host application at the platform's broker, through its restarts."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.forget()
        self.rebirths = 0
        self._asked_s = -_REBIRTH_EVERY_S
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "host", clean_session=True)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self.ask_rebirth()  # a birth before this was not heard
        self._client.on_disconnect = self._lost
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe("spBv1.0/#", 1)

    def _lost(self, *_: Any) -> None:
        self._asked_s = -_REBIRTH_EVERY_S
        self.forget()

    def _hear(self, _client: object, _data: object, got: paho.MQTTMessage) -> None:
        before = len(self.wrong)
        self.hear(got.topic, bytes(got.payload), got.qos, retain=got.retain)
        is_data = "/DDATA/" in got.topic or "/NDATA/" in got.topic
        if len(self.wrong) > before or (self.is_deaf and is_data):
            self.ask_rebirth()

    def ask_rebirth(self) -> None:
        """As the specification has it for a host that has missed something."""
        if time.perf_counter() > self._asked_s + _REBIRTH_EVERY_S:
            self._asked_s = time.perf_counter()
            self.rebirths += 1
            self._client.publish(_NODE.format("NCMD"), command(True, name="Node Control/Rebirth"), 1)

    def close(self, newest: Mapping[str, int], known: Collection[int]) -> list[str]:
        """Stop; what it has seen wrong, and where it does not show the newest value (device: number) at the end.

        A bridge that was killed knows no value of before: its birth says so, and nothing may be shown where the newest
        is not among those ``known`` to this one.
        """
        until = time.perf_counter() + _SETTLES_S
        while (stale := self._stale(newest, known)) and time.perf_counter() < until:
            time.sleep(0.2)
        self._client.disconnect()
        self._client.loop_stop()
        return [f"at the host: {each}" for each in self.wrong] + stale

    def _stale(self, newest: Mapping[str, int], known: Collection[int]) -> list[str]:
        if self.is_deaf or not self.is_node_alive:
            return ["the host does not take the node for alive"]
        live = dict(self.live)
        shown = {device: live.get((device, "v")) for device in newest}
        return [
            f"the host shows {shown[device]} of {device}, the newest is {number / SCALE}"
            for device, number in newest.items()
            if not (shown[device] is None and number not in known)
            and round(float(shown[device] or 0) * SCALE) != number
        ]
