"""What waits for the disk, and what becomes of it while the disk refuses (ADR 0006, 0016). No loop, no SQL here.

Nothing may grow for as long as that lasts, and nothing may make the gateway deaf: a broker hands over no more than
its window of unacknowledged messages, and by default that is 20 (mosquitto.conf, max_inflight_messages).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.counters import Counters
from gateway.model import Arrival, Mark, MarkChange, Now, Step, TimerChange
from gateway.store.passes import passes_of

MOST_INPUTS = 500  # stepped while the disk refuses: beyond it telemetry is given up
MOST_STEPS = 1_000  # with more than telemetry: beyond it the oldest become one
MOST_RECORDS = 5_000  # events, commands, notices of that one, each: beyond it the oldest are not written
MOST_PASSES = 20_000  # readings of passes in it, up to four of each: they are given up last
GROUP_EVENTS = 512  # in one transaction: an alarm that comes after a flood waits for so much of it at a time
_READINGS_PER_EVENT = 50  # so many cost a transaction as much as an event
MOST_UNACKNOWLEDGED = 8  # messages: beyond it a small window would soon be used up


@dataclass(slots=True)
class Stepped:
    """One step on its way to the disk."""

    step: Step
    arrivals: list[Arrival]
    inputs: int
    is_shown: bool = False
    is_relieved: bool = False  # acknowledged already, though the disk has it not yet

    @property
    def is_vital(self) -> bool:
        """Must it never be acknowledged before the disk has it?

        An alarm has come of it, or a mark changed; or a message in it has come before, and what came of that waits.
        """
        return is_of_alarm(self.step) or any(not each.inputs for each in self.arrivals)

    @property
    def weight(self) -> int:
        """How much of a transaction it is, in events."""
        return len(self.step.events) + len(self.step.readings) // _READINGS_PER_EVENT

    def relieve(self) -> None:
        """Tell the senders now that they need not keep their messages any more."""
        if self.is_relieved or self.is_vital:
            return
        self.is_relieved = True
        receipts = [each.receipt for each in self.arrivals if each.receipt is not None]
        self.arrivals = [each._replace(receipt=None) for each in self.arrivals]
        for receipt in receipts:
            receipt()


Group = list[Stepped]


def must_be_kept(step: Step) -> bool:
    """Is there more in it than telemetry?"""
    return is_of_alarm(step) or bool(step.timers or step.replies or step.results)


def is_of_alarm(step: Step) -> bool:
    """Has an alarm come of it, or a mark changed?"""
    return bool(step.events or step.commands or step.notices or step.marks)


def shed(pending: Sequence[Stepped], counters: Counters) -> Group:
    """What of ``pending`` still waits for the disk.

    Telemetry is kept up to a bound, and then given up (and acknowledged, see `relieve`); of the oldest steps with
    alarms the state is kept, and the newest records.
    """
    if sum(each.inputs for each in pending) <= MOST_INPUTS:
        return list(pending)
    kept: Group = []
    for each in pending:
        if each.is_vital or must_be_kept(each.step) or _has_passes(each, counters):
            kept.append(each)
    over = len(kept) - MOST_STEPS
    return kept if over <= 0 else [_as_one(kept[: over + 1], counters), *kept[over + 1 :]]


def first_group(pending: Sequence[Stepped]) -> int:
    """How many of ``pending`` are written together: at least one, and no more events than `GROUP_EVENTS`."""
    weight, count = 0, 0
    for each in pending:
        weight += each.weight
        if count and weight > GROUP_EVENTS:
            break
        count += 1
    return count


def _has_passes(stepped: Stepped, counters: Counters) -> bool:
    """Give up its telemetry but for who went through a door, which is a record; was there anybody?"""
    passes = passes_of(stepped.step.readings)
    if len(passes) < len(stepped.step.readings):
        counters.count("readings_not_stored", len(stepped.step.readings) - len(passes), reason="disk")
    stepped.step.readings, stepped.inputs = passes, len(passes)
    stepped.relieve()
    return bool(passes)


def relieve(group: Sequence[Stepped]) -> bool:
    """Acknowledge the oldest telemetry, so that the broker goes on handing over; True where there is too little of it,
    and its window may soon be used up by alarms.
    """  # noqa: D205 - one paragraph
    waiting = _unacknowledged(group)
    for each in group:
        if waiting <= MOST_UNACKNOWLEDGED:
            return False
        before = _unacknowledged([each])
        each.relieve()
        waiting += _unacknowledged([each]) - before
    return waiting > MOST_UNACKNOWLEDGED


def _dated(change: TimerChange, at: Now, now: Now) -> TimerChange:
    """A change of the step ``at`` as one of the step ``now``: its start by the wall clock as it stands then."""
    if change.started_at is None:
        return change
    set_by = (now.utc - at.utc) - timedelta(seconds=now.mono_s - at.mono_s)
    return change._replace(started_at=change.started_at + set_by)


def _unacknowledged(group: Sequence[Stepped]) -> int:
    """How many messages their broker still keeps for us."""
    return sum(arrival.receipt is not None for each in group for arrival in each.arrivals)


def _as_one(group: Sequence[Stepped], counters: Counters) -> Stepped:
    """What these steps lead to, in one: every alarm, timer and mark as it is afterwards, and the newest records."""
    one = Step(group[-1].step.now)
    timers: dict[str, TimerChange] = {}
    marks: dict[tuple[Mark, str, str], MarkChange] = {}
    for step in (each.step for each in group):
        one.alarms |= step.alarms
        one.events += step.events
        one.commands += step.commands
        one.notices += step.notices
        one.replies += step.replies
        one.results += step.results
        timers |= {change.key: _dated(change, step.now, one.now) for change in step.timers}
        marks |= {(change.mark, change.scope, change.key): change for change in step.marks}
        passes = passes_of(step.readings)
        one.readings += passes
        counters.count("readings_not_stored", len(step.readings) - len(passes), reason="disk")
    one.timers, one.marks = list(timers.values()), list(marks.values())
    over = max(0, len(one.readings) - MOST_PASSES)
    if over:
        lost = sum(each.point_id.endswith("/pass") for each in one.readings[:over])
        counters.count("passes_not_stored", lost, reason="disk")
        del one.readings[:over]
    for records in (one.events, one.commands, one.notices):
        over = len(records) - MOST_RECORDS
        if over > 0:
            counters.count("records_not_stored", over, reason="disk")
            del records[:over]
    arrivals = [arrival for each in group for arrival in each.arrivals if arrival.receipt is not None]
    return Stepped(one, arrivals, 0, is_shown=all(each.is_shown for each in group))
