"""Room: rules. Fire: from one device in alarm (people are told at once) to a confirmed fire and its linkage.

IDLE -> PRE_ALARM -> CONFIRMED is kept nowhere: it follows from the open alarms of class fire in a compartment (a group:
a zone, a unit, a building), so that a restart changes nothing. GB 50116-2013 4.1.6: linkage asks for two independent
devices. What counts, and why:

- Different device ids are independent; a manual call point is a device like a detector. However often one device
  reports, it is one.
- A device counts while its alarm is open, also after it has recovered: smoke that one detector lost while the next
  one found it is one fire. Not any more when it has recovered and a person has found its alarm false.
- A device in walk test, disabled or out of service never counts. What a test or drill has left behind does not either;
  a device that is still in alarm when its test is over does, as soon as that is known.
- A confirmed fire is a drill (or commissioning) while everything that confirms it is: the first real device of the
  compartment makes it real, once: heard, told and acted upon again. It carries no other mark: people who switch
  detectors off do not silence a fire that others have confirmed.
- A person's ``verify(real)`` of one fire alarm in the compartment is enough. It is a person's word, not a device's:
  marks of devices do not take it away.
- A new activation in a compartment whose confirmed alarm people have closed already is a new fire: it is told and
  acted upon again.

Which commands follow is `gateway.rules.linkage`'s, writing events is `gateway.rules.book`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from gateway.model import (
    SYSTEM,
    Actor,
    Alarm,
    AlarmClass,
    AlarmCondition,
    Device,
    Handling,
    Mark,
    Reading,
    Rule,
    Site,
    Step,
)
from gateway.rules.conditions import is_event
from gateway.rules.linkage import Linkage
from gateway.rules.places import key_of, place_of, source_of
from gateway.rules.table import Code
from gateway.rules.verbs import Refusal
from gateway.rules.watch import GroupWatch, Outputs, Watch

CONFIRMED = "confirmed"  # the kind of condition, and of the event that its members get
DEVICES_NEEDED = 2
MOST_NAMED = 10  # alarms in a refusal; of the others it says how many
CARRIED = frozenset({Mark.DRILL, Mark.COMMISSIONING})  # what a confirmed fire has from the alarms that confirm it
_NONE: frozenset[Mark] = frozenset()

Counts = Callable[[str], bool]
"""Does this device (by its id) count towards a confirmation?"""
Covers = Callable[[str], frozenset[Mark]]
"""What marks cover this point now?"""


class Ledger(Protocol):
    """Where alarms are written: the book."""

    def activate(self, watch: Watch, step: Step, reading: Reading | None) -> None:
        """Raise the alarm, or raise it again, with all that follows."""
        ...

    def write(self, watch: Watch, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor = SYSTEM) -> Alarm:
        """One event of the alarm of ``watch``."""
        ...

    def watch_of(self, alarm: Alarm) -> Watch | None:
        """What raised it."""
        ...

    def confirm(self, watch: Watch, step: Step) -> None:
        """The alarm of ``watch`` is known to be true again."""
        ...


class Compartment(GroupWatch):
    """One group under one rule of kind ``confirmed``: the fire alarms in it, and its own alarm."""

    __slots__ = ("members", "tests")

    def __init__(self, rule: Rule, source_id: str, place: str, outputs: Outputs) -> None:
        super().__init__(rule, source_id, place, outputs, None, is_vital=True)
        self.members: dict[str, Alarm] = {}  # the open fire alarms by id
        self.tests = _NONE  # what all that confirm it have in common

    @property
    def value(self) -> int:
        """How many devices in it are in alarm."""
        return len({each.device_id for each in self.members.values() if each.device_id})

    @property
    def is_wrongly_a_test(self) -> bool:
        """Does its alarm say that it is a drill or test, while what confirms it is not?"""
        return self.alarm is not None and not self.tests.issuperset(self.alarm.marks)

    def covered(self, _by: Covers) -> frozenset[Mark]:
        """Not what covers the place: what it has from those that confirm it."""
        return self.tests

    def note(self, alarm: Alarm) -> None:
        """``alarm`` as it is now."""
        if alarm.is_open:
            self.members[alarm.id] = alarm
        else:
            self.members.pop(alarm.id, None)


def _why(speaking: Iterable[Alarm]) -> str:
    """What confirms a fire where these alarms speak for one: "person", "devices", or "" for nothing."""
    devices = set()
    for each in speaking:
        if each.is_real:
            return "person"
        devices.add(each.device_id)
    return "devices" if len(devices - {""}) >= DEVICES_NEEDED else ""


class Fires:
    """The compartments of a site, and which fire alarms lie in them."""

    def __init__(self, ledger: Ledger) -> None:
        self.counts: Counts = _all_count  # whoever knows of marks sets them
        self.covers: Covers = _nothing_covers
        self._ledger = ledger
        self._all: list[Compartment] = []
        self._by_source: defaultdict[str, list[Compartment]] = defaultdict(
            list
        )  # by device id, by source id of a group

    def add(self, rule: Rule, site: Site, linkage: Linkage) -> Sequence[Compartment]:
        """The compartments of ``rule``, their outputs found in advance. Raises ValueError where it could not work."""
        scope = rule.condition.same
        if scope is None or rule.alarm_class is not AlarmClass.FIRE:
            raise ValueError(f"rule {rule.id}: confirmed is for class fire and needs same: zone, unit or building")
        if rule.for_s or rule.clear_for_s or rule.only or rule.unless:
            raise ValueError(f"rule {rule.id}: a confirmed fire does not wait; remove for, clear_for, only and unless")
        members: defaultdict[str, list[Device]] = defaultdict(list)
        for device in site.devices.values():
            key = key_of(device, scope)
            if key is not None:
                members[key].append(device)
        found = []
        for key, inside in members.items():
            outputs = linkage.group_outputs(rule, inside)
            compartment = Compartment(rule, source_of(scope, key), place_of(site, scope, key), outputs)
            self._by_source[compartment.source_id].append(compartment)
            for device in inside:
                self._by_source[device.id].append(compartment)
            found.append(compartment)
        linkage.check(rule, [each.id for inside in members.values() for each in inside])
        self._all += found
        return found

    def restore(self, alarm: Alarm) -> None:
        """An open alarm from the journal. What follows from it is decided by `settle`, in the first step."""
        for compartment in self._of(alarm):
            compartment.note(alarm)

    def heard(self, alarm: Alarm, step: Step) -> None:
        """An event of ``alarm`` was written: decide for the compartments that it lies in."""
        for compartment in self._of(alarm):
            compartment.note(alarm)
            if alarm.last_event == CONFIRMED:  # it follows from a decision, and is no ground for another
                continue
            self._decide(compartment, step)
            own = compartment.alarm
            is_news = alarm.last_event in {"raised", "reraised"} and self._is_evidence(alarm)
            if is_news and compartment.is_active and own is not None and own.handling is Handling.CLOSED:
                self._ledger.activate(compartment, step, None)

    def spoke(self, alarm: Alarm, step: Step) -> None:
        """The point of ``alarm`` has reported for the first time since the start. No event: it is as it was."""
        for compartment in self._of(alarm):
            compartment.note(alarm)
            self._decide(compartment, step)

    def settle(self, step: Step) -> None:
        """Decide for all: after a restart, and when it has changed which devices count."""
        for compartment in self._all:
            if compartment.members or compartment.met or compartment.alarm is not None:
                self._decide(compartment, step)

    def standing(self, compartment: Compartment) -> list[Alarm]:
        """The alarms that speak for a fire in it."""
        return [each for each in compartment.members.values() if each.is_real or self._is_evidence(each)]

    def _decide(self, compartment: Compartment, step: Step) -> None:
        speaking = self.standing(compartment)
        why = _why(speaking)
        compartment.tests = _common(speaking) if why else _NONE
        if why and (not compartment.is_active or compartment.is_wrongly_a_test):
            compartment.met = True
            self._ledger.activate(compartment, step, None)
        elif not why and compartment.is_active:
            compartment.met = False
            self._ledger.write(compartment, "returned", {"value": compartment.value}, step)
        if why:
            self._mark(compartment, why, step)
        own = compartment.alarm
        if own is not None and own.is_unconfirmed and self._is_known(compartment, why):
            self._ledger.confirm(compartment, step)

    def _is_known(self, compartment: Compartment, why: str) -> bool:
        """Has what it follows from been reported since the start? A person's word needs no report."""
        heard = [each for each in self.standing(compartment) if each.is_real or not each.is_unconfirmed]
        return _why(heard) == why if why else not any(each.is_unconfirmed for each in compartment.members.values())

    def _mark(self, compartment: Compartment, why: str, step: Step) -> None:
        """Say of every alarm in it that counts that it is confirmed, and by what."""
        if compartment.alarm is None:
            return
        data = {"by": compartment.alarm.id, "because": why}
        for alarm_id in list(compartment.members):
            alarm = compartment.members[alarm_id]  # as it is now: another one's mark may have changed it
            watch = self._ledger.watch_of(alarm)
            if watch is not None and not alarm.is_confirmed and (alarm.is_real or self._is_evidence(alarm)):
                self._ledger.write(watch, CONFIRMED, data, step)

    def _is_evidence(self, alarm: Alarm) -> bool:
        if alarm.is_out_of_service or not self.counts(alarm.device_id):
            return False
        if alarm.marks and not self.covers(alarm.point_id).issuperset(alarm.marks):
            return self._is_still_there(alarm)
        return alarm.condition is AlarmCondition.ACTIVE or alarm.is_real is not False

    def _is_still_there(self, alarm: Alarm) -> bool:
        """Its test is over. Does the device say that there is smoke (and not only that somebody pressed a button)?

        After a walk test it does not count before it is raised again for real.
        """
        watch = self._ledger.watch_of(alarm)
        is_level = watch is not None and not is_event(watch.rule.condition)
        is_there = alarm.condition is AlarmCondition.ACTIVE and not alarm.is_unconfirmed
        return is_level and is_there and Mark.WALK_TEST not in alarm.marks

    def _of(self, alarm: Alarm) -> Sequence[Compartment]:
        """Where ``alarm`` counts; a confirmed fire is no evidence of itself."""
        if not self._all or alarm.alarm_class is not AlarmClass.FIRE:
            return ()
        if not alarm.device_id and isinstance(self._ledger.watch_of(alarm), Compartment):
            return ()
        return self._by_source.get(alarm.device_id or alarm.point_id, ())


def explained(refusal: Refusal, watch: Watch | None, fires: Fires) -> Refusal:
    """Of a confirmed fire no detector is in alarm: its refused reset names the alarms that it follows from."""
    codes = [str(each) for each in refusal.detail.get("codes", ())]
    if not isinstance(watch, Compartment) or Code.CONDITION_ACTIVE not in codes:
        return refusal
    named = [str(Code.FIRES_OPEN) if each == Code.CONDITION_ACTIVE else each for each in codes]
    standing = fires.standing(watch)
    alarms = [
        {"id": each.id, "place": each.place, "title": each.title, "condition": str(each.condition)}
        for each in standing[:MOST_NAMED]
    ]
    found = {"codes": named, "alarms": alarms, "more": len(standing) - len(alarms)}
    return Refusal(Code(named[0]), {**refusal.detail, **found})


def _common(speaking: Sequence[Alarm]) -> frozenset[Mark]:
    """What all of them carry, as far as a confirmed fire takes it over."""
    return frozenset(mark for mark in CARRIED if all(mark in each.marks for each in speaking))


def _all_count(_device_id: str) -> bool:
    return True


def _nothing_covers(_point_id: str) -> frozenset[Mark]:
    return _NONE
