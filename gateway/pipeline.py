"""The pipeline: one bounded inbox, the pure engine, one writer.

Inputs are stepped as soon as they are there; what the steps decided is committed in groups by one thread. While a
commit is under way the engine goes on with what arrives, so that a slow disk delays neither an alarm's evaluation
nor a safety command; everything else (receipts, replies, other commands, notices, screens) waits for the commit.

What a rule means, how a command reaches a device and what SQL is written belong to other rooms.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.inbox import Inbox
from gateway.model import (
    Arrival,
    Command,
    CommandResult,
    Input,
    NoticeResult,
    Now,
    OperatorRequest,
    Reply,
    Step,
    Tick,
)
from gateway.shedding import Group, Stepped, first_group, must_be_kept, relieve, shed
from gateway.store.database import is_damage
from gateway.store.journal import Batch
from gateway.writing import Writer, trim_forever

_BATCH_INPUTS = 256
_PENDING_STEPS = 2_000  # stepped but not on the disk: then stepping waits
_BULK_STEPS = 4  # stepped but not on the disk: with more of them a flood of device states waits, and nothing else
_REMEMBERED_REPLIES = 1_000
_LAST_COMMIT_S = 5.0
_STALL_S = 3.0  # a commit that takes longer is taken for a disk that refuses, until it returns
_RETRY_S = (0.1, 0.3, 1.0, 2.0)  # pauses after a failed commit; the last repeats

_LONGEST_TIMER_S = 3600.0

_log = structlog.get_logger(__name__)


Act = Callable[[Sequence[Command], Now], None]


class Core(Protocol):
    """The pure engine."""

    def step(self, inputs: Sequence[Input], now: Now, act: Act) -> Step:
        """Decide; ``act`` carries out safety commands at once."""
        ...

    def next_wake(self) -> float | None:
        """The monotonic instant of the next timer."""
        ...


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
        act: Act,
        publish: Callable[[Step], None],
        keeps: Container[str] = (),
        stall_s: float = _STALL_S,
    ) -> None:
        """Wire the loop.

        ``executor`` is the writer's one thread; ``act`` carries out safety commands at the decision; ``publish`` gets
        every step after its commit (at once while the disk refuses); ``keeps``: points whose readings are never merged;
        ``stall_s``: after so long a commit counts as refused, until it returns.
        """
        self.inbox = Inbox(counters, self._wake, keeps)
        self._core = core
        self._writer = writer
        self._clock = clock
        self._counters = counters
        self._executor = executor
        self._act = act
        self._publish = publish
        self._pending: Group = []  # stepped, not yet being committed
        self._alone = 0  # how many of them to commit one by one
        self._attempt = 0
        self._answered: OrderedDict[str, Reply] = OrderedDict()
        self._requests: dict[str, tuple[OperatorRequest, asyncio.Future[Reply]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # None until `run`: inputs wait in the inbox
        self._failed: asyncio.Future[None] | None = None
        self._stall_s = stall_s
        self._writing: Group = []  # with the writer's thread
        self._watchdog: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()  # nothing is being committed
        self._idle.set()
        self._is_turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self.is_storing = True  # False while the disk refuses
        self.strained: Callable[[bool], None] = lambda _is_strained: None  # so much waits that brokers may stop
        self._is_strained = False
        self._is_over = False
        self._has_ruins = False  # the database is damaged

    async def submit(self, request: OperatorRequest) -> Reply:
        """An operator's request; answers after the commit. Raises TimeoutError where the gateway stops before."""
        if request.id in self._answered:
            return self._answered[request.id]
        known = self._requests.get(request.id)
        if known is not None:
            return await asyncio.shield(known[1])
        if self._is_over:
            raise TimeoutError("the gateway is stopping")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        request = request.taken_in(self._clock.now())
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
            try:
                await self._finish()
            finally:
                self._refuse_waiting()

    async def _finish(self) -> None:
        """The last commit, if the disk takes it in time."""
        try:
            async with asyncio.timeout(_LAST_COMMIT_S):
                while not self._has_ruins and (
                    self._pending or not self._idle.is_set()
                ):  # one commit's end begins the next
                    self._commit_next()
                    await self._idle.wait()
        except TimeoutError:
            _log.error("last_commit_missed", note="the devices' messages were not acknowledged: they come again")

    def _refuse_waiting(self) -> None:
        """Nobody decides on these requests any more: who asks must not wait for an answer."""
        self._is_over = True
        for _, future in self._requests.values():
            if not future.done():
                future.set_exception(TimeoutError("the gateway is stopping"))
                future.exception()  # retrieved, also where nobody waits any more

    async def write_last(self) -> None:
        """After `run`: put on record what channels have said since, so that a good stop makes nobody hear it twice.

        Ends of commands and failures are not among it: what follows from them is decided after the start, when they
        come again.
        """
        control, _ = self.inbox.drain(len(self.inbox))
        results = [each for each in control if isinstance(each, NoticeResult) and each.is_accepted]
        if results and self.is_storing:
            batch = Batch([Step(self._clock.now(), results=[*results])])
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._writer.commit, batch)
            except Exception as error:  # noqa: BLE001 - the stop goes on
                _log.warning("last_results_not_stored", error=str(error), note="their notices will be sent again")

    def _wake(self) -> None:
        if not self._is_turn_due and self._loop is not None:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Step one batch, then let the sockets have their turn."""
        self._is_turn_due = False
        takes_bulk = not self.is_storing or len(self._pending) < _BULK_STEPS
        if self._loop is None or not self.inbox.has_any(bulk=takes_bulk) or len(self._pending) >= _PENDING_STEPS:
            return  # whatever arrives, and the end of a commit, wakes us
        try:
            self._step(*self.inbox.drain(_BATCH_INPUTS, bulk=takes_bulk))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits `run`
            self._fail(error)
            return
        if len(self.inbox):
            self._wake()

    def _step(self, control: list[Input], arrivals: list[Arrival]) -> None:
        inputs: list[Input] = control
        for arrival in arrivals:
            inputs += arrival.inputs
        step = self._core.step(inputs, self._clock.now(), self._act)
        step.results += [each for each in control if isinstance(each, CommandResult | NoticeResult)]
        self._pending.append(Stepped(step, arrivals, len(inputs)))
        self._set_timer()
        if not self.is_storing:
            self._shed()
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
        """Hand what was stepped to the writer's thread, as one transaction; what is worth none is settled at once."""
        while self._pending and self._idle.is_set():
            count = 1 if self._alone else first_group(self._pending)
            group, self._pending = self._pending[:count], self._pending[count:]
            self._alone = max(0, self._alone - count)
            batch = self._batch(group)
            if batch is None:
                self._settle(group)
            else:
                self._idle.clear()
                loop = asyncio.get_running_loop()
                self._writing = group
                self._watchdog = loop.call_later(self._stall_s, self._stalled)
                self._executor.submit(self._writer.commit, batch).add_done_callback(
                    partial(_call_back, loop, self._committed, group)
                )

    def _batch(self, group: Group) -> Batch | None:
        """What to write; None where nothing happened that is worth a commit."""
        batch = Batch()
        for each in group:
            batch.steps.append(each.step)
            batch.digests += [arrival.digest for arrival in each.arrivals if arrival.digest]
            for reply in each.step.replies:
                batch.requests[reply.request_id] = self._requests[reply.request_id][0]
        is_empty = not batch.digests and not any(step.readings or must_be_kept(step) for step in batch.steps)
        return None if is_empty else batch

    def _committed(self, group: Group, error: BaseException | None) -> None:
        """Go on after a commit. What others see of it comes before anything that was stepped later."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._writing = []
        self._idle.set()
        try:
            if error is None:
                self._stored()
                self._settle(group)
            elif self._writer.is_passing(error):
                self._refused(group, error)
                return
            elif len(group) > 1:
                self._pending = group + self._pending
                self._alone = len(group)  # one of them cannot be written: find out which
            else:
                self._counters.count("steps_not_stored", reason="broken")
                _log.error("step_not_stored", note="one batch could not be written and was left out", exc_info=error)
                self._settle(group)
            self._commit_next()
        except Exception as broken:  # noqa: BLE001 - handed to whoever awaits `run`
            self._fail(broken)
        self._wake()

    def _stored(self) -> None:
        if not self.is_storing:
            _log.info("store_recovered")
        self.is_storing, self._attempt = True, 0
        self._strain(False)
        self._counters.counts["commits", ()] += 1

    def _stalled(self) -> None:
        """The disk hangs: what is being written stays with it, everything else goes on as when it refuses."""
        self._counters.count("commit_stalls")
        if self.is_storing:
            _log.error("store_stalled", after_s=self._stall_s, fix="the disk does not answer: check or replace it")
        self.is_storing = False
        for each in self._writing:
            self._show(each)
        self._shed()
        self._wake()

    def _is_ruined(self, error: BaseException) -> bool:
        """Is the file damaged? No try will succeed: whoever runs us mends it, and has `left` written first."""
        if is_damage(error):
            self._has_ruins = True
            self._fail(error)
        return self._has_ruins

    def left(self) -> Batch | None:
        """What was stepped and never stored; None where that is nothing."""
        return self._batch(self._pending) if self._pending else None

    def _refused(self, group: Group, error: BaseException) -> None:
        """The disk is full, read-only or broken: nothing is acknowledged, but people see alarms and things act."""
        self._counters.count("commit_failures")
        if self.is_storing:
            _log.error("store_failed", error=str(error), fix="free disk space or replace the disk")
        self.is_storing = False
        self._pending = group + self._pending
        self._shed()
        if self._is_ruined(error):
            return
        pause_s = _RETRY_S[min(self._attempt, len(_RETRY_S) - 1)]
        self._attempt += 1
        self._idle.clear()  # nobody else commits until then
        asyncio.get_running_loop().call_later(pause_s, self._retry)

    def _retry(self) -> None:
        self._idle.set()
        self._commit_next()
        self._wake()

    def _shed(self) -> None:
        """While the disk refuses: show what was stepped, keep what must be kept, leave no broker with a full window."""
        for each in self._pending:
            self._show(each)
        self._pending = shed(self._pending, self._counters)
        self._strain(relieve([*self._writing, *self._pending]))

    def _strain(self, is_strained: bool) -> None:  # noqa: FBT001 - a state
        if is_strained is not self._is_strained:
            self._is_strained = is_strained
            self.strained(is_strained)

    def _settle(self, group: Group) -> None:
        """What waited for the disk: receipts, replies, and everything that others see."""
        for each in group:
            for arrival in each.arrivals:
                if arrival.receipt is not None:
                    arrival.receipt()
            for reply in each.step.replies:
                self._answer(reply)
            self._show(each)

    def _answer(self, reply: Reply) -> None:
        self._answered[reply.request_id] = reply
        if len(self._answered) > _REMEMBERED_REPLIES:
            self._answered.popitem(last=False)
        _, future = self._requests.pop(reply.request_id)
        if not future.done():
            future.set_result(reply)

    def _show(self, stepped: Stepped) -> None:
        if not stepped.is_shown:
            stepped.is_shown = True
            self._publish(stepped.step)

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def trim_forever(self, interval_s: float) -> None:
        """Housekeeping in the writer's thread, a bounded piece at a time."""
        await trim_forever(
            self._writer, self._executor, self._clock, self._counters, interval_s=interval_s, failed=self._is_ruined
        )


def _call_back(
    loop: asyncio.AbstractEventLoop,
    then: Callable[[Group, BaseException | None], None],
    group: Group,
    done: Future[None],
) -> None:
    """From the writer's thread back to the loop."""
    loop.call_soon_threadsafe(then, group, done.exception())
