"""What of the outbox one uplink forwards: which points, which alarms, and which personal words stay. Pure."""

from __future__ import annotations

from typing import Any

from gateway.model import Site


class Selection:
    """One uplink's choice. Rows of which nothing is left count as delivered."""

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def is_whole(self) -> bool:
        """Does everything pass unchanged? Then a row need not be parsed."""
        return True

    def keeps(self, point_id: str) -> bool:  # noqa: ARG002 - every point so far
        """Do readings of this point go up?"""
        return True

    def alarm(self, told: dict[str, Any]) -> dict[str, Any] | None:
        """An alarm row (``{"id", "event", "alarm"}``) as this uplink may send it, or None: not for this platform."""
        return told
