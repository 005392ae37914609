"""How calls for help were answered: from the journal of events to shares and percentiles. Reads only.

A call begins with ``raised``, and again with a ``reraised`` that reopened a closed alarm. Drills, walk tests,
commissioning and what people closed as a test are counted apart and enter nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import apsw
import orjson

from gateway.store import codec

TARGETS = ((60.0, 0.975), (180.0, 0.99))  # taken within so many seconds: so large a share (alarms.md section 5)
PERCENTILES = (50.0, 90.0, 97.5, 99.0, 100.0)
STEPS = ("taken", "verified", "arrived", "closed")
_TELLING = frozenset({"raised", "reraised", "unmarked", "closed"})  # events whose words are read here
TESTS = frozenset({"测试", "test", "Test"})  # outcomes that say that nobody needed help

_CALLS = """
    SELECT alarms.id, alarms.body ->> 'marks', e.kind, e.at_ms, e.data FROM alarms
    JOIN alarm_events AS e ON e.alarm_id = alarms.id
    WHERE alarms.body ->> 'alarm_class' = 'sos' AND alarms.raised_ms < :end
      AND (alarms.raised_ms >= :start OR alarms.body ->> 'last_at' >= :start_text)
      AND e.kind IN ('raised', 'reraised', 'unmarked', 'taken', 'verified', 'arrived', 'closed')
    ORDER BY alarms.raised_ms, alarms.id, e.version
    """


@dataclass(slots=True)
class Call:
    """One call: when it was pressed, and the first time of each step after it."""

    alarm_id: str
    pressed_ms: int
    marks: tuple[str, ...]
    steps: dict[str, int] = field(default_factory=dict)  # step -> ms
    outcome: str = ""

    @property
    def excluded(self) -> str:
        """Why it does not count; "" when it does."""
        return self.marks[0] if self.marks else ("test" if self.outcome in TESTS else "")

    def seconds(self, step: str) -> float | None:
        """From the press to ``step``; None: not yet, or never. A wall clock that was set back gives 0."""
        at_ms = self.steps.get(step)
        return None if at_ms is None else max(0, at_ms - self.pressed_ms) / 1000


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest rank: the smallest value that ``percent`` of all do not exceed; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def calls(db: apsw.Connection, start: datetime, end: datetime) -> list[Call]:
    """The calls pressed from ``start`` until before ``end``, oldest first."""
    start_ms, end_ms = codec.to_ms(start), codec.to_ms(end)
    rows = db.execute(_CALLS, {"start": start_ms, "end": end_ms, "start_text": start.astimezone(UTC).isoformat()})
    return [each for each in _calls(rows) if start_ms <= each.pressed_ms < end_ms]


def report(found: Iterable[Call], now: datetime) -> dict[str, Any]:
    """The figures of these calls. One that is not taken yet is judged as soon as its time is over."""
    everything = list(found)
    counted = [each for each in everything if not each.excluded]
    return {
        "calls": len(counted),
        "excluded": dict(Counter(each.excluded for each in everything if each.excluded)),
        "taken_within": [_share(counted, limit_s, target, codec.to_ms(now)) for limit_s, target in TARGETS],
        "seconds": {step: _spread([s for each in counted if (s := each.seconds(step)) is not None]) for step in STEPS},
        "outcomes": dict(Counter(each.outcome for each in counted if each.outcome)),
        "open": sum("closed" not in each.steps for each in counted),
    }


def _calls(rows: Iterable[Sequence[Any]]) -> Iterable[Call]:
    call: Call | None = None
    marks: Sequence[str] = ()  # at that time: what was pressed in a drill stays a drill, whatever it becomes later
    for alarm_id, marks_now, kind, at_ms, data in rows:
        body: Mapping[str, Any] = orjson.loads(data) if kind in _TELLING else {}
        if kind == "raised":
            marks = body.get("marks", orjson.loads(marks_now) if marks_now else ())
        elif kind == "unmarked":
            marks = body["marks"]
        if kind == "raised" or (kind == "reraised" and body.get("reopens")):
            if call is not None:
                yield call
            call = Call(str(alarm_id), int(at_ms), tuple(marks))
        elif kind not in _TELLING - {"closed"} and call is not None and call.alarm_id == alarm_id:
            call.steps.setdefault(kind, int(at_ms))
            if kind == "closed":
                call.outcome = str(body.get("outcome", ""))
    if call is not None:
        yield call


def _share(counted: Sequence[Call], limit_s: float, target: float, now_ms: int) -> dict[str, Any]:
    """How many of the calls were taken in time. Who waits and may still be taken in time is not judged yet."""
    judged = [each for each in counted if "taken" in each.steps or now_ms - each.pressed_ms > limit_s * 1000]
    in_time = sum((each.seconds("taken") or 0.0) <= limit_s for each in judged if "taken" in each.steps)
    share = in_time / len(judged) if judged else None
    return {
        "limit_s": limit_s,
        "target": target,
        "judged": len(judged),
        "in_time": in_time,
        "share": share,
        "is_met": None if share is None else share >= target,
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Count and percentiles of seconds."""
    return {"count": len(values)} | {f"p{each:g}": percentile(values, each) for each in PERCENTILES}
