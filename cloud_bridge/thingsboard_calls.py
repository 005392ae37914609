"""Calls of a ThingsBoard carried to the gateway, a bounded number at a time, and answered. What they say: `rpc`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cloud_bridge import thingsboard_rpc as rpc
from cloud_bridge.ask import MAX_OPEN, PER_S, Answer, Ask, Code, not_done
from cloud_bridge.pace import RateLimit
from cloud_bridge.thingsboard_encode import Encoder, Publication
from gateway.clock import Clock

_MOST = MAX_OPEN  # calls without an answer
_SPARE_S = 5.0  # the gateway keeps the deadline; this only ends a wait that it forgot


class Calls:
    """The calls of one uplink."""

    def __init__(
        self,
        encoder: Encoder,
        ask: Ask,
        send: Callable[[Publication], object],
        default_s: float,
        clock: Clock,
    ) -> None:
        """``default_s``: the deadline of a call that names none."""
        self._encoder = encoder
        self._ask = ask
        self._send = send
        self._default_s = default_s
        self._clock = clock
        self._pace = RateLimit(2 * PER_S, clock.now().mono_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = {"calls": 0, "calls_refused": 0, "calls_unreadable": 0, "calls_dropped": 0}

    def take(self, topic: str, payload: bytes, session: rpc.Session, *, is_retained: bool) -> None:
        """A call has come. Beyond the pace calls get no answer either: a flood must not fill the way up."""
        call = rpc.read(topic, payload)
        if call is None:
            self.counts["calls_unreadable"] += 1
            return
        if not self._pace.allowance(self._clock.now().mono_s, 1):
            self.counts["calls_dropped"] += 1
            return
        self._pace.spend(1)
        self.counts["calls"] += 1
        if is_retained:
            self._answered(call, not_done(Code.INVALID, why="retained: it would be told again at every session"))
            return
        if len(self._tasks) >= _MOST:
            self._answered(call, not_done(Code.BUSY))
            return
        task = asyncio.create_task(self._answer(call, session), name=f"call {call.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: rpc.Call, session: rpc.Session) -> None:
        device_id = self._encoder.device_id(call.device) if call.device else ""
        if device_id is None:
            self._answered(call, not_done(Code.INVALID, why="no such device"))
            return
        try:
            request = rpc.request(call, device_id, session, self._clock.now())
        except rpc.WrongCallError as error:
            self._answered(call, not_done(Code.INVALID, why=str(error)))
            return
        try:
            async with asyncio.timeout(_patience_s(request.expires_in_s, self._default_s)):
                answer = await self._ask(request)
        except TimeoutError:
            answer = not_done(Code.NO_ANSWER)
        self._answered(call, answer)

    def _answered(self, call: rpc.Call, answer: Answer) -> None:
        if not answer.is_accepted:
            self.counts["calls_refused"] += 1
        self._send(rpc.reply(call, rpc.words(answer)))

    async def close(self) -> None:
        """Nobody waits for the answers any more; what was asked is the gateway's."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _patience_s(expires_in_s: float | None, default_s: float) -> float:
    return max(default_s if expires_in_s is None else expires_in_s, 0.0) + _SPARE_S
