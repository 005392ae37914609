"""Weekly calendars: when a rule looks, when somebody is on duty. Frozen values and one question; no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

_DAY_MIN = 24 * 60


class Window(NamedTuple):
    """From ``start_min`` to ``end_min`` after midnight, on these days (Monday is 0).

    An end that is not after the start lies on the next day: 22:00 to 06:00 of ``days`` = {4} is Friday night.
    """

    days: frozenset[int]
    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows of a week; ``off`` are dates ("2026-10-01") on which none of them begins."""

    id: str
    windows: tuple[Window, ...]
    off: frozenset[str] = frozenset()

    def covers(self, at: datetime, zone: tzinfo) -> bool:
        """Does ``at`` (aware) lie in a window, by the wall clock of ``zone``?"""
        local = at.astimezone(zone)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.date(), local.date() - timedelta(days=1)
        for days, start, end in self.windows:
            spans = end <= start  # over midnight
            if (
                today.weekday() in days
                and str(today) not in self.off
                and start <= minute < (_DAY_MIN if spans else end)
            ):
                return True
            if spans and yesterday.weekday() in days and str(yesterday) not in self.off and minute < end:
                return True
        return False
