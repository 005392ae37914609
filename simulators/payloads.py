"""Simulators: what an MQTT device says, as bytes, and what it understands. Pure; sockets are in `mqtt_devices`.

The device's own encoder, written from the profile and not from the gateway's decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from simulators.profiles import convert
from simulators.spec import Availability, SimDevice, SimError, SimPoint, Value


class Outgoing(NamedTuple):
    """One message of a device."""

    topic: str
    payload: bytes


def report(device: SimDevice, values: Mapping[str, Value], now_ms: int, seq: int) -> Outgoing:
    """The device's state as its profile lays it out."""
    body: Any = {}
    for point in device.points.values():
        body = put(body, point.path, said(point, values[point.name]))
    if device.time_path:
        body = put(body, device.time_path, _stamp(device.behaviour.time_format, now_ms))
    if device.serial_path:
        body = put(body, device.serial_path, device.serial)
    if device.behaviour.seq:
        body = put(body, device.behaviour.seq, seq)
    if device.each_path is not None:
        body = put({}, device.each_path, [body])
    return Outgoing(device.topic, _plain(body) if device.is_text else orjson.dumps(body))


def availability(asked: Availability, *, is_online: bool) -> Outgoing:
    """The retained message (or last will) that tells whether the device is there."""
    word = asked.online if is_online else "offline"
    return Outgoing(asked.topic, orjson.dumps(put({}, asked.path, word)) if asked.path else word.encode())


def understood(device: SimDevice, topic: str, payload: bytes) -> Iterator[tuple[str, Value]]:
    """(point, value) of a command to this device; what does not fit a point's template is no command for it."""
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        said = payload.decode("utf-8", "replace")
    for point in device.points.values():
        if point.set_topic and point.set_topic.topic == topic:
            for raw in _matched(point.set_topic.payload, said):
                value = _meant(point, raw)
                if value is not None:
                    yield point.name, value


def put(body: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """``body`` with ``value`` at ``path``; objects and lists on the way are made. The empty path replaces it."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        items = body if isinstance(body, list) else []
        items.extend([None] * (head + 1 - len(items)))
        items[head] = put(items[head], rest, value)
        return items
    fields = body if isinstance(body, dict) else {}
    fields[head] = put(fields.get(head), rest, value)
    return fields


def said(point: SimPoint, value: Value) -> Any:
    """What the device says for a value: its own word, the opposite, or the unscaled number."""
    if isinstance(value, bool):
        value = value is not point.is_inverted
    elif isinstance(value, (int, float)) and (point.scale, point.offset) != (1.0, 0.0):
        value = round((value - point.offset) / point.scale, 6)
    for word, meant in point.words.items():
        if meant == value:
            return word
    if isinstance(value, float):
        return (int(value) if value.is_integer() and point.scale != 1.0 else value) if math.isfinite(value) else None
    return value


def _plain(body: Any) -> bytes:
    return (str(body).lower() if isinstance(body, bool) else str(body)).encode()


def _meant(point: SimPoint, raw: Any) -> Value | None:
    if str(raw) in point.words:
        return point.words[str(raw)]
    if point.type == "bool":
        if isinstance(raw, bool):
            return raw
        raw = str(raw)
    if raw is None or isinstance(raw, (dict, list)):
        return None
    try:
        return convert(raw, point.type)
    except SimError:
        return None


def _matched(template: Any, said: Any) -> Iterator[Any]:
    """What stands in ``said`` where the template has ``{value}``; nothing when the rest differs."""
    if template == "{value}":
        yield said
        return
    if isinstance(template, str) and isinstance(said, str):
        head, _, tail = template.partition("{value}")
        if said.startswith(head) and said.endswith(tail) and len(said) >= len(head) + len(tail):
            yield said[len(head) : len(said) - len(tail)]
    if not isinstance(template, dict) or not isinstance(said, dict):
        return
    for key, inner in template.items():
        if key not in said:
            return
        if _holds_value(inner):
            yield from _matched(inner, said[key])
        elif str(inner) != str(said[key]) and str(inner).lower() != str(said[key]).lower():
            return


def _holds_value(template: Any) -> bool:
    if isinstance(template, dict):
        return any(_holds_value(each) for each in template.values())
    return isinstance(template, str) and "{value}" in template


def _stamp(form: str, now_ms: int) -> Any:
    if form == "iso":
        return datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return now_ms // 1000 if form == "s" else now_ms
