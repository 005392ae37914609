"""Room: rules. What follows when people do not act in time, and the proof that somebody has arrived.

- Nobody takes it: ``escalated`` at every stage, people further up are told (`gateway.rules.tells`). A call for help
  that nobody has taken in 60 s and in 180 s is counted as late; from 180 s on its event says that 120 must be called.
- Taken and not verified in time: ``unverified``, it sounds again and the next contact is called.
- Somebody is there: the button of a call that was taken is pressed again, or something is scanned at a device that
  the configuration tags ``arrival`` in the same flat (of no flat: in the same unit). Written by the gateway as
  ``arrived``, as if the person had said so; what a person said before stays.

The engine calls; clocks and words belong to others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Alarm,
    AlarmClass,
    Device,
    Handling,
    Mark,
    Notice,
    NoticeResult,
    Now,
    Quality,
    Reading,
    Scope,
    Step,
    TimerChange,
)
from gateway.rules.book import Book
from gateway.rules.conditions import is_event
from gateway.rules.places import key_of, source_of
from gateway.rules.tells import Tells
from gateway.rules.unverified import round_of
from gateway.rules.watch import Watch

ARRIVAL_TAG = "arrival"
CALL_LIMITS_S = (60.0, 180.0)  # alarms.md section 5: late, and so late that 120 must be called from here
_DEVICE = SYSTEM._replace(via="device")

_Spot = tuple[Scope, str]  # a flat or a unit


class Escalation:
    """The clocks of people, rung by the engine."""

    def __init__(self, book: Book, tells: Tells, devices: Iterable[Device], counters: Counters) -> None:
        self._book = book
        self._tells = tells
        self._counters = counters
        self._kept: defaultdict[str, dict[str, tuple[datetime, float]]] = defaultdict(dict)  # by alarm id
        self._kept_at: Now | None = None
        self._devices: dict[str, Device] = {}
        self._proofs: dict[str, _Spot] = {}  # point id -> where somebody must be to make it speak
        for device in devices:
            self._devices[device.id] = device
            spot = _spot_of(device) if ARRIVAL_TAG in device.tags else None
            if spot is not None:
                self._proofs |= {point.id: spot for point in device.points if point.is_event}

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """A timer of a former run; what becomes of it is decided by `resume`, when it is known what was said."""
        self._kept_at = now
        self._kept[key.split("|")[1]][key] = started_at, duration_s
        return True

    def resume(self, step: Step) -> None:
        """The first step after a restart: the clocks of all open alarms go on."""
        kept_at = self._kept_at or step.now
        # The wall clock may have been set between `restore` and now: starts are by the clock of this step.
        set_by = (step.now.utc - kept_at.utc) - timedelta(seconds=step.now.mono_s - kept_at.mono_s)
        for alarm in list(self._book.alarms.values()):
            watch = self._book.watch_of(alarm)
            if watch is not None:
                mine = self._kept.pop(alarm.id, {})
                kept = {key: (started_at + set_by, duration_s) for key, (started_at, duration_s) in mine.items()}
                self._tells.resume(alarm, watch.rule, kept, step)
        step.timers += [TimerChange(key, None) for keys in self._kept.values() for key in keys]
        self._kept.clear()

    def ring_tell(self, key: str, step: Step) -> None:
        """Nobody has taken it for so long."""
        alarm, watch = self._find(key)
        if watch is None:
            return
        after_s, said = self._tells.ring(key, alarm, watch.rule, step)
        stages = self._tells.stages(alarm, watch.rule)
        if after_s not in stages:  # said again, or the next of a family
            return
        data = {"stage": stages.index(after_s) + 1, "after_s": after_s, "to": _recipients(said)}
        if alarm.alarm_class is AlarmClass.SOS:
            data |= self._late(alarm, after_s)
        self._book.write(watch, "escalated", data, step)

    def ring_unverified(self, key: str, step: Step) -> None:
        """It was taken, and nobody has said what it is."""
        alarm, watch = self._find(key)
        if watch is None:
            return
        alarm = self._book.write(watch, "unverified", {"round": round_of(key), "sounds": True}, step)
        self._tells.unverified.again(alarm, key, step)
        self._tells.call_next(f"unverified-{alarm.version}", alarm, watch.rule, step)

    def hear_notice(self, result: NoticeResult, step: Step) -> None:
        """What became of a notice. One about lives that did not get through goes out by another channel at once."""
        alarm = None if result.is_accepted else self._book.alarms.get(result.key.rsplit("/", 3)[0])
        watch = self._book.watch_of(alarm) if alarm else None
        if alarm is not None and watch is not None:
            self._tells.say_instead(result.key, alarm, watch.rule, step)

    def see_arrivals(self, step: Step) -> None:
        """At the end of a step: has somebody proved that they are there?"""
        for event in [each for each in step.events if each.kind == "reraised"]:
            alarm = self._book.alarms.get(event.alarm_id)
            watch = self._book.watch_of(alarm) if alarm else None
            if alarm and watch and is_event(watch.rule.condition) and _is_awaited(alarm, step):
                self._arrive(alarm, alarm.point_id, step)
        if self._proofs:
            for reading in step.readings:
                spot = self._proofs.get(reading.point_id)
                if spot is not None:
                    self._hear_proof(reading, spot, step)

    def _hear_proof(self, reading: Reading, spot: _Spot, step: Step) -> None:
        if reading.quality is not Quality.GOOD or not reading.value:
            return
        for alarm in list(self._book.alarms.values()):
            if _is_awaited(alarm, step) and _is_after(reading, alarm, step.now) and self._is_at(alarm, spot):
                self._arrive(alarm, reading.point_id, step)

    def _is_at(self, alarm: Alarm, spot: _Spot) -> bool:
        """Does the alarm, of a device or of a group, come from there?"""
        scope, key = spot
        device = self._devices.get(alarm.device_id)
        if device is not None:
            return key_of(device, scope) == key
        is_flat_there = scope is Scope.UNIT and alarm.point_id.startswith(source_of(Scope.ROOM, f"{key}-"))
        return is_flat_there or alarm.point_id == source_of(scope, key)

    def _arrive(self, alarm: Alarm, point_id: str, step: Step) -> None:
        watch = self._book.watch_of(alarm)
        if watch is not None:
            self._book.write(watch, "arrived", {"point": point_id}, step, actor=_DEVICE)

    def _late(self, alarm: Alarm, after_s: float) -> dict[str, str]:
        """Count a call that was not taken in time; a drill is none."""
        if after_s in CALL_LIMITS_S and Mark.DRILL not in alarm.marks:
            self._counters.count("calls_late", within=f"{after_s:g}s")
        return {"call": "120"} if after_s >= CALL_LIMITS_S[-1] else {}

    def _find(self, key: str) -> tuple[Alarm, Watch | None]:
        alarm = self._book.alarms[key.split("|")[1]]
        return alarm, self._book.watch_of(alarm)


def _is_awaited(alarm: Alarm, step: Step) -> bool:
    """Has somebody taken this call before ``step``, so that the next sign of a person is their arrival?"""
    if alarm.alarm_class is not AlarmClass.SOS or alarm.arrived_at is not None:
        return False
    is_in_hand = alarm.handling in {Handling.TAKEN, Handling.VERIFYING, Handling.HANDLING}
    return is_in_hand and not any(each.kind == "taken" and each.alarm_id == alarm.id for each in step.events)


def _is_after(reading: Reading, alarm: Alarm, now: Now) -> bool:
    """Was it scanned after the call was taken? A reading that came late was not, unless our clock went back since."""
    taken_at = alarm.taken_at
    if taken_at is None:
        return False
    return reading.at == reading.received_at or reading.at > taken_at or now.utc < taken_at


def _spot_of(device: Device) -> _Spot | None:
    """The flat of a device; of one in no flat its unit; None: it is in neither and proves nothing."""
    for scope in (Scope.ROOM, Scope.UNIT):
        key = key_of(device, scope)
        if key is not None:
            return scope, key
    return None


def _recipients(notices: Iterable[Notice]) -> list[str]:
    return list(dict.fromkeys(each.recipient for each in notices))
