"""Simulators: a Modbus unit's memory: which value lies in which register. Pure; sockets are in `modbus_devices`.

The device's own codec, written from the Modbus application protocol V1.1b3 and not from the gateway's decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from simulators.spec import Register, SimDevice, SimError, SimPoint, Value

_FORMATS = {
    "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f",
    "int64": ">q", "uint64": ">Q", "float64": ">d",
}  # fmt: skip
_SPAN = 65_536


class IllegalAddress(Exception):  # noqa: N818  named as in the Modbus specification: exception 02
    """The unit has nothing there, or refuses to change it."""


class IllegalValue(Exception):  # noqa: N818  exception 03
    """The unit does not take this value."""


def encode(register: Register, value: Value) -> list[int]:
    """Registers of a value, most significant word first unless the word order says otherwise; clamped to the type."""
    form = _FORMATS.get(register.type, ">H")
    raw: float = float(value) if isinstance(value, str) else value  # whole 64-bit numbers stay whole
    if (register.scale, register.offset) != (1.0, 0.0):
        raw = (raw - register.offset) / register.scale
    if "float" not in register.type:
        bits = 8 * struct.calcsize(form)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if form[1].islower() else (0, (1 << bits) - 1)
        raw = min(high, max(low, round(raw)))
    return _ordered(list(struct.unpack(f">{register.width}H", struct.pack(form, raw))), register.word_order)


def decode(register: Register, words: Sequence[int]) -> Value:
    """The value of registers that were written."""
    data = struct.pack(f">{register.width}H", *_ordered(list(words), register.word_order))
    raw = struct.unpack(_FORMATS[register.type], data)[0]
    if (register.scale, register.offset) == (1.0, 0.0):
        return float(raw) if "float" in register.type else int(raw)
    return float(raw) * register.scale + register.offset


def _ordered(words: list[int], order: str) -> list[int]:
    """ABCD as it is, CDAB words reversed, BADC bytes swapped in each word, DCBA both; its own inverse."""
    if order in ("BADC", "DCBA"):
        words = [(word >> 8) | (word & 0xFF) << 8 for word in words]
    return words[::-1] if order in ("CDAB", "DCBA") else words


Read = Callable[[str], Mapping[str, Value]]  # device id -> its values
Write = Callable[[str, str, Value], None]  # device id, point, value


class _Claim(NamedTuple):
    """Who owns a bit or register; ``word`` counts the registers of one value."""

    device_id: str
    point: SimPoint
    register: Register
    word: int


class UnitMemory:
    """One unit, usually one device: values come from the plant at the moment of the request, writes go back to it."""

    def __init__(self, devices: Sequence[SimDevice], read: Read, write: Write) -> None:
        """Lay out the map.

        Raises:
            SimError: two points claim the same bit or register.
        """
        self._read = read
        self._write = write
        self._fills_gaps = any(device.behaviour.gaps == "zero" for device in devices)
        self._map: dict[tuple[str, int], list[_Claim]] = {}
        for device in devices:
            for point in device.points.values():
                if point.register:
                    self._claim(device, point, point.register)

    def _claim(self, device: SimDevice, point: SimPoint, register: Register) -> None:
        for n in range(register.width):
            address = register.address + n
            taken = self._map.setdefault((register.table, address), [])
            is_clash = any(register.bit is None or other.register.bit in (None, register.bit) for other in taken)
            if is_clash or not 0 <= address < _SPAN:
                other_name = taken[0].point.name if taken else "-"
                raise SimError(
                    f"{device.id}:{register.table} {address} 被 {point.name} 和 {other_name} 同时占用,或超出范围",
                    f"{device.id}: {register.table} {address} is claimed by {point.name} and {other_name}, "
                    "or out of range",
                )
            taken.append(_Claim(device.id, point, register, n))

    def get(self, table: str, address: int, count: int) -> list[int]:
        """``count`` bits or registers, as they are at this moment.

        Raises:
            IllegalAddress: nothing is mapped at one of them.
        """
        return [self._one(table, address + n) for n in range(count)]

    def _one(self, table: str, address: int) -> int:
        claims = self._map.get((table, address))
        if claims is None:
            if self._fills_gaps and address < _SPAN:
                return 0
            raise IllegalAddress
        first = claims[0]
        if first.register.type != "bool":
            return encode(first.register, _number(first.point, self._read(first.device_id)[first.point.name]))[
                first.word
            ]
        return sum(bool(self._read(c.device_id)[c.point.name]) << (c.register.bit or 0) for c in claims)

    def set(self, table: str, address: int, raw: Sequence[int]) -> None:
        """Write bits or registers; nothing is written unless all of them may be.

        Raises:
            IllegalAddress: nothing writable is mapped there.
            IllegalValue: only part of a value was written.
        """
        wanted: list[tuple[str, str, Value]] = []
        for n in range(len(raw)):
            claims = self._map.get((table, address + n))
            if not claims or not all(claim.point.is_writable for claim in claims):
                raise IllegalAddress
            for claim in claims:
                if claim.word == 0:
                    value = _written(claim.register, raw[n : n + claim.register.width])
                    wanted.append((claim.device_id, claim.point.name, value))
                elif n == 0:
                    raise IllegalValue  # it starts in the middle of a value
        for write in wanted:
            self._write(*write)


def _number(point: SimPoint, value: Value) -> Value:
    """The number that stands for a word; 0 for one that the map does not have."""
    if not isinstance(value, str):
        return value
    said = next((number for number, word in point.words.items() if word == value), value)
    return int(said) if said.isdecimal() else 0


def _written(register: Register, raw: Sequence[int]) -> Value:
    if len(raw) < register.width:
        raise IllegalValue
    if register.type == "bool":
        return bool(raw[0] >> (register.bit or 0) & 1)
    return decode(register, raw)
