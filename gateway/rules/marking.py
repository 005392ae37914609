"""Room: rules. What setting and lifting a mark does to the alarms: silent for now, and the truth again afterwards.

Which marks there are, who may set them and what they cover is in `gateway.rules.marks`. No mark ever moves the
condition or the latch of an alarm, and none ends one.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.model import SYSTEM, Actor, Alarm, AlarmCondition, Mark, MarkChange, OperatorRequest, Reply, Step, Verb
from gateway.rules.book import Book
from gateway.rules.conditions import is_event
from gateway.rules.marks import OFF, Marks
from gateway.rules.timers import Timers
from gateway.rules.verbs import Refusal
from gateway.rules.watch import PointWatch, Watch


class Marking:
    """Carries out requests of marks, and their ends."""

    def __init__(self, book: Book, marks: Marks, timers: Timers) -> None:
        self._book = book
        self._marks = marks
        self._timers = timers

    def answer(self, request: OperatorRequest, step: Step) -> None:
        """Set or lift a mark, or say why not."""
        verdict = self._book.refuse_late(request, step) or self._marks.decide(request, step.now)
        if isinstance(verdict, Refusal):
            self._book.refuse(request, verdict, 0, step)
            return
        if request.verb is Verb.MARK:
            self._set(verdict, request.actor, step)
        else:
            self._lift(verdict, request.actor, request.args.get("reason", "").strip(), step)
        step.replies.append(Reply(request.id, True))

    def ring(self, key: str, step: Step) -> None:
        """The time of a mark is over."""
        change = self._marks.get(key)
        assert change is not None, f"the timer {key} outlived its mark"
        self._lift(change, SYSTEM, "", step)

    def resume(self, step: Step) -> None:
        """After a restart, perhaps with another configuration: alarms are as the marks say."""
        self._marks.resume(step)
        for alarm in list(self._book.alarms.values()):
            if alarm.shelved_until_at is not None and self._marks.shelf_of(alarm.rule_id, alarm.point_id) is None:
                self._book.add(alarm, "unshelved", {}, step)
        self._show(step, SYSTEM)

    def _set(self, change: MarkChange, actor: Actor, step: Step) -> None:
        self._marks.put(change, step)
        if change.mark not in OFF:
            return  # the others speak of what is raised from now on
        for alarm in list(self._book.alarms.values()):
            if not alarm.is_out_of_service and change.mark in self._covering(alarm):
                data = {"mark": str(change.mark), "reason": change.reason}
                self._book.add(alarm, "out_of_service", data, step, actor=actor)

    def _lift(self, change: MarkChange, actor: Actor, reason: str, step: Step) -> None:
        self._marks.remove(change, actor, reason, step)
        if change.mark is Mark.SHELVED:
            for alarm in list(self._book.alarms.values()):
                if alarm.shelved_until_at is not None and f"{alarm.rule_id}:{alarm.point_id}" == change.key:
                    self._book.add(alarm, "unshelved", {}, step, actor=actor)
            return
        self._show(step, actor)
        if change.mark is Mark.DISABLED:
            self._raise_withheld(step)

    def _show(self, step: Step, actor: Actor) -> None:
        """Open alarms that no mark excuses any more: heard again, and for real where the cause is still there."""
        for alarm in self._book.stages.in_order(self._book.alarms.values()):
            if alarm.is_out_of_service and self._covering(alarm).isdisjoint(OFF):
                self._book.add(alarm, "in_service", {}, step, actor=actor)
            watch = self._book.watch_of(alarm)
            if watch is not None and not _is_unheard(watch):
                self._tell_for_real(watch, step)

    def hear(self, watches: Iterable[Watch], step: Step) -> None:
        """Their point has reported for the first time since the start: what `_show` had to leave open."""
        for watch in watches:
            self._tell_for_real(watch, step)

    def _tell_for_real(self, watch: Watch, step: Step) -> None:
        """Raise the alarm again if its drill or test is over and its cause is still there."""
        alarm = watch.alarm
        if alarm is None or not alarm.marks or is_event(watch.rule.condition):  # a press in a drill was a drill
            return
        if alarm.condition is AlarmCondition.ACTIVE and not self._covering(alarm).issuperset(alarm.marks):
            self._book.activate(watch, step, None)

    def _covering(self, alarm: Alarm) -> frozenset[Mark]:
        watch = self._book.watch_of(alarm)
        return self._marks.of(alarm.point_id) if watch is None else watch.covered(self._marks.of)

    def _raise_withheld(self, step: Step) -> None:
        """What is true at points that were disabled until now."""
        for watch in self._book.watches.values():
            is_waiting = watch.for_key in self._timers
            if watch.met and not watch.is_active and not is_waiting and not is_event(watch.rule.condition):
                self._book.activate(watch, step, None)


def _is_unheard(watch: Watch) -> bool:
    """Is its alarm from the journal, and its point silent since the start? A test long over must open no doors."""
    return isinstance(watch, PointWatch) and watch in watch.state.levels and watch.state.value is None
