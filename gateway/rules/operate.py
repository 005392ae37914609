"""Room: rules. Points set by hand: who may set which, to what, against whom, and how a pulse ends.

The allow-list stands at the point (`gateway.model.Operate`), what an alarm offers at its rule (`gateway.model.Offer`).
Carrying a command out and reading it back is `gateway.effects`'; who is logged in is the web's and the cloud's.

An operation is `operate:<request id>:<ms>/<point id>`, the end of its pulse `operate-end:` and the same. A request that
is told again is answered by the pipeline and never comes here twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from gateway.model import (
    SYSTEM,
    Actor,
    Alarm,
    Command,
    CommandOutcome,
    CommandResult,
    Now,
    Offer,
    Operate,
    OperatorRequest,
    Point,
    Reply,
    Step,
    TimerChange,
    Value,
)
from gateway.rules.judge import Ground
from gateway.rules.linkage import may_open_gas_valve
from gateway.rules.releases import holder_of
from gateway.rules.table import Code
from gateway.rules.verbs import Refusal, bad_argument
from gateway.rules.watch import PointWatch

OPERATION = "operate:"
_END = "operate-end:"
_OWNER = "pulse|"
_AGAIN = "again|"  # in the key: a pulse was running already when it was commanded
_END_WITHIN_S = 30.0  # to lock again late is better than not at all
_ANSWERS_S = 2.0  # beyond its deadline: the result of a command is on its way
_UNSENT = frozenset({CommandOutcome.EXPIRED, CommandOutcome.REFUSED, CommandOutcome.SUPERSEDED})


class _Permit(NamedTuple):
    """What a request may set."""

    point: Point
    operate: Operate
    value: Value


class Operating:
    """Decides on requests to set a point by hand, and ends what is only for a moment."""

    def __init__(self, ground: Ground) -> None:
        self._book = ground.book
        self._timers = ground.timers
        self._points = ground.points
        self._devices = ground.devices
        self._linkage = ground.linkage
        self._counters = ground.counters
        self._pulses: dict[str, str] = {}  # point id -> the key of the timer that ends its pulse

    def offers(self, alarm: Alarm) -> list[tuple[Offer, Point]]:
        """What can be operated from ``alarm``: only points that may be set by hand, to a value that they allow."""
        watch = self._book.watch_of(alarm)
        if not isinstance(watch, PointWatch):
            return []
        found = self._linkage.offered(watch.rule, watch.state.point)
        return [
            (offer, point)
            for offer, point in found
            if point.operate is not None and offer.value in point.operate.values
        ]

    def answer(self, request: OperatorRequest, step: Step) -> None:
        """Command what is asked, or say why not."""
        alarm = self._book.alarms.get(request.alarm_id)
        refusal = self._refused_by_state(request, step) or bad_argument(request)
        verdict = refusal or self._permit(request, alarm)
        if isinstance(verdict, Refusal):
            self._book.refuse(request, verdict, alarm.version if alarm else 0, step)
            return
        command = self._command(request, verdict, step.now)
        version = 0
        if alarm is not None:
            data = {"point": command.point_id, "value": command.value, "command": command.id}
            version = self._book.add(alarm, "operated", data, step, actor=request.actor).version
        step.commands.append(command)
        self._counters.count("operations", via=request.actor.via)
        self._begin_pulse(command, verdict, step)
        step.replies.append(Reply(request.id, True, detail={"command": command.id}, version=version))

    def hear(self, result: CommandResult, step: Step) -> str:
        """The end of an operation. The point of an output that has obeyed or has not; "" where that says nothing."""
        command_id = result.command_id
        if not command_id.startswith((OPERATION, _END)):
            return ""
        point_id = point_of(command_id)
        if command_of(self._pulses.get(point_id, "")) == command_id:
            self._go_on(command_id, point_id, result.outcome, step)
        return "" if result.outcome in _UNSENT and not self._is_left_open(result, point_id) else point_id

    def _is_left_open(self, result: CommandResult, point_id: str) -> bool:
        """Has the end of a pulse come too late (a kill, a line that is down), so that nobody has ended it?"""
        is_late_end = result.command_id.startswith(_END) and result.outcome is CommandOutcome.EXPIRED
        return is_late_end and self._holder(point_id, value=False) is None

    def settle(self, step: Step) -> None:
        """At the end of a step: nothing that is for safety in it is undone by a hand, or by the end of a pulse."""
        for index, command in enumerate(step.commands):
            is_by_hand = command.id.startswith((OPERATION, _END))
            if not is_by_hand and command.point_id in self._pulses:
                self._forget(command.point_id, step)
                self._counters.count("pulses_overtaken")
            elif is_by_hand and self._holder(command.point_id, command.value) is not None:
                # On record, as too late: it goes after the safety commands of the same step.
                step.commands[index] = replace(command, expires_at=step.now.utc)

    def ring(self, key: str, step: Step) -> None:
        """A pulse is over."""
        command_id = command_of(key)
        self._pulses.pop(point_of(command_id), None)
        self._end(command_id, step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """A pulse that was running before a restart ends in its time, however its point may be operated by now."""
        point_id = point_of(command_of(key))
        state = self._points.get(point_id)
        if state is None or not state.point.is_writable:
            return False
        self._timers.restore(key, started_at, duration_s, now, not_before=now.mono_s)
        self._pulses[point_id] = key
        return True

    def overruled(self, commands: Iterable[Command]) -> frozenset[str]:
        """Ids of ordinary ``commands`` that were under way before a restart and would undo what a fire has set."""
        return frozenset(
            each.id for each in commands if not each.is_safety and self._holder(each.point_id, each.value) is not None
        )

    def _refused_by_state(self, request: OperatorRequest, step: Step) -> Refusal | None:
        if not request.alarm_id:
            return self._book.refuse_late(request, step)
        verdict = self._book.judge(request, step)
        return verdict if isinstance(verdict, Refusal) else None

    def _permit(self, request: OperatorRequest, alarm: Alarm | None) -> _Permit | Refusal:
        state = self._points.get(request.args["point"].strip())
        if state is None:
            return Refusal(Code.UNKNOWN_TARGET)
        operate = state.point.operate
        if operate is None or not state.point.is_writable:
            return Refusal(Code.NOT_OPERABLE)
        value = next((each for each in operate.values if is_said(request.args["value"], each)), None)
        if value is None:
            return Refusal(Code.NOT_OPERABLE, {"values": list(operate.values)})
        permit = _Permit(state.point, operate, value)
        return self._refused(permit, request.actor, alarm) or permit

    def _refused(self, permit: _Permit, actor: Actor, alarm: Alarm | None) -> Refusal | None:
        point, operate, value = permit
        if actor.role not in operate.roles:
            return Refusal(Code.ROLE_NOT_ALLOWED, {"role": actor.role, "roles": sorted(operate.roles)})
        if may_open_gas_valve(self._devices[point.device_id].kind, point.name, value):
            return Refusal(Code.NEVER_BY_SOFTWARE)
        if alarm is not None and not any(
            offered.id == point.id and offer.value == value for offer, offered in self.offers(alarm)
        ):
            return Refusal(Code.NOT_OPERABLE, {"alarm": alarm.id})
        holder = self._holder(point.id, value)
        if holder is None:
            return None
        return Refusal(Code.HELD, {"alarm": holder.id, "title": holder.title, "place": holder.place})

    def _holder(self, point_id: str, value: Value) -> Alarm | None:
        return holder_of(point_id, value, self._book.holders())

    @staticmethod
    def _command(request: OperatorRequest, permit: _Permit, now: Now) -> Command:
        at_ms = round(now.utc.timestamp() * 1000)
        return Command(
            id=f"{OPERATION}{request.id}:{at_ms}/{permit.point.id}",
            point_id=permit.point.id,
            value=permit.value,
            by=request.actor,
            because=request.alarm_id,
            expires_at=now.utc + timedelta(seconds=min(request.left_s(now), permit.operate.within_s)),
        )

    def _begin_pulse(self, command: Command, permit: _Permit, step: Step) -> None:
        """A pulse ends only what it has begun: what was open before, or is held open by a fire, stays as it is."""
        point_id, pulse_s = command.point_id, permit.operate.pulse_s
        is_ours = point_id in self._pulses
        self._forget(point_id, step)
        if pulse_s is None or command.value is not True or self._holder(point_id, value=False) is not None:
            return
        if self._points[point_id].value is True and not is_ours:
            return
        # Until its result is known: the command may still be carried out at the last moment of its deadline.
        key = _key(command.id, is_again=is_ours)
        self._run(key, point_id, permit.operate.within_s + _ANSWERS_S + pulse_s, step)

    def _go_on(self, command_id: str, point_id: str, outcome: CommandOutcome, step: Step) -> None:
        operate, key = self._points[point_id].point.operate, self._pulses[point_id]
        if outcome is CommandOutcome.DONE and operate is not None and operate.pulse_s is not None:
            self._run(key, point_id, operate.pulse_s, step)
            return
        self._forget(point_id, step)
        if outcome not in _UNSENT or key.startswith(_OWNER + _AGAIN):  # perhaps it, or the one before, was carried out
            self._end(command_id, step)

    def _run(self, key: str, point_id: str, duration_s: float, step: Step) -> None:
        step.timers.append(self._timers.start(key, duration_s, step.now))
        self._pulses[point_id] = key

    def _forget(self, point_id: str, step: Step) -> None:
        key = self._pulses.pop(point_id, None)
        change: TimerChange | None = self._timers.stop(key) if key is not None else None
        if change is not None:
            step.timers.append(change)

    def _end(self, command_id: str, step: Step) -> None:
        """Set it false again, unless something that is for safety holds it true by now."""
        point_id = point_of(command_id)
        if self._holder(point_id, value=False) is not None:
            self._counters.count("pulses_overtaken")
            return
        end_id = _END + command_id.removeprefix(OPERATION)
        expires_at = step.now.utc + timedelta(seconds=_END_WITHIN_S)
        step.commands.append(Command(end_id, point_id, value=False, by=SYSTEM, because="", expires_at=expires_at))


def point_of(command_id: str) -> str:
    """The point of an operation. Neither addresses nor names of points hold a colon."""
    return command_id.rpartition(":")[2].partition("/")[2]


def command_of(key: str) -> str:
    """The operation that a timer of a pulse ends."""
    return key.removeprefix(_OWNER).removeprefix(_AGAIN)


def _key(command_id: str, *, is_again: bool) -> str:
    return f"{_OWNER}{_AGAIN if is_again else ''}{command_id}"


def is_said(text: str, value: Value) -> bool:
    """Is ``text`` the word for ``value``?"""
    said = text.strip()
    if isinstance(value, bool | str):
        return said == (str(value).lower() if isinstance(value, bool) else value)
    try:
        return float(said) == value
    except ValueError:
        return False
