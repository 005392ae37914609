"""50 million readings in the outbox, with no platform: what they cost after 1, 5, 10, 25 and 50 million.

Measured are a commit, a take, a piece of housekeeping, and the disk.

The rows are those that the gateway writes, in two shapes: at 200 readings/s nearly each reading is committed alone;
under load 256 come in one commit. Only filling goes faster than life: many rows in one transaction without fsync, with
the same housekeeping. What is measured are real commits (`Journal.commit`, synchronous=FULL).

``python -m benchmarks.outbox_growth [--millions 50] [--shape single|batch]``
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import apsw

from benchmarks import site
from benchmarks.harness import Lab
from benchmarks.report import Figure, Report, Spread, percentile, show
from gateway.clock import SystemClock
from gateway.model import Lane, Now, Reading, Step
from gateway.store import codec
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import CursorStore, OutboxReader

T = TypeVar("T")

MARKS = (1, 5, 10, 25, 50)  # millions of readings
SHAPES = {"single": 1, "batch": 256}  # readings of one commit
OUTAGE_READINGS = 72 * 3600 * 200
OUTAGE_BYTES = 2e9
LIMIT_BYTES = 50_000_000_000  # nothing is dropped here
GROWTH = 2.0  # from the first mark to the last, at p50: single runs on a shared machine vary by a third
COMMITS, TAKES = 1_000, 300
SAMPLES = 5_000  # different bodies, in turn
CHUNK = 20_000  # readings of one transaction of the filling
UPLINK = "platform"


@dataclass
class Stand:
    """What was measured at one mark; seconds of each sample."""

    millions: float
    commits: list[float] = field(default_factory=list)
    takes: list[float] = field(default_factory=list)
    pieces: list[float] = field(default_factory=list)  # of housekeeping: what a commit may have to wait
    disk: int = 0


def make_readings(count: int) -> list[Reading]:
    """Of 9,000 devices at random, 5 ms apart: temperatures, powers, states."""
    chance = random.Random(1)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for _ in range(count):
        at += timedelta(milliseconds=5)
        place = site.address(chance.randrange(1000), chance.randint(1, 9))
        value = chance.choice([round(20 + chance.random() * 10, 1), round(chance.random() * 100, 2), True, 93])
        found.append(Reading(f"{place}/env/v", value, at - timedelta(milliseconds=chance.randrange(400)), at))
    return found


class Store:
    """A gateway's store and a bridge's reader of one shape."""

    def __init__(self, directory: Path, items: int) -> None:
        self.directory = directory
        self.items = items
        self.journal = Journal(str(directory), [UPLINK], LIMIT_BYTES)
        readings = make_readings(max(SAMPLES, 20 * items))
        self._batches = [readings[n : n + items] for n in range(0, len(readings) - items + 1, items)]
        self._bodies = cycle([codec.telemetry_body(each) for each in self._batches])
        self._turn = cycle(self._batches)
        self.total = 0

    def now(self) -> Now:
        """The clocks."""
        return SystemClock().now()

    def fill(self, upto: int, stand: Stand) -> None:
        """Rows as the gateway's, fast, with all housekeeping there is."""
        db = self.journal.connection
        db.pragma("synchronous", 0)
        while self.total < upto:
            rows = CHUNK // self.items
            with db:
                db.executemany(
                    "INSERT INTO outbox_telemetry (at_ms, items, body) VALUES (?, ?, ?)",
                    ((1_767_225_600_000 + n, self.items, body) for n, body in enumerate(islice(self._bodies, rows))),
                )
            self.total += rows * self.items
            while self.tidy(stand):
                pass
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        db.pragma("synchronous", 2)

    def tidy(self, stand: Stand) -> bool:
        """One piece of housekeeping; True while there is more."""
        trimmed, took = timed(lambda: self.journal.trim(self.now()))
        stand.pieces.append(took)
        return trimmed.is_more

    def commit(self) -> None:
        """One batch, as the pipeline commits it."""
        readings = next(self._turn)
        self.journal.commit(Batch([Step(self.now(), readings=readings)], [b"0123456789"] * len(readings)))
        self.total += self.items

    def disk(self) -> int:
        """Bytes of the database and its log."""
        return sum(each.stat().st_size for each in self.directory.glob("shouwang.db*") if "shm" not in each.name)

    def measure(self, stand: Stand) -> None:
        """Real commits with their housekeeping, then takes at the oldest, in the middle and near the newest row."""
        for n in range(COMMITS):
            stand.commits.append(timed(self.commit)[1])
            if n % 200 == 0:  # a second at 200 readings/s
                self.tidy(stand)
        reader = OutboxReader(str(self.directory))
        newest = reader.last_seq(Lane.TELEMETRY)
        for start in (0, newest // 2, max(0, newest - 30_000)):
            after = start
            for _ in range(TAKES // 3):
                rows, took = timed(lambda after=after: reader.take(Lane.TELEMETRY, after))  # type: ignore[misc]
                stand.takes.append(took)
                after = rows[-1].seq if rows else start
        reader.close()
        stand.disk = self.disk()

    def settle_all(self) -> None:
        """The platform is back and has taken everything."""
        reader = OutboxReader(str(self.directory))
        cursors = CursorStore(str(self.directory))
        cursors.adopt(reader.epoch)
        for lane in Lane:
            cursors.settle(UPLINK, lane, reader.last_seq(lane))
        cursors.close()
        reader.close()


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it answered, and the seconds it took."""
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began


def measure(shape: str, marks: tuple[float, ...]) -> tuple[list[Stand], Stand, float]:
    """The stands at the marks; then the platform takes all: pieces of trimming; seconds of the first piece after a
    start with everything in it.
    """  # noqa: D205 - one paragraph
    stands = []
    with Lab() as lab:
        store = Store(lab.dir, SHAPES[shape])
        for mark in marks:
            stand = Stand(mark)
            store.fill(int(mark * 1e6) - COMMITS * store.items, Stand(mark))
            store.measure(stand)
            stands.append(stand)
            print(f"{shape} {mark:g} M: {_line(stand)}", flush=True)
        store.journal.close()
        (store.journal, first_s) = timed(lambda: Journal(str(lab.dir), [UPLINK], LIMIT_BYTES))
        first_s += timed(lambda: store.journal.trim(store.now()))[1]
        store.settle_all()
        drain = Stand(marks[-1])
        while store.tidy(drain):
            drain.commits.append(timed(store.commit)[1])
        store.journal.close()
    return stands, drain, first_s


def _line(stand: Stand) -> str:
    return (
        f"commit p50 {_ms(stand.commits, 0.5):.2f} p99 {_ms(stand.commits, 0.99):.2f} ms, "
        f"take p50 {_ms(stand.takes, 0.5):.2f} p99 {_ms(stand.takes, 0.99):.2f} ms, "
        f"{stand.disk / 1e6 / stand.millions:.1f} MB per million"
    )


def _ms(samples: list[float], share: float) -> float:
    return percentile(samples, share) * 1000


def hold_the_log(commits: int = 5_000) -> tuple[float, float]:
    """A reader that stands still in the middle of a read: log bytes per commit; then the slowest commit, in ms, after
    it went on.
    """  # noqa: D205 - one paragraph
    with Lab() as lab:
        store = Store(lab.dir, 1)
        store.commit()
        reader = apsw.Connection(str(lab.dir / "shouwang.db"), flags=apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM outbox_telemetry").fetchall()
        for _ in range(commits):
            store.commit()
        grown = (lab.dir / "shouwang.db-wal").stat().st_size / commits
        reader.execute("COMMIT")
        reader.close()
        slowest = max(timed(store.commit)[1] for _ in range(2_000))
        store.journal.close()
        return grown, slowest * 1000


def run(millions: float = 50, shapes: tuple[str, ...] = tuple(SHAPES)) -> Report:
    """Every shape in turn, each in a directory of its own."""
    report = Report(f"Outbox of {millions:g} million readings, no platform")
    marks = (*(mark for mark in MARKS if mark < millions), millions)
    for shape in shapes:
        stands, drain, first_s = measure(shape, marks)
        report.figures += list(_figures(shape, stands, drain, first_s))
        report.notes += [f"{shape} {each.millions:g} M: {_line(each)}" for each in stands]
    grown, slowest = hold_the_log()
    report.figures.append(Figure("log per commit, a reader stands still", "kB", "", Spread((grown / 1e3,)), form=".1f"))
    report.figures.append(Figure("slowest commit after it went on", "ms", "", Spread((slowest,)), form=".1f"))
    report.notes.append(
        f"{COMMITS} commits and {TAKES} takes (oldest, middle, newest rows) at each mark; "
        "single: one reading a commit; batch: 256"
    )
    return report


def _figures(shape: str, stands: list[Stand], drain: Stand, first_s: float) -> Iterator[Figure]:
    first, last = stands[0], stands[-1]
    for name in ("commit", "take"):
        early, late = getattr(first, name + "s"), getattr(last, name + "s")
        growth = _ms(late, 0.5) / _ms(early, 0.5)
        yield _upto(f"{shape}: {name} p50, {last.millions:g} M against {first.millions:g} M", "×", growth, GROWTH)
        yield _upto(f"{shape}: {name} p99 at {last.millions:g} M", "ms", _ms(late, 0.99))
    yield _upto(f"{shape}: disk per million readings", "MB", last.disk / 1e6 / last.millions)
    hours = last.disk / last.millions / 1e6 * OUTAGE_READINGS / 1e9
    yield _upto(f"{shape}: 72 h at 200 readings/s", "GB", hours, OUTAGE_BYTES / 1e9)
    pieces = last.pieces + drain.pieces
    yield _upto(f"{shape}: a piece of housekeeping p99 of {len(pieces)}", "ms", _ms(pieces, 0.99))
    yield _upto(f"{shape}: the longest piece", "ms", _ms(pieces, 1))
    yield _upto(f"{shape}: commit p99 while all of it is trimmed", "ms", _ms(drain.commits, 0.99))
    yield _upto(f"{shape}: opening it, and the first piece after a start", "ms", first_s * 1000)


def _upto(name: str, unit: str, found: float, most: float = 0) -> Figure:
    holds = (lambda _: found <= most) if most else None
    return Figure(name, unit, f"≤ {most:g}" if most else "", Spread((found,)), holds=holds)


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--millions", type=float, default=50)
    options.add_argument("--shape", choices=list(SHAPES), action="append")
    given = options.parse_args()
    show(run(given.millions, tuple(given.shape or SHAPES)))


if __name__ == "__main__":
    main()
