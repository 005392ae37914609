"""How long records are kept: alarms with everything that belongs to them, and the record of who did what.

GB 25506-2010 asks for at least 10,000 records, GB 50440 for a year of alarms, the Cybersecurity Law for 180 days of
logs (standards as noted in the project's sources). What belongs to an open alarm is never deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import apsw

from gateway.model import Now
from gateway.store import codec, operations

KEPT_S = 400 * 86_400.0
# The newest ones stay however old they seem: a clock that was set to 2099 must not empty the records.
KEPT_ALARMS = 10_000
KEPT_AUDIT = 100_000
STEADY_S = 6 * 3600.0  # a box that is started every night still comes to its housekeeping
_STEP_S = 120.0
_PIECE = 200  # alarms in one transaction: an alarm must not wait behind housekeeping
_PIECE_AUDIT = 2_000

# The newest alarm of each rule and source stays for ever: occurrences go on counting from it, and an id is never
# used twice.
# What was raised before the clock was set (a box starts in 1970) goes when the next one of its source is old.
_OLD_ALARMS = """
    SELECT id FROM alarms AS old WHERE is_open = 0 AND raised_ms < :before AND EXISTS (
        SELECT 1 FROM alarms AS newer
        WHERE newer.rule_id = old.rule_id AND newer.point_id = old.point_id AND newer.occurrence > old.occurrence
          AND (old.raised_ms >= :set OR newer.raised_ms BETWEEN :set AND :before))
    ORDER BY raised_ms LIMIT :most
"""
_SET_MS = codec.to_ms(datetime(2020, 1, 1, tzinfo=UTC))  # before it no clock was ever set


class SteadyClock:
    """Age is judged only by a wall clock that has run evenly for hours: one that was just set may be anywhere."""

    def __init__(self) -> None:
        self._since: Now | None = None

    def believes(self, now: Now) -> bool:
        """Call it regularly: has the wall clock kept pace with the monotonic one for `STEADY_S`?"""
        if self._since is None:
            self._since = now
        passed_s = now.mono_s - self._since.mono_s
        if abs((now.utc - self._since.utc).total_seconds() - passed_s) > _STEP_S:
            self._since, passed_s = now, 0.0
        return passed_s >= STEADY_S


def trim_records(db: apsw.Connection, now: Now, *, kept_alarms: int = KEPT_ALARMS) -> bool:
    """Delete a bounded piece of what is older than it must be kept; True while there may be more."""
    before_ms = codec.to_ms(now.utc - timedelta(seconds=KEPT_S))
    row = db.execute(
        "SELECT raised_ms FROM alarms WHERE is_open = 0 ORDER BY raised_ms DESC LIMIT 1 OFFSET ?", (kept_alarms - 1,)
    ).fetchone()
    is_more = False
    if row is not None:
        asked = {"before": min(before_ms, int(str(row[0]))), "set": _SET_MS, "most": _PIECE}
        ids = [(each,) for (each,) in db.execute(_OLD_ALARMS, asked)]
        if ids:
            with db:
                for table, column in _BELONGINGS:
                    db.executemany(f"DELETE FROM {table} WHERE {column} = ?", ids)  # noqa: S608 - constants
        is_more = len(ids) == _PIECE
    is_more = operations.trim(db, before_ms) or is_more
    return _trim_audit(db, before_ms) or is_more


_BELONGINGS = (("alarm_events", "alarm_id"), ("commands", "because"), ("notices", "alarm_id"), ("alarms", "id"))


def _trim_audit(db: apsw.Connection, before_ms: int) -> bool:
    """``seq`` grows with time, but for steps of the clock: the oldest are looked at first, and only they."""
    oldest = [
        (int(str(seq)), int(str(at_ms)))
        for seq, at_ms in db.execute(
            "SELECT seq, at_ms FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ? ORDER BY seq LIMIT ?",
            (KEPT_AUDIT, _PIECE_AUDIT),
        )
    ]
    gone = [(seq,) for seq, at_ms in oldest if at_ms < before_ms]
    if gone:
        with db:
            db.executemany("DELETE FROM audit WHERE seq = ?", gone)
    return len(gone) == _PIECE_AUDIT
