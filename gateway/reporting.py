"""Report on change: which readings of a point go to the clouds. Pure: time is an argument, nothing is written here.

Stands between what the engine has seen and the outbox: rules, screens, alarms and the record of passes see every
reading. A change too soon after the last one sent is held, and sent when ``least_s`` is over; of several the last. What
is held is on disk with the commit that held it (`gateway.store.reports`), so that a kill loses no change; what was
last sent is not, so that after a restart the first reading of each point goes up, at worst once more. ADR 0021.

What a commit decides counts only once it has succeeded: `settle`; begun anew, what was not settled is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.model import Quality, Reading, Report, Step, Value

_ALWAYS = float("-inf")
_MOST_DUE = 2_000  # in one row of the outbox


class _Known(NamedTuple):
    """What the clouds have of a point, and what they will get."""

    value: Value | None
    quality: Quality
    sent_s: float
    held: Reading | None = None
    due_s: float = 0.0  # of ``held``


class Reporting:
    """What of every point was sent last, and what waits for its time."""

    def __init__(self, reports: Mapping[str, Report], held: Iterable[Reading] = ()) -> None:
        """``reports`` by point id; ``held``: what waited when the gateway stopped."""
        self._reports = reports
        self._known: dict[str, _Known] = {
            each.point_id: _Known(None, Quality.STALE, _ALWAYS, each, _ALWAYS) for each in held
        }
        self._held = dict.fromkeys(self._known)  # ids of points, in the order in which they began to wait
        self._staged: dict[str, _Known] = {}
        self._staged_saved = 0
        self.saved = 0  # readings that were not sent, and never will be

    def begin(self) -> None:
        """Forget what was not settled: its commit has failed."""
        self._staged, self._staged_saved = {}, 0

    def pick(self, steps: Iterable[Step]) -> list[Reading]:
        """The readings of these steps that go up, in order."""
        found: list[Reading] = []
        for step in steps:
            found += self.sift(step.readings, step.now.mono_s) if self._reports else step.readings
        return found

    def sift(self, readings: Sequence[Reading], now_s: float) -> list[Reading]:
        """Those of ``readings`` that go up now."""
        report_of = self._reports.get
        found = []
        for each in readings:
            report = report_of(each[0])
            if report is None or self._goes(each, report, now_s):
                found.append(each)
        return found

    def due(self, now_s: float, most: int = _MOST_DUE) -> list[Reading]:
        """What was held and may go now; with ``most`` of them there may be more."""
        found = []
        for point_id in self._held:
            known = self._known[point_id]
            if known.held is not None and known.due_s <= now_s:
                found.append(known.held)
                self._staged[point_id] = _Known(known.held.value, _kind(known.held), now_s)
                if len(found) == most:
                    break
        return found

    def changes(self) -> list[tuple[str, Reading | None]]:
        """(point id, what it holds now or None) where that is another than before."""
        known = self._known
        return [
            (each, staged.held)
            for each, staged in self._staged.items()
            if staged.held is not (known[each].held if each in known else None)
        ]

    def settle(self) -> None:
        """What was picked since `begin` is on disk."""
        for point_id, known in self._staged.items():
            if known.held is None:
                self._held.pop(point_id, None)
            else:
                self._held[point_id] = None
        self._known |= self._staged
        self.saved += self._staged_saved
        self.begin()

    def _goes(self, reading: Reading, report: Report, now_s: float) -> bool:
        point_id = reading[0]
        known = self._staged.get(point_id) or self._known.get(point_id)
        if known is None:
            self._staged[point_id] = _Known(reading.value, _kind(reading), now_s)
            return True
        is_change = _is_change(known, reading, report.deadband)
        since_s = now_s - known.sent_s
        self._staged_saved += known.held is not None  # this one takes its place
        if since_s >= report.least_s if is_change else 0 < report.most_s <= since_s:
            self._staged[point_id] = _Known(reading.value, _kind(reading), now_s)
            return True
        if is_change:
            self._staged[point_id] = known._replace(held=reading, due_s=known.sent_s + report.least_s)
            return False
        self._staged_saved += 1
        if known.held is not None:
            self._staged[point_id] = known._replace(held=None)
        return False


def _kind(reading: Reading) -> Quality:
    """A true state told again is as good as new."""
    return Quality.GOOD if reading.quality is Quality.RETAINED else reading.quality


def _is_change(known: _Known, reading: Reading, deadband: float) -> bool:
    value, before = reading.value, known.value
    if known.quality is not _kind(reading):
        return True
    if deadband and isinstance(value, int | float) and isinstance(before, int | float):
        return not abs(value - before) <= deadband  # so that what is no number (NaN) is a change
    return value != before
