"""Room: rules. What an operator's request does to an alarm: an event, or a refusal that says why.

Who may do what is the web's question, except how long who may shelve; what a state allows is in `gateway.rules.table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gateway.model import Alarm, Now, OperatorRequest, Rule, Verb
from gateway.rules.table import ARGUMENTS, SHELVING, Code, row_for, state_of

MAX_TEXT = 2000  # characters of a note, outcome, cause or reason
_MINUTES_DIGITS = 7


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


def decide(request: OperatorRequest, alarm: Alarm, rule: Rule | None, now: Now) -> Accepted | Refusal:
    """What ``request`` does to the open ``alarm``; ``rule`` is None where the configuration has it no more."""
    if not (alarm.acted_version or alarm.version) <= request.version <= alarm.version:
        return Refusal(Code.STALE_VERSION, who_did_what(alarm))
    row = row_for(request.verb, state_of(alarm))
    if row.codes:
        return Refusal(row.codes[0], {"codes": [str(each) for each in row.codes], **who_did_what(alarm)})
    refusal = bad_argument(request) or _bad_outcome(request, rule)
    if refusal is None and request.verb is Verb.SHELVE:
        refusal = _bad_shelving(request, alarm, rule)
    return refusal or Accepted(row.event, _data(request, now))


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


def bad_argument(request: OperatorRequest) -> Refusal | None:
    """An argument that is missing, too long, or not one of what its verb takes."""
    args = request.args
    missing = [name for name in ARGUMENTS[request.verb] if not args.get(name, "").strip()]
    if missing:
        return Refusal(Code.MISSING_ARGUMENT, {"arguments": missing})
    too_long = [name for name in ARGUMENTS[request.verb] if len(args[name]) > MAX_TEXT]
    if too_long:
        return Refusal(Code.BAD_ARGUMENT, {"arguments": too_long, "expected": f"at most {MAX_TEXT} characters"})
    if request.verb is Verb.VERIFY and args["real"] not in {"true", "false"}:
        return Refusal(Code.BAD_ARGUMENT, {"arguments": ["real"], "expected": "true or false"})
    return None


def minutes_of(request: OperatorRequest) -> int | Refusal:
    """The argument ``minutes``: a whole number, not 0."""
    text = request.args["minutes"].strip()
    minutes = int(text) if len(text) <= _MINUTES_DIGITS and text.isascii() and text.isdecimal() else 0
    return minutes or Refusal(Code.BAD_ARGUMENT, {"arguments": ["minutes"], "expected": "a whole number of minutes"})


def too_long(minutes: int, longest_s: float) -> Refusal | None:
    """More than the limit; it says the limit."""
    return Refusal(Code.TOO_LONG, {"longest_minutes": int(longest_s // 60)}) if minutes * 60 > longest_s else None


def shelving(alarm: Alarm, rule: Rule | None) -> dict[str, float]:
    """Who may shelve it, by role, and for how many seconds at most; a rule may allow less, or nothing."""
    of_rule_s = rule.shelvable_s if rule and rule.shelvable_s is not None else float("inf")
    limits = SHELVING[alarm.alarm_class] if of_rule_s else {}
    return {role: min(longest_s, of_rule_s) for role, longest_s in limits.items()}


def _bad_outcome(request: OperatorRequest, rule: Rule | None) -> Refusal | None:
    outcomes = rule.outcomes if rule else ()
    if request.verb is Verb.CLOSE and outcomes and request.args["outcome"] not in outcomes:
        return Refusal(Code.BAD_OUTCOME, {"outcomes": list(outcomes)})
    return None


def _bad_shelving(request: OperatorRequest, alarm: Alarm, rule: Rule | None) -> Refusal | None:
    limits = shelving(alarm, rule)
    if not limits:
        return Refusal(Code.NOT_SHELVABLE, {"class": str(alarm.alarm_class)})
    longest_s = limits.get(request.actor.role)
    if longest_s is None:
        return Refusal(Code.ROLE_NOT_ALLOWED, {"role": request.actor.role, "roles": sorted(limits)})
    minutes = minutes_of(request)
    return minutes if isinstance(minutes, Refusal) else too_long(minutes, longest_s)


def _data(request: OperatorRequest, now: Now) -> dict[str, Any]:
    if request.verb is Verb.VERIFY:
        return {"real": request.args["real"] == "true"}
    data: dict[str, Any] = {name: request.args[name].strip() for name in ARGUMENTS[request.verb]}
    if request.verb is Verb.SHELVE:
        data["until"] = (now.utc + timedelta(minutes=int(data["minutes"]))).isoformat()
    return data
