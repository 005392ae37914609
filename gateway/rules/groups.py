"""Room: rules. Judges of groups: all that lies in one room, unit, building, zone; and what their alarms reach.

What makes a group's condition true is its judge's, what a group is called is in `gateway.rules.places`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from gateway.model import Rule, Scope
from gateway.rules.judge import Ground, Judge
from gateway.rules.places import key_of, place_of, source_of
from gateway.rules.points import PointState
from gateway.rules.watch import GroupWatch, is_vital


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
    devices = [ground.devices[each] for each in dict.fromkeys(each.point.device_id for each in members)]
    return GroupWatch(
        rule,
        source_of(scope, key),
        place_of(ground.site, scope, key),
        ground.linkage.group_outputs(rule, devices),
        ground.calendars.gate(rule),
        is_vital=any(is_vital(each) for each in members),
    )
