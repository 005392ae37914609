"""Room: rules. What an operator's request does to an alarm: an event, or a refusal that says why.

Who may do what is the web's question; what a state allows is in `gateway.rules.table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.model import Alarm, OperatorRequest, Verb
from gateway.rules.table import ARGUMENTS, Code, row_for

MAX_TEXT = 2000  # characters of a note, outcome or cause


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in a code, and what the caller must know to do better."""

    code: Code
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The event the verb becomes."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


def decide(request: OperatorRequest, alarm: Alarm, outcomes: tuple[str, ...]) -> Accepted | Refusal:
    """What ``request`` does to the open ``alarm``; ``outcomes`` is the vocabulary of its rule, empty for any word."""
    if request.version != alarm.version:
        return Refusal(Code.STALE_VERSION, who_did_what(alarm))
    row = row_for(
        request.verb,
        alarm.handling,
        alarm.condition,
        is_latched=alarm.is_latched,
        is_sounding=alarm.is_sounding,
    )
    if row.codes:
        return Refusal(row.codes[0], {"codes": [str(each) for each in row.codes], **who_did_what(alarm)})
    return _bad_argument(request, outcomes) or Accepted(row.event, _data(request))


def who_did_what(alarm: Alarm) -> dict[str, Any]:
    """The words of a refusal: the last thing that happened, by whom, when, and the version it made."""
    return {
        "who": alarm.last_actor,
        "what": alarm.last_event,
        "when": alarm.last_at.isoformat() if alarm.last_at else "",
        "version": alarm.version,
        "handling": str(alarm.handling),
        "taken_by": alarm.taken_by,
        "taken_at": alarm.taken_at.isoformat() if alarm.taken_at else "",
        # The end of a press ("returned") follows a close by itself: then the journal knows who closed it.
        "closed_by": alarm.last_actor if alarm.last_event == "closed" else "",
        "closed_at": alarm.closed_at.isoformat() if alarm.closed_at else "",
    }


def _bad_argument(request: OperatorRequest, outcomes: tuple[str, ...]) -> Refusal | None:
    args = request.args
    missing = [name for name in ARGUMENTS[request.verb] if not args.get(name, "").strip()]
    if missing:
        return Refusal(Code.MISSING_ARGUMENT, {"arguments": missing})
    too_long = [name for name in ARGUMENTS[request.verb] if len(args[name]) > MAX_TEXT]
    if too_long:
        return Refusal(Code.BAD_ARGUMENT, {"arguments": too_long, "expected": f"at most {MAX_TEXT} characters"})
    if request.verb is Verb.VERIFY and args["real"] not in {"true", "false"}:
        return Refusal(Code.BAD_ARGUMENT, {"arguments": ["real"], "expected": "true or false"})
    if request.verb is Verb.CLOSE and outcomes and args["outcome"] not in outcomes:
        return Refusal(Code.BAD_OUTCOME, {"outcomes": list(outcomes)})
    return None


def _data(request: OperatorRequest) -> dict[str, Any]:
    if request.verb is Verb.VERIFY:
        return {"real": request.args["real"] == "true"}
    return {name: request.args[name].strip() for name in ARGUMENTS[request.verb]}
