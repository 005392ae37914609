"""Records in registers: one pass for each count, whole, and none that was told before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.modbus_checks import check_profile
from gateway.drivers.modbus_params import ModbusPoint, ProfileModel
from gateway.drivers.modbus_passes import Gate
from gateway.drivers.modbus_plan import Block, Field, place
from gateway.model import Point, Quality, Reading
from tests.support_core import now
from tests.support_modbus import Field as Registers
from tests.support_modbus import make_device, running, serve, tcp

COUNTER: dict[str, Any] = {"table": "input", "address": "0", "type": "uint16"}
CARD: dict[str, Any] = {"table": "input", "address": "1", "type": "uint32", "as": "text", "counter": "count"}
RESULT: dict[str, Any] = {
    "table": "input",
    "address": "3",
    "type": "uint16",
    "words": {"0": "denied", "1": "granted"},
    "counter": "count",
}
POINTS = {"count": COUNTER, "card": CARD, "result": RESULT}
PROFILE = {"addressing": "pdu", "word_order": "ABCD"}


def fields(points: dict[str, dict[str, Any]] | None = None) -> list[Field]:
    made = {name: ModbusPoint.model_validate(raw) for name, raw in (points or POINTS).items()}
    profile = ProfileModel.model_validate(PROFILE)
    return [place(Point(f"door/{n}", "door", n, p.value_type, params=p), profile) for n, p in made.items()]


def answer(count: int, card: int, result: int) -> list[Reading]:
    words = (count, card >> 16, card & 0xFFFF, result)
    return Block(fields()).readings(b"".join(each.to_bytes(2, "big") for each in words), now().utc)


def values(readings: list[Reading]) -> dict[str, Any]:
    return {each.point_id.removeprefix("door/"): each.value for each in readings}


def test_a_number_is_told_as_text_and_as_a_word() -> None:
    """A card is a name, not a quantity; a code without a word is a bad reading, not a guess."""
    assert values(answer(7, 10_293_847, 1)) == {"count": 7, "card": "10293847", "result": "granted"}
    (bad,) = [each for each in answer(7, 1, 9) if each.point_id == "door/result"]
    assert (bad.value, bad.quality) == (None, Quality.BAD)


def test_a_pass_is_told_once_for_each_count() -> None:
    """Where the counter stands at the start is nobody; then each change is one pass, the same card again, too."""
    gate = Gate(fields())
    assert values(gate.let(answer(7, 111, 1)).readings) == {"count": 7}
    assert values(gate.let(answer(7, 111, 1)).readings) == {"count": 7}
    for count in (8, 9):
        told = gate.let(answer(count, 111, 1))
        assert values(told.readings) == {"count": count, "card": "111", "result": "granted"}
        assert told.missed == 0
        assert len({(each.at, each.received_at) for each in told.readings}) == 1


def test_what_went_by_unseen_is_counted() -> None:
    """Three people between two polls: the last one is told, two are counted; a controller that began anew is not."""
    gate = Gate(fields())
    gate.let(answer(7, 111, 1))
    assert gate.let(answer(10, 222, 1)).missed == 2
    again = gate.let(answer(1, 333, 0))
    assert (again.missed, values(again.readings)["card"]) == (0, "333")


def test_a_record_that_cannot_be_read_whole_waits() -> None:
    """The result has no word yet: the pass is told when all of it can be read, and once."""
    gate = Gate(fields())
    gate.let(answer(7, 111, 1))
    torn = values(gate.let(answer(8, 222, 9)).readings)
    assert "card" not in torn
    assert values(gate.let(answer(8, 222, 0)).readings) == {"count": 8, "card": "222", "result": "denied"}


@given(st.lists(st.integers(0, 5), max_size=30))
def test_told_and_missed_are_what_was_counted(steps: list[int]) -> None:
    """However the counter moves between polls, nothing is told twice and nothing goes by uncounted."""
    gate, count, told, missed = Gate(fields()), 100, 0, 0
    gate.let(answer(count, 1, 1))
    for step in steps:
        count += step
        let = gate.let(answer(count, 1, 1))
        told += "card" in values(let.readings)
        missed += let.missed
    assert told + missed == count - 100


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("card", {"counter": "nosuch"}, "E332"),
        ("card", {"counter": "card"}, "E332"),
        ("card", {"address": "20"}, "E332"),
        ("card", {"table": "holding"}, "E332"),
        ("card", {"poll": "5s"}, "E332"),
        ("result", {"counter": "card"}, "E332"),
    ],
)
def test_a_record_must_be_one_run_of_registers(name: str, change: dict[str, Any], code: str) -> None:
    """Read in two requests, the number of one card could stand beside the result of another."""
    raw = {**POINTS, name: {**POINTS[name], **change}}
    points = {each: ModbusPoint.model_validate(raw[each]) for each in raw}
    found = check_profile(ProfileModel.model_validate(PROFILE), points)
    assert code in {each.code for each in found}


def test_the_record_of_the_manual_is_fine() -> None:
    """No complaint about what can be read in one request."""
    points = {name: ModbusPoint.model_validate(raw) for name, raw in POINTS.items()}
    assert list(check_profile(ProfileModel.model_validate(PROFILE), points)) == []


@pytest.mark.parametrize("change", [{"type": "float32"}, {"scale": "0.1"}])
def test_only_whole_numbers_are_names(change: dict[str, str]) -> None:
    """A card number with decimals would be another card."""
    with pytest.raises(ValueError, match="as: text"):
        ModbusPoint.model_validate({**CARD, **change})


async def test_a_door_on_real_modbus_tells_each_pass_once() -> None:
    """Polled many times a second: one reading of the card for each count."""
    registers = Registers(1)
    registers.memory |= {(1, "input", n): 0 for n in range(4)}
    device = make_device(1, POINTS, {**PROFILE, "poll": "50ms"})
    async with serve(registers) as port, running("modbus-tcp", tcp(port), [device]) as rig:
        await rig.until(lambda: len(rig.of("/count")) > 2)
        for count in (1, 2):
            registers.memory |= {(1, "input", 2): 4000 + count, (1, "input", 3): 1, (1, "input", 0): count}
            await rig.until(lambda n=count: len(rig.of("/card")) == n)  # type: ignore[misc]
            seen = len(rig.of("/count"))
            await rig.until(lambda n=seen: len(rig.of("/count")) > n + 3)  # type: ignore[misc]
    assert [each.value for each in rig.of("/card")] == ["4001", "4002"]
