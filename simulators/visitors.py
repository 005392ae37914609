"""Simulators: a visitor at a door: calls, waits, comes in when the door is unlocked. Pure; the plant keeps the time."""

from __future__ import annotations

from simulators.spec import SimDevice

CALL = "call"  # the point of the panel's button ...
CONTACT = "contact"  # ... and of the door: true while it is closed
OPENS_AFTER_S = 1.0
STANDS_OPEN_S = 4.0
_WAITS_S = 120.0  # then the visitor has gone


def is_let_in(device: SimDevice, point: str, called_s: float | None, now_s: float) -> bool:
    """Does setting ``point`` let in somebody who called at ``called_s``?"""
    is_waiting = called_s is not None and now_s - called_s <= _WAITS_S
    return is_waiting and point in ("unlock", "release") and CONTACT in device.points
