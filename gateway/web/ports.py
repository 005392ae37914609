"""Web: what this room needs from the others. Protocols and their values only; the composition root provides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from gateway.model import (
    Actor,
    Alarm,
    AlarmEvent,
    MarkChange,
    Offer,
    OperatorRequest,
    Point,
    Reply,
    Session,
    Site,
    User,
)

__all__ = [
    "ROLES",
    "SESSIONS_PER_USER",
    "GatewayPort",
    "Health",
    "MarkLimit",
    "Session",
    "UplinkHealth",
    "User",
    "UserStore",
]

ROLES = ("duty", "supervisor", "installer")
SESSIONS_PER_USER = 16  # a store keeps the newest; older ones are logged out


class UplinkHealth(NamedTuple):
    """One cloud platform. ``is_up`` None: not known yet; ``since`` is when it last changed."""

    is_up: bool | None
    backlog: int  # entries that wait in the outbox
    since: datetime | None = None
    certificate_until: datetime | None = None  # the first of ours and the platform's to expire


@dataclass(frozen=True, slots=True)
class Health:
    """How the gateway is. ``reasons`` is empty when it can do its job; each is one short word of a closed set."""

    reasons: tuple[str, ...] = ()
    buses: Mapping[str, bool | None] = field(default_factory=dict)  # bus id -> is the line up; None: not tried yet
    uplinks: Mapping[str, UplinkHealth] = field(default_factory=dict)
    is_time_ok: bool | None = None  # is the wall clock set by a time source? None: not known
    data: tuple[str, ...] = ()  # memory: the disk cannot be written; mended: the database was damaged

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know although the gateway can do its job; one short word each, of a closed set."""
        return (*(("time",) if self.is_time_ok is False else ()), *self.data)


class MarkLimit(NamedTuple):
    """Who may set a mark, in which scopes, and for how many seconds at most (None: also without an end)."""

    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    longest_s: float | None


class GatewayPort(Protocol):
    """The gateway as the web sees it. Every method is called on the event loop and must not block it."""

    async def submit(self, request: OperatorRequest) -> Reply:
        """Put the request into the inbox; resolves after the commit that contains its outcome."""
        ...

    def health(self) -> Health:
        """Cheap: called at every heartbeat and by /healthz."""
        ...

    def site(self) -> Site:
        """The site as configured now; a reload replaces it."""
        ...

    async def events(self, alarm_id: str) -> Sequence[AlarmEvent]:
        """The alarm's journal, oldest first; empty when there is no such alarm."""
        ...

    async def commands(self, alarm_id: str) -> Sequence[Mapping[str, Any]]:
        """What the alarm commanded, oldest first: id, point_id, value and readback (JSON text), outcome (None while
        under way), issued_ms, closed_ms, detail.
        """  # noqa: D205 - one paragraph
        ...

    async def alarm(self, alarm_id: str) -> Alarm | None:
        """The alarm, open or ended."""
        ...

    async def marks(self) -> Sequence[MarkChange]:
        """The marks that are set."""
        ...

    def marking(self) -> Mapping[str, MarkLimit]:
        """By mark: who may set it, where, for how long. The gateway refuses the rest: this only saves the question."""
        ...

    def shelving(self, alarm: Alarm) -> Mapping[str, float]:
        """By role: for how many seconds at most it may shelve this alarm; a role that is not named may not."""
        ...

    async def notices(self, alarm_id: str) -> Sequence[Mapping[str, Any]]:
        """Who was told of the alarm, oldest first: key, reason, channel, recipient, text, at_ms, state (sending,
        accepted, delivered, failed), closed_ms (of the state; None: none yet), detail.
        """  # noqa: D205 - one paragraph
        ...

    async def calls(self, start: datetime, end: datetime) -> Mapping[str, Any]:
        """How the calls for help pressed from ``start`` until before ``end`` were answered (see `CallReport`)."""
        ...

    async def records(self, limit: int, before: tuple[datetime, str] | None) -> Sequence[Alarm]:
        """Ended alarms by (raised_at, id) descending, strictly before ``before``."""
        ...

    async def uplinks(self) -> Sequence[Mapping[str, Any]]:
        """Each cloud uplink as the bridge last told it (see `uplinks.UplinkStateOut`)."""
        ...

    async def dead_letters(self, uplink: str, limit: int, before: int) -> Sequence[Mapping[str, Any]]:
        """Rows its platform has refused, newest first, numbers below ``before`` (see `uplinks.LetterOut`)."""
        ...

    async def retry(self, letter_id: int) -> bool:
        """Have the bridge send this row again; False where the wish can't be kept."""
        ...

    def offers(self, alarm: Alarm) -> Sequence[tuple[Offer, Point]]:
        """What can be operated from this alarm, as long as it is open."""
        ...

    async def operation(self, command_id: str) -> Mapping[str, Any] | None:
        """One operation by hand: as in `commands`, and by, because, expires_ms; None where there is none."""
        ...

    async def operations(self, limit: int, before: tuple[int, str] | None) -> Sequence[Mapping[str, Any]]:
        """Operations by hand, newest first, strictly before (issued_ms, id)."""
        ...

    async def passes(
        self,
        limit: int,
        before: int | None,
        device_id: str | None,
        credential: str | None = None,
        *,
        result: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Who went through a door, newest first, with numbers below ``before``: seq, at, device_at, device_id,
        credential, way, direction, result.
        """  # noqa: D205 - one paragraph
        ...


class UserStore(Protocol):
    """Accounts, sessions and the audit trail. Tokens arrive hashed: a stolen database logs nobody in."""

    async def has_users(self) -> bool:
        """Has anybody been set up?"""
        ...

    async def create(self, name: str, role: str, password_hash: str) -> bool:
        """Add a user durably; False when the name is taken."""
        ...

    async def find(self, name: str) -> User | None:
        """The user of exactly this name."""
        ...

    async def audit(self, actor: Actor, action: str, detail: Mapping[str, Any]) -> None:
        """Append one line to the audit trail; ``detail`` is JSON-able and holds no secret."""
        ...

    async def put_session(self, token_hash: str, user: str, expires_at: datetime) -> None:
        """Keep a session; of one user at most `SESSIONS_PER_USER`, those that expire last."""
        ...

    async def session(self, token_hash: str) -> Session | None:
        """The session with its user's present role; also an expired one."""
        ...

    async def drop_session(self, token_hash: str) -> None:
        """Forget the session; harmless when there is none."""
        ...
