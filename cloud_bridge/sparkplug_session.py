"""One Sparkplug session over one MQTT session: numbers each message, in order, and hears what was acknowledged.

Alarms and answers go first, then births, then the newest values, then rows from the oldest. What a message holds is
made when there is room for it, so that a rebirth in the middle of a replay finds nothing already on its way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from cloud_bridge.narrow import Sent, Window
from cloud_bridge.sparkplug_messages import Composer, Message, Row, Seen
from cloud_bridge.sparkplug_roster import TooManyStraysError

_MESSAGES = 500  # without a PUBACK
_MOST_BYTES = 200_000  # of them, on the best of lines
_OVERHEAD = 100  # of a PUBLISH with its topic
_BATCH = 2_000  # readings that are gathered by device before they are sent
_NEWEST = 20  # lots of newest values that wait; more are left out: history brings them, or later ones
_A_TURN = 100  # messages; then the loop gets its turn
_REBIRTH_S = 5.0  # at most one rebirth in so long: a birth of thousands of devices is a megabyte
_CATCH_UP_S = 1.0


class Publish(Protocol):
    """Sends one message; the future ends at the proof that it was taken, or fails."""

    def __call__(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        """Send."""
        ...


class Job:
    """A row on its way. ``finish`` is called once: with None when all of it is acknowledged, else with the error."""

    def __init__(self, finish: Callable[[Exception | None], None]) -> None:
        self._finish: Callable[[Exception | None], None] | None = finish
        self._waiting = 0
        self._is_told = False

    def sent(self) -> None:
        """A message with something of it went out."""
        self._waiting += 1

    def acknowledged(self) -> None:
        """One of its messages was taken."""
        self._waiting -= 1
        self._look()

    def told(self) -> None:
        """All of it went out."""
        self._is_told = True
        self._look()

    def _look(self) -> None:
        if self._is_told and not self._waiting:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        """It is over."""
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(error)


class Session:
    """What goes out between two connections."""

    def __init__(
        self,
        composer: Composer,
        publish: Publish,
        *,
        topic: Callable[[str, str], str],
        bd_seq: int,
        now_ms: Callable[[], int],
        counts: dict[str, int],
    ) -> None:
        """``topic`` makes the topic of a verb and a device; ``counts`` has births and rebirths."""
        self._composer = composer
        self._publish = publish
        self._topic = topic
        self._bd_seq = bd_seq
        self._now_ms = now_ms
        self._seq = 0
        self._unacked = 0
        self.window = Window(_MOST_BYTES)
        self._urgent: deque[Message] = deque()
        self._births: Iterator[Message] = iter(())
        self._newest: deque[Iterator[Message]] = deque()
        self._rows: deque[Row] = deque()
        self._telling: tuple[Iterator[Message], tuple[Job, ...]] = (iter(()), ())
        self._timers: set[asyncio.TimerHandle] = set()
        self._is_filling = self._is_catching_up = self._is_over = False
        self._rebirth_at_s = 0.0
        self._counts = counts

    def begin(self) -> asyncio.Future[None]:
        """NBIRTH, then every device's birth; the future is that of the NBIRTH."""
        proof = self._birth()
        self._fill_soon()
        return proof

    def _birth(self) -> asyncio.Future[None]:
        self._seq = 0
        self._counts["births"] += 1
        now_ms = self._now_ms()
        proof = self._send(self._composer.node_birth(self._bd_seq, now_ms))
        self._births = self._composer.births(now_ms)
        return proof

    def rebirth(self) -> None:
        """The host asks for everything anew; asked again and again it is told at most every few seconds."""
        self._counts["rebirths"] += 1
        loop = asyncio.get_running_loop()
        wait_s = self._rebirth_at_s - loop.time()
        if wait_s > _REBIRTH_S:  # one is due already
            return
        if wait_s > 0:
            self._rebirth_at_s += _REBIRTH_S
            self._later(wait_s, self._rebirth)
            return
        self._rebirth_at_s = loop.time() + _REBIRTH_S
        self._rebirth()

    def _rebirth(self) -> None:
        self._birth()
        self._fill_soon()

    def _later(self, delay_s: float, work: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            if not self._is_over:
                work()

        handle = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(handle)

    def urgent(self, message: Message) -> None:
        """Send before anything else that waits."""
        self._urgent.append(message)
        self._fill()

    def row(self, row: Row) -> None:
        """Send in its turn; rows that come together are gathered by device."""
        self._rows.append(row)
        self._fill_soon()

    def newest(self, readings: Sequence[Seen], seq: int) -> None:
        """Send before the rows that wait."""
        if len(self._newest) >= _NEWEST:
            self._counts["newest_left_out"] += len(readings)
            return
        self._newest.append(self._composer.newest(readings, seq, self._now_ms()))
        self._fill_soon()

    def stop(self) -> None:
        """Nothing more goes out: an NDEATH is the last word. What is under way may still be acknowledged."""
        self._is_over = True
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()

    def end(self, error: Exception) -> None:
        """The connection is gone: every row that waits hears of it."""
        self.stop()
        waiting = [each for _, jobs in (self._telling,) for each in jobs]
        waiting += [row.job for row in self._rows] + [job for each in self._urgent for job in each.jobs]
        self._urgent.clear()
        self._rows.clear()
        for job in waiting:
            job.end(error)

    # Filling the window

    def _fill_soon(self) -> None:
        if not self._is_filling and not self._is_over:
            self._is_filling = True
            asyncio.get_running_loop().call_soon(self._fill)

    def _fill(self) -> None:
        self._is_filling = False
        for _ in range(_A_TURN):
            if self._is_over or (not self._urgent and (self._unacked >= _MESSAGES or self.window.is_full)):
                return
            message = self._next()
            if message is None:
                self._catch_up_soon()
                return
            self._send(message)
        self._fill_soon()

    def _next(self) -> Message | None:
        if self._urgent:
            return self._urgent.popleft()
        message = next(self._births, None)
        if message is not None:
            return message
        while self._newest:
            message = next(self._newest[0], None)
            if message is not None:
                return message
            self._newest.popleft()
        while True:
            telling, jobs = self._telling
            message = next(telling, None)
            if message is not None:
                return message
            for job in jobs:
                job.told()
            if not self._rows:
                self._telling = (iter(()), ())
                return None
            self._telling = self._gather()

    def _gather(self) -> tuple[Iterator[Message], tuple[Job, ...]]:
        """The next rows, together: a device has one message for many of its values."""
        rows: list[Row] = []
        size = 0
        while self._rows and (not rows or size + len(self._rows[0].readings) <= _BATCH):
            rows.append(self._rows.popleft())
            size += len(rows[-1].readings)
        return self._told(rows), tuple(row.job for row in rows)

    def _told(self, rows: list[Row]) -> Iterator[Message]:
        """A row with a point for which there is no room fails alone."""
        try:
            yield from self._composer.rows(rows, self._now_ms())
        except TooManyStraysError as error:
            for row in rows:
                try:
                    yield from self._composer.rows([row], self._now_ms())
                except TooManyStraysError:
                    row.job.end(error)

    def _send(self, message: Message) -> asyncio.Future[None]:
        payload = message.payload
        payload.timestamp, payload.seq = self._now_ms(), self._seq
        self._seq = (self._seq + 1) % 256
        body: bytes = payload.SerializeToString()
        self._unacked += 1
        for job in message.jobs:
            job.sent()
        if message.verb == "NDATA":
            for job in message.jobs:
                job.told()
        sent = self.window.send(len(body) + _OVERHEAD, asyncio.get_running_loop().time())
        proof = self._publish(self._topic(message.verb, message.device), body)
        proof.add_done_callback(partial(self._taken, message.jobs, sent))
        return proof

    def _taken(self, jobs: tuple[Job, ...], sent: Sent, proof: asyncio.Future[None]) -> None:
        error = None if proof.cancelled() else proof.exception()
        self._unacked -= 1
        self.window.answered(sent, asyncio.get_running_loop().time())
        for job in jobs:
            if error is None and not proof.cancelled():
                job.acknowledged()
            else:
                job.end(error if isinstance(error, Exception) else ConnectionError("the session ended"))
        if error is None:
            self._fill_soon()

    def _catch_up_soon(self) -> None:
        if self._composer.is_behind and not self._is_catching_up:
            self._is_catching_up = True
            self._later(_CATCH_UP_S, self._catch_up)

    def _catch_up(self) -> None:
        self._is_catching_up = False
        self._newest.append(self._composer.catch_up(self._now_ms()))
        self._fill_soon()
