"""Room: rules. When rules look: the calendars of ``only`` and ``unless``, as gates that open and close.

A calendar is what people read off the wall clock, so gates follow the wall clock, also when it is set. They are
derived from it at every start and kept nowhere. A clock that was never set (1970) silences no rule.
What a gate does to conditions is the engine's; what a calendar is, `gateway.model.calendar`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from gateway.model import Calendar, Now, Rule
from gateway.rules.conditions import Test

_LOOK_S = 60.0  # windows begin and end at whole minutes
_NO_CLOCK = datetime(2020, 1, 1, tzinfo=UTC)


class Gate:
    """The calendars of some rules: while it is closed, their conditions count as not met."""

    __slots__ = ("_only", "_unless", "is_open")

    def __init__(self, only: Calendar | None, unless: Calendar | None) -> None:
        self._only = only
        self._unless = unless
        self.is_open = True

    def look(self, at: datetime, zone: tzinfo) -> bool:
        """Open or close by the wall clock; has it changed?"""
        was_open = self.is_open
        self.is_open = at < _NO_CLOCK or (
            (self._only is None or self._only.covers(at, zone))
            and not (self._unless is not None and self._unless.covers(at, zone))
        )
        return self.is_open is not was_open

    def guard(self, test: Test) -> Test:
        """``test``, and never met while the gate is closed."""
        return lambda value, met: self.is_open and test(value, met)


class Calendars:
    """The gates of a site, and when they must be looked at again."""

    def __init__(self, calendars: Mapping[str, Calendar], zone: tzinfo) -> None:
        self._calendars = calendars
        self._zone = zone
        self._gates: dict[tuple[str, str], Gate] = {}
        self._since = self._until = datetime.min.replace(tzinfo=UTC)  # nothing can change within
        self._wake_mono_s: float | None = None

    def gate(self, rule: Rule) -> Gate | None:
        """The gate of ``rule``; None where it has no calendar. Raises ValueError for a calendar that is not there."""
        key = rule.only, rule.unless
        if key == ("", ""):
            return None
        missing = [each for each in key if each and each not in self._calendars]
        if missing:
            msg = f"rule {rule.id}: there is no calendar {missing[0]}"
            raise ValueError(msg)
        if key not in self._gates:
            self._gates[key] = Gate(self._calendars.get(rule.only), self._calendars.get(rule.unless))
        return self._gates[key]

    @property
    def gates(self) -> list[Gate]:
        """All there are."""
        return list(self._gates.values())

    def next_wake(self) -> float | None:
        """The instant on the monotonic clock when a gate may change; None: never."""
        return self._wake_mono_s

    def look(self, now: Now) -> list[Gate]:
        """The gates that have opened or closed. Cheap while the minute lasts; a clock that was set is noticed."""
        if self._since <= now.utc < self._until or not self._gates:
            return []
        self._since = now.utc.replace(second=0, microsecond=0)
        self._until = self._since + timedelta(seconds=_LOOK_S)
        self._wake_mono_s = now.mono_s + (self._until - now.utc).total_seconds()
        return [each for each in self._gates.values() if each.look(now.utc, self._zone)]
