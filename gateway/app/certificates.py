"""Certificates of the uplinks that will soon expire: said by the uplink's own device, and counted in days.

When they end is found out by the bridge; whom it concerns say the rules (``certificate_ok`` of kind uplink).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Input, Reading
from gateway.web.ports import UplinkHealth

SOON = timedelta(days=30)
_DAY_S = 86_400


class Certificates:
    """Says of each uplink whether its certificates are good for another 30 days, once each time that changes."""

    def __init__(self, put: Callable[[Input], None], clock: Clock, counters: Counters) -> None:
        self._put = put
        self._clock = clock
        self._counters = counters
        self._said: dict[str, bool] = {}

    def seen(self, uplinks: Mapping[str, UplinkHealth]) -> None:
        """What the bridge says of its uplinks; nothing of those whose certificates it does not know."""
        now = self._clock.now().utc
        for key, health in uplinks.items():
            if health.certificate_until is not None:
                self._look(key, health.certificate_until, now)

    def _look(self, key: str, until: datetime, now: datetime) -> None:
        self._counters.gauge("uplink_certificate_days", (until - now).total_seconds() // _DAY_S, uplink=key)
        is_ok = until - now > SOON
        if self._said.get(key) is not is_ok:
            self._said[key] = is_ok
            self._put(Reading(f"uplink/{key}/certificate_ok", is_ok, now, now))
