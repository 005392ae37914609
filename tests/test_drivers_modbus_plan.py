"""Pure parts of the Modbus driver: block plans, schedule, breaker."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.modbus_frames import Answer, RtuFrames, TcpFrames, read_request
from gateway.drivers.modbus_params import ProfileModel
from gateway.drivers.modbus_plan import Block, Field, place, plan
from gateway.drivers.modbus_schedule import Poll, Schedule
from gateway.drivers.modbus_unit import LONGEST_PAUSE_S, OPEN_AFTER, Unit
from gateway.drivers.registers import pack
from tests.support_modbus import make_device, own_addresses, rtu_frame, tcp_frame

AT = datetime(2026, 1, 15, tzinfo=UTC)
PDU = ProfileModel(addressing="pdu", word_order="ABCD")


def fields(*specs: tuple[str, int, str], alarm: int = -1) -> list[Field]:
    points = {
        f"p{i}": {"table": table, "address": hex(at), "type": kind} | ({"class": "fire"} if i == alarm else {})
        for i, (table, at, kind) in enumerate(specs)
    }
    return [place(point, PDU) for point in make_device(1, points).points]


def spans(blocks: list[Block]) -> list[tuple[str, int, int]]:
    return [(block.table, block.start, block.count) for block in blocks]


def test_no_request_is_longer_than_the_standard_allows() -> None:
    """At most 125 registers and 2000 bits in one request."""
    registers = fields(*(("input", at, "uint16") for at in range(300)))
    assert spans(plan(registers, 8)) == [("input", 0, 125), ("input", 125, 125), ("input", 250, 50)]
    assert [block.count for block in plan(fields(*(("coil", at, "bool") for at in range(2001))), 0)] == [2000, 1]


def test_wide_gaps_are_not_read_across() -> None:
    """A gap within the limit is read along; one register more makes a second request."""
    assert spans(plan(fields(("input", 0, "uint16"), ("input", 9, "uint16")), 8)) == [("input", 0, 10)]
    assert spans(plan(fields(("input", 0, "uint16"), ("input", 10, "uint16")), 8)) == [
        ("input", 0, 1),
        ("input", 10, 1),
    ]
    assert len(plan(fields(("input", 0, "uint16"), ("input", 2, "uint16")), 0)) == 2


def test_fire_is_read_first() -> None:
    """The block with the alarm point leads, whatever its table or address."""
    found = plan(fields(("coil", 0, "bool"), ("holding", 5, "uint16"), ("input", 900, "uint16"), alarm=2), 8)
    assert found[0].table == "input"


def test_a_refused_block_is_parted_at_its_widest_hole() -> None:
    """The hole is what the device refuses most often; without one, the middle; a single number cannot be parted."""
    block = plan(fields(*(("input", at, "uint16") for at in (0, 1, 2, 8, 9))), 8)[0]
    assert spans(block.split()) == [("input", 0, 3), ("input", 8, 2)]
    even = plan(fields(*(("input", at, "uint16") for at in range(4))), 8)[0]
    assert spans(even.split()) == [("input", 0, 2), ("input", 2, 2)]
    assert plan(fields(("input", 0, "float64")), 8)[0].split() == []


@given(st.sets(st.integers(0, 3000), min_size=1, max_size=80), st.integers(0, 124))
def test_every_point_is_read_exactly_once(addresses: set[int], gap: int) -> None:
    """Whatever the map and the gap: one block has each point, and it carries the number of its own registers."""
    wanted = fields(*(("holding", 2 * at, "uint32") for at in addresses))
    blocks = plan(wanted, gap)
    got = {}
    for block in blocks:
        assert block.count <= 125
        body = own_addresses(b"\x03" + block.start.to_bytes(2, "big") + block.count.to_bytes(2, "big"))[2:]
        assert len(body) == block.answer_bytes
        for reading in block.readings(body, AT):
            assert reading.point_id not in got
            got[reading.point_id] = reading.value
    assert got == {each.point.id: each.address << 16 | each.address + 1 for each in wanted}


def test_bits_of_one_register_are_one_read() -> None:
    """Sixteen flags in a status word cost one register."""
    points = {f"f{bit}": {"table": "holding", "address": "7", "type": "bool", "bit": str(bit)} for bit in range(16)}
    blocks = plan([place(point, PDU) for point in make_device(1, points).points], 8)
    assert spans(blocks) == [("holding", 7, 1)]
    values = [reading.value for reading in blocks[0].readings(pack(0x8005, "uint16", "ABCD"), AT)]
    assert values == [True, False, True] + [False] * 12 + [True]


# --- schedule and breaker


def poll(unit: Unit, interval_s: float = 1.0, *, is_urgent: bool = False) -> Poll:
    unit.is_proven = True
    return Poll(f"d{unit.number}", unit, interval_s, [], is_urgent=is_urgent)


def test_the_beat_does_not_drift() -> None:
    """After an hour of polls that each take a while, the next is still due at start + phase + n × interval."""
    one = poll(Unit(1), 0.1)
    schedule = Schedule([one])
    schedule.lay_out(1000.0, "pile1")
    origin_s, noise = one.due_s, random.Random(3)
    for _ in range(36_000):
        now_s = one.due_s + noise.uniform(0, 0.05)
        assert schedule.pick(now_s, 0) is one
        schedule.take(one)
        assert schedule.put_back(one, now_s + 0.02) == 0
    assert one.due_s == pytest.approx(origin_s + 3600.0)


def test_missed_beats_are_skipped_and_counted() -> None:
    """A line that was blocked for 5 s does not ask five times at once."""
    one = poll(Unit(1), 1.0)
    schedule = Schedule([one])
    schedule.lay_out(0.0, "x")
    due_s = one.due_s
    schedule.pick(due_s, 0)
    schedule.take(one)
    assert schedule.put_back(one, due_s + 5.5) == 5
    assert one.due_s == pytest.approx(due_s + 6)


def test_polls_are_spread_over_the_interval() -> None:
    """A hundred devices do not all ask at the same moment, and slow polls do not wait a day for their first turn."""
    polls = [poll(Unit(number % 247 + 1), 86_400.0) for number in range(100)]
    Schedule(polls).lay_out(0.0, "x")
    dues = sorted(each.due_s for each in polls)
    assert dues[-1] < 5
    assert max(b - a for a, b in itertools.pairwise(dues)) < 0.06


def test_fire_goes_first_but_nobody_starves() -> None:
    """On a line that is too slow alarm points are preferred, yet other devices are read too."""
    urgent, plain = poll(Unit(1), is_urgent=True), [poll(Unit(number)) for number in range(2, 10)]
    schedule = Schedule([*plain, urgent])
    schedule.lay_out(0.0, "x")
    turns = []
    for beat in range(180):
        now_s = 10.0 + 0.5 * beat  # two turns a second where nine are due
        picked = schedule.pick(now_s, 0)
        assert picked is not None
        turns.append(picked.unit.number)
        schedule.take(picked)
        schedule.put_back(picked, now_s + 0.49)
    assert turns[0] == 1
    assert turns.count(1) > 2 * max(turns.count(number) for number in range(2, 10))
    assert min(turns.count(number) for number in range(2, 10)) >= 10


def test_a_unit_that_answers_is_asked_before_one_that_does_not() -> None:
    """Dead units wait for their share of the line."""
    dead, alive = poll(Unit(1), is_urgent=True), poll(Unit(2))
    dead.unit.failed(0.0)
    schedule = Schedule([dead, alive])
    schedule.lay_out(0.0, "x")
    assert schedule.pick(10.0, 0.0) is alive
    schedule.take(alive)
    assert schedule.pick(10.0, suspect_at_s=11.0) is None
    assert schedule.next_at_s(11.0) == 11.0
    assert schedule.pick(11.0, suspect_at_s=11.0) is dead


def test_a_breaker_opens_once_and_probes_less_and_less() -> None:
    """Three missed answers: lost, said once; probes with growing, spread, bounded pauses; one answer: found."""
    unit = Unit(5)
    assert unit.answered(0.02)
    assert not unit.answered(0.02)
    assert [unit.failed(float(n)) for n in range(OPEN_AFTER + 2)] == [False] * (OPEN_AFTER - 1) + [True, False, False]
    pauses = []
    for n in range(20):
        unit.failed(100.0 * n)
        pauses.append(unit.probe_at_s - 100.0 * n)
    assert pauses[0] < pauses[-1] <= LONGEST_PAUSE_S * 1.2
    others = []
    for number in range(1, 11):
        other = Unit(number)
        for _ in range(OPEN_AFTER):
            other.failed(0.0)
        others.append(other.probe_at_s)
    assert len(set(others)) == 10
    assert unit.answered(0.01)
    assert not unit.is_suspect


def test_probes_are_brief_but_now_and_then_patient() -> None:
    """A unit known to answer in 20 ms is probed for 100 ms, every fourth time for the full time-out."""
    unit = Unit(1)
    assert unit.patience_s(0.5) == 0.5  # nobody knows it yet
    unit.answered(0.02)
    found = []
    for _ in range(8):
        unit.failed(0.0)
        found.append(unit.patience_s(0.5))
    assert found == [0.1, 0.1, 0.1, 0.5] * 2


# --- frames


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_whatsoever_become_a_value(data: bytes, is_serial: bool) -> None:
    """Random bytes are never taken for an answer, never raise, and never claim more than there is."""
    frames = (RtuFrames if is_serial else TcpFrames)(lambda _: None)
    frames.request = read_request(1, 3, 0, 2, 4)
    used, answer = frames.handleFrame(data, 1, 0x4242)
    assert 0 <= used <= len(data)
    assert answer is None
    assert frames.verdict(data) in {"timeout", "short_frame", "crc", "wrong_unit", "garbage"}


@given(st.binary(max_size=60), st.integers(0, 64))
def test_a_serial_answer_is_found_among_foreign_bytes(noise: bytes, cut: int) -> None:
    """M4: whatever precedes or follows on the line, in whatever pieces, our answer is found, and only ours."""
    frames = RtuFrames(lambda _: None)
    frames.request = read_request(9, 3, 5, 2, 4)
    data = noise + rtu_frame(9, bytes.fromhex("03040005 0006")) + noise[::-1]
    early = min(cut, len(data))
    _, answer = frames.handleFrame(data[:early], 9, 0)
    if answer is None:
        _, answer = frames.handleFrame(data, 9, 0)
    assert isinstance(answer, Answer)
    assert (answer.wrong, answer.exception_code, answer.body) == ("", 0, bytes.fromhex("00050006"))


@given(st.integers(0, 65535), st.integers(0, 255), st.integers(0, 65535), st.binary(min_size=1, max_size=12))
def test_only_the_right_header_is_believed(transaction: int, unit: int, protocol: int, pdu: bytes) -> None:
    """An answer counts only with our transaction id, protocol 0, our unit, our function and the length we asked for."""
    frames = TcpFrames(lambda _: None)
    frames.request = read_request(9, 3, 5, 2, 4)
    _, answer = frames.handleFrame(tcp_frame(transaction, unit, pdu, protocol), 9, 77)
    if (transaction, unit, protocol) != (77, 9, 0):
        assert answer is None
    elif not (pdu[:2] == b"\x03\x04" and len(pdu) == 6) and not (pdu[0] == 0x83 and len(pdu) == 2):
        assert answer is not None
        assert answer.wrong
