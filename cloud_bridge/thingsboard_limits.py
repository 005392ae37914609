"""How much a ThingsBoard says it takes: session limits read, and kept with a fifth to spare, as its own client. Pure.

Over its limits the platform ends the session (MQTT 3.1.1): slower is faster. Alarms spend what telemetry must leave.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_SHARE = 80  # percent
_MOST = 100_000
_LEAST_BYTES = 8_192


class Limits(NamedTuple):
    """What the platform has answered; 0 and empty where it says nothing."""

    payload: int = 0  # bytes of a message, all of it
    in_flight: int = 0
    messages: tuple[tuple[int, int], ...] = ()  # (how many, in how many seconds)
    telemetry: tuple[tuple[int, int], ...] = ()
    points: tuple[tuple[int, int], ...] = ()

    @property
    def split_at(self) -> int:
        """Where messages are cut."""
        return self.payload * _SHARE // 100


def read(told: Any) -> Limits:
    """The answer to ``getSessionLimits``; whatever can't be understood is no limit."""
    if not isinstance(told, dict):
        return Limits()
    rates = told.get("gatewayRateLimits") or told.get("rateLimits")
    rates = rates if isinstance(rates, dict) else {}
    payload = _whole(told.get("maxPayloadSize"))
    return Limits(
        payload=max(payload, _LEAST_BYTES) if payload else 0,
        in_flight=min(_whole(told.get("maxInflightMessages")) * _SHARE // 100, _MOST),
        messages=_rates(rates.get("messages")),
        telemetry=_rates(rates.get("telemetryMessages")),
        points=_rates(rates.get("telemetryDataPoints")),
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _rates(told: Any) -> tuple[tuple[int, int], ...]:
    """Of ``"200:1,6000:60"``."""
    found = []
    for each in str(told or "").replace(";", ",").split(",")[:8]:
        count, _, seconds = each.strip().partition(":")
        if count.isascii() and count.isdigit() and seconds.isascii() and seconds.isdigit() and int(seconds[:9]):
            capacity = int(count[:9]) * _SHARE // 100
            if int(count[:9]):
                found.append((max(capacity, 1), int(seconds[:9])))
    return tuple(found)


class Pace:
    """Token buckets; a token that is not there is owed."""

    def __init__(self, rates: tuple[tuple[int, int], ...], now_s: float) -> None:
        self._rates = rates
        self._tokens = [float(count) for count, _ in rates]
        self._at_s = now_s

    def spend(self, now_s: float, amount: float = 1.0) -> None:
        """So much went out."""
        self._refill(now_s)
        self._tokens = [each - amount for each in self._tokens]

    def wait_s(self, now_s: float, amount: float = 1.0) -> float:
        """Seconds until so much may go; a message larger than a bucket waits for a full one."""
        self._refill(now_s)
        waits = (
            (min(amount, count) - tokens) * seconds / count
            for (count, seconds), tokens in zip(self._rates, self._tokens, strict=True)
        )
        return max(0.0, *waits) if self._rates else 0.0

    def _refill(self, now_s: float) -> None:
        passed, self._at_s = now_s - self._at_s, now_s
        self._tokens = [
            min(count, tokens + passed * count / seconds)
            for (count, seconds), tokens in zip(self._rates, self._tokens, strict=True)
        ]
