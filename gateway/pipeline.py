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

_log = structlog.get_logger(__name__)


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

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._control: deque[Input] = deque()
        self._readings: deque[Arrival] = deque()
        self._merged: dict[str, Reading | DeviceStatus] = {}
        self.arrived = asyncio.Event()

    def put(self, item: Input) -> None:
        """Add a request, a result or a tick. Their number is bounded by those who make them."""
        self._control.append(item)
        self.arrived.set()

    def deliver(self, arrival: Arrival) -> None:
        """Add what a driver read. Never blocks.

        An arrival with a receipt is always taken: the sender keeps it until it is acknowledged, and has a bounded
        number under way. Any other is merged when the lane is full: the newest reading of a point wins.
        """
        if len(self._readings) < _LANE_ARRIVALS or arrival.receipt is not None:
            self._readings.append(arrival)
        else:
            self._merge(arrival)
        self.arrived.set()

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
        if not (self._control or readings):
            self.arrived.clear()
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
    """The single-writer loop."""

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
        self.inbox = Inbox(counters)
        self._core = core
        self._writer = writer
        self._clock = clock
        self._counters = counters
        self._act = act
        self._publish = publish
        self._pending: list[tuple[Step, list[Arrival]]] = []
        self._pending_inputs = 0
        self._committing_inputs = 0
        self._requests: dict[str, tuple[OperatorRequest, asyncio.Future[Reply]]] = {}
        self._executor = executor
        self._stepped = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_stopping = False
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
        committer = asyncio.create_task(self._commit_forever(), name="committer")
        stepper = asyncio.create_task(self._step_forever(), name="stepper")
        try:
            done, _ = await asyncio.wait([committer, stepper], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a broken invariant crashes
        finally:
            stepper.cancel()
            self._is_stopping = True
            self._stepped.set()
            await asyncio.wait([committer], timeout=_LAST_COMMIT_S)
            committer.cancel()
            await asyncio.gather(stepper, committer, return_exceptions=True)

    async def _step_forever(self) -> None:
        while True:
            await self._wait()
            if not self._room.is_set():
                await self._room.wait()
            control, arrivals = self.inbox.drain(_BATCH_INPUTS)
            self._step(control, arrivals)
            await asyncio.sleep(0)  # the sockets get their turn between batches

    async def _wait(self) -> None:
        """Until there is an input or a timer is due."""
        wake_s = self._core.next_wake()
        if self.inbox.arrived.is_set():
            return
        if wake_s is None:
            await self.inbox.arrived.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, wake_s - self._clock.now().mono_s)):
                await self.inbox.arrived.wait()
        except TimeoutError:
            self.inbox.put(Tick())

    def _step(self, control: list[Input], arrivals: list[Arrival]) -> None:
        inputs: list[Input] = control
        for arrival in arrivals:
            inputs += arrival.inputs
        now = self._clock.now()
        step = self._core.step(inputs, now)
        safety = [each for each in step.commands if each.is_safety]
        if safety:
            self._act(safety)
        step.results += [each for each in control if isinstance(each, CommandResult | NoticeResult)]
        self._pending.append((step, arrivals))
        self._pending_inputs += len(inputs)
        if self._pending_inputs + self._committing_inputs >= _PENDING_INPUTS:
            self._room.clear()
        self._stepped.set()

    async def _commit_forever(self) -> None:
        while not self._is_stopping or self._pending:
            await self._stepped.wait()
            self._stepped.clear()
            group, self._pending = self._pending, []
            self._committing_inputs, self._pending_inputs = self._pending_inputs, 0
            batch = self._batch(group)
            if batch is not None:
                await self._commit(batch)
            self._committing_inputs = 0
            self._room.set()
            self._committed(group)

    def _batch(self, group: list[tuple[Step, list[Arrival]]]) -> Batch | None:
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

    async def _commit(self, batch: Batch) -> None:
        """Try until it is on the disk: nothing is acknowledged before."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                await loop.run_in_executor(self._executor, self._writer.commit, batch)
            except Exception as error:  # noqa: BLE001 - whatever the disk says, the alarm must not be lost
                self._counters.count("commit_failures")
                if self.is_storing:
                    _log.error("store_failed", error=str(error), fix="free disk space or replace the disk")
                self.is_storing = False
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                if not self.is_storing:
                    _log.info("store_recovered")
                self.is_storing = True
                self._counters.count("commits")
                return

    def _committed(self, group: list[tuple[Step, list[Arrival]]]) -> None:
        for step, arrivals in group:
            for arrival in arrivals:
                if arrival.receipt is not None:
                    arrival.receipt()
            for reply in step.replies:
                _, future = self._requests.pop(reply.request_id)
                if not future.done():
                    future.set_result(reply)
            self._publish(step)

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
