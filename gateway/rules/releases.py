"""Room: rules. The end of what alarms have switched on: sirens until reset, buzzers until silenced.

Which alarm holds which point on follows from the open alarms and their rules alone, so that a restart changes nothing.
Where the configuration has changed meanwhile, and no rule speaks for a siren that sounds, the commands on record do:
it stops when the alarm that switched it on has ended. Switching on is `gateway.rules.linkage`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from gateway.model import SYSTEM, Action, Alarm, AlarmCondition, AlarmEvent, Command, Device, Handling, Now, Value
from gateway.rules.marks import withholds
from gateway.rules.table import SOUNDLESS
from gateway.rules.watch import Outputs, Watch

# Without its rule nobody knows what an output is for: only what makes noise and nothing else may be stopped. To restore
# power, close a damper or lock a door needs a rule that says so, or a person.
_MERE_NOISE = frozenset({"siren", "buzzer", "broadcast"})
_STOP_WITHIN_S = 10.0


class Releases:
    """The points that events of one step have let go; decided at its end, when it is known who else holds them."""

    def __init__(self) -> None:
        self._let_go: dict[str, tuple[AlarmEvent, float]] = {}  # by point id; the last event of the step counts
        self._on_record: dict[str, tuple[str, ...]] = {}  # alarm id -> points that only the record says it holds

    @property
    def has_any(self) -> bool:
        """Has anything been let go in this step?"""
        return bool(self._let_go)

    def note(self, event: AlarmEvent, before: Alarm, after: Alarm, watch: Watch) -> None:
        """``event`` made ``after`` of ``before``: remember what the alarm held on and holds no more."""
        for action, targets in watch.outputs:
            if action.until and holds(before, action) and not holds(after, action):
                for target in targets:
                    self._let_go.pop(target.id, None)
                    self._let_go[target.id] = event, action.expires_s

    def restore(self, on: Iterable[tuple[Alarm, Watch | None, str]], devices: Mapping[str, Device]) -> None:
        """Points that open alarms have switched on, by the commands on record, each with its alarm and its rule."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for alarm, watch, point_id in on:
            device = devices.get(point_id.rpartition("/")[0])
            if device is None or device.kind not in _MERE_NOISE:
                continue
            is_there = any(each.id == point_id and each.is_writable for each in device.points)
            is_ruled = watch is not None and any(
                each.id == point_id for _, targets in watch.outputs for each in targets
            )
            if is_there and not is_ruled:
                found[alarm.id].append(point_id)
        self._on_record = {alarm_id: tuple(points) for alarm_id, points in found.items()}

    def note_end(self, event: AlarmEvent) -> None:
        """``event`` has ended its alarm: it holds nothing any more, whatever is on record."""
        for point_id in self._on_record.pop(event.alarm_id, ()):
            self._let_go.pop(point_id, None)
            self._let_go[point_id] = event, _STOP_WITHIN_S

    def commands(self, open_alarms: Iterable[tuple[Alarm, Watch]], now: Now) -> list[Command]:
        """Set false what was let go and none of the open alarms holds on. Forgets the step."""
        left, self._let_go = self._let_go, {}
        for points in self._on_record.values():
            for point_id in points:
                left.pop(point_id, None)
        for alarm, watch in open_alarms:
            if not left:
                break
            for action, targets in watch.outputs:
                if holds(alarm, action):
                    for target in targets:
                        left.pop(target.id, None)
        return [
            Command(
                id=f"{event.id}/{point_id}",
                point_id=point_id,
                value=False,
                by=SYSTEM,
                because=event.alarm_id,
                expires_at=now.utc + timedelta(seconds=expires_s),
            )
            for point_id, (event, expires_s) in left.items()
        ]


def overruled(ordinary: Sequence[Command], open_alarms: Iterable[tuple[Alarm, Watch]]) -> frozenset[str]:
    """Ids of ``ordinary`` commands that would undo what an open alarm of fire, gas or sos has set for safety.

    A door that a fire has released is not locked again by the rule that keeps it locked at night.
    """
    wanted: defaultdict[str, set[Value]] = defaultdict(set)
    for alarm, watch in open_alarms:
        if alarm.alarm_class.is_life_safety:
            for action, targets in watch.outputs:
                if action.is_safety and not withholds(alarm, action) and (not action.until or holds(alarm, action)):
                    for target in targets:
                        wanted[target.id].add(action.value)
    return frozenset(each.id for each in ordinary if wanted[each.point_id] - {each.value})


def holder_of(point_id: str, value: Value, open_alarms: Iterable[tuple[Alarm, Watch]]) -> Alarm | None:
    """The open alarm that has set ``point_id`` to something else than ``value`` for safety, and wants it so still.

    Of fire, gas and sos as long as it is open; of any other while its cause is there: a socket that was cut for its
    heat is not switched on by hand, a door that a fire has released is not locked.
    """
    for alarm, watch in open_alarms:
        if not alarm.alarm_class.is_life_safety and alarm.condition is not AlarmCondition.ACTIVE:
            continue
        for action, targets in watch.outputs:
            is_wanted = not withholds(alarm, action) and (not action.until or holds(alarm, action))
            if action.is_safety and is_wanted and action.value != value and any(t.id == point_id for t in targets):
                return alarm
    return None


def holds(alarm: Alarm, action: Action) -> bool:
    """Does ``alarm`` want on what ``action`` of its rule has switched on? Without an end: as long as it is open.

    A latch is opened by ``reset`` when nothing else is missing, so the end of an alarm is its reset, or the end of
    one that does not latch.
    """
    if action.value is not True or not alarm.is_open or withholds(alarm, action):
        return False
    if action.until != "silenced":
        return True
    is_untouched = alarm.alarm_class in SOUNDLESS and alarm.handling is Handling.NEW
    return alarm.is_sounding or is_untouched


def resumed(watch: Watch, before: Alarm, after: Alarm) -> Outputs:
    """The outputs that were withheld from an alarm and that it wants now."""
    return tuple(
        (action, targets)
        for action, targets in watch.outputs
        if withholds(before, action) and not withholds(after, action) and _wants(after, action)
    )


def _wants(alarm: Alarm, action: Action) -> bool:
    if action.until:
        return holds(alarm, action)
    return alarm.condition is AlarmCondition.ACTIVE
