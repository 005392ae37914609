"""What an installer writes about Modbus, and what is said when it cannot be right."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.drivers.base import Problem
from gateway.drivers.modbus import KINDS
from gateway.drivers.modbus_params import ModbusPoint, ProfileModel, RtuBus, TcpBus
from gateway.model import Bus
from tests.support_modbus import make_device

KIND = KINDS["modbus-tcp"]


def point(**spec: str) -> ModbusPoint:
    return ModbusPoint.model_validate({"table": "holding", "address": "0", "type": "uint16"} | spec)


def problems(points: dict[str, Any], addressing: str = "pdu", word_order: str | None = None) -> list[Problem]:
    profile = ProfileModel.model_validate({"addressing": addressing, "word_order": word_order})
    return list(KIND.check_profile(profile, points))


def code_of(error: pytest.ExceptionInfo[ValidationError]) -> tuple[str, tuple[int | str, ...], dict[str, Any]]:
    first = error.value.errors()[0]
    return first["type"], first["loc"], first.get("ctx", {})


def test_scalars_arrive_as_text() -> None:
    """Everything in a YAML file is text; the models make numbers and seconds of it."""
    bus = TcpBus.model_validate(
        {"host": "127.0.0.1", "port": "1502", "timeout": "250ms", "gap": "4", "connections": "2"}
    )
    assert bus == TcpBus(host="127.0.0.1", port=1502, timeout=0.25, gap=4, connections=2)
    serial = RtuBus.model_validate({"port": "/dev/ttyS1", "baud": "9600", "parity": "N", "stop": "2", "bytesize": "8"})
    assert (serial.baud, serial.stop, serial.bytesize) == (9600, 2, 8)
    assert ProfileModel.model_validate({"addressing": "pdu", "poll": "5s"}).poll == 5.0
    assert (point(address="00012").address, point(scale="0.1").scale) == ("12", 0.1)


@pytest.mark.parametrize("unit", ["0", "248", "300", "-1", "11.5", "", "abc", "9" * 5000])
def test_e305_impossible_unit(unit: str) -> None:
    """Unit 0 is broadcast and 248 to 255 are reserved: the installer is told what to set instead."""
    with pytest.raises(ValidationError) as error:
        KIND.device.model_validate({"unit": unit})
    code, where, context = code_of(error)
    assert (code, where) == ("E305", ("unit",))
    assert "1 到 247" in context["fix_zh"]
    assert context["en"].startswith("Modbus unit")


@pytest.mark.parametrize("unit", ["1", "247"])
def test_every_unit_of_the_standard(unit: str) -> None:
    """1 to 247 are taken."""
    assert KIND.device.model_validate({"unit": unit}).model_dump() == {"unit": int(unit)}


def test_e306_not_a_duration() -> None:
    """`timeout: 500` has no unit of time."""
    with pytest.raises(ValidationError) as error:
        KIND.bus.model_validate({"host": "a", "timeout": "500"})
    assert code_of(error)[:2] == ("E306", ("timeout",))


@pytest.mark.parametrize("address", ["abc", "1.5", "-1", "", "0xFFFFF", "１２"])
def test_e307_not_an_address(address: str) -> None:
    """An address is a decimal number, or hexadecimal with 0x."""
    with pytest.raises(ValidationError) as error:
        point(address=address)
    assert code_of(error)[:2] == ("E307", ("address",))


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"table": "coil", "type": "uint16"}, "E308"),
        ({"table": "discrete", "type": "bool", "bit": "1"}, "E308"),
        ({"type": "bool"}, "E309"),
        ({"type": "uint16", "bit": "1"}, "E309"),
        ({"scale": "0"}, "E310"),
    ],
)
def test_points_that_contradict_themselves(spec: dict[str, str], code: str) -> None:
    """Types that a table does not have, a bool without its bit, and a scale that loses everything."""
    with pytest.raises(ValidationError) as error:
        point(**spec)
    assert code_of(error)[0] == code


def test_unknown_keys_and_the_mandatory_ones() -> None:
    """`register` is not `address`; a profile without addressing is refused."""
    with pytest.raises(ValidationError, match="register"):
        KIND.point.model_validate({"table": "holding", "register": "1", "type": "uint16"})
    with pytest.raises(ValidationError, match="addressing"):
        KIND.profile.model_validate({"poll": "1s"})


@pytest.mark.parametrize(
    ("table", "written", "wire"),
    [
        ("holding", "40001", 0),
        ("holding", "400001", 0),
        ("holding", "465536", 65535),
        ("input", "30017", 16),
        ("discrete", "10004", 3),
        ("discrete", "100004", 3),
        ("coil", "00001", 0),
        ("coil", "1", 0),
    ],
)
def test_manual_addresses(table: str, written: str, wire: int) -> None:
    """40001 of the manual is 0 on the wire, with five digits or six."""
    one = point(table=table, address=written, type="bool" if table in {"coil", "discrete"} else "uint16")
    assert one.wire_address("manual") == wire
    assert problems({"p": one}, "manual") == []


@pytest.mark.parametrize(
    ("table", "written"),
    [("holding", "0"), ("holding", "30001"), ("input", "40001"), ("holding", "40000"), ("holding", "0x10")],
)
def test_e312_not_a_number_of_this_table(table: str, written: str) -> None:
    """Under `manual` the prefix says the table: another table's number is a mistake."""
    found = problems({"p": point(table=table, address=written)}, "manual")
    assert [(each.code, each.where) for each in found] == [("E312", ("points", "p", "address"))]


@pytest.mark.parametrize(
    ("table", "written"),
    [("holding", "40001"), ("holding", "400001"), ("input", "30001"), ("discrete", "10001"), ("holding", "70000")],
)
def test_e311_a_manual_number_under_pdu(table: str, written: str) -> None:
    """40001 under `pdu` is one too many by forty thousand: the classic mistake."""
    one = point(table=table, address=written, type="bool" if table == "discrete" else "uint16")
    assert [each.code for each in problems({"p": one})] == ["E311"]
    assert "addressing: manual" in problems({"p": one})[0].fix_zh


def test_an_exact_address_can_still_be_said() -> None:
    """A device that really has register 0x9C41 is reached by writing it in hexadecimal."""
    one = point(address="0x9C41")
    assert problems({"p": one}) == []
    assert one.wire_address("pdu") == 40001


def test_e313_beyond_the_last_register() -> None:
    """The second register of a 32-bit value must exist too."""
    assert [each.code for each in problems({"p": point(address="0xFFFF", type="uint32")}, "pdu", "ABCD")] == ["E313"]
    assert problems({"p": point(address="0xFFFE", type="uint32")}, "pdu", "ABCD") == []


def test_e314_word_order_is_mandatory_for_32_bit() -> None:
    """Nobody can guess the word order: it must be written, once for the profile."""
    points = {"a": point(type="uint32"), "b": point(type="float64", address="10")}
    assert [(each.code, each.where) for each in problems(points)] == [("E314", ("word_order",))]
    assert problems(points, "pdu", "CDAB") == []


def test_e315_readback_names_a_point() -> None:
    """A readback that does not exist would confirm nothing."""
    assert [each.code for each in problems({"a": point(readback="b")})] == ["E315"]
    assert problems({"a.1": point(readback="b"), "b.1": point(address="1")}) == []


def test_e316_overlapping_points() -> None:
    """Two points of different types on one register, or the same one twice, is a mistake in one of them."""
    wide = point(type="uint32")
    assert [each.code for each in problems({"a": wide, "b": point(address="1")}, "pdu", "ABCD")] == ["E316"]
    assert [each.zh for each in problems({"a": point(), "b": point()})] == ["点 b 与 a 重复:holding 0"]
    bit = point(type="bool", bit="3")
    assert problems({"a": bit, "b": point(type="bool", bit="4")}) == []
    assert [each.code for each in problems({"a": bit, "b": point(type="bool", bit="3")})] == ["E316"]
    assert [each.code for each in problems({"a": bit, "b": point()})] == ["E316"]
    assert [each.code for each in problems({"b": point(), "a": bit})] == ["E316"]
    assert problems({"a": point(), "b": point(table="input")}) == []


def test_a_repeated_point_is_wrong_once() -> None:
    """Ten sockets with one wrong address are one mistake, at the address in the profile."""
    points = {f"power.{i + 1}": point(address="40001").nth(i) for i in range(10)}
    assert [(each.code, each.where) for each in problems(points)] == [("E311", ("points", "power", "address"))]


def test_repeats_go_on_by_width_stride_or_bit() -> None:
    """The tenth socket's registers follow the first's: by width, by stride, or bit by bit into the next register."""
    assert point(type="uint32", address="16").nth(3).wire_address("pdu") == 22
    assert point(address="16", stride="8").nth(3).wire_address("pdu") == 40
    bit = point(type="bool", bit="14", address="5").nth(3)
    assert (bit.wire_address("pdu"), bit.bit_place()[1]) == (6, 1)
    strided = point(type="bool", bit="14", address="5", stride="2").nth(3)
    assert (strided.wire_address("pdu"), strided.bit_place()[1]) == (11, 14)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"type": "bool", "bit": "0"}, "bool"),
        ({"type": "uint16"}, "int"),
        ({"type": "int64", "scale": "10", "offset": "-400"}, "int"),
        ({"type": "uint16", "scale": "0.1"}, "float"),
        ({"type": "uint16", "offset": "0.5"}, "float"),
        ({"type": "float32"}, "float"),
    ],
)
def test_what_a_point_carries(spec: dict[str, str], kind: str) -> None:
    """Rules are checked against the type that readings will really have."""
    assert point(**spec).value_type == kind


def test_e317_one_unit_twice_on_a_line() -> None:
    """Two cabinets with the same dial would answer over each other, unless they say they are one device."""
    bus = Bus("pile1", "modbus-tcp", TcpBus(host="127.0.0.1"))
    spec = {"t": {"table": "input", "address": "0", "type": "uint16"}}
    twice = [make_device(7, spec), make_device(7, spec)]
    assert [(device, each.code, each.where) for device, each in KIND.check_devices(bus, twice)] == [
        (twice[1], "E317", ("unit",))
    ]
    shared = [make_device(7, spec, {"shared_unit": "true"}), make_device(7, spec, {"shared_unit": "true"})]
    assert list(KIND.check_devices(bus, shared)) == []


@pytest.mark.parametrize(
    ("spec", "is_wrong"),
    [
        ({"table": "discrete", "address": "0", "type": "bool"}, True),
        ({"table": "input", "address": "0", "type": "uint16"}, True),
        ({"table": "holding", "address": "0", "type": "bool", "bit": "1"}, True),
        ({"table": "holding", "address": "0", "type": "uint16"}, False),
        ({"table": "coil", "address": "0", "type": "bool"}, False),
    ],
)
def test_e318_only_coils_and_holding_registers_can_be_written(spec: dict[str, Any], is_wrong: bool) -> None:
    """A writable input would fail at the first fire; the check says so once, at the profile."""
    bus = Bus("pile1", "modbus-tcp", TcpBus(host="127.0.0.1"))
    devices = [make_device(unit, {"on": spec | {"writable": True}}) for unit in (1, 2)]
    found = [(each.code, each.where) for _, each in KIND.check_devices(bus, devices)]
    assert found == ([("E318", ("points", "on", "writable"))] if is_wrong else [])


def test_every_problem_says_what_to_do_in_both_languages() -> None:
    """No message without its way out."""
    points = {"a": point(address="40001", readback="x", type="uint32"), "b": point(address="0xFFFF", type="uint32")}
    for each in problems(points) + problems({"c": point()}, "manual"):
        assert each.zh
        assert each.en
        assert each.fix_zh
        assert each.fix_en
