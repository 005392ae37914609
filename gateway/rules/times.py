"""Room: rules. ``count`` times within ``within_s``: how often one point came into alarm.

Met while so many of the times are not older than the window; it returns when the rate has fallen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from gateway.model import Now, Reading, Rule, Step, Value
from gateway.rules.conditions import check_fits, compile_part
from gateway.rules.judge import HELD_S, Ground, Judge, Rising
from gateway.rules.points import PointState
from gateway.rules.watch import PointWatch, Watch

_MOST = 1000
_ON = "on"


class Times(Judge):
    """A time counts while its timer ``times|<rule>|<point>|<n>`` runs; ``…|on``: the point is in alarm."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        condition = rule.condition
        if not 2 <= condition.count <= _MOST or condition.within_s <= 0:
            raise self.fail(f"times needs from 2 to {_MOST} times and within")
        test = compile_part(rule, condition)
        self._counters: dict[str, _Counter] = {}
        for point_id in rule.points:
            state = self.state_of(point_id)
            check_fits(rule, state.point)
            rising = Rising(self, state, test, self.key(point_id, _ON))
            counter = _Counter(self, self.watch_at(state, test), rising)
            self._counters[point_id] = counter
            state.ears += (counter,)

    def key(self, point_id: str, what: str) -> str:
        """Of a timer."""
        return f"times|{self.rule.id}|{point_id}|{what}"

    def watches(self) -> Iterable[Watch]:
        """One for each point."""
        return [each.watch for each in self._counters.values()]

    def ring(self, key: str, step: Step) -> None:
        """A time is too old now."""
        _, _, point_id, what = key.split("|")
        if what == _ON:
            self.start(key, HELD_S, step)
        else:
            self._counters[point_id].forget(int(what), step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """The oldest comes first."""
        _, _, point_id, what = key.split("|")
        counter = self._counters.get(point_id)
        if counter is None:
            return False
        if what == _ON:
            return counter.rising.restore(started_at, duration_s, now)
        if int(what) >= self.rule.condition.count:
            return False
        self.go_on(key, started_at, duration_s, now)
        counter.running.append(int(what))
        return True

    def look_again(self, step: Step) -> None:
        """Calendars or marks may have changed."""
        for counter in self._counters.values():
            counter.judge(step, None)


class _Counter:
    """The times of one point: at most as many as the rule asks for, the oldest first."""

    __slots__ = ("_owner", "_watch", "rising", "running")

    def __init__(self, owner: Times, watch: PointWatch, rising: Rising) -> None:
        self._owner = owner
        self._watch = watch
        self.rising = rising
        self.running: deque[int] = deque()

    @property
    def watch(self) -> Watch:
        """The point's."""
        return self._watch

    def hear(self, _state: PointState, _previous: Value | None, reading: Reading, step: Step) -> None:
        """One more time, if it has just become true."""
        if self.rising.hear(reading, step):
            self._count(step, reading)

    def hear_late(self, _state: PointState, reading: Reading, step: Step) -> None:
        """Old news of what is vital is a time too."""
        if self._watch.is_vital and self.rising.hear_late(reading):
            self._count(step, reading)

    def forget(self, number: int, step: Step) -> None:
        """Its window is over."""
        self.running.remove(number)
        self.judge(step, None)

    def judge(self, step: Step, reading: Reading | None) -> None:
        """Are they enough?"""
        raw = len(self.running) >= self._owner.rule.condition.count
        self._owner.ground.delays.set(self._watch, step, reading, raw=raw)

    def _count(self, step: Step, reading: Reading) -> None:
        condition = self._owner.rule.condition
        if len(self.running) >= condition.count:
            number = self.running.popleft()
        else:
            number = min(set(range(condition.count)).difference(self.running))
        self.running.append(number)
        self._owner.start(self._owner.key(self._watch.source_id, str(number)), condition.within_s, step)
        self.judge(step, reading)
