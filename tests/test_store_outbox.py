"""The outbox over days without a platform: little room, the same rows, and housekeeping that no commit waits for."""

from __future__ import annotations

import zlib
from pathlib import Path

import apsw
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Lane, OutboxEntry, Reading, Step
from gateway.store import outbox
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import CursorStore, OutboxReader
from gateway.store.packing import Packed, PackError, is_pack, pack, unpack
from tests.support_core import full_step, now, reading

OUTAGE_READINGS = 72 * 3600 * 200
FRESH = 10_000  # rows that housekeeping leaves alone


def journal(directory: Path, uplinks: tuple[str, ...] = ("platform",), limit: int = 2_000_000_000) -> Journal:
    return Journal(str(directory), uplinks, limit)


def append(store: Journal, count: int, items: int = 1) -> None:
    """As the gateway writes them, but in one transaction."""
    with store.connection as db:
        for n in range(count):
            readings = [reading(value=(n * 7 + k) % 997 / 10, seconds=n / 200) for k in range(items)]
            outbox.append(db, n * 5, readings, ())


def settle(directory: Path, seq: int) -> None:
    cursors = CursorStore(str(directory))
    cursors.adopt(OutboxReader(str(directory)).epoch)
    cursors.settle("platform", Lane.TELEMETRY, seq)
    cursors.close()


def tidy(store: Journal) -> int:
    """Housekeeping until nothing is left to do: how many pieces."""
    pieces = 1
    while store.trim(now()).is_more:
        pieces += 1
    return pieces


def everything(directory: Path, after: int = 0, limit: int = 64) -> list[OutboxEntry]:
    reader = OutboxReader(str(directory))
    found: list[OutboxEntry] = []
    while rows := reader.take(Lane.TELEMETRY, after, limit, max_bytes=20_000):
        found += rows
        after = rows[-1].seq
    reader.close()
    return [each._replace(body=zlib.decompress(each.body)) for each in found]


def stored(store: Journal) -> int:
    return int(str(store.connection.execute("SELECT count(*) FROM outbox_telemetry").fetchone()[0]))  # type: ignore[index]


ROWS = st.lists(st.tuples(st.integers(0, 2**41), st.text(max_size=40)), min_size=1, max_size=40)


@given(ROWS, st.integers(1, 2**50))
def test_what_was_packed_comes_out_as_it_was(rows: list[tuple[int, str]], first: int) -> None:
    """Number, instant and text of every row survive; only how hard it is compressed may differ."""
    given_rows = [
        Packed(first + n, at, zlib.compress(b'{"r":["' + text.encode().hex().encode() + b'"]}'))
        for n, (at, text) in enumerate(rows)
    ]
    found = unpack(pack(given_rows))
    assert [each[:2] for each in found] == [each[:2] for each in given_rows]
    assert [zlib.decompress(each.body) for each in found] == [zlib.decompress(each.body) for each in given_rows]


@given(st.binary(max_size=200))
def test_no_body_breaks_the_unpacking(noise: bytes) -> None:
    """Whatever stands on the disk, it is rows or `PackError`."""
    for body in (b"P" + noise, b"P" + zlib.compress(noise)):
        try:
            unpack(body)
        except PackError:
            continue


def test_the_bridge_sees_the_same_rows_before_and_after_packing(tmp_path: Path) -> None:
    """Days without a platform take a fraction of the rows, and nobody can tell: numbers, instants, texts, any piece."""
    store = journal(tmp_path)
    append(store, FRESH + 2_000)
    before = everything(tmp_path)
    backlog = OutboxReader(str(tmp_path)).backlog(Lane.TELEMETRY, 777)
    tidy(store)
    assert stored(store) < FRESH + 500
    assert everything(tmp_path) == before
    for after, limit in ((0, 1_000), (1, 7), (255, 3), (256, 64), (777, 33), (FRESH + 1_990, 64)):
        assert everything(tmp_path, after, limit) == before[after:]
    newest = OutboxReader(str(tmp_path)).tail(Lane.TELEMETRY, 777, 10**9)
    assert [each.seq for each in newest] == list(range(FRESH + 2_000, 777, -1))
    rows, size = OutboxReader(str(tmp_path)).backlog(Lane.TELEMETRY, 777)
    assert rows == backlog[0] == FRESH + 2_000 - 777
    assert size < backlog[1]


def test_while_the_platform_keeps_up_nothing_is_packed(tmp_path: Path) -> None:
    """The newest rows stay as they were written: a short outage costs no second writing."""
    store = journal(tmp_path)
    append(store, FRESH)
    tidy(store)
    assert stored(store) == FRESH


def test_a_pack_goes_when_its_last_row_is_settled(tmp_path: Path) -> None:
    """A cursor in the middle of a pack keeps it whole, and goes on at its own row."""
    store = journal(tmp_path)
    append(store, FRESH + 600)
    before = everything(tmp_path)
    tidy(store)
    settle(tmp_path, 300)
    tidy(store)
    assert everything(tmp_path, 300) == before[300:]
    assert everything(tmp_path)[0].seq == 257
    settle(tmp_path, FRESH + 600)
    tidy(store)
    assert stored(store) == 0


def test_72_hours_without_a_platform_fit_in_two_gigabytes(tmp_path: Path) -> None:
    """200 readings/s, each committed by itself as the gateway does it: file and log, measured and multiplied."""
    store = journal(tmp_path)
    count = FRESH + 30_000
    append(store, FRESH)
    tidy(store)
    store.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    base = (tmp_path / "shouwang.db").stat().st_size
    for _ in range(30):
        append(store, 1_000)
        tidy(store)
    store.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    each = ((tmp_path / "shouwang.db").stat().st_size - base) / (count - FRESH)
    assert each * OUTAGE_READINGS <= 2e9


def test_one_piece_of_trimming_is_bounded_by_bytes(tmp_path: Path) -> None:
    """Every page of a large row is read to free it: a commit must not wait for a hundred megabytes of that."""
    store = journal(tmp_path)
    with store.connection as db:
        for _ in range(40):
            db.execute("INSERT INTO outbox_telemetry (at_ms, items, body) VALUES (0, 9000, zeroblob(100000))")
    settle(tmp_path, 40)
    assert store.trim(now()).is_more
    assert stored(store) == 30
    tidy(store)
    assert stored(store) == 0


def test_after_a_start_the_rows_are_counted_in_pieces_and_the_bound_holds(tmp_path: Path) -> None:
    """Millions of rows of an outage are not added up while a commit waits, and the oldest still go first."""
    store = journal(tmp_path)
    append(store, 9_000)
    assert store.trim(now()).is_more, "it has counted everything at once"
    store.close()
    store = journal(tmp_path, limit=100_000)
    tidy(store)
    assert OutboxReader(str(tmp_path)).backlog(Lane.TELEMETRY, 0)[1] <= 100_000
    assert everything(tmp_path)[-1].seq == 9_000


def test_a_disk_that_is_full_before_all_is_counted_gives_up_a_tenth_and_not_everything(tmp_path: Path) -> None:
    """What a full disk may keep is reckoned from all there is."""
    store = journal(tmp_path)
    append(store, 9_000)
    store.connection.pragma("max_page_count", int(str(store.connection.pragma("page_count"))))
    batch = Batch([Step(now(), readings=[reading(value=float(n % 61)) for n in range(500)])])
    with pytest.raises(apsw.FullError):  # noqa: PT012 - which of them is the first that fails nobody knows
        for _ in range(1_000):
            store.commit(batch)
    tidy(store)
    assert stored(store) > 7_000


def test_a_damaged_row_is_packed_with_nobody(tmp_path: Path) -> None:
    """It stays where it is, so that the bridge can put aside it alone."""
    store = journal(tmp_path)
    append(store, FRESH + 600)
    store.connection.execute("UPDATE outbox_telemetry SET body = x'789c00' WHERE seq = 100")
    tidy(store)
    reader = OutboxReader(str(tmp_path))
    assert [each.seq for each in reader.take(Lane.TELEMETRY, 0, 1_000)] == list(range(1, 1_001))
    assert reader.take(Lane.TELEMETRY, 99, 1)[0].body == b"x\x9c\x00"


def test_a_pack_in_another_database_is_one_row_of_its_new_number(tmp_path: Path) -> None:
    """Carried home or mended its rows get new numbers: none is sent under a number that belongs to another."""
    store = journal(tmp_path)
    append(store, FRESH + 600)
    before = everything(tmp_path)
    tidy(store)
    store.connection.execute("UPDATE outbox_telemetry SET seq = 3 WHERE seq = 256")
    found = everything(tmp_path)
    assert [each.seq for each in found[:2]] == [3, 257]
    assert orjson.loads(found[0].body)["r"] == [orjson.loads(each.body)["r"][0] for each in before[:256]]
    assert OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 3, 1)[0].seq == 257


def test_a_damaged_pack_costs_its_own_rows_and_nothing_behind_them(tmp_path: Path) -> None:
    """It comes out as one row that no platform gets, under its last number; the next row follows."""
    store = journal(tmp_path)
    append(store, FRESH + 600)
    tidy(store)
    store.connection.execute("UPDATE outbox_telemetry SET body = substr(body, 1, 90) WHERE seq = 256")
    found = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0, 3)
    assert [each.seq for each in found] == [256, 257, 258]
    assert is_pack(found[0].body)


def test_a_reading_keeps_its_own_instant_beside_that_of_its_arrival(tmp_path: Path) -> None:
    """A device that was cut off tells late, one with a wrong clock tells of tomorrow: both go up as they were told."""
    store = journal(tmp_path)
    told = [now(seconds).utc for seconds in (-90.0, 0.0, 86_400.0)]
    with store.connection as db:
        outbox.append(db, 0, [Reading("3-2-03-0301/smoke/temp", 1.5, at, told[1]) for at in told], ())
    (row,) = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0)
    instants = [(each[2], each[3]) for each in orjson.loads(zlib.decompress(row.body))["r"]]
    assert instants == [(round(at.timestamp() * 1000), round(told[1].timestamp() * 1000)) for at in told]
    store.close()


def test_every_event_of_a_batch_is_a_row(tmp_path: Path) -> None:
    """Two fires and a return in one commit are three rows, in their order."""
    store = journal(tmp_path)
    told = [full_step(number) for number in (1, 2, 3)]
    with store.connection as db:
        outbox.append(db, 0, (), [(each, step.alarms[each.alarm_id]) for step in told for each in step.events])
    rows = OutboxReader(str(tmp_path)).take(Lane.ALARM, 0)
    assert [orjson.loads(each.body)["id"] for each in rows] == [step.events[0].id for step in told]
    store.close()
