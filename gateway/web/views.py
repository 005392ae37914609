"""Web: how the nouns look as JSON. Pure; what a client may read, and nothing about how it is sent."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.model import Alarm, AlarmCondition, AlarmEvent, Device, MarkChange, Point, Rule, Site, isa_state

View = dict[str, Any]

STALE = timedelta(hours=24)  # alarms.md section 3: active for longer is listed
_REPEAT = re.compile(r"\.(\d{1,4})$")


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


def is_stale(alarm: Alarm, now: datetime | None) -> bool:
    """Has it stood there for more than a day?"""
    is_there = alarm.is_open and alarm.condition is AlarmCondition.ACTIVE
    return is_there and now is not None and now - alarm.raised_at > STALE


def alarm_view(alarm: Alarm, site: Site | None = None, now: datetime | None = None) -> View:
    """One alarm: instants are ISO 8601 in UTC or null. Words for point and rule are the site's."""
    rule = rule_of(site, alarm)
    device = site.devices.get(alarm.device_id) if site else None
    return {
        "key": alarm_key(alarm.id),
        "id": alarm.id,
        "rule": alarm.rule_id,
        "point": alarm.point_id,
        "device": alarm.device_id,
        "class": alarm.alarm_class.value,
        "title": alarm.title,
        "place": alarm.place,
        "device_title": device.title if device else "",
        "version": alarm.version,
        "raised_at": alarm.raised_at,
        "condition": alarm.condition.value,
        "handling": alarm.handling.value,
        "is_latched": alarm.is_latched,
        "is_sounding": alarm.is_heard,
        "isa_state": isa_state(alarm),
        "is_muted": alarm.is_muted,
        "shelved_until_at": alarm.shelved_until_at,
        "shelved_by": alarm.shelved_by,
        "suppressed_by": alarm.suppressed_by,
        "is_out_of_service": alarm.is_out_of_service,
        "marks": alarm.marks,
        "is_unconfirmed": alarm.is_unconfirmed,
        "is_open": alarm.is_open,
        "is_stale": is_stale(alarm, now),
        "is_chattering": alarm.is_chattering,
        "is_confirmed": alarm.is_confirmed,
        "is_clock_unsure": alarm.is_clock_unsure,
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
        "escalated_s": alarm.escalated_s,
        "respond_by_at": _respond_by(alarm, rule),
        "text": rule.text if rule else "",
        **_point_words(site, alarm.device_id, alarm.point_id),
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


def rule_view(rule: Rule, language: str = "zh") -> View:
    """What a rule tells the duty officer to do, within what time and why, and how the alarm may end."""
    return {
        "id": rule.id,
        "title": rule.title,
        "response": (rule.response_en if language == "en" else "") or rule.response,
        "respond_within_s": rule.respond_within_s,
        "cause": (rule.cause_en if language == "en" else "") or rule.cause,
        "consequence": (rule.consequence_en if language == "en" else "") or rule.consequence,
        "plan": rule.plan,
        "outcomes": rule.outcomes,
    }


def mark_view(change: MarkChange) -> View:
    """One mark; ``until`` null: until somebody lifts it."""
    return {
        "mark": change.mark.value,
        "scope": change.scope,
        "key": change.key,
        "since": change.since_at,
        "until": change.until_at,
        "by": change.by,
        "reason": change.reason,
    }


class _Rules:
    """The rules of the site asked for last, by id: one is looked up for each of thousands of rows."""

    def __init__(self) -> None:
        self._rules: tuple[Rule, ...] = ()
        self._by_id: dict[str, Rule] = {}

    def get(self, site: Site, rule_id: str) -> Rule | None:
        if site.rules is not self._rules:
            self._rules, self._by_id = site.rules, {each.id: each for each in site.rules}
        return self._by_id.get(rule_id)


_rules = _Rules()


def rule_of(site: Site | None, alarm: Alarm) -> Rule | None:
    """The rule that raised it; None when the configuration no longer has it."""
    rule = _rules.get(site, alarm.rule_id) if site else None
    return rule.at(alarm.point_id) if rule is not None and rule.variants else rule


def _respond_by(alarm: Alarm, rule: Rule | None) -> datetime | None:
    """By when its rule wants somebody to have taken it: from there on 接警 is late."""
    within_s = rule.respond_within_s if rule else None
    return None if within_s is None else alarm.raised_at + timedelta(seconds=within_s)


def command_view(command: Mapping[str, Any], site: Site) -> View:
    """What an alarm commanded and what became of it; ``outcome`` null: still under way."""
    device_id = str(command["point_id"]).rpartition("/")[0]
    device = site.devices.get(device_id)
    return {
        "id": command["id"],
        "point": command["point_id"],
        "device": device_id,
        "device_title": device.title if device else "",
        "place": device.place.text if device else "",
        **_point_words(site, device_id, str(command["point_id"])),
        "value": _decoded(command["value"]),
        "outcome": command["outcome"],
        "readback": _decoded(command["readback"]),
        "issued_at": instant(command["issued_ms"]),
        "closed_at": instant(command["closed_ms"]),
        "detail": command["detail"] or "",
    }


def _point_words(site: Site | None, device_id: str, point_id: str) -> View:
    """``socket`` is the number of a charger's socket: people say 3号口, not power.3."""
    device = site.devices.get(device_id) if site else None
    point = _point(device, point_id)
    number = _REPEAT.search(point_id)
    is_socket = number is not None and device is not None and device.kind.endswith("-charger")
    return {
        "point_title": point.title if point else "",
        "unit": point.unit if point else "",
        "socket": int(number[1]) if number and is_socket else None,
    }


def _point(device: Device | None, point_id: str) -> Point | None:
    return next((each for each in device.points if each.id == point_id), None) if device else None


def _decoded(text: str | bytes | None) -> Any:
    return None if text is None else orjson.loads(text)


def instant(ms: int | None) -> datetime | None:
    """Milliseconds as they are stored; None stays None."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


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
    """Class, then those nobody has taken, then the oldest (console.md, screen rules); consequences after causes.

    What is only a drill or a test comes after everything that is real, a confirmed fire before those it consists of.
    """
    return sorted(
        alarms,
        key=lambda each: (
            each.marks != (),
            each.alarm_class.rank,
            each.suppressed_by != "",
            each.handling != "new",
            not each.point_id.startswith("@"),
            each.raised_at,
            each.id,
        ),
    )
