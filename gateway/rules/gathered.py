"""Room: rules. The source of a group alarm, one rule at one building or at the whole site; which alarms it may take.

When such an alarm is raised and returns is `gateway.rules.grouping`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from gateway.model import Alarm, AlarmClass, AlarmCondition, Device, Handling, Rule, Step
from gateway.rules.marks import UNTOLD
from gateway.rules.watch import GroupWatch, Watch

GATHERED_CLASSES = frozenset({AlarmClass.FAULT, AlarmClass.MAINTENANCE})
SITE_SOURCE = "@site:"
CABINET = "cabinet"


class Yielding(Protocol):
    """What grouping needs of the stages."""

    def yields(self, alarm: Alarm) -> bool:
        """Is it of a rule that yields to a higher stage?"""
        ...


class Ledger(Protocol):
    """What grouping needs of the book of alarms."""

    alarms: dict[str, Alarm]
    watches: dict[tuple[str, str], Watch]
    cause_of: Callable[[Watch, Step, bool], str]  # the book asks it before it raises ...
    after: Callable[[Alarm, Step], None]  # ... and tells it of every change

    @property
    def stages(self) -> Yielding:
        """Alarms that go under a higher stage are none of its business."""
        ...

    def watch_of(self, alarm: Alarm) -> Watch | None:
        """The rule at the source that raised it."""
        ...

    def activate(self, watch: Watch, step: Step, reading: None) -> None:
        """Raise the alarm of ``watch``."""
        ...

    def write(self, watch: Watch, kind: str, data: Mapping[str, Any], step: Step) -> Alarm:
        """Write one event of the alarm of ``watch``."""
        ...

    def confirm(self, watch: Watch, step: Step) -> None:
        """The alarm of ``watch`` is known to be true again."""
        ...

    def is_mute(self, watch: Watch) -> bool:
        """Would nobody hear of an alarm of ``watch`` for now?"""
        ...

    def suppress(self, alarm: Alarm, by: str, step: Step) -> Alarm:
        """Mute ``alarm``, a consequence of the alarm ``by``."""
        ...

    def unsuppress(self, alarm: Alarm, step: Step) -> Alarm:
        """Let ``alarm`` be seen again."""
        ...


class Gathered(GroupWatch):
    """What a rule knows of one group: its open alarm, if there is one. It sets nothing and has no calendar."""

    __slots__ = ()

    def __init__(self, rule: Rule, source_id: str, place: str) -> None:
        super().__init__(rule, source_id, place, (), None, is_vital=False)
        self.shown = True  # that members are lost is known, whatever their points say


def is_free(alarm: Alarm) -> bool:
    """Is it there, has nobody it in hand, and was it raised as what may be gathered (its rule may have changed)?"""
    is_there = alarm.is_open and alarm.condition is AlarmCondition.ACTIVE and alarm.alarm_class in GATHERED_CLASSES
    return is_there and alarm.handling is Handling.NEW and not alarm.suppressed_by


def is_alone(watch: Watch) -> bool:
    """Is its alarm open, heard, and of no group?"""
    return watch.alarm is not None and is_free(watch.alarm) and not is_muted_anyway(watch.alarm)


def is_muted_anyway(alarm: Alarm) -> bool:
    """Would nobody hear of it, also if it had no cause? What stands alone silently must not be heard as a group."""
    return alarm.is_out_of_service or alarm.shelved_until_at is not None or not UNTOLD.isdisjoint(alarm.marks)


def lets_go(cause: Alarm) -> bool:
    """Does nobody hear of a cause, so that what it explains must speak for itself?

    Whoever shelves a group alarm has its list before them, and shelves that.
    """
    return cause.device_id != "" and is_muted_anyway(cause)


def building_source(name: str) -> str:
    """The source of the group of a building; "" for none."""
    return f"@building:{name}" if name else ""


def cabinets_of(devices: Iterable[Device]) -> dict[str, tuple[str, ...]]:
    """Place -> devices tagged as the cabinet of what hangs there."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for device in devices:
        if CABINET in device.tags:
            found[device.place.text].append(device.id)
    return {place: tuple(ids) for place, ids in found.items()}
