"""The nouns that cross rooms: frozen values, no I/O, no clock, no library.

A type enters here when two rooms use it. Behaviour belongs elsewhere: conditions and the alarm table in
`gateway.rules`, SQL in `gateway.store`, wire formats in `gateway.drivers`.

Durations end in ``_s`` (seconds), instants in ``_at`` (aware UTC), ids are derived and never random.
"""

from __future__ import annotations

from gateway.model.accounts import Session, User
from gateway.model.alarms import (
    Alarm,
    AlarmCondition,
    AlarmEvent,
    Handling,
)
from gateway.model.calendar import Calendar, Window
from gateway.model.inputs import (
    SYSTEM,
    Actor,
    Arrival,
    Command,
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    Input,
    Notice,
    NoticeResult,
    Now,
    OperatorRequest,
    Quality,
    Reading,
    Reply,
    Tick,
    Verb,
)
from gateway.model.isa import isa_state
from gateway.model.outputs import (
    Delivery,
    Lane,
    Mark,
    MarkChange,
    OutboxEntry,
    Step,
    TimerChange,
)
from gateway.model.privacy import masked, without_card
from gateway.model.site import (
    Action,
    AlarmClass,
    Bus,
    Condition,
    Device,
    DeviceParams,
    Offer,
    Operate,
    Place,
    Point,
    Recipient,
    Report,
    Rule,
    Scope,
    Site,
    Tell,
    Uplink,
    Value,
    Watched,
)

__all__ = [
    "SYSTEM",
    "Action",
    "Actor",
    "Alarm",
    "AlarmClass",
    "AlarmCondition",
    "AlarmEvent",
    "Arrival",
    "Bus",
    "Calendar",
    "Command",
    "CommandOutcome",
    "CommandResult",
    "Condition",
    "Delivery",
    "Device",
    "DeviceParams",
    "DeviceStatus",
    "Handling",
    "Input",
    "Lane",
    "Mark",
    "MarkChange",
    "Notice",
    "NoticeResult",
    "Now",
    "Offer",
    "Operate",
    "OperatorRequest",
    "OutboxEntry",
    "Place",
    "Point",
    "Quality",
    "Reading",
    "Recipient",
    "Reply",
    "Report",
    "Rule",
    "Scope",
    "Session",
    "Site",
    "Step",
    "Tell",
    "Tick",
    "TimerChange",
    "Uplink",
    "User",
    "Value",
    "Verb",
    "Watched",
    "Window",
    "isa_state",
    "masked",
    "without_card",
]
