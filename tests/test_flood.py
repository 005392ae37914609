"""Flood through the real inbox, engine, disk and live view: 300 devices lost in five seconds, a fire in the middle."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.model import Arrival, DeviceStatus, Reading, Step
from gateway.notify.policy import NoticePolicy
from gateway.pipeline import Pipeline
from gateway.rules.engine import Engine
from gateway.store.journal import Journal
from gateway.web.live import LiveView
from tests.support_core import until
from tests.support_lines import built_in, community, lamp

DEVICES = [lamp(n, str(1 + n % 6)) for n in range(300)]
LOST_WITHIN_S = 5.0


@pytest.mark.parametrize("has_line", [True, False])
async def test_a_fire_in_the_middle_of_a_flood_is_first_on_the_list(tmp_path: Path, *, has_line: bool) -> None:
    """At most ten alarms are annunciated, with or without a line that explains it; the fire is first within 2 s."""
    site = community([built_in("line", "b1"), *DEVICES] if has_line else DEVICES)
    counters, clock = Counters(), SystemClock()
    live = LiveView(counters)
    steps: list[Step] = []
    firsts: list[tuple[float, str]] = []

    def publish(step: Step) -> None:
        steps.append(step)
        live.apply(step)
        shown = orjson.loads(live.snapshot().split(b"data: ", 1)[1])["alarms"]
        if shown and (not firsts or firsts[-1][1] != shown[0]["id"]):
            firsts.append((time.monotonic(), shown[0]["id"]))

    with ThreadPoolExecutor(1) as executor:
        journal = Journal(str(tmp_path), [], 2_000_000_000)
        engine = Engine(site, counters=counters, policy=NoticePolicy(site), settle_s=0.0)
        engine.restore((), {}, (), clock.now())
        pipeline = Pipeline(
            engine, journal, clock, counters, executor=executor, act=lambda *_: None, publish=publish
        )  # fmt: skip
        live.load(site.devices)
        task = asyncio.create_task(pipeline.run())
        lit_s = 0.0
        for n, each in enumerate(DEVICES):
            at = clock.now().utc
            if has_line and n == 20:
                pipeline.inbox.deliver(Arrival((DeviceStatus("line/b1", is_online=False, at=at),)))
            pipeline.inbox.deliver(Arrival((DeviceStatus(each.id, is_online=False, at=at),)))
            if n == 150:
                lit_s = time.monotonic()
                pipeline.inbox.deliver(Arrival((Reading(f"{DEVICES[7].id}/lit", True, at, at),)))
            await asyncio.sleep(LOST_WITHIN_S / len(DEVICES))
        await until(lambda: len(live.alarms) >= len(DEVICES) + 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        journal.close()

    seen_s, fire = firsts[-1]
    assert fire.startswith("fire:")
    assert seen_s - lit_s < 2.0
    raised = [each for step in steps for each in step.events if each.kind == "raised"]
    assert sum(not each.data.get("suppressed_by") for each in raised) <= 10 + 1  # and the fire
    assert len({notice.alarm_id for step in steps for notice in step.notices}) <= 10 + 1
    assert fire in {notice.alarm_id for step in steps for notice in step.notices}
