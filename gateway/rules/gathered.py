"""Room: rules. The source of a group alarm: one rule at one building, or at the whole site. Only remembers.

When such an alarm is raised and returns is `gateway.rules.grouping`'s.
"""

from __future__ import annotations

from gateway.model import Rule
from gateway.rules.watch import GroupWatch


class Gathered(GroupWatch):
    """What a rule knows of one group: its open alarm, if there is one. It sets nothing and has no calendar."""

    __slots__ = ()

    def __init__(self, rule: Rule, source_id: str, place: str) -> None:
        super().__init__(rule, source_id, place, (), None, is_vital=False)
        self.shown = True  # that members are lost is known, whatever their points say
