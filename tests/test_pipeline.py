"""The pipeline: nothing is acknowledged before the disk has it, nothing is lost when the disk refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Actor,
    Arrival,
    Command,
    Input,
    Lane,
    Now,
    OperatorRequest,
    Reading,
    Reply,
    Step,
    Tick,
    Verb,
)
from gateway.pipeline import Inbox, Pipeline
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import OutboxReader
from tests.support_core import now, reading, until


class Echo:
    """A core that passes readings on, answers requests, and commands a siren for every True."""

    def __init__(self) -> None:
        self.wake_s: float | None = None
        self.ticks = 0
        self.batches: list[int] = []

    def step(self, inputs: Sequence[Input], now: Now) -> Step:
        step = Step(now)
        self.batches.append(len(inputs))
        for each in inputs:
            if isinstance(each, Reading):
                step.readings.append(each)
                if each.value is True:
                    step.commands.append(_siren(len(self.batches), now))
            elif isinstance(each, OperatorRequest):
                step.replies.append(Reply(each.id, is_accepted=True, version=2))
            elif isinstance(each, Tick):
                self.ticks += 1
                self.wake_s = None
        return step

    def next_wake(self) -> float | None:
        return self.wake_s


class SlowDisk:
    """The real journal behind a disk that can be made to hang or to refuse."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.may_go = threading.Event()
        self.may_go.set()
        self.refusals = 0
        self.is_waiting = False

    def commit(self, batch: Batch) -> None:
        self.is_waiting = True
        assert self.may_go.wait(10)
        self.is_waiting = False
        if self.refusals:
            self.refusals -= 1
            raise OSError("database or disk is full")
        self._journal.commit(batch)

    def trim(self, now: Now) -> int:
        return self._journal.trim(now)


def _siren(number: int, now: Now) -> Command:
    return Command(f"c{number}", "siren/on", True, SYSTEM, "a", now.utc + timedelta(seconds=5), is_safety=True)


class Rig:
    def __init__(self, directory: Path) -> None:
        self.core = Echo()
        self.disk = SlowDisk(Journal(str(directory), ("platform",), 10_000_000))
        self.counters = Counters()
        self.acted: list[Command] = []
        self.published: list[Step] = []
        self.outbox = OutboxReader(str(directory))
        self.pipeline = Pipeline(
            self.core, self.disk, SystemClock(), self.counters,
            executor=ThreadPoolExecutor(1), act=self.acted.extend, publish=self.published.append,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Pipeline]:
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield self.pipeline
        finally:
            self.disk.may_go.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def arrival(value: float | bool, receipt: Callable[[], None] | None = None) -> Arrival:
    return Arrival((reading(value=value),), receipt, b"12345678" if receipt else b"")


async def test_receipt_comes_after_the_commit(tmp_path: Path) -> None:
    """A device's message is acknowledged only when the outbox on the disk holds its reading."""
    rig = Rig(tmp_path)
    held: list[int] = []
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(1.0, lambda: held.append(rig.outbox.last_seq(Lane.TELEMETRY))))
        await until(lambda: rig.disk.is_waiting)
        assert held == []
        rig.disk.may_go.set()
        await until(lambda: len(held) == 1)
    assert held == [1]


async def test_safety_command_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """While a commit hangs, a fire that arrives later is still judged and its siren commanded."""
    rig = Rig(tmp_path)
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(1.0))
        await until(lambda: rig.disk.is_waiting)
        pipeline.inbox.deliver(arrival(True))
        await until(lambda: len(rig.acted) == 1)
        assert rig.published == []


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A batch that the disk refuses is written when there is room again, acknowledged once, and the trouble shown."""
    rig = Rig(tmp_path)
    acknowledged: list[int] = []
    async with rig.running() as pipeline:
        rig.disk.refusals = 2
        pipeline.inbox.deliver(arrival(1.0, lambda: acknowledged.append(1)))
        await until(lambda: not pipeline.is_storing)
        assert acknowledged == []
        await until(lambda: acknowledged == [1])
        assert pipeline.is_storing
    assert rig.counters.total("commit_failures") == 2
    assert rig.outbox.last_seq(Lane.TELEMETRY) == 1


async def test_an_operator_is_answered_after_the_commit(tmp_path: Path) -> None:
    """The answer to a verb waits for the disk, and the same request asked twice is done once."""
    rig = Rig(tmp_path)
    at = now().utc
    request = OperatorRequest("r1", Actor("张师傅", "duty", "console"), Verb.TAKE, "a", 1, at, at + timedelta(days=1))
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        first = asyncio.create_task(pipeline.submit(request))
        second = asyncio.create_task(pipeline.submit(request))
        await until(lambda: rig.disk.is_waiting)
        assert not first.done()
        rig.disk.may_go.set()
        assert await first == await second == Reply("r1", is_accepted=True, version=2)
    assert sum(rig.core.batches) == 1


async def test_commits_group_themselves_under_load(tmp_path: Path) -> None:
    """What arrives during a commit is stepped in batches of at most 256 and written together."""
    rig = Rig(tmp_path)
    acknowledged: list[int] = []
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(1.0))
        await until(lambda: rig.disk.is_waiting)
        for n in range(1000):
            pipeline.inbox.deliver(arrival(float(n), lambda: acknowledged.append(1)))
        await until(lambda: sum(rig.core.batches) == 1001)
        rig.disk.may_go.set()
        await until(lambda: len(acknowledged) == 1000)
    assert max(rig.core.batches) <= 256
    assert rig.outbox.last_seq(Lane.TELEMETRY) == 2


async def test_what_was_stepped_is_committed_at_the_stop(tmp_path: Path) -> None:
    """Stopping the gateway while the disk is slow still writes what had been decided."""
    rig = Rig(tmp_path)
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(1.0))
        await until(lambda: rig.disk.is_waiting)
        pipeline.inbox.deliver(arrival(2.0))
        await until(lambda: sum(rig.core.batches) == 2)
    assert rig.outbox.last_seq(Lane.TELEMETRY) == 2


async def test_a_timer_wakes_the_core(tmp_path: Path) -> None:
    """A delay that ends while nothing arrives is noticed in time."""
    rig = Rig(tmp_path)
    rig.core.wake_s = SystemClock().now().mono_s + 0.05
    async with rig.running():
        await until(lambda: rig.core.ticks == 1, 2.0)


def test_a_full_lane_keeps_the_newest_of_each_point_and_every_receipt() -> None:
    """When readings come faster than they can be judged, the newest of a point survives, counted; a message that
    must be acknowledged is never merged."""
    counters = Counters()
    inbox = Inbox(counters, lambda: None)
    for _ in range(20_000):
        inbox.deliver(arrival(0.0))
    inbox.deliver(arrival(1.0))
    inbox.deliver(arrival(2.0))
    inbox.deliver(arrival(3.0, lambda: None))
    assert len(inbox) == 20_002
    assert counters.total("inbox_merged") == 1
    values = []
    while len(inbox):
        _, arrivals = inbox.drain(256)
        values += [each.inputs[0].value for each in arrivals if isinstance(each.inputs[0], Reading)]
    assert values[20_000:] == [3.0, 2.0]
