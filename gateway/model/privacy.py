"""Model: the numbers of cards and codes. Whole they are in the box's own record of passes (200 days), and nowhere else.

Who may see them there is the web's. What the configuration may take in at all is `gateway.config.privacy`.
"""

from __future__ import annotations

from typing import TypeVar

_CREDENTIAL = "/pass"  # what the point of a door is called that says which card, code or flat it was
_SHOWN = 4  # of a number, at its end: enough to tell two cards apart

T = TypeVar("T")


def masked(credential: str) -> str:
    """A number of four signs or fewer (a house code) is hidden as a whole."""
    return "****" + (credential[-_SHOWN:] if len(credential) > _SHOWN else "") if credential else ""


def without_card(point_id: str, value: T) -> T | str:
    """``value`` as it may stand in journals, on screens and in clouds: masked where it is the number of a card."""
    if point_id.endswith(_CREDENTIAL) and isinstance(value, str | int) and not isinstance(value, bool):
        return masked(str(value))
    return value
