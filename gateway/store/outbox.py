"""The outbox: what waits for the clouds, in two lanes with a cursor per uplink.

The gateway appends (in the transaction of its batch, `append`) and trims (`trimming`); the bridge reads with
`OutboxReader` and keeps its cursors, dead letters and status with `CursorStore` in its own file. What the rows mean to
a platform belongs to `cloud_bridge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import apsw
import orjson

from gateway.model import Alarm, AlarmEvent, Lane, OutboxEntry, Reading
from gateway.store import codec, dead_letters
from gateway.store.damage import next_readable
from gateway.store.database import BRIDGE_FILE, GATEWAY_FILE, StoreError, epoch, is_damage, number, open_reader
from gateway.store.mending import mend_books, open_books
from gateway.store.packing import Packed, PackError, as_one, is_pack, unpack
from gateway.store.trimming import TABLES

_T = TypeVar("_T")

_MAX_DEAD_LETTERS = 10_000  # per uplink: the oldest go first, alarms last; the count stays in the status


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
        self._pack: tuple[int, list[Packed]] = (0, [])  # the last one unpacked: it is taken in several pieces

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
            StoreError: it is another outbox, whose numbers mean other rows.
        """
        self._db.close()
        self._db = open_reader(self.directory, GATEWAY_FILE)
        if epoch(self._db) != self.epoch:
            raise StoreError("the gateway's database was replaced by another one")
        following = next_readable(self._db, TABLES[lane], after)
        if following > after + 1:
            text = f"rows {after + 1} to {following - 1} lie on a damaged page"
            found.append(OutboxEntry(following - 1, lane, codec.from_ms(0), text.encode()))
        else:
            self._take(found, lane, after, 1, 1)

    def _take(self, found: list[OutboxEntry], lane: Lane, after: int, limit: int, max_bytes: int) -> None:
        size = 0
        rows = self._db.execute(
            f"SELECT seq, at_ms, body FROM {TABLES[lane]} WHERE seq >= ? ORDER BY seq LIMIT ?",  # noqa: S608 - a constant
            (after + 1, limit),  # not "> after": that would look at the page before, which may be the damaged one
        )
        for seq, at_ms, body in self._each(rows, after):
            size += len(body)
            if len(found) == limit or (found and size > max_bytes):
                break
            found.append(OutboxEntry(seq, lane, codec.from_ms(at_ms), body))
        rows.close(force=True)  # ends the read transaction: the log can be checkpointed

    def tail(self, lane: Lane, after: int, max_bytes: int) -> list[OutboxEntry]:
        """The newest entries with ``seq > after``, descending: (but for the first) at most ``max_bytes``."""
        found: list[OutboxEntry] = []
        rows = self._db.execute(
            f"SELECT seq, at_ms, body FROM {TABLES[lane]} WHERE seq > ? ORDER BY seq DESC",  # noqa: S608 - a constant
            (after,),
        )
        for seq, at_ms, body in self._each(rows, after, is_backwards=True):
            max_bytes -= len(body)
            if found and max_bytes < 0:
                break
            found.append(OutboxEntry(seq, lane, codec.from_ms(at_ms), body))
        rows.close(force=True)
        return found

    def _each(self, rows: apsw.Cursor, after: int, *, is_backwards: bool = False) -> Iterator[Packed]:
        """The rows as they were committed, out of the packs that housekeeping has made of them."""
        for seq, at_ms, body in rows:
            row = Packed(int(seq), int(at_ms), body)
            inner = self._unpacked(row) if is_pack(body) else (row,)
            for each in reversed(inner) if is_backwards else inner:
                if each.seq > after:
                    yield each

    def _unpacked(self, row: Packed) -> Sequence[Packed]:
        if self._pack[0] != row.seq:
            try:
                rows = unpack(row.body)
            except PackError:
                return (row,)  # whoever reads it will put it aside
            is_carried = rows[-1].seq != row.seq  # into another database, under another number
            self._pack = row.seq, [as_one(rows, row.seq)] if is_carried else rows
        return self._pack[1]

    def backlog(self, lane: Lane, after: int) -> tuple[int, int]:
        """(entries, bytes on the disk) with ``seq > after``; of a pack that has begun to go, all its bytes.

        Numbers have no gaps, so that nothing is counted one by one; bytes 0 where a damaged page hinders adding up.
        """
        try:
            return self._backlog(lane, after)
        except apsw.CorruptError:
            return max(0, self.last_seq(lane) - after), 0

    def _backlog(self, lane: Lane, after: int) -> tuple[int, int]:
        first = self.take(lane, after, 1)
        if not first:
            return 0, 0
        size = number(self._db, f"SELECT sum(length(body)) FROM {TABLES[lane]} WHERE seq > ?", after)  # noqa: S608 - a constant
        return self.last_seq(lane) - first[0].seq + 1, size

    def last_seq(self, lane: Lane) -> int:
        """The newest entry's seq, 0 while there is none."""
        return number(self._db, f"SELECT max(seq) FROM {TABLES[lane]}")  # noqa: S608 - a constant

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class CursorStore:
    """The bridge's own file: how far each uplink has settled, what platforms refused, how the bridge is doing.

    Where it is found damaged it is mended, and what was asked is done in the new one.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._epoch = ""
        self._db = open_books(directory)

    def adopt(self, outbox_epoch: str) -> bool:
        """Keep cursors of this outbox only; True where those of a former one were thrown away."""
        self._epoch = outbox_epoch
        return self._do(lambda: self._adopt(outbox_epoch))

    def _adopt(self, outbox_epoch: str) -> bool:
        before = epoch(self._db)
        if before == outbox_epoch:
            return False
        with self._db:
            self._db.execute("DELETE FROM cursors")
            dead_letters.disown(self._db)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (outbox_epoch,))
        return before != ""

    def get(self, uplink: str, lane: Lane) -> int:
        """Everything up to this seq is settled; 0 at first."""
        sql = "SELECT seq FROM cursors WHERE uplink = ? AND lane = ?"
        return self._do(lambda: number(self._db, sql, uplink, lane.value))

    def settle(self, uplink: str, lane: Lane, seq: int) -> None:
        """Everything up to ``seq`` is settled; never moves backwards."""
        sql = "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)"
        self._do(lambda: self._db.execute(sql, (uplink, lane.value, seq)))

    def reject(self, uplink: str, entry: OutboxEntry, reason: str) -> None:
        """Keep a refused row as a dead letter; the oldest go beyond the bound."""
        self._do(lambda: self._reject(uplink, entry, reason))

    def _reject(self, uplink: str, entry: OutboxEntry, reason: str) -> None:
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO dead_letters (uplink, lane, seq, at_ms, reason, body) VALUES (?, ?, ?, ?, ?, ?)",
                (uplink, entry.lane.value, entry.seq, codec.to_ms(entry.at), reason[:500], entry.body),
            )
            dead_letters.bound(self._db, uplink, _MAX_DEAD_LETTERS)

    def rejected(self, uplink: str) -> int:
        """How many dead letters this uplink has."""
        return self._do(lambda: number(self._db, "SELECT count(*) FROM dead_letters WHERE uplink = ?", uplink))

    def wanted(self, uplink: str) -> Sequence[tuple[int, OutboxEntry]]:
        """Dead letters that somebody wants sent again."""
        return self._do(lambda: dead_letters.wanted_of(self._db, self._directory, uplink))

    def close_letter(self, letter_id: int, refused: str) -> None:
        """A dead letter was taken (``refused`` ""), or refused again."""
        self._do(lambda: dead_letters.close(self._db, self._directory, letter_id, refused))

    def set_status(self, uplink: str, status: dict[str, object]) -> None:
        """Leave word for the gateway's screens."""
        body = orjson.dumps(status).decode()
        self._do(lambda: self._db.execute("INSERT OR REPLACE INTO status VALUES (?, ?)", (uplink, body)))

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _do(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except apsw.Error as error:
            if not is_damage(error):
                raise
        self._db.close()
        mend_books(self._directory)
        self._db = open_books(self._directory)
        if self._epoch and not epoch(self._db):  # its place was the damaged one: these are cursors of this outbox
            self._db.execute("INSERT INTO meta VALUES ('epoch', ?)", (self._epoch,))
        return work()


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
