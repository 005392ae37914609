"""Rows that a start reads, tried one by one when a database is mended: what cannot be understood is not carried over.

A flipped bit in a text is no damage to SQLite, which keeps no sums of its pages; a gateway that stumbled over it at
each start would never start again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import apsw
import orjson

from gateway.model import Actor, Alarm, AlarmClass, AlarmCondition, Handling
from gateway.store import codec, pulse

MISUNDERSTOOD = (ValueError, TypeError, LookupError, AttributeError, OverflowError, apsw.SQLError, apsw.MismatchError)


def is_understood(table: str, row: Mapping[str, Any]) -> bool:
    """Would a start read this row (of ``meta``: of this key) without stumbling?"""
    look = _LOOKS.get(table)
    try:
        if look is not None:
            look(row)
    except MISUNDERSTOOD:
        return False
    return True


def _mark(row: Mapping[str, Any]) -> object:
    return codec.mark_from_row([row[each] for each in ("mark", "scope", "key", "since_ms", "until_ms", "by", "reason")])


def _command(row: Mapping[str, Any]) -> object:
    ends = int(str(row["expires_ms"])), int(str(row["issued_ms"])), _instant_of(row)
    alarm, _, rest = str(row["id"]).partition(f"{row['because']}#")
    if rest and not alarm:  # behind the alarm's own id, the version of the event that commanded
        int(rest.partition("/")[0])
    return orjson.loads(row["value"]), Actor(*orjson.loads(row["actor"])), ends


def _alarm(row: Mapping[str, Any]) -> object:
    return codec.alarm_from_json(orjson.loads(row["body"])), int(str(row["occurrence"])), int(str(row["raised_ms"]))


def _timer(row: Mapping[str, Any]) -> object:
    return int(str(row["started_ms"])), float(str(row["duration_s"])), _instant_of(row)


def _instant_of(row: Mapping[str, Any]) -> float:
    """None in the database of an older version."""
    return float(str(row.get("mono_s") or 0.0))


_LOOKS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "alarms": _alarm,
    "commands": _command,
    "marks": _mark,
    "pulse": lambda row: pulse.Pulse(*orjson.loads(row["value"])),
    "fled": lambda row: orjson.loads(row["value"]),
    "timers": _timer,
}

_LOST = """
    SELECT id, min(at_ms), max(version) FROM (
        SELECT alarm_id AS id, at_ms, version FROM alarm_events UNION ALL
        SELECT because, issued_ms, 0 FROM commands UNION ALL SELECT alarm_id, at_ms, 0 FROM notices)
    WHERE id NOT IN (SELECT id FROM alarms) GROUP BY id
"""


def stand_in_for_lost(db: apsw.Connection) -> int:
    """An ended alarm for each that is known by what belongs to it and no more: its occurrence must not come again,
    else the next alarm of that source would have the id of an old one, and could not be stored.
    """  # noqa: D205 - one sentence
    found = [
        each
        for each in (_stand_in(str(row[0]), int(str(row[1])), int(str(row[2]))) for row in db.execute(_LOST).fetchall())
        if each is not None
    ]
    db.executemany("INSERT OR IGNORE INTO alarms VALUES (?, ?, ?, ?, 0, ?, ?)", map(_row, found))
    return len(found)


def _stand_in(alarm_id: str, at_ms: int, version: int) -> Alarm | None:
    rule_id, _, rest = alarm_id.partition(":")
    point_id, _, occurrence = rest.rpartition(":")
    if not (rule_id and point_id and occurrence.isascii() and occurrence.isdigit()):
        return None  # an output set by hand
    return Alarm(
        alarm_id, rule_id, point_id, "", int(occurrence), AlarmClass.MAINTENANCE,
        "记录已损坏 / damaged record", "", _instant(at_ms), version,
        condition=AlarmCondition.RETURNED, handling=Handling.CLOSED, is_sounding=False, is_open=False,
    )  # fmt: skip


def _instant(at_ms: int) -> datetime:
    try:
        return codec.from_ms(at_ms)
    except (ValueError, OverflowError):
        return datetime(1970, 1, 1, tzinfo=UTC)


def _row(alarm: Alarm) -> tuple[Any, ...]:
    return (
        alarm.id, alarm.rule_id, alarm.point_id, alarm.occurrence, codec.to_ms(alarm.raised_at),
        codec.dumps(codec.alarm_to_json(alarm)),
    )  # fmt: skip
