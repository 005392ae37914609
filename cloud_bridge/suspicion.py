"""Which row does a platform refuse? Found by sending the suspects one at a time. Pure.

A platform that drops the session on one bad message would otherwise be an endless reconnect storm, with everything
behind that row waiting for ever. The row is put aside only after several refusals of exactly this row, each in a
session that had worked before: an outage alone must never cost a row. While nothing else is taken in between, each
further row needs twice as many refusals: a platform that forbids everything must not eat the alarms one by one.

An end of the session names no row: a bad link ends sessions as well. An alarm that was alone in one is therefore held
back until others have been tried, and is blamed only when another alarm was taken since, or the platform itself has
named it (`is_explicit`). Until then it is tried again, ever more seldom; where many alarms end sessions, they take
turns with telemetry. The rule and its cost: ADR 0027.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gateway.model import Lane

_REFUSALS = {Lane.ALARM: 6, Lane.TELEMETRY: 3}  # an alarm is given up later
_UNPROVED = 2
_MOST_DOUBT = 7  # an alarm is then given up after hundreds of refusals
_FIRST_PAUSE_S = 0.25  # before a held alarm is tried again; doubled at each refusal
_LONGEST_PAUSE_S = 60.0
_DOUBLINGS = 16
_MANY = 8  # alarms that have ended a session alone, and none was taken: perhaps the platform takes no alarm at all
_LONGEST_LANE_PAUSE_S = 10.0
_MOST_STRUCK = 256  # rows that are remembered


class Row(NamedTuple):
    """A row of the outbox."""

    lane: Lane
    seq: int


@dataclass(slots=True)
class _Record:
    """What is held against one row."""

    strikes: int = 0
    due_s: float = 0.0  # when it may be tried again
    is_named: bool = False  # by the platform
    is_passed: bool = False  # another row of the lane was taken since


class Suspicion:
    """Keeps the rows that were in flight when the platform ended a session, until they are answered."""

    def __init__(self) -> None:
        self._suspects: set[Row] = set()
        self._doubt = _UNPROVED  # nothing was taken yet: perhaps the platform is ill, and no row to blame
        self._blamed: Row | None = None
        self.alarms_due_s = 0.0  # until then no alarm goes: telemetry has its turn
        self._barren = 0  # alarms that ended a session since there were many of them
        self._struck: dict[
            Row, _Record
        ] = {}  # every alarm, and the last row of telemetry: they must not hide each other

    @property
    def suspects(self) -> Iterator[Row]:
        """Rows to be sent one at a time, so that a refusal names its row; without those that are held."""
        return (row for row in self._suspects if not self.is_held(row))

    @property
    def is_careful(self) -> bool:
        """Are there suspects?"""
        return any(True for _ in self.suspects)

    def is_held(self, row: Row) -> bool:
        """Has this alarm ended a session alone? Then others go first."""
        return row.lane is Lane.ALARM and row in self._struck

    def due_s(self, row: Row) -> float:
        """When this row may be tried again."""
        record = self._struck.get(row)
        return 0.0 if record is None else record.due_s

    def answered(self, row: Row, *, is_taken: bool = True) -> None:
        """The platform took this row, or (not ``is_taken``) it was put aside: it is no suspect."""
        self._suspects.discard(row)
        self._struck.pop(row, None)
        if not is_taken:
            return
        if row != self._blamed:
            self._doubt = 0
        if row.lane is Lane.ALARM:
            self.alarms_due_s, self._barren = 0.0, 0
        for other, record in self._struck.items():
            record.is_passed |= other.lane is row.lane

    def gone(self, lane: Lane, after: int, before: int) -> None:
        """No rows are left between these two: a suspect that was dropped for want of room will never be answered."""
        for row in [each for each in self._suspects if each.lane is lane and after < each.seq < before]:
            self._suspects.discard(row)
            self._struck.pop(row, None)

    def refused(self, in_flight: Iterable[Row], now_s: float = 0.0, *, is_explicit: bool = False) -> Row | None:
        """The platform ended a working session with these rows in flight; returns the row to put aside, if proved.

        ``is_explicit``: it has said itself that it takes one of them not.
        """
        rows = tuple(in_flight)
        self._suspects.update(rows)
        return self._strike(rows[0], now_s, is_named=is_explicit) if len(rows) == 1 else None

    def ignored(self, row: Row, now_s: float = 0.0) -> Row | None:
        """Later rows were answered in this session, this one never; returns the row to put aside, if proved."""
        return self._strike(row, now_s, is_passed=True)

    def is_passed(self, row: Row) -> bool:
        """Has the platform refused or ignored this row and taken another of its lane since?"""
        return row in self._struck and self._struck[row].is_passed

    def _strike(self, row: Row, now_s: float, *, is_named: bool = False, is_passed: bool = False) -> Row | None:
        """One more refusal of this row; of telemetry, one of another row in between starts anew."""
        record = self._record(row)
        record.strikes += 1
        record.is_named |= is_named
        record.is_passed |= is_passed
        self.postpone(row, now_s)
        if row.lane is Lane.ALARM:
            self._pause_alarms(now_s)
        if record.strikes < self._needed(row, record):
            return None
        self._doubt = min(self._doubt + 1, _MOST_DOUBT)
        self._blamed = row
        return row

    def postpone(self, row: Row, now_s: float) -> None:
        """It is tried: the next time after a pause, if it was refused before."""
        if row in self._struck:
            self._struck[row].due_s = now_s + _pause_s(self._struck[row].strikes, _LONGEST_PAUSE_S)

    def _pause_alarms(self, now_s: float) -> None:
        """Where one alarm after the other ends the session, telemetry must not wait for all of them."""
        unproved = [row for row, record in self._struck.items() if row.lane is Lane.ALARM and not record.is_passed]
        if len(unproved) >= _MANY:
            self._barren += 1
            self.alarms_due_s = now_s + _pause_s(self._barren, _LONGEST_LANE_PAUSE_S)

    def _needed(self, row: Row, record: _Record) -> float:
        """Refusals of this row before it is blamed."""
        if row.lane is Lane.ALARM:
            if record.is_passed:
                return _REFUSALS[row.lane]
            if not record.is_named:
                return math.inf  # perhaps it is the link
        return _REFUSALS[row.lane] << self._doubt

    def _record(self, row: Row) -> _Record:
        if row not in self._struck:
            others = [each for each in self._struck if each.lane is row.lane]
            if row.lane is Lane.TELEMETRY or len(others) >= _MOST_STRUCK:
                for each in others[:1]:
                    del self._struck[each]
            self._struck[row] = _Record()
        return self._struck[row]


def _pause_s(refusals: int, longest_s: float) -> float:
    pause_s: float = _FIRST_PAUSE_S * 2 ** min(refusals, _DOUBLINGS)
    return min(longest_s, pause_s)
