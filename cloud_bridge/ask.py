"""What a platform may ask of the gateway, and the answer: the contract between uplinks and the downlink.

An uplink makes a `Request` of what came over its own wire and awaits `Ask`; carrying it to the gateway, with the
uplink's role and allow-list, belongs to the downlink. The gateway decides (ADR 0018).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from gateway.model import Verb


class Request(NamedTuple):
    """One verb, as a person at the console has it (alarms.md, section 2)."""

    id: str  # given by the platform, unique there: a repeat of it gets the first answer
    verb: Verb
    alarm_id: str = ""  # "" for OPERATE of no alarm
    version: int = 0  # of the alarm as the platform knows it
    args: Mapping[str, str] = {}  # of OPERATE: point (its id), value (as text)
    user: str = ""  # who asked on the platform, where it says so
    expires_in_s: float | None = None  # None: the uplink's default, 10 s; never executed later


class Answer(NamedTuple):
    """What became of it. An accepted OPERATE has ended by now: ``detail["outcome"]`` is that of its command."""

    is_accepted: bool
    code: str = ""  # of a refusal: stale, expired, forbidden, unreachable, ...
    detail: Mapping[str, Any] = {}
    version: int = 0  # of the alarm, as the gateway has it now


Ask = Callable[[Request], Awaitable[Answer]]  # never raises but for a cancellation


async def refuse(_: Request) -> Answer:
    """The `Ask` of an uplink without ``commands:``: nothing is accepted from there."""
    return Answer(is_accepted=False, code="commands_off")
