"""Which row does a platform refuse? Found by sending the suspects one at a time. Pure.

A platform that drops the session on one bad message would otherwise be an endless reconnect storm, with everything
behind that row waiting for ever. The row is put aside only after several refusals of exactly this row, each in a
session that had worked before: an outage alone must never cost a row. While nothing else is taken in between, each
further row needs twice as many refusals: a platform that forbids everything must not eat the alarms one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.model import Lane

_REFUSALS = {Lane.ALARM: 6, Lane.TELEMETRY: 3}  # an alarm is given up later
_UNPROVED = 2
_MOST_DOUBT = 7  # an alarm is then given up after some 50 minutes of refusals


class Row(NamedTuple):
    """A row of the outbox."""

    lane: Lane
    seq: int


class Suspicion:
    """Keeps the rows that were in flight when the platform ended a session, until they are answered."""

    def __init__(self) -> None:
        self._suspects: set[Row] = set()
        self._doubt = _UNPROVED  # nothing was taken yet: perhaps the platform is ill, and no row to blame
        self._blamed: Row | None = None
        self._strikes: dict[Lane, tuple[Row, int]] = {}  # of each lane: a bad row in each must not hide the other

    @property
    def is_careful(self) -> bool:
        """Must rows be sent one at a time, so that a refusal names its row?"""
        return bool(self._suspects)

    def answered(self, row: Row) -> None:
        """The platform took this row (or it was put aside): it is no suspect."""
        if row != self._blamed:
            self._doubt = 0
        self._suspects.discard(row)
        if row == self._struck(row.lane)[0]:
            del self._strikes[row.lane]

    def refused(self, in_flight: Iterable[Row]) -> Row | None:
        """The platform ended a working session with these rows in flight; returns the row to put aside, if proved."""
        rows = tuple(in_flight)
        self._suspects.update(rows)
        return self._strike(rows[0]) if len(rows) == 1 else None

    def ignored(self, row: Row) -> Row | None:
        """Later rows were answered in this session, this one never; returns the row to put aside, if proved."""
        return self._strike(row)

    def _strike(self, row: Row) -> Row | None:
        """One more refusal of this row; one of another row of its lane in between starts anew."""
        before, strikes = self._struck(row.lane)
        strikes = strikes + 1 if row == before else 1
        self._strikes[row.lane] = row, strikes
        if strikes < _REFUSALS[row.lane] << self._doubt:
            return None
        self._doubt = min(self._doubt + 1, _MOST_DOUBT)
        self._blamed = row
        return row

    def _struck(self, lane: Lane) -> tuple[Row | None, int]:
        return self._strikes.get(lane, (None, 0))
