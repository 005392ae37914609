"""Room: rules. ``absent``: a point from which no reading has come for so long.

A reading costs a timer only now and then: what is written down is at most a tenth of the window older than the last
reading. So across a restart an absence may be told up to a tenth late, and never early.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway.model import Now, Quality, Reading, Rule, Step, Value
from gateway.rules.judge import HELD_S, Ground, Judge
from gateway.rules.points import PointState
from gateway.rules.watch import PointWatch, Watch

SHARE = 0.1  # of the window: how old what is written down may be
_MET = "met"


class Absence(Judge):
    """The window is the timer ``absent|<rule>|<point>``; ``…|met``: it is over, and a calendar holds it back."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        if rule.condition.within_s <= 0:
            raise self.fail("absent needs a time")
        self._silences: dict[str, _Silence] = {}
        for point_id in rule.points:
            state = self.state_of(point_id)
            silence = _Silence(self, self.watch_at(state, lambda _value, _met: False))
            self._silences[point_id] = silence
            state.ears += (silence,)

    def watches(self) -> Iterable[Watch]:
        """One for each point."""
        return [each.watch for each in self._silences.values()]

    def ring(self, key: str, step: Step) -> None:
        """A window may be over."""
        point_id, _, what = key.split("|", 2)[2].partition("|")
        if what == _MET:
            self.start(key, HELD_S, step)
        else:
            self._silences[point_id].ring(step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on waiting, or remember that it was over."""
        point_id, _, what = key.split("|", 2)[2].partition("|")
        silence = self._silences.get(point_id)
        if silence is None:
            return False
        if what == _MET:
            silence.watch.raw = True
        else:
            duration_s = self.rule.condition.within_s  # by the rule as it is now
        self.go_on(key, started_at, duration_s, now, late_s=0.0 if what else SHARE * duration_s)
        return True

    def resume(self, step: Step) -> None:
        """What was never heard is awaited from now on."""
        for silence in self._silences.values():
            silence.resume(step)


class _Silence:
    """How long one point has been silent."""

    __slots__ = ("_key", "_last_s", "_owner", "_started_s", "_watch")

    def __init__(self, owner: Absence, watch: PointWatch) -> None:
        self._owner = owner
        self._watch = watch
        self._key = f"absent|{owner.rule.id}|{watch.source_id}"
        self._last_s: float | None = None  # the last reading, on the monotonic clock
        self._started_s = float("-inf")  # where the running timer begins

    @property
    def watch(self) -> Watch:
        """The point's."""
        return self._watch

    def hear(self, _state: PointState, _previous: Value | None, reading: Reading, step: Step) -> None:
        """It is not silent. A state that is only told again (retained) says nothing of now."""
        if reading.quality is not Quality.GOOD:
            return
        owner, now_s = self._owner, step.now.mono_s
        self._last_s = now_s
        if self._watch.raw:
            owner.stop(f"{self._key}|{_MET}", step)
            owner.ground.delays.set(self._watch, step, reading, raw=False)
        within_s = owner.rule.condition.within_s
        if now_s - self._started_s >= SHARE * within_s:
            self._started_s = now_s
            owner.start(self._key, within_s, step)

    def hear_late(self, state: PointState, reading: Reading, step: Step) -> None:
        """What comes late has come."""
        self.hear(state, None, reading, step)

    def ring(self, step: Step) -> None:
        """The window of what is written down is over; has a reading come in it?"""
        within_s, now_s = self._owner.rule.condition.within_s, step.now.mono_s
        if self._last_s is not None and self._last_s + within_s > now_s:
            self._started_s = self._last_s
            self._owner.start(self._key, within_s, step, ago_s=now_s - self._last_s)
            return
        self._started_s = float("-inf")
        if self._watch.gate is not None:
            self._owner.start(f"{self._key}|{_MET}", HELD_S, step)
        self._owner.ground.delays.set(self._watch, step, raw=True)

    def resume(self, step: Step) -> None:
        """The first step after a start."""
        watch = self._watch
        raw = watch.raw or watch.met
        if not raw and self._key not in self._owner.ground.timers:
            self._started_s = step.now.mono_s
            self._owner.start(self._key, self._owner.rule.condition.within_s, step)
        self._owner.ground.delays.set(watch, step, raw=raw)
