"""One verb on many faults through the real engine, pipeline and store: what is on record afterwards."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from gateway.app.port import Port
from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.model import Alarm, AlarmClass, Arrival, Condition, OperatorRequest, Reading, Site, Verb
from gateway.notify.policy import NoticePolicy
from gateway.pipeline import Pipeline
from gateway.rules import Engine
from gateway.store.journal import Journal
from gateway.web.bulk import Bulks
from gateway.web.verbs import Submissions
from tests.support_core import until
from tests.support_rules import ZHANG, device, rule, site

COUNT = 45
POINTS = [f"3-2-03-{n:04d}/meter/power_lost" for n in range(1, COUNT + 1)]


def a_site(directory: Path) -> Site:
    meters = [device(each.rpartition("/")[0], "meter", {"power_lost": "bool"}) for each in POINTS]
    lost = rule(POINTS, Condition("equals", True), AlarmClass.FAULT)
    return dataclasses.replace(site(meters, [lost]), data_dir=str(directory))


class House:
    """Engine, pipeline, store and the web's door to them, with what was published."""

    def __init__(self, directory: Path) -> None:
        of, counters, clock = a_site(directory), Counters(), SystemClock()
        self.alarms: dict[str, Alarm] = {}
        self.clock = clock
        self.journal = Journal(str(directory), (), 10_000_000)
        engine = Engine(of, counters=counters, policy=NoticePolicy(of), settle_s=0.0, chatter_s=0.0)
        kept = self.journal.restore(clock.now())
        engine.restore(kept.alarms, kept.occurrences, kept.timers, clock.now(), marks=kept.marks)
        self.alarms.update({each.id: each for each in kept.alarms})
        self.pipeline = Pipeline(
            engine, self.journal, clock, counters, executor=ThreadPoolExecutor(1), act=lambda _commands, _now: None,
            publish=lambda step: self.alarms.update(step.alarms),
        )  # fmt: skip
        port = Port(of, self.pipeline, counters, clock, ThreadPoolExecutor(1), offers=lambda _alarm: ())
        self.bulks = Bulks(Submissions(port), clock, counters)

    def take(self, seen: list[Alarm], bulk_id: str = "web/张师傅/request-1") -> list[OperatorRequest]:
        """What the route makes of one press."""
        now = self.clock.now().utc
        return [OperatorRequest(f"{bulk_id}/{a.id}", ZHANG, Verb.TAKE, a.id, a.version, now, now) for a in seen]

    def audit(self) -> list[tuple[str, list[str], dict[str, object]]]:
        rows = self.journal.connection.execute("SELECT action, actor, detail FROM audit ORDER BY seq")
        return [(str(what), orjson.loads(str(who)), orjson.loads(str(detail))) for what, who, detail in rows]


@asynccontextmanager
async def living(directory: Path) -> AsyncIterator[House]:
    house = House(directory)
    task = asyncio.create_task(house.pipeline.run())
    try:
        yield house
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        house.journal.close()


async def test_each_of_many_has_its_own_event_and_its_own_line_in_the_audit_trail(tmp_path: Path) -> None:
    """A power cut: forty-five faults, one press; one was taken before by itself and is refused by itself, on record."""
    async with living(tmp_path) as house:
        now = house.clock.now().utc
        house.pipeline.inbox.deliver(Arrival(tuple(Reading(each, True, now, now) for each in POINTS)))
        await until(lambda: len(house.alarms) == COUNT)
        seen = list(house.alarms.values())
        alone = house.take(seen[:1], "web/张师傅/alone")
        await house.bulks.submit("alone", alone)
        replies = await house.bulks.submit("web/张师傅/request-1", house.take(seen))
        assert [each.is_accepted for each in replies] == [False] + [True] * (COUNT - 1)
        assert replies[0].code == "stale_version"
        trail = house.audit()
        assert {(what, who[0]) for what, who, _ in trail} == {("alarm.take", "张师傅")}
        per_alarm = Counter(detail["alarm"] for _, _, detail in trail)
        assert per_alarm == {seen[0].id: 2, **{each.id: 1 for each in seen[1:]}}
        assert [detail["accepted"] for _, _, detail in trail] == [True, False] + [True] * (COUNT - 1)
        events = house.journal.connection.execute("SELECT alarm_id FROM alarm_events WHERE kind = 'taken'").fetchall()
        assert sorted(str(row[0]) for row in events) == sorted(each.id for each in seen)


async def test_the_same_request_after_a_restart_changes_nothing(tmp_path: Path) -> None:
    """The answer was lost with the gateway: the page asks again, hears the first answers, and no record is doubled."""
    async with living(tmp_path) as house:
        now = house.clock.now().utc
        house.pipeline.inbox.deliver(Arrival(tuple(Reading(each, True, now, now) for each in POINTS)))
        await until(lambda: len(house.alarms) == COUNT)
        asked = house.take(list(house.alarms.values()))
        first = await house.bulks.submit("web/张师傅/request-1", asked)
        lines = len(house.audit())
    async with living(tmp_path) as house:
        again = await house.bulks.submit("web/张师傅/request-1", asked)
        assert again == first
        assert len(house.audit()) == lines == COUNT
