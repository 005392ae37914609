"""Room: rules. Running delays on the monotonic clock: a heap with lazy deletion. Says when, never waits.

What a delay is for does not belong here: a timer is a key and an instant.
"""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta

from gateway.model import Now, TimerChange

_SLACK = 64  # dead entries beyond the living that the heap may carry before it is rebuilt


class Timers:
    """Delays by key. Every change is returned as a `TimerChange` to be kept across a restart."""

    __slots__ = ("_due", "_heap", "_running", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []  # (due on the monotonic clock, order of starting, key)
        self._running: dict[str, int] = {}  # key -> its entry's order
        self._due: dict[str, float] = {}
        self._sequence = 0

    def __contains__(self, key: str) -> bool:
        return key in self._running

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: str, duration_s: float, now: Now, *, ago_s: float = 0.0) -> TimerChange:
        """Run ``key`` from now, or from ``ago_s`` seconds ago; one that was running starts again."""
        started_at = now.utc - timedelta(seconds=ago_s) if ago_s else now.utc
        self._push(key, now.mono_s - ago_s + duration_s)
        return TimerChange(key, started_at, duration_s)

    def stop(self, key: str) -> TimerChange | None:
        """Forget ``key``; None when it was not running."""
        if self._running.pop(key, None) is None:
            return None
        del self._due[key]
        self._compact()
        return TimerChange(key, None)

    def restore(
        self,
        key: str,
        started_at: datetime,
        duration_s: float,
        now: Now,
        *,
        not_before: float,
        late_s: float = 0.0,
    ) -> None:
        """Go on with a delay that was running before a restart.

        ``started_at`` is by the wall clock of ``now`` (whoever keeps delays knows what was set meanwhile); what is
        believed of it lies between nothing and the whole duration. ``not_before`` is an instant of the monotonic clock;
        ``late_s``: by how much the start may be older than the truth, so that it must not ring earlier.
        """
        elapsed_s = (now.utc - started_at).total_seconds()
        left_s = duration_s + late_s - min(max(elapsed_s, 0.0), duration_s + late_s)
        self._push(key, max(now.mono_s + left_s, not_before))

    def left_s(self, key: str, mono_s: float) -> float:
        """Seconds until the running ``key`` ends."""
        return self._due[key] - mono_s

    def next_wake(self) -> float | None:
        """The instant on the monotonic clock when the next delay ends."""
        heap = self._heap
        while heap and self._running.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, mono_s: float) -> str | None:
        """The key of the next delay that has ended by ``mono_s``, which then runs no more."""
        due = self.next_wake()
        if due is None or due > mono_s:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._running[key], self._due[key]
        return key

    def _push(self, key: str, due: float) -> None:
        self._sequence += 1
        self._due[key] = due
        self._running[key] = self._sequence
        heapq.heappush(self._heap, (due, self._sequence, key))
        self._compact()

    def _compact(self) -> None:
        """Never more entries than twice the living and `_SLACK`; each costs its share once."""
        if len(self._heap) > 2 * len(self._running) + _SLACK:
            self._heap = [each for each in self._heap if self._running.get(each[2]) == each[1]]
            heapq.heapify(self._heap)
