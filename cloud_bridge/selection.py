"""What of the outbox one uplink forwards: which points, which alarms, and which personal words stay. Pure.

What is personal in an alarm is `personal`'s; how a platform wants it is the uplink's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from cloud_bridge.personal import without_people
from cloud_bridge.settings import Common, Only
from gateway.model import Device, Rule, Site

_MAX_KNOWN = 100_000  # points whose answer is kept
_OF_BUILDINGS = ("building", "unit", "floor", "room")  # groups whose key begins with their building
Row = TypeVar("Row", bound=Sequence[Any])


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Does a point id match one of these? ``*`` is any text, ``?`` one character, nothing else is special."""
    texts = [re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in globs]
    pattern = re.compile("|".join(texts) if texts else r"(?!)", re.DOTALL)
    return lambda point_id: pattern.fullmatch(point_id) is not None


class Selection:
    """One uplink's choice. Rows of which nothing is left count as delivered."""

    def __init__(self, site: Site, common: Common | None = None) -> None:
        """``common``: what the configuration says of this uplink; nothing of it: everything but what is personal."""
        common = common or Common()
        self._site = site
        self._only = common.only or Only()
        self._is_personal = common.personal
        self._rules = {each.id: each for each in site.rules}
        self._personal = {each.id for device in site.devices.values() for each in device.points if each.is_personal}
        self._fits = None if self._only.points is None else matcher(self._only.points)
        self._known: dict[str, bool] = {}
        narrows = any(each is not None for each in (self._only.kinds, self._only.buildings, self._only.points))
        self.keeps_every_point = not narrows and (self._is_personal or not self._personal)
        self._keeps_every_alarm = not narrows and self._only.classes is None

    @property
    def is_whole(self) -> bool:
        """Does everything pass unchanged? Then a row need not be parsed."""
        return self.keeps_every_point and self._keeps_every_alarm and self._is_personal

    def keeps(self, point_id: str) -> bool:
        """Do readings of this point go up?"""
        known = self._known.get(point_id)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[point_id] = self._goes_up(point_id)
        return known

    def readings(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The ``[point_id, ...]`` among ``rows`` that go up."""
        if self.keeps_every_point:
            return rows
        keeps = self.keeps
        return [row for row in rows if keeps(row[0])]

    def alarm(self, told: dict[str, Any]) -> dict[str, Any] | None:
        """An alarm row (``{"id", "event", "alarm"}``) as this uplink may send it, or None: not for this platform."""
        alarm = told["alarm"]
        if not self._keeps_every_alarm and not self._wants(alarm):
            return None
        if self._is_personal:
            return told
        rule = self._rules.get(str(alarm["rule_id"]))
        is_personal = self._is_of_people(str(alarm["point_id"]))
        return without_people(told, rule.outcomes if rule else (), is_personal=is_personal)

    def _goes_up(self, point_id: str) -> bool:
        if not self._is_personal and self._is_of_people(point_id):
            return False
        if self._fits is not None and not self._fits(point_id):
            return False
        return self._is_there(self._site.devices.get(point_id.rpartition("/")[0]))

    def _is_of_people(self, point_id: str) -> bool:
        """Is it marked so, or was it the number of a card before its device left the configuration?"""
        if point_id in self._personal:
            return True
        return point_id.endswith("/pass") and point_id.rpartition("/")[0] not in self._site.devices

    def _is_there(self, device: Device | None) -> bool:
        kinds, buildings = self._only.kinds, self._only.buildings
        if kinds is None and buildings is None:
            return True
        if device is None:
            return False
        return (kinds is None or device.kind in kinds) and (buildings is None or device.place.building in buildings)

    def _wants(self, alarm: Mapping[str, Any]) -> bool:
        """Points narrow telemetry alone: a list of points must not cost an alarm."""
        if self._only.classes is not None and alarm["alarm_class"] not in self._only.classes:
            return False
        source_id = str(alarm["point_id"])
        if source_id.startswith("@"):
            return self._is_in_group(source_id, self._rules.get(str(alarm["rule_id"])))
        device = self._site.devices.get(str(alarm["device_id"]))
        return device is None or self._is_there(device)  # of one that is gone: its end must not be lost

    def _is_in_group(self, source_id: str, rule: Rule | None) -> bool:
        """Is one of the devices that the group's rule looks at, as far as they are known, for this platform?"""
        scope, _, key = source_id[1:].partition(":")
        devices = list(map(self._site.devices.get, _devices_of(rule)))
        here = [each for each in devices if each is not None and _is_inside(each, scope, key)]
        return not here or any(map(self._is_there, here))


def _devices_of(rule: Rule | None) -> Iterable[str]:
    if rule is None:
        return ()
    points = [*rule.points, *(each for part in rule.condition.parts for each in part.points)]
    return dict.fromkeys(each.rpartition("/")[0] for each in points)


def _is_inside(device: Device, scope: str, key: str) -> bool:
    """Could it belong to this group? Buildings and zones are told apart, the rest is near enough."""
    if scope in _OF_BUILDINGS:
        return device.place.building == key.partition("-")[0]
    return device.place.zone == key if scope == "zone" else True
