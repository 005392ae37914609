"""Rows of one lane on their way: what is in flight, and up to where everything is settled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.model import OutboxEntry

_MOST_DONE = 20_000  # answered rows that are remembered


class Flight:
    """The window of one lane over the outbox, from the settled cursor to the last row sent.

    A row is settled only when it and every row before it is: after a crash the bridge goes on from there, so a
    row may be sent twice but never skipped.
    """

    def __init__(self, settled: int, done: Iterable[int] = ()) -> None:
        """``done``: rows beyond the cursor that were answered in the session before."""
        self._done = {seq for seq in done if seq > settled}
        self._waiting: dict[int, int] = {}  # seq to size, ascending: sent, not answered
        self._bytes = 0
        self._sent = settled

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

    def again(self) -> Flight:
        """The next session's: from the cursor, passing over what was answered beyond it."""
        return Flight(self.settled, self._done)

    def send(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Take these rows, the next in order; those that have to be sent."""
        news = []
        for entry in entries:
            assert entry.seq > self._sent, "rows of a lane are sent in order"
            self._sent = entry.seq
            if entry.seq not in self._done:
                self._waiting[entry.seq] = len(entry.body)
                self._bytes += len(entry.body)
                news.append(entry)
        return news

    def finish(self, seq: int) -> None:
        """The platform has answered for this row for good: accepted, or refused and put aside."""
        self._bytes -= self._waiting.pop(seq)
        if len(self._done) >= _MOST_DONE:
            settled = self.settled
            self._done = {each for each in self._done if each > settled}
            if len(self._done) > _MOST_DONE // 2:
                self._done.clear()  # they will go again, with the same ids
        self._done.add(seq)
