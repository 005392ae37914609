"""Carrying the gateway's memory from one database to another: out of a damaged one, off a disk that has gone
read-only, and back home.

What a gateway needs to go on comes first and is small: open alarms with their history, delays, marks, commands,
notices, accounts. Where a page is damaged the rest of its table is read from the other end.
"""  # noqa: D205 - one sentence

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import apsw

from gateway.model import Lane
from gateway.store.database import epoch, number

_LATEST = (
    "is_open = 1 OR (rule_id, point_id, occurrence) IN"
    " (SELECT rule_id, point_id, max(occurrence) FROM alarms GROUP BY rule_id, point_id)"
)
_OF_OPEN = "alarm_id IN (SELECT id FROM alarms WHERE is_open = 1)"
_LANES = {Lane.ALARM: "outbox_alarm", Lane.TELEMETRY: "outbox_telemetry"}
_BROUGHT = "brought_home"
_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.SQLError)


class Part(NamedTuple):
    """Rows of one table. ``where`` chooses them, ``most`` bounds them."""

    table: str
    key: str
    where: str = "1"
    most: int = 1_000_000


_STATE = (
    Part("users", "name"),
    Part("sessions", "token_hash"),
    Part("marks", "mark, scope, key"),
    Part("timers", "key"),
    Part("receipts", "slot"),
    Part("held_readings", "point_id"),
)
_GOING_ON = (
    *_STATE,
    Part("alarms", "id", _LATEST, 200_000),
    Part("alarm_events", "alarm_id, version", _OF_OPEN, 200_000),
    Part("commands", "id", "outcome IS NULL OR because IN (SELECT id FROM alarms WHERE is_open = 1)", 50_000),
    Part("notices", "key", f"is_accepted IS NULL OR {_OF_OPEN}", 50_000),
    Part("requests", "id", "1", 20_000),
)
_HISTORY = (
    Part("alarms", "id"),
    Part("alarm_events", "alarm_id, version"),
    Part("commands", "id"),
    Part("notices", "key"),
    Part("audit", "seq"),
    Part("passes", "seq", "seq > (SELECT max(seq) FROM passes) - 500000", 500_000),
)
_SINCE = ("alarms", "commands", "notices", "requests")  # what is in the refuge is newer than at home
_ADDED = ("passes", "audit")  # what is in the refuge is not at home


class Carried(NamedTuple):
    """What came over, by table, and which tables could not be read whole."""

    rows: Mapping[str, int]
    damaged: tuple[str, ...]


class _Carrier:
    def __init__(self, source: apsw.Connection, target: apsw.Connection) -> None:
        self._source, self._target = source, target
        self._rows: dict[str, int] = {}
        self._damaged: dict[str, None] = {}

    def result(self) -> Carried:
        return Carried(self._rows, tuple(self._damaged))

    def copy(self, part: Part, *, drops: Sequence[str] = (), replaces: bool = False) -> None:
        """Copy what can be read. ``drops``: columns that the target fills in itself."""
        columns = [each for each in self._common(part.table) if each not in drops]
        if not columns:
            return
        verb = "REPLACE" if replaces else "IGNORE"
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        insert = f"INSERT OR {verb} INTO {part.table} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own schema
        before = self._target.total_changes()
        with self._target:
            for where, order in ((part.where, ""), ("1", ""), ("1", " DESC")):
                keys = ", ".join(each + order for each in part.key.split(", "))
                query = f"SELECT {names} FROM {part.table} WHERE {where} ORDER BY {keys} LIMIT {part.most}"  # noqa: S608 - as above
                if self._pour(query, insert):
                    break
                self._damaged[part.table] = None
        self._rows[part.table] = self._rows.get(part.table, 0) + self._target.total_changes() - before

    def _pour(self, query: str, insert: str) -> bool:
        """Insert rows until the end, or until a damaged page."""
        rows = self._readable(query)
        for row in rows:
            if row is None:
                return False
            self._target.execute(insert, row)
        return True

    def _readable(self, query: str) -> Iterator[tuple[apsw.SQLiteValue, ...] | None]:
        try:
            yield from self._source.execute(query)
        except _DAMAGE:
            yield None

    def _common(self, table: str) -> list[str]:
        """Columns of both: the source may be of an older version."""
        known = _columns(self._target, table)
        try:
            return [each for each in _columns(self._source, table) if each in known]
        except _DAMAGE:
            self._damaged[table] = None
            return []

    def meta(self, key: str) -> None:
        try:
            row = self._source.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        except _DAMAGE:
            self._damaged["meta"] = None
            return
        if row is not None:
            self._target.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, row[0]))


def _columns(db: apsw.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]


def flee(source: apsw.Connection, target: apsw.Connection, settled: Mapping[Lane, int]) -> Carried:
    """Into an empty database of little room: what the gateway needs to go on, and alarms that wait for a cloud.

    The target keeps its own epoch: its numbers are others than those at home.
    """
    carrier = _Carrier(source, target)
    carrier.meta("pulse")
    for part in _GOING_ON:
        carrier.copy(part)
    carrier.copy(Part("outbox_alarm", "seq", f"seq > {settled[Lane.ALARM]}", 20_000), drops=("seq",))
    return carrier.result()


def mend(source: apsw.Connection, target: apsw.Connection, settled: Mapping[Lane, int]) -> Carried:
    """Out of a damaged database into a new one in its place: all that can be read, what is needed first.

    Where the numbers of its outbox can still be told, they go on, and so does its epoch: a platform sees nothing of it.
    """
    carrier = _Carrier(source, target)
    carrier.meta("pulse")
    numbers = _numbers(source)
    if numbers:
        carrier.meta("epoch")
        with target:
            for table, seq in numbers.items():
                target.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, seq))
    for part in _GOING_ON:
        carrier.copy(part)
    for lane, table in _LANES.items():
        carrier.copy(Part(table, "seq", f"seq > {settled[lane]}"), drops=() if numbers else ("seq",))
    for part in _HISTORY:
        carrier.copy(part)
    return carrier.result()


def _numbers(source: apsw.Connection) -> dict[str, int]:
    """The last numbers that were given out; nothing where that cannot be read."""
    try:
        found = {str(name): int(str(seq)) for name, seq in source.execute("SELECT name, seq FROM sqlite_sequence")}
        return found if epoch(source) else {}
    except _DAMAGE:
        return {}


def bring_home(refuge: apsw.Connection, home: apsw.Connection, settled: Mapping[Lane, int]) -> Carried | None:
    """Back onto the disk that could not be written: what has happened since; None where that was done before.

    One transaction: a power cut leaves it done or not begun.
    """
    mark = epoch(refuge)
    if number(home, "SELECT count(*) FROM meta WHERE key = ? AND value = ?", _BROUGHT, mark):
        return None
    carrier = _Carrier(refuge, home)
    with home:
        home.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_BROUGHT, mark))
        carrier.meta("pulse")
        for part in _STATE:
            home.execute(f"DELETE FROM {part.table}")  # noqa: S608 - names of our own schema
            carrier.copy(part)
        for part in _GOING_ON:
            if part.table in _SINCE:
                carrier.copy(Part(part.table, part.key), replaces=True)
        carrier.copy(Part("alarm_events", "alarm_id, version"))
        for table in _ADDED:
            carrier.copy(Part(table, "seq"), drops=("seq",))
        for lane, table in _LANES.items():
            carrier.copy(Part(table, "seq", f"seq > {settled[lane]}"), drops=("seq",))
    return carrier.result()
