"""What enters the gateway: readings, device states, operators' requests, results. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.model.site import Value


class Now(NamedTuple):
    """One reading of the clock: wall time for stamps, monotonic seconds for delays."""

    utc: datetime
    mono_s: float


class Quality(StrEnum):
    """How far a reading can be believed."""

    GOOD = "good"
    RETAINED = "retained"  # a true state told again (retained, replayed): never an event
    BAD = "bad"  # no value: the reason is in ``detail``
    STALE = "stale"


def _left_s(expires_at: datetime, expires_mono_s: float | None, now: Now) -> float:
    """Seconds left until a deadline: by the monotonic clock once it is known there, else by the wall clock."""
    return (expires_at - now.utc).total_seconds() if expires_mono_s is None else expires_mono_s - now.mono_s


class Reading(NamedTuple):
    """One observation of one point. ``at`` equals ``received_at`` where the device sent no usable time.

    A NamedTuple, not a dataclass: it is built for every value of every message, and a frozen dataclass
    of six fields takes three times as long to build.
    """

    point_id: str
    value: Value | None  # None exactly when quality is BAD
    at: datetime
    received_at: datetime
    quality: Quality = Quality.GOOD
    detail: str = ""


class DeviceStatus(NamedTuple):
    """A device was lost or found; the engine sees it as the implicit point ``<device id>/online``."""

    device_id: str
    is_online: bool
    at: datetime
    reason: str = ""


class Actor(NamedTuple):
    """Who did it."""

    name: str
    role: str  # duty | supervisor | installer | system
    via: str  # console | cloud | gateway


SYSTEM = Actor("守望", "system", "gateway")


class Verb(StrEnum):
    """What a person can ask for (alarms.md, section 2): an act on one alarm, or on a mark of a place or a point."""

    SILENCE = "silence"
    TAKE = "take"
    VERIFY = "verify"  # args: real = "true" | "false"
    NOTE = "note"  # args: text
    ARRIVE = "arrive"
    CLOSE = "close"  # args: outcome, cause
    RESET = "reset"
    SHELVE = "shelve"  # args: minutes, reason; of the rule at the source: it outlives the alarm
    UNSHELVE = "unshelve"
    MARK = "mark"  # of no alarm; args: mark, scope, key, minutes ("" = no end), reason
    UNMARK = "unmark"  # of no alarm; args: mark, scope, key, reason
    OPERATE = "operate"  # of an alarm whose rule offers it, or of none (alarm_id "", version 0); args: point, value

    @property
    def is_of_alarm(self) -> bool:
        """Does it name an alarm and its version? The others name a mark in their arguments."""
        return self not in {Verb.MARK, Verb.UNMARK}


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """A verb on one version of one alarm; a stale version is refused. Of no alarm: ``alarm_id`` "", ``version`` 0.

    After ``expires_at`` it is refused. What it commands ends by then, too.
    """

    id: str
    actor: Actor
    verb: Verb
    alarm_id: str
    version: int
    at: datetime
    expires_at: datetime
    args: Mapping[str, str] = field(default_factory=dict)
    expires_mono_s: float | None = None  # the same deadline on the monotonic clock, since the gateway has it

    def left_s(self, now: Now) -> float:
        """Seconds until its deadline. Setting the wall clock neither shortens nor prolongs what has been taken in."""
        return _left_s(self.expires_at, self.expires_mono_s, now)

    def taken_in(self, now: Now) -> OperatorRequest:
        """With its deadline on the monotonic clock from now on."""
        return replace(self, expires_mono_s=now.mono_s + self.left_s(now))


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an operator's request. ``code`` is empty when accepted, else a refusal's code.

    ``detail`` of a refusal says more; of an accepted OPERATE it is {"command": id}, whose result follows.
    """

    request_id: str
    is_accepted: bool
    code: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0


class Tick(NamedTuple):
    """Time has passed: wakes the engine's timers."""


class CommandOutcome(StrEnum):
    """How a command ended."""

    DONE = "done"  # read back as commanded
    UNCONFIRMED = "unconfirmed"  # sent, but not read back in time
    FAILED = "failed"
    EXPIRED = "expired"  # its deadline had passed: not executed
    REFUSED = "refused"
    SUPERSEDED = "superseded"  # a newer command for the same point took its place


@dataclass(frozen=True, slots=True)
class Command:
    """An absolute value for one point, with a deadline after which it must not be executed."""

    id: str
    point_id: str
    value: Value
    by: Actor
    because: str  # the alarm's id; "" where a person commanded it without one
    expires_at: datetime
    is_safety: bool = False
    expires_mono_s: float | None = None  # the same deadline on the monotonic clock, since it is being carried out

    def left_s(self, now: Now) -> float:
        """Seconds until its deadline. Setting the wall clock neither executes it late nor refuses it."""
        return _left_s(self.expires_at, self.expires_mono_s, now)

    def taken_in(self, now: Now) -> Command:
        """With its deadline on the monotonic clock; ``now``: when it was decided."""
        return replace(self, expires_mono_s=now.mono_s + self.left_s(now))


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Closes a command; the truth about the world is the next Reading."""

    command_id: str
    outcome: CommandOutcome
    at: datetime
    readback: Value | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one recipient by one channel; ``key`` is said at most once."""

    key: str
    alarm_id: str
    reason: str
    channel: str
    recipient: str
    text: str


@dataclass(frozen=True, slots=True)
class NoticeResult:
    """What the channel said."""

    key: str
    is_accepted: bool
    at: datetime
    detail: str = ""
    state: str = ""  # sending | accepted (a provider took it) | delivered | failed; "": as ``is_accepted`` says
    is_final: bool = True  # False: a report of its delivery may follow


Input = Reading | DeviceStatus | OperatorRequest | CommandResult | NoticeResult | Tick


class Arrival(NamedTuple):
    """What a driver hands in at once. ``receipt`` is called after the commit that contains it.

    ``digest`` is set where the sender may send the same message again after a crash (QoS 1).
    """

    inputs: tuple[Reading | DeviceStatus, ...]
    receipt: Callable[[], None] | None = None
    digest: bytes = b""
