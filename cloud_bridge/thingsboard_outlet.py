"""Messages on their way to one ThingsBoard: its window and rates are kept, alarms go past the queue.

One outlet is one session. What a row is and when it is settled belongs to the uplink.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cloud_bridge.narrow import Sent, Window
from cloud_bridge.thingsboard_encode import OWN_TELEMETRY, TELEMETRY, Publication
from cloud_bridge.thingsboard_limits import Limits, Pace

_TELEMETRY = frozenset({TELEMETRY, OWN_TELEMETRY})

_MOST_BYTES = 1_000_000  # on the way on the best of lines
_OVERHEAD = 40  # of a PUBLISH, beside its topic and payload
_LOOK_S = 0.05

Publish = Callable[[Publication], asyncio.Future[None]]


class _Queued(NamedTuple):
    begin: Callable[[], None]  # what must be said before it
    message: Publication
    points: int
    future: asyncio.Future[None]


class Outlet:
    """What has been published and not acknowledged, and what waits for its turn."""

    def __init__(self, publish: Publish, window: int, limits: Limits) -> None:
        self._publish = publish
        self._window = window
        self.line = Window(_MOST_BYTES)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Queued] = deque()
        self._open: dict[asyncio.Future[None], float] = {}  # published when, oldest first
        self._timer: asyncio.TimerHandle | None = None
        self.limit(limits)

    def limit(self, limits: Limits) -> None:
        """The platform has said what it takes."""
        now_s = self._loop.time()
        self._window = min(self._window, limits.in_flight or self._window)
        self._messages = Pace(limits.messages, now_s)
        self._telemetry = Pace(limits.telemetry, now_s)
        self._points = Pace(limits.points, now_s)

    @property
    def waiting(self) -> int:
        """Messages whose turn has not come."""
        return len(self._queue)

    def oldest_s(self) -> float:
        """For how long the oldest message has had no PUBACK."""
        return self._loop.time() - next(iter(self._open.values()), self._loop.time())

    def wait_s(self) -> float:
        """Seconds until the line and the platform's limits let one more message go that is no telemetry."""
        return max(self._messages.wait_s(self._loop.time()), _LOOK_S if self.line.is_full else 0.0)

    def say(self, message: Publication, points: int = 1) -> asyncio.Future[None]:
        """Publish now, whatever waits."""
        now_s = self._loop.time()
        if message.topic in _TELEMETRY:
            self._telemetry.spend(now_s)
            self._points.spend(now_s, points)
        else:
            self._messages.spend(now_s)
        ack = self._publish(message)
        self._open[ack] = now_s
        sent = self.line.send(_size(message), now_s)
        ack.add_done_callback(partial(self._acknowledged, sent))
        return ack

    def queue(self, begin: Callable[[], None], message: Publication, points: int) -> asyncio.Future[None]:
        """Publish when its turn comes; ``begin`` is called right before."""
        future: asyncio.Future[None] = self._loop.create_future()
        future.add_done_callback(_retrieve)
        self._queue.append(_Queued(begin, message, points, future))
        self._drain()
        return future

    def close(self, error: Exception) -> None:
        """The session has ended: nothing that waits will go."""
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            future = self._queue.popleft().future
            if not future.done():
                future.set_exception(error)

    def _acknowledged(self, sent: Sent, ack: asyncio.Future[None]) -> None:
        self._open.pop(ack, None)
        self.line.answered(sent, self._loop.time())
        self._drain()

    def _drain(self) -> None:
        while self._queue and len(self._open) < self._window and not self.line.is_full:
            first = self._queue[0]
            wait_s = self._wait_s(first)
            if wait_s > 0:
                if self._timer is None:
                    self._timer = self._loop.call_later(wait_s, self._due)
                return
            self._queue.popleft()
            first.begin()
            self.say(first.message, first.points).add_done_callback(partial(_pass_on, first.future))

    def _due(self) -> None:
        self._timer = None
        self._drain()

    def _wait_s(self, next_: _Queued) -> float:
        now_s = self._loop.time()
        if next_.message.topic not in _TELEMETRY:
            return self._messages.wait_s(now_s)
        return max(self._telemetry.wait_s(now_s), self._points.wait_s(now_s, next_.points))


def _size(message: Publication) -> int:
    return len(message.topic) + len(message.payload) + _OVERHEAD


def _retrieve(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()


def _pass_on(to: asyncio.Future[None], ack: asyncio.Future[None]) -> None:
    if to.done():
        return
    error = ack.exception()
    if error is None:
        to.set_result(None)
    else:
        to.set_exception(error)
