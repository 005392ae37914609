"""The judge of what a platform was told that knows no message ids: repeats are recognised by what they say. Pure.

Sparkplug, ThingsBoard and time series know a value by its device, its name and its instant, and an event by the id in
its body. The newest values go ahead of the history and come again in it: what counts is that no reading stands
behind a later one of its device for good. How a platform's messages are read belongs to the file of the platform.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from benchmarks.crash_field import DEVICES, SCALE
from benchmarks.crash_verdict import judge_alarms
from benchmarks.outage_verdict import Verdict, disordered_events


class Telling(NamedTuple):
    """A reading in a message that was acknowledged."""

    number: int
    at_ms: int


def telling(value: float, at_ms: int) -> Telling:
    """Of a value as the devices of the test send it."""
    return Telling(round(float(value) * SCALE), at_ms)


@dataclass
class Heard:
    """What was acknowledged, in order; ``wrong``: what the platform's protocol forbids."""

    readings: list[Telling] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)  # bodies with epoch, id, event
    wrong: list[str] = field(default_factory=list)
    messages: int = 0
    sent: int = 0  # readings and events on the wire, acknowledged or not


def judge_heard(
    stamps: Mapping[int, int], acknowledged: Collection[int], rooms: Collection[str], heard: Heard
) -> Verdict:
    """As `outage_verdict.judge`, which see for ``stamps``, ``acknowledged`` and ``rooms``."""
    told = {each.number for each in heard.readings}
    lost, disordered = sorted(set(acknowledged) - told), _disordered(heard.readings)
    moved = sorted({each.number for each in heard.readings if stamps.get(each.number) != each.at_ms})
    first: dict[str, bytes] = {}
    changed = 0
    for body in heard.events:
        said = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        changed += first.setdefault(f"{body.get('epoch', '')} {body['id']}", said) != said
    events = [orjson.loads(said)["event"] for said in first.values()]
    of_alarms = judge_alarms(set(rooms), [(each["alarm_id"], each["kind"]) for each in events])
    different = len(set(heard.readings)) + len(first)
    named = (("lost", lost), ("out of order", disordered), ("restamped", moved), ("protocol:", heard.wrong))
    return Verdict(
        readings_lost=len(lost),
        readings_twice=len(set(heard.readings)) - len(told),
        readings_disordered=len(disordered),
        readings_restamped=len(moved),
        alarms_lost=of_alarms.lost,
        alarms_twice=of_alarms.duplicated,
        alarms_disordered=disordered_events(events),
        changed=changed,
        readings=len(acknowledged),
        alarms=len(rooms),
        messages=heard.messages,
        wire_repeats=heard.sent - different,
        told_repeats=len(heard.readings) + len(heard.events) - different,
        examples=tuple(f"{what} {some[:5]}" for what, some in named if some) + of_alarms.examples,
        protocol=len(heard.wrong),
    )


def _disordered(readings: Sequence[Telling]) -> list[int]:
    """Readings that were told for the first time when a later one of their device had been told for the last time."""
    last = {each.number: place for place, each in enumerate(readings)}
    over: dict[int, int] = {}  # by device: the newest reading that does not come again
    known: set[int] = set()
    found = []
    for place, (number, _) in enumerate(readings):
        device = number % DEVICES
        if number not in known and number < over.get(device, -1):
            found.append(number)
        known.add(number)
        if last[number] == place:
            over[device] = max(number, over.get(device, -1))
    return found
