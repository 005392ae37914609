"""Outbox bodies to the messages of ThingsBoard's gateway API, as ThingsBoard's own client writes them. Pure.

Topics and shapes: thingsboard.io "MQTT gateway device API", and ``tb-mqtt-client`` 1.13.14, against which
``tests/test_thingsboard_peer.py`` compares them. One message carries one device, as theirs; ``devices_per_message``
lets more of them travel together, which the format allows and which a platform that counts messages makes necessary.

- A device is called ``<prefix><device id>``: names are unique in a whole tenant, and 3-2-03-0301/smoke is everywhere.
- What hangs on no bus (lines, uplinks, the box) is told as the gateway's own.
- An alarm event is telemetry ``alarm.<rule>.<point>`` (the whole event as JSON), and the attribute of the same name
  is the alarm as it stands. Nothing has to be remembered: each row says it all, and a repeat says it again.
- ThingsBoard makes a number of a text that looks like one: 00123 becomes 123. A text that would come back different
  goes in quotes, ``"00123"`` (``numbers_in_text: plain`` leaves it as their client does).
- Their client adds ``metadata`` with the time of publishing where it is asked to. It differs at every repeat and is
  not sent: a message sent again is byte for byte the same.

Who is connected, and what is asked from there, does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from cloud_bridge import encode
from cloud_bridge.encode import EncodeError
from cloud_bridge.selection import Selection
from cloud_bridge.thingsboard_split import Value, split, within
from gateway.model import Lane, OutboxEntry, Site

CONNECT = "v1/gateway/connect"
DISCONNECT = "v1/gateway/disconnect"
TELEMETRY = "v1/gateway/telemetry"
ATTRIBUTES = "v1/gateway/attributes"
ATTRIBUTES_REQUEST = "v1/gateway/attributes/request"
ATTRIBUTES_RESPONSE = "v1/gateway/attributes/response"
RPC = "v1/gateway/rpc"
OWN_TELEMETRY = "v1/devices/me/telemetry"
OWN_ATTRIBUTES = "v1/devices/me/attributes"
OWN_ATTRIBUTES_REQUEST = "v1/devices/me/attributes/request/"
OWN_ATTRIBUTES_RESPONSE = "v1/devices/me/attributes/response/"
OWN_RPC_REQUEST = "v1/devices/me/rpc/request/"
OWN_RPC_RESPONSE = "v1/devices/me/rpc/response/"
LIMITS_METHOD = "getSessionLimits"

SUBSCRIPTIONS = (
    OWN_ATTRIBUTES,
    OWN_ATTRIBUTES_RESPONSE + "+",
    OWN_RPC_REQUEST + "+",
    OWN_RPC_RESPONSE + "+",
    ATTRIBUTES,
    ATTRIBUTES_RESPONSE,
    RPC,
)

SPLIT = 8_196  # where their client cuts by default
MOST_BYTES = 65_536  # of a whole packet, ThingsBoard's own default
_PACKET = 512  # fixed header, topic, identifier
_NUMBER = re.compile(r"-?\d*\.?\d+")  # commons-lang's NumberUtils.isParsable; \d is any digit there, too
_LAST_MS = 9_999_999_999_999  # the year 2286: later is a device's clock
_MAX_TEXT = 4_096
_SURE_DIGITS = 15  # a longer number comes back rounded: a dashboard's numbers are doubles
_MAX_KEY = 255  # characters of a key or a name there
_MAX_KNOWN = 100_000
_VERSIONS = 1_000
_BOX = "gateway/box"


class Publication(NamedTuple):
    """One message of a topic. ThingsBoard knows no ids: the same device, key and instant are the same value."""

    topic: str
    payload: bytes


class Spot(NamedTuple):
    """Where the values of a point go: the device's name there ("" is the gateway itself), and the key."""

    device: str
    key: str


class Part(NamedTuple):
    """The messages of a row about one device, in order."""

    device: str
    messages: Sequence[Publication]
    is_online: bool | None = None  # what the row says of it last
    points: int = 1  # values in them
    alarms: tuple[str, ...] = ()  # keys of the alarms they are about
    also: tuple[str, ...] = ()  # more devices that its message speaks of


def text(value: str, *, is_plain: bool = False) -> str:
    """A text as ThingsBoard keeps it: in quotes where the number it would be made is written in another way."""
    value = value[:_MAX_TEXT]
    if is_plain or not _NUMBER.fullmatch(value):
        return value
    is_same = len(value) <= _SURE_DIGITS and value == (repr(float(value)) if "." in value else str(int(value)))
    return value if is_same else f'"{value}"'


class Encoder:
    """Makes the messages of one gateway."""

    def __init__(
        self,
        site: Site,
        epoch: str,
        selection: Selection,
        *,
        prefix: str | None = None,
        is_plain: bool = False,
        together: int = 1,
    ) -> None:
        """``prefix`` None: ``<gateway id>/``. ``is_plain``: texts that look like numbers stay as they are.

        ``together``: so many devices may stand in one message of telemetry.
        """
        self._site = site
        self._epoch = epoch
        self._selection = selection
        self._prefix = f"{site.id}/" if prefix is None else prefix
        self._is_plain = is_plain
        self._together = together
        self._spots: dict[str, Spot] = {}
        self.limit(SPLIT, MOST_BYTES)
        self.without_value = 0
        self.not_selected = 0

    def limit(self, split_at: int, most_bytes: int) -> None:
        """What the platform takes: messages are cut at a guessed size, and again where they are too large in bytes."""
        self._split_at = split_at
        self._most = min(most_bytes, MOST_BYTES) - _PACKET

    # Names

    def name(self, device_id: str) -> str:
        """What a device is called there; "" for the gateway itself."""
        device = self._site.devices.get(device_id)
        is_own = not device_id or (device is not None and not device.bus_id)
        return "" if is_own else f"{self._prefix}{device_id}"[:_MAX_KEY]

    def is_shown(self, device_id: str) -> bool:
        """Does anything of this device go up, so that it is introduced before it speaks?"""
        points = self._site.devices[device_id].points
        return any(map(self._selection.keeps, (f"{device_id}/online", *(each.id for each in points))))

    def device_id(self, name: str) -> str | None:
        """The device of that name, None where there is none."""
        device_id = name.removeprefix(self._prefix)
        return device_id if device_id in self._site.devices and self.name(device_id) == name else None

    def spot(self, point_id: str) -> Spot:
        """Where a point's values go."""
        found = self._spots.get(point_id)
        if found is None:
            if len(self._spots) >= _MAX_KNOWN:
                self._spots.clear()
            device_id, _, name = point_id.rpartition("/")
            device = self.name(device_id)
            is_box = device or device_id == _BOX
            found = self._spots[point_id] = Spot(device, _key(name if is_box else f"{device_id}.{name}"))
        return found

    @staticmethod
    def alarm_key(rule_id: str, point_id: str, device_id: str) -> str:
        """The key of the alarms of one rule at one source."""
        return _key(f"alarm.{rule_id}.{point_id.removeprefix(f'{device_id}/')}")

    # Rows

    def parts(self, entry: OutboxEntry) -> list[Part]:
        """What one row says, by device; nothing where the selection leaves nothing of it.

        Raises:
            EncodeError: the row can't be read.
        """
        try:
            if entry.lane is Lane.ALARM:
                return self._alarm(encode.alarm(entry.body))
            return self.telemetry(encode.readings(entry.body))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise EncodeError(f"the row is damaged: {error!r}") from error

    def telemetry(self, readings: Sequence[Sequence[Any]], *, is_repeat: bool = False) -> list[Part]:
        """The messages of ``[[point_id, value, at_ms, received_at_ms, quality], ...]``; a repeat counts nothing."""
        by_device: dict[str, list[Value]] = {}
        online: dict[str, bool] = {}
        kept = self._selection.readings(readings)
        self.not_selected += 0 if is_repeat else len(readings) - len(kept)
        for point_id, value, at_ms, received_ms, _quality in kept:
            if value is None:
                self.without_value += not is_repeat
                continue
            device, key = self.spot(point_id)
            ts = at_ms if 0 < at_ms <= _LAST_MS else received_ms
            told = text(value, is_plain=self._is_plain) if isinstance(value, str) else value
            by_device.setdefault(device, []).append(Value(ts, key, told))
            if key == "online" and device:
                online[device] = bool(value)
        parts = [Part(each, self._messages(each, got), online.get(each), len(got)) for each, got in by_device.items()]
        return parts if self._together == 1 else self._gathered(parts)

    def _gathered(self, parts: Sequence[Part]) -> list[Part]:
        """Several devices in one message, as far as it fits; who has gone is told alone."""
        done: list[Part] = []
        for part in parts:
            is_free = bool(part.device) and part.is_online is None and len(part.messages) == 1
            last = done[-1] if done and is_free else None
            if last is not None and last.device and last.is_online is None and len(last.messages) == 1:
                before, after = last.messages[0].payload, part.messages[0].payload
                if len(last.also) + 1 < self._together and len(before) + len(after) <= self._split_at:
                    both = last.messages[0]._replace(payload=before[:-1] + b"," + after[1:])
                    done[-1] = last._replace(
                        messages=[both], points=last.points + part.points, also=(*last.also, part.device)
                    )
                    continue
            done.append(part)
        return done

    def _messages(self, device: str, values: Sequence[Value]) -> list[Publication]:
        topic = TELEMETRY if device else OWN_TELEMETRY
        arrays = split(values, self._split_at)
        return [Publication(topic, payload) for array in arrays for payload in within(device, array, self._most)]

    def _alarm(self, told: dict[str, Any]) -> list[Part]:
        kept = self._selection.alarm(told)
        if kept is None:
            self.not_selected += 1
            return []
        event, alarm = kept["event"], kept["alarm"]
        device = self.name(alarm["device_id"])
        key = self.alarm_key(alarm["rule_id"], alarm["point_id"], alarm["device_id"])
        at_ms = int(datetime.fromisoformat(event["at"]).timestamp() * 1000)
        # a millisecond holds one value of a key: versions of one instant would overwrite each other
        ts = max(at_ms, 1) + (int(event["version"]) - 1) % _VERSIONS
        words = {"epoch": self._epoch, **kept}
        state = {"epoch": self._epoch, **alarm}
        messages = [*self._messages(device, [Value(ts, key, words)]), self.attributes(device, {key: state})]
        if any(len(each.payload) > MOST_BYTES - _PACKET for each in messages):
            raise EncodeError(f"the event is larger than the {MOST_BYTES} bytes the platform takes")
        return [Part(device, messages, alarms=(key,))]

    # About devices

    def connect(self, device: str) -> Publication:
        """A device is there."""
        device_id = self.device_id(device) or device.removeprefix(self._prefix)
        known = self._site.devices.get(device_id)
        kind = known.kind if known else device_id.rpartition("/")[2]
        return Publication(CONNECT, orjson.dumps({"device": device, "type": kind or "default"}))

    @staticmethod
    def disconnect(device: str) -> Publication:
        """A device has gone."""
        return Publication(DISCONNECT, orjson.dumps({"device": device}))

    @staticmethod
    def attributes(device: str, values: Mapping[str, Any]) -> Publication:
        """What is known about a device, or ("") about the gateway itself."""
        if not device:
            return Publication(OWN_ATTRIBUTES, orjson.dumps(values))
        return Publication(ATTRIBUTES, orjson.dumps({device: values}))

    def description(self, device_id: str) -> Publication:
        """What the site's description says of a device."""
        device = self._site.devices[device_id]
        place = device.place
        values = {"title": device.title, "place": place.text, "zone": place.zone, "building": place.building}
        kept = {key: text(value, is_plain=self._is_plain) for key, value in values.items() if value}
        return self.attributes(self.name(device_id), {"kind": device.kind, **kept})

    def own(self, version: str) -> Publication:
        """What the gateway says of itself."""
        told = {"gateway": self._site.id, "title": self._site.title, "version": version}
        return self.attributes("", {key: text(value, is_plain=self._is_plain) for key, value in told.items() if value})

    @staticmethod
    def attribute_request(request: int, device: str, keys: Sequence[str], *, is_client: bool) -> Publication:
        """Ask for attributes: those we wrote ourselves (``is_client``), or those the platform's people set."""
        if not device:
            told = {"clientKeys" if is_client else "sharedKeys": ",".join(keys)}
            return Publication(f"{OWN_ATTRIBUTES_REQUEST}{request}", orjson.dumps(told))
        asked = {"keys": list(keys), "device": device, "client": is_client, "id": request}
        return Publication(ATTRIBUTES_REQUEST, orjson.dumps(asked))

    @staticmethod
    def limits_request() -> Publication:
        """Ask how much the platform takes (ThingsBoard 3.8 and later answer)."""
        asked = {"method": LIMITS_METHOD, "params": {"timeout": 5000}}
        return Publication(f"{OWN_RPC_REQUEST}1", orjson.dumps(asked))


def _key(name: str) -> str:
    return name[:_MAX_KEY]
