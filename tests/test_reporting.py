"""Report on change: fewer readings, and what the cloud has is true within the deadband."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.encode import readings as readings_of
from gateway.model import Lane, Now, Quality, Reading, Report, Step, Value
from gateway.reporting import Reporting
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import OutboxReader

START = datetime(2026, 3, 1, tzinfo=UTC)
POINT = "3-1-B1-CP01/meter/power"
OTHER = "3-1-B1-CP01/meter/volts"


def _now(at_s: float) -> Now:
    return Now(START + timedelta(seconds=at_s), at_s)


def _reading(value: Value | None, at_s: float = 0.0, quality: Quality = Quality.GOOD, point: str = POINT) -> Reading:
    at = START + timedelta(seconds=at_s)
    return Reading(point, None if quality is Quality.BAD else value, at, at, quality)


class Cloud:
    """What a platform has of one point, second by second."""

    def __init__(self, report: Report, held: tuple[Reading, ...] = ()) -> None:
        self.reporting = Reporting({POINT: report}, held)
        self.sent: list[tuple[float, Value | None]] = []

    def hear(self, at_s: float, *readings: Reading) -> None:
        self.reporting.begin()
        self.sent += [(at_s, each.value) for each in self.reporting.sift(readings, at_s)]
        self.reporting.settle()

    def tick(self, at_s: float) -> None:
        self.reporting.begin()
        self.sent += [(at_s, each.value) for each in self.reporting.due(at_s)]
        self.reporting.settle()


def _played(report: Report, values: Sequence[tuple[float, Value]], end_s: float) -> Cloud:
    cloud = Cloud(report)
    waiting = list(values)
    for second in range(int(end_s) + 1):
        while waiting and waiting[0][0] <= second:
            at_s, value = waiting.pop(0)
            cloud.hear(at_s, _reading(value, at_s))
        cloud.tick(second)
    return cloud


@pytest.mark.parametrize(
    ("report", "values", "sent"),
    [
        (Report(deadband=5), [(0, 100), (1, 104), (2, 105), (3, 105.1), (4, 100.2)], [100, 105.1]),
        (Report(), [(0, True), (1, True), (2, False), (3, False), (4, True)], [True, False, True]),
        (Report(least_s=10), [(0, 1), (1, 2), (2, 3)], [1, 3]),  # of several changes the last, when its time has come
        (Report(least_s=10), [(0, 1), (1, 2), (2, 1)], [1]),  # and none when it is over before
        (Report(least_s=10), [(0, 1), (15, 2)], [1, 2]),
        (Report(deadband=5, most_s=10), [(0, 1), (5, 1), (10, 2), (11, 2)], [1, 2]),
    ],
)
def test_what_goes_up(report: Report, values: list[tuple[float, Value]], sent: list[Value]) -> None:
    """Deadband, least and most, each by an example."""
    assert [value for _, value in _played(report, values, 60).sent] == sent


def test_a_held_change_goes_up_at_the_end_of_its_time() -> None:
    """Not before, and not later than the next look."""
    assert _played(Report(least_s=10), [(0, 1), (1, 2)], 60).sent == [(0, 1), (10, 2)]


def test_a_value_that_is_lost_or_found_is_a_change() -> None:
    """A bad reading has no value and is always news; a state told again is not."""
    cloud = Cloud(Report(deadband=1000))
    for second, quality in enumerate(
        (Quality.GOOD, Quality.RETAINED, Quality.STALE, Quality.BAD, Quality.BAD, Quality.GOOD)
    ):
        cloud.hear(second, _reading(1, second, quality))
    assert [at_s for at_s, _ in cloud.sent] == [0, 2, 3, 5]


def test_what_is_no_number_is_news_each_time() -> None:
    """A comparison with it says nothing."""
    assert len(_played(Report(deadband=1), [(0, float("nan")), (1, float("nan"))], 5).sent) == 2


steps = st.lists(st.tuples(st.integers(0, 9), st.integers(-50, 50)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(steps=steps, deadband=st.integers(0, 20), least_s=st.integers(0, 15), most_s=st.sampled_from([0, 20, 40]))
def test_the_cloud_is_right_within_the_deadband_once_min_is_over(
    steps: list[tuple[int, int]], deadband: int, least_s: int, most_s: int
) -> None:
    """At every moment: if the truth has not changed for ``least_s``, the cloud has it but for the deadband.

    And two that are sent are never nearer than ``least_s``; every reading was sent, held or saved.
    """
    at_s, values = 0, []
    for pause_s, value in steps:
        at_s += pause_s
        values.append((float(at_s), value))
    cloud = _played(Report(deadband, least_s, most_s), values, at_s + 40)
    for second in range(at_s + 41):
        truth = [(when, value) for when, value in values if when <= second]
        sent = [value for when, value in cloud.sent if when <= second]
        if not truth or second - truth[-1][0] < least_s + 1:
            continue
        assert sent, "nothing was ever sent"
        assert isinstance(sent[-1], int)
        assert abs(sent[-1] - truth[-1][1]) <= deadband
    times = [when for when, _ in cloud.sent]
    assert all(later - before >= least_s for before, later in itertools.pairwise(times))
    assert len(values) == len(cloud.sent) + cloud.reporting.saved


def test_nothing_is_touched_where_nothing_is_configured() -> None:
    """The usual gateway pays less than 0.3 µs a reading."""
    reporting = Reporting({})
    batch = [Step(_now(0), readings=[_reading(each) for each in range(10_000)])]
    costs = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(reporting.pick(batch)) == 10_000
        costs.append((time.perf_counter() - start) / 10_000)
    assert min(costs) < 0.3e-6


# With the journal


def _journal(directory: Path, least_s: float = 10.0) -> Journal:
    return Journal(str(directory), ["cloud"], 10**9, reports={POINT: Report(1.0, least_s)})


def _commit(journal: Journal, at_s: float, *readings: Reading) -> None:
    journal.commit(Batch([Step(_now(at_s), readings=list(readings))]))


def _outbox(directory: Path) -> list[tuple[str, Value]]:
    reader = OutboxReader(str(directory))
    try:
        return [(row[0], row[1]) for entry in reader.take(Lane.TELEMETRY, 0, 1000) for row in readings_of(entry.body)]
    finally:
        reader.close()


def test_what_is_saved_is_counted_and_other_points_go_up_whole(tmp_path: Path) -> None:
    """Housekeeping says how many readings were kept back for good; a point without report is not touched."""
    journal = _journal(tmp_path)
    for second in range(5):
        _commit(journal, second, _reading(20, second), _reading(second, second, point=OTHER))
    assert [value for point, value in _outbox(tmp_path) if point == POINT] == [20]
    assert [value for point, value in _outbox(tmp_path) if point == OTHER] == [0, 1, 2, 3, 4]
    assert journal.trim(_now(5)).saved == 4
    assert journal.trim(_now(6)).saved == 0
    journal.close()


def test_a_kill_loses_no_change_and_repeats_at_most_one(tmp_path: Path) -> None:
    """What was held when the power went is sent after the start, though the device says nothing more."""
    journal = _journal(tmp_path)
    _commit(journal, 0, _reading(20))
    _commit(journal, 1, _reading(90, 1))
    journal.close()  # nothing is written at a close: as good as a kill
    journal = _journal(tmp_path)
    assert _outbox(tmp_path) == [(POINT, 20)]
    journal.trim(_now(2))
    assert _outbox(tmp_path) == [(POINT, 20), (POINT, 90)]
    journal.trim(_now(30))
    journal.close()
    journal = _journal(tmp_path)
    journal.trim(_now(31))
    _commit(journal, 32, _reading(90, 32))
    assert _outbox(tmp_path) == [(POINT, 20), (POINT, 90), (POINT, 90)], "the first reading after a start, and no other"
    journal.close()


def test_a_reading_after_the_start_takes_the_place_of_what_was_held(tmp_path: Path) -> None:
    """The newer one is the truth."""
    journal = _journal(tmp_path)
    _commit(journal, 0, _reading(20))
    _commit(journal, 1, _reading(90, 1))
    journal.close()
    journal = _journal(tmp_path)
    _commit(journal, 2, _reading(50, 2))
    journal.trim(_now(60))
    assert _outbox(tmp_path) == [(POINT, 20), (POINT, 50)]
    journal.close()


def test_what_is_held_goes_up_though_its_report_was_removed(tmp_path: Path) -> None:
    """A changed configuration costs no change."""
    journal = _journal(tmp_path)
    _commit(journal, 0, _reading(20))
    _commit(journal, 1, _reading(90, 1))
    journal.close()
    journal = Journal(str(tmp_path), ["cloud"], 10**9)
    journal.trim(_now(2))
    assert _outbox(tmp_path) == [(POINT, 20), (POINT, 90)]
    journal.close()


def test_a_damaged_row_keeps_no_gateway_from_starting(tmp_path: Path) -> None:
    """What can be read of what was held is sent."""
    journal = _journal(tmp_path)
    _commit(journal, 0, _reading(20))
    _commit(journal, 1, _reading(90, 1))
    for name, body in (("a/b/c", "[1"), ("a/b/d", "[1, 2]"), ("a/b/e", '[1, 2, 9e99, "good", ""]')):
        journal.connection.execute("INSERT INTO held_readings VALUES (?, ?)", (name, body))
    journal.close()
    journal = _journal(tmp_path)
    journal.trim(_now(2))
    assert _outbox(tmp_path) == [(POINT, 20), (POINT, 90)]
    journal.close()


def test_a_commit_that_fails_has_sent_nothing(tmp_path: Path) -> None:
    """The same batch again after the disk has refused it is sent, not taken for known."""
    journal = _journal(tmp_path)
    limit = int(str(journal.connection.pragma("page_count")))
    journal.connection.pragma("max_page_count", limit)
    big = [_reading("x" * 4000, point=f"{OTHER}{each}") for each in range(5)]
    big = [each._replace(value=orjson.dumps([index] * 3000).decode() + str(each)) for index, each in enumerate(big)]
    with pytest.raises(apsw.FullError):
        _commit(journal, 0, _reading(20), *big * 40)
    journal.connection.pragma("max_page_count", limit * 100)
    _commit(journal, 0, _reading(20))
    assert _outbox(tmp_path) == [(POINT, 20)]
    journal.close()
