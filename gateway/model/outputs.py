"""What leaves the core: the decision for one batch, and what goes on to the clouds. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.model.alarms import Alarm, AlarmEvent
from gateway.model.inputs import Command, CommandResult, DeviceStatus, Notice, NoticeResult, Now, Reading, Reply


class TimerChange(NamedTuple):
    """A running delay to keep across a restart; ``started_at`` None deletes it."""

    key: str
    started_at: datetime | None
    duration_s: float = 0.0


class Mark(StrEnum):
    """What people say of a place or a point for a while (alarms.md, section 2). Never a part of an alarm's state."""

    DISABLED = "disabled"  # 停用: its points raise nothing
    OUT_OF_SERVICE = "out_of_service"  # 检修: raises, is not annunciated, never confirms
    DRILL = "drill"  # 演练
    WALK_TEST = "walk_test"  # 走测
    COMMISSIONING = "commissioning"  # 调试
    AWAY = "away"  # 外出: no sign of life is expected
    SHELVED = "shelved"  # 搁置: of one rule at one source (scope "alarm", key "<rule id>:<source id>")


class MarkChange(NamedTuple):
    """A mark to keep across a restart; ``is_set`` False deletes it. It ends at ``until_at`` by itself.

    ``scope`` is "alarm", "point" or a `Scope`; ``key`` names what it covers in that scope: a point id, a device id,
    an address ("3-2-03-0301", "3-2", "3"), a zone, or "" for the site.
    """

    mark: Mark
    scope: str
    key: str
    is_set: bool
    since_at: datetime
    until_at: datetime | None = None
    by: str = ""
    reason: str = ""


@dataclass(slots=True)
class Step:
    """What the engine decided for one batch."""

    now: Now
    readings: list[Reading] = field(default_factory=list)  # accepted: on their way to history and clouds
    events: list[AlarmEvent] = field(default_factory=list)
    alarms: dict[str, Alarm] = field(default_factory=dict)  # each changed alarm as it is now
    commands: list[Command] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    timers: list[TimerChange] = field(default_factory=list)
    statuses: list[DeviceStatus] = field(default_factory=list)
    results: list[CommandResult | NoticeResult] = field(default_factory=list)
    marks: list[MarkChange] = field(default_factory=list)


class Lane(StrEnum):
    """Lanes of the outbox, the first served first."""

    ALARM = "alarm"
    TELEMETRY = "telemetry"


class OutboxEntry(NamedTuple):
    """One row on its way to the clouds; ``seq`` grows by one within the outbox."""

    seq: int
    lane: Lane
    at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a platform did with entries, by ``seq``: accepted, rejected (with the reason), kept for later."""

    accepted: tuple[int, ...] = ()
    rejected: Mapping[int, str] = field(default_factory=dict)
    kept: tuple[int, ...] = ()
