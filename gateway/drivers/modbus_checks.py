"""Room: drivers. What can only be checked with a whole Modbus profile, or all devices of a bus, in view.

The checks of a single key are in `modbus_params`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.drivers.base import Problem
from gateway.drivers.modbus_params import (
    BIT_TABLES,
    FIRST_MANUAL,
    WRITABLE_TABLES,
    AddressError,
    DeviceModel,
    ModbusPoint,
    ProfileModel,
)
from gateway.model import Bus, Device

Taken = dict[tuple[str, int, int | None], tuple[str, ModbusPoint]]  # (table, address, bit) to the point that is there


def check_profile(profile: Any, points: Mapping[str, Any]) -> Iterator[Problem]:
    """Addresses, word order, overlaps and readback of a profile; repeated points come as "power.1", and so on."""
    assert isinstance(profile, ProfileModel)
    seen: set[tuple[object, ...]] = set()
    for each in _problems(profile, points):
        if (each.where, each.code) not in seen:  # a repeated point is wrong once, not ten times
            seen.add((each.where, each.code))
            yield each


def check_devices(bus: Bus, devices: Sequence[Device]) -> Iterator[tuple[Device, Problem]]:
    """Units used twice on one line, and points that the site wants to write but cannot."""
    owners: dict[int, Device] = {}
    profiles: set[str] = set()
    for device in devices:
        unit = unit_of(device)
        other = owners.setdefault(unit, device)
        if other is not device and not (shares_unit(device) and shares_unit(other)):
            yield (
                device,
                Problem(
                    ("unit",),
                    "E317",
                    f"总线 {bus.id} 上站号 {unit} 已被 {other.id} 使用",
                    f"unit {unit} of bus {bus.id} is already used by {other.id}",
                    "给其中一台设备改拨码和站号;若真是同一台设备,在两个 profile 里写 shared_unit: true",
                    "change one device's unit; if they are one device, write shared_unit: true in both profiles",
                ),
            )
        if device.profile not in profiles:
            profiles.add(device.profile)
            yield from ((device, each) for each in _unwritable(device))


def _counter_problems(
    name: str, point: ModbusPoint, points: Mapping[str, Any], profile: ProfileModel
) -> Iterator[Problem]:
    """A record is read in one request: its registers and the one that counts stand side by side."""
    counter = points.get(point.counter)
    if counter is not None and counter.value_type == "int" and not counter.counter:
        together = {each: p for each, p in points.items() if p.counter == point.counter or p is counter}
        places = {p.table: set[int]() for p in together.values()}
        try:
            for each in together.values():
                first = each.wire_address(profile.addressing)
                places[each.table].update(range(first, first + each.width))
        except AddressError:
            return  # told by the check of addresses
        (taken, *others) = places.values()
        is_one_run = not others and max(taken) - min(taken) + 1 == len(taken) <= 100
        if is_one_run and len({each.poll for each in together.values()}) == 1:
            return
    yield Problem(
        ("points", _base(name), "counter"),
        "E332",
        f'counter "{point.counter}" 要是本 profile 里的整数点,与这条记录的寄存器在同一张表里连在一起,poll 相同',
        f'counter "{point.counter}" must be a whole-number point of this profile, in one run of registers with the '
        "record, with the same poll",
        "写计数寄存器的点名;中间有空寄存器时给它也起个点",
        "name the point of the counting register; give a register in between a point of its own",
    )


def unit_of(device: Device) -> int:
    """The unit of a device of this driver."""
    model = device.params.device
    assert isinstance(model, DeviceModel)
    return model.unit


def shares_unit(device: Device) -> bool:
    """Does its profile say that others may answer under the same unit?"""
    return bool(device.params.profile.shared_unit)


def _problems(profile: ProfileModel, points: Mapping[str, Any]) -> Iterator[Problem]:
    taken: Taken = {}
    for name, point in points.items():
        assert isinstance(point, ModbusPoint)
        if point.width > 1 and profile.word_order is None:
            yield Problem(
                ("word_order",),
                "E314",
                f"点 {_base(name)} 是 {point.type},必须写 word_order",
                f"point {_base(name)} is {point.type}: word_order is required",
                "按设备手册写 word_order: ABCD、CDAB、BADC 或 DCBA",
                "write word_order: ABCD, CDAB, BADC or DCBA, as the device's manual says",
            )
        if point.counter:
            yield from _counter_problems(name, point, points, profile)
        if point.readback and point.readback not in map(_base, points):
            yield Problem(
                ("points", _base(name), "readback"),
                "E315",
                f'readback "{point.readback}" 不是本 profile 的点',
                f'readback "{point.readback}" is not a point of this profile',
                "写一个已定义的点名,或去掉 readback",
                "name a point of this profile, or remove readback",
            )
        try:
            address = point.wire_address(profile.addressing)
        except AddressError as error:
            yield _address_problem(name, point, str(error))
        else:
            yield from _overlaps(name, point, address, taken)


def _overlaps(name: str, point: ModbusPoint, address: int, taken: Taken) -> Iterator[Problem]:
    bit = point.bit_place()[1]
    for place in range(address, address + point.width):
        here = [taken.get((point.table, place, bit)), taken.get((point.table, place, None))]
        if bit is None:
            here += [taken.get((point.table, place, each)) for each in range(16)]
        found = next((each for each in here if each), None)
        if found:
            same = found[1].type == point.type and bit == found[1].bit_place()[1]
            yield Problem(
                ("points", _base(name), "address"),
                "E316",
                f"点 {name} 与 {found[0]} {'重复' if same else '占用同一个寄存器'}:{point.table} {place}",
                f"point {name} {'repeats' if same else 'overlaps'} {found[0]} at {point.table} {place}",
                "核对手册里的地址和类型宽度(32 位占 2 个寄存器,64 位占 4 个)",
                "check addresses and widths in the manual (32 bit takes 2 registers, 64 bit takes 4)",
            )
            return
    for place in range(address, address + point.width):
        taken[point.table, place, bit] = (name, point)


def _address_problem(name: str, point: ModbusPoint, code: str) -> Problem:
    where = ("points", _base(name), "address")
    written, table = point.address, point.table
    first, first6 = FIRST_MANUAL[table] + 1, FIRST_MANUAL[table] * 10 + 1
    if code == "E311":
        return Problem(
            where,
            code,
            f"{written} 像手册编号,但 addressing 是 pdu(从 0 数)",
            f"{written} looks like a manual's number, but addressing is pdu (counted from 0)",
            f"写 addressing: manual,或把地址改成 pdu 地址(手册 {first} 就是 0);确实要用就写十六进制 0x…",
            f"write addressing: manual, or the pdu address (the manual's {first} is 0); if meant, write it as 0x…",
        )
    if code == "E312":
        return Problem(
            where,
            code,
            f"{written} 不是 {table} 表的手册编号",
            f"{written} is not a manual's number of table {table}",
            f"{table} 表从 {first:05d} 或 {first6:06d} 数起;手册从 0 数就写 addressing: pdu",
            f"table {table} starts at {first:05d} or {first6:06d}; a manual that counts from 0 is addressing: pdu",
        )
    return Problem(
        where,
        code,
        f"点 {name} 超出地址 65535",
        f"point {name} goes beyond address 65535",
        "核对地址、repeat 和 stride",
        "check address, repeat and stride",
    )


def _unwritable(device: Device) -> Iterable[Problem]:
    for point in device.points:
        parameters = point.params
        assert isinstance(parameters, ModbusPoint)
        if point.is_writable and (parameters.table not in WRITABLE_TABLES or parameters.bit is not None):
            what_zh = "寄存器中的一位" if parameters.bit is not None else f"{parameters.table} 表"
            what = "one bit of a register" if parameters.bit is not None else f"table {parameters.table}"
            yield Problem(
                ("points", _base(point.name), "writable"),
                "E318",
                f"点 {_base(point.name)} 不能写:{what_zh}是只读的",
                f"point {_base(point.name)} cannot be written: {what} is read-only",
                f"去掉 writable,或改用 {'coil' if parameters.table in BIT_TABLES else 'coil/holding'} 表",
                "remove writable, or use a coil or a whole holding register",
            )


def _base(name: str) -> str:
    """The point in the profile: power for power.3."""
    head, _, tail = name.rpartition(".")
    return head if tail.isdigit() and head else name
