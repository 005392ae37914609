"""Commands on a Modbus line: absolute values, read back, in time or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from gateway.model import CommandOutcome as Outcome
from gateway.model import Value
from tests.support_modbus import Field, make_device, running, serve, tcp

POINTS: dict[str, dict[str, Any]] = {
    **{f"on.{i + 1}": {"table": "coil", "address": str(i), "type": "bool", "writable": True} for i in range(10)},
    "limit": {
        "table": "holding",
        "address": "40",
        "type": "uint16",
        "scale": "0.1",
        "range": (0.0, 100.0),
        "writable": True,
    },
    "energy": {"table": "holding", "address": "50", "type": "float32", "writable": True},
    "power": {"table": "input", "address": "60", "type": "uint16"},
}
ONE = "3-1-B1-CP01/ebike/"


async def test_a_socket_is_cut_and_read_back() -> None:
    """Function 5 switches the coil off, the coil says so, the command is done."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        result = await rig.driver.write(rig.command(ONE + "on.2", False))
        polls = len(rig.arrivals)
        await rig.until(lambda: len(rig.arrivals) >= polls + 5)
    assert (result.outcome, result.readback, result.detail) == (Outcome.DONE, False, "")
    assert field.written == [(1, "coil", 1, [0])]


@pytest.mark.parametrize(
    ("point", "value", "table", "wire"),
    [("limit", 45.5, (40, [455]), 455), ("energy", 220.7, (50, [0x435C, 0xB333]), None)],
)
async def test_registers_are_written_as_their_manual_counts(
    point: str, value: float, table: tuple[int, list[int]], wire: int | None
) -> None:
    """Function 6 for one register, 16 for two; the scale is undone, and float32's own precision is no mismatch."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        result = await rig.driver.write(rig.command(ONE + point, value))
    assert result.outcome is Outcome.DONE
    assert isinstance(result.readback, float)
    assert result.readback == pytest.approx(value)
    assert field.written == [(1, "holding", *table)]
    assert wire is None or field.memory[1, "holding", 40] == wire


async def test_a_command_that_is_late_is_never_sent() -> None:
    """A cut-off that expired does not switch anything minutes later."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        late = replace(rig.command(ONE + "on.1", True), expires_at=rig.clock.now().utc - timedelta(milliseconds=1))
        assert (await rig.driver.write(late)).outcome is Outcome.EXPIRED
        await rig.until(lambda: len(rig.arrivals) >= 3)
    assert field.written == []


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
async def test_setting_the_clock_moves_no_deadline(jump_s: float) -> None:
    """The wall clock is set while a command is on its way: it is sent in its time, and never after it."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        for within_s, outcome in ((5.0, Outcome.DONE), (-0.001, Outcome.EXPIRED)):
            taken = rig.command(ONE + "on.1", True, within_s=within_s).taken_in(rig.clock.now())
            moved = replace(taken, expires_at=taken.expires_at - timedelta(seconds=jump_s))
            assert (await rig.driver.write(moved)).outcome is outcome
    assert len(field.written) == 1


async def test_a_command_whose_line_never_comes_up_expires() -> None:
    """While the cabinet is switched off the command waits for its deadline, then it is dropped: not sent afterwards."""
    field = Field(1)
    async with serve(field) as port:
        pass
    async with running("modbus-tcp", tcp(port), [make_device(1, POINTS)], restarts=True) as rig:
        result = await rig.driver.write(rig.command(ONE + "on.1", True, within_s=0.3))
        assert result.outcome is Outcome.EXPIRED
        async with serve(field, port=port):
            await rig.until(lambda: len(rig.readings) > 10)
    assert field.written == []


async def test_a_command_that_becomes_late_on_the_way_is_not_sent() -> None:
    """The line needs its silence before the frame may leave; the deadline passes in that time: nothing leaves."""
    field = Field(1)
    device = make_device(1, POINTS)
    async with serve(field) as port, running("modbus-tcp", tcp(port, delay="400ms"), [device]) as rig:
        await rig.until(lambda: field.asked)
        result = await rig.driver.write(rig.command(ONE + "on.1", True, within_s=0.2))
        polls = len(rig.arrivals)
        await rig.until(lambda: len(rig.arrivals) > polls)
    assert result.outcome is Outcome.EXPIRED
    assert field.written == []


async def test_a_command_waits_for_its_line() -> None:
    """A cabinet that comes back before the deadline gets the command."""
    field = Field(1)
    async with serve(field) as port:
        pass
    async with running("modbus-tcp", tcp(port), [make_device(1, POINTS)], restarts=True) as rig:
        waiting = asyncio.create_task(rig.driver.write(rig.command(ONE + "on.1", True)))
        await rig.until(lambda: rig.errors("connect") >= 2)
        async with serve(field, port=port):
            assert (await waiting).outcome is Outcome.DONE


async def test_a_welded_relay_is_not_done() -> None:
    """A coil that takes the command and stays where it was has failed, after three retries, and says what it reads."""
    field = Field(1)
    field.stuck = {1}
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        result = await rig.driver.write(rig.command(ONE + "on.2", False))
    assert (result.outcome, result.readback, result.detail) == (Outcome.FAILED, True, "reads back True")
    assert len(field.written) == 4


async def test_another_point_may_show_what_a_command_did() -> None:
    """Some cabinets show the relay's state elsewhere: on.2 is judged by state.2."""
    field = Field(1)
    points = {
        f"on.{i}": {"table": "coil", "address": str(i), "type": "bool", "writable": True, "readback": "state"}
        for i in (1, 2)
    } | {f"state.{i}": {"table": "discrete", "address": str(20 + i), "type": "bool"} for i in (1, 2)}
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, points)]) as rig:
        assert (await rig.driver.write(rig.command(ONE + "on.2", False))).outcome is Outcome.DONE  # bit 22 is even: off
        assert (await rig.driver.write(rig.command(ONE + "on.2", True))).outcome is Outcome.FAILED


async def test_a_silent_unit_leaves_the_command_unconfirmed() -> None:
    """The frame may have arrived: nobody knows, and the result says so."""
    field = Field(1, 2)
    field.silent = {1}
    devices = [make_device(1, POINTS), make_device(2, POINTS)]
    async with serve(field) as port, running("modbus-tcp", tcp(port), devices) as rig:
        result = await rig.driver.write(rig.command(ONE + "on.1", True, within_s=1.0))
        assert (result.outcome, result.detail) == (Outcome.UNCONFIRMED, "timeout")
        assert len([each for each in field.written if each[0] == 1]) <= 4


async def test_commands_to_a_dead_unit_do_not_hold_up_the_others() -> None:
    """Fire: twenty sockets of two cabinets are cut; the dead one delays the living by a time-out, not by ten."""
    field = Field(1, 2)
    field.silent = {1}
    devices = [make_device(1, POINTS), make_device(2, POINTS)]
    loop = asyncio.get_running_loop()
    async with serve(field) as port, running("modbus-tcp", tcp(port), devices) as rig:
        await rig.until(lambda: rig.online(1) == [False])
        began_s = loop.time()
        dead = [asyncio.create_task(rig.driver.write(rig.command(f"{ONE}on.{i + 1}", True, 1.0))) for i in range(10)]
        alive = [rig.driver.write(rig.command(f"3-1-B1-CP02/ebike/on.{i + 1}", False)) for i in range(10)]
        results = await asyncio.gather(*alive)
        took_s = loop.time() - began_s
        await asyncio.gather(*dead)
    assert {each.outcome for each in results} == {Outcome.DONE}
    assert took_s < 1.5
    assert {each.result().outcome for each in dead} <= {Outcome.EXPIRED, Outcome.UNCONFIRMED}


async def test_all_are_told_before_one_is_asked() -> None:
    """Fire: ten relays of one line are commanded first and read back afterwards, so that the last is not late."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS, {"poll": "30s"})]) as rig:
        await rig.until(lambda: rig.readings)
        before = len(field.asked)
        asked_before: list[int] = []
        keep = field.async_setValues

        async def count(unit: int, function: int, address: int, values: list[int]) -> ExcCodes | None:
            asked_before.append(len(field.asked) - before)
            return await keep(unit, function, address, values)

        field.async_setValues = count  # type: ignore[assignment,method-assign]
        commands = [replace(rig.command(f"{ONE}on.{i + 1}", i % 2 == 0), is_safety=True) for i in range(10)]
        results = await asyncio.gather(*(rig.driver.write(each) for each in commands))
    assert {each.outcome for each in results} == {Outcome.DONE}
    assert asked_before == list(range(10))  # the server looks at each coil itself, to answer the write
    assert len(field.asked) - before == 20


async def test_safety_does_not_stand_behind_what_is_not() -> None:
    """A line whose queue is full of ordinary commands still takes a fire's, all of them, and carries them out first."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        await rig.until(lambda: field.asked)
        ordinary = [asyncio.create_task(rig.driver.write(rig.command(ONE + "on.1", True))) for _ in range(300)]
        cut = [replace(rig.command(ONE + "on.2", False, 20), is_safety=True) for _ in range(400)]
        results = await asyncio.gather(*(rig.driver.write(each) for each in cut))
        is_first = [each.done() and each.result().outcome is Outcome.DONE for each in ordinary].count(True) < 10
        for each in ordinary:
            each.cancel()
        await asyncio.wait(ordinary)
    assert {each.outcome for each in results} == {Outcome.DONE}
    assert is_first


@pytest.mark.parametrize(
    ("code", "outcome", "detail", "tries"),
    [
        (ExcCodes.ILLEGAL_ADDRESS, Outcome.FAILED, "exception_02", 1),
        (ExcCodes.DEVICE_BUSY, Outcome.FAILED, "exception_06", 4),
    ],
)
async def test_a_refused_command_fails(code: ExcCodes, outcome: Outcome, detail: str, tries: int) -> None:
    """A unit that says no is not asked again; one that is busy is, three times more."""
    field = Field(1)
    field.refused = {("coil", 0): code}
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        result = await rig.driver.write(rig.command(ONE + "on.1", True))
    assert (result.outcome, result.detail) == (outcome, detail)
    assert len(field.written) == tries


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ("on.1", 1),
        ("on.1", "true"),
        ("limit", True),
        ("limit", 100.1),
        ("limit", float("nan")),
        ("energy", float("inf")),
        ("energy", 1e300),
        ("power", 1),
        ("nothing", 1),
    ],
)
async def test_nonsense_is_refused_without_a_frame(point: str, value: Value) -> None:
    """A value of the wrong kind, outside the range, too big, or for a point that cannot be written, goes nowhere."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        result = await rig.driver.write(rig.command(ONE + point, value))
    assert result.outcome is Outcome.REFUSED
    assert result.detail
    assert field.written == []


async def test_commands_are_serialised_with_polls_and_bounded() -> None:
    """Hundreds of commands at once: one frame at a time, polls go on, and what is too much is refused, not queued."""
    field = Field(1)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, POINTS)]) as rig:
        await rig.until(lambda: rig.readings)
        commands = [rig.command(f"{ONE}on.{i % 10 + 1}", True) for i in range(400)]
        results = await asyncio.gather(*(rig.driver.write(each) for each in commands))
        before = len(rig.readings)
        await rig.until(lambda: len(rig.readings) > before)
    outcomes = [each.outcome for each in results]
    assert outcomes.count(Outcome.DONE) == 256
    assert outcomes.count(Outcome.REFUSED) == 144
    assert rig.counters.total("modbus_errors") == 0
