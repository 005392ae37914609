"""Web: how the nouns look as JSON. Pure; what a client may read, and nothing about how it is sent."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from gateway.model import Alarm, AlarmEvent, Device, Rule

View = dict[str, Any]


def alarm_key(alarm_id: str) -> str:
    """The alarm's name in a URL: base64url of its id without padding.

    Ids contain ``/``, ``:`` and other characters that proxies decode, merge or cut off; this survives all of them.
    """
    return base64.urlsafe_b64encode(alarm_id.encode()).rstrip(b"=").decode()


def alarm_id_of(key: str) -> str | None:
    """The id behind ``key``; None when it is not one that `alarm_key` gives."""
    try:
        alarm_id = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return alarm_id if alarm_key(alarm_id) == key else None


def alarm_view(alarm: Alarm) -> View:
    """One alarm: instants are ISO 8601 in UTC or null."""
    return {
        "key": alarm_key(alarm.id),
        "id": alarm.id,
        "rule": alarm.rule_id,
        "point": alarm.point_id,
        "device": alarm.device_id,
        "class": alarm.alarm_class.value,
        "title": alarm.title,
        "place": alarm.place,
        "version": alarm.version,
        "raised_at": alarm.raised_at,
        "condition": alarm.condition.value,
        "handling": alarm.handling.value,
        "is_latched": alarm.is_latched,
        "is_sounding": alarm.is_sounding,
        "is_unconfirmed": alarm.is_unconfirmed,
        "is_open": alarm.is_open,
        "value": alarm.value,
        "count": alarm.count,
        "returned_at": alarm.returned_at,
        "taken_at": alarm.taken_at,
        "taken_by": alarm.taken_by,
        "verified_at": alarm.verified_at,
        "is_real": alarm.is_real,
        "arrived_at": alarm.arrived_at,
        "closed_at": alarm.closed_at,
        "outcome": alarm.outcome,
        "cause": alarm.cause,
        "note": alarm.note,
        "last_actor": alarm.last_actor,
        "last_event": alarm.last_event,
        "last_at": alarm.last_at,
    }


def event_view(event: AlarmEvent) -> View:
    """One line of an alarm's journal."""
    return {
        "id": event.id,
        "version": event.version,
        "kind": event.kind,
        "at": event.at,
        "actor": event.actor._asdict(),
        "data": dict(event.data),
    }


def rule_view(rule: Rule) -> View:
    """What a rule tells the duty officer to do, and how the alarm may end."""
    return {"id": rule.id, "title": rule.title, "plan": rule.plan, "outcomes": rule.outcomes}


def device_view(device: Device, state: str, since: datetime | None, reason: str) -> View:
    """One device and whether it can be heard: online, offline or unknown."""
    return {
        "id": device.id,
        "kind": device.kind,
        "title": device.title,
        "place": device.place.text,
        "zone": device.place.zone,
        "bus": device.bus_id,
        "profile": device.profile,
        "state": state,
        "since": since,
        "reason": reason,
    }


def in_duty_order(alarms: list[Alarm]) -> list[Alarm]:
    """Class, then those nobody has taken, then the oldest (console.md, screen rules)."""
    return sorted(alarms, key=lambda each: (each.alarm_class.rank, each.handling != "new", each.raised_at, each.id))
