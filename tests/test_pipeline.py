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
from gateway.inbox import Inbox
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
from gateway.pipeline import Act, Pipeline
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import OutboxReader
from gateway.store.trimming import Trimmed
from tests.support_core import now, reading, until

POISON = -1.0


class Echo:
    """A core that passes readings on, answers requests, and commands a siren for every True."""

    def __init__(self) -> None:
        self.wake_s: float | None = None
        self.ticks = 0
        self.batches: list[int] = []
        self.deadlines: list[float | None] = []

    def step(self, inputs: Sequence[Input], now: Now, act: Act) -> Step:
        step = Step(now)
        self.batches.append(len(inputs))
        for each in inputs:
            if isinstance(each, Reading):
                step.readings.append(each)
                if each.value is True:
                    step.commands.append(_siren(len(self.batches), now))
                    act(step.commands[-1:], now)
            elif isinstance(each, OperatorRequest):
                self.deadlines.append(each.expires_mono_s)
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
        if any(each.value == POISON for step in batch.steps for each in step.readings):
            raise TypeError("no disk will ever take this")
        self._journal.commit(batch)

    def is_passing(self, error: BaseException) -> bool:
        return self._journal.is_passing(error)

    def trim(self, now: Now) -> Trimmed:
        return self._journal.trim(now)


def _siren(number: int, now: Now) -> Command:
    return Command(f"c{number}", "siren/on", True, SYSTEM, "a", now.utc + timedelta(seconds=5), is_safety=True)


class Rig:
    def __init__(self, directory: Path, stall_s: float = 60.0) -> None:
        self.core = Echo()
        self.disk = SlowDisk(Journal(str(directory), ("platform",), 10_000_000))
        self.counters = Counters()
        self.acted: list[Command] = []
        self.published: list[Step] = []
        self.outbox = OutboxReader(str(directory))
        self.pipeline = Pipeline(
            self.core,
            self.disk,
            SystemClock(),
            self.counters,
            executor=ThreadPoolExecutor(1),
            act=lambda commands, _decided: self.acted.extend(commands),
            publish=self.published.append,
            stall_s=stall_s,
        )

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


async def test_while_the_disk_refuses_alarms_are_shown_and_judged_for_ever(tmp_path: Path) -> None:
    """Telemetry beyond a bound is given up, counted and acknowledged, so that the broker goes on handing over; what
    was judged is shown without the disk; and every fire still sounds its siren."""
    rig = Rig(tmp_path)
    acknowledged: list[int] = []
    async with rig.running() as pipeline:
        rig.disk.refusals = 1_000_000
        for n in range(3000):
            pipeline.inbox.deliver(arrival(float(n), lambda: acknowledged.append(1)))
        await until(lambda: len(acknowledged) > 2000)
        for n in range(5):
            pipeline.inbox.deliver(arrival(True))
            await until(lambda n=n: len(rig.acted) == n + 1)  # type: ignore[misc]
        await until(lambda: any(step.commands for step in rig.published))
        rig.disk.refusals = 0
        await until(lambda: pipeline.is_storing)
        await until(lambda: rig.outbox.last_seq(Lane.TELEMETRY) > 0)
    given_up = rig.counters.total("readings_not_stored", reason="disk")
    assert given_up == len([1 for _ in acknowledged]) - (3000 - given_up)


async def test_a_disk_that_hangs_makes_nobody_deaf(tmp_path: Path) -> None:
    """A commit that does not come back is taken for a refusal: alarms are judged and shown for ever, telemetry beyond
    a bound is given up and acknowledged; when the disk answers again nothing that was kept is lost."""
    rig = Rig(tmp_path, stall_s=0.1)
    acknowledged: list[int] = []
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(True, lambda: acknowledged.append(-1)))
        await until(lambda: len(rig.published) == 1)  # shown, though it is not on the disk
        assert acknowledged == []
        assert not pipeline.is_storing
        for n in range(3000):
            pipeline.inbox.deliver(arrival(float(n), lambda: acknowledged.append(1)))
            await asyncio.sleep(0)  # each a step of its own
        await until(lambda: len(acknowledged) > 2000)
        pipeline.inbox.deliver(arrival(True))
        await until(lambda: len(rig.acted) == 2)
        rig.disk.may_go.set()
        await until(lambda: pipeline.is_storing)
        await until(lambda: -1 in acknowledged)
    assert rig.counters.total("commit_stalls") == 1
    assert rig.counters.total("readings_not_stored", reason="disk") > 2000


async def test_a_batch_that_no_disk_takes_costs_itself_only(tmp_path: Path) -> None:
    """A fault of ours in one step is logged and counted; what was stepped before and after it is stored."""
    rig = Rig(tmp_path)
    acknowledged: list[float] = []
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(0.0))
        await until(lambda: rig.disk.is_waiting)
        for value in (1.0, POISON, 2.0):
            pipeline.inbox.deliver(arrival(value, lambda value=value: acknowledged.append(value)))  # type: ignore[misc]
            await until(lambda value=value: sum(rig.core.batches) == 2 + [1.0, POISON, 2.0].index(value))  # type: ignore[misc]
        rig.disk.may_go.set()
        await until(lambda: len(acknowledged) == 3)
    assert acknowledged == [1.0, POISON, 2.0]
    assert rig.counters.total("steps_not_stored", reason="broken") == 1
    assert rig.outbox.last_seq(Lane.TELEMETRY) == 3


async def test_what_is_not_worth_a_commit_is_not_shown_before_what_was_stepped_first(tmp_path: Path) -> None:
    """Screens see steps in their order, also when a later one has nothing to write."""
    rig = Rig(tmp_path)
    async with rig.running() as pipeline:
        rig.disk.may_go.clear()
        pipeline.inbox.deliver(arrival(1.0))
        await until(lambda: rig.disk.is_waiting)
        pipeline.inbox.put(Tick())
        await until(lambda: rig.core.ticks == 1)
        rig.disk.may_go.set()
        await until(lambda: len(rig.published) == 2)
    assert [len(step.readings) for step in rig.published] == [1, 0]


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
    assert [each is not None for each in rig.core.deadlines] == [True]  # on the monotonic clock from here on


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


def drained(inbox: Inbox) -> list[object]:
    """The values of everything that waits, in the order in which it would be judged."""
    values: list[object] = []
    while len(inbox):
        _, arrivals = inbox.drain(256)
        values += [each.value for one in arrivals for each in one.inputs if isinstance(each, Reading)]
    return values


def test_a_full_lane_keeps_the_newest_of_each_point_and_every_receipt() -> None:
    """When readings come faster than they can be judged, the newest of a point survives, counted; a message that
    must be acknowledged is never merged, and nothing older is judged after it."""
    counters = Counters()
    inbox = Inbox(counters, lambda: None)
    for _ in range(20_000):
        inbox.deliver(arrival(0.0))
    inbox.deliver(arrival(1.0))
    inbox.deliver(arrival(2.0))
    inbox.deliver(arrival(3.0, lambda: None))
    assert counters.total("inbox_merged") == 2
    assert drained(inbox)[20_000:] == [3.0]


def test_nothing_newer_overtakes_what_was_merged() -> None:
    """When a full lane has drained a little, a newer reading does not pass the older one that waits beside it."""
    inbox = Inbox(Counters(), lambda: None)
    for _ in range(20_000):
        inbox.deliver(arrival(0.0))
    inbox.deliver(arrival(1.0))
    inbox.drain(256)
    inbox.deliver(arrival(2.0))
    assert drained(inbox)[-1] == 2.0


def test_a_pulse_of_an_alarm_point_survives_a_full_lane() -> None:
    """Smoke that comes and goes while the lane is full is judged twice, not merged into nothing."""
    inbox = Inbox(Counters(), lambda: None, keeps={reading().point_id})
    for _ in range(20_000):
        inbox.deliver(Arrival((reading("other", 0.0),)))
    inbox.deliver(arrival(True))
    inbox.deliver(arrival(False))
    assert drained(inbox)[-2:] == [True, False]
