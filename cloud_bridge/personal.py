"""What of an alarm event is about people: names, and what somebody typed. It stays in the box by default. Pure.

An allow-list: a word of an event's data that nobody has judged here stays, too. Addresses, titles and values of points
that are not personal go up: an alarm without its place helps nobody. ADR 0021.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.model import SYSTEM

KEPT = "***"  # somebody, something: said, but not who or what

NAMES = ("taken_by", "shelved_by", "last_actor")  # of an alarm
TYPED = ("cause", "note")  # of an alarm, by a person
OPEN = frozenset({  # of an event's data: numbers, ids, words from the configuration or from a fixed set
    "value", "sounds", "latches", "device_at", "clock", "chattering", "reopens", "rule", "point", "device",
    "occurrence", "class", "title", "place", "marks", "mark", "out_of_service", "shelved_until", "suppressed_by",
    "because", "by", "count", "real", "round", "stage", "after_s", "call", "minutes", "until", "command",
})  # fmt: skip


def without_people(told: Mapping[str, Any], outcomes: Collection[str], *, is_personal: bool) -> dict[str, Any]:
    """An alarm row without names and typed words.

    ``outcomes``: the words that its rule offers for closing it; another one was typed. ``is_personal``: is its point?
    """
    event, alarm = dict(told["event"]), dict(told["alarm"])
    event["actor"] = _actor(event["actor"])
    event["data"] = _data(event["data"], outcomes)
    for name in NAMES:
        alarm[name] = _name(alarm.get(name, ""))
    for name in TYPED:
        alarm[name] = _word(alarm.get(name, ""))
    alarm["outcome"] = _outcome(alarm.get("outcome", ""), outcomes)
    if is_personal:
        alarm["value"] = None
        event["data"].pop("value", None)
    return {**told, "event": event, "alarm": alarm}


def _actor(actor: Mapping[str, Any]) -> dict[str, Any]:
    """Somebody of this role; the machine itself is nobody's secret."""
    return {**actor, "name": actor["name"] if actor["role"] == SYSTEM.role else KEPT}


def _data(data: Mapping[str, Any], outcomes: Collection[str]) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if key in OPEN}
    if "outcome" in data:
        kept["outcome"] = _outcome(data["outcome"], outcomes)
    return kept


def _name(name: str) -> str:
    return name if name in {"", SYSTEM.name} else KEPT


def _word(text: str) -> str:
    return KEPT if text else ""


def _outcome(text: str, outcomes: Collection[str]) -> str:
    return text if text in outcomes else _word(text)
