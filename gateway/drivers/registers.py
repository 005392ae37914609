"""Room: drivers. Modbus registers and bits to numbers and back: a pure codec, no I/O, no library.

Sources: Modbus Application Protocol V1.1b3 §4.2 (a register travels high byte first) and §6.1 (bits are packed
low bit first). The order of the registers of a 32 or 64-bit value is not in the standard: every manual says.
What is read when, and what a device answers, belongs in `modbus_plan` and `modbus_line`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple

FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "float32": "f",
    "int64": "q",
    "uint64": "Q",
    "float64": "d",
}
WIDTHS = {"bool": 1} | {name: max(1, struct.calcsize(code) // 2) for name, code in FORMATS.items()}  # in registers
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


class Slot(NamedTuple):
    """One number in a run of registers: ``offset`` in registers from its start, a key of FORMATS, one of ORDERS."""

    offset: int
    type: str
    order: str = "ABCD"


def wire_bytes(width: int, order: str) -> list[int]:
    """Where the bytes of a big-endian value of ``width`` registers stand on the wire.

    A single register always travels high byte first: the order says how several make one value.
    """
    places = list(range(2 * width))
    if width == 1 or order == "ABCD":
        return places
    if order == "DCBA":
        return places[::-1]
    pairs = [places[at : at + 2] for at in range(0, len(places), 2)]
    if order == "CDAB":
        return [place for pair in reversed(pairs) for place in pair]
    return [place for pair in pairs for place in reversed(pair)]  # BADC


class Layout:
    """The decoder of one block of registers, compiled once: one unpack for all of its numbers."""

    def __init__(self, slots: Sequence[Slot], count: int) -> None:
        """``slots`` ascend and do not overlap; ``count`` is the number of registers of the block."""
        form, at = [">"], 0
        order: list[int] = []
        for slot in slots:
            width = WIDTHS[slot.type]
            if slot.offset < at or slot.offset + width > count:
                raise ValueError(f"{slot} overlaps the one before it or leaves the block of {count} registers")
            form.append(f"{2 * (slot.offset - at)}x{FORMATS[slot.type]}")
            order += range(2 * at, 2 * slot.offset)
            order += [2 * slot.offset + place for place in wire_bytes(width, slot.order)]
            at = slot.offset + width
        order += range(2 * at, 2 * count)
        self._struct = struct.Struct("".join(form) + f"{2 * (count - at)}x")
        is_plain = order == list(range(2 * count))
        self._reorder = None if is_plain else itemgetter(*order)

    def unpack(self, body: bytes) -> tuple[int | float, ...]:
        """The raw numbers of ``body`` (2 bytes a register), in the order of the slots."""
        return self._struct.unpack(bytes(self._reorder(body)) if self._reorder else body)


def unpack_bits(body: bytes, offsets: Sequence[int]) -> list[bool]:
    """The bits at ``offsets`` of an answer to function 1 or 2."""
    return [bool(body[at >> 3] >> (at & 7) & 1) for at in offsets]


def pack(raw: float, slot_type: str, order: str) -> bytes:
    """The bytes of one number as they travel. Raises OverflowError where ``raw`` does not fit the type."""
    code = FORMATS[slot_type]
    try:
        big = struct.pack(">" + code, raw)
    except struct.error as error:
        raise OverflowError(f"{raw} does not fit {slot_type}") from error
    wire = bytearray(len(big))
    for byte, place in zip(big, wire_bytes(WIDTHS[slot_type], order), strict=True):
        wire[place] = byte
    return bytes(wire)


@dataclass(frozen=True, slots=True)
class Scale:
    """value = raw × scale + offset. Whole raw numbers give no more decimals than scale and offset have."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Would the value be the raw number itself?"""
        return self.scale == 1 and self.offset == 0

    @property
    def is_whole(self) -> bool:
        """Do whole raw numbers stay whole?"""
        return self.scale.is_integer() and self.offset.is_integer()

    @property
    def decimals(self) -> int:
        """Decimals worth showing: 0.1 gives 1, so that 3 × 0.1 is 0.3 and not 0.30000000000000004."""
        return max(_decimals(self.scale), _decimals(self.offset))

    def value(self, raw: float, decimals: int) -> int | float:
        """The value of ``raw``; ``decimals`` is this scale's own, kept by the caller because it is slow to find."""
        if self.is_identity:
            return raw
        scaled = raw * self.scale + self.offset
        if isinstance(raw, float):
            return scaled
        return int(scaled) if self.is_whole else round(scaled, decimals)

    def raw(self, value: float, slot_type: str) -> int | float:
        """The raw number to write for ``value``. Raises OverflowError for infinities, ValueError for NaN."""
        raw = value if self.is_identity else (value - self.offset) / self.scale
        if slot_type in {"float32", "float64"}:
            if not math.isfinite(raw):
                raise OverflowError(f"{value} cannot be written")
            return float(raw)
        return round(raw)


def _decimals(number: float) -> int:
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
