"""Room: drivers. Whose turn it is on a Modbus line: a schedule of polls, pure.

Every poll keeps its own beat: due = start + phase + n × interval, never "interval after the last one".
Times are seconds of whatever clock the caller uses. Asking is the business of `modbus_line`.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.drivers.modbus_frames import read_request
from gateway.drivers.modbus_passes import Gate
from gateway.drivers.modbus_plan import READ_FUNCTION, Block
from gateway.drivers.modbus_unit import Unit

URGENT_WEIGHT = 4.0  # on a line that is too slow alarm points are read more often than others
LONGEST_PHASE_S = 5.0  # slow polls too say where they stand soon after the start


class Read:
    """One block of one unit."""

    def __init__(self, unit: int, block: Block) -> None:
        self.unit = unit
        self.block = block
        self.request = read_request(unit, READ_FUNCTION[block.table], block.start, block.count, block.answer_bytes)
        self.refused = ""  # the reason, while it is not asked
        self.ask_again_s = 0.0
        self.busy = 0  # answers "busy" in a row

    def split(self) -> list[Read]:
        """Two smaller ones, or none."""
        return [Read(self.unit, part) for part in self.block.split()]


@dataclass(slots=True, eq=False)
class Poll:
    """The points of one device that share an interval."""

    device_id: str
    unit: Unit
    interval_s: float
    reads: list[Read]
    origin_s: float = 0.0
    beat: int = 0
    due_s: float = 0.0
    took_s: float = 0.0
    is_urgent: bool = False
    gate: Gate | None = None  # of records that are told once

    def rank(self, now_s: float) -> tuple[bool, bool, float]:
        """The smallest is asked first: units known to answer do not wait behind those that may be dead.

        Among equals the pressure decides. It grows without end, so nobody starves; alarm points feel it more.
        """
        pressure = (now_s - self.due_s) / self.interval_s + 1
        return self.unit.is_suspect, not self.unit.is_proven, -pressure * (URGENT_WEIGHT if self.is_urgent else 1)

    def advance(self, now_s: float) -> int:
        """On to the next beat after ``now_s``; beats missed between."""
        before, self.beat = self.beat, max(self.beat + 1, math.floor((now_s - self.origin_s) / self.interval_s) + 1)
        self.due_s = self.origin_s + self.beat * self.interval_s
        return self.beat - before - 1

    def __lt__(self, other: Poll) -> bool:
        return self.due_s < other.due_s


class Schedule:
    """The polls of one line: those to come, and those whose time has come."""

    def __init__(self, polls: Sequence[Poll]) -> None:
        self._polls = polls
        self._upcoming: list[Poll] = []  # a heap by due_s
        self._ready: list[Poll] = []

    def lay_out(self, start_s: float, name: str) -> None:
        """Spread the polls from ``start_s`` on; lines of other names, started together, do not beat together."""
        own_share = zlib.crc32(name.encode()) / 2**32
        for index, poll in enumerate(self._polls):
            phase = (own_share + index / len(self._polls)) % 1.0
            poll.origin_s = poll.due_s = start_s + phase * min(poll.interval_s, LONGEST_PHASE_S)
            poll.beat = 0
        self._upcoming, self._ready = sorted(self._polls), []

    def pick(self, now_s: float, suspect_at_s: float) -> Poll | None:
        """The most pressing poll that may be asked now; units that missed an answer wait for ``suspect_at_s``."""
        while self._upcoming and self._upcoming[0].due_s <= now_s:
            self._ready.append(heapq.heappop(self._upcoming))
        best: Poll | None = None
        for each in self._ready:
            if each.unit.is_suspect and now_s < each.unit.asked_again_s(suspect_at_s):
                continue
            if best is None or each.rank(now_s) < best.rank(now_s):
                best = each
        return best

    def take(self, poll: Poll) -> None:
        """``poll`` is being asked."""
        self._ready.remove(poll)

    def put_back(self, poll: Poll, now_s: float) -> int:
        """``poll`` was asked: on to its next beat; beats missed between."""
        missed = poll.advance(now_s)
        heapq.heappush(self._upcoming, poll)
        return missed

    def next_at_s(self, suspect_at_s: float) -> float:
        """When there may be something to ask; infinity without polls."""
        waiting_s = min((each.unit.asked_again_s(suspect_at_s) for each in self._ready), default=math.inf)
        return min(waiting_s, self._upcoming[0].due_s) if self._upcoming else waiting_s
