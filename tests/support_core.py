"""Small real parts for tests of the shell: readings, steps, waiting with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from gateway.clock import ManualClock
from gateway.model import (
    SYSTEM,
    Alarm,
    AlarmClass,
    AlarmEvent,
    Command,
    Notice,
    Now,
    Reading,
    Step,
    TimerChange,
)

START = datetime(2026, 1, 15, 2, 0, tzinfo=UTC)


def now(seconds: float = 0.0) -> Now:
    return Now(START + timedelta(seconds=seconds), 1000.0 + seconds)


def clock() -> ManualClock:
    return ManualClock(now())


def reading(point_id: str = "3-2-03-0301/smoke/alarm", value: bool | float = True, seconds: float = 0.0) -> Reading:
    at = now(seconds).utc
    return Reading(point_id, value, at, at)


def alarm(number: int = 1, *, is_open: bool = True, version: int = 1) -> Alarm:
    return Alarm(
        id=f"smoke-fire:3-2-03-0301/smoke/alarm:{number}",
        rule_id="smoke-fire",
        point_id="3-2-03-0301/smoke/alarm",
        device_id="3-2-03-0301/smoke",
        occurrence=number,
        alarm_class=AlarmClass.FIRE,
        title="烟感火警",
        place="3-2-03-0301",
        raised_at=now(number).utc,
        version=version,
        is_open=is_open,
        value=True,
    )


def full_step(number: int = 1, seconds: float = 0.0) -> Step:
    """A step with one of everything."""
    raised = alarm(number)
    at = now(seconds).utc
    return Step(
        now=now(seconds),
        readings=[reading(seconds=seconds)],
        events=[AlarmEvent(raised.id, 1, "raised", at, SYSTEM, {"value": True})],
        alarms={raised.id: raised},
        commands=[Command(f"{raised.id}#1/siren", "3/siren/on", True, SYSTEM, raised.id, at + timedelta(seconds=10))],
        notices=[Notice(f"{raised.id}/raised/duty/console", raised.id, "raised", "console", "duty", "火警")],
        timers=[TimerChange(f"for:{number}", at, 5.0)],
    )


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until ``condition`` holds; fail when it does not within the deadline."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
