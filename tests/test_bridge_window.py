"""Settlement, suspicion, pace and splitting: what is settled was answered, who is blamed is guilty."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.flight import Flight
from cloud_bridge.influx_split import _MAX_BAD_LINES, Line, Refused, write_all
from cloud_bridge.pace import Backoff, RateLimit
from cloud_bridge.suspicion import Row, Suspicion
from gateway.model import Lane, OutboxEntry
from tests.support_bridge import START

ALARM, TELEMETRY = Lane.ALARM, Lane.TELEMETRY


def entry(seq: int) -> OutboxEntry:
    return OutboxEntry(seq, TELEMETRY, START, b"12345")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=30), st.randoms(use_true_random=False), st.integers(0, 30))
def test_the_cursor_never_passes_a_row_without_an_answer(gaps: list[int], chance: random.Random, answers: int) -> None:
    """Invariant: every row up to the cursor was answered, in whatever order answers come, with trimmed rows missing."""
    seqs = [100 + sum(gaps[: index + 1]) for index in range(len(gaps))]
    flight = Flight(100)
    assert flight.send([entry(seq) for seq in seqs]) == [entry(seq) for seq in seqs]
    order = chance.sample(seqs, len(seqs))[:answers]
    for seq in order:
        flight.finish(seq)
    open_rows = [seq for seq in seqs if seq not in order]
    assert flight.settled == (min(open_rows) - 1 if open_rows else seqs[-1])
    assert list(flight.waiting) == open_rows
    assert flight.bytes == 5 * len(open_rows)
    again = flight.again()
    assert again.settled == flight.settled
    assert [each.seq for each in again.send([entry(seq) for seq in seqs if seq > flight.settled])] == open_rows
    assert (again.settled, list(again.waiting), again.bytes) == (flight.settled, open_rows, flight.bytes)


def test_an_outage_with_many_rows_in_flight_blames_none() -> None:
    """However often the session is lost with a full window, no row is put aside."""
    suspicion = Suspicion()
    rows = [Row(TELEMETRY, seq) for seq in range(50)]
    assert all(suspicion.refused(rows) is None for _ in range(20))
    assert suspicion.is_careful


def test_only_the_row_that_was_alone_each_time_is_blamed() -> None:
    """Three refusals in a row of the same lone telemetry row; another row in between starts anew."""
    suspicion = Suspicion()
    a, b, alarm, good = Row(TELEMETRY, 1), Row(TELEMETRY, 2), Row(ALARM, 1), Row(TELEMETRY, 3)
    suspicion.answered(good)
    assert [suspicion.refused([row]) for row in (a, a, b, a, a)] == [None] * 5
    assert suspicion.refused([a]) == a
    suspicion.answered(good)
    assert all(suspicion.refused([alarm]) is None for _ in range(50)), "no alarm was taken: perhaps it is the link"
    suspicion.answered(Row(ALARM, 2))
    assert suspicion.refused([alarm]) == alarm


def test_an_alarm_that_another_proves_bad_is_blamed_at_the_sixth_refusal() -> None:
    """Two bad alarms and a good one between: each is tried six times, neither hides the other, pauses grow."""
    suspicion = Suspicion()
    first, second = Row(ALARM, 1), Row(ALARM, 3)
    for _ in range(5):
        assert suspicion.refused([first], 100.0) is None
        suspicion.answered(Row(ALARM, 2))
        assert suspicion.refused([second], 100.0) is None
    assert suspicion.due_s(first) == 108.0
    assert suspicion.refused([first]) == first
    suspicion.answered(first, is_taken=False)
    suspicion.answered(Row(ALARM, 4))
    assert suspicion.refused([second]) == second


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=60))
def test_no_alarm_is_blamed_for_the_link(steps: list[tuple[bool, int]]) -> None:
    """Invariant: who is blamed was alone six times without being taken, and another alarm was taken meanwhile."""
    suspicion = Suspicion()
    refusals: dict[int, int] = {}
    proved: dict[int, bool] = {}
    for is_taken, seq in steps:
        if is_taken:
            suspicion.answered(Row(ALARM, seq))
            refusals.pop(seq, None)
            proved = dict.fromkeys(refusals, True)
        else:
            refusals[seq] = refusals.get(seq, 0) + 1
            proved[seq] = proved.get(seq, False) and refusals[seq] > 1
            if suspicion.refused([Row(ALARM, seq)]):
                assert refusals.pop(seq) >= 6
                assert proved.pop(seq)
                suspicion.answered(Row(ALARM, seq), is_taken=False)


def test_a_suspect_that_was_dropped_for_want_of_room_is_forgotten() -> None:
    """Telemetry that is gone will never be answered: the bridge must not send one row at a time for ever."""
    suspicion = Suspicion()
    suspicion.refused([Row(TELEMETRY, 1), Row(TELEMETRY, 2)])
    suspicion.gone(TELEMETRY, 0, 2)
    assert suspicion.is_careful
    suspicion.gone(TELEMETRY, 1, 2**62)
    assert not suspicion.is_careful


def test_a_row_that_was_answered_is_no_suspect() -> None:
    """After the suspects have gone through, the window opens again."""
    suspicion = Suspicion()
    rows = [Row(TELEMETRY, 1), Row(TELEMETRY, 2)]
    suspicion.refused(rows)
    for row in rows:
        assert suspicion.is_careful
        suspicion.answered(row)
    assert not suspicion.is_careful


def test_pauses_grow_to_a_bound_and_are_not_in_step() -> None:
    """A platform that is away is asked twice a minute, every few seconds for an alarm, and never before it asks for."""
    backoff = Backoff(random.Random(1))
    pauses = [backoff.next_s() for _ in range(40)]
    assert pauses[0] <= 0.5
    assert 15 <= min(pauses[10:]) <= max(pauses) <= 30
    assert len(set(pauses)) == len(pauses)
    assert backoff.with_alarm_s(30) <= 5
    assert backoff.next_s(120) == 120
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_the_rate_holds_over_any_second() -> None:
    """Ten rows a second are at most ten at once and ten more in the next second."""
    rate = RateLimit(10, 0.0)
    sent = 0
    for step in range(100):
        may = rate.allowance(step / 100, 50)
        rate.spend(may)
        sent += may
    assert sent <= 20
    assert rate.wait_s <= 0.1


def refuse(bad: set[bytes], written: list[bytes], lines: Sequence[bytes]) -> None:
    if bad & set(lines):
        raise Refused("400")
    written += lines


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=40), st.sets(st.integers(0, 400), max_size=8))
def test_splitting_finds_exactly_the_bad_lines(sizes: list[int], bad_numbers: set[int]) -> None:
    """Invariant: every good line of a tried row is written once, in order; exactly rows with bad lines are named."""
    seqs = [seq for seq, size in enumerate(sizes) for _ in range(size)]
    lines = [Line(seq, b"%d" % number) for number, seq in enumerate(seqs)]
    bad = {b"%d" % number for number in bad_numbers}
    written: list[bytes] = []
    result = write_all(lines, lambda texts: refuse(bad, written, texts), lambda: None)
    tried = [line for line in lines if line.seq not in result.kept]
    assert set(result.refused) == {line.seq for line in tried if line.text in bad}
    assert [text for text in written if int(text) < len(tried)] == [each.text for each in tried if each.text not in bad]


def test_a_row_of_nothing_but_bad_lines_is_given_up_early() -> None:
    """A row with thousands of refused lines costs a bounded number of requests."""
    lines = [Line(1, b"%d" % number) for number in range(4096)] + [Line(2, b"good")]
    bad = {line.text for line in lines if line.seq == 1}
    written: list[bytes] = []
    requests = 0

    def post(texts: Sequence[bytes]) -> None:
        nonlocal requests
        requests += 1
        refuse(bad, written, texts)

    result = write_all(lines, post, lambda: None)
    assert requests < 20 * _MAX_BAD_LINES
    assert list(result.refused) == [1]
    assert written == [b"good"]
    assert not result.kept


def test_where_everything_is_refused_no_line_is_blamed() -> None:
    """The check line is refused, too: the failure is the server's, and nothing is put aside."""

    def check() -> None:
        raise ConnectionError("refuses every write")

    def post(texts: Sequence[bytes]) -> None:
        refuse(set(texts), [], texts)

    with pytest.raises(ConnectionError):
        write_all([Line(1, b"a"), Line(2, b"b")], post, check)
