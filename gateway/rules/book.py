"""Room: rules. The book of open alarms: every event of an alarm is written here, with what follows from it.

Why an alarm is raised or returns (readings, conditions, delays) is `gateway.rules.engine`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Actor,
    Alarm,
    AlarmCondition,
    AlarmEvent,
    Handling,
    OperatorRequest,
    Reading,
    Reply,
    Step,
)
from gateway.rules.alarm import fold
from gateway.rules.conditions import is_event
from gateway.rules.confirm import Fires
from gateway.rules.linkage import commands
from gateway.rules.ports import Act, no_act
from gateway.rules.releases import Releases
from gateway.rules.table import SOUNDLESS, Code
from gateway.rules.tells import Tells
from gateway.rules.verbs import Accepted, Refusal, decide
from gateway.rules.watch import Watch

_VERSION = re.compile(r"#[0-9]+/")  # in the id of a command: "<alarm id>#<version>/<point id>"


class Book:
    """The open alarms. An alarm whose rule or point is gone has no watch, but can still be handled and closed."""

    def __init__(self, counters: Counters, tells: Tells) -> None:
        self.alarms: dict[str, Alarm] = {}
        self.watches: dict[tuple[str, str], Watch] = {}  # by (rule id, point id)
        self.orphans: list[Alarm] = []  # restored without a watch: withdrawn at the first step
        self._counters = counters
        self._tells = tells
        self.releases = Releases()
        self.fires = Fires(self)
        self.act: Act = no_act  # carries out safety commands of the running step at once

    def watch_of(self, alarm: Alarm) -> Watch | None:
        """The rule at the point that raised it; None when one of them is gone."""
        return self.watches.get((alarm.rule_id, alarm.point_id))

    def restore(self, alarm: Alarm) -> None:
        """An open alarm from the journal; what it says of the point is not confirmed yet."""
        self.fires.restore(alarm)
        watch = self.watch_of(alarm)
        if watch is None:
            self.alarms[alarm.id] = alarm
            if alarm.condition is AlarmCondition.ACTIVE or alarm.is_latched:
                self.orphans.append(alarm)
            return
        assert watch.alarm is None, f"two open alarms of one rule and point: {watch.alarm.id}, {alarm.id}"
        watch.alarm = self.alarms[alarm.id] = replace(alarm, is_unconfirmed=True)
        watch.occurrence = max(watch.occurrence, alarm.occurrence)
        watch.met = alarm.condition is AlarmCondition.ACTIVE and not is_event(watch.rule.condition)

    def withdraw_orphans(self, step: Step) -> None:
        """Say of alarms whose rule or point is gone that nothing will ever report their return."""
        for alarm in self.orphans:
            self._write_orphan(alarm, "withdrawn", {"because": "rule or point removed"}, step, actor=SYSTEM)
        self.orphans.clear()

    def confirm(self, watch: Watch, step: Step) -> None:
        """The point has spoken: its alarm from the journal is unconfirmed no longer. A mark, not an event."""
        alarm = watch.alarm
        if alarm is not None and alarm.is_unconfirmed:
            self._keep(replace(alarm, is_unconfirmed=False), watch, step)

    def activate(self, watch: Watch, step: Step, reading: Reading | None) -> None:
        """Raise the alarm, or raise it again while it is open. ``reading`` is None at the end of a delay."""
        rule = watch.rule
        if watch.alarm is None:
            watch.occurrence += 1
        if watch.outputs:
            self._command(watch, *_next(watch), step)
        data: dict[str, Any] = {
            "value": watch.value if reading is None else reading.value,
            "sounds": rule.alarm_class not in SOUNDLESS,
        }
        if reading is not None and reading.at != reading.received_at:
            data["device_at"] = reading.at.isoformat()
        if reading is not None and reading.detail:
            data["detail"] = reading.detail
        if watch.alarm is not None:
            data["reopens"] = watch.alarm.handling is Handling.CLOSED
            self.write(watch, "reraised", data, step)
            return
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
            self._keep(replace(watch.alarm or alarm, is_unconfirmed=True), watch, step)

    def write(self, watch: Watch, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor = SYSTEM) -> Alarm:
        """One event of the alarm of ``watch``, and what follows from it: commands, notices."""
        before = watch.alarm
        alarm_id, version = _next(watch)
        event = AlarmEvent(alarm_id, version, kind, step.now.utc, actor, data)
        alarm = self._enter(before, event, watch, step)
        if before is not None and watch.rule.actions:
            self.releases.note(event, before, alarm, watch)
        self._tells.after(event, alarm, watch.rule, step)
        self.fires.heard(alarm, step)
        return alarm

    def _write_orphan(self, before: Alarm, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor) -> Alarm:
        """One event of an alarm without a rule: nothing follows from it any more."""
        event = AlarmEvent(before.id, before.version + 1, kind, step.now.utc, actor, data)
        alarm = self._enter(before, event, None, step)
        self._tells.forget(alarm, step)
        self.fires.heard(alarm, step)
        return alarm

    def release(self, step: Step) -> None:
        """At the end of a step: set false again what no open alarm wants any more."""
        if self.releases.has_any:
            step.commands += self.releases.commands(self._holders(), step.now)

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

    def _holders(self) -> Iterable[tuple[Alarm, Watch]]:
        for alarm in self.alarms.values():
            watch = self.watch_of(alarm)
            if watch is not None and watch.rule.actions:
                yield alarm, watch

    def answer(self, request: OperatorRequest, step: Step) -> None:
        """Do what an operator asks, or say why not."""
        alarm = self.alarms.get(request.alarm_id)
        verdict: Accepted | Refusal
        if step.now.utc > request.expires_at:
            verdict = Refusal(Code.EXPIRED, {"expired_at": request.expires_at.isoformat()})
        elif alarm is None:
            verdict = Refusal(Code.ALREADY_ENDED if self._has_ended(request.alarm_id) else Code.UNKNOWN_ALARM)
        else:
            watch = self.watch_of(alarm)
            verdict = decide(request, alarm, watch.rule.outcomes if watch else ())
        if isinstance(verdict, Refusal):
            self._counters.count("requests_refused", code=str(verdict.code))
            version = alarm.version if alarm else 0
            step.replies.append(Reply(request.id, False, str(verdict.code), verdict.detail, version))
            return
        assert alarm is not None
        alarm = self._obey(alarm, verdict, request.actor, step)
        alarm = self.alarms.get(alarm.id, alarm)  # a person's word may have confirmed a fire, which is an event too
        step.replies.append(Reply(request.id, True, version=alarm.version))

    def _obey(self, alarm: Alarm, accepted: Accepted, actor: Actor, step: Step) -> Alarm:
        watch = self.watch_of(alarm)
        if watch is None:
            return self._write_orphan(alarm, accepted.kind, accepted.data, step, actor=actor)
        alarm = self.write(watch, accepted.kind, accepted.data, step, actor=actor)
        if accepted.kind == "closed" and is_event(watch.rule.condition) and alarm.condition is AlarmCondition.ACTIVE:
            # An event has no end of its own (releasing the button clears nothing): a person's word ends it.
            return self.write(watch, "returned", {"because": "closed"}, step)
        return alarm

    def _enter(self, before: Alarm | None, event: AlarmEvent, watch: Watch | None, step: Step) -> Alarm:
        alarm = fold(before, event)
        step.events.append(event)
        if not alarm.is_open:
            self.releases.note_end(event)
        self._counters.count("alarm_events", kind=event.kind, alarm_class=str(alarm.alarm_class))
        self._keep(alarm, watch, step)
        return alarm

    def _command(self, watch: Watch, alarm_id: str, version: int, step: Step) -> None:
        """What the alarm sets in motion. What is for safety leaves now: before it is told or written anywhere."""
        found = commands(watch.outputs, alarm_id, version, step.now)
        safety = [each for each in found if each.is_safety]
        if safety:
            self.act(safety, step.now)
        step.commands += found
        unreached = sum(not targets for _, targets in watch.outputs)
        if unreached:
            self._counters.count("actions_without_target", unreached, rule=watch.rule.id)

    def _keep(self, alarm: Alarm, watch: Watch | None, step: Step) -> None:
        step.alarms[alarm.id] = alarm
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


def _next(watch: Watch) -> tuple[str, int]:
    """The alarm id and version of the next event at ``watch``."""
    if watch.alarm is not None:
        return watch.alarm.id, watch.alarm.version + 1
    return f"{watch.rule.id}:{watch.source_id}:{watch.occurrence}", 1
