"""How the nouns are written to the database and into the outbox: JSON by field, both ways. Pure."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.model import (
    Actor,
    Alarm,
    AlarmClass,
    AlarmCondition,
    AlarmEvent,
    Handling,
    Mark,
    MarkChange,
    Reading,
    isa_state,
    without_card,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_ALARM_FIELDS = tuple(each.name for each in dataclasses.fields(Alarm))
_INSTANTS = frozenset(name for name in _ALARM_FIELDS if name.endswith("_at"))


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970 UTC, rounded down."""
    return (at - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The aware UTC instant of milliseconds since 1970."""
    return _EPOCH + ms * _MS


def dumps(value: Any) -> str:
    """JSON text; instants in ISO 8601, tuples as arrays."""
    return orjson.dumps(value, default=_plain).decode()


def alarm_to_json(alarm: Alarm) -> dict[str, Any]:
    """Every field of the alarm; instants as ISO 8601."""
    return {name: _scalar(getattr(alarm, name)) for name in _ALARM_FIELDS}


def alarm_from_json(body: dict[str, Any]) -> Alarm:
    """The alarm of `alarm_to_json`; fields it does not know (of a newer version) are left out."""
    known: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in _INSTANTS and value is not None else value
        for name, value in body.items()
        if name in _ALARM_FIELDS
    }
    known["alarm_class"] = AlarmClass(known["alarm_class"])
    known["condition"] = AlarmCondition(known["condition"])
    known["handling"] = Handling(known["handling"])
    known["marks"] = tuple(known.get("marks", ()))
    return Alarm(**known)


def event_to_json(event: AlarmEvent) -> dict[str, Any]:
    """The event as clouds get it."""
    return {
        "alarm_id": event.alarm_id,
        "version": event.version,
        "kind": event.kind,
        "at": event.at.isoformat(),
        "actor": event.actor._asdict(),
        "data": dict(event.data),
    }


def event_from_row(row: Sequence[Any]) -> AlarmEvent:
    """From (alarm_id, version, kind, at_ms, actor, data)."""
    alarm_id, version, kind, at_ms, actor, data = row
    return AlarmEvent(alarm_id, version, kind, from_ms(at_ms), Actor(*orjson.loads(actor)), orjson.loads(data))


def mark_to_row(change: MarkChange) -> tuple[Any, ...]:
    """(mark, scope, key, since_ms, until_ms, by, reason)."""
    until_ms = None if change.until_at is None else to_ms(change.until_at)
    return change.mark.value, change.scope, change.key, to_ms(change.since_at), until_ms, change.by, change.reason


def mark_from_row(row: Sequence[Any]) -> MarkChange:
    """From the row of `mark_to_row`."""
    mark, scope, key, since_ms, until_ms, by, reason = row
    until_at = None if until_ms is None else from_ms(until_ms)
    return MarkChange(Mark(mark), scope, key, True, from_ms(since_ms), until_at, by, reason)


def telemetry_body(readings: Sequence[Reading]) -> bytes:
    """One blob of a batch: zlib over {"r": [[point_id, value, at_ms, received_at_ms, quality], ...]}.

    The numbers of cards go to no cloud: the record of passes has them.
    """
    rows = []
    last_at, last_ms = _EPOCH, 0
    for point_id, value, at, received_at, quality, _detail in readings:
        if received_at is not last_at:  # readings of one message share their instant
            last_at, last_ms = received_at, (received_at - _EPOCH) // _MS
        at_ms = last_ms if at is received_at else (at - _EPOCH) // _MS
        rows.append((point_id, without_card(point_id, value), at_ms, last_ms, quality.value))
    return zlib.compress(orjson.dumps({"r": rows}), 1)


def alarm_body(event: AlarmEvent, alarm: Alarm) -> bytes:
    """One event on its way to the clouds, with the alarm as it was when the batch ended and its ISA-18.2 state."""
    told = alarm_to_json(alarm) | {"isa_state": isa_state(alarm)}
    return orjson.dumps({"id": event.id, "event": event_to_json(event), "alarm": told}, default=_plain)


def _scalar(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
