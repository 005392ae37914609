"""Room: drivers. Which registers are read together, and what an answer means: pure, no I/O.

Sources: Modbus Application Protocol V1.1b3 §6.1-6.4 (at most 2000 bits or 125 registers a request).
When something is read belongs in `modbus_line`; what travels belongs in `modbus_wire`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from gateway.drivers.modbus_params import BIT_TABLES, ModbusPoint, ProfileModel
from gateway.drivers.registers import Layout, Scale, Slot, unpack_bits
from gateway.model import Point, Quality, Reading, Value

READ_FUNCTION = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
MAX_BITS, MAX_REGISTERS = 2000, 125
BITS_PER_GAP = 16  # a bus's `gap` counts registers
NOT_A_NUMBER, OUT_OF_RANGE, NO_WORD = "not a number", "range", "no word for it"  # details of bad readings


@dataclass(frozen=True, slots=True)
class Field:
    """One point, placed: ``address`` as on the wire, ``bit`` of its register or None."""

    point: Point
    table: str
    address: int
    width: int
    bit: int | None
    type: str  # of the number that is read: a bit of a register is read as uint16
    order: str
    scale: Scale
    decimals: int
    is_text: bool = False
    words: Mapping[int, str] | None = None  # None: the digits themselves

    @property
    def is_urgent(self) -> bool:
        """Does an alarm depend on it?"""
        return self.point.alarm_class is not None

    def value(self, raw: float) -> tuple[Value | None, str]:
        """(value, "") or (None, what is wrong with it)."""
        if self.type == "bool":
            return bool(raw), ""
        if self.bit is not None:
            return bool(int(raw) >> self.bit & 1), ""
        if self.is_text:
            word = str(int(raw)) if self.words is None else self.words.get(int(raw))
            return word, NO_WORD if word is None else ""
        value = self.scale.value(raw, self.decimals)
        if not math.isfinite(value):
            return None, NOT_A_NUMBER
        low, high = self.point.low, self.point.high
        if (low is not None and value < low) or (high is not None and value > high):
            return None, OUT_OF_RANGE
        return value, ""


def place(point: Point, profile: ProfileModel) -> Field:
    """Where ``point`` lives on the wire. Raises `AddressError` for what `check_profile` refuses."""
    params = point.params
    assert isinstance(params, ModbusPoint)
    bit = params.bit_place()[1]
    scale = params.scaling
    return Field(
        point=point,
        table=params.table,
        address=params.wire_address(profile.addressing),
        width=params.width,
        bit=bit,
        type="uint16" if bit is not None else params.type,
        order=profile.word_order or "ABCD",
        scale=scale,
        decimals=scale.decimals,
        is_text=params.is_text,
        words=params.words,
    )


class Block:
    """Addresses read with one request, and the compiled meaning of its answer."""

    def __init__(self, fields: Sequence[Field]) -> None:
        """``fields`` ascend by address and are all of one table."""
        self.fields = tuple(fields)
        self.table = fields[0].table
        self.start = fields[0].address
        self.count = fields[-1].address + fields[-1].width - self.start
        self.is_urgent = any(each.is_urgent for each in fields)
        self._cells = [tuple(cell) for _, cell in groupby(fields, attrgetter("address"))]  # bits share a register
        self._offsets = [cell[0].address - self.start for cell in self._cells]
        self._layout = None
        if self.table not in BIT_TABLES:
            firsts = [cell[0] for cell in self._cells]
            slots = [Slot(at, one.type, one.order) for at, one in zip(self._offsets, firsts, strict=True)]
            self._layout = Layout(slots, self.count)

    @property
    def answer_bytes(self) -> int:
        """Bytes of values in a good answer."""
        return 2 * self.count if self._layout else (self.count + 7) // 8

    def values(self, body: bytes) -> list[Value | None]:
        """The value of every point, None where it is none."""
        return [field.value(raw)[0] for cell, raw in self._raws(body) for field in cell]

    def readings(self, body: bytes, at: datetime) -> list[Reading]:
        """What ``body`` (``answer_bytes`` long) says of every point."""
        found = []
        for cell, raw in self._raws(body):
            for field in cell:
                value, wrong = field.value(raw)
                quality = Quality.BAD if value is None else Quality.GOOD
                found.append(Reading(field.point.id, value, at, at, quality, wrong))
        return found

    def _raws(self, body: bytes) -> Iterable[tuple[tuple[Field, ...], float]]:
        raws: Sequence[float] = self._layout.unpack(body) if self._layout else unpack_bits(body, self._offsets)
        return zip(self._cells, raws, strict=True)

    def bad(self, detail: str, at: datetime) -> list[Reading]:
        """Every point without a value, and why."""
        return [Reading(field.point.id, None, at, at, Quality.BAD, detail) for field in self.fields]

    def split(self) -> list[Block]:
        """Two smaller blocks, parted at the widest hole, else in the middle; empty where nothing can be parted.

        A device that refuses a merged block most often refuses the addresses between two points.
        """
        if len(self._cells) < 2:
            return []
        middle = len(self._cells) / 2
        cut = max(range(1, len(self._cells)), key=lambda at: (self._hole_before(at), -abs(at - middle)))
        parts = self._cells[:cut], self._cells[cut:]
        return [Block([field for cell in part for field in cell]) for part in parts]

    def _hole_before(self, index: int) -> int:
        before = self._cells[index - 1][0]
        return self._cells[index][0].address - before.address - before.width


def plan(fields: Sequence[Field], gap: int) -> list[Block]:
    """The fewest blocks that never read across more than ``gap`` registers nobody asked for; urgent ones first."""
    blocks: list[Block] = []
    for table, of_table in groupby(sorted(fields, key=_by_address), attrgetter("table")):
        is_bits = table in BIT_TABLES
        limit, hole = (MAX_BITS, gap * BITS_PER_GAP) if is_bits else (MAX_REGISTERS, gap)
        run: list[Field] = []
        for field in of_table:
            end = field.address + field.width
            if run and (field.address - run[-1].address - run[-1].width > hole or end - run[0].address > limit):
                blocks.append(Block(run))
                run = []
            run.append(field)
        blocks.append(Block(run))
    return sorted(blocks, key=lambda block: not block.is_urgent)


def _by_address(field: Field) -> tuple[str, int, int]:
    return field.table, field.address, field.bit or 0
