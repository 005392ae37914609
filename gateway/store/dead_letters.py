"""Rows that platforms have refused for good: to be looked at, and to be tried again when somebody asks.

Only the bridge writes its file (ADR 0001). Whoever wants a letter sent again leaves an empty file with its number in
``retry.d`` of the data directory; the bridge takes it up, and takes it away.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from gateway.model import Lane, OutboxEntry
from gateway.store import codec
from gateway.store.database import BRIDGE_FILE, StoreError, open_reader

_FOLDER = "retry.d"
MOST_WANTED = 1_000  # requests that wait
_DISOWNED = "of a former outbox: under its number the platform knows another row by now"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)  # as `want` writes it: 007 could not be taken away under its number
_COLUMNS = "id, uplink, lane, seq, at_ms, reason, length(body)"


class DeadLetter(NamedTuple):
    """One refused row."""

    id: int
    uplink: str
    lane: str
    seq: int  # below 0: of an outbox that is no more
    at_ms: int  # when the gateway committed it
    reason: str
    bytes: int


def dead_letters(directory: str, uplink: str, limit: int = 100, before: int = 2**62) -> Sequence[DeadLetter]:
    """The newest letters of this uplink with a number below ``before``; none while the bridge has never run."""
    try:
        db = open_reader(directory, BRIDGE_FILE)
    except StoreError:
        return ()
    query = f"SELECT {_COLUMNS} FROM dead_letters WHERE uplink = ? AND id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
    try:
        return [_letter(row) for row in db.execute(query, (uplink, before, limit))]
    except apsw.Error:  # the bridge puts a broken file aside
        return ()
    finally:
        db.close()


def _letter(row: Sequence[Any]) -> DeadLetter:
    return DeadLetter(*row)


def want(directory: str, letter_id: int) -> bool:
    """Ask the bridge to send this letter again; False where too many requests wait.

    Raises:
        OSError: the data directory can't be written.
    """
    folder = Path(directory) / _FOLDER
    folder.mkdir(mode=0o750, exist_ok=True)
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _give_to_owner(within, directory)
        if len(wanted(directory)) >= MOST_WANTED:
            return False
        with contextlib.suppress(FileExistsError):  # it is wanted already
            wish = os.open(str(letter_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640, dir_fd=within)
            try:
                _give_to_owner(wish, directory)
            finally:
                os.close(wish)
    finally:
        os.close(within)
    return True


def _give_to_owner(descriptor: int, directory: str) -> None:
    """What root leaves in the directory of the service is the service's: else its bridge would never see it.

    Nothing is followed out of there: a link that the service has put in its place gives it no file of root's.
    """
    if os.geteuid() == 0:
        owner = Path(directory).stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def must_be_readable(directory: str) -> None:
    """Where the bridge's file is there and may not be read, "nothing was refused" would be a lie.

    Raises:
        OSError: who asks has no right to it.
    """
    with contextlib.suppress(FileNotFoundError):
        os.close(os.open(Path(directory) / BRIDGE_FILE, os.O_RDONLY | os.O_CLOEXEC))


def wanted(directory: str) -> Sequence[int]:
    """Numbers of the letters that somebody wants sent again, oldest first."""
    try:
        names = [each.name for each in (Path(directory) / _FOLDER).iterdir() if not each.is_dir()]
    except OSError:
        return ()
    return sorted(int(name) for name in names if _NUMBER.fullmatch(name))[:MOST_WANTED]


def forget(directory: str, letter_id: int) -> None:
    """The request has been dealt with."""
    with contextlib.suppress(OSError):
        (Path(directory) / _FOLDER / str(letter_id)).unlink()


def wanted_of(db: apsw.Connection, directory: str, uplink: str) -> Sequence[tuple[int, OutboxEntry]]:
    """This uplink's letters that are to be sent again; requests for letters that are gone are forgotten."""
    found = []
    for letter_id in wanted(directory):
        row = db.execute(
            "SELECT uplink, lane, seq, at_ms, body FROM dead_letters WHERE id = ?", (letter_id,)
        ).fetchone()
        if row is None:
            forget(directory, letter_id)
        elif row[0] == uplink and row[2] < 0:
            close(db, directory, letter_id, _DISOWNED)
        elif row[0] == uplink:
            _, lane, seq, at_ms, body = row
            found.append((letter_id, OutboxEntry(seq, Lane(lane), codec.from_ms(at_ms), body)))
    return found


def close(db: apsw.Connection, directory: str, letter_id: int, refused: str) -> None:
    """The platform has taken the letter (``refused`` ""), or has refused it again: then it stays, with the reason."""
    if refused:
        db.execute("UPDATE OR IGNORE dead_letters SET reason = ? WHERE id = ?", (refused[:500], letter_id))
    else:
        db.execute("DELETE FROM dead_letters WHERE id = ?", (letter_id,))
    forget(directory, letter_id)


def disown(db: apsw.Connection) -> None:
    """The outbox is another: its rows begin at 1 again, and must be put aside beside what was put aside before.

    The former letters stay to be looked at. Sent again, they would go under the ids of other rows, which the platform
    would then take for repeats.
    """
    db.execute("UPDATE dead_letters SET seq = -id WHERE seq >= 0")


def bound(db: apsw.Connection, uplink: str, most: int) -> None:
    """Keep so many letters of this uplink: the oldest telemetry goes first, alarms last."""
    (count,) = db.execute("SELECT count(*) FROM dead_letters WHERE uplink = ?", (uplink,)).fetchone() or (0,)
    if (over := int(str(count)) - most) > 0:
        db.execute(
            "DELETE FROM dead_letters WHERE id IN"
            " (SELECT id FROM dead_letters WHERE uplink = ? ORDER BY lane = ?, id LIMIT ?)",
            (uplink, Lane.ALARM.value, over),
        )
