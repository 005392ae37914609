"""The outbox: what waits for the clouds, in two lanes with a cursor per uplink.

The gateway appends (in the transaction of its batch, `append`) and trims; the bridge reads with `OutboxReader` and
keeps its cursors, dead letters and status with `CursorStore` in its own file. What the rows mean to a platform
belongs to `cloud_bridge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apsw
import orjson

from gateway.model import Alarm, AlarmEvent, Lane, OutboxEntry, Reading
from gateway.store import codec, dead_letters
from gateway.store.damage import next_readable
from gateway.store.database import BRIDGE_FILE, GATEWAY_FILE, StoreError, epoch, number, open_bridge, open_reader

_TABLES = {Lane.ALARM: "outbox_alarm", Lane.TELEMETRY: "outbox_telemetry"}
_MAX_DEAD_LETTERS = 10_000  # per uplink: the oldest go first, the count stays in the status
_TRIM_ROWS = 500  # rows deleted in one transaction: a commit never waits long behind a trim


def append(
    db: apsw.Connection, at_ms: int, readings: Sequence[Reading], events: Iterable[tuple[AlarmEvent, Alarm]]
) -> None:
    """Add one batch, inside the caller's transaction: a blob of readings, a row for each alarm event."""
    if readings:
        db.execute(
            "INSERT INTO outbox_telemetry (at_ms, items, body) VALUES (?, ?, ?)",
            (at_ms, len(readings), codec.telemetry_body(readings)),
        )
    for event, alarm in events:
        db.execute(
            "INSERT INTO outbox_alarm (at_ms, items, body) VALUES (?, 1, ?)", (at_ms, codec.alarm_body(event, alarm))
        )


class Trimmed(NamedTuple):
    """What one piece of housekeeping did."""

    dropped: int  # unsettled readings, for want of room
    is_more: bool  # there is more to delete: come again soon
    saved: int = 0  # readings that report on change has kept from the outbox since the last piece


class Trimmer:
    """Deletes what every enabled uplink has settled, and the oldest telemetry beyond the bound; alarms never."""

    def __init__(self, db: apsw.Connection, directory: str, uplinks: Sequence[str], limit_bytes: int) -> None:
        self._db = db
        self._directory = directory
        self._uplinks = tuple(uplinks)
        self._limit = limit_bytes
        self._bytes = 0  # of the telemetry lane, up to ``_counted_to``
        self._counted_to = 0
        self._cursors: apsw.Connection | None = None

    def trim(self) -> Trimmed:
        """Delete at most `_TRIM_ROWS` rows of each lane."""
        self._count_new()
        is_more = False
        for lane, table in _TABLES.items():
            sizes = self._db.execute(
                f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE seq <= ? ORDER BY seq LIMIT ?)"  # noqa: S608 - constants
                " RETURNING length(body)",
                (self._settled(lane), _TRIM_ROWS),
            ).fetchall()
            is_more = is_more or len(sizes) == _TRIM_ROWS
            if lane is Lane.TELEMETRY:
                self._bytes -= sum(int(str(row[0])) for row in sizes)
        dropped = self._drop_oldest()
        return Trimmed(dropped, is_more or self._bytes > self._limit)

    def squeeze(self) -> None:
        """The disk is full: from now on a tenth less telemetry than there is."""
        self._limit = min(self._limit, self._bytes * 9 // 10)

    def _count_new(self) -> None:
        newest = number(self._db, "SELECT max(seq) FROM outbox_telemetry")
        self._bytes += number(
            self._db, "SELECT sum(length(body)) FROM outbox_telemetry WHERE seq > ?", self._counted_to
        )
        self._counted_to = max(self._counted_to, newest)

    def _settled(self, lane: Lane) -> int:
        """Up to where every enabled uplink has settled; all of it where there is none."""
        if not self._uplinks:
            return 2**62
        if self._cursors is None:
            try:
                self._cursors = open_reader(self._directory, BRIDGE_FILE)
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

    def _drop_oldest(self) -> int:
        db = self._db
        if self._bytes <= self._limit:
            return 0
        dropped, last = 0, 0
        oldest = "SELECT seq, items, length(body) FROM outbox_telemetry ORDER BY seq LIMIT ?"
        for seq, items, size in db.execute(oldest, (_TRIM_ROWS,)):
            if self._bytes <= self._limit:
                break
            self._bytes, dropped, last = self._bytes - int(size), dropped + int(items), int(seq)
        db.execute("DELETE FROM outbox_telemetry WHERE seq <= ?", (last,))
        return dropped


class OutboxReader:
    """The bridge's read-only view of the outbox."""

    def __init__(self, directory: str) -> None:
        """``directory`` is the gateway's data directory.

        Raises:
            StoreError: the gateway has not made its database yet.
        """
        self.directory = directory
        self._db = open_reader(directory, GATEWAY_FILE)
        self.epoch = epoch(self._db)

    def take(self, lane: Lane, after: int, limit: int = 64, max_bytes: int = 1_000_000) -> list[OutboxEntry]:
        """Entries with ``seq > after``, ascending: at most ``limit``, and (but for the first) ``max_bytes``.

        Rows on a damaged page come as one entry that says so instead of a body: no platform takes it, it is put aside.
        """
        found: list[OutboxEntry] = []
        try:
            self._take(found, lane, after, limit, max_bytes)
        except apsw.CorruptError:
            if not found:
                self._look_again(found, lane, after)
        return found

    def _look_again(self, found: list[OutboxEntry], lane: Lane, after: int) -> None:
        """With a connection that remembers nothing: the gateway may have mended its database, which is a new file.

        Raises:
            apsw.CorruptError: nothing can be read behind ``after``.
        """
        self._db.close()
        self._db = open_reader(self.directory, GATEWAY_FILE)
        following = next_readable(self._db, _TABLES[lane], after)
        if following > after + 1:
            text = f"rows {after + 1} to {following - 1} lie on a damaged page"
            found.append(OutboxEntry(following - 1, lane, codec.from_ms(0), text.encode()))
        else:
            self._take(found, lane, after, 1, 1)

    def _take(self, found: list[OutboxEntry], lane: Lane, after: int, limit: int, max_bytes: int) -> None:
        size = 0
        rows = self._db.execute(
            f"SELECT seq, at_ms, body FROM {_TABLES[lane]} WHERE seq >= ? ORDER BY seq LIMIT ?",  # noqa: S608 - a constant
            (after + 1, limit),  # not "> after": that would look at the page before, which may be the damaged one
        )
        for seq, at_ms, body in rows:
            size += len(body)
            if found and size > max_bytes:
                break
            found.append(OutboxEntry(seq, lane, codec.from_ms(at_ms), body))
        rows.close(force=True)  # ends the read transaction: the log can be checkpointed

    def tail(self, lane: Lane, after: int, max_bytes: int) -> list[OutboxEntry]:
        """The newest entries with ``seq > after``, descending: (but for the first) at most ``max_bytes``."""
        found: list[OutboxEntry] = []
        rows = self._db.execute(
            f"SELECT seq, at_ms, body FROM {_TABLES[lane]} WHERE seq > ? ORDER BY seq DESC",  # noqa: S608 - a constant
            (after,),
        )
        for seq, at_ms, body in rows:
            max_bytes -= len(body)
            if found and max_bytes < 0:
                break
            found.append(OutboxEntry(seq, lane, codec.from_ms(at_ms), body))
        rows.close(force=True)
        return found

    def backlog(self, lane: Lane, after: int) -> tuple[int, int]:
        """(entries, bytes) with ``seq > after``; bytes 0 where a damaged page hinders counting."""
        try:
            return self._backlog(lane, after)
        except apsw.CorruptError:
            return max(0, self.last_seq(lane) - after), 0

    def _backlog(self, lane: Lane, after: int) -> tuple[int, int]:
        where = f"FROM {_TABLES[lane]} WHERE seq > ?"
        return (
            number(self._db, f"SELECT count(*) {where}", after),
            number(self._db, f"SELECT sum(length(body)) {where}", after),
        )

    def last_seq(self, lane: Lane) -> int:
        """The newest entry's seq, 0 while there is none."""
        return number(self._db, f"SELECT max(seq) FROM {_TABLES[lane]}")  # noqa: S608 - a constant

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class CursorStore:
    """The bridge's own file: how far each uplink has settled, what platforms refused, how the bridge is doing."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._db = open_bridge(directory)

    def adopt(self, outbox_epoch: str) -> bool:
        """Keep cursors of this outbox only; True where those of a former one were thrown away."""
        before = epoch(self._db)
        if before == outbox_epoch:
            return False
        with self._db:
            self._db.execute("DELETE FROM cursors")
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (outbox_epoch,))
        return before != ""

    def get(self, uplink: str, lane: Lane) -> int:
        """Everything up to this seq is settled; 0 at first."""
        return number(self._db, "SELECT seq FROM cursors WHERE uplink = ? AND lane = ?", uplink, lane.value)

    def settle(self, uplink: str, lane: Lane, seq: int) -> None:
        """Everything up to ``seq`` is settled; never moves backwards."""
        self._db.execute(
            "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
            (uplink, lane.value, seq),
        )

    def reject(self, uplink: str, entry: OutboxEntry, reason: str) -> None:
        """Keep a refused row as a dead letter; the oldest go beyond the bound."""
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO dead_letters (uplink, lane, seq, at_ms, reason, body) VALUES (?, ?, ?, ?, ?, ?)",
                (uplink, entry.lane.value, entry.seq, codec.to_ms(entry.at), reason[:500], entry.body),
            )
            self._db.execute(
                "DELETE FROM dead_letters WHERE uplink = ?1 AND id <= (SELECT max(id) FROM dead_letters) - ?2",
                (uplink, _MAX_DEAD_LETTERS),
            )

    def rejected(self, uplink: str) -> int:
        """How many dead letters this uplink has."""
        return number(self._db, "SELECT count(*) FROM dead_letters WHERE uplink = ?", uplink)

    def wanted(self, uplink: str) -> Sequence[tuple[int, OutboxEntry]]:
        """Dead letters that somebody wants sent again."""
        return dead_letters.wanted_of(self._db, self._directory, uplink)

    def close_letter(self, letter_id: int, refused: str) -> None:
        """A dead letter was taken (``refused`` ""), or refused again."""
        dead_letters.close(self._db, self._directory, letter_id, refused)

    def set_status(self, uplink: str, status: dict[str, object]) -> None:
        """Leave word for the gateway's screens."""
        self._db.execute("INSERT OR REPLACE INTO status VALUES (?, ?)", (uplink, orjson.dumps(status).decode()))

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def bridge_status(directory: str) -> dict[str, dict[str, object]]:
    """By uplink, what the bridge last said of itself; empty while it has never run, or its file cannot be read."""
    try:
        db = open_reader(directory, BRIDGE_FILE)
    except StoreError:
        return {}
    try:
        return {str(uplink): orjson.loads(str(body)) for uplink, body in db.execute("SELECT uplink, body FROM status")}
    except (apsw.Error, orjson.JSONDecodeError):  # the bridge puts a broken file aside; alarms do not end for it
        return {}
    finally:
        db.close()
