"""What one session has on its way: rows of both lanes without an answer, and alarms that wait for others to pass.

Which rows go next is `sending`; what an answer means, and who is to blame, is `answers`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from cloud_bridge.flight import Flight
from cloud_bridge.held import Held
from cloud_bridge.sent import Sent, begin, failure_of
from cloud_bridge.suspicion import Row, Suspicion
from cloud_bridge.uplink import Uplink
from gateway.model import Lane, OutboxEntry


class Traffic:
    """Deliveries of the session that is open; cursors and suspicions outlive it."""

    def __init__(self, uplink: Uplink, bell: asyncio.Event) -> None:
        """``bell`` is set at each answer."""
        self._uplink = uplink
        self._bell = bell
        self.suspicion = Suspicion()
        self.flights: dict[Lane, Flight] = {}
        self.renew()

    def start(self, settled: Mapping[Lane, int]) -> None:
        """Begin behind these rows."""
        self.flights = {lane: Flight(seq) for lane, seq in settled.items()}

    def renew(self) -> None:
        """The session has ended: nothing is on its way. Alarms that were answered are not sent again."""
        self.flights = {
            lane: flight.again() if lane is Lane.ALARM else Flight(flight.settled)
            for lane, flight in self.flights.items()
        }
        self.sent: dict[Lane, deque[Sent]] = {lane: deque() for lane in Lane}
        self.finished: deque[Sent] = deque()
        self.held = Held(self.suspicion)
        self.tried: Sent | None = None  # a row that was held
        self._number = 0  # of the last delivery
        self._answered = dict.fromkeys(Lane, 0)  # the last delivery with an answer

    @property
    def settled(self) -> dict[Lane, int]:
        """Up to where everything has been answered for good."""
        return {lane: flight.settled for lane, flight in self.flights.items()}

    @property
    def is_empty(self) -> bool:
        """Is nothing on its way?"""
        return not any(self.sent.values())

    @property
    def waiting(self) -> int:
        """Rows without an answer."""
        return sum(len(flight.waiting) for flight in self.flights.values())

    @property
    def going(self) -> list[Row]:
        """Those of them that are on their way."""
        rows = (Row(lane, seq) for lane, flight in self.flights.items() for seq in flight.waiting)
        return [row for row in rows if row not in self.held]

    def deliver(self, lane: Lane, entries: Sequence[OutboxEntry]) -> Sent:
        """Send these rows of one lane."""
        future = begin(self._uplink, entries)
        self._number += 1
        sent = Sent(lane, entries, future, asyncio.get_running_loop().time(), self._number, future.done())
        self.sent[lane].append(sent)
        finished = self.finished  # of this session
        future.add_done_callback(lambda _: self._end(sent, finished))
        return sent

    def try_held(self, entry: OutboxEntry, now_s: float) -> None:
        """Send a row that was held; without an answer it comes after the others."""
        self.held.start(entry.seq)
        self.suspicion.postpone(Row(entry.lane, entry.seq), now_s)
        self.tried = self.deliver(entry.lane, [entry])

    def _end(self, sent: Sent, finished: deque[Sent]) -> None:
        if finished is self.finished:
            finished.append(sent)
            self._bell.set()
        else:
            failure_of(sent.future)  # too late: the row will be sent again

    def answered(self, sent: Sent) -> None:
        """This delivery has its answer."""
        self.sent[sent.lane].remove(sent)
        if not sent.is_own:
            self._answered[sent.lane] = max(self._answered[sent.lane], sent.number)

    def finish(self, row: Row, *, is_taken: bool) -> None:
        """The platform has answered for this row for good."""
        self.flights[row.lane].finish(row.seq)
        self.suspicion.answered(row, is_taken=is_taken)
        if row.lane is Lane.ALARM:
            self.held.finish(row.seq)
        if self.tried is not None and row == (self.tried.lane, self.tried.entries[0].seq):
            self.tried = None

    def is_overdue(self, now_s: float, answer_s: float) -> bool:
        """Has a delivery waited longer than ``answer_s`` for its answer?"""
        return any(sent and now_s - sent[0].at_s > answer_s for sent in self.sent.values())

    def passed_over(self) -> Row | None:
        """The first row without an answer, where a later delivery of its lane was answered.

        Of any lane where that has happened to this row before: behind it there may be no other of its own.
        """
        for lane, sent in self.sent.items():
            if sent:
                row = Row(lane, sent[0].entries[0].seq)
                last = max(self._answered.values()) if self.suspicion.is_passed(row) else self._answered[lane]
                if sent[0].number < last:
                    return row
        return None
