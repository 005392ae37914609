"""A Sparkplug host application for tests, with a decoder of its own: it shares no line with the bridge.

It checks what the specification demands of every message as it comes (`View.wrong` gathers the tck-ids broken), and
keeps what a real host would: devices alive or dead, and the live value of each metric.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support_bridge import DEADLINE_S, free_port, need

# Wire format of protobuf (developers.google.com) and field numbers of Sparkplug 3.0, section 6.4.1
_PAYLOAD = {1: "timestamp", 2: "metrics", 3: "seq", 4: "uuid", 5: "body"}
_METRIC = {1: "name", 2: "alias", 3: "timestamp", 4: "datatype", 5: "is_historical", 6: "is_transient", 7: "is_null"}
_VALUES = {10: "int", 11: "long", 12: "float", 13: "double", 14: "boolean", 15: "string", 16: "bytes"}
_FIELD_OF_TYPE = {4: "long", 10: "double", 11: "boolean", 12: "string"}


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _fields(body: bytes) -> Iterator[tuple[int, Any]]:
    at = 0

    def number() -> int:
        nonlocal at
        found = shift = 0
        while True:
            byte = body[at]
            at += 1
            found |= (byte & 127) << shift
            if not byte & 128:
                return found
            shift += 7

    while at < len(body):
        key = number()
        kind = key & 7
        if kind == 0:
            yield key >> 3, number()
        elif kind == 2:
            size = number()
            yield key >> 3, body[at : at + size]
            at += size
        else:
            size = {1: 8, 5: 4}[kind]
            yield key >> 3, struct.unpack("<d" if kind == 1 else "<f", body[at : at + size])[0]
            at += size


@dataclass
class Metric:
    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    oneof: str = ""
    value: Any = None
    properties: dict[str, Any] = field(default_factory=dict)


def _metric(body: bytes) -> Metric:
    metric = Metric()
    for number, raw in _fields(body):
        if number in _VALUES:
            metric.oneof, metric.value = _VALUES[number], raw
            if metric.oneof == "string":
                metric.value = raw.decode()
            elif metric.oneof == "boolean":
                metric.value = bool(raw)
            elif metric.oneof == "long" and raw >= 1 << 63:
                metric.value = raw - (1 << 64)
        elif number == 9:
            keys = [key.decode() for at, key in _fields(raw) if at == 1]
            values = [dict(_fields(value)) for at, value in _fields(raw) if at == 2]
            assert len(keys) == len(values), "tck-id-payloads-propertyset-keys-array-size"
            metric.properties = dict(zip(keys, values, strict=True))
        else:
            value = raw.decode() if number == 1 else bool(raw) if number in {5, 6, 7} else raw
            setattr(metric, _METRIC[number], value)
    return metric


@dataclass
class Payload:
    timestamp: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)


def decode(body: bytes) -> Payload:
    payload = Payload()
    for number, raw in _fields(body):
        if number == 2:
            payload.metrics.append(_metric(raw))
        else:
            setattr(payload, _PAYLOAD[number], raw)
    return payload


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, bool | int):
        return varint(number << 3) + varint(int(value) & (1 << 64) - 1)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3 | 2) + varint(len(value)) + bytes(value)


def command(value: Any, *, name: str = "", alias: int | None = None, at_ms: int | None = None) -> bytes:
    """An NCMD or DCMD with one metric, stamped now."""
    metric = (_field(1, name.encode()) if name else b"") + (b"" if alias is None else _field(2, alias))
    number = {bool: 14, int: 11, float: 13, str: 15}[type(value)]
    metric += _field(number, value.encode() if isinstance(value, str) else value)
    stamp = int(time.time() * 1000) if at_ms is None else at_ms
    return _field(1, stamp) + _field(2, metric)


@dataclass
class Message:
    verb: str
    device: str
    payload: Payload
    qos: int
    retain: bool


class View:
    """What a host makes of what it hears; ``wrong`` gathers the demands of the specification that were broken."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.wrong: list[str] = []
        self.alive: set[str] = set()
        self.live: dict[tuple[str, str], Any] = {}
        self.told: dict[tuple[str, str], list[Metric]] = {}  # in order of arrival, without births
        self.is_node_alive = False
        self.bd_seq: int | None = None
        self.aliases: dict[int, tuple[str, str, int]] = {}
        self._seq: int | None = None
        self._is_deaf = False

    def forget(self) -> None:
        """The host's own session was lost: until the next NBIRTH it understands nothing."""
        self._is_deaf = True

    @property
    def is_deaf(self) -> bool:
        return self._is_deaf

    # what a host hears

    def hear(self, topic: str, body: bytes, qos: int = 0, *, retain: bool = False) -> None:
        try:
            parts = topic.split("/")
            if parts[1] == "STATE" or parts[2] in {"NCMD", "DCMD"}:
                return
            device = parts[4] if len(parts) == 5 else ""
            message = Message(parts[2], device, decode(body), qos, retain)
            self._is_deaf = self._is_deaf and message.verb != "NBIRTH"
            if self._is_deaf:
                return
            self._check(message)
            self.messages.append(message)
        except Exception as error:  # noqa: BLE001 - in paho's thread: shown by the test
            self.wrong.append(f"not understood: {error!r}")

    def _is(self, is_right: bool, tck_id: str, message: Message) -> None:
        if not is_right:
            self.wrong.append(f"{tck_id} by {message.verb} {message.device}")

    def _check(self, message: Message) -> None:
        payload, verb, device = message.payload, message.verb, message.device
        self._is(not message.retain, f"tck-id-topics-{verb.lower()}-mqtt (retain)", message)
        has_device = verb in {"DBIRTH", "DDEATH", "DDATA"}
        self._is(
            bool(device) == has_device, "tck-id-topic-structure-namespace-device-id-associated-message-types", message
        )
        if verb == "NDEATH":
            self._is(payload.seq is None, "tck-id-topics-ndeath-seq", message)
            self._is([each.name for each in payload.metrics] == ["bdSeq"], "tck-id-topics-ndeath-payload", message)
            if payload.metrics[0].value == self.bd_seq:
                self.is_node_alive, self._seq = False, None
                self.alive.clear()
            return
        self._is(payload.timestamp is not None, f"tck-id-topics-{verb.lower()}-timestamp", message)
        if verb == "NBIRTH":
            self._is(payload.seq == 0, "tck-id-topics-nbirth-seq-num", message)
            self._node_birth(message)
        elif self._seq is None:
            self._is(False, "tck-id-message-flow-device-birth-publish-nbirth-wait", message)
        else:
            self._is(payload.seq == (self._seq + 1) % 256, "tck-id-payloads-sequence-num-incrementing", message)
        self._seq = payload.seq
        if verb == "DBIRTH":
            self.alive.add(device)
            self._birth(message)
        elif verb == "DDEATH":
            self._is(device in self.alive, "tck-id-topics-ddeath (of a device that was alive)", message)
            self.alive.discard(device)
        elif verb in {"DDATA", "NDATA"}:
            self._is(verb == "NDATA" or device in self.alive, "DDATA of a device without its DBIRTH", message)
            self._data(message)

    def _node_birth(self, message: Message) -> None:
        named = {each.name: each for each in message.payload.metrics}
        rebirth, bd_seq = named.get("Node Control/Rebirth"), named.get("bdSeq")
        self._is(bd_seq is not None and bd_seq.datatype == 4, "tck-id-topics-nbirth-bdseq-included", message)
        is_right = rebirth is not None and rebirth.datatype == 11 and rebirth.value is False
        self._is(is_right, "tck-id-topics-nbirth-rebirth-metric", message)
        is_bare = rebirth is not None and rebirth.alias is None
        self._is(is_bare, "tck-id-operational-behavior-data-commands-rebirth-name-aliases", message)
        self.bd_seq = bd_seq.value if bd_seq else None
        self.is_node_alive = True
        self.alive.clear()
        self.aliases.clear()
        self._birth(message)

    def _birth(self, message: Message) -> None:
        for each in message.payload.metrics:
            if each.name in {"bdSeq", "Node Control/Rebirth"}:
                continue
            is_whole = bool(each.name) and each.datatype is not None and each.alias is not None
            self._is(is_whole, "tck-id-payloads-alias-birth-requirement", message)
            self._is(each.timestamp is not None, "tck-id-payloads-name-birth-data-requirement", message)
            known = self.aliases.get(each.alias or 0, (message.device, each.name, 0))
            is_unique = known[:2] == (message.device, each.name)
            self._is(is_unique, "tck-id-payloads-alias-uniqueness", message)
            has_value = each.is_null or each.oneof == _FIELD_OF_TYPE[each.datatype or 0]
            self._is(has_value, "tck-id-operational-behavior-data-publish-dbirth-values", message)
            self.aliases[each.alias or 0] = message.device, each.name, each.datatype or 0
            self.live[message.device, each.name] = None if each.is_null else each.value

    def _data(self, message: Message) -> None:
        for each in message.payload.metrics:
            self._is(each.name == "", "tck-id-payloads-alias-data-cmd-requirement", message)
            self._is(each.datatype is None, "tck-id-payloads-metric-datatype-not-req", message)
            self._is(each.timestamp is not None, "tck-id-payloads-name-birth-data-requirement", message)
            device, name, kind = self.aliases.get(each.alias or 0, ("?", "?", 0))
            self._is(device == message.device, "an alias that this device has not announced", message)
            self._is(each.is_null or each.oneof == _FIELD_OF_TYPE.get(kind), "the type of the birth", message)
            value = None if each.is_null else each.value
            self.told.setdefault((device, name), []).append(each)
            if not each.is_historical:
                self.live[device, name] = value

    # what tests ask

    def verbs(self) -> list[str]:
        return [each.verb for each in list(self.messages)]

    def values(self, device: str, name: str) -> list[Any]:
        return [None if each.is_null else each.value for each in list(self.told.get((device, name), ()))]

    def history(self, device: str, name: str) -> list[Any]:
        """What was told as historical: newest values told ahead of it are left out."""
        return [each.value for each in list(self.told.get((device, name), ())) if each.is_historical]

    def of(self, verb: str, device: str | None = None) -> list[Message]:
        return [each for each in list(self.messages) if each.verb == verb and device in (None, each.device)]

    def alias(self, device: str, name: str) -> int:
        return next(alias for alias, (of, what, _) in self.aliases.items() if (of, what) == (device, name))


class Host(View):
    """A host application at a broker: listens to everything below spBv1.0, and asks."""

    def __init__(self, port: int, *, host_id: str = "", node: str = "gw-1", group: str = "shouwang") -> None:
        super().__init__()
        self._group, self._node, self._host_id = group, node, host_id
        self.is_ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"host-{host_id}-{port}", clean_session=False)
        if host_id:
            self._client.will_set(self._state, self._word(is_online=False), 1, retain=True)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_disconnect = lambda *_: self.forget()
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/#", 1) and None
        self._client.on_subscribe = lambda *_: self.is_ready.set()
        self._client.on_message = lambda _client, _data, got: self.hear(
            got.topic, bytes(got.payload), got.qos, retain=got.retain
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self.is_ready.wait(DEADLINE_S)

    # what a host says

    @property
    def _state(self) -> str:
        return f"spBv1.0/STATE/{self._host_id}"

    @staticmethod
    def _word(*, is_online: bool) -> bytes:
        return orjson.dumps({"online": is_online, "timestamp": int(time.time() * 1000)})

    def state(self, *, is_online: bool) -> None:
        self._client.publish(self._state, self._word(is_online=is_online), 1, retain=True).wait_for_publish(DEADLINE_S)

    def ask(self, body: bytes, device: str = "", *, retain: bool = False) -> None:
        level = f"DCMD/{self._node}/{device}" if device else f"NCMD/{self._node}"
        self._client.publish(f"spBv1.0/{self._group}/{level}", body, 1, retain=retain).wait_for_publish(DEADLINE_S)

    def raw(self, topic: str, body: bytes) -> None:
        self._client.publish(topic, body, 1).wait_for_publish(DEADLINE_S)

    def rebirth(self) -> None:
        self.ask(command(True, name="Node Control/Rebirth"))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def host(port: int, **more: Any) -> Iterator[Host]:
    it = Host(port, **more)
    try:
        yield it
    finally:
        it.close()


@contextlib.contextmanager
def nats(directory: Path) -> Iterator[tuple[int, tuple[int, ...]]]:
    """One nats-server with MQTT: its port and its version."""
    program, port = need("nats-server", "nats-server"), free_port()
    config = directory / "nats.conf"
    config.write_text(
        f"server_name: one\nlisten: 127.0.0.1:{free_port()}\n"
        f'jetstream {{ store_dir: "{directory}/js" }}\nmqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout
        yield port, tuple(int(each) for each in said.rpartition("v")[2].split(".")[:2])
    finally:
        process.kill()
        process.wait()
