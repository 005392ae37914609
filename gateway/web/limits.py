"""Web: how often somebody may fail before having to wait. Pure: time is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

WINDOW_S = 300.0
MAX_KEYS = 1024


class FailureLimiter:
    """Failures per key within `WINDOW_S` of the first. Bounded: the key that failed longest ago goes first."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, key: str, limit: int, mono_s: float) -> float:
        """Seconds to wait before the next try; 0 when it may be made now."""
        since, count = self._failures.get(key, (mono_s, 0))
        left = since + WINDOW_S - mono_s
        return left if count >= limit and left > 0 else 0.0

    def failed(self, key: str, mono_s: float) -> None:
        """Remember one more failure."""
        since, count = self._failures.pop(key, (mono_s, 0))
        if mono_s - since >= WINDOW_S:
            since, count = mono_s, 0
        self._failures[key] = (since, count + 1)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def forgive(self, key: str) -> None:
        """Take the last failure of ``key`` back: it was a success."""
        since, count = self._failures.get(key, (0.0, 0))
        if count > 1:
            self._failures[key] = (since, count - 1)
        else:
            self._failures.pop(key, None)


def network_of(address: str) -> str:
    """Who counts as one sender: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def is_loopback(address: str) -> bool:
    """Is this the machine itself?"""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback
