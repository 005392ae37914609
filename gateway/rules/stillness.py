"""Room: rules. ``still``: nothing in a group has changed for so long, such as no sign of life in a flat.

Only a change is a sign of life: a value told again, retained, late or bad is none, nor is the first value of a point
after a start. Time outside the rule's calendars, and while somebody is away, does not count: the window waits.
A person's word (a false alarm, a closed one) is a sign of life too. Silence does not end by the clock: an alarm
stays while calendars are closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from gateway.model import AlarmEvent, Now, Quality, Reading, Rule, Step, Value
from gateway.rules.absence import SHARE
from gateway.rules.groups import GroupJudge
from gateway.rules.judge import HELD_S, Ground
from gateway.rules.points import PointState
from gateway.rules.watch import GroupWatch, Watch

_LEFT = "left="


class Stillness(GroupJudge):
    """The window is the timer ``absent|<rule>|<group>``; ``…|left=<seconds>``: it waits, with so much left."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        condition = rule.condition
        if condition.within_s <= 0 or len(condition.parts) != 1:
            raise self.fail("still needs points and a time")
        self._rooms: dict[str, _Room] = {}
        for key, states in self.grouped(condition.parts[0].points).items():
            watch = self.group_watch(key, states)
            watch.gate = None
            room = _Room(self, watch, sorted({each.point.device_id for each in states}))
            self._rooms[watch.source_id] = room
            for state in states:
                state.ears += (room,)

    def watches(self) -> Iterable[Watch]:
        """One for each group."""
        return [each.watch for each in self._rooms.values()]

    def ring(self, key: str, step: Step) -> None:
        """A window may be over."""
        source_id, _, what = key.split("|", 2)[2].partition("|")
        if what:
            self.start(key, HELD_S, step)
        else:
            self._rooms[source_id].ring(step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on waiting; what is written down may be a tenth of the window old."""
        source_id, _, what = key.split("|", 2)[2].partition("|")
        room = self._rooms.get(source_id)
        if room is None:
            return False
        within_s = self.rule.condition.within_s
        if what:
            room.left_key = key
            room.left_s = min(float(what.removeprefix(_LEFT)) + SHARE * within_s, within_s)
            self.go_on(key, started_at, duration_s, now)
        else:
            self.go_on(key, started_at, within_s, now, late_s=SHARE * within_s)
        return True

    def resume(self, step: Step) -> None:
        """What was never heard is awaited from now on."""
        for room in self._rooms.values():
            room.resume(step)

    def look_again(self, step: Step) -> None:
        """Time counts again, or no more."""
        for room in self._rooms.values():
            room.look(step)

    def hear_person(self, event: AlarmEvent, watch: Watch, step: Step) -> None:
        """Who closes it, or says that it is a false alarm, knows that all is well."""
        is_well = event.kind == "closed" or (event.kind == "verified" and not event.data["real"])
        room = self._rooms.get(watch.source_id)
        if is_well and room is not None:
            room.live(step, None)


class _Room:
    """How long one group has been still."""

    __slots__ = ("_devices", "_key", "_last_s", "_owner", "_started_s", "_watch", "left_key", "left_s")

    def __init__(self, owner: Stillness, watch: GroupWatch, devices: Sequence[str]) -> None:
        self._owner = owner
        self._watch = watch
        self._devices = devices
        self._key = f"absent|{owner.rule.id}|{watch.source_id}"
        self._last_s: float | None = None  # the last sign of life, on the monotonic clock, moved on by pauses
        self._started_s = float("-inf")  # where the running timer begins
        self.left_key = ""  # of the waiting window that is written down ...
        self.left_s = 0.0  # ... and what is left of it

    @property
    def watch(self) -> Watch:
        """The group's."""
        return self._watch

    def hear(self, state: PointState, previous: Value | None, reading: Reading, step: Step) -> None:
        """Has something changed?"""
        has_changed = state.point.is_event or (previous is not None and reading.value != previous)
        if has_changed and reading.quality is Quality.GOOD:
            self.live(step, reading)

    def hear_late(self, _state: PointState, _reading: Reading, _step: Step) -> None:
        """An old change says nothing of now."""

    def live(self, step: Step, reading: Reading | None) -> None:
        """A sign of life."""
        owner, now_s = self._owner, step.now.mono_s
        within_s = owner.rule.condition.within_s
        if self._watch.raw:
            owner.ground.delays.set(self._watch, step, reading, raw=False)
        if not self._is_counting():
            if not self.left_key or self.left_s < (1 - SHARE) * within_s:
                self._wait(within_s, step)
            self.left_s = within_s  # what is written down is near enough
            return
        self._last_s = now_s
        if now_s - self._started_s >= SHARE * within_s:
            self._run(0.0, step)

    def look(self, step: Step) -> None:
        """Does time count now? Start or stop the window."""
        timers = self._owner.ground.timers
        if self._is_counting() and self.left_key:
            within_s = self._owner.rule.condition.within_s
            self._run(within_s - self.left_s, step)
        elif not self._is_counting() and self._key in timers:
            self._wait(max(self._left(step), 0.0), step)

    def ring(self, step: Step) -> None:
        """The window of what is written down is over; has there been a sign of life in it?"""
        left_s = 0.0 if self._last_s is None else self._left(step)
        if left_s > 0:
            self._run(self._owner.rule.condition.within_s - left_s, step)
            return
        self._started_s = float("-inf")
        self._watch.shown = self._owner.rule.condition.within_s
        self._owner.ground.delays.set(self._watch, step, raw=True)

    def resume(self, step: Step) -> None:
        """The first step after a start."""
        watch = self._watch
        is_awaited = self._key in self._owner.ground.timers or self.left_key
        raw = watch.raw or watch.met
        if raw:
            watch.shown = self._owner.rule.condition.within_s
        elif not is_awaited:
            self._run(0.0, step)
        self._owner.ground.delays.set(watch, step, raw=raw)
        self.look(step)

    def _is_counting(self) -> bool:
        owner = self._owner
        is_away = all(owner.ground.is_away(each) for each in self._devices)
        return (owner.gate is None or owner.gate.is_open) and not is_away

    def _left(self, step: Step) -> float:
        if self._last_s is None:
            return self._owner.ground.timers.left_s(self._key, step.now.mono_s)
        return self._last_s + self._owner.rule.condition.within_s - step.now.mono_s

    def _run(self, elapsed_s: float, step: Step) -> None:
        """The window runs, and began so long ago."""
        if self.left_key:
            self._owner.stop(self.left_key, step)
            self.left_key = ""
        self._last_s = self._started_s = step.now.mono_s - elapsed_s
        self._owner.start(self._key, self._owner.rule.condition.within_s, step, ago_s=elapsed_s)

    def _wait(self, left_s: float, step: Step) -> None:
        """The window stands still, with so much left."""
        self._owner.stop(self._key, step)
        if self.left_key:
            self._owner.stop(self.left_key, step)
        self.left_s, self.left_key = left_s, f"{self._key}|{_LEFT}{left_s:.3f}"
        self._owner.start(self.left_key, HELD_S, step)
