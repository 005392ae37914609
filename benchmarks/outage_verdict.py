"""The judge of the outage test: what devices were acknowledged, against what the platform has acknowledged. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.crash_field import SCALE
from benchmarks.crash_verdict import judge_alarms, judge_readings

LANES = ("alarm", "telemetry")  # the others (state, newest values) are said anew at will and settle nothing


@dataclass(frozen=True)
class Verdict:
    """What one run found; all but the five counts and the examples are numbers of things that must not be."""

    readings_lost: int
    readings_twice: int
    readings_disordered: int
    readings_restamped: int  # the first timestamp was not kept
    alarms_lost: int
    alarms_twice: int
    alarms_disordered: int  # an event of an alarm after a later one
    changed: int  # something else under an id that was there before
    readings: int  # acknowledged to devices
    alarms: int
    messages: int  # different ids that the platform acknowledged
    wire_repeats: int  # sent again under the same id, whether the first was acknowledged or not
    told_repeats: int  # acknowledged again under the same id: what a platform drops by id
    examples: tuple[str, ...] = ()
    protocol: int = 0  # demands of the platform's protocol that were not kept

    @property
    def faults(self) -> dict[str, int]:
        """What must be 0, by name."""
        names = (
            "readings_lost", "readings_twice", "readings_disordered", "readings_restamped",
            "alarms_lost", "alarms_twice", "alarms_disordered", "changed",
            "protocol",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def is_clean(self) -> bool:
        """Nothing wrong, and something was counted at all."""
        return self.readings > 0 and self.alarms > 0 and not any(self.faults.values())


def lane_of(topic: str) -> str:
    """The last word of a topic."""
    return topic.rpartition("/")[2]


def by_id(messages: Iterable[tuple[str, bytes]]) -> tuple[dict[str, dict[str, Any]], int, int]:
    """The first message of each id in order, how many repeats there were, how many of them said something else."""
    first: dict[str, bytes] = {}
    repeats = changed = 0
    for topic, payload in messages:
        if lane_of(topic) not in LANES:
            continue
        body = orjson.loads(payload)
        key = f"{body.get('epoch', '')} {body['id']}"
        if key not in first:
            first[key] = payload
            continue
        repeats += 1
        changed += first[key] != payload
    return {key: orjson.loads(payload) for key, payload in first.items()}, repeats, changed


def judge(
    stamps: Mapping[int, int],
    acknowledged: Collection[int],
    rooms: Collection[str],
    published: Sequence[tuple[str, bytes]],
    told: Sequence[tuple[str, bytes]],
) -> Verdict:
    """``stamps``: instant (ms) by number; of ``acknowledged`` numbers and alarms in ``rooms`` devices had a PUBACK."""
    _, wire_repeats, wire_changed = by_id(published)
    first, told_repeats, changed = by_id(told)
    readings = [row for body in first.values() for row in body.get("r", ())]
    events = [body["event"] for body in first.values() if "event" in body]
    of_readings = judge_readings(set(acknowledged), readings)
    of_alarms = judge_alarms(set(rooms), [(each["alarm_id"], each["kind"]) for each in events])
    restamped = sum(
        stamps.get(round(float(value) * SCALE)) != at_ms
        for point, value, at_ms, *_ in readings
        if point.endswith("/env/v")
    )
    return Verdict(
        readings_lost=of_readings.lost,
        readings_twice=of_readings.duplicated,
        readings_disordered=of_readings.disordered,
        readings_restamped=restamped,
        alarms_lost=of_alarms.lost,
        alarms_twice=of_alarms.duplicated,
        alarms_disordered=disordered_events(events),
        changed=max(changed, wire_changed),
        readings=len(acknowledged),
        alarms=len(rooms),
        messages=len(first),
        wire_repeats=wire_repeats,
        told_repeats=told_repeats,
        examples=of_readings.examples + of_alarms.examples,
    )


def disordered_events(events: Iterable[Mapping[str, Any]]) -> int:
    """Events of an alarm that stand behind a later one."""
    newest: defaultdict[str, int] = defaultdict(int)
    wrong = 0
    for each in events:
        wrong += each["version"] < newest[each["alarm_id"]]
        newest[each["alarm_id"]] = max(newest[each["alarm_id"]], each["version"])
    return wrong


def total(verdicts: Iterable[Verdict]) -> Counter[str]:
    """The sum of every number over all runs."""
    found: Counter[str] = Counter()
    for each in verdicts:
        found.update({name: value for name, value in vars(each).items() if isinstance(value, int)})
    return found
