"""Room: rules. One rule looking at one point. Deciding is the engine's; this only remembers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gateway.model import Action, Alarm, AlarmCondition, Point, Rule, Value
from gateway.rules.conditions import Test
from gateway.rules.points import PointState

Outputs = tuple[tuple[Action, Sequence[Point]], ...]
"""Each action of a rule with the points it reaches from one source, found in advance: a fire does not search."""


class Watch:
    """What one rule knows of one point; its open alarm, if there is one."""

    __slots__ = ("alarm", "is_vital", "met", "met_at", "occurrence", "outputs", "rule", "state", "test")

    def __init__(self, rule: Rule, state: PointState, test: Test, outputs: Outputs) -> None:
        self.rule = rule
        self.state = state
        self.test = test
        self.outputs = outputs
        self.met = False  # the condition as last seen, before any delay
        self.met_at: datetime | None = None  # the newest reading time at which it was met
        self.alarm: Alarm | None = None
        self.occurrence = 0  # of the last alarm
        point_class = state.point.alarm_class
        self.is_vital = rule.alarm_class.is_life_safety or (point_class is not None and point_class.is_life_safety)

    @property
    def is_active(self) -> bool:
        """Is its alarm open and its condition, as the alarm has it, there?"""
        return self.alarm is not None and self.alarm.condition is AlarmCondition.ACTIVE

    @property
    def source_id(self) -> str:
        """What its alarms carry as ``point_id``."""
        return self.state.point.id

    @property
    def device_id(self) -> str:
        """What its alarms carry as ``device_id``."""
        return self.state.point.device_id

    @property
    def place(self) -> str:
        """Where people are sent."""
        return self.state.place.text

    @property
    def value(self) -> Value | None:
        """What its alarms show; None while the source has not spoken since the start."""
        return self.state.value

    @property
    def for_key(self) -> str:
        """The timer of the on-delay."""
        return f"for|{self.rule.id}|{self.source_id}"

    @property
    def clear_key(self) -> str:
        """The timer of the off-delay."""
        return f"clear|{self.rule.id}|{self.source_id}"

    def is_news(self, at: datetime) -> bool:
        """Was this never said before: is ``at`` newer than the newest time at which the condition was met?"""
        return self.met_at is None or at > self.met_at
