"""Simulators: what happens at a charging socket: a vehicle comes, charges, is full, leaves; relays that stick. Pure.

A session draws what its charger asks for, less and less towards the end, and then trickles until the plug is pulled.
How electricity hangs together (a cut socket draws nothing) is in `kinds`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from simulators.spec import SimDevice, Value

HIDDEN = ("welded", "unfed")  # states of a socket or cabinet that no register shows: set like a point
_TAPER = 0.8  # from this share of the energy on the current falls
_TRICKLE = 0.02  # of the power at the start: well below 5 % of what the socket is rated for
_STAYS_S = (600.0, 3_000.0)  # how long a full vehicle stays; empty sockets wait as long again
_EMPTY_S = (1_200.0, 14_400.0)
_WH = (300.0, 900.0)  # what a battery takes: two to four hours

Values = dict[str, Value]


class Session:
    """One socket's vehicle, or the wait for the next one."""

    def __init__(self, asks_w: float, rng: random.Random) -> None:
        """``asks_w`` 0: nobody is there yet. A vehicle that is there has charged for a while already."""
        self._rng = rng
        self.asks_w = asks_w
        self.size_wh = rng.uniform(*_WH)
        self.taken_wh = self.size_wh * rng.uniform(0.0, 0.5) if asks_w else 0.0
        self.left_s = rng.uniform(*_EMPTY_S) if not asks_w else rng.uniform(*_STAYS_S)

    @property
    def is_there(self) -> bool:
        """Is a vehicle plugged in?"""
        return self.asks_w > 0

    @property
    def power_w(self) -> float:
        """What it draws when the socket has power: constant, then falling, then a trickle."""
        share = self.taken_wh / self.size_wh
        if share >= 1.0:
            return self.asks_w * _TRICKLE
        return self.asks_w * min(1.0, max(2 * _TRICKLE, (1.0 - share) / (1.0 - _TAPER)))

    def pass_time(self, elapsed_s: float, drawn_w: float) -> bool:
        """Let time pass; True when a vehicle has come or gone."""
        self.taken_wh += drawn_w * elapsed_s / 3_600.0
        if self.is_there and self.taken_wh < self.size_wh and drawn_w > 0:
            return False
        self.left_s -= elapsed_s
        if self.left_s > 0:
            return False
        comes = not self.is_there
        fresh = Session(self._rng.uniform(160.0, 420.0) if comes else 0.0, self._rng)
        self.asks_w, self.size_wh, self.left_s, self.taken_wh = fresh.asks_w, fresh.size_wh, fresh.left_s, 0.0
        return True


def sockets(device: SimDevice) -> Iterator[str]:
    """The tails (``.3``) of the sockets that can tell whether something is plugged in."""
    for name in device.points:
        if name.startswith("plugged"):
            yield name.removeprefix("plugged")


def plug(values: Mapping[str, Value], tail: str, session: Session) -> Values:
    """What a vehicle that has just come or gone changes: it came and paid, or the plug was pulled."""
    changed: Values = {f"plugged{tail}": session.is_there, f"done{tail}": False, f"on{tail}": True}
    changed |= {f"power{tail}": round(session.power_w, 1)}
    return {name: value for name, value in changed.items() if name in values}


def is_welded(hidden: Mapping[str, Value], tail: str) -> bool:
    """Does the relay of this socket stick?"""
    return hidden.get(f"welded{tail}") is True and hidden.get("unfed") is not True


def is_hidden(device: SimDevice, name: str) -> bool:
    """Can ``name`` be set though it is no point: ``welded.3`` of a socket, ``unfed`` of a cabinet?"""
    base, _, tail = name.partition(".")
    tails = {each.lstrip(".") for each in sockets(device)}
    return bool(tails) and ((base == "welded" and tail in tails) or name == "unfed")
