"""Configuration: what a point can show at all: its range, the width of its register, its steps, its words.

What stands outside is no value but a bad reading, so a rule that waits for it never fires. Which rules do is judged
in `conditions` (one value) and `possible` (expressions); how often a point is asked is in `pace`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from gateway.config.desk import Mould


class Reach(NamedTuple):
    """The lowest and the highest value, and where values lie: ``zero`` plus a multiple of ``step``. None: unknown."""

    low: float | None = None
    high: float | None = None
    step: float | None = None
    zero: float = 0.0

    def spans(self, value: float) -> bool:
        """Does the value lie between the ends?"""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def shows(self, value: float) -> bool:
        """Is the value one of those that come in steps?"""
        if self.step is None:
            return True
        return (Decimal(repr(value)) - Decimal(repr(self.zero))) % Decimal(repr(self.step)) == 0


def reach_of(mould: Mould) -> Reach:
    """The profile's range within what the driver's register can hold (``span`` of its parameters, where it has one)."""
    low, high, step, zero = getattr(mould.params, "span", None) or (None, None, None, 0.0)
    lows = [each for each in (low, mould.low) if each is not None]
    highs = [each for each in (high, mould.high) if each is not None]
    return Reach(max(lows, default=None), min(highs, default=None), step, zero)


def words_of(mould: Mould) -> tuple[str, ...] | None:
    """The only texts that a point has whose profile translates words; None: any but the `ignored`."""
    words = getattr(mould.params, "words", None)
    if mould.type != "text" or words is None:
        return None
    silent = ignored(mould)
    return tuple(dict.fromkeys(str(value) for word, value in words.items() if word not in silent))


def ignored(mould: Mould) -> tuple[str, ...]:
    """The words of the device that say nothing: they never become a value."""
    return tuple(getattr(mould.params, "ignore", ()))
