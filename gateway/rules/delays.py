"""Room: rules. From a condition that is met to an alarm: ``for``, ``clear_for``, and the first minute after a start.

Whether a condition is met is the engine's and the judges' (`gateway.rules.judge`).
"""

from __future__ import annotations

from datetime import datetime

from gateway.model import Handling, Now, Reading, Step
from gateway.rules.book import Book
from gateway.rules.timers import Timers
from gateway.rules.watch import Watch


class Delays:
    """Raises and returns alarms when conditions change, now or after the rule's delay."""

    def __init__(self, timers: Timers, book: Book) -> None:
        self._timers = timers
        self._book = book
        self.settled_mono_s = float("-inf")  # alarms.md section 3: in the first minute after a start nothing clears

    def set(self, watch: Watch, step: Step, reading: Reading | None = None, *, raw: bool) -> None:
        """The condition of ``watch`` is met or not, as its judge sees it; calendars are asked here."""
        watch.raw = raw
        met = raw and (watch.gate is None or watch.gate.is_open)
        if met is not watch.met:
            watch.met = met
            self.edge(watch, step, reading)

    def fire(self, watch: Watch, step: Step, reading: Reading) -> None:
        """Something has happened that lasts no time (a sequence was completed)."""
        if watch.gate is None or watch.gate.is_open:
            self._book.activate(watch, step, reading)

    def edge(self, watch: Watch, step: Step, reading: Reading | None) -> None:
        """``watch.met`` has just changed: raise or return the alarm, now or after the rule's delay."""
        rule, now = watch.rule, step.now
        if watch.met:
            if watch.is_active:
                self.stop(watch.clear_key, step)
                self._again(watch, step, reading)
            elif rule.for_s > 0:
                step.timers.append(self._timers.start(watch.for_key, rule.for_s, now))
            else:
                self._book.activate(watch, step, reading)
            return
        self.stop(watch.for_key, step)
        if not watch.is_active:
            return
        hold_s = self._book.chatter.hold_s(watch.alarm)
        delay_s = max(rule.clear_for_s, self.settled_mono_s - now.mono_s, hold_s)
        if delay_s > 0:
            step.timers.append(self._timers.start(watch.clear_key, delay_s, now))
        else:
            self._book.write(watch, "returned", {"value": watch.told(reading)}, step)

    def _again(self, watch: Watch, step: Step, reading: Reading | None) -> None:
        """It is met again while the return of its alarm was waiting: a number, or news to people who had closed it."""
        alarm = watch.alarm
        if alarm is not None and alarm.is_chattering and alarm.handling is Handling.CLOSED:
            self._book.activate(watch, step, reading)
        else:
            self._book.count(watch, step)

    def ring(self, key: str, step: Step) -> None:
        """A delay has ended."""
        watch = self._book.watches[_source(key)]
        if key.startswith("for|"):
            self._book.activate(watch, step, None)
        elif watch.is_active:
            self._book.write(watch, "returned", {"value": watch.told(None)}, step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on with a delay after a restart; False where its rule or source is gone, or its end was reached."""
        watch = self._book.watches.get(_source(key))
        is_for = key.startswith("for|")
        if watch is None or watch.is_active is is_for:
            return False
        watch.met = is_for
        watch.raw = watch.raw or is_for
        not_before = now.mono_s if is_for else self.settled_mono_s
        self._timers.restore(key, started_at, duration_s, now, not_before=not_before)
        return True

    def stop(self, key: str, step: Step) -> None:
        """Forget a delay, if it runs."""
        change = self._timers.stop(key)
        if change is not None:
            step.timers.append(change)


def _source(key: str) -> tuple[str, str]:
    _, rule_id, source_id = key.split("|", 2)
    return rule_id, source_id
