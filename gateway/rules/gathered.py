"""Room: rules. The source of a group alarm, one rule at one building or at the whole site; which alarms it may take.

When such an alarm is raised and returns is `gateway.rules.grouping`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from gateway.model import Alarm, AlarmClass, AlarmCondition, Device, Handling, Rule
from gateway.rules.marks import UNTOLD
from gateway.rules.watch import GroupWatch, Watch

GATHERED_CLASSES = frozenset({AlarmClass.FAULT, AlarmClass.MAINTENANCE})
SITE_SOURCE = "@site:"
CABINET = "cabinet"


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
