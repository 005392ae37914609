"""Room: rules. Marks: what people say of places and points for a while. Which cover what, who may set them, until when.

Kept across a restart by `MarkChange` and a timer ``mark|<mark>|<scope>|<key>``. What a mark does to alarms is
`gateway.rules.marking`'s and `gateway.rules.book`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from gateway.model import (
    Action,
    Actor,
    Alarm,
    Device,
    Mark,
    MarkChange,
    Now,
    OperatorRequest,
    Scope,
    Step,
    Verb,
)
from gateway.rules.table import LIFTERS, MARKING, Code
from gateway.rules.timers import Timers
from gateway.rules.verbs import Refusal, bad_argument, minutes_of, too_long

MAX_MARKS = 2_000  # set by people at one time; each is looked through when one ends
OFF = frozenset({Mark.DISABLED, Mark.OUT_OF_SERVICE})
TESTS = frozenset({Mark.DRILL, Mark.WALK_TEST, Mark.COMMISSIONING})  # alarms raised under these carry them
UNTOLD = frozenset({Mark.WALK_TEST, Mark.COMMISSIONING})  # of alarms with these nobody is told
NO_MARKS: frozenset[Mark] = frozenset()
NO_WITNESS = OFF | {Mark.WALK_TEST}
_OF_TAG = "alarm"  # the scope of SHELVED: one rule at one source

_Key = tuple[Mark, str, str]


class Marks:
    """The marks that are set. False when there are none, which is nearly always: ask that first on a hot path."""

    def __init__(self, devices: Iterable[Device], timers: Timers) -> None:
        self._devices = {each.id: each for each in devices}
        self._timers = timers
        self._set: dict[_Key, MarkChange] = {}
        self._by_place: defaultdict[tuple[str, str], set[Mark]] = defaultdict(set)
        self._by_group: defaultdict[tuple[str, str], list[Device]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._set)

    def __iter__(self) -> Iterator[MarkChange]:
        return iter(self._set.values())

    def of(self, source_id: str) -> frozenset[Mark]:
        """What covers a point, a device, or a group ``@<scope>:<key>``: there what covers every device of it."""
        if not self._set:
            return NO_MARKS
        if source_id.startswith("@"):
            return self._of_group(source_id)
        device = self._devices.get(source_id)
        if device is not None:
            return self._of_device(device)
        device = self._devices.get(source_id.rpartition("/")[0])
        own = self._by_place.get(("point", source_id), NO_MARKS)
        return frozenset(own) | (self._of_device(device) if device else NO_MARKS)

    def counts(self, source_id: str) -> bool:
        """May this device (or point) be a witness? Not while it is disabled, out of service or walk-tested."""
        return not self._set or self.of(source_id).isdisjoint(NO_WITNESS)

    def shelf_of(self, rule_id: str, source_id: str) -> MarkChange | None:
        """The shelving of a rule at a source, if there is one."""
        return self._set.get((Mark.SHELVED, _OF_TAG, f"{rule_id}:{source_id}")) if self._set else None

    def shelve(self, alarm: Alarm, reason: str, step: Step) -> None:
        """The tag of ``alarm`` is shelved as the alarm says."""
        assert alarm.shelved_until_at is not None
        tag = f"{alarm.rule_id}:{alarm.point_id}"
        until = alarm.shelved_until_at
        self.put(MarkChange(Mark.SHELVED, _OF_TAG, tag, True, step.now.utc, until, alarm.shelved_by, reason), step)

    def unshelve(self, alarm: Alarm, actor: Actor, step: Step) -> None:
        """The tag of ``alarm`` is not shelved any more."""
        shelf = self.shelf_of(alarm.rule_id, alarm.point_id)
        if shelf is not None:
            self.remove(shelf, actor, "", step)

    def put(self, change: MarkChange, step: Step) -> None:
        """Set it from now until its time."""
        self._keep(change)
        step.marks.append(change)
        if change.until_at is not None:
            duration_s = (change.until_at - step.now.utc).total_seconds()
            step.timers.append(self._timers.start(_timer_key(change), duration_s, step.now))

    def remove(self, change: MarkChange, actor: Actor, reason: str, step: Step) -> None:
        """Lift it; ``actor`` is the system where its time was over."""
        del self._set[_key(change)]
        self._by_place[change.scope, change.key].discard(change.mark)
        if not self._by_place[change.scope, change.key]:
            del self._by_place[change.scope, change.key]
        lifted = change._replace(is_set=False, since_at=step.now.utc, until_at=None, by=actor.name, reason=reason)
        step.marks.append(lifted)
        stopped = self._timers.stop(_timer_key(change))
        if stopped is not None:
            step.timers.append(stopped)

    def get(self, timer_key: str) -> MarkChange | None:
        """The mark of a timer."""
        _, mark, scope, key = timer_key.split("|", 3)
        return self._set.get((Mark(mark), scope, key))

    # Restart ---------------------------------------------------------------------------------------------------

    def restore(self, changes: Iterable[MarkChange]) -> None:
        """As they were kept; their timers come with all timers."""
        for change in changes:
            self._keep(change)

    def restore_timer(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on with the time of a mark; False where there is no such mark."""
        is_known = key.split("|", 3)[1] in set(Mark) and self.get(key) is not None
        if is_known:
            self._timers.restore(key, started_at, duration_s, now, not_before=now.mono_s)
        return is_known

    def resume(self, step: Step) -> None:
        """A mark with an end must have a timer: else it would never end."""
        for change in self._set.values():
            key = _timer_key(change)
            if change.until_at is not None and key not in self._timers:
                left_s = max((change.until_at - step.now.utc).total_seconds(), 0.0)
                step.timers.append(self._timers.start(key, left_s, step.now))

    # Requests --------------------------------------------------------------------------------------------------

    def decide(self, request: OperatorRequest, now: Now) -> MarkChange | Refusal:
        """The mark that ``request`` sets, or the one that it lifts; or why not."""
        refusal = bad_argument(request)
        if refusal is not None:
            return refusal
        name, scope, key = request.args["mark"], request.args["scope"], request.args.get("key", "")
        settable = tuple(MARKING) if request.verb is Verb.MARK else tuple(Mark)
        if name not in settable:
            return Refusal(Code.BAD_ARGUMENT, {"arguments": ["mark"], "expected": [str(each) for each in settable]})
        mark = Mark(name)
        known = self._set.get((mark, scope, key))
        if request.verb is Verb.UNMARK:
            return self._may_lift(request, known)
        if known is not None:
            return Refusal(Code.ALREADY_MARKED, _who(known))
        return self._may_set(request, mark, scope, key) or self._made(request, mark, scope, key, now)

    def _may_lift(self, request: OperatorRequest, known: MarkChange | None) -> MarkChange | Refusal:
        if request.actor.role not in LIFTERS:
            return Refusal(Code.ROLE_NOT_ALLOWED, {"role": request.actor.role, "roles": list(LIFTERS)})
        return known or Refusal(Code.NOT_MARKED)

    def _may_set(self, request: OperatorRequest, mark: Mark, scope: str, key: str) -> Refusal | None:
        limit = MARKING[mark]
        if request.actor.role not in limit.roles:
            return Refusal(Code.ROLE_NOT_ALLOWED, {"role": request.actor.role, "roles": list(limit.roles)})
        if scope not in limit.scopes:
            return Refusal(Code.BAD_ARGUMENT, {"arguments": ["scope"], "expected": list(limit.scopes)})
        if not self._is_place(scope, key):
            return Refusal(Code.UNKNOWN_TARGET, {"scope": scope, "key": key[:200]})
        if len(self._set) >= MAX_MARKS:
            return Refusal(Code.TOO_MANY_MARKS, {"most": MAX_MARKS})
        return None

    def _made(self, request: OperatorRequest, mark: Mark, scope: str, key: str, now: Now) -> MarkChange | Refusal:
        longest_s = MARKING[mark].longest_s
        reason, by = request.args["reason"].strip(), request.actor.name
        if not request.args.get("minutes", "").strip():
            if longest_s is not None:
                return Refusal(Code.MISSING_ARGUMENT, {"arguments": ["minutes"]})
            return MarkChange(mark, scope, key, True, now.utc, None, by, reason)
        minutes = minutes_of(request)
        if isinstance(minutes, Refusal):
            return minutes
        until = now.utc + timedelta(minutes=minutes)
        made = MarkChange(mark, scope, key, True, now.utc, until, by, reason)
        return too_long(minutes, _NEVER_LONGER_S if longest_s is None else longest_s) or made

    def _is_place(self, scope: str, key: str) -> bool:
        if scope == "point":
            device = self._devices.get(key.rpartition("/")[0])
            return device is not None and any(each.id == key for each in device.points)
        return any((scope, key) in _places(each) for each in self._devices.values())

    # Coverage --------------------------------------------------------------------------------------------------

    def _keep(self, change: MarkChange) -> None:
        self._set[_key(change)] = change
        self._by_place[change.scope, change.key].add(change.mark)

    def _of_device(self, device: Device) -> frozenset[Mark]:
        found: set[Mark] = set()
        for place in _places(device):
            found |= self._by_place.get(place, NO_MARKS)
        return frozenset(found)

    def _of_group(self, source_id: str) -> frozenset[Mark]:
        scope, _, key = source_id[1:].partition(":")
        common: frozenset[Mark] | None = None
        for device in self._in(scope, key):
            own = self._of_device(device)
            common = own if common is None else common & own
            if not common:
                break
        return common or NO_MARKS

    def _in(self, scope: str, key: str) -> Sequence[Device]:
        if not self._by_group:  # at the first question: most sites have marks now and then
            for device in self._devices.values():
                for place in _places(device):
                    self._by_group[place].append(device)
        return self._by_group.get((scope, key), ())


def withholds(alarm: Alarm, action: Action) -> bool:
    """Does this action of its rule not happen for now?

    A walk test and work on the device move nothing. What is only to be heard (until silenced) is not for a muted one.
    """
    if alarm.is_out_of_service or Mark.WALK_TEST in alarm.marks:
        return True
    return action.until == "silenced" and alarm.is_muted


_NEVER_LONGER_S = 10 * 366 * 86_400.0


def _key(change: MarkChange) -> _Key:
    return change.mark, change.scope, change.key


def _timer_key(change: MarkChange) -> str:
    return f"mark|{change.mark}|{change.scope}|{change.key}"


def _who(change: MarkChange) -> dict[str, str]:
    until = change.until_at.isoformat() if change.until_at else ""
    return {"who": change.by, "what": "mark", "when": change.since_at.isoformat(), "until": until}


def _places(device: Device) -> list[tuple[str, str]]:
    """Every (scope, key) that the device lies in; a part of the address that is empty names no place."""
    place = device.place
    found = [(str(Scope.DEVICE), device.id), (str(Scope.SITE), "")]
    address = ""
    parts = (
        (Scope.BUILDING, place.building),
        (Scope.UNIT, place.unit),
        (Scope.FLOOR, place.floor),
        (Scope.ROOM, place.room),
    )
    for scope, part in parts:
        address = f"{address}-{part}" if scope is not Scope.BUILDING else part
        if part:
            found.append((str(scope), address))
    if place.zone:
        found.append((str(Scope.ZONE), place.zone))
    return found
