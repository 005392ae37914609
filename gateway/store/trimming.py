"""Housekeeping of the outbox, in pieces so small that no commit waits behind one: trim, pack, bound.

It runs in the writer's thread between commits. What a row holds is `codec` and `packing`; the bridge's view of the
rows is `outbox`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from gateway.model import Lane
from gateway.store.database import BRIDGE_FILE, StoreError, epoch, number, open_reader
from gateway.store.packing import Packed, PackError, is_pack, pack

TABLES = {Lane.ALARM: "outbox_alarm", Lane.TELEMETRY: "outbox_telemetry"}
_TRIM_ROWS = 500  # deleted in one transaction
_TRIM_BYTES = 1_000_000  # and so much of their bodies: every page of a large one is read to free it
_COUNT_ROWS = 2_000  # sizes looked at in one piece: after a start there may be millions
_PACK_ROWS = 256  # small rows that become one
_FRESH_ROWS = 10_000  # the newest are left alone: with the platform there, they are gone before they are packed
_SMALL_ITEMS = 64  # readings; a larger row shrinks well enough by itself


class Trimmed(NamedTuple):
    """What one piece of housekeeping did."""

    dropped: int  # unsettled readings, for want of room
    is_more: bool  # there is more to do: come again soon
    saved: int = 0  # readings that report on change has kept from the outbox since the last piece


class _Row(NamedTuple):
    seq: int
    items: int
    size: int


class Trimmer:
    """Deletes what every enabled uplink has settled, and the oldest telemetry beyond the bound; alarms never.

    Packs small rows that have waited for long.
    """

    def __init__(self, db: apsw.Connection, directory: str, uplinks: Sequence[str], limit_bytes: int) -> None:
        self._db = db
        self._directory = directory
        self._uplinks = tuple(uplinks)
        self._limit = limit_bytes
        self._bytes = 0  # of the telemetry lane, up to ``_counted_to``
        self._counted_to = 0
        self._packed_to = 0
        self._cursors: apsw.Connection | None = None
        self._which = 0  # of the files that had that name

    def trim(self) -> Trimmed:
        """A bounded piece of each kind of work."""
        is_more = self._count_new()
        for lane in Lane:
            is_more = self._delete_settled(lane) or is_more
        dropped = self._drop_oldest()
        is_more = self._pack() or is_more
        return Trimmed(dropped, is_more or self._bytes > self._limit)

    def squeeze(self) -> None:
        """The disk is full: from now on a tenth less telemetry than there is."""
        while self._count_new():
            pass
        self._limit = min(self._limit, self._bytes * 9 // 10)

    def _count_new(self) -> bool:
        """Add up a piece of what is not counted yet; True while there is more."""
        new = self._oldest(Lane.TELEMETRY, after=self._counted_to, limit=_COUNT_ROWS)
        self._bytes += sum(row.size for row in new)
        if new:
            self._counted_to = new[-1].seq
        return len(new) == _COUNT_ROWS

    def _oldest(self, lane: Lane, *, after: int = 0, to: int = 2**62, limit: int = _TRIM_ROWS) -> list[_Row]:
        sql = (
            f"SELECT seq, items, length(body) FROM {TABLES[lane]}"  # noqa: S608 - a constant
            " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        return [_Row(int(seq), int(items), int(size)) for seq, items, size in self._db.execute(sql, (after, to, limit))]

    def _delete_settled(self, lane: Lane) -> bool:
        settled = self._settled(lane)
        rows = _within(self._oldest(lane, to=settled), _TRIM_BYTES)
        self._delete(lane, rows)
        return bool(rows) and bool(self._oldest(lane, to=settled, limit=1))

    def _delete(self, lane: Lane, rows: Sequence[_Row]) -> None:
        if not rows:
            return
        self._db.execute(f"DELETE FROM {TABLES[lane]} WHERE seq <= ?", (rows[-1].seq,))  # noqa: S608 - a constant
        if lane is Lane.TELEMETRY:
            self._bytes -= sum(row.size for row in rows if row.seq <= self._counted_to)

    def _settled(self, lane: Lane) -> int:
        """Up to where every enabled uplink has settled; all of it where there is none."""
        if not self._uplinks:
            return 2**62
        which = self._which_file()
        if self._cursors is not None and which != self._which:  # the bridge has mended it
            self._cursors.close()
            self._cursors = None
        if self._cursors is None:
            try:
                self._cursors, self._which = open_reader(self._directory, BRIDGE_FILE), which
            except StoreError:
                return 0  # the bridge has never run
        try:
            if epoch(self._cursors) != epoch(self._db):
                return 0  # cursors of a former database
            return min(
                number(self._cursors, "SELECT seq FROM cursors WHERE uplink = ? AND lane = ?", each, lane.value)
                for each in self._uplinks
            )
        except apsw.Error:  # broken or put aside: look again next time
            self._cursors.close()
            self._cursors = None
            return 0

    def _which_file(self) -> int:
        try:
            return (Path(self._directory) / BRIDGE_FILE).stat().st_ino
        except OSError:
            return 0

    def _drop_oldest(self) -> int:
        """A pack goes as a whole, with what some uplink may have settled of it."""
        over = self._bytes - self._limit
        if over <= 0:
            return 0
        rows = _within(self._oldest(Lane.TELEMETRY, to=self._counted_to), min(over, _TRIM_BYTES), is_reaching=True)
        self._delete(Lane.TELEMETRY, rows)
        return sum(row.items for row in rows)

    def _pack(self) -> bool:
        """Make one row of the oldest small ones that have waited; True while there are more."""
        if self._waiting_to_be_packed < _PACK_ROWS:
            return False
        run = self._next_run()
        if len(run) > 1:
            self._bytes += self._replace(run) - sum(row.size for row in run)
        return self._waiting_to_be_packed >= _PACK_ROWS

    @property
    def _waiting_to_be_packed(self) -> int:
        return self._counted_to - _FRESH_ROWS - self._packed_to

    def _next_run(self) -> list[_Row]:
        """Small rows side by side, up to ``_PACK_ROWS`` or to a large one; passes over what is packed."""
        run: list[_Row] = []
        sql = (
            "SELECT seq, items, length(body), substr(body, 1, 1) FROM outbox_telemetry"
            " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        upto = self._counted_to - _FRESH_ROWS
        rows: list[Any] = self._db.execute(sql, (self._packed_to, upto, _PACK_ROWS)).fetchall()
        self._packed_to = int(rows[-1][0]) if rows else upto
        for seq, items, size, start in rows:
            if int(items) < _SMALL_ITEMS and not is_pack(start):
                run.append(_Row(int(seq), int(items), int(size)))
            elif len(run) > 1:
                self._packed_to = run[-1].seq
                break
            else:
                run.clear()
        return run

    def _replace(self, run: Sequence[_Row]) -> int:
        """One row in their place; the size they take from now on."""
        first, last = run[0].seq, run[-1].seq
        bodies = self._db.execute(
            "SELECT seq, at_ms, body FROM outbox_telemetry WHERE seq BETWEEN ? AND ? ORDER BY seq", (first, last)
        )
        try:
            body = pack([Packed(int(seq), int(at_ms), text) for seq, at_ms, text in bodies])
            with self._db:
                self._db.execute("DELETE FROM outbox_telemetry WHERE seq BETWEEN ? AND ?", (first, last - 1))
                self._db.execute(
                    "UPDATE outbox_telemetry SET items = ?, body = ? WHERE seq = ?",
                    (sum(row.items for row in run), body, last),
                )
        except (PackError, apsw.FullError):  # a damaged row is the bridge's to put aside; a full disk will be trimmed
            return sum(row.size for row in run)
        return len(body)


def _within(rows: Sequence[_Row], most_bytes: int, *, is_reaching: bool = False) -> list[_Row]:
    """The first rows, at least one, of at most so many bytes; ``is_reaching``: up to the one that reaches it."""
    found: list[_Row] = []
    left = most_bytes
    for row in rows:
        if found and (left <= 0 if is_reaching else row.size > left):
            break
        left -= row.size
        found.append(row)
    return found
