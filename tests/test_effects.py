"""Effects: every command ends in exactly one result, and a point does one thing at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.clock import ManualClock, SystemClock
from gateway.counters import Counters
from gateway.effects import Effects
from gateway.model import (
    SYSTEM,
    Command,
    CommandOutcome,
    CommandResult,
    Input,
    Notice,
    NoticeResult,
    Now,
    Value,
)
from tests.support_core import now, until

CLOCK = SystemClock()


class Door:
    """A driver whose door moves when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Value]] = []
        self.moves = asyncio.Event()

    def write(self, command: Command) -> Awaitable[CommandResult]:
        self.sent.append((command.id, command.value))
        return self._until_moved(command)

    async def _until_moved(self, command: Command) -> CommandResult:
        await self.moves.wait()
        return CommandResult(command.id, CommandOutcome.DONE, CLOCK.now().utc, command.value)


def command(name: str, value: Value, *, is_safety: bool = False, expires_s: float = 5.0, because: str = "a") -> Command:
    expires_at = CLOCK.now().utc + timedelta(seconds=expires_s)
    return Command(name, "door/release", value, SYSTEM, because, expires_at, is_safety)


def rig(write: Callable[[Command], Awaitable[CommandResult]]) -> tuple[Effects, list[CommandResult]]:
    results: list[CommandResult] = []

    def report(item: Input) -> None:
        assert isinstance(item, CommandResult)
        results.append(item)

    async def send(notice: Notice) -> NoticeResult:
        raise NotImplementedError(notice)

    return Effects({"door/release": write}, send, report, CLOCK, Counters()), results


def outcomes(results: list[CommandResult]) -> list[tuple[str, str]]:
    return [(each.command_id, each.outcome.value) for each in results]


async def test_a_newer_command_takes_the_place_of_an_older_one() -> None:
    """A door that is still being locked is released by a fire, and the lock is not tried again afterwards."""
    door = Door()
    effects, results = rig(door.write)
    effects.act([command("lock", False)], now())
    effects.act([command("release", True, is_safety=True)], now())
    door.moves.set()
    await until(lambda: len(results) == 2)
    assert door.sent == [("lock", False), ("release", True)]
    assert outcomes(results) == [("lock", "superseded"), ("release", "done")]


async def test_nothing_ordinary_ends_a_safety_command() -> None:
    """While a fire releases a door, a remote lock of the same door is refused."""
    door = Door()
    effects, results = rig(door.write)
    effects.act([command("release", True, is_safety=True)], now())
    effects.act([command("lock", False, because="b")], now(1))
    await until(lambda: len(results) == 1)
    door.moves.set()
    await until(lambda: len(results) == 2)
    assert outcomes(results) == [("lock", "refused"), ("release", "done")]
    assert door.sent == [("release", True)]


async def test_what_was_decided_earlier_does_not_undo_what_was_decided_later() -> None:
    """A siren's end that waited for the disk does not silence the fire that was decided meanwhile."""
    siren = Door()
    siren.moves.set()
    effects, results = rig(siren.write)
    effects.act([command("on", True, is_safety=True, because="b")], now(2))
    await until(lambda: len(results) == 1)
    effects.act([command("off", False)], now(1))
    await until(lambda: len(results) == 2)
    assert siren.sent == [("on", True)]
    assert outcomes(results) == [("on", "done"), ("off", "superseded")]


async def test_the_end_of_an_output_does_not_wait_for_its_beginning() -> None:
    """Taking the alarm before the buzzer has answered switches it off all the same."""
    buzzer = Door()
    effects, results = rig(buzzer.write)
    effects.act([command("on", True, is_safety=True)], now())
    effects.act([command("off", False)], now(1))
    buzzer.moves.set()
    await until(lambda: len(results) == 2)
    assert buzzer.sent == [("on", True), ("off", False)]
    assert outcomes(results) == [("on", "superseded"), ("off", "done")]


async def test_two_fires_that_want_the_same_share_its_end() -> None:
    """The siren of two fires is commanded for each, and both alarms hear that it sounds; a third that wants the
    opposite ends them both."""
    for is_undone in (False, True):
        siren = Door()
        effects, results = rig(siren.write)
        effects.act([command("a-on", True, is_safety=True, because="a")], now())
        effects.act([command("b-on", True, is_safety=True, because="b")], now(1))
        if is_undone:
            effects.act([command("off", False, is_safety=True, because="c")], now(2))
        siren.moves.set()
        end = "superseded" if is_undone else "done"
        wanted = [("a-on", end), ("b-on", end)] + [("off", "done")] * is_undone
        await until(lambda results=results, wanted=wanted: outcomes(results) == wanted)  # type: ignore[misc]
        assert [each.readback for each in results] == ([None, None, False] if is_undone else [True, True])


async def test_a_driver_that_breaks_ends_the_command_as_failed() -> None:
    """A fault in a driver, at once or later, leaves no command without an end."""

    async def later(_command: Command) -> CommandResult:
        raise RuntimeError

    def at_once(_command: Command) -> Awaitable[CommandResult]:
        raise RuntimeError

    for write in (later, at_once):
        effects, results = rig(write)
        effects.act([command("release", True)], now())
        await until(lambda results=results: len(results) == 1)  # type: ignore[misc]
        assert outcomes(results) == [("release", "failed")]


async def test_too_late_and_nobody_there() -> None:
    """A command past its deadline is not sent; one for an unknown point is refused."""
    door = Door()
    effects, results = rig(door.write)
    effects.act([command("late", True, expires_s=-1)], CLOCK.now())
    nowhere = Command("nowhere", "x", True, SYSTEM, "a", CLOCK.now().utc + timedelta(seconds=5))
    effects.act([nowhere], now())
    await until(lambda: len(results) == 2)
    assert sorted(outcomes(results)) == [("late", "expired"), ("nowhere", "refused")]
    assert door.sent == []


async def test_a_channel_that_breaks_ends_the_notice_as_failed() -> None:
    """A fault of ours in a channel is a notice that was not accepted, not one without an end."""
    results: list[Input] = []

    async def send(_notice: Notice) -> NoticeResult:
        raise RuntimeError

    effects = Effects({}, send, results.append, CLOCK, Counters())
    effects.tell([Notice("k", "a", "raised", "console", "duty", "火警")])
    await until(lambda: len(results) == 1)
    (result,) = results
    assert isinstance(result, NoticeResult)
    assert (result.key, result.is_accepted, result.detail) == ("k", False, "RuntimeError")


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
@pytest.mark.parametrize(("passed_s", "outcome"), [(4.9, "done"), (5.1, "expired")])
async def test_setting_the_clock_neither_refuses_a_command_nor_executes_it_late(
    jump_s: float, passed_s: float, outcome: str
) -> None:
    """Decided just before the wall clock is set: carried out within its own time, and not after it."""
    door = Door()
    door.moves.set()
    effects, results = rig(door.write)
    effects._clock = ManualClock(Now(now(passed_s + jump_s).utc, now(passed_s).mono_s))
    effects.act([replace(command("release", True), expires_at=now(5).utc)], now())
    await until(lambda: len(results) == 1)
    assert outcomes(results) == [("release", outcome)]
    assert len(door.sent) == (outcome == "done")
