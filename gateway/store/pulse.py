"""How long ago something began, asked after a restart: what both clocks and the last sign of life say of it.

The monotonic clock goes on while the gateway is killed and started again, and no one can set it: within one boot of
the machine ages are exact, whatever the wall clock does. After a reboot the last *pulse* (one row, written with every
change of a delay and regularly while any runs) says how much had passed for certain; how long the machine was off only
the wall clock knows. It is believed unless it has gone back, or had never been set: then nothing is known to have
passed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import apsw
import orjson

from gateway.model import Now
from gateway.store import codec

_SET_MS = codec.to_ms(datetime(2020, 1, 1, tzinfo=UTC))  # before it no clock was ever set


Owed = tuple[str, tuple[str | float | None, ...]]
"""What must be written before the first pulse of another boot: SQL that may run twice, and its arguments."""


class Pulse(NamedTuple):
    """A sign of life: which boot of the machine, and both clocks."""

    boot: str  # "" where the machine does not say
    mono_s: float
    at_ms: int

    def is_of(self, boot: str, now: Now) -> bool:
        """Is ``now`` in the same boot, so that its monotonic clock is the same?"""
        return boot != "" and self.boot == boot and now.mono_s >= self.mono_s

    def is_lost(self, boot: str, now: Now) -> bool:
        """Does nobody know how much time has passed since: another boot, and a wall clock that has gone back, or that
        had never been set then?
        """  # noqa: D205 - one paragraph
        now_ms = codec.to_ms(now.utc)
        return not self.is_of(boot, now) and (now_ms < self.at_ms or self.at_ms < _SET_MS <= now_ms)


def age_s(began_ms: int, began_mono_s: float | None, pulse: Pulse | None, boot: str, now: Now) -> float:
    """Seconds since it began. ``began_mono_s`` None: written by an older version, only the wall clock is known."""
    now_ms = codec.to_ms(now.utc)
    if began_mono_s is None or pulse is None:
        return (now_ms - began_ms) / 1000
    if pulse.is_of(boot, now):
        return now.mono_s - began_mono_s
    dark_s = 0.0 if pulse.is_lost(boot, now) else (now_ms - pulse.at_ms) / 1000
    return max(0.0, pulse.mono_s - began_mono_s) + dark_s


def write(db: apsw.Connection, boot: str, now: Now) -> None:
    """Write down that the gateway lives, and how its clocks stand; inside the caller's transaction or alone."""
    body = orjson.dumps([boot, now.mono_s, codec.to_ms(now.utc)]).decode()
    db.execute("INSERT OR REPLACE INTO meta VALUES ('pulse', ?)", (body,))


def last(db: apsw.Connection) -> Pulse | None:
    """The last one; None in the database of an older version."""
    row = db.execute("SELECT value FROM meta WHERE key = 'pulse'").fetchone()
    return Pulse(*orjson.loads(str(row[0]))) if row else None
