"""From a topic and a payload to readings: the tables of one MQTT bus, compiled once. No session, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from gateway.drivers.mqtt_params import MqttPoint, MqttProfile
from gateway.drivers.payloads import MISSING, BadPayload, Convert, Getter, compile_path, converter, device_time, parse
from gateway.model import Device, DeviceStatus, Point, Quality, Reading

_MAX_ITEMS = 1000  # devices in one message

Count = Callable[[str], None]  # one more input refused, by reason


class _Field(NamedTuple):
    """One point of a profile: how to get it, what it means, where it stands in the device's list of points."""

    get: Getter
    convert: Convert
    ignored: frozenset[str]


@dataclass(slots=True)
class _Decoder:
    """Everything the devices of one profile share."""

    is_text: bool
    fields: tuple[_Field, ...]
    time: Getter | None
    zone: ZoneInfo
    each: Getter | None
    device_from: Getter | None


class _Source(NamedTuple):
    """One device as a route sees it: its point ids stand in the order of the decoder's fields."""

    device_id: str
    point_ids: tuple[str, ...]


@dataclass(slots=True)
class _Route:
    """One topic: of one device, or of all devices of a profile that name themselves in the payload."""

    decoder: _Decoder
    source: _Source | None
    by_serial: dict[str, _Source] = field(default_factory=dict)


class _Presence(NamedTuple):
    """An availability topic."""

    device_id: str
    get: Getter
    online: str


class Decoded(NamedTuple):
    """What one message said, and which devices it came from."""

    inputs: tuple[Reading | DeviceStatus, ...]
    device_ids: tuple[str, ...]


class Routes:
    """The topics of one bus."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._routes: dict[str, _Route] = {}
        self._presences: dict[str, _Presence] = {}
        self._decoders: dict[str, _Decoder] = {}
        for device in devices:
            self._add(device)

    def topics(self) -> Iterator[str]:
        """Every topic that means something here."""
        yield from self._routes
        yield from self._presences

    def decode(
        self, topic: str, payload: bytes, received_at: datetime, *, is_retained: bool, refuse: Count
    ) -> Decoded | None:
        """What the message says; None where nothing of it can be used. Every refusal is counted by ``refuse``."""
        route = self._routes.get(topic)
        if route is None:
            return self._presence(topic, payload, received_at, refuse)
        decoder = route.decoder
        try:
            body = parse(payload, is_text=decoder.is_text)
        except BadPayload as bad:
            refuse(bad.reason)
            return None
        readings: list[Reading | DeviceStatus] = []
        if route.source is not None and decoder.each is None:
            _read(decoder, route.source, body, received_at, is_retained=is_retained, refuse=refuse, out=readings)
            return Decoded(tuple(readings), (route.source.device_id,))
        device_ids = []
        for item in _items(decoder, body, refuse):
            source = _named(route, item, refuse)
            if source is not None:
                _read(decoder, source, item, received_at, is_retained=is_retained, refuse=refuse, out=readings)
                device_ids.append(source.device_id)
        return Decoded(tuple(readings), tuple(device_ids)) if device_ids else None

    def _presence(self, topic: str, payload: bytes, received_at: datetime, refuse: Count) -> Decoded | None:
        presence = self._presences.get(topic)
        if presence is None:
            refuse("unknown_device")
            return None
        try:
            word = parse(payload, is_text=True)
            if word[:1] in '{["':
                word = presence.get(parse(payload, is_text=False))
        except BadPayload as bad:
            refuse(bad.reason)
            return None
        if not isinstance(word, str):
            refuse("type")
            return None
        is_online = word.strip() == presence.online
        status = DeviceStatus(presence.device_id, is_online, received_at, "" if is_online else "said_offline")
        return Decoded((status,), (presence.device_id,) if is_online else ())

    def _add(self, device: Device) -> None:
        profile: MqttProfile = device.params.profile
        decoder = self._decoders.get(device.profile)
        if decoder is None:
            decoder = self._decoders[device.profile] = _compile(profile, device.points)
        serial: str = device.params.device.serial
        source = _Source(device.id, tuple(point.id for point in device.points))
        topic = profile.topic.replace("{serial}", serial)
        if profile.device_from is not None:
            route = self._routes.setdefault(topic, _Route(decoder, None))
            route.by_serial[serial] = source
        else:
            self._routes[topic] = _Route(decoder, source)
        if profile.availability is not None:
            said = profile.availability
            path = "$" if said.path == "$" else said.path
            self._presences[said.topic.replace("{serial}", serial)] = _Presence(
                device.id, compile_path(path), said.online
            )


def _compile(profile: MqttProfile, points: Sequence[Point]) -> _Decoder:
    is_text = profile.format == "text"
    fields = []
    for point in points:
        params: MqttPoint = point.params
        fields.append(
            _Field(
                compile_path(params.path),
                converter(
                    params.type,
                    words=dict(params.words) if params.words is not None else None,
                    scale=params.scale,
                    offset=params.offset,
                    is_inverted=params.invert,
                    is_text=is_text,
                    low=point.low,
                    high=point.high,
                ),
                frozenset(params.ignore),
            )
        )
    return _Decoder(
        is_text,
        tuple(fields),
        compile_path(profile.time) if profile.time else None,
        ZoneInfo(profile.timezone),
        compile_path(profile.each) if profile.each else None,
        compile_path(profile.device_from) if profile.device_from else None,
    )


def _items(decoder: _Decoder, body: Any, refuse: Count) -> list[Any]:
    if decoder.each is None:
        return [body]
    found = decoder.each(body)
    if type(found) is not list:
        refuse("shape")
        return []
    if len(found) > _MAX_ITEMS:
        refuse("too_many")
    return found[:_MAX_ITEMS]


def _named(route: _Route, item: Any, refuse: Count) -> _Source | None:
    if route.decoder.device_from is None:
        return route.source
    serial = route.decoder.device_from(item)
    source = route.by_serial.get(str(serial)) if isinstance(serial, str | int) else None
    if source is None:
        refuse("unknown_device")
    return source


def _read(
    decoder: _Decoder,
    source: _Source,
    body: Any,
    received_at: datetime,
    *,
    is_retained: bool,
    refuse: Count,
    out: list[Reading | DeviceStatus],
) -> None:
    """Append the readings of one device; a field that is bad becomes a BAD reading and spoils no other."""
    at = _device_time(decoder, body, received_at, refuse) if decoder.time is not None else received_at
    quality = Quality.RETAINED if is_retained else Quality.GOOD
    found = False
    for (get, convert, ignored), point_id in zip(decoder.fields, source.point_ids, strict=True):
        raw = get(body)
        if raw is MISSING:
            continue
        found = True
        if ignored and type(raw) is str and raw in ignored:
            continue
        try:
            value = convert(raw)
        except BadPayload as bad:
            refuse(bad.reason)
            out.append(Reading(point_id, None, at, received_at, Quality.BAD, bad.reason))
        else:
            out.append(Reading(point_id, value, at, received_at, quality))
    if not found:
        refuse("shape")


def _device_time(decoder: _Decoder, body: Any, received_at: datetime, refuse: Count) -> datetime:
    """The device's instant; where it has none or an absurd one, ours: an alarm is never refused for its time."""
    raw = MISSING if decoder.time is None else decoder.time(body)
    if raw is MISSING:
        return received_at
    try:
        return device_time(raw, received_at, decoder.zone)
    except BadPayload as bad:
        refuse(bad.reason)
        return received_at
