"""Room: rules. Taken, but what is it? A fire or a call that somebody has taken must be verified in time (alarms.md §2).

Only the clock: what happens at its end is `gateway.rules.escalation`'s. It runs from ``taken`` until ``verified`` or
``closed``, also when somebody has arrived meanwhile: an arrival is no finding. It runs again after that, from the
third time on twice as long as before, at most an hour: an alarm nobody finishes does not fill the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.model import Alarm, AlarmClass, Handling, Step, TimerChange
from gateway.rules.timers import Timers

VERIFY_WITHIN_S = {AlarmClass.FIRE: 120.0, AlarmClass.SOS: 60.0}
LONGEST_S = 3600.0
OWNER = "unverified"


class Unverified:
    """The running clocks, one for each alarm that is taken and not verified."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._running: dict[str, str] = {}  # alarm id -> key

    def follow(self, alarm: Alarm, step: Step, *, is_muted: bool) -> None:
        """After any event of ``alarm``: start, let run, or stop."""
        if not _is_waited_for(alarm, is_muted=is_muted):
            self.stop(alarm, step)
        elif alarm.id not in self._running:
            self._start(alarm, 1, step)

    def again(self, alarm: Alarm, key: str, step: Step) -> None:
        """It has rung with ``key``, and it still is not verified: the next round."""
        self._running.pop(alarm.id, None)
        self._start(alarm, round_of(key) + 1, step)

    def stop(self, alarm: Alarm, step: Step) -> None:
        """Forget the clock of ``alarm``, if one runs."""
        key = self._running.pop(alarm.id, "")
        change = self._timers.stop(key) if key else None
        if change is not None:
            step.timers.append(change)

    def resume(self, alarm: Alarm, kept: Mapping[str, tuple[datetime, float]], step: Step, *, is_muted: bool) -> None:
        """Go on after a restart; ``kept`` are the timers that were running, of this clock or another."""
        mine = sorted(each for each in kept if each.startswith(f"{OWNER}|"))
        if _is_waited_for(alarm, is_muted=is_muted):
            key = mine[-1] if mine else _key(alarm, 1)
            started_at, duration_s = kept.get(key, (alarm.taken_at or step.now.utc, _duration_s(alarm, 1)))
            self._timers.restore(key, started_at, duration_s, step.now, not_before=step.now.mono_s)
            self._running[alarm.id] = key
            if key not in kept:
                step.timers.append(TimerChange(key, started_at, duration_s))
        step.timers += [TimerChange(each, None) for each in mine if each not in self._timers]

    def _start(self, alarm: Alarm, number: int, step: Step) -> None:
        key = self._running[alarm.id] = _key(alarm, number)
        step.timers.append(self._timers.start(key, _duration_s(alarm, number), step.now))


def round_of(key: str) -> int:
    """The how-manieth time this clock rings."""
    return int(key.rpartition("|")[2])


def _is_waited_for(alarm: Alarm, *, is_muted: bool) -> bool:
    is_in_hand = alarm.handling in {Handling.TAKEN, Handling.VERIFYING}  # ``verified`` leads further
    return alarm.is_open and is_in_hand and not is_muted and alarm.alarm_class in VERIFY_WITHIN_S


def _duration_s(alarm: Alarm, number: int) -> float:
    return min(VERIFY_WITHIN_S[alarm.alarm_class] * 2.0 ** min(max(number - 2, 0), 12), LONGEST_S)


def _key(alarm: Alarm, number: int) -> str:
    return f"{OWNER}|{alarm.id}|{number}"
