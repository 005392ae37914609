"""Carrying records out of a damaged database, off a dead disk, and home: nothing twice, numbers go on."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from gateway.model import SYSTEM, AlarmEvent, Lane, Step
from gateway.store.carry import bring_home, flee, mend, settle_in
from gateway.store.database import GATEWAY_FILE, epoch, open_gateway
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import OutboxReader
from gateway.store.still import still
from tests.support_core import alarm, now, reading

INTERIOR = (2, 5)  # page types of a b-tree's inner pages (SQLite's file format, 1.6)
NOTHING = dict.fromkeys(Lane, 0)


def fill(directory: Path, numbers: range) -> None:
    """Alarms, and a reading with each."""
    journal = Journal(str(directory), ["cloud"], 10_000_000)
    for n in numbers:
        told = alarm(n)
        event = AlarmEvent(told.id, 1, "raised", told.raised_at, SYSTEM, {})
        journal.commit(
            Batch([Step(now(n), readings=[reading(value=float(n))], events=[event], alarms={told.id: told})])
        )
    journal.close()


def ids(db: apsw.Connection) -> list[str]:
    return [str(key) for (key,) in db.execute("SELECT id FROM alarms ORDER BY id")]


def seqs(directory: Path, lane: Lane) -> list[int]:
    reader = OutboxReader(str(directory))
    found = [each.seq for each in reader.take(lane, 0, 10_000, 10_000_000)]
    reader.close()
    return found


def test_what_lies_around_a_damaged_page_is_kept_and_the_numbers_go_on(tmp_path: Path) -> None:
    """One leaf of the alarms in the middle is garbage: every alarm before and behind it comes over; the outbox keeps
    its epoch and its numbers, and the next row gets the next one."""
    fill(tmp_path, range(400))
    path = tmp_path / GATEWAY_FILE
    lost = ruin_a_leaf(path, "alarms")
    assert 0 < lost < 100
    fresh = open_gateway(str(tmp_path / "fresh"))
    with still(path) as source:
        carried = mend(source, fresh, NOTHING)
        assert epoch(source) == epoch(fresh)
    assert "alarms" in carried.damaged
    assert len(ids(fresh)) == 400 - lost
    fresh.close()
    fill(tmp_path / "fresh", range(400, 401))
    assert seqs(tmp_path / "fresh", Lane.TELEMETRY) == [*range(1, 402)]
    assert seqs(tmp_path / "fresh", Lane.ALARM) == [*range(1, 402)]


def test_what_clouds_have_is_not_carried_into_memory_and_comes_home_once(tmp_path: Path) -> None:
    """The refuge gets the open alarms and the words that wait for a cloud; home again, the words since are there once,
    also where the power failed before the refuge was cleared."""
    fill(tmp_path / "home", range(10))
    refuge = open_gateway(str(tmp_path / "refuge"))
    with still(tmp_path / "home" / GATEWAY_FILE) as source:
        flee(source, refuge, {Lane.ALARM: 8, Lane.TELEMETRY: 0})
        assert epoch(source) != epoch(refuge)
    assert len(ids(refuge)) == 10
    refuge.close()
    assert len(seqs(tmp_path / "refuge", Lane.ALARM)) == 2
    fill(tmp_path / "refuge", range(10, 13))
    home = open_gateway(str(tmp_path / "home"))
    for is_first in (True, False):
        with still(tmp_path / "refuge" / GATEWAY_FILE) as source:
            assert (bring_home(source, home, {Lane.ALARM: 2, Lane.TELEMETRY: 0}) is not None) is is_first
    assert len(ids(home)) == 13
    home.close()
    assert seqs(tmp_path / "home", Lane.ALARM) == [*range(1, 14)]
    assert seqs(tmp_path / "home", Lane.TELEMETRY) == [*range(1, 14)]


def test_a_still_view_has_the_newest_commits_and_touches_nothing(tmp_path: Path) -> None:
    """What is only in the log is seen; the files are the same bytes afterwards, and writing is refused."""
    db = open_gateway(str(tmp_path))
    db.execute("INSERT INTO meta VALUES ('word', 'in the log')")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with still(tmp_path / GATEWAY_FILE) as view:
        assert view.execute("SELECT value FROM meta WHERE key = 'word'").fetchall() == [("in the log",)]
        with pytest.raises(apsw.ReadOnlyError):
            view.execute("DELETE FROM meta")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    db.close()


def ruin_a_leaf(path: Path, table: str) -> int:
    """Garbage in a leaf in the middle of the table; how many rows were on it."""
    db = apsw.Connection(str(path))
    size = int(str(db.pragma("page_size")))
    ((root,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()
    data = bytearray(path.read_bytes())
    number = int(str(root))
    while data[first := (number - 1) * size] in INTERIOR:
        cells = int.from_bytes(data[first + 3 : first + 5], "big")
        pointer = first + 12 + 2 * (cells // 2)
        cell = first + int.from_bytes(data[pointer : pointer + 2], "big")
        number = int.from_bytes(data[cell : cell + 4], "big")
    rows = int.from_bytes(data[first + 3 : first + 5], "big")
    data[first : first + size] = b"\xff" * size
    path.write_bytes(data)
    return rows


def _versions(directory: Path, *versions: int, number: int = 1, at_s: float = 0.0) -> None:
    """Events of one alarm; the last is its end."""
    journal = Journal(str(directory), ["cloud"], 10_000_000)
    for version in versions:
        told = alarm(number, version=version, is_open=version < 3)
        event = AlarmEvent(told.id, version, "raised", now(at_s + version).utc, SYSTEM, {})
        journal.commit(Batch([Step(now(at_s + version), events=[event], alarms={told.id: told})]))
    journal.close()


def _home(directory: Path) -> list[tuple[int, int, int]]:
    """By alarm: is it open, its version, how many events."""
    db = open_gateway(str(directory))
    found = db.execute(
        "SELECT is_open, body ->> 'version', (SELECT count(*) FROM alarm_events WHERE alarm_id = id) FROM alarms"
    ).fetchall()
    db.close()
    return [(int(str(a)), int(str(b)), int(str(c))) for a, b, c in found]


def test_a_refuge_that_was_left_behind_takes_nothing_back_at_home(tmp_path: Path) -> None:
    """A gateway has gone on at home meanwhile (started by hand, it saw no refuge): what ended there stays ended, and
    who was given an account has it. What had happened in the refuge comes all the same."""
    home, away = tmp_path / "home", tmp_path / "refuge"
    _versions(home, 1)
    refuge = open_gateway(str(away))
    with still(home / GATEWAY_FILE) as source:
        flee(source, refuge, NOTHING)
    refuge.close()
    _versions(away, 1, number=2, at_s=100)
    _versions(home, 2, 3)
    db = open_gateway(str(home))
    db.execute("INSERT INTO users VALUES ('zhang', 'duty', 'x', 0)")
    with still(away / GATEWAY_FILE) as source:
        bring_home(source, db, NOTHING)
    assert db.execute("SELECT name FROM users").fetchall() == [("zhang",)]
    db.close()
    assert _home(home) == [(0, 3, 3), (1, 1, 1)]


def test_an_alarm_of_a_blind_flight_can_be_handled_at_home(tmp_path: Path) -> None:
    """Nothing could be read of the dead disk, so that occurrences began again; then the disk is there after all. The
    alarm of that number is the one that rings now, and what people do with it can be stored."""
    home, away = tmp_path / "home", tmp_path / "refuge"
    _versions(home, 1, 2, 3)
    refuge = open_gateway(str(away))
    settle_in(refuge, [])
    refuge.close()
    _versions(away, 1, at_s=100)
    db = open_gateway(str(home))
    with still(away / GATEWAY_FILE) as source:
        bring_home(source, db, NOTHING)
    db.close()
    assert _home(home) == [(1, 1, 1)]
    _versions(home, 2, at_s=200)
    assert _home(home) == [(1, 2, 2)]
