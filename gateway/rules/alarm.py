"""Room: rules. An alarm as the fold of its events, by the table; the stamps people read.

Which events happen is decided elsewhere (`gateway.rules.engine`, `gateway.rules.verbs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.model import Alarm, AlarmClass, AlarmCondition, AlarmEvent, Handling
from gateway.rules.table import DONE, EFFECTS, ENDINGS, PASSING, Latch

_REOPENED: dict[str, Any] = {
    "taken_at": None,
    "taken_by": "",
    "verified_at": None,
    "is_real": None,
    "arrived_at": None,
    "closed_at": None,
    "outcome": "",
    "cause": "",
    "is_confirmed": False,
    "escalated_s": 0.0,
}
_ENDS = frozenset({"returned", "withdrawn", "reset"})


def fold(alarm: Alarm | None, event: AlarmEvent) -> Alarm:
    """The alarm after ``event``. Raises ValueError where the event does not follow what was before."""
    if alarm is None:
        if event.kind != "raised" or event.version != 1:
            msg = (
                f"the journal of {event.alarm_id} does not begin with raised #1 but with {event.kind} #{event.version}"
            )
            raise ValueError(msg)
        return _with_parts(_born(event), event)
    if event.alarm_id != alarm.id or event.version != alarm.version + 1 or event.kind not in _STAMPS:
        msg = f"{event.id} ({event.kind}) does not follow {alarm.id}#{alarm.version}"
        raise ValueError(msg)
    return _with_parts(alarm, event)


def is_over(alarm: Alarm, kind: str) -> bool:
    """Has it ended with an event of this kind: neither active nor latched, and handled as its class asks, or its cause?

    A mute ends nothing: behind its cause an alarm ends only as its condition does, or its latch. What had returned
    before and waits for somebody goes on waiting.
    """
    if alarm.condition is AlarmCondition.ACTIVE or alarm.is_latched:
        return False
    if alarm.suppressed_by and kind in _ENDS and not alarm.alarm_class.is_life_safety:
        return True
    return alarm.handling in DONE[ENDINGS[alarm.alarm_class]]


def _born(event: AlarmEvent) -> Alarm:
    data = event.data
    until = data.get("shelved_until")
    return Alarm(
        id=event.alarm_id,
        rule_id=data["rule"],
        point_id=data["point"],
        device_id=data["device"],
        occurrence=data["occurrence"],
        alarm_class=AlarmClass(data["class"]),
        title=data["title"],
        place=data["place"],
        raised_at=event.at,
        version=0,
        shelved_until_at=datetime.fromisoformat(until) if until else None,
        shelved_by=data.get("shelved_by", ""),
        suppressed_by=data.get("suppressed_by", ""),
        is_clock_unsure="clock" in data,
        is_out_of_service=data.get("out_of_service", False),
        marks=tuple(data.get("marks", ())),
    )


def _with_parts(alarm: Alarm, event: AlarmEvent) -> Alarm:
    effect = EFFECTS[event.kind]
    moved = replace(
        alarm,
        version=event.version,
        acted_version=alarm.acted_version if event.kind in PASSING else event.version,
        condition=effect.condition or alarm.condition,
        handling=dict(effect.handling).get(alarm.handling, alarm.handling),
        is_latched=_after(effect.latch, event, "latches", is_set=alarm.is_latched),
        is_sounding=_after(effect.sound, event, "sounds", is_set=alarm.is_sounding),
        last_actor=event.actor.name,
        last_event=event.kind,
        last_at=event.at,
        **_STAMPS[event.kind](alarm, event),
    )
    return replace(moved, is_open=False, is_sounding=False) if is_over(moved, event.kind) else moved


def _after(change: Latch, event: AlarmEvent, key: str, *, is_set: bool) -> bool:
    match change:
        case Latch.KEEP:
            return is_set
        case Latch.AS_RAISED:
            return bool(event.data[key])
        case _:
            return change is Latch.SET


def _raised(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"value": event.data["value"], "is_chattering": event.data.get("chattering", False)}


def _reraised(alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    stamps = {
        "value": event.data["value"],
        "count": alarm.count + 1,
        "returned_at": None,
        "is_unconfirmed": False,
        "is_chattering": event.data.get("chattering", False),
    }
    return stamps | _REOPENED if alarm.handling is Handling.CLOSED else stamps


def _returned(alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    count = event.data.get("count", alarm.count)
    return {"returned_at": event.at, "is_unconfirmed": False, "is_chattering": False, "count": count}


def _taken(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"taken_at": event.at, "taken_by": event.actor.name}


def _arrived(alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"arrived_at": alarm.arrived_at or event.at}  # the first arrival is the one that is measured


def _verified(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"verified_at": event.at, "is_real": event.data["real"]}


def _noted(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"note": event.data["text"]}  # the last one; the journal has all


def _closed(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"closed_at": event.at, "outcome": event.data["outcome"], "cause": event.data["cause"]}


def _confirmed(_alarm: Alarm, _event: AlarmEvent) -> dict[str, Any]:
    return {"is_confirmed": True}


def _shelved(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"shelved_until_at": datetime.fromisoformat(event.data["until"]), "shelved_by": event.actor.name}


def _unshelved(_alarm: Alarm, _event: AlarmEvent) -> dict[str, Any]:
    return {"shelved_until_at": None, "shelved_by": ""}


def _suppressed(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"suppressed_by": event.data["by"]}


def _unsuppressed(_alarm: Alarm, _event: AlarmEvent) -> dict[str, Any]:
    return {"suppressed_by": ""}


def _out_of_service(_alarm: Alarm, _event: AlarmEvent) -> dict[str, Any]:
    return {"is_out_of_service": True}


def _in_service(_alarm: Alarm, _event: AlarmEvent) -> dict[str, Any]:
    return {"is_out_of_service": False}


def _unmarked(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"marks": tuple(event.data["marks"])} | _REOPENED


def _escalated(_alarm: Alarm, event: AlarmEvent) -> dict[str, Any]:
    return {"escalated_s": event.data["after_s"]}


def _nothing(_alarm: Alarm, _event: AlarmEvent) -> dict[str, Any]:
    return {}


_STAMPS: dict[str, Callable[[Alarm, AlarmEvent], dict[str, Any]]] = {
    "raised": _raised,
    "returned": _returned,
    "reraised": _reraised,
    "withdrawn": _returned,
    "silenced": _nothing,
    "taken": _taken,
    "arrived": _arrived,
    "verified": _verified,
    "noted": _noted,
    "operated": _nothing,
    "closed": _closed,
    "reset": _nothing,
    "confirmed": _confirmed,
    "shelved": _shelved,
    "unshelved": _unshelved,
    "suppressed": _suppressed,
    "unsuppressed": _unsuppressed,
    "out_of_service": _out_of_service,
    "in_service": _in_service,
    "unmarked": _unmarked,
    "escalated": _escalated,
    "unverified": _nothing,
}
