"""Room: rules. The book of open alarms: every event of an alarm is written here, with what follows from it.

Why an alarm is raised or returns (readings, conditions, delays) is `gateway.rules.engine`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Actor,
    Alarm,
    AlarmCondition,
    AlarmEvent,
    Command,
    Handling,
    Mark,
    OperatorRequest,
    Reading,
    Reply,
    Step,
)
from gateway.rules.alarm import fold
from gateway.rules.chatter import Chatter
from gateway.rules.conditions import is_event
from gateway.rules.confirm import Fires, explained
from gateway.rules.linkage import commands
from gateway.rules.marks import OFF, TESTS, UNTOLD, Marks, withholds
from gateway.rules.points import PointState
from gateway.rules.ports import Act, no_act
from gateway.rules.releases import Releases, holds, overruled, resumed
from gateway.rules.stages import Stages
from gateway.rules.table import FLAGS, SOUNDLESS, Code
from gateway.rules.tells import Tells
from gateway.rules.verbs import Accepted, Refusal, decide
from gateway.rules.watch import Outputs, Watch

_VERSION = re.compile(r"#[0-9]+/")  # in the id of a command: "<alarm id>#<version>/<point id>"
_SHOWN = frozenset(FLAGS.values())


class Book:
    """The open alarms. An alarm whose rule or point is gone has no watch, but can still be handled and closed."""

    def __init__(
        self, counters: Counters, tells: Tells, marks: Marks, chatter: Chatter, time_ok: PointState | None = None
    ) -> None:
        """``time_ok`` says whether the wall clock can be believed."""
        self.alarms: dict[str, Alarm] = {}
        self._vital: set[str] = set()  # ids of those of fire, gas and sos
        self.watches: dict[tuple[str, str], Watch] = {}  # by (rule id, point id)
        self.orphans: list[Alarm] = []  # restored without a watch: withdrawn at the first step
        self._shadowed: set[str] = set()  # restored beside a newer one of their source: nothing speaks for them
        self._counters = counters
        self._tells = tells
        self.releases = Releases()
        self.fires = Fires(self)
        self.stages = Stages(self)
        self._marks = marks
        self.chatter = chatter
        self._time_ok = time_ok
        self.after: Callable[[Alarm, Step], None] = _unheard  # hears of every change of an alarm
        self.cause_of: Callable[[Watch, Step, bool], str] = _no_cause  # the alarm whose consequence a new one would be
        self.act: Act = no_act  # carries out safety commands of the running step at once

    def watch_of(self, alarm: Alarm) -> Watch | None:
        """The rule at the point that raised it; None when one of them is gone."""
        return None if alarm.id in self._shadowed else self.watches.get((alarm.rule_id, alarm.point_id))

    def restore(self, alarm: Alarm) -> None:
        """An open alarm from the journal; what it says of the point is not confirmed yet."""
        (self._vital.add if alarm.alarm_class.is_life_safety else self._vital.discard)(alarm.id)
        watch = self.watch_of(alarm)
        if watch is None:
            self.fires.restore(alarm)
            self.alarms[alarm.id] = alarm
            if alarm.condition is AlarmCondition.ACTIVE or alarm.is_latched:
                self.orphans.append(alarm)
            return
        if watch.alarm is not None:  # a record with a gap (ADR 0006): only the newest can still be heard of
            older, alarm = sorted((watch.alarm, alarm), key=lambda each: each.occurrence)
            self._shadowed.add(older.id)
            self.alarms[older.id] = older
            self.orphans.append(older)
        watch.alarm = self.alarms[alarm.id] = replace(alarm, is_unconfirmed=True)
        watch.occurrence = max(watch.occurrence, alarm.occurrence)
        watch.met = alarm.condition is AlarmCondition.ACTIVE and not is_event(watch.rule.condition)
        self.fires.restore(watch.alarm)

    def withdraw_orphans(self, step: Step) -> None:
        """Say of alarms whose rule or point is gone that nothing will ever report their return."""
        for alarm in self.orphans:
            because = "its end is not on record" if alarm.id in self._shadowed else "rule or point removed"
            self._write_orphan(alarm, "withdrawn", {"because": because}, step, actor=SYSTEM)
        self.orphans.clear()

    def confirm(self, watch: Watch, step: Step) -> None:
        """The point has spoken: its alarm from the journal is unconfirmed no longer. A mark, not an event."""
        alarm = watch.alarm
        if alarm is not None and alarm.is_unconfirmed:
            self._keep(replace(alarm, is_unconfirmed=False), watch, step)
            self.fires.spoke(self.alarms[alarm.id], step)

    def activate(self, watch: Watch, step: Step, reading: Reading | None) -> None:
        """Raise the alarm, or raise it again while it is open. ``reading`` is None at the end of a delay."""
        marks = watch.covered(self._marks.of)
        if watch.alarm is None and watch.outputs and not marks and watch.rule.alarm_class.is_life_safety:
            # What nothing can withhold leaves before anything else is looked at.
            watch.occurrence += 1
            self._command(watch, watch.outputs, *watch.next_event(), step)
            self._tell_raise(watch, {}, step, reading)
            return
        if Mark.DISABLED in marks:
            self._counters.count("raises_withheld", reason="disabled")
            return
        is_for_real = self._unmark(watch, marks, step)
        source = watch.rule.id, watch.source_id
        if not is_for_real and self.chatter.swallows(watch.alarm, source):
            self.count(watch, step)
            return
        flags = self._flags(watch, marks, step)
        if watch.alarm is None:
            watch.occurrence += 1
        is_plain = not flags and (watch.alarm is None or not (watch.alarm.is_muted or watch.alarm.marks))
        command_id = watch.next_event()
        if watch.outputs and is_plain:
            self._command(watch, watch.outputs, *command_id, step)
        if watch.alarm is not None:
            flags["reopens"] = is_for_real or watch.alarm.handling is Handling.CLOSED
        alarm = self._tell_raise(watch, flags, step, reading)
        if watch.outputs and not is_plain:
            allowed = tuple(each for each in watch.outputs if not withholds(alarm, each[0]))
            self._command(watch, allowed, *command_id, step)

    def _tell_raise(self, watch: Watch, flags: Mapping[str, Any], step: Step, reading: Reading | None) -> Alarm:
        data = {**self._circumstances(watch, reading), **flags}
        if self.chatter.note((watch.rule.id, watch.source_id), step):
            data["chattering"] = True
        if watch.alarm is not None:
            return self.write(watch, "reraised", data, step)
        return self._raise(watch, data, step)

    def _circumstances(self, watch: Watch, reading: Reading | None) -> dict[str, Any]:
        """What is known at the raise: the value, the device's own time and words, what our stamp is worth."""
        data: dict[str, Any] = {
            "value": watch.told(reading),
            "sounds": watch.rule.alarm_class not in SOUNDLESS,
        }
        if reading is not None and reading.at != reading.received_at:
            data["device_at"] = reading.at.isoformat()
        if reading is not None and reading.detail:
            data["detail"] = reading.detail
        if self._time_ok is not None and self._time_ok.value is False:
            data["clock"] = "unsynchronised"
        return data

    def count(self, watch: Watch, step: Step) -> None:
        """One more activation of an alarm that chatters: a number, not an event. Of any other: nothing."""
        shown = self.chatter.count(watch.alarm, (watch.rule.id, watch.source_id), step)
        if shown is not None:
            self._keep(shown, watch, step)

    def _raise(self, watch: Watch, data: dict[str, Any], step: Step) -> Alarm:
        rule = watch.rule
        data |= {
            "rule": rule.id,
            "point": watch.source_id,
            "device": watch.device_id,
            "occurrence": watch.occurrence,
            "class": str(rule.alarm_class),
            "title": rule.title or rule.text,
            "place": watch.place,
            "latches": rule.latches,
        }
        alarm = self.write(watch, "raised", data, step)
        if watch.value is None:  # a delay that went on across a restart: the point has not reported since
            alarm = replace(watch.alarm or alarm, is_unconfirmed=True)
            self._keep(alarm, watch, step)
        return alarm

    def _unmark(self, watch: Watch, marks: frozenset[Mark], step: Step) -> bool:
        """An alarm of a drill or a test that is raised again without it is for real: True."""
        alarm = watch.alarm
        if alarm is None or marks.issuperset(alarm.marks):
            return False
        self.write(watch, "unmarked", {"marks": [each for each in alarm.marks if each in marks]}, step)
        return True

    def _flags(self, watch: Watch, marks: frozenset[Mark], step: Step) -> dict[str, Any]:
        """What marks and causes say of an alarm that is about to be raised; empty, nearly always."""
        flags: dict[str, Any] = {}
        if watch.alarm is not None:
            return flags
        tests = sorted(marks & TESTS)
        if tests:
            flags["marks"] = [str(each) for each in tests]
        if not marks.isdisjoint(OFF):
            flags["out_of_service"] = True
        if watch.rule.alarm_class.is_life_safety:
            return flags
        shelf = self._marks.shelf_of(watch.rule.id, watch.source_id)
        if shelf is not None and shelf.until_at is not None:
            flags |= {"shelved_until": shelf.until_at.isoformat(), "shelved_by": shelf.by}
        is_muted = "out_of_service" in flags or shelf is not None or not UNTOLD.isdisjoint(tests)
        cause = self.stages.overtaker(watch, tests) or self.cause_of(watch, step, is_muted)
        if cause:
            flags["suppressed_by"] = cause
        return flags

    def is_mute(self, watch: Watch) -> bool:
        """Would nobody hear of an alarm of ``watch`` for now?"""
        is_shelved = self._marks.shelf_of(watch.rule.id, watch.source_id) is not None
        return is_shelved or not watch.covered(self._marks.of).isdisjoint(OFF | UNTOLD)

    def suppress(self, alarm: Alarm, by: str, step: Step) -> Alarm:
        """Silence it as a consequence of the alarm ``by``; its parts go on below. Never life safety."""
        assert not alarm.alarm_class.is_life_safety, f"{alarm.id} is life safety: never grouped away"
        alarm = self.alarms.get(alarm.id, alarm)
        return alarm if alarm.suppressed_by == by else self.add(alarm, "suppressed", {"by": by}, step)

    def unsuppress(self, alarm: Alarm, step: Step) -> Alarm:
        """Its cause is gone: show it as it is."""
        alarm = self.alarms.get(alarm.id, alarm)
        return self.add(alarm, "unsuppressed", {}, step) if alarm.is_open and alarm.suppressed_by else alarm

    def add(self, alarm: Alarm, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor = SYSTEM) -> Alarm:
        """One event of an open alarm, whether its rule and point are still there or not."""
        watch = self.watch_of(alarm)
        if watch is None:
            return self._write_orphan(alarm, kind, data, step, actor=actor)
        return self.write(watch, kind, data, step, actor=actor)

    def write(self, watch: Watch, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor = SYSTEM) -> Alarm:
        """One event of the alarm of ``watch``, and what follows from it: commands, notices."""
        before = watch.alarm
        if kind == "returned":
            data = {**data, **self.chatter.at_return(before, (watch.rule.id, watch.source_id), step)}
        alarm_id, version = watch.next_event()
        event = AlarmEvent(alarm_id, version, kind, step.now.utc, actor, data)
        alarm = self._enter(before, event, watch, step)
        if before is not None and watch.rule.actions:
            self.releases.note(event, before, alarm, watch)
            if kind in _SHOWN:
                self._command(watch, resumed(watch, before, alarm), alarm_id, version, step)
            if kind == "unverified" and not before.is_sounding:
                self._sound_again(before, alarm, watch, step)
        self._tells.after(event, alarm, watch.rule, step)
        self.fires.heard(alarm, step)
        self.stages.follow(self.alarms.get(alarm.id, alarm), event, step)
        return alarm

    def _write_orphan(self, before: Alarm, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor) -> Alarm:
        """One event of an alarm without a rule: nothing follows from it any more."""
        event = AlarmEvent(before.id, before.version + 1, kind, step.now.utc, actor, data)
        alarm = self._enter(before, event, None, step)
        self._tells.forget(alarm, step)
        self.fires.heard(alarm, step)
        self.stages.follow(self.alarms.get(alarm.id, alarm), event, step)
        return alarm

    def release(self, step: Step) -> None:
        """At the end of a step: set false again what no open alarm wants any more."""
        if self.releases.has_any:
            step.commands += self.releases.commands(self.holders(), step.now)

    def safety_target(self, command_id: str) -> str:
        """The point ("<event id>/<point>") of a command that a safety action of a rule gave; "" for any other.

        Switching such an output off again counts too: a siren that does not stop is as broken as one that is silent.
        """
        for found in _VERSION.finditer(command_id):  # ids of places and points may contain a # of their own
            rule_id, _, rest = command_id[: found.start()].partition(":")
            watch = self.watches.get((rule_id, rest.rpartition(":")[0]))
            target = command_id[found.end() :]
            if watch is not None and any(
                each.id == target for action, targets in watch.outputs if action.is_safety for each in targets
            ):
                return target
        return ""

    def holders(self, *, is_vital: bool = False) -> Iterable[tuple[Alarm, Watch]]:
        """The open alarms whose rules act; or of them those of fire, gas and sos: few, also in a flood of others."""
        for alarm in [self.alarms[each] for each in self._vital] if is_vital else self.alarms.values():
            if (watch := self.watch_of(alarm)) is not None and watch.rule.actions:
                yield alarm, watch

    def answer(self, request: OperatorRequest, step: Step) -> None:
        """Do what an operator asks of an alarm, or say why not."""
        alarm, verdict = self.alarms.get(request.alarm_id), self.judge(request, step)
        if isinstance(verdict, Refusal):
            if alarm is not None:
                verdict = explained(verdict, self.watch_of(alarm), self.fires)
            self.refuse(request, verdict, alarm.version if alarm else 0, step)
            return
        assert alarm is not None
        alarm = self._obey(alarm, verdict, request.actor, step)
        alarm = self.alarms.get(alarm.id, alarm)  # a person's word may have confirmed a fire, which is an event too
        step.replies.append(Reply(request.id, True, version=alarm.version))

    def judge(self, request: OperatorRequest, step: Step) -> Accepted | Refusal:
        """What the alarm table says to it."""
        alarm = self.alarms.get(request.alarm_id)
        late = self.refuse_late(request, step)
        if late is not None:
            return late
        if alarm is None:
            return Refusal(Code.ALREADY_ENDED if self._has_ended(request.alarm_id) else Code.UNKNOWN_ALARM)
        watch = self.watch_of(alarm)
        return decide(request, alarm, watch.rule if watch else None, step.now)

    def refuse_late(self, request: OperatorRequest, step: Step) -> Refusal | None:
        """A request that comes after its deadline is not carried out."""
        if request.left_s(step.now) >= 0:
            return None
        return Refusal(Code.EXPIRED, {"expired_at": request.expires_at.isoformat()})

    def refuse(self, request: OperatorRequest, refusal: Refusal, version: int, step: Step) -> None:
        """Say why not; counted."""
        self._counters.count("requests_refused", code=str(refusal.code))
        step.replies.append(Reply(request.id, False, str(refusal.code), refusal.detail, version))

    def _obey(self, alarm: Alarm, accepted: Accepted, actor: Actor, step: Step) -> Alarm:
        alarm = self.add(alarm, accepted.kind, accepted.data, step, actor=actor)
        if accepted.kind == "shelved":
            self._marks.shelve(alarm, accepted.data["reason"], step)
        elif accepted.kind == "unshelved":
            self._marks.unshelve(alarm, actor, step)
        watch = self.watch_of(alarm)
        if watch is None:
            return alarm
        if accepted.kind == "closed" and watch.ends_by_word and alarm.condition is AlarmCondition.ACTIVE:
            if not is_event(watch.rule.condition):
                watch.met = False  # the next failure is a new one
            return self.write(watch, "returned", {"because": "closed"}, step)
        return alarm

    def _enter(self, before: Alarm | None, event: AlarmEvent, watch: Watch | None, step: Step) -> Alarm:
        alarm = fold(before, event)
        step.events.append(event)
        if not alarm.is_open:
            self.releases.note_end(event)
        self._counters.count("alarm_events", kind=event.kind, alarm_class=str(alarm.alarm_class))
        self._keep(alarm, watch, step)
        if not self.stages.yields(alarm):
            self.after(alarm, step)
        return alarm

    def _command(self, watch: Watch, outputs: Outputs, alarm_id: str, version: int, step: Step) -> None:
        """What the alarm sets in motion. What is for safety leaves now: before it is told or written anywhere."""
        self._issue(commands(outputs, alarm_id, version, step.now), step)
        unreached = sum(not targets for _, targets in outputs)
        if unreached:
            self._counters.count("actions_without_target", unreached, rule=watch.rule.id)

    def _sound_again(self, before: Alarm, alarm: Alarm, watch: Watch, step: Step) -> None:
        """Switch on what the sound of the alarm needs: a buzzer that somebody had silenced."""
        again = tuple(each for each in watch.outputs if holds(alarm, each[0]) and not holds(before, each[0]))
        self._issue(commands(again, alarm.id, alarm.version, step.now), step)

    def _issue(self, found: Sequence[Command], step: Step) -> None:
        safety = [each for each in found if each.is_safety]
        if safety:
            self.act(safety, step.now)
        if len(safety) < len(found):
            undoing = overruled([each for each in found if not each.is_safety], self.holders(is_vital=True))
            if undoing:
                self._counters.count("commands_withheld", len(undoing), rule=found[0].because.partition(":")[0])
                found = [each for each in found if each.id not in undoing]
        step.commands += found

    def _keep(self, alarm: Alarm, watch: Watch | None, step: Step) -> None:
        step.alarms[alarm.id] = alarm
        (self._vital.add if alarm.is_open and alarm.alarm_class.is_life_safety else self._vital.discard)(alarm.id)
        if alarm.is_open:
            self.alarms[alarm.id] = alarm
        else:
            self.alarms.pop(alarm.id, None)
        if watch is not None:
            watch.alarm = alarm if alarm.is_open else None

    def _has_ended(self, alarm_id: str) -> bool:
        rule_id, _, rest = alarm_id.partition(":")
        point_id, _, occurrence = rest.rpartition(":")
        watch = self.watches.get((rule_id, point_id))
        is_number = occurrence.isdecimal() and len(occurrence) <= 9
        return watch is not None and is_number and 1 <= int(occurrence) <= watch.occurrence


def _unheard(_alarm: Alarm, _step: Step) -> None:
    """Where nobody follows alarms."""


def _no_cause(_watch: Watch, _step: Step, _is_muted: bool) -> str:  # noqa: FBT001 - a port
    """Where nothing is grouped."""
    return ""
