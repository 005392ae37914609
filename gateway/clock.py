"""The only reader of time. Everything else takes a `Now` or a clock as an argument."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from gateway.model import Now

_NEVER_SET = datetime(2020, 1, 1, tzinfo=UTC)  # a wall clock before this was never set
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES = 1024  # struct timex has 208 on 64-bit Linux; zeros mean "only tell"
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


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


def kernel_says() -> bool | None:
    """Does the kernel take its clock for synchronised? None where it does not say."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def is_synchronised(now: Now, kernel: Callable[[], bool | None] = kernel_says) -> bool | None:
    """Is the wall clock of ``now`` set by a time source (NTP, chrony, timesyncd)? None: this system does not say.

    Delays do not need it: they run on the monotonic clock. It says how far stamps can be believed.
    """
    if now.utc < _NEVER_SET:
        return False
    return kernel()


def boot_id() -> str:
    """Which boot of the machine this is: while it is the same, the monotonic clock is the same, too. "": not known."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
