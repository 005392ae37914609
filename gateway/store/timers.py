"""Running delays as they are kept on the disk, so that they go on after a restart (`gateway.store.pulse`).

What holds (`tests/test_time_kills.py`), P being the pause between two pulses:

- the gateway killed, any wall clock: every instant within 1 s of its time;
- power cut, wall clock right: the same;
- power cut, wall clock back (1970): late by at most the time it was off and P, each time; never early;
- power cut, wall clock ahead: early by at most as much; nothing is left out, nothing comes twice.

What a delay is for does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import apsw

from gateway.model import Now, TimerChange
from gateway.store import codec, pulse

SCHEMA = "ALTER TABLE timers ADD COLUMN mono_s REAL;"  # when it started, on the monotonic clock of the pulse's boot

AWAITED_S = 1.0  # between two pulses while people are called and nobody has come
CALM_S = 10.0  # and while anything else runs
_ANY = "SELECT 1 FROM timers LIMIT 1"
_CALLS = (
    "SELECT 1 FROM timers WHERE key BETWEEN 'tell|' AND 'tell}' OR key BETWEEN 'unverified|' AND 'unverified}' LIMIT 1"
)

# Not what was started again since: so it may run more than once, where a full disk has undone it.
_REDATE = "UPDATE timers SET mono_s = ? WHERE key = ? AND mono_s IS ?"

Running = tuple[str, datetime, float]
"""Key, start by the wall clock as it stands now, duration."""


class TimerLog:
    """The rows of the running delays, and the pulse."""

    def __init__(self, db: apsw.Connection, boot: str) -> None:
        self._db = db
        self._boot = boot
        self._beaten_s = float("-inf")
        self._owed: list[pulse.Owed] = []  # of a restart: until it is on the disk, which may be full
        self._is_owing = False

    def write(self, changes: Sequence[TimerChange], now: Now, *, is_dated: bool = False) -> None:
        """Keep what has changed in the step of ``now``; inside the caller's transaction.

        With ``is_dated`` it holds something else that is counted from now.
        """
        if not changes and not is_dated:
            return
        self._pay()
        for key, started_at, duration_s in changes:
            if started_at is None:
                self._db.execute("DELETE FROM timers WHERE key = ?", (key,))
                continue
            mono_s = now.mono_s - (now.utc - started_at).total_seconds()
            self._db.execute(
                "INSERT OR REPLACE INTO timers (key, started_ms, duration_s, mono_s) VALUES (?, ?, ?, ?)",
                (key, codec.to_ms(started_at), duration_s, mono_s),
            )
        self._pulse(now)

    def beat(self, now: Now) -> None:
        """Call it every second: a pulse where one is due and anything runs."""
        if self._is_owing:
            with self._db:
                self._pay()
                self._pulse(now)
            self._owed, self._is_owing = [], False
        since_s = now.mono_s - self._beaten_s
        if since_s >= AWAITED_S:
            query = _ANY if since_s >= CALM_S else _CALLS
            if self._db.execute(query).fetchone() is not None:
                self._pulse(now)

    def restore(self, before: pulse.Pulse | None, now: Now, owed: Sequence[pulse.Owed] = ()) -> tuple[Running, ...]:
        """What was running; ``before`` is the last pulse. From here on it is kept by the clocks of this boot.

        That, and what is ``owed`` besides, is written by the next `beat` or `write`.
        """
        is_same_boot = before is not None and before.is_of(self._boot, now)
        self._owed, self._is_owing = [] if is_same_boot else list(owed), True
        found: list[Running] = []
        for key, ms, duration, mono in self._db.execute(
            "SELECT key, started_ms, duration_s, mono_s FROM timers ORDER BY key"
        ):
            mono_s = None if mono is None else float(str(mono))
            passed_s = pulse.age_s(int(str(ms)), mono_s, before, self._boot, now)
            found.append((str(key), _ago(passed_s, now), float(str(duration))))
            if not is_same_boot:
                self._owed.append((_REDATE, (now.mono_s - passed_s, str(key), mono_s)))
        return tuple(found)

    def _pay(self) -> None:
        for sql, args in self._owed:
            self._db.execute(sql, args)

    def _pulse(self, now: Now) -> None:
        pulse.write(self._db, self._boot, now)
        self._beaten_s = now.mono_s


def _ago(passed_s: float, now: Now) -> datetime:
    return now.utc - timedelta(seconds=passed_s)
