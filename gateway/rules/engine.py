"""Room: rules. The engine: readings, device states and operators' requests in; one decided `Step` out.

Pure: time is an argument, nothing is read or written. What a value, a condition, a verb or an action means lives in
the other files of this room; here they meet. The same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.counters import Counters
from gateway.model import (
    Alarm,
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    Handling,
    Input,
    Mark,
    MarkChange,
    NoticeResult,
    Now,
    OperatorRequest,
    Quality,
    Reading,
    Rule,
    Site,
    Step,
    TimerChange,
    Value,
    Verb,
)
from gateway.rules.bench import Bench
from gateway.rules.book import Book
from gateway.rules.calendars import Calendars
from gateway.rules.chatter import WINDOW_S, Chatter
from gateway.rules.conditions import check_fits, compile_test, is_event
from gateway.rules.confirm import CONFIRMED
from gateway.rules.delays import Delays
from gateway.rules.escalation import Escalation
from gateway.rules.grouping import Grouping
from gateway.rules.judge import Ground
from gateway.rules.kinds import OWNERS
from gateway.rules.linkage import Linkage
from gateway.rules.marking import Marking
from gateway.rules.marks import Marks
from gateway.rules.operate import Operating
from gateway.rules.points import ONLINE, RESPONDING, TIME_OK, Doubt, PointState, as_bad, doubt_of, states_of
from gateway.rules.ports import Act, NoticePolicy, no_act
from gateway.rules.tells import Tells
from gateway.rules.timers import Timers
from gateway.rules.watch import PointWatch

MOST_RUNG = 256  # delays that end in one step
SETTLE_S = 60.0  # alarms.md section 3: in the first minute after a start nothing clears


class Engine:
    """Decides. One instance per configuration; `restore` comes before the first `step`."""

    def __init__(
        self, site: Site, *, counters: Counters, policy: NoticePolicy, settle_s: float = SETTLE_S,
        chatter_s: float = WINDOW_S,
    ) -> None:  # fmt: skip
        """Raises ValueError where a rule could never work or could open a gas valve."""
        self._devices = site.devices
        self._counters = counters
        self._points = states_of(site.devices.values())
        self._timers = Timers()
        self._tells = Tells(policy, self._timers)
        self._marks = Marks(site.devices.values(), self._timers)
        chatter = Chatter(self._timers, chatter_s)
        self._book = Book(counters, self._tells, self._marks, chatter, self._points.get(TIME_OK))
        self._grouping = Grouping(site.devices, self._timers, self._book)
        self._book.fires.counts, self._book.fires.covers = self._marks.counts, self._marks.of
        self._marking = Marking(self._book, self._marks, self._timers)
        self._escalation = Escalation(self._book, self._tells, site.devices.values(), counters)
        self._delays = Delays(self._timers, self._book)
        self._ground = Ground(
            site=site,
            devices=site.devices,
            points=self._points,
            timers=self._timers,
            book=self._book,
            delays=self._delays,
            linkage=Linkage(site.devices.values()),
            calendars=Calendars(site.calendars, ZoneInfo(site.timezone)),
            counters=counters,
            counts=self._marks.counts,
            is_away=lambda device_id: Mark.AWAY in self._marks.of(device_id),
        )
        self._bench = Bench(self._ground)
        self.operating = Operating(self._ground)
        self._lost_timers: list[TimerChange] = []  # of what is gone, until the first step
        self._is_resumed = True  # False between `restore` and the first step
        # Whose a timer is says the first word of its key: what happens at its end, and how it goes on after a restart
        # (False: there is nothing left that it could be for).
        self._rings: dict[str, Callable[[str, Step], None]] = {
            "for": self._delays.ring,
            "clear": self._delays.ring,
            "tell": self._escalation.ring_tell,
            "unverified": self._escalation.ring_unverified,
            **dict.fromkeys(OWNERS, self._bench.ring),
            "mark": self._marking.ring,
            "chatter": chatter.ring,
            "group": self._grouping.ring,
            "pulse": self.operating.ring,
        }
        self._restores: dict[str, Callable[[str, datetime, float, Now], bool]] = {
            "for": self._delays.restore,
            "clear": self._delays.restore,
            "tell": self._escalation.restore,
            "unverified": self._escalation.restore,
            **dict.fromkeys(OWNERS, self._bench.restore),
            "mark": self._marks.restore_timer,
            "chatter": chatter.restore,
            "group": self._grouping.restore,
            "pulse": self.operating.restore,
        }
        self._settle_s = settle_s
        self._started_mono_s = float("-inf")
        self._is_started = False
        for rule in self._book.stages.add(site.rules):
            for each in rule.apart():
                self._add(each)
            self._grouping.add(rule)

    @property
    def marks(self) -> Marks:
        """The marks that are set."""
        return self._marks

    @property
    def alarms(self) -> Mapping[str, Alarm]:
        """The open alarms by id, as they are now."""
        return self._book.alarms

    def restore(
        self,
        alarms: Iterable[Alarm],
        occurrences: Mapping[tuple[str, str], int],
        timers: Iterable[tuple[str, datetime, float]],
        now: Now,
        marks: Iterable[MarkChange] = (),
    ) -> None:
        """Go on where the journal ends.

        ``alarms``: at least the open ones. ``occurrences``: the highest occurrence used per (rule id, point id).
        ``timers``: (key, started_at, duration_s) as last given out in `Step.timers`. ``marks``: those that are set.
        """
        self._start(now)
        self._marks.restore(marks)
        for source, occurrence in occurrences.items():
            watch = self._book.watches.get(source)
            if watch is not None:
                watch.occurrence = occurrence
        for alarm in alarms:
            if alarm.is_open:
                self._book.restore(alarm)
        for key, started_at, duration_s in sorted(timers, key=lambda each: (each[1], each[0])):
            restore = self._restores.get(key.partition("|")[0])
            if restore is None or not restore(key, started_at, duration_s, now):
                self._lost_timers.append(TimerChange(key, None))
        self._is_resumed = False

    def restore_said(self, keys: Iterable[str]) -> None:
        """Keys of notices given out before, never to be given out again. Call it after `restore`."""
        assert self._is_started, "restore comes first: keys are kept for open alarms only"
        self._tells.restore_said(keys, self._book.alarms)

    def restore_outputs(self, on: Iterable[tuple[str, str]]) -> None:
        """(alarm id, point id) of what open alarms have switched on, by the commands on record. After `restore`."""
        alarms = self._book.alarms
        held = [(alarms[alarm_id], point_id) for alarm_id, point_id in on if alarm_id in alarms]
        self._book.releases.restore(
            ((alarm, self._book.watch_of(alarm), point_id) for alarm, point_id in held), self._devices
        )

    def next_wake(self) -> float | None:
        """The instant on the monotonic clock at which `step` must be called even without inputs; None: never."""
        if not self._is_resumed:
            return self._started_mono_s
        wakes = [each for each in (self._timers.next_wake(), self._bench.next_wake()) if each is not None]
        return min(wakes, default=None)

    def step(self, inputs: Sequence[Input], now: Now, act: Act = no_act) -> Step:
        """Decide on one batch; all of it happens at ``now``. Delays that have ended by now go first.

        Of very many `MOST_RUNG` end in one step (`next_wake` has come, then): a fire does not wait for all of them.

        ``act`` gets safety commands at their decision, in the middle of the step: nothing delays them, not even
        writing down why. They are in the `Step` too; what ``act`` does changes nothing in it.

        The result of a safety command says whether its device responds; a notice that failed may be followed by one
        over another channel. Other results change nothing here (the pipeline writes them down), nor does a `Tick`.
        """
        step = Step(now)
        self._book.act = act
        if not self._is_started:
            self._start(now)
            self._is_resumed = False
        self._bench.look(step)
        if not self._is_resumed:
            self._resume(step)
        self._ring_due(step)
        read = self._read
        for each in inputs:
            if type(each) is Reading:
                read(each, step)
            elif isinstance(each, OperatorRequest):
                told = len(step.events)
                self._answer(each, step)
                self._bench.hear_person(step.events[told:], step)
            elif isinstance(each, DeviceStatus):
                self._status(each, step)
            elif isinstance(each, CommandResult | NoticeResult):
                self._hear_result(each, step)
        if step.marks:  # who counts, who is away
            self._book.fires.settle(step)
            self._bench.look_again(step)
        self._escalation.see_arrivals(step)
        self._book.release(step)
        self.operating.settle(step)
        self._counters.counts["readings_accepted", ()] += len(step.readings)
        return step

    def _answer(self, request: OperatorRequest, step: Step) -> None:
        if request.verb is Verb.OPERATE:
            self.operating.answer(request, step)
        else:
            (self._book if request.verb.is_of_alarm else self._marking).answer(request, step)

    def _ring_due(self, step: Step) -> None:
        for _ in range(MOST_RUNG):
            key = self._timers.pop_due(step.now.mono_s)
            if key is None:
                return
            step.timers.append(TimerChange(key, None))
            self._rings[key.partition("|")[0]](key, step)

    def _start(self, now: Now) -> None:
        self._is_started = True
        self._started_mono_s = now.mono_s
        self._delays.settled_mono_s = now.mono_s + self._settle_s
        self._bench.start(now)

    def _resume(self, step: Step) -> None:
        """The first step after `restore`: what is gone is said and deleted, delays of notices go on."""
        self._is_resumed = True
        self._grouping.resume(step)
        self._book.stages.resume(step)
        step.timers += self._lost_timers
        self._lost_timers.clear()
        self._book.withdraw_orphans(step)
        self._book.fires.settle(step)
        self._escalation.resume(step)
        self._marking.resume(step)
        self._bench.resume(step)

    def _add(self, rule: Rule) -> None:
        linkage = self._ground.linkage
        if rule.condition.kind == CONFIRMED:
            for compartment in self._book.fires.add(rule, self._ground.site, linkage):
                self._book.watches[rule.id, compartment.source_id] = compartment
            return
        if not self._bench.takes(rule):
            self._add_plain(rule)
        points = (*rule.points, *(each for part in rule.condition.parts for each in part.points))
        linkage.check(rule, {self._points[each].point.device_id for each in points})

    def _add_plain(self, rule: Rule) -> None:
        test = compile_test(rule)
        gate = self._ground.calendars.gate(rule)
        if gate is not None:
            test = gate.guard(test)
        for point_id in rule.points:
            state = self._points.get(point_id)
            if state is None:
                msg = f"rule {rule.id}: there is no point {point_id}"
                raise ValueError(msg)
            check_fits(rule, state.point)
            watch = PointWatch(rule, state, test, self._ground.linkage.outputs(rule, state.point), gate)
            if is_event(rule.condition):
                state.events += (watch,)
            else:
                state.levels += (watch,)
                self._bench.mind(watch)
            self._book.watches[rule.id, point_id] = watch

    # Readings --------------------------------------------------------------------------------------------------

    def _read(self, reading: Reading, step: Step) -> None:
        state = self._points.get(reading.point_id)
        if state is None:
            is_known = reading.point_id.rpartition("/")[0] in self._devices
            self._reject(Doubt.UNKNOWN_POINT if is_known else Doubt.UNKNOWN_DEVICE)
            return
        doubt = doubt_of(state, reading)
        if doubt is Doubt.NONE:
            step.readings.append(reading)
            self._believe(state, reading, step)
        else:
            self._reject(doubt)
            self._doubt(state, reading, doubt, step)

    def _believe(self, state: PointState, reading: Reading, step: Step) -> None:
        previous = state.value
        state.value = value = reading.value
        state.quality = reading.quality
        if previous is None:
            self._confirm(state, step)
        for watch in state.levels:
            met = watch.test(value, watch.met)
            if met:
                watch.met_at = reading.at
            if met is not watch.met:
                watch.met = met
                self._delays.edge(watch, step, reading)
        if previous is None:
            self._marking.hear(state.levels, step)
        if state.events and reading.quality is Quality.GOOD:
            for watch in state.events:
                if watch.test(value, False) and _is_change(watch, value, previous):
                    watch.met_at = reading.at
                    self._book.activate(watch, step, reading)
        for ear in state.ears:
            ear.hear(state, previous, reading, step)

    def _confirm(self, state: PointState, step: Step) -> None:
        for watch in (*state.levels, *state.events, *(ear.watch for ear in state.ears)):
            self._book.confirm(watch, step)

    def _doubt(self, state: PointState, reading: Reading, doubt: Doubt, step: Step) -> None:
        match doubt:
            case Doubt.REPEAT:
                pass
            case Doubt.LATE:
                step.readings.append(reading)
                self._hear_late(state, reading, step)
            case Doubt.BAD | Doubt.STALE:
                state.quality = reading.quality
                step.readings.append(reading)
            case _:
                state.quality = Quality.BAD
                step.readings.append(as_bad(reading, doubt, state))

    def _hear_late(self, state: PointState, reading: Reading, step: Step) -> None:
        """An old reading clears nothing and is no present value; but a call for help is never refused for its time."""
        for watch in (*state.levels, *state.events):
            if not (watch.is_vital and watch.is_news(reading.at) and watch.test(reading.value, False)):
                continue
            watch.met_at = reading.at
            if is_event(watch.rule.condition):
                if reading.quality is Quality.GOOD:
                    self._book.activate(watch, step, reading)
            elif not watch.met and not watch.rule.for_s:
                watch.met = True
                self._delays.edge(watch, step, reading)
        for ear in state.ears:
            ear.hear_late(state, reading, step)

    def _status(self, status: DeviceStatus, step: Step) -> None:
        state = self._points.get(f"{status.device_id}/{ONLINE}")
        if state is None:
            self._reject(Doubt.UNKNOWN_DEVICE)
            return
        if state.value is not status.is_online:
            step.statuses.append(status)
        self._believe(state, Reading(state.point.id, status.is_online, status.at, status.at), step)

    def _hear_result(self, result: CommandResult | NoticeResult, step: Step) -> None:
        if isinstance(result, NoticeResult):
            self._escalation.hear_notice(result, step)
            return
        target = self.operating.hear(result, step)
        if result.outcome is CommandOutcome.SUPERSEDED:
            return
        target = target or self._book.safety_target(result.command_id)
        state = self._points.get(f"{target.rpartition('/')[0]}/{RESPONDING}")
        if state is not None:
            does_respond = result.outcome is CommandOutcome.DONE
            said = f"{result.command_id}: {result.outcome} {result.detail}".rstrip()  # which output, which alarm, why
            self._believe(state, Reading(state.point.id, does_respond, result.at, result.at, detail=said), step)

    def _reject(self, doubt: Doubt) -> None:
        self._counters.counts["readings_rejected", (("reason", str(doubt)),)] += 1


def _is_change(watch: PointWatch, value: Value | None, previous: Value | None) -> bool:
    """Has the point just changed to ``value``? Every message of a momentary act (a press) is a change.

    The first word after a start has no before: for a call for help it counts, unless people are at its alarm already.
    """
    if watch.state.point.is_event:
        return True
    if previous is None:
        return watch.is_vital and (watch.alarm is None or watch.alarm.handling is Handling.CLOSED)
    return value != previous
