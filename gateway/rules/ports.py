"""Room: rules. What the engine needs of others and must not import: the policy of notices, the hands for safety."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from gateway.model import Alarm, AlarmEvent, Command, Notice, Now, Rule

Act = Callable[[Sequence[Command], Now], None]
"""Carries out commands that were decided at an instant."""


def no_act(_commands: Sequence[Command], _decided: Now) -> None:
    """Where nobody carries them out."""


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
