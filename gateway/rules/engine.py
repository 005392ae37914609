"""Room: rules. The engine: readings, device states and operators' requests in; one decided `Step` out.

Pure: time is an argument, nothing is read or written. What a value, a condition, a verb or an action means lives in
the other files of this room; here they meet. The same inputs give the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from gateway.counters import Counters
from gateway.model import (
    Alarm,
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    Handling,
    Input,
    Now,
    OperatorRequest,
    Quality,
    Reading,
    Rule,
    Site,
    Step,
    TimerChange,
    Value,
)
from gateway.rules.book import Book
from gateway.rules.conditions import check_fits, compile_test, is_event
from gateway.rules.linkage import Linkage
from gateway.rules.points import ONLINE, RESPONDING, Doubt, PointState, as_bad, doubt_of, states_of
from gateway.rules.ports import Act, NoticePolicy, no_act
from gateway.rules.tells import Tells
from gateway.rules.timers import Timers
from gateway.rules.watch import Watch

SETTLE_S = 60.0  # alarms.md section 3: in the first minute after a start nothing clears


class Engine:
    """Decides. One instance per configuration; `restore` comes before the first `step`."""

    def __init__(self, site: Site, *, counters: Counters, policy: NoticePolicy, settle_s: float = SETTLE_S) -> None:
        """Raises ValueError where a rule could never work or could open a gas valve."""
        self._devices = site.devices
        self._counters = counters
        self._points = states_of(site.devices.values())
        self._timers = Timers()
        self._tells = Tells(policy, self._timers)
        linkage = Linkage(site.devices.values())
        self._book = Book(counters, self._tells)
        self._lost_timers: list[TimerChange] = []  # of what is gone, until the first step
        self._kept_tells: dict[str, datetime] = {}  # when delays of notices had started, until the first step
        self._is_resumed = True  # False between `restore` and the first step
        # Whose a timer is says the first word of its key: what happens at its end, and how it goes on after a restart
        # (False: there is nothing left that it could be for).
        self._rings: dict[str, Callable[[str, Step], None]] = {
            "for": self._ring_delay,
            "clear": self._ring_delay,
            "tell": self._ring_tell,
        }
        self._restores: dict[str, Callable[[str, datetime, float, Now], bool]] = {
            "for": self._restore_delay,
            "clear": self._restore_delay,
            "tell": self._restore_tell,
        }
        self._settle_s = settle_s
        self._settled_mono_s = float("-inf")
        self._is_started = False
        for rule in site.rules:
            self._add(rule, linkage)

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
    ) -> None:
        """Go on where the journal ends.

        ``alarms``: at least the open ones. ``occurrences``: the highest occurrence used per (rule id, point id).
        ``timers``: (key, started_at, duration_s) as last given out in `Step.timers`.
        """
        self._start(now)
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

    def next_wake(self) -> float | None:
        """The instant on the monotonic clock at which `step` must be called even without inputs; None: never."""
        if not self._is_resumed:
            return self._settled_mono_s - self._settle_s
        return self._timers.next_wake()

    def step(self, inputs: Sequence[Input], now: Now, act: Act = no_act) -> Step:
        """Decide on one batch; all of it happens at ``now``. Delays that have ended by now go first.

        ``act`` gets safety commands at their decision, in the middle of the step: nothing delays them, not even
        writing down why. They are in the `Step` too; what ``act`` does changes nothing in it.

        The result of a safety command says whether its device responds. Other results change nothing here (the
        pipeline writes them down), nor does a `Tick`.
        """
        step = Step(now)
        self._book.act = act
        if not self._is_started:
            self._start(now)
        if not self._is_resumed:
            self._resume(step)
        while (key := self._timers.pop_due(now.mono_s)) is not None:
            step.timers.append(TimerChange(key, None))
            self._rings[key.partition("|")[0]](key, step)
        read = self._read
        for each in inputs:
            if type(each) is Reading:
                read(each, step)
            elif isinstance(each, OperatorRequest):
                self._book.answer(each, step)
            elif isinstance(each, DeviceStatus):
                self._status(each, step)
            elif isinstance(each, CommandResult):
                self._hear_result(each, step)
        self._book.release(step)
        self._counters.counts["readings_accepted", ()] += len(step.readings)
        return step

    def _start(self, now: Now) -> None:
        self._is_started = True
        self._settled_mono_s = now.mono_s + self._settle_s

    def _resume(self, step: Step) -> None:
        """The first step after `restore`: what is gone is said and deleted, delays of notices go on."""
        self._is_resumed = True
        step.timers += self._lost_timers
        self._lost_timers.clear()
        kept: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        for key, started_at in self._kept_tells.items():
            kept[key.split("|")[1]][key] = started_at
        self._kept_tells.clear()
        self._book.withdraw_orphans(step)
        for alarm in self._book.alarms.values():
            watch = self._book.watch_of(alarm)
            if watch is not None and alarm.handling is Handling.NEW:
                self._tells.resume(alarm, watch.rule, kept.pop(alarm.id, {}), step)
        step.timers += [TimerChange(key, None) for keys in kept.values() for key in keys]

    def _add(self, rule: Rule, linkage: Linkage) -> None:
        test = compile_test(rule)
        for point_id in rule.points:
            state = self._points.get(point_id)
            if state is None:
                msg = f"rule {rule.id}: there is no point {point_id}"
                raise ValueError(msg)
            check_fits(rule, state.point)
            watch = Watch(rule, state, test, linkage.outputs(rule, state.point))
            if is_event(rule.condition):
                state.events += (watch,)
            else:
                state.levels += (watch,)
            self._book.watches[rule.id, point_id] = watch
        linkage.check(rule, {self._points[each].point.device_id for each in rule.points})

    def _restore_tell(self, key: str, started_at: datetime, _duration_s: float, _now: Now) -> bool:
        self._kept_tells[key] = started_at
        return True

    def _restore_delay(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        what, _, rest = key.partition("|")
        rule_id, _, point_id = rest.partition("|")
        watch = self._book.watches.get((rule_id, point_id))
        if watch is None or watch.is_active is (what == "for"):
            return False
        watch.met = what == "for"
        not_before = now.mono_s if watch.met else self._settled_mono_s
        self._timers.restore(key, started_at, duration_s, now, not_before=not_before)
        return True

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
            for watch in (*state.levels, *state.events):
                self._book.confirm(watch, step)
        for watch in state.levels:
            met = watch.test(value, watch.met)
            if met:
                watch.met_at = reading.at
            if met is not watch.met:
                watch.met = met
                self._edge(watch, step, reading)
        if state.events and reading.quality is Quality.GOOD:
            for watch in state.events:
                if watch.test(value, False) and _is_change(watch, value, previous):
                    watch.met_at = reading.at
                    self._book.activate(watch, step, reading)

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
                self._edge(watch, step, reading)

    def _status(self, status: DeviceStatus, step: Step) -> None:
        state = self._points.get(f"{status.device_id}/{ONLINE}")
        if state is None:
            self._reject(Doubt.UNKNOWN_DEVICE)
            return
        if state.value is not status.is_online:
            step.statuses.append(status)
        self._believe(state, Reading(state.point.id, status.is_online, status.at, status.at), step)

    def _hear_result(self, result: CommandResult, step: Step) -> None:
        if result.outcome is CommandOutcome.SUPERSEDED:
            return
        target = self._book.safety_target(result.command_id)
        state = self._points.get(f"{target.rpartition('/')[0]}/{RESPONDING}")
        if state is not None:
            does_respond = result.outcome is CommandOutcome.DONE
            self._believe(state, Reading(state.point.id, does_respond, result.at, result.at), step)

    def _reject(self, doubt: Doubt) -> None:
        self._counters.counts["readings_rejected", (("reason", str(doubt)),)] += 1

    # Delays ----------------------------------------------------------------------------------------------------

    def _edge(self, watch: Watch, step: Step, reading: Reading) -> None:
        """``watch.met`` has just changed: raise or return the alarm, now or after the rule's delay."""
        rule, now = watch.rule, step.now
        if watch.met:
            if watch.is_active:
                self._stop(watch.clear_key, step)
            elif rule.for_s > 0:
                step.timers.append(self._timers.start(watch.for_key, rule.for_s, now))
            else:
                self._book.activate(watch, step, reading)
            return
        self._stop(watch.for_key, step)
        if not watch.is_active:
            return
        delay_s = max(rule.clear_for_s, self._settled_mono_s - now.mono_s)
        if delay_s > 0:
            step.timers.append(self._timers.start(watch.clear_key, delay_s, now))
        else:
            self._book.write(watch, "returned", {"value": reading.value}, step)

    def _ring_tell(self, key: str, step: Step) -> None:
        alarm = self._book.alarms[key.split("|")[1]]
        watch = self._book.watch_of(alarm)
        if watch is not None:
            step.notices += self._tells.ring(key, alarm, watch.rule)

    def _ring_delay(self, key: str, step: Step) -> None:
        what, _, rest = key.partition("|")
        rule_id, _, point_id = rest.partition("|")
        watch = self._book.watches[rule_id, point_id]
        if what == "for":
            self._book.activate(watch, step, None)
        elif watch.is_active:
            self._book.write(watch, "returned", {"value": watch.value}, step)

    def _stop(self, key: str, step: Step) -> None:
        change = self._timers.stop(key)
        if change is not None:
            step.timers.append(change)


def _is_change(watch: Watch, value: Value | None, previous: Value | None) -> bool:
    """Has the point just changed to ``value``? Every message of a momentary act (a press) is a change.

    The first word after a start has no before: for a call for help it counts, unless people are at its alarm already.
    """
    if watch.state.point.is_event:
        return True
    if previous is None:
        return watch.is_vital and (watch.alarm is None or watch.alarm.handling is Handling.CLOSED)
    return value != previous
