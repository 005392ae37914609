"""Room: rules. The judges of a site together, and what makes them look again: calendars, marks, people, the clock.

Readings reach a judge by the ears of its points (`gateway.rules.points`), not through here.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime

from gateway.model import AlarmEvent, Now, Rule, Step
from gateway.rules.calendars import Calendars, Gate
from gateway.rules.conditions import check_times
from gateway.rules.judge import Ground, Judge
from gateway.rules.kinds import judge_of
from gateway.rules.watch import PointWatch


class Bench:
    """One judge for each rule that needs one, and the gates of the rules that need none."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._calendars: Calendars = ground.calendars
        self._judges: dict[str, Judge] = {}  # by rule id
        self._apart: dict[tuple[str, str], Judge] = {}  # of variants of a rule, by rule id and source
        self._all: list[Judge] = []
        self._gated: list[tuple[PointWatch, Gate]] = []

    def takes(self, rule: Rule) -> bool:
        """Make the judge of ``rule``, if it needs one. Raises ValueError where the rule could never work."""
        make = judge_of(rule.condition)
        if make is not None:
            check_times(rule)
            judge = make(rule, self._ground)
            self._all.append(judge)
            if self._judges.setdefault(rule.id, judge) is not judge:
                self._apart.update({(rule.id, each.source_id): judge for each in judge.watches()})
        return make is not None

    def mind(self, watch: PointWatch) -> None:
        """Look at a plain level again when its calendar opens or closes."""
        if watch.gate is not None:
            self._gated.append((watch, watch.gate))

    def next_wake(self) -> float | None:
        """The instant on the monotonic clock at which a calendar may open or close."""
        return self._calendars.next_wake()

    def start(self, now: Now) -> None:
        """What time it is, before anything is decided."""
        self._calendars.look(now)

    def look(self, step: Step) -> None:
        """Has a calendar begun or ended?"""
        changed = self._calendars.look(step.now)
        if changed:
            self._pass(changed, step)
            for judge in self._all:
                if judge.gate in changed:
                    judge.look_again(step)

    def look_again(self, step: Step) -> None:
        """Marks have changed: who counts, who is away."""
        for judge in self._all:
            judge.look_again(step)

    def resume(self, step: Step) -> None:
        """The first step after a start."""
        self._pass([each for each in self._calendars.gates if not each.is_open], step)
        for judge in self._all:
            judge.resume(step)

    def ring(self, key: str, step: Step) -> None:
        """A timer of a judge has ended."""
        judge = self._judge_of(key)
        assert judge is not None, "its timer was started by it"
        judge.ring(key, step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on with a timer of a judge; False where there is nothing left that it could be for."""
        judge = self._judge_of(key)
        return judge is not None and judge.restore(key, started_at, duration_s, now)

    def hear_person(self, events: Sequence[AlarmEvent], step: Step) -> None:
        """What people did may be news for the judge of the alarm's rule, and for others of its kind.

        Whoever knows that all is well in a flat has answered every rule about silence there.
        """
        for event in events:
            alarm = step.alarms[event.alarm_id]
            judge = self._judges.get(alarm.rule_id)
            watch = self._ground.book.watches.get((alarm.rule_id, alarm.point_id))
            if judge is not None and watch is not None:
                for each in self._all:
                    if each.rule.condition.kind == judge.rule.condition.kind:
                        each.hear_person(event, watch, step)

    def _judge_of(self, key: str) -> Judge | None:
        """Whose timer ``key`` is: ``<owner>|<rule>|<source>|…``."""
        _, rule_id, source_id, *_ = (*key.split("|", 3), "")
        return self._apart.get((rule_id, source_id)) or self._judges.get(rule_id)

    def _pass(self, gates: Container[Gate], step: Step) -> None:
        """Plain levels by these gates, which may be other than when their values were last looked at."""
        for watch, gate in self._gated:
            value = watch.state.value
            if gate in gates and (value is not None or not gate.is_open):  # what is not known is not judged
                met = watch.test(value, watch.met)
                if met is not watch.met:
                    watch.met = met
                    self._ground.delays.edge(watch, step, None)
