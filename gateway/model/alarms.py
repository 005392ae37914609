"""Alarms: the append-only event and its fold. Frozen values, no I/O; the table of verbs is in `gateway.rules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway.model.inputs import Actor
from gateway.model.site import AlarmClass, Value


class AlarmCondition(StrEnum):
    """Is the cause there?"""

    ACTIVE = "active"
    RETURNED = "returned"


class Handling(StrEnum):
    """How far people have got."""

    NEW = "new"
    TAKEN = "taken"
    VERIFYING = "verifying"
    HANDLING = "handling"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One append-only line of an alarm's journal; ``version`` counts from 1 within the alarm."""

    alarm_id: str
    version: int
    kind: str  # raised | returned | reraised | taken | verified | noted | arrived | closed | reset | silenced | ...
    at: datetime
    actor: Actor
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Stable across replays: alarm id and version."""
        return f"{self.alarm_id}#{self.version}"


@dataclass(frozen=True, slots=True)
class Alarm:
    """The fold of its events: four independent parts (alarms.md, section 2) and what screens show."""

    id: str  # "<rule>:<point>:<occurrence>"
    rule_id: str
    point_id: str
    device_id: str
    occurrence: int
    alarm_class: AlarmClass
    title: str
    place: str
    raised_at: datetime
    version: int
    condition: AlarmCondition = AlarmCondition.ACTIVE
    handling: Handling = Handling.NEW
    is_latched: bool = False
    is_sounding: bool = True
    is_unconfirmed: bool = False  # known from the journal, its point has not reported since the start
    is_open: bool = True  # False: ended, only in the records
    value: Value | None = None
    count: int = 1  # activations so far
    returned_at: datetime | None = None
    taken_at: datetime | None = None
    taken_by: str = ""
    verified_at: datetime | None = None
    is_real: bool | None = None
    arrived_at: datetime | None = None
    closed_at: datetime | None = None
    outcome: str = ""
    cause: str = ""
    note: str = ""
    last_actor: str = ""  # who did ``last_event`` ...
    last_event: str = ""
    last_at: datetime | None = None  # ... and when: the words of a refusal
    shelved_until_at: datetime | None = None  # None: not shelved
    shelved_by: str = ""
    suppressed_by: str = ""  # id of the alarm that is its cause: a group, a line; "" for none
    is_out_of_service: bool = False
    marks: tuple[str, ...] = ()  # drill, walk_test, commissioning: such alarms never enter statistics
    is_chattering: bool = False  # raised so often that its returns are held back
    is_confirmed: bool = False  # fire: confirmed by a second device or a person
    escalated_s: float = 0.0  # how long nobody had taken it when it was last escalated; 0: it was not
    acted_version: int = 0  # the last version that was more than time going by: a verb may name it or a newer one
    is_clock_unsure: bool = False  # raised while the wall clock was not synchronised: its stamps may be wrong

    @property
    def is_muted(self) -> bool:
        """Neither heard nor told for now: shelved, suppressed by its cause, out of service. Its parts go on below."""
        return self.is_out_of_service or self.suppressed_by != "" or self.shelved_until_at is not None

    @property
    def is_heard(self) -> bool:
        """Does it make a sound now?"""
        return self.is_sounding and not self.is_muted
