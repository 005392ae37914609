"""Room: rules. Groups: all that lies in one room, unit, building, zone. Their names, and what their alarms reach.

What makes a group's condition true is its judge's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from gateway.model import Device, Point, Rule, Scope, Site
from gateway.rules.judge import Ground, Judge
from gateway.rules.linkage import Linkage
from gateway.rules.points import PointState
from gateway.rules.watch import GroupWatch, Outputs, is_vital


def key_of(device: Device, scope: Scope) -> str | None:
    """What names the device's group in ``scope`` ("3-2" for a unit); None where it lies in none."""
    place = device.place
    parts: dict[Scope, tuple[str, ...]] = {
        Scope.ROOM: (place.building, place.unit, place.floor, place.room),
        Scope.FLOOR: (place.building, place.unit, place.floor),
        Scope.UNIT: (place.building, place.unit),
        Scope.BUILDING: (place.building,),
        Scope.ZONE: (place.zone,),
        Scope.DEVICE: (device.id,),
    }
    if scope is Scope.SITE:
        return ""
    return "-".join(parts[scope]) if parts[scope][-1] else None


def source_of(scope: Scope, key: str) -> str:
    """What alarms of a group carry as ``point_id``."""
    return f"@{scope}:{key}"


def place_of(site: Site, scope: Scope, key: str) -> str:
    """Where people are sent."""
    if scope is Scope.SITE:
        return site.title
    if scope is Scope.DEVICE:
        return site.devices[key].place.text
    return f"{key}栋" if scope is Scope.BUILDING and key.isascii() else key


class GroupJudge(Judge):
    """A judge of groups: finds them, makes their watches."""

    @property
    def scope(self) -> Scope:
        """What the members of a group share."""
        return self.rule.condition.same or Scope.SITE

    def grouped(self, points: Iterable[str]) -> dict[str, list[PointState]]:
        """The points by the key of their group; those that lie in none are left out."""
        found: defaultdict[str, list[PointState]] = defaultdict(list)
        for point_id in points:
            state = self.state_of(point_id)
            key = key_of(self.ground.devices[state.point.device_id], self.scope)
            if key is not None:
                found[key].append(state)
        return dict(found)

    def group_watch(self, key: str, members: Sequence[PointState]) -> GroupWatch:
        """A new watch of the rule at a group, known to the book."""
        watch = group_watch(self.rule, self.scope, key, members, self.ground)
        self.ground.book.watches[self.rule.id, watch.source_id] = watch
        return watch


def group_watch(rule: Rule, scope: Scope, key: str, members: Sequence[PointState], ground: Ground) -> GroupWatch:
    """The watch of a rule at a group of points."""
    return GroupWatch(
        rule,
        source_of(scope, key),
        place_of(ground.site, scope, key),
        _outputs(rule, [each.point for each in members], ground.linkage),
        ground.calendars.gate(rule),
        is_vital=any(is_vital(each) for each in members),
    )


def _outputs(rule: Rule, members: Iterable[Point], linkage: Linkage) -> Outputs:
    """What the actions of ``rule`` reach from any of the members, each point once."""
    if not rule.actions:
        return ()
    reached: list[dict[str, Point]] = [{} for _ in rule.actions]
    seen: set[int] = set()  # one list for a whole scope is looked at once
    for member in members:
        for found, (_, targets) in zip(reached, linkage.outputs(rule, member), strict=True):
            if id(targets) not in seen:
                seen.add(id(targets))
                found.update((each.id, each) for each in targets)
    return tuple((action, tuple(found.values())) for action, found in zip(rule.actions, reached, strict=True))
