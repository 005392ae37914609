"""Room: notify. Turns at one provider: so many at once, so many a minute, life safety first.

What is said, and to whom, is not known here. Time is the event loop's.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.notify.channels.base import Limit, NeverError

_MOST_WAITING = 1_000
_LONGEST_WAIT_S = 300.0
_MINUTE_S = 60.0
_RESERVE = 0.5  # of the turns of a minute: kept for life safety
_LONG_QUEUE = 4  # urgent ones that wait where there is no limit by the minute


class Gate:
    """The turns at one provider. What is urgent never waits behind what is not, and has turns of its own."""

    def __init__(self, limit: Limit, longest_wait_s: float = _LONGEST_WAIT_S) -> None:
        self._limit = limit
        self._longest_wait_s = longest_wait_s
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []  # a heap: urgent first, then by age
        self._arrivals = 0
        self._under_way = 0
        self._begun_s: deque[float] = deque()  # of the turns of the last minute
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Does nobody wait or have a turn, and is the minute over?"""
        now_s = asyncio.get_running_loop().time()
        is_fresh = bool(self._begun_s) and self._begun_s[-1] > now_s - _MINUTE_S
        return not (self._waiting or self._under_way or is_fresh)

    @property
    def holds_urgent(self) -> bool:
        """Would one more urgent visitor be held back: until another minute, or behind a queue of its like?"""
        urgent = sum(not is_ordinary for is_ordinary, _, _ in self._waiting)
        if not self._limit.per_minute:
            return urgent >= _LONG_QUEUE
        self._forget_minute(asyncio.get_running_loop().time())
        return len(self._begun_s) + urgent >= self._limit.per_minute

    @asynccontextmanager
    async def turn(self, *, is_urgent: bool) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises:
            NeverError: too many wait, or it took too long.
        """
        await self._enter(is_urgent=is_urgent)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, *, is_urgent: bool) -> None:
        if len(self._waiting) >= _MOST_WAITING and not (is_urgent and self._turn_away()):
            raise _too_many()
        ticket = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        entry = (not is_urgent, self._arrivals, ticket)
        heapq.heappush(self._waiting, entry)
        self._admit()
        try:
            async with asyncio.timeout(self._longest_wait_s):
                await ticket
        except BaseException as error:
            if ticket.done() and not ticket.cancelled() and ticket.exception() is None:
                self._leave()  # admitted in the same instant in which it gave up
            elif entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            if isinstance(error, TimeoutError):
                raise NeverError(
                    f"{self._longest_wait_s:g} 秒内没有轮到:消息太多",
                    f"no turn within {self._longest_wait_s:g} s: too many messages for this provider",
                ) from None
            raise

    def _turn_away(self) -> bool:
        """Make room for an urgent one: the ordinary one that came last goes."""
        last = max(self._waiting)
        if not last[0]:
            return False
        self._waiting.remove(last)
        heapq.heapify(self._waiting)
        if not last[2].done():
            last[2].set_exception(_too_many())
        return True

    def _leave(self) -> None:
        self._under_way -= 1
        self._admit()

    def _admit(self) -> None:
        """Let in whoever may enter now, and wake up when the next one may."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            is_ordinary, _, ticket = self._waiting[0]
            if self._under_way >= self._width(is_ordinary=is_ordinary):
                return  # whoever leaves asks again
            wait_s = self._wait_s(loop.time(), is_ordinary=is_ordinary)
            if wait_s > 0:
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = loop.call_later(wait_s, self._admit)
                return
            heapq.heappop(self._waiting)
            if ticket.done():
                continue
            self._under_way += 1
            if self._limit.per_minute:
                self._begun_s.append(loop.time())
            ticket.set_result(None)

    def _width(self, *, is_ordinary: bool) -> int:
        return max(1, self._limit.width - 1) if is_ordinary else self._limit.width

    def _wait_s(self, now_s: float, *, is_ordinary: bool) -> float:
        if not self._limit.per_minute:
            return 0.0
        self._forget_minute(now_s)
        most = int(self._limit.per_minute * _RESERVE) if is_ordinary else self._limit.per_minute
        if len(self._begun_s) < most:
            return 0.0
        return self._begun_s[len(self._begun_s) - most] + _MINUTE_S - now_s

    def _forget_minute(self, now_s: float) -> None:
        while self._begun_s and self._begun_s[0] <= now_s - _MINUTE_S:
            self._begun_s.popleft()


def _too_many() -> NeverError:
    return NeverError("等待发送的消息太多", f"{_MOST_WAITING} messages wait already: check the provider")
