"""Room: rules. One rule looking at one source: a point, or a group. Deciding is the engine's; this only remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.model import Action, Alarm, AlarmCondition, Mark, Point, Reading, Rule, Value, without_card
from gateway.rules.calendars import Gate
from gateway.rules.conditions import Test, is_event
from gateway.rules.points import RESPONDING, PointState

Outputs = tuple[tuple[Action, Sequence[Point]], ...]
"""Each action of a rule with the points it reaches from one source, found in advance: a fire does not search."""


class Watch:
    """What one rule knows of one source; its open alarm, if there is one."""

    __slots__ = ("alarm", "gate", "is_vital", "met", "met_at", "occurrence", "outputs", "raw", "rule")

    def __init__(self, rule: Rule, outputs: Outputs, gate: Gate | None, *, is_vital: bool) -> None:
        self.rule = rule
        self.outputs = outputs
        self.gate = gate  # the rule's calendars; None: it always looks
        self.is_vital = is_vital or rule.alarm_class.is_life_safety
        self.met = False  # the condition as last seen, before any delay
        self.raw = False  # the same without calendars, where a judge decides (`gateway.rules.judge`)
        self.met_at: datetime | None = None  # the newest reading time at which it was met
        self.alarm: Alarm | None = None
        self.occurrence = 0  # of the last alarm

    @property
    def is_active(self) -> bool:
        """Is its alarm open and its condition, as the alarm has it, there?"""
        return self.alarm is not None and self.alarm.condition is AlarmCondition.ACTIVE

    @property
    def source_id(self) -> str:
        """What its alarms carry as ``point_id``."""
        raise NotImplementedError

    @property
    def device_id(self) -> str:
        """What its alarms carry as ``device_id``; "" for a group."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """Where people are sent."""
        raise NotImplementedError

    @property
    def value(self) -> Value | None:
        """What its alarms show; None while the source has not spoken since the start."""
        raise NotImplementedError

    def told(self, reading: Reading | None) -> Value | None:
        """The value as an event of its alarm has it: of ``reading``, or else what is known. Never a card's number."""
        if reading is None:
            return without_card(self.source_id, self.value)
        return without_card(reading.point_id, reading.value)

    @property
    def ends_by_word(self) -> bool:
        """Does only a person's word end it? An event has no end of its own: releasing the button clears nothing.

        Whether an output obeys is only seen when it is commanded: who has put it right says so by closing.
        """
        return is_event(self.rule.condition) or self.source_id.endswith(f"/{RESPONDING}")

    def covered(self, by: Callable[[str], frozenset[Mark]]) -> frozenset[Mark]:
        """What marks cover it now; ``by`` answers for a source."""
        return by(self.source_id)

    def next_event(self) -> tuple[str, int]:
        """The alarm id and version of the next event here."""
        if self.alarm is not None:
            return self.alarm.id, self.alarm.version + 1
        return f"{self.rule.id}:{self.source_id}:{self.occurrence}", 1

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


class PointWatch(Watch):
    """One rule looking at one point. ``test`` is what its condition says of a value."""

    __slots__ = ("state", "test")

    def __init__(self, rule: Rule, state: PointState, test: Test, outputs: Outputs, gate: Gate | None = None) -> None:
        super().__init__(rule, outputs, gate, is_vital=is_vital(state))
        self.state = state
        self.test = test

    @property
    def source_id(self) -> str:
        """The point's id."""
        return self.state.point.id

    @property
    def device_id(self) -> str:
        """The point's device."""
        return self.state.point.device_id

    @property
    def place(self) -> str:
        """The device's place."""
        return self.state.place.text

    @property
    def value(self) -> Value | None:
        """The point's value."""
        return self.state.value


class GroupWatch(Watch):
    """One rule looking at all that shares a place. ``shown`` is what its judge wants people to see."""

    __slots__ = ("_place", "_source_id", "shown")

    def __init__(
        self, rule: Rule, source_id: str, place: str, outputs: Outputs, gate: Gate | None, *, is_vital: bool
    ) -> None:
        super().__init__(rule, outputs, gate, is_vital=is_vital)
        self._source_id = source_id
        self._place = place
        self.shown: Value | None = None

    @property
    def source_id(self) -> str:
        """``@<scope>:<key>``."""
        return self._source_id

    @property
    def device_id(self) -> str:
        """No single device."""
        return ""

    @property
    def place(self) -> str:
        """The group's place."""
        return self._place

    @property
    def value(self) -> Value | None:
        """What its judge has last seen."""
        return self.shown


def is_vital(state: PointState) -> bool:
    """Is the point one of fire, gas or sos?"""
    return state.point.alarm_class is not None and state.point.alarm_class.is_life_safety
