"""How much telemetry may be on its way over one line, so that an alarm behind it is soon there. Pure.

What has been written to a socket cannot be overtaken: on a narrow line the kernel's buffer and the modem's hold many
seconds of it. So bytes without an answer are counted, and how many there may be follows from how long the answers take.
"""

from __future__ import annotations

from typing import NamedTuple

TARGET_S = 0.5  # an answer may take so long: an alarm waits for the less
_FIRST_BYTES = 16_000  # before anything is known of the line
_LEAST_BYTES = 6_000
_OWN_S = 0.3  # what we add to the time of a line that is slow with next to nothing on it
_MOST_CHANGE = 2.0


class Sent(NamedTuple):
    """A message on its way."""

    size: int
    on_the_way: int  # bytes, with this one
    at_s: float


class Window:
    """Bytes without an answer, as many as the line carries within `TARGET_S`.

    One message at a time is a sample: so many bytes were on their way, so long did they take.
    """

    def __init__(self, most: int) -> None:
        """``most`` bytes on the best of lines."""
        self._most = most
        self.size = min(_FIRST_BYTES, most)
        self._bytes = 0
        self._sample: Sent | None = None
        self._slowest_s = 0.0  # what an answer takes with next to nothing on the line

    @property
    def is_full(self) -> bool:
        """Is as much on its way as may be? Until then one more message may go, however large."""
        return self._bytes >= self.size

    def send(self, size: int, now_s: float) -> Sent:
        """It goes; give the result to `answered`."""
        self._bytes += size
        sent = Sent(size, self._bytes, now_s)
        if self._sample is None:
            self._sample = sent
        return sent

    def answered(self, sent: Sent, now_s: float) -> None:
        """It has been taken, or will never be."""
        self._bytes -= sent.size
        if sent is self._sample:
            self._sample = None
            self._learn(sent.on_the_way, max(now_s - sent.at_s, 1e-6))

    def _learn(self, size: int, took_s: float) -> None:
        if size <= _LEAST_BYTES:
            self._slowest_s = took_s
        elif took_s < self._slowest_s:
            self._slowest_s = 0.0  # it was a hitch, not the line
        target_s = max(TARGET_S, self._slowest_s + _OWN_S)
        fits = int(size * min(target_s / took_s, _MOST_CHANGE))
        if took_s > target_s:
            self.size = max(min(self.size, fits), int(self.size / _MOST_CHANGE), _LEAST_BYTES)
        else:
            self.size = min(max(self.size, fits), self._most)
