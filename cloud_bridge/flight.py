"""Rows of one lane on their way: what is in flight, and up to where everything is settled. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.model import OutboxEntry


class Flight:
    """The window of one lane over the outbox, from the settled cursor to the last row sent.

    A row is settled only when it and every row before it is: after a crash the bridge goes on from there, so a
    row may be sent twice but never skipped.
    """

    def __init__(self, settled: int) -> None:
        self._waiting: dict[int, int] = {}  # seq to size, ascending: sent, not answered
        self._bytes = 0
        self._sent = settled
        self._highest_done = settled

    @property
    def sent(self) -> int:
        """The last row sent; the next to take comes after it."""
        return self._sent

    @property
    def settled(self) -> int:
        """Everything up to this row has been answered for good."""
        for first in self._waiting:
            return first - 1
        return self._sent

    @property
    def bytes(self) -> int:
        """Size of the bodies without an answer."""
        return self._bytes

    @property
    def waiting(self) -> Sequence[int]:
        """Rows without an answer, ascending."""
        return tuple(self._waiting)

    @property
    def is_overtaken(self) -> bool:
        """Was a row answered that was sent after one that still waits?"""
        return any(self._highest_done > first for first in self._waiting)

    def send(self, entries: Sequence[OutboxEntry]) -> None:
        """These rows, the next in order, are on their way."""
        for entry in entries:
            assert entry.seq > self._sent, "rows of a lane are sent in order"
            self._waiting[entry.seq] = len(entry.body)
            self._bytes += len(entry.body)
            self._sent = entry.seq

    def finish(self, seq: int) -> None:
        """The platform has answered for this row for good: accepted, or refused and put aside."""
        self._bytes -= self._waiting.pop(seq)
        self._highest_done = max(self._highest_done, seq)
