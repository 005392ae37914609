"""Room: rules. ``sequence``: this, and then that within a time, in one group; a third thing in between calls it off.

Each of the three counts at the moment at which it becomes true. What calls off does so as long as it lasts: a door
that was opened with leave before it was forced is no break-in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway.model import Now, Reading, Rule, Step, Value, without_card
from gateway.rules.conditions import check_fits, compile_part
from gateway.rules.groups import GroupJudge
from gateway.rules.judge import HELD_S, Ground, Rising
from gateway.rules.points import PointState
from gateway.rules.watch import GroupWatch, Watch

_FIRST, _THEN, _UNLESS = range(3)
_ORDER = (_THEN, _UNLESS, _FIRST)  # of the ears at one point: the same reading is never both this and that


class Sequence(GroupJudge):
    """``then|<rule>|<group>`` runs from the first to the second; ``then|<rule>|<part>|<point>``: the part is true."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        condition = rule.condition
        if condition.within_s <= 0 or len(condition.parts) not in {2, 3}:
            raise self.fail("a sequence needs two or three parts and within")
        found = [self.grouped(part.points) for part in condition.parts]
        self._groups: dict[str, _Group] = {}
        self._ears: dict[str, _Part] = {}  # by the key of what is remembered
        for key in found[_FIRST]:
            if key in found[_THEN]:
                members = {state.point.id: state for states in found for state in states.get(key, ())}
                group = _Group(self, self.group_watch(key, list(members.values())))
                self._groups[group.watch.source_id] = group
                self._listen(group, [states.get(key, []) for states in found])

    def _listen(self, group: _Group, members: list[list[PointState]]) -> None:
        for part in [each for each in _ORDER if each < len(members)]:
            condition = self.rule.condition.parts[part].condition
            test = compile_part(self.rule, condition)
            for state in members[part]:
                check_fits(self.rule, state.point, condition)
                key = f"then|{self.rule.id}|{part}|{state.point.id}"
                ear = self._ears[key] = _Part(group, part, Rising(self, state, test, key))
                state.ears += (ear,)

    def watches(self) -> Iterable[Watch]:
        """One for each group."""
        return [each.watch for each in self._groups.values()]

    def look_again(self, step: Step) -> None:
        """It lasts no time: there is nothing to look at."""

    def ring(self, key: str, step: Step) -> None:
        """The second did not come in time; or nothing, after ten years."""
        if key in self._ears:
            self.start(key, HELD_S, step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on waiting for the second."""
        ear = self._ears.get(key)
        if ear is not None:
            return ear.restore(started_at, duration_s, now)
        if key.split("|", 2)[2] not in self._groups:
            return False
        self.go_on(key, started_at, duration_s, now)
        return True


class _Group:
    """One place. ``hindered``: points that call off, as long as they are true."""

    __slots__ = ("hindered", "key", "owner", "watch")

    def __init__(self, owner: Sequence, watch: GroupWatch) -> None:
        self.owner = owner
        self.watch = watch
        self.key = f"then|{owner.rule.id}|{watch.source_id}"
        self.hindered: set[_Part] = set()

    def happened(self, part: int, reading: Reading, step: Step) -> None:
        """One of the parts has just become true."""
        owner = self.owner
        is_waiting = self.key in owner.ground.timers
        if part == _UNLESS:
            owner.stop(self.key, step)
        elif part == _THEN and is_waiting:
            owner.stop(self.key, step)
            self.watch.shown = without_card(reading.point_id, reading.value)
            self.watch.met_at = reading.at
            owner.ground.delays.fire(self.watch, step, reading)
        elif part == _FIRST and not self.hindered:
            owner.start(self.key, owner.rule.condition.within_s, step)


class _Part:
    """One point in one of the parts."""

    __slots__ = ("_group", "_part", "_rising")

    def __init__(self, group: _Group, part: int, rising: Rising) -> None:
        self._group = group
        self._part = part
        self._rising = rising

    @property
    def watch(self) -> Watch:
        """The group's."""
        return self._group.watch

    def restore(self, started_at: datetime, duration_s: float, now: Now) -> bool:
        """It was true before the restart."""
        self._rising.restore(started_at, duration_s, now)
        if self._part == _UNLESS:
            self._group.hindered.add(self)
        return True

    def hear(self, _state: PointState, _previous: Value | None, reading: Reading, step: Step) -> None:
        """Has it just become true?"""
        has_happened = self._rising.hear(reading, step)
        if self._part == _UNLESS:
            (self._group.hindered.add if self._rising.is_met else self._group.hindered.discard)(self)
        if has_happened:
            self._group.happened(self._part, reading, step)

    def hear_late(self, _state: PointState, reading: Reading, step: Step) -> None:
        """What comes late has no place in an order, except that it is better to be called in vain for what is vital."""
        if self._part == _THEN and self.watch.is_vital and self._rising.hear_late(reading):
            self._group.happened(self._part, reading, step)
