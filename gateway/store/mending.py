"""Mending a damaged database: a new one is built beside it, and takes its place at once or not at all.

Whatever is killed in between, the damaged file lies untouched where it was, or the new one is whole. What is carried
over is `carry`'s; when to mend is the caller's.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw
import structlog

from gateway.model import Lane
from gateway.store.carry import MOST_TELEMETRY_BYTES, Carried, mend
from gateway.store.database import BRIDGE_FILE, GATEWAY_FILE, StoreError, epoch, number, open_gateway, put_aside
from gateway.store.still import still
from gateway.store.trimming import TABLES
from gateway.store.understanding import stand_in_for_lost

_BESIDE = "mending"  # a directory: what is in it is half done
_WHOLE = GATEWAY_FILE + ".mended"  # done, and not yet in its place
_EVERYTHING = 2**62

_log = structlog.get_logger(__name__)


def mend_database(directory: str, uplinks: Sequence[str]) -> int:
    """Put the damaged database aside and go on with what can be read of it; how many rows of telemetry were left.

    Raises:
        StoreError, OSError: not even that is possible; the damaged one is where it was.
    """
    home = Path(directory)
    finish(directory)
    fresh = open_gateway(str(home / _BESIDE))
    try:
        fresh.pragma("journal_mode", "memory")  # nobody needs it before it is whole
        fresh.pragma("synchronous", 0)
        carried = _carry(home, fresh, uplinks)
        lost = stand_in_for_lost(fresh)
    finally:
        fresh.close()
    _sync(home / _BESIDE / GATEWAY_FILE)
    (home / _BESIDE / GATEWAY_FILE).replace(home / _WHOLE)
    _sync(home)
    finish(directory)
    _log.error(
        "database_mended",
        kept=dict(carried.rows),
        damaged=carried.damaged,
        left_rows=carried.left_rows,
        lost_alarms=lost,
    )
    return carried.left_rows


def _carry(home: Path, fresh: apsw.Connection, uplinks: Sequence[str]) -> Carried:
    room = os.statvfs(home)
    most = min(MOST_TELEMETRY_BYTES, room.f_bavail * room.f_frsize // 2)
    try:
        with still(home / GATEWAY_FILE) as source:
            is_behind = is_behind_its_readers(source, home)
            return mend(source, fresh, settled(home, uplinks), keeps_numbers=not is_behind, most_bytes=most)
    except (StoreError, apsw.Error) as error:
        return Carried({}, (str(error),))


def finish(directory: str) -> None:
    """What a power cut has left of a mending: a new database that is whole takes its place, a half one goes."""
    home = Path(directory)
    shutil.rmtree(home / _BESIDE, ignore_errors=True)
    if (home / _WHOLE).exists():
        put_aside(home / GATEWAY_FILE)
        (home / _WHOLE).replace(home / GATEWAY_FILE)
        _sync(home)


def newest(directory: str) -> Path:
    """The database to be read where nothing can be written."""
    whole = Path(directory) / _WHOLE
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
    """Another epoch: what waits goes up once more, under ids of its own, and nothing is taken for settled."""
    db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(4),))
    _log.error("database_went_back", note="its newest commits are lost; what waits for clouds is sent again")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
