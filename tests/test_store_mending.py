"""Mending: whole or not at all, whatever is killed; no alarm is taken for settled that a cloud has not got."""

from __future__ import annotations

import fcntl
import random
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from gateway.app.home import LOCK_FILE, CannotStart, settled
from gateway.model import Lane, Uplink
from gateway.store import mending
from gateway.store.carry import MOST_TELEMETRY_BYTES, bring_home, flee, has_settled_in
from gateway.store.database import GATEWAY_FILE, StoreError, epoch, is_damage, open_gateway
from gateway.store.journal import Journal
from gateway.store.outbox import CursorStore
from gateway.store.still import still
from tests.support_bridge import site
from tests.support_core import now
from tests.test_gateway_refuge import Disk
from tests.test_store_carry import fill, ids, ruin_a_leaf, seqs

ALARMS = 60
CLOUD = Uplink("cloud", "mqtt", {})


def users(directory: Path) -> list[str]:
    with still(directory / GATEWAY_FILE) as db:
        return [str(name) for (name,) in db.execute("SELECT name FROM users")]


def add_user(directory: Path, name: str) -> None:
    db = open_gateway(str(directory))
    db.execute("INSERT INTO users VALUES (?, 'duty', 'x', 0)", (name,))
    db.close()


def damaged(directory: Path) -> int:
    """A database whose newest commits are only in its log, with a page of garbage; how many alarms are lost."""
    fill(directory, range(ALARMS))
    add_user(directory, "zhang")
    lost = ruin_a_leaf(directory / GATEWAY_FILE, "alarms")
    copy = directory / "copy"
    copy.mkdir()
    db = apsw.Connection(str(directory / GATEWAY_FILE))
    db.execute("INSERT INTO users VALUES ('li', 'duty', 'x', 0)")
    for suffix in ("", "-wal"):
        shutil.copy(directory / (GATEWAY_FILE + suffix), copy)
    db.close()
    for each in copy.iterdir():
        each.replace(directory / each.name)
    copy.rmdir()
    (directory / (GATEWAY_FILE + "-shm")).unlink(missing_ok=True)
    return lost


def test_killed_between_any_two_lines_a_mending_loses_nothing(tmp_path: Path) -> None:
    """kill -9 at random lines of a mending, several times one after another: at the end all that could be read is
    there, also what was only in the log, the damaged file lies aside, and nothing half done is left."""
    origin = tmp_path / "origin"
    lost = damaged(origin)
    rng = random.Random(22)
    at_end = [*range(-40, 1)]  # the last lines are those that change names
    total = _lines(tmp_path, origin)
    for round_ in range(12):
        home = tmp_path / f"home-{round_}"
        shutil.copytree(origin, home)
        for _ in range(rng.randint(1, 3)):
            line = total + rng.choice(at_end) if rng.random() < 0.6 else rng.randint(1, total)
            killed = _mend(home, line)
            assert killed in (0, -9)
            if not killed:
                break
        mending.finish(str(home))
        if not _is_sound(home):
            mending.mend_database(str(home), ["cloud"])
        db = open_gateway(str(home))
        assert db.execute("SELECT sum(is_open), count(*) FROM alarms").fetchall() == [(ALARMS - lost, ALARMS)]
        db.close()
        assert users(home) == ["li", "zhang"]
        assert (home / (GATEWAY_FILE + ".broken")).exists()
        left = {each.name for each in home.iterdir()} - {"ballast"}
        assert left <= {GATEWAY_FILE + each for each in ("", ".broken", ".broken-wal", ".broken-shm")}
        shutil.rmtree(home)


def _is_sound(home: Path) -> bool:
    db = open_gateway(str(home))
    try:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except apsw.CorruptError:
        return False
    finally:
        db.close()


def _lines(tmp_path: Path, origin: Path) -> int:
    """How many lines a mending runs."""
    low, high = 1, 200_000
    while low < high:  # a power of two at a time
        middle = (low + high) // 2
        home = tmp_path / "probe"
        shutil.copytree(origin, home)
        low, high = (middle + 1, high) if _mend(home, middle) else (low, middle)
        shutil.rmtree(home)
    return low


def _mend(home: Path, line: int) -> int:
    return subprocess.run(
        [sys.executable, "-m", "tests.support_mending", str(home), str(line)], check=False, stdout=subprocess.DEVNULL
    ).returncode


def test_a_database_with_any_page_ruined_is_opened_or_mended_and_keeps_what_is_on_the_others(tmp_path: Path) -> None:
    """Each page in turn, zeros or garbage: there is a database afterwards in which a gateway can work, and unless it
    was the page that holds them (or the one that says where), the accounts and most alarms are in it."""
    origin = tmp_path / "origin"
    fill(origin, range(ALARMS))
    add_user(origin, "zhang")
    pages = (origin / GATEWAY_FILE).stat().st_size // 4096
    without_users = []
    for page in range(pages):
        for byte in (b"\x00", b"\xff", b"\xc3"):
            home = tmp_path / "home"
            shutil.copytree(origin, home)
            with (home / GATEWAY_FILE).open("r+b") as file:
                file.seek(page * 4096)
                file.write(byte * 4096)
            _until_it_works(home)
            if users(home) != ["zhang"]:
                without_users.append(page)
            shutil.rmtree(home)
    assert len(set(without_users)) <= 4, without_users


def _until_it_works(home: Path) -> None:
    for is_second in (False, True):
        try:
            journal = Journal(str(home), ["cloud"], 10_000_000)
            try:
                journal.restore(now(ALARMS))
                journal.trim(now(ALARMS))
            finally:
                journal.close()
            fill(home, range(1000, 1002))
        except (StoreError, apsw.Error) as error:
            if not is_damage(error) or is_second:
                raise
            mending.mend_database(str(home), ["cloud"])
        else:
            return


def test_what_a_second_cloud_has_not_got_is_not_taken_for_settled(tmp_path: Path) -> None:
    """One cloud has everything, the other has never answered: all alarms that wait for it come over."""
    lost = damaged(tmp_path)
    assert lost
    store = CursorStore(str(tmp_path))
    with still(tmp_path / GATEWAY_FILE) as db:
        store.adopt(epoch(db))
    store.settle("cloud", Lane.ALARM, ALARMS)
    store.close()
    mending.mend_database(str(tmp_path), ["cloud", "other"])
    assert seqs(tmp_path, Lane.ALARM) == [*range(1, ALARMS + 1)]


def test_cursors_of_a_former_database_settle_nothing(tmp_path: Path) -> None:
    """The bridge has not run since the database was a new one: its cursors are not believed."""
    damaged(tmp_path)
    store = CursorStore(str(tmp_path))
    store.adopt("former")
    store.settle("cloud", Lane.ALARM, 1_000)
    store.close()
    mending.mend_database(str(tmp_path), ["cloud"])
    assert seqs(tmp_path, Lane.ALARM) == [*range(1, ALARMS + 1)]


def test_a_database_that_has_lost_its_log_is_another_one_to_the_clouds(tmp_path: Path, refuge: Path) -> None:
    """The newest commits are gone (a damaged log, a copy from before), and a cloud has settled beyond what is left:
    with the old epoch the next alarms would be taken for settled. A sound database keeps its epoch."""
    assert not refuge.exists()
    fill(tmp_path, range(10))
    store = CursorStore(str(tmp_path))
    with still(tmp_path / GATEWAY_FILE) as db:
        before = epoch(db)
    store.adopt(before)
    store.settle("cloud", Lane.ALARM, 10)
    marks = []
    for settled_to in (10, 12):
        store.settle("cloud", Lane.ALARM, settled_to)
        with settled(site(tmp_path, CLOUD)), still(tmp_path / GATEWAY_FILE) as db:
            marks.append(epoch(db))
    store.close()
    assert marks[0] == before
    assert marks[1] not in ("", before)


def test_a_refuge_in_which_a_gateway_lives_is_not_brought_home(tmp_path: Path, refuge: Path) -> None:
    """The disk came back under way and somebody starts a second gateway: it is turned away, and what the first one
    keeps in memory stays; once that has ended, it comes home."""
    home = tmp_path / "home"
    fill(home, range(3))
    refuge.mkdir(mode=0o700)
    target = open_gateway(str(refuge))
    with still(home / GATEWAY_FILE) as source:
        flee(source, target, dict.fromkeys(Lane, 0))
    target.close()
    fill(refuge, range(3, 5))
    with (refuge / LOCK_FILE).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as the first one does
        with pytest.raises(CannotStart), settled(site(home, CLOUD)):
            pass
    assert (refuge / GATEWAY_FILE).exists()
    with settled(site(home, CLOUD)):
        pass
    assert not refuge.exists()
    db = open_gateway(str(home))
    assert len(ids(db)) == 5
    db.close()


def test_a_flight_that_was_killed_is_begun_again_and_takes_nobody_away(tmp_path: Path, refuge: Path) -> None:
    """Half of it was in the refuge when the process was killed: with the disk back the accounts at home are those at
    home; and where the disk is still dead, the flight is begun anew."""
    home = tmp_path / "home"
    fill(home, range(3))
    add_user(home, "zhang")
    refuge.mkdir(mode=0o700)
    open_gateway(str(refuge)).close()
    with settled(site(home, CLOUD)):
        pass
    assert users(home) == ["zhang"]
    assert not refuge.exists()
    refuge.mkdir(mode=0o700)
    open_gateway(str(refuge)).close()
    dead = Disk(tmp_path / "dead")
    shutil.copytree(home, tmp_path / "dead", dirs_exist_ok=True)
    dead.turn("ro")
    try:
        with settled(site(tmp_path / "dead", CLOUD)) as at:
            assert at.directory == str(refuge)
            assert users(refuge) == ["zhang"]
    finally:
        dead.end()


def test_a_disk_that_answers_no_read_does_not_end_the_flight_and_empties_nothing_at_home(tmp_path: Path) -> None:
    """A dying disk answers reads with an error (here a directory in the place of the log does): the gateway starts
    without what it cannot read, and when that can be read again it is not replaced by nothing."""
    home = tmp_path / "home"
    fill(home, range(3))
    add_user(home, "zhang")
    (home / (GATEWAY_FILE + "-wal")).mkdir()
    target = open_gateway(str(tmp_path / "refuge"))
    with still(home / GATEWAY_FILE) as source:
        carried = flee(source, target, dict.fromkeys(Lane, 0))
    assert "users" in carried.damaged
    assert has_settled_in(target)
    target.close()
    (home / (GATEWAY_FILE + "-wal")).rmdir()
    target = open_gateway(str(home))
    with still(tmp_path / "refuge" / GATEWAY_FILE) as source:
        bring_home(source, target, dict.fromkeys(Lane, 0))
    target.close()
    assert users(home) == ["zhang"]


def test_of_much_telemetry_the_newest_is_taken_along_and_the_rest_is_counted(tmp_path: Path) -> None:
    """More waits than may be carried while nobody hears a fire: the newest come, the number of the others is said, and
    all alarms come."""
    damaged(tmp_path)
    db = apsw.Connection(str(tmp_path / GATEWAY_FILE))
    body = bytes(1_000_000)
    count = MOST_TELEMETRY_BYTES // len(body) + 20
    with db:
        for _ in range(count):
            db.execute("INSERT INTO outbox_telemetry (at_ms, items, body) VALUES (0, 1, ?)", (body,))
    db.close()
    left = mending.mend_database(str(tmp_path), ["cloud"])
    assert ALARMS + 20 <= left <= ALARMS + 22
    with still(tmp_path / GATEWAY_FILE) as db:
        ((first, last),) = db.execute("SELECT min(seq), max(seq) FROM outbox_telemetry").fetchall()
    assert last == ALARMS + count
    assert last - int(str(first)) + 1 == ALARMS + count - left
    assert seqs(tmp_path, Lane.ALARM) == [*range(1, ALARMS + 1)]


def test_a_row_that_cannot_be_understood_costs_itself_alone(tmp_path: Path) -> None:
    """Flipped bits in an alarm's text, which SQLite does not see: the database is mended, and has all but that one; an
    ended one stands for it, so that the next alarm of its source gets another id."""
    fill(tmp_path, range(3))
    path = tmp_path / GATEWAY_FILE
    data = path.read_bytes()
    with still(path) as db:
        ((key, body),) = db.execute("SELECT id, body FROM alarms ORDER BY id LIMIT 1").fetchall()
    assert str(body).encode() in data
    path.write_bytes(data.replace(str(body).encode(), b"[" * len(str(body).encode())))
    _until_it_works(tmp_path)
    journal = Journal(str(tmp_path), ["cloud"], 10_000_000)
    restored = journal.restore(now(ALARMS))
    journal.close()
    assert str(key) not in {each.id for each in restored.alarms}
    assert len(restored.alarms) == 4  # two, and two since
    rule, _, rest = str(key).partition(":")
    assert restored.occurrences[rule, rest.rpartition(":")[0]] >= 1


def test_a_database_of_no_bytes_is_not_taken_for_a_new_one(tmp_path: Path, refuge: Path) -> None:
    """What a power cut can leave of a file: people are told that records are missing. A first start tells nothing."""
    assert not refuge.exists()
    with settled(site(tmp_path, CLOUD)) as at:
        assert not at.is_mended
    fill(tmp_path, range(3))
    (tmp_path / GATEWAY_FILE).write_bytes(b"")
    with settled(site(tmp_path, CLOUD)) as at:
        assert at.is_mended
