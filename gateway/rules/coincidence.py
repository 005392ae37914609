"""Room: rules. ``devices``: so many different devices of one group at once, or within a time.

Two reports of one device never count twice, and a device that marks say does not count never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from gateway.model import Now, Quality, Reading, Rule, Step, Value
from gateway.rules.conditions import Test, check_fits, compile_part, is_event
from gateway.rules.groups import GroupJudge
from gateway.rules.judge import HELD_S, Ground
from gateway.rules.points import PointState
from gateway.rules.watch import GroupWatch, Watch


class Coincidence(GroupJudge):
    """A point counts while its timer ``within|<rule>|<point>`` runs: held while it is met, then for ``within_s``."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        condition = rule.condition
        if len(condition.parts) != 1 or condition.count < 1:
            raise self.fail("devices needs one part and a number of devices from 1")
        part = condition.parts[0]
        self.within_s = condition.within_s
        is_moment = is_event(part.condition)
        if is_moment and self.within_s <= 0:
            raise self.fail("devices of an event (changed_to) needs within")
        test = compile_part(rule, part.condition)
        self._members: dict[str, _Member] = {}
        self._groups: list[_Group] = []
        for key, states in self.grouped(part.points).items():
            group = _Group(self, self.group_watch(key, states))
            self._groups.append(group)
            for state in states:
                check_fits(rule, state.point, part.condition)
                member = _Member(group, state, test, is_moment=is_moment or state.point.is_event)
                self._members[state.point.id] = member
                state.ears += (member,)

    def watches(self) -> Iterable[Watch]:
        """One for each group."""
        return [each.watch for each in self._groups]

    def ring(self, key: str, step: Step) -> None:
        """A member's time is over."""
        member = self._members[key.split("|", 2)[2]]
        member.leave(step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """A member goes on counting."""
        member = self._members.get(key.split("|", 2)[2])
        if member is None:
            return False
        member.is_met = duration_s >= HELD_S
        if not member.is_met and not self.within_s:
            return False
        self.go_on(key, started_at, duration_s, now)
        member.group.counted[member.device_id] += 1
        return True

    def look_again(self, step: Step) -> None:
        """Marks may have changed who counts."""
        for group in self._groups:
            group.judge(step, None)

    def keep(self, member: _Member, step: Step) -> None:
        """Start (again) or end the time in which ``member`` counts."""
        if member.is_met:
            self.start(member.key, HELD_S, step)
        elif self.within_s > 0:
            self.start(member.key, self.within_s, step)
        else:
            self.stop(member.key, step)


class _Group:
    """The members of one place; ``counted``: how many points of each device count now."""

    __slots__ = ("counted", "owner", "watch")

    def __init__(self, owner: Coincidence, watch: GroupWatch) -> None:
        self.owner = owner
        self.watch = watch
        self.counted: Counter[str] = Counter()

    def judge(self, step: Step, reading: Reading | None) -> None:
        """Are they enough?"""
        counts = self.owner.ground.counts
        devices = sum(1 for device_id in self.counted if counts(device_id))
        self.watch.shown = devices
        if reading is not None:
            reading = reading._replace(value=devices)
        self.owner.ground.delays.set(self.watch, step, reading, raw=devices >= self.owner.rule.condition.count)


class _Member:
    """One point of a group."""

    __slots__ = ("device_id", "group", "is_met", "is_moment", "key", "met_at", "test")

    def __init__(self, group: _Group, state: PointState, test: Test, *, is_moment: bool) -> None:
        self.group = group
        self.test = test
        self.device_id = state.point.device_id
        self.key = f"within|{group.owner.rule.id}|{state.point.id}"
        self.is_met = False
        self.is_moment = is_moment
        self.met_at: datetime | None = None

    @property
    def watch(self) -> Watch:
        """The group's."""
        return self.group.watch

    def hear(self, _state: PointState, _previous: Value | None, reading: Reading, step: Step) -> None:
        """Level: it counts while it is met. Moment: it counts from now."""
        met = self.test(reading.value, self.is_met)
        if met:
            self.met_at = reading.at
        if self.is_moment:
            if met and reading.quality is Quality.GOOD:
                self._count(step, reading)
        elif met is not self.is_met:
            self.is_met = met
            self._count(step, reading)

    def hear_late(self, _state: PointState, reading: Reading, step: Step) -> None:
        """Old news of a detector still counts: it was in alarm, and nobody knew."""
        is_news = self.met_at is None or reading.at > self.met_at
        if self.is_met or not (self.watch.is_vital and is_news and self.test(reading.value, False)):
            return
        if self.is_moment and reading.quality is not Quality.GOOD:
            return
        self.met_at = reading.at
        self.is_met = not self.is_moment and not self.group.owner.within_s  # else its time runs from now
        self._count(step, reading)

    def leave(self, step: Step) -> None:
        """Its timer has ended."""
        self._uncount()
        self.group.judge(step, None)

    def _count(self, step: Step, reading: Reading) -> None:
        timers = self.group.owner.ground.timers
        was_in = self.key in timers
        self.group.owner.keep(self, step)
        is_in = self.key in timers
        if is_in and not was_in:
            self.group.counted[self.device_id] += 1
        elif was_in and not is_in:
            self._uncount()
        self.group.judge(step, reading)

    def _uncount(self) -> None:
        counted = self.group.counted
        counted[self.device_id] -= 1
        if not counted[self.device_id]:
            del counted[self.device_id]
