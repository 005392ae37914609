"""How fast and how often: pauses between sessions, and a limit of deliveries per second. Pure, time is an argument."""

from __future__ import annotations

import random

_FIRST_S = 0.5
_CAP_S = 30.0
_ALARM_CAP_S = 5.0  # an alarm waits: ask again sooner
_DOUBLINGS = 16


class Backoff:
    """Pauses that double up to a cap, each shortened at random: a fleet must not come back in step."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, keeps no secret
        self._failures = 0

    def reset(self) -> None:
        """The platform took something: begin again with the shortest pause."""
        self._failures = 0

    def next_s(self, retry_after_s: float = 0.0) -> float:
        """The next pause in seconds; never shorter than the platform asked for."""
        longest: float = min(_CAP_S, _FIRST_S * 2 ** min(self._failures, _DOUBLINGS))
        self._failures += 1
        return max(longest * self._chance.uniform(0.5, 1.0), retry_after_s)

    def with_alarm_s(self, pause_s: float) -> float:
        """The same pause while an alarm waits; for pauses the platform did not ask for."""
        return min(pause_s, _ALARM_CAP_S * self._chance.uniform(0.5, 1.0))


class RateLimit:
    """A token bucket of one second's worth."""

    def __init__(self, per_s: float, now_s: float) -> None:
        """``per_s`` 0 is unlimited; ``now_s`` is monotonic."""
        self._per_s = per_s
        self._most = max(per_s, 1.0)
        self._tokens = self._most
        self._at_s = now_s

    def allowance(self, now_s: float, wanted: int) -> int:
        """How many of ``wanted`` may go now."""
        if not self._per_s:
            return wanted
        self._tokens = min(self._most, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return min(wanted, int(self._tokens))

    def spend(self, count: int) -> None:
        """``count`` deliveries went out."""
        self._tokens -= count

    @property
    def wait_s(self) -> float:
        """Seconds until one more may go."""
        return max(0.0, (1.0 - self._tokens) / self._per_s) if self._per_s else 0.0
