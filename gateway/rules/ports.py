"""Room: rules. What the engine needs of others and must not import: the policy of notices, the hands for safety."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Protocol

from gateway.model import Alarm, AlarmEvent, Command, Notice, Now, Rule

Act = Callable[[Sequence[Command], Now], None]
"""Carries out commands that were decided at an instant."""


def no_act(_commands: Sequence[Command], _decided: Now) -> None:
    """Where nobody carries them out."""


class NoticePolicy(Protocol):
    """Who is told what, when. Pure. Instants are seconds after what there is to tell."""

    def reason(self, event: AlarmEvent) -> str:
        """Why people must be told of this event; "" when they need not be."""
        ...

    def is_muted(self, alarm: Alarm) -> bool:
        """Is nobody to be told of it for now?"""
        ...

    def stages(self, alarm: Alarm, rule: Rule) -> Sequence[float]:
        """The instants after 0, ascending, at which nobody having taken it goes one step further up."""
        ...

    def next_due(self, alarm: Alarm, rule: Rule, after_s: float) -> float | None:
        """The first instant later than ``after_s`` at which there is something to do; None: there is none."""
        ...

    def is_repeat(self, alarm: Alarm, rule: Rule, after_s: float) -> bool:
        """Is at this instant only said again what was said before to the same people?"""
        ...

    def tells(self, alarm: Alarm, rule: Rule, after_s: float) -> bool:
        """Is there anybody to tell at this instant?"""
        ...

    def instead(self, key: str, alarm: Alarm, rule: Rule, said: AbstractSet[str], *, at: datetime) -> list[Notice]:
        """The notices that take the place of one that could not be delivered."""
        ...

    def notices(
        self,
        reason: str,
        alarm: Alarm,
        rule: Rule,
        said: AbstractSet[str],
        *,
        at: datetime,
        after_s: float,
    ) -> list[Notice]:
        """The notices due at this instant, without those whose key is in ``said``; ``at`` is now."""
        ...
