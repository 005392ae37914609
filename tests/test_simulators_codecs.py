"""What simulated devices put on the wire, and understand: payloads and registers."""

from __future__ import annotations

import dataclasses

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import payloads
from simulators.registers import IllegalAddress, IllegalValue, UnitMemory, decode, encode
from simulators.site import load
from simulators.spec import Register, SimDevice, SimError, Value
from tests.support_sim import CASE

SITE = load(CASE)
SIREN, DOOR, SOS = (SITE.devices[each] for each in ("3-1-01/siren", "3-1-01/door", "3-2-03-0301/sos"))
METER = SITE.devices["3-1-B1-CP02/meter"]


def test_a_report_has_the_shape_of_the_profile() -> None:
    """Nested fields, list items, the device's time, its sequence and its words stand where the profile says."""
    smoke = SITE.devices["3-2-03-0301/smoke"]
    said = orjson.loads(payloads.report(smoke, {"alarm": True, "battery": 88}, 1_700_000_000_123, 5).payload)
    assert said == {"data": {"alarm": True, "list": [None, 88]}, "ts": 1_700_000_000_123, "seq": 5}
    assert orjson.loads(payloads.report(SIREN, {"on": True}, 0, 1).payload) == {"state": "ON"}
    sos = payloads.report(SOS, {"action": "emergency", "battery": 90}, 0, 1)
    assert (sos.topic, orjson.loads(sos.payload)["sn"]) == ("sos/up", "00123")


def test_shapes_of_other_makers() -> None:
    """Plain text payloads, arrays of devices, inverted and scaled values are played, too."""
    on = SIREN.points["on"]
    text = dataclasses.replace(SIREN, is_text=True, points={"on": dataclasses.replace(on, path=())})
    assert payloads.report(text, {"on": False}, 0, 1).payload == b"OFF"
    in_array = dataclasses.replace(SOS, each_path=("list",))
    assert orjson.loads(payloads.report(in_array, {"action": "", "battery": 1}, 0, 1).payload)["list"][0]["bat"] == 1
    battery = dataclasses.replace(SOS.points["battery"], scale=0.5)
    assert payloads.said(battery, 50) == 100
    assert payloads.said(dataclasses.replace(on, words={}, is_inverted=True), True) is False


@pytest.mark.parametrize(
    ("device", "payload", "expected"),
    [
        (SIREN, b'{"state":"ON"}', [("on", True)]),
        (SIREN, b'{"state":true}', [("on", True)]),
        (SIREN, b'{"state":"toggle"}', []),
        (SIREN, b"ON", []),
        (SIREN, b'{"state":{"x":1}}', []),
        (SIREN, b"\xff{", []),
        (DOOR, b'{"cmd":"release","on":true}', [("release", True)]),
        (DOOR, b'{"cmd":"other","on":true}', []),
        (DOOR, b"[]", []),
    ],
)
def test_a_device_acts_only_on_commands_meant_for_it(
    device: SimDevice, payload: bytes, expected: list[tuple[str, Value]]
) -> None:
    """Anything but the profile's own command leaves the device as it is."""
    topic = next(point.set_topic.topic for point in device.points.values() if point.set_topic)
    assert list(payloads.understood(device, topic, payload)) == expected


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("ABCD", [0x1234, 0x5678]),
        ("CDAB", [0x5678, 0x1234]),
        ("BADC", [0x3412, 0x7856]),
        ("DCBA", [0x7856, 0x3412]),
    ],
)
def test_the_four_word_orders(order: str, words: list[int]) -> None:
    """The classic test value of the manuals, in each order."""
    assert encode(Register("holding", 0, "uint32", order), 0x12345678) == words


@given(
    st.sampled_from(["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.data(),
)
def test_what_is_written_reads_back(kind: str, order: str, data: st.DataObject) -> None:
    """Invariant: decode undoes encode for every type and order."""
    register = Register("holding", 0, kind, order)
    if "float" in kind:
        value: float = data.draw(st.floats(allow_nan=False, allow_infinity=False, width=int(kind[5:])))  # type: ignore[arg-type]
    else:
        bits = int(kind.lstrip("uint"))
        low = 0 if kind.startswith("u") else -(2 ** (bits - 1))
        value = data.draw(st.integers(low, low + 2**bits - 1))
    assert decode(register, encode(register, value)) == value


def test_numbers_beyond_the_register_are_clamped() -> None:
    """A value too large for its register saturates, as real meters do, and never wraps round."""
    assert encode(Register("input", 0, "uint16", scale=0.1), 99_999) == [0xFFFF]
    assert encode(Register("input", 0, "int16", scale=0.1), -99_999) == [0x8000]


def test_overlapping_maps_are_refused() -> None:
    """A profile that puts two points into one register is told so at the start."""
    limit = METER.points["limit"]
    assert limit.register
    moved = dataclasses.replace(limit, register=dataclasses.replace(limit.register, address=1))
    clash = dataclasses.replace(METER, points={**METER.points, "limit": moved})
    with pytest.raises(SimError, match="claimed by"):
        UnitMemory([clash], lambda _: {}, lambda *_: None)


def test_writes_are_whole_values_of_writable_points_or_refused() -> None:
    """Half a value or a read-only register is answered with the exception of the specification; nothing is written."""
    written: list[tuple[str, Value]] = []
    memory = UnitMemory([METER], lambda _: {}, lambda _, point, value: written.append((point, value)))
    with pytest.raises(IllegalAddress):
        memory.set("holding", 0, [1, 2])
    with pytest.raises(IllegalValue):
        memory.set("holding", 20, [1])
    with pytest.raises(IllegalValue):
        memory.set("holding", 21, [1])
    assert not written
    memory.set("holding", 20, [200, 0])
    memory.set("holding", 30, [0x4000])
    assert written == [("limit", 100.0), ("flag.1", True), ("flag.2", False)]
