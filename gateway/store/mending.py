"""Mending a damaged database: a new one is built beside it, and takes its place at once or not at all.

Whatever is killed in between, the damaged file lies untouched where it was, or the new one is whole. What is carried
over is `carry`'s; when to mend is the caller's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import apsw
import structlog

from gateway.model import Lane
from gateway.store.carry import MOST_TELEMETRY_BYTES, Carried, mend, rescue_books
from gateway.store.database import (
    BRIDGE_FILE,
    GATEWAY_FILE,
    StoreError,
    epoch,
    is_damage,
    number,
    open_bridge,
    open_gateway,
    put_aside,
)
from gateway.store.still import still
from gateway.store.trimming import TABLES
from gateway.store.understanding import stand_in_for_lost

_HALF = ".half"  # a directory: what is in it is half done
_WHOLE = ".mended"  # done, and not yet in its place
_TRACES = (BRIDGE_FILE, "ballast", GATEWAY_FILE + "-wal")  # of a database that was worked with
_BOOKS = {"cursors": "seq", "dead_letters": "at_ms", "status": "body", "meta": "value"}  # of the bridge; in no index
_EVERYTHING = 2**62

_log = structlog.get_logger(__name__)


def mend_database(directory: str, uplinks: Sequence[str]) -> int:
    """Put the damaged database aside and go on with what can be read of it; how many rows of telemetry were left.

    Raises:
        StoreError, OSError: not even that is possible; the damaged one is where it was.
    """
    home = Path(directory)
    with _beside(home, GATEWAY_FILE, open_gateway) as fresh:
        carried = _carry(home, fresh, uplinks)
        lost = stand_in_for_lost(fresh)
    finish(directory)
    _log.error(
        "database_mended",
        kept=dict(carried.rows),
        damaged=carried.damaged,
        left_rows=carried.left_rows,
        lost_alarms=lost,
    )
    return carried.left_rows


def open_books(directory: str) -> apsw.Connection:
    """The bridge's own database; a damaged one is mended. Without its cursors rows go up again, under their old ids.

    Raises:
        StoreError: it cannot be opened or mended now.
    """
    finish(directory, BRIDGE_FILE)
    try:
        db = open_bridge(directory)
    except StoreError as error:
        if not is_damage(error):
            raise
    else:
        if _can_be_read_through(db):
            return db
        db.close()
    mend_books(directory)
    return open_bridge(directory)


def _can_be_read_through(db: apsw.Connection) -> bool:
    """Found now, damage costs no session later."""
    try:
        for table, column in _BOOKS.items():
            number(db, f"SELECT sum(length({column})) FROM {table}")  # noqa: S608 - constants
    except (apsw.CorruptError, apsw.NotADBError):
        return False
    return True


def mend_books(directory: str) -> None:
    """Put the bridge's damaged database aside and go on with what can be read of it. Nobody may have it open.

    Raises:
        StoreError: not now; the damaged one is where it was.
    """
    home = Path(directory)
    with _beside(home, BRIDGE_FILE, open_bridge) as fresh:
        try:
            with still(home / BRIDGE_FILE) as source:
                carried = rescue_books(source, fresh)
        except (StoreError, apsw.CorruptError, apsw.NotADBError) as error:
            carried = Carried({}, (str(error),))
    finish(directory, BRIDGE_FILE)
    _log.error("bridge_file_mended", kept=dict(carried.rows), damaged=carried.damaged)


@contextlib.contextmanager
def _beside(home: Path, file: str, open_new: Callable[[str], apsw.Connection]) -> Iterator[apsw.Connection]:
    """A new database beside the damaged one, called whole once it is filled.

    Raises:
        StoreError: there is no room for it, or the disk fails.
    """
    finish(str(home), file)
    half = home / (file + _HALF)
    fresh = open_new(str(half))
    try:
        fresh.pragma("journal_mode", "memory")  # nobody needs it before it is whole
        fresh.pragma("synchronous", 0)
        yield fresh
    except apsw.Error as error:
        raise StoreError(f"cannot mend {home / file}: {error}") from error
    finally:
        fresh.close()
    _sync(half / file)
    (half / file).replace(home / (file + _WHOLE))
    _sync(home)


def _carry(home: Path, fresh: apsw.Connection, uplinks: Sequence[str]) -> Carried:
    """Raises apsw.FullError where what a gateway goes on with has no room: without it, the new one would be a loss."""
    room = os.statvfs(home)
    most = min(MOST_TELEMETRY_BYTES, room.f_bavail * room.f_frsize // 2)
    try:
        with still(home / GATEWAY_FILE) as source:
            is_behind = is_behind_its_readers(source, home)
            return mend(source, fresh, settled(home, uplinks), keeps_numbers=not is_behind, most_bytes=most)
    except (StoreError, apsw.CorruptError, apsw.NotADBError) as error:
        return Carried({}, (str(error),))


def finish(directory: str, file: str = GATEWAY_FILE) -> None:
    """What a power cut has left of a mending: a new database that is whole takes its place, a half one goes."""
    home = Path(directory)
    shutil.rmtree(home / (file + _HALF), ignore_errors=True)
    whole = home / (file + _WHOLE)
    if whole.exists():
        put_aside(home / file)
        whole.replace(home / file)
        _sync(home)


def newest(directory: str) -> Path:
    """The database to be read where nothing can be written."""
    whole = Path(directory) / (GATEWAY_FILE + _WHOLE)
    return whole if whole.exists() else Path(directory) / GATEWAY_FILE


def settled(directory: Path, uplinks: Sequence[str]) -> Mapping[Lane, int]:
    """Up to where every enabled uplink has settled, as far as the bridge's file can be read and is of this database."""
    if not uplinks:
        return dict.fromkeys(Lane, _EVERYTHING)
    try:
        with still(newest(str(directory))) as db:
            mark = epoch(db)
        with still(directory / BRIDGE_FILE) as db:
            if not mark or epoch(db) != mark:
                return dict.fromkeys(Lane, 0)
            sql = "SELECT seq FROM cursors WHERE uplink = ? AND lane = ?"
            return {lane: min(number(db, sql, each, lane.value) for each in uplinks) for lane in Lane}
    except (StoreError, apsw.Error):
        return dict.fromkeys(Lane, 0)


def has_been_emptied(directory: str) -> bool:
    """Is the database a file of no bytes, as a power cut may leave it, where one was? To SQLite that is a new one."""
    home = Path(directory)
    with contextlib.suppress(OSError):
        return (home / GATEWAY_FILE).stat().st_size == 0 and any((home / each).exists() for each in _TRACES)
    return False


def is_behind_its_readers(db: apsw.Connection, directory: Path) -> bool:
    """Has a cloud settled numbers that this database has not given out? Then it has lost its newest commits (a damaged
    log), or is a copy from before: were it to go on, what comes next would be taken for settled.
    """  # noqa: D205 - one paragraph
    try:
        mark = epoch(db)
        given = {str(name): int(str(seq)) for name, seq in db.execute("SELECT name, seq FROM sqlite_sequence")}
        with still(directory / BRIDGE_FILE) as bridge:
            if epoch(bridge) != mark:
                return False
            sql = "SELECT max(seq) FROM cursors WHERE lane = ?"
            return any(number(bridge, sql, lane.value) > given.get(TABLES[lane], 0) for lane in Lane)
    except (StoreError, apsw.Error):
        return False


def begin_anew(db: apsw.Connection) -> None:
    """Another epoch: what waits goes up once more, under ids of its own, and nothing is taken for settled.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(4),))
    except apsw.Error as error:
        raise StoreError(f"cannot begin anew: {error}") from error
    _log.error("database_went_back", note="its newest commits are lost; what waits for clouds is sent again")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
