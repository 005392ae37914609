"""Room: rules. What the engine needs of others and must not import: the policy of notices."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol

from gateway.model import Alarm, AlarmEvent, Notice, Rule


class NoticePolicy(Protocol):
    """Who is told what, when. Pure."""

    def reason(self, event: AlarmEvent) -> str:
        """Why people must be told of this event; "" when they need not be."""
        ...

    def notices(
        self,
        reason: str,
        alarm: Alarm,
        rule: Rule,
        said: AbstractSet[str],
        *,
        after_s: float,
    ) -> list[Notice]:
        """The notices due ``after_s`` seconds after the event, without those whose key is in ``said``."""
        ...
