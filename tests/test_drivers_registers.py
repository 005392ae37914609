"""The register codec: every type in every word order, exactly, and back."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.registers import FORMATS, ORDERS, WIDTHS, Layout, Scale, Slot, pack, unpack_bits

INTS = {"int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64}

# (type, order, bytes on the wire, number): worked out by hand from the manuals' usual words ABCD / EFGH
GOLDEN = [
    ("int16", "DCBA", "FFFE", -2),
    ("uint16", "CDAB", "FFFE", 65534),
    ("int32", "ABCD", "FFFE1DC0", -123456),
    ("int32", "CDAB", "1DC0FFFE", -123456),
    ("int32", "BADC", "FEFFC01D", -123456),
    ("int32", "DCBA", "C01DFEFF", -123456),
    ("uint32", "ABCD", "0001E240", 123456),
    ("uint32", "CDAB", "E2400001", 123456),
    ("uint32", "BADC", "010040E2", 123456),
    ("uint32", "DCBA", "40E20100", 123456),
    ("float32", "ABCD", "435C8000", 220.5),
    ("float32", "CDAB", "8000435C", 220.5),
    ("float32", "BADC", "5C430080", 220.5),
    ("float32", "DCBA", "00805C43", 220.5),
    ("int64", "ABCD", "FFFFFFFFFFFE1DC0", -123456),
    ("int64", "CDAB", "1DC0FFFEFFFFFFFF", -123456),
    ("uint64", "ABCD", "0102030405060708", 0x0102030405060708),
    ("uint64", "CDAB", "0708050603040102", 0x0102030405060708),
    ("uint64", "BADC", "0201040306050807", 0x0102030405060708),
    ("uint64", "DCBA", "0807060504030201", 0x0102030405060708),
    ("float64", "ABCD", "406B900000000000", 220.5),
    ("float64", "CDAB", "000000009000406B", 220.5),
    ("float64", "BADC", "6B40009000000000", 220.5),
    ("float64", "DCBA", "0000000000906B40", 220.5),
]


@pytest.mark.parametrize(("slot_type", "order", "wire", "number"), GOLDEN)
def test_golden(slot_type: str, order: str, wire: str, number: float) -> None:
    """Bytes as a manual prints them give the number it prints, both ways."""
    body = bytes.fromhex(wire)
    assert Layout([Slot(0, slot_type, order)], WIDTHS[slot_type]).unpack(body) == (number,)
    assert pack(number, slot_type, order) == body


@given(st.data(), st.sampled_from(sorted(FORMATS)), st.sampled_from(ORDERS))
def test_whatever_is_written_reads_back(data: st.DataObject, slot_type: str, order: str) -> None:
    """Any number of any type in any order comes back as it was, wherever it stands in its block."""
    if slot_type in INTS:
        bits = INTS[slot_type]
        low, high = (0, 2**bits - 1) if slot_type.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        number: float = data.draw(st.integers(low, high))
    else:
        number = data.draw(st.floats(width=32 if slot_type == "float32" else 64, allow_nan=False))
    before, after = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    body = bytes(2 * before) + pack(number, slot_type, order) + bytes(2 * after)
    layout = Layout([Slot(before, slot_type, order)], before + WIDTHS[slot_type] + after)
    assert layout.unpack(body) == (number,)


def test_mixed_block_with_holes() -> None:
    """One block with several types, orders and holes gives each number its own registers."""
    slots = [Slot(1, "uint16"), Slot(2, "float32", "CDAB"), Slot(6, "int64", "DCBA")]
    parts = [b"??", pack(7, "uint16", "ABCD"), pack(1.5, "float32", "CDAB"), b"????", pack(-9, "int64", "DCBA"), b"??"]
    assert Layout(slots, 11).unpack(b"".join(parts)) == (7, 1.5, -9)


@pytest.mark.parametrize(
    "slots", [[Slot(0, "uint32"), Slot(1, "uint16")], [Slot(3, "uint32")], [Slot(2, "int16"), Slot(0, "int16")]]
)
def test_numbers_cannot_share_registers(slots: list[Slot]) -> None:
    """Two numbers over one register, or one beyond the block, is refused instead of shifting its neighbours."""
    with pytest.raises(ValueError, match="overlaps"):
        Layout(slots, 4)


@pytest.mark.parametrize(
    ("number", "slot_type"),
    [(65536, "uint16"), (-1, "uint16"), (40000, "int16"), (2**32, "uint32"), (1e300, "float32")],
)
def test_what_does_not_fit_is_not_written(number: float, slot_type: str) -> None:
    """A number too big for its registers is an error, never its lower half."""
    with pytest.raises(OverflowError):
        pack(number, slot_type, "ABCD")


@given(st.lists(st.booleans(), min_size=1, max_size=2000))
def test_bits_are_packed_low_bit_first(bits: list[bool]) -> None:
    """§6.1: the first coil is the lowest bit of the first byte."""
    packed = sum(bit << at for at, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")
    assert unpack_bits(packed, range(len(bits))) == bits


def test_scaled_values_look_like_the_manual() -> None:
    """A tenth of a degree is 21.3, not 21.299999999999997; whole numbers stay whole."""
    tenth = Scale(0.1, 0.0)
    assert [tenth.value(raw, tenth.decimals) for raw in (3, 213, -7)] == [0.3, 21.3, -0.7]
    shifted = Scale(10.0, -400.0)
    assert (shifted.value(45, shifted.decimals), type(shifted.value(45, 0))) == (50, int)
    assert Scale().value(7, 0) == 7


@given(st.integers(0, 65535), st.sampled_from([1.0, 0.1, 0.01, 0.5, 10.0, -0.1]), st.sampled_from([0.0, -40.0, 0.5]))
def test_scaling_can_be_undone(raw: int, scale: float, offset: float) -> None:
    """What was shown can be written back."""
    scaling = Scale(scale, offset)
    assert scaling.raw(scaling.value(raw, scaling.decimals), "uint16") == raw


def test_infinity_is_not_written() -> None:
    """A float register takes finite numbers only."""
    with pytest.raises(OverflowError):
        Scale().raw(math.inf, "float32")
    assert struct.pack(">f", Scale().raw(1, "float32")) == bytes.fromhex("3F800000")
