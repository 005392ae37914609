"""Room: rules. What judges of conditions have in common: a judge decides for one rule that needs more than one value.

A judge hears the readings of its points (and nothing else: rules elsewhere cost nothing), sets its watches met or
not met, and keeps what it must remember as running timers, so that a restart changes nothing. Plain comparisons of
one value need no judge: `gateway.rules.engine` does them itself. Each judge is in a file of its own, the table of
them in `gateway.rules.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.counters import Counters
from gateway.model import AlarmEvent, Device, Now, Quality, Reading, Rule, Site, Step, Value
from gateway.rules.book import Book
from gateway.rules.calendars import Calendars
from gateway.rules.conditions import Test
from gateway.rules.delays import Delays
from gateway.rules.linkage import Linkage
from gateway.rules.points import PointState
from gateway.rules.timers import Timers
from gateway.rules.watch import PointWatch, Watch

HELD_S = 10 * 365 * 86_400.0  # of a timer that is only there to be remembered


class Ear(Protocol):
    """What hears the readings of one point."""

    @property
    def watch(self) -> Watch:
        """Whose alarm is confirmed when the point speaks."""
        ...

    def hear(self, state: PointState, previous: Value | None, reading: Reading, step: Step) -> None:
        """A reading that was believed; ``state`` has it already, ``previous`` is what it had."""
        ...

    def hear_late(self, state: PointState, reading: Reading, step: Step) -> None:
        """A reading that is older than what is known."""
        ...


@dataclass(slots=True)
class Ground:
    """What judges stand on."""

    site: Site
    devices: Mapping[str, Device]
    points: Mapping[str, PointState]
    timers: Timers
    book: Book
    delays: Delays
    linkage: Linkage
    calendars: Calendars
    counters: Counters
    # Marks answer these (`gateway.model.Mark`). A device that is disabled, out of service or in a walk test does not
    # count; where somebody is away no sign of life is expected.
    counts: Callable[[str], bool] = lambda _device_id: True
    is_away: Callable[[str], bool] = lambda _device_id: False


class Judge:
    """Decides for one rule. What it does not need does nothing."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        """Raises ValueError where the rule could never work."""
        self.rule = rule
        self.ground = ground
        self.gate = ground.calendars.gate(rule)

    def ring(self, key: str, step: Step) -> None:
        """A timer of this rule has ended."""

    def restore(self, _key: str, _started_at: datetime, _duration_s: float, _now: Now) -> bool:
        """Go on with a timer after a restart; False where there is nothing left that it could be for."""
        return False

    def resume(self, step: Step) -> None:
        """The first step: alarms and timers are as they were."""
        self.look_again(step)

    def look_again(self, step: Step) -> None:
        """Calendars or marks may have changed."""
        for watch in self.watches():
            self.ground.delays.set(watch, step, raw=watch.raw)

    def hear_person(self, event: AlarmEvent, watch: Watch, step: Step) -> None:
        """A person has done something to an alarm of this rule."""

    def watches(self) -> Iterable[Watch]:
        """All of the rule's."""
        return ()

    # For those who decide

    def fail(self, words: str) -> ValueError:
        """What is wrong with the rule."""
        return ValueError(f"rule {self.rule.id}: {words}")

    def state_of(self, point_id: str) -> PointState:
        """The point; raises ValueError where there is none."""
        state = self.ground.points.get(point_id)
        if state is None:
            raise self.fail(f"there is no point {point_id}")
        return state

    def watch_at(self, state: PointState, test: Test) -> PointWatch:
        """A new watch of the rule at a point, known to the book."""
        outputs = self.ground.linkage.outputs(self.rule, state.point)
        watch = PointWatch(self.rule, state, test, outputs, self.gate)
        self.ground.book.watches[self.rule.id, state.point.id] = watch
        return watch

    def start(self, key: str, duration_s: float, step: Step, *, ago_s: float = 0.0) -> None:
        """Run a timer that began ``ago_s`` seconds ago."""
        step.timers.append(self.ground.timers.start(key, duration_s, step.now, ago_s=ago_s))

    def stop(self, key: str, step: Step) -> None:
        """Forget a timer, if it runs."""
        self.ground.delays.stop(key, step)

    def go_on(self, key: str, started_at: datetime, duration_s: float, now: Now, *, late_s: float = 0.0) -> None:
        """Run a timer again that ran before a restart; ``late_s``: how much older than the truth its start may be."""
        if duration_s >= HELD_S:
            started_at = now.utc  # it has no end that a clock could reach
        self.ground.timers.restore(key, started_at, duration_s, now, not_before=now.mono_s, late_s=late_s)


class Rising:
    """Has a test just become true at a point? That it is true is remembered by a timer, so a restart is no change.

    A momentary act (a press) has no lasting truth: every new message of it counts.
    """

    __slots__ = ("_is_moment", "_judge", "_key", "_test", "is_met", "met_at")

    def __init__(self, judge: Judge, state: PointState, test: Test, key: str) -> None:
        self._judge = judge
        self._test = test
        self._key = key
        self._is_moment = state.point.is_event
        self.is_met = False
        self.met_at: datetime | None = None

    def restore(self, started_at: datetime, duration_s: float, now: Now) -> bool:
        """It was true before the restart."""
        self._judge.go_on(self._key, started_at, duration_s, now)
        self.is_met = True
        return True

    def hear(self, reading: Reading, step: Step) -> bool:
        """Is this the moment at which it became true? What is only told again (retained) never is."""
        met = self._test(reading.value, self.is_met)
        if met:
            self.met_at = reading.at
        is_news = reading.quality is Quality.GOOD
        if self._is_moment:
            return met and is_news
        if met is self.is_met:
            return False
        self.is_met = met
        if met:
            self._judge.start(self._key, HELD_S, step)
        else:
            self._judge.stop(self._key, step)
        return met and is_news

    def hear_late(self, reading: Reading) -> bool:
        """Was it true, and was that not known: at a time after the newest at which it was true?"""
        is_news = self.met_at is None or reading.at > self.met_at
        if not (is_news and not self.is_met and reading.quality is Quality.GOOD and self._test(reading.value, False)):
            return False
        self.met_at = reading.at
        return True
