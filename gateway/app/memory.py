"""How much memory the processes hold: little heaps, and what reading the configuration took is given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h


def keep_memory_small() -> None:
    """One heap for all threads: for a process whose threads mostly wait."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """To the system what is free; what stays is kept out of the garbage collector's way."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
