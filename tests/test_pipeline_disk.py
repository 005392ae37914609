"""A disk that refuses for long: nobody goes deaf, nothing grows, and what is there afterwards is the truth."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path

from gateway.counters import Counters
from gateway.model import SYSTEM, AlarmEvent, Arrival, Mark, MarkChange, Reply, Step, TimerChange
from gateway.pipeline import Pipeline
from gateway.shedding import MOST_INPUTS, MOST_RECORDS, MOST_STEPS, Group, Stepped, shed
from gateway.store.journal import Batch, Journal
from tests.support_core import alarm, now, reading, until
from tests.test_pipeline import Rig

WINDOW = 20  # what mosquitto hands over without an acknowledgement, as shipped


class Broker:
    """Hands over no more than its window of messages that are not acknowledged."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._waiting: deque[float | bool] = deque()
        self.under_way = 0
        self.acknowledged: list[float | bool] = []

    def publish(self, value: float | bool) -> None:
        """A device's message of QoS 1."""
        self._waiting.append(value)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self.under_way < WINDOW:
            value = self._waiting.popleft()
            self.under_way += 1
            receipt = lambda value=value: self._puback(value)  # noqa: E731 - shorter
            self._pipeline.inbox.deliver(Arrival((reading(value=value),), receipt, b"12345678"))

    def _puback(self, value: float | bool) -> None:
        self.under_way -= 1
        self.acknowledged.append(value)
        asyncio.get_running_loop().call_soon(self._hand_over)


async def test_a_small_window_of_the_broker_does_not_make_us_deaf(tmp_path: Path) -> None:
    """While the disk refuses, telemetry is acknowledged at once: the fire behind it is heard though a broker hands
    over only 20 messages, and is not acknowledged before it is on the disk."""
    rig = Rig(tmp_path)
    async with rig.running() as pipeline:
        broker = Broker(pipeline)
        rig.disk.refusals = 1_000_000
        broker.publish(0.5)
        await until(lambda: not pipeline.is_storing)
        for n in range(3 * WINDOW):
            broker.publish(n + 0.5)
        broker.publish(True)
        await until(lambda: len(rig.acted) == 1)
        assert True not in broker.acknowledged
        rig.disk.refusals = 0
        await until(lambda: True in broker.acknowledged)
    assert rig.counters.total("readings_not_stored") == 0


async def test_what_comes_again_while_the_disk_refuses_is_not_acknowledged_before_the_first(tmp_path: Path) -> None:
    """A broker that was reconnected sends the fire once more: that repeat is no telemetry to be waved through."""
    rig = Rig(tmp_path)
    acknowledged: list[str] = []
    async with rig.running() as pipeline:
        rig.disk.refusals = 1_000_000
        pipeline.inbox.deliver(Arrival((reading(value=True),), lambda: acknowledged.append("first"), b"12345678"))
        await until(lambda: not pipeline.is_storing)
        pipeline.inbox.deliver(Arrival((), lambda: acknowledged.append("again")))
        pipeline.inbox.deliver(Arrival((reading(value=1.0),), lambda: acknowledged.append("telemetry"), b"23456789"))
        await until(lambda: len(rig.core.batches) >= 2)
        await asyncio.sleep(0)
        assert "again" not in acknowledged
        rig.disk.refusals = 0
        await until(lambda: {"first", "again"} <= set(acknowledged))
    assert acknowledged.index("first") < acknowledged.index("again")


async def test_alarms_that_use_up_a_window_are_said_to_strain_it(tmp_path: Path) -> None:
    """Alarms are never acknowledged before the disk has them: so that the line can be heard in another way, it is
    said when they get many, and again when the disk has taken them."""
    rig = Rig(tmp_path)
    said: list[bool] = []
    async with rig.running() as pipeline:
        pipeline.strained = said.append
        broker = Broker(pipeline)
        rig.disk.refusals = 1_000_000
        for n in range(WINDOW // 2):
            broker.publish(True)
            await until(lambda n=n: len(rig.acted) == n + 1)  # type: ignore[misc]
        await until(lambda: said == [True])
        assert broker.acknowledged == []
        rig.disk.refusals = 0
        await until(lambda: len(broker.acknowledged) == WINDOW // 2)
        assert said == [True, False]


def stepped(step: Step) -> Stepped:
    return Stepped(step, [], 1, is_shown=True)


def story(number: int) -> Group:
    """An alarm of one source that is raised, and ends: two steps."""
    raised, ended = alarm(number), alarm(number, is_open=False, version=2)
    begin, end = Step(now(2 * number)), Step(now(2 * number + 1))
    begin.alarms[raised.id], end.alarms[raised.id] = raised, ended
    begin.events.append(AlarmEvent(raised.id, 1, "raised", begin.now.utc, SYSTEM, {}))
    end.events.append(AlarmEvent(raised.id, 2, "returned", end.now.utc, SYSTEM, {}))
    key = f"tell|{raised.id}|raised|30.0"
    begin.timers.append(TimerChange(key, begin.now.utc, 30.0))
    end.timers.append(TimerChange(key, None))
    return [stepped(begin), stepped(end)]


def test_state_outlives_records_and_nothing_grows(tmp_path: Path) -> None:
    """Thousands of alarms come and go while the disk refuses: what is written in the end is bounded, and says of every
    alarm, timer and mark how it is; what is missing of the records is counted."""
    counters = Counters()
    pending: Group = []
    marks = [
        MarkChange(Mark.DISABLED, "device", "3-2-03-0301/smoke", is_set, now().utc, None, "王主管", "装修")
        for is_set in (True, False)
    ]
    for number in range(1, 4_000):
        begin, end = story(number)
        begin.step.marks.append(marks[0])
        end.step.marks.append(marks[1])
        pending = shed([*pending, begin, end], counters)
        assert len(pending) <= max(MOST_STEPS, MOST_INPUTS) + 2
    last, _ = story(4_000)
    pending = shed([*pending, last], counters)
    events = sum(len(each.step.events) for each in pending)
    assert events <= MOST_RECORDS + MOST_STEPS
    assert counters.total("records_not_stored", reason="disk") == 2 * 3_999 + 1 - events
    journal = Journal(str(tmp_path), (), 10_000_000)
    journal.commit(Batch([each.step for each in pending]))
    restored = journal.restore(now())
    assert [each.id for each in restored.alarms] == [alarm(4_000).id]
    assert [key for key, _, _ in restored.timers] == [f"tell|{alarm(4_000).id}|raised|30.0"]
    assert restored.marks == ()


def test_telemetry_goes_first_and_is_counted() -> None:
    """Beyond the bound telemetry is given up; an answer to a person and a running delay are not."""
    counters = Counters()
    telemetry = [stepped(Step(now(n), readings=[reading(value=float(n))])) for n in range(MOST_INPUTS)]
    asked = stepped(Step(now(), replies=[Reply("r", is_accepted=True)]))
    waiting = stepped(Step(now(), timers=[TimerChange("for|r|p", now().utc, 5.0)]))
    assert shed([*telemetry, replace(asked, inputs=0)], counters) == [*telemetry, replace(asked, inputs=0)]
    assert shed([*telemetry, asked, waiting], counters) == [asked, waiting]
    assert counters.total("readings_not_stored", reason="disk") == MOST_INPUTS
