"""What a ThingsBoard would have made of the messages of an outage test: a decoder of its own.

Source: thingsboard.io, "MQTT gateway device API". Pure; who listens on the wire is `witness`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import orjson

from benchmarks.outage_heard import Heard, Telling, telling
from benchmarks.witness import Record

_GATEWAY, _OWN = "v1/gateway/", "v1/devices/me/telemetry"
_TELEMETRY = f"{_GATEWAY}telemetry"
_ABOUT_DEVICES = (_TELEMETRY, f"{_GATEWAY}attributes")


def read(record: Record) -> Heard:
    """Everything that was acknowledged, and whether each device was connected before anything was said of it."""
    heard = Heard(messages=len(set(record.told)), wrong=_unconnected(record))
    for topic, payload in record.told:
        for each in _values(topic, payload):
            (heard.readings if isinstance(each, Telling) else heard.events).append(each)  # type: ignore[arg-type]
    heard.sent = sum(1 for topic, payload in record.published for _ in _values(topic, payload))
    return heard


def _values(topic: str, payload: bytes) -> Iterator[Telling | dict[str, Any]]:
    if topic == _TELEMETRY:
        arrays = orjson.loads(payload).items()
    elif topic == _OWN:
        told = orjson.loads(payload)
        arrays = [("", told if isinstance(told, list) else [told])]
    else:
        return
    for device, entries in arrays:
        for entry in entries:
            for key, value in entry["values"].items():
                if key == "v" and device.endswith("/env"):
                    yield telling(value, entry["ts"])
                elif key.startswith("alarm."):
                    yield value


def _unconnected(record: Record) -> list[str]:
    """Messages about a device that this session had not connected (thingsboard#1144)."""
    known: defaultdict[int, set[str]] = defaultdict(set)
    wrong = []
    for connection, (topic, payload) in zip(record.connections, record.published, strict=True):
        devices = known[connection]
        if topic == f"{_GATEWAY}connect":
            devices.add(orjson.loads(payload)["device"])
        elif topic == f"{_GATEWAY}disconnect":
            devices.discard(orjson.loads(payload)["device"])
        elif topic in _ABOUT_DEVICES:
            wrong += [f"{topic} of {each}, not connected" for each in orjson.loads(payload) if each not in devices]
    return wrong
