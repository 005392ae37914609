"""The judge of the crash test: what was acknowledged against what was stored and what the cloud was told. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.crash_field import DEVICES, SCALE


@dataclass(frozen=True)
class Tally:
    """One kind of thing at one place."""

    sent: int
    lost: int
    duplicated: int
    disordered: int
    examples: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Nothing wrong, and something was counted at all."""
        return self.sent > 0 and not (self.lost or self.duplicated or self.disordered)


def judge_alarms(rooms: set[str], events: Iterable[tuple[str, str]]) -> Tally:
    """``events``: (alarm id, kind) of each distinct event. Each room must have raised one alarm, once."""
    raised: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for alarm_id, kind in events:
        if alarm_id.startswith("smoke-fire:") and kind == "raised":
            raised[alarm_id.split(":")[1].split("/")[0]][alarm_id] += 1
    lost = sorted(rooms - raised.keys())
    duplicated = sorted(at for at, ids in raised.items() if at in rooms and sum(ids.values()) > 1)
    examples = [f"lost {at}" for at in lost[:3]] + [f"twice {at}: {dict(raised[at])}" for at in duplicated[:3]]
    return Tally(len(rooms), len(lost), len(duplicated), 0, tuple(examples))


def judge_readings(numbers: set[int], readings: Iterable[list[Any]]) -> Tally:
    """``readings`` in the order they were kept; of each device the numbers must grow."""
    seen: Counter[int] = Counter()
    newest: dict[int, int] = {}
    disordered: list[int] = []
    for point, value, *_ in readings:
        if not point.endswith("/env/v"):
            continue
        number = round(float(value) * SCALE)
        device = number % DEVICES
        if not seen[number] and number < newest.get(device, -1):
            disordered.append(number)
        newest[device] = max(number, newest.get(device, -1))
        seen[number] += 1
    lost = sorted(numbers - seen.keys())
    duplicated = sorted(number for number, times in seen.items() if times > 1)
    examples = [f"{what} {some[:5]}" for what, some in _named(lost, duplicated, disordered) if some]
    return Tally(len(numbers), len(lost), len(duplicated), len(disordered), tuple(examples))


def _named(lost: list[int], duplicated: list[int], disordered: list[int]) -> list[tuple[str, list[int]]]:
    return [("lost", lost), ("twice", duplicated), ("out of order", disordered)]
