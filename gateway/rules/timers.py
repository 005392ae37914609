"""Room: rules. Running delays on the monotonic clock: a heap with lazy deletion. Says when, never waits.

What a delay is for does not belong here: a timer is a key and an instant.
"""

from __future__ import annotations

import heapq
from datetime import datetime

from gateway.model import Now, TimerChange

_SLACK = 64  # dead entries beyond the living that the heap may carry before it is rebuilt


class Timers:
    """Delays by key. Every change is returned as a `TimerChange` to be kept across a restart."""

    __slots__ = ("_heap", "_running", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []  # (due on the monotonic clock, order of starting, key)
        self._running: dict[str, int] = {}  # key -> its entry's order
        self._sequence = 0

    def __contains__(self, key: str) -> bool:
        return key in self._running

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: str, duration_s: float, now: Now) -> TimerChange:
        """Run ``key`` from now; one that was running starts again."""
        self._push(key, now.mono_s + duration_s)
        return TimerChange(key, now.utc, duration_s)

    def stop(self, key: str) -> TimerChange | None:
        """Forget ``key``; None when it was not running."""
        if self._running.pop(key, None) is None:
            return None
        if len(self._heap) > 2 * len(self._running) + _SLACK:
            self._heap = [each for each in self._heap if self._running.get(each[2]) == each[1]]
            heapq.heapify(self._heap)
        return TimerChange(key, None)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now, *, not_before: float) -> None:
        """Go on with a delay that was running before a restart.

        Only the wall clock knows how long the restart took. It may have been set meanwhile, so what is believed
        of it lies between nothing and the whole duration. ``not_before`` is an instant of the monotonic clock.
        """
        elapsed_s = (now.utc - started_at).total_seconds()
        left_s = duration_s - min(max(elapsed_s, 0.0), duration_s)
        self._push(key, max(now.mono_s + left_s, not_before))

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
        del self._running[key]
        return key

    def _push(self, key: str, due: float) -> None:
        self._sequence += 1
        self._running[key] = self._sequence
        heapq.heappush(self._heap, (due, self._sequence, key))
