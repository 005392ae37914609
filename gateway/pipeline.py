"""The pipeline: one bounded inbox, the pure engine, one writer.

Inputs are stepped as soon as they are there; what the steps decided is committed in groups by one thread. While a
commit is under way the engine goes on with what arrives, so that a slow disk delays neither an alarm's evaluation
nor a safety command; everything else (receipts, replies, other commands, notices, screens) waits for the commit.

What a rule means, how a command reaches a device and what SQL is written belong to other rooms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import (
    Arrival,
    Command,
    CommandResult,
    DeviceStatus,
    Input,
    NoticeResult,
    Now,
    OperatorRequest,
    Reading,
    Reply,
    Step,
    Tick,
)
from gateway.store.journal import Batch

_BATCH_INPUTS = 256
_LANE_ARRIVALS = 20_000  # waiting in the readings lane
_LANE_MERGED = 20_000  # points whose newest reading waits beside a full lane
_PENDING_INPUTS = 50_000  # stepped but not on the disk: then stepping waits
_LAST_COMMIT_S = 5.0
_RETRY_S = (0.1, 0.3, 1.0, 2.0)  # pauses after a failed commit; the last repeats

_LONGEST_TIMER_S = 3600.0

_log = structlog.get_logger(__name__)

Group = list[tuple[Step, list[Arrival]]]


class Core(Protocol):
    """The pure engine."""

    def step(self, inputs: Sequence[Input], now: Now) -> Step:
        """Decide."""
        ...

    def next_wake(self) -> float | None:
        """The monotonic instant of the next timer."""
        ...


class Writer(Protocol):
    """The store: blocking, called from one thread."""

    def commit(self, batch: Batch) -> None:
        """Write it all or raise."""
        ...

    def trim(self, now: Now) -> int:
        """A bounded piece of housekeeping."""
        ...


class Inbox:
    """Two lanes. Requests and results are never dropped; readings are merged by point when their lane is full."""

    def __init__(self, counters: Counters, arrived: Callable[[], None]) -> None:
        """``arrived`` is called for everything that enters, and must be cheap."""
        self._counters = counters
        self._arrived = arrived
        self._control: deque[Input] = deque()
        self._readings: deque[Arrival] = deque()
        self._merged: dict[str, Reading | DeviceStatus] = {}

    def put(self, item: Input) -> None:
        """Add a request, a result or a tick. Their number is bounded by those who make them."""
        self._control.append(item)
        self._arrived()

    def deliver(self, arrival: Arrival) -> None:
        """Add what a driver read. Never blocks.

        An arrival with a receipt is always taken: the sender keeps it until it is acknowledged, and has a bounded
        number under way. Any other is merged when the lane is full: the newest reading of a point wins.
        """
        if len(self._readings) < _LANE_ARRIVALS or arrival.receipt is not None:
            self._readings.append(arrival)
        else:
            self._merge(arrival)
        self._arrived()

    def drain(self, limit: int) -> tuple[list[Input], list[Arrival]]:
        """At most ``limit`` requests and results, and arrivals of at most ``limit`` together (but at least one)."""
        control = [self._control.popleft() for _ in range(min(limit, len(self._control)))]
        arrivals: list[Arrival] = []
        readings = self._readings
        room = limit
        while readings and room > 0:
            arrival = readings.popleft()
            arrivals.append(arrival)
            room -= len(arrival.inputs) or 1
        if not readings and self._merged:
            arrivals.append(Arrival(tuple(self._merged.values())))
            self._merged = {}
        return control, arrivals

    def __len__(self) -> int:
        return len(self._control) + len(self._readings) + len(self._merged)

    def _merge(self, arrival: Arrival) -> None:
        for each in arrival.inputs:
            key = each.point_id if isinstance(each, Reading) else f"{each.device_id}/online"
            if key in self._merged:
                self._counters.count("inbox_merged")
            elif len(self._merged) >= _LANE_MERGED:
                self._counters.count("inbox_dropped")
                continue
            self._merged[key] = each


class Pipeline:
    """The single-writer loop: callbacks of the event loop, so that an alarm costs no task switch."""

    def __init__(
        self,
        core: Core,
        writer: Writer,
        clock: Clock,
        counters: Counters,
        *,
        executor: Executor,
        act: Callable[[Sequence[Command]], None],
        publish: Callable[[Step], None],
    ) -> None:
        """Wire the loop.

        ``executor`` is the writer's one thread; ``act`` carries out safety commands at the decision; ``publish`` gets
        every step after its commit.
        """
        self.inbox = Inbox(counters, self._wake)
        self._core = core
        self._writer = writer
        self._clock = clock
        self._counters = counters
        self._executor = executor
        self._act = act
        self._publish = publish
        self._pending: list[tuple[Step, list[Arrival]]] = []  # stepped, not yet being committed
        self._pending_inputs = 0
        self._committing_inputs = 0
        self._requests: dict[str, tuple[OperatorRequest, asyncio.Future[Reply]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # None until `run`: inputs wait in the inbox
        self._failed: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()  # nothing is being committed
        self._idle.set()
        self._is_turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self.is_storing = True  # False while the disk refuses

    async def submit(self, request: OperatorRequest) -> Reply:
        """An operator's request; answers after the commit."""
        known = self._requests.get(request.id)
        if known is not None:
            return await asyncio.shield(known[1])
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._requests[request.id] = request, future
        self.inbox.put(request)
        return await asyncio.shield(future)

    async def run(self) -> None:
        """Step and commit until cancelled; what was stepped by then is still committed."""
        self._loop = asyncio.get_running_loop()
        self._failed = self._loop.create_future()
        self._set_timer()
        self._wake()
        try:
            await self._failed  # a broken invariant crashes
        finally:
            self._loop = None  # no further step
            if self._timer is not None:
                self._timer.cancel()
            await self._finish()

    async def _finish(self) -> None:
        """The last commit, if the disk takes it in time."""
        try:
            async with asyncio.timeout(_LAST_COMMIT_S):
                await self._idle.wait()
                if self._pending:
                    self._commit_next()
                    await self._idle.wait()
        except TimeoutError:
            _log.error("last_commit_missed", note="the devices' messages were not acknowledged: they come again")

    def _wake(self) -> None:
        if not self._is_turn_due and self._loop is not None:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Step one batch, then let the sockets have their turn."""
        self._is_turn_due = False
        if self._loop is None or self._pending_inputs + self._committing_inputs >= _PENDING_INPUTS:
            return  # the end of a commit wakes us
        try:
            self._step(*self.inbox.drain(_BATCH_INPUTS))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits `run`
            self._fail(error)
            return
        if len(self.inbox):
            self._wake()

    def _step(self, control: list[Input], arrivals: list[Arrival]) -> None:
        inputs: list[Input] = control
        for arrival in arrivals:
            inputs += arrival.inputs
        step = self._core.step(inputs, self._clock.now())
        safety = [each for each in step.commands if each.is_safety]
        if safety:
            self._act(safety)
        step.results += [each for each in control if isinstance(each, CommandResult | NoticeResult)]
        self._pending.append((step, arrivals))
        self._pending_inputs += len(inputs)
        self._set_timer()
        if self._idle.is_set():
            self._commit_next()

    def _set_timer(self) -> None:
        """Be woken when the core's next timer is due."""
        wake_s = self._core.next_wake()
        wake_s = float("inf") if wake_s is None else wake_s
        if wake_s == self._timer_s or self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_s = wake_s
        if wake_s < float("inf"):
            delay_s = max(0.0, wake_s - self._clock.now().mono_s)
            self._timer = self._loop.call_later(min(delay_s, _LONGEST_TIMER_S), self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        self.inbox.put(Tick())

    def _commit_next(self) -> None:
        """Hand everything that was stepped to the writer's thread, as one transaction."""
        group, self._pending = self._pending, []
        self._committing_inputs, self._pending_inputs = self._pending_inputs, 0
        batch = self._batch(group)
        if batch is None:
            self._committing_inputs = 0
            self._settle(group)
        else:
            self._idle.clear()
            self._commit(batch, group, attempt=0)

    def _batch(self, group: Group) -> Batch | None:
        """What to write; None where nothing happened that is worth a commit."""
        batch = Batch()
        for step, arrivals in group:
            batch.steps.append(step)
            batch.digests += [arrival.digest for arrival in arrivals if arrival.digest]
            for reply in step.replies:
                batch.requests[reply.request_id] = self._requests[reply.request_id][0]
        is_empty = not batch.digests and not any(
            step.readings or step.events or step.commands or step.notices or step.replies or step.timers or step.results
            for step in batch.steps
        )
        return None if is_empty else batch

    def _commit(self, batch: Batch, group: Group, attempt: int) -> None:
        loop = asyncio.get_running_loop()
        work = self._executor.submit(self._writer.commit, batch)
        work.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._committed, batch, group, attempt, done.exception())
        )

    def _committed(self, batch: Batch, group: Group, attempt: int, error: BaseException | None) -> None:
        """Go on after a commit; after a refusal try again until it is on the disk: nothing is acknowledged before."""
        if error is not None:
            self._counters.count("commit_failures")
            if self.is_storing:
                _log.error("store_failed", error=str(error), fix="free disk space or replace the disk")
            self.is_storing = False
            pause_s = _RETRY_S[min(attempt, len(_RETRY_S) - 1)]
            asyncio.get_running_loop().call_later(pause_s, self._commit, batch, group, attempt + 1)
            return
        if not self.is_storing:
            _log.info("store_recovered")
        self.is_storing = True
        self._counters.counts["commits", ()] += 1
        self._committing_inputs = 0
        self._idle.set()
        if self._pending and self._loop is not None:
            self._commit_next()
        try:
            self._settle(group)
        except Exception as broken:  # noqa: BLE001 - handed to whoever awaits `run`
            self._fail(broken)
        self._wake()

    def _settle(self, group: Group) -> None:
        """What waited for the disk: receipts, replies, and everything that others see."""
        for step, arrivals in group:
            for arrival in arrivals:
                if arrival.receipt is not None:
                    arrival.receipt()
            for reply in step.replies:
                _, future = self._requests.pop(reply.request_id)
                if not future.done():
                    future.set_result(reply)
            self._publish(step)

    def _fail(self, error: Exception) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def trim_forever(self, interval_s: float) -> None:
        """Housekeeping in the writer's thread, a bounded piece at a time."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(interval_s)
            try:
                dropped = await loop.run_in_executor(self._executor, self._writer.trim, self._clock.now())
            except Exception as error:  # noqa: BLE001 - housekeeping must not stop the gateway
                self._counters.count("trim_failures")
                _log.warning("trim_failed", error=str(error))
            else:
                if dropped:
                    self._counters.count("outbox_dropped_readings", dropped)
