"""Room: rules. Chatter: a source that comes and goes becomes one alarm with a count (alarms.md section 3).

A transition is a raise or a return of a source's alarm. The raise that is the third transition within a minute marks
its alarm as chattering: from then on

- its return waits until the source has been quiet for a minute (an off-delay: the timer of `clear_for`),
- a raise in that time, and any further press of a button, only counts: no event, no sound, no notice.

So one source writes at most three raises or returns a minute, plus one return after each quiet minute, however fast it
flickers; of the count, the stored alarm gets at most one new state in `SHOW_S`. The first raise is never held back, nor
what comes after people have closed the alarm, nor the press by which somebody proves that they are there. Where the
condition is looked at belongs to the engine.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from gateway.model import Alarm, AlarmClass, Handling, Now, Step
from gateway.rules.timers import Timers

TRANSITIONS = 3
WINDOW_S = 60.0
SHOW_S = 5.0

Source = tuple[str, str]
"""(rule id, source id)."""


class Chatter:
    """Which sources flicker. The last transitions of each are running timers, so that a restart forgets none.

    ``window_s`` 0 switches it off.
    """

    def __init__(self, timers: Timers, window_s: float = WINDOW_S) -> None:
        self._timers = timers
        self._window_s = window_s
        self._slots: dict[Source, int] = {}  # of sources with a transition in the window: the slot used last
        self._counted: dict[Source, tuple[int, float]] = {}  # not shown yet, and when its count was shown last

    def note(self, source: Source, step: Step) -> bool:
        """One transition. Is it at least the third within the window?"""
        if not self._window_s:
            return False
        slot = self._slots[source] = (self._slots.get(source, -1) + 1) % TRANSITIONS
        step.timers.append(self._timers.start(_key(source, slot), self._window_s, step.now))
        return all(_key(source, each) in self._timers for each in range(TRANSITIONS))

    def hold_s(self, alarm: Alarm | None) -> float:
        """How long the return of ``alarm`` must be steady before it counts."""
        return self._window_s if alarm is not None and alarm.is_chattering else 0.0

    def swallows(self, alarm: Alarm | None, source: Source) -> bool:
        """Is one more raise of the open ``alarm`` only counted?"""
        if alarm is None or not alarm.is_chattering or _is_news(alarm):
            return False
        slots = range(TRANSITIONS)
        latest = self._slots.get(source, -1)
        oldest = (latest + 1) % TRANSITIONS
        # Else it has become rare: worth a word again.
        return all(_key(source, each) in self._timers for each in slots if each != oldest)

    def count(self, alarm: Alarm | None, source: Source, step: Step) -> Alarm | None:
        """Count one more activation of an ``alarm`` that chatters; the alarm to show, or None where it is too early."""
        if alarm is None or not alarm.is_chattering:
            return None
        self.note(source, step)
        waiting, shown_s = self._counted.get(source, (0, float("-inf")))
        if step.now.mono_s - shown_s < SHOW_S:
            self._counted[source] = waiting + 1, shown_s
            return None
        self._counted[source] = 0, step.now.mono_s
        return replace(alarm, count=alarm.count + waiting + 1)

    def at_return(self, alarm: Alarm | None, source: Source, step: Step) -> dict[str, int]:
        """Notes the return of ``alarm``; what its event says of it: how many activations there were in all."""
        self.note(source, step)
        waiting = self._counted.pop(source, (0, 0.0))[0]
        return {"count": alarm.count + waiting} if alarm is not None and alarm.is_chattering else {}

    def ring(self, key: str, _step: Step) -> None:
        """A transition has left the window."""
        source, _ = _parts(key)
        if not any(_key(source, each) in self._timers for each in range(TRANSITIONS)):
            self._slots.pop(source, None)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on with a window. Keys come in order of their start: the last one is the slot used last."""
        source, slot = _parts(key)
        if not self._window_s or not 0 <= slot < TRANSITIONS:
            return False
        self._slots[source] = slot
        self._timers.restore(key, started_at, duration_s, now, not_before=now.mono_s)
        return True


def _is_news(alarm: Alarm) -> bool:
    """Does one more activation say more than a number? People have closed it; or they are on their way to a call, and
    the press may be the proof that they are there. Either happens once: then it only counts again.
    """  # noqa: D205 - one paragraph
    is_awaited = alarm.alarm_class is AlarmClass.SOS and alarm.taken_at is not None and alarm.arrived_at is None
    return alarm.handling is Handling.CLOSED or is_awaited


def _key(source: Source, slot: int) -> str:
    return f"chatter|{source[0]}|{source[1]}|{slot}"


def _parts(key: str) -> tuple[Source, int]:
    _, rule_id, rest = key.split("|", 2)
    source_id, _, slot = rest.rpartition("|")
    return (rule_id, source_id), int(slot)
