"""What a platform may ask of the gateway, and the answer: the contract between uplinks and the downlink.

An uplink makes a `Request` of what came over its own wire and awaits `Ask`; carrying it to the gateway, with the
uplink's role and allow-list, belongs to the downlink. The gateway decides (ADR 0018).

How an uplink uses it: check nothing but its own wire, make the `Request`, ``answer = await context.ask(request)`` in a
task of its own (at most `MAX_OPEN` at a time are carried; more are refused as ``busy``), and tell the platform what
came back. It never raises, and ends at the latest `GRACE_S` after the request's deadline. The same id asked again, also
after either process was killed, gets the first answer and no second act; it is on record for seven days. A protocol
that counts its ids anew at each session needs something of the session in `Request.id`, else an old answer comes back.

Codes of a refusal are those of the alarm table (``stale_version``, ``already_taken``, ``expired``, ``held``,
``never_by_software``, ...) and those of `Code`. ``detail["words"]`` is the refusal in sentences, ``{"zh", "en"}``;
``detail["between"]`` of an act on an alarm that has moved on: who did what since the version that was named.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.model import Verb

MAX_OPEN = 32  # requests of one uplink without an answer
PER_S = 20.0  # requests a second of one uplink
LONGEST_S = 120.0  # no request lives longer
GRACE_S = 3.0  # beyond its deadline: what became of it is on its way


class Code(StrEnum):
    """Refusals beside those of the alarm table: nothing was done, but for `NO_ANSWER`."""

    COMMANDS_OFF = "commands_off"  # the uplink has no ``commands:``
    VERB_NOT_ALLOWED = "verb_not_allowed"
    POINT_NOT_ALLOWED = "point_not_allowed"
    INVALID = "invalid"
    REUSED = "request_id_reused"  # the id meant something else before
    TOO_MANY = "too_many"  # in this second
    BUSY = "busy"  # too many are open
    UNREACHABLE = "unreachable"  # the gateway is away
    NO_ANSWER = "no_answer"  # it may have happened: ask again with the same id, or look at the alarm


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
    code: str = ""  # of a refusal
    detail: Mapping[str, Any] = {}
    version: int = 0  # of the alarm, as the gateway has it now


Ask = Callable[[Request], Awaitable[Answer]]  # never raises but for a cancellation


_WORDS: dict[Code, tuple[str, str]] = {
    Code.COMMANDS_OFF: (
        "没有执行:本网关不接受这个平台的操作。",
        "Not done: this gateway takes no requests from there.",
    ),
    Code.VERB_NOT_ALLOWED: (
        "没有执行:本网关不允许平台做这项操作。",
        "Not done: this gateway does not let the platform do this.",
    ),
    Code.POINT_NOT_ALLOWED: (
        "没有执行:本网关不允许平台操作这个点。",
        "Not done: this gateway does not let the platform set this point.",
    ),
    Code.INVALID: ("没有执行:请求内容有误。", "Not done: the request is wrong."),
    Code.REUSED: ("没有执行:这个编号已用于另一个操作。", "Not done: this id was used for something else."),
    Code.TOO_MANY: ("没有执行:请求太频繁,请稍后再试。", "Not done: too many requests. Try again in a moment."),
    Code.BUSY: ("没有执行:还有太多请求没有结果。", "Not done: too many requests are without an answer."),
    Code.UNREACHABLE: ("没有执行:网关程序不在运行。", "Not done: the gateway's program is not running."),
    Code.NO_ANSWER: (
        "网关没有及时回答,操作可能生效也可能没有:请看报警的状态,或用同一个编号重发。",
        "No answer in time; it may or may not have happened: look at the alarm, or repeat the same id.",
    ),
}


def not_done(code: Code, **detail: Any) -> Answer:
    """A refusal that is not the alarm table's, with its words."""
    zh, en = _WORDS[code]
    return Answer(False, code, {**detail, "words": {"zh": zh, "en": en}})


async def refuse(_: Request) -> Answer:
    """The `Ask` of an uplink without ``commands:``: nothing is accepted from there."""
    return not_done(Code.COMMANDS_OFF)
