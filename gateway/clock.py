"""The only reader of time. Everything else takes a `Now` or a clock as an argument."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from gateway.model import Now


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> Now:
        """Wall and monotonic time, read together."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Now:
        """Wall and monotonic time, read together."""
        return Now(datetime.now(UTC), time.monotonic())


class ManualClock:
    """A clock that stands still until it is told to move: for tests of the shell."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def now(self) -> Now:
        """The instant it was last set to."""
        return self._now

    def set(self, now: Now) -> None:
        """Move to ``now``; wall and monotonic time may jump independently."""
        self._now = now
