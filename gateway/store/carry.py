"""Carrying the gateway's memory from one database to another: out of a damaged one, off a disk that has gone
read-only, and back home.

What a gateway needs to go on comes first and is small: open alarms with their history, delays, marks, commands,
notices, accounts. Behind a damaged page is read on: of numbered rows from the next one that can be read, of others
from the other end. Telemetry comes last, the newest of it.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import apsw
import orjson

from gateway.model import Lane
from gateway.store.damage import at_least, next_readable
from gateway.store.database import epoch, number
from gateway.store.trimming import TABLES
from gateway.store.understanding import is_understood

MOST_TELEMETRY_BYTES = 128_000_000  # out of a damaged database: nobody hears a fire meanwhile
_MOST_TELEMETRY_ROWS = 300_000
_LATEST = (
    "is_open = 1 OR (rule_id, point_id, occurrence) IN"
    " (SELECT rule_id, point_id, max(occurrence) FROM alarms GROUP BY rule_id, point_id)"
)
_OF_OPEN = "alarm_id IN (SELECT id FROM alarms WHERE is_open = 1)"
_BROUGHT = "brought_home"
_FROM = "fled_from"  # in a refuge: how far the database had come that it was taken from
_OF_ALARM = {"alarms": "id", "alarm_events": "alarm_id", "commands": "because", "notices": "alarm_id"}
_FLED = "fled"  # in a refuge: the tables that have come whole, once all have been tried
_LAST_COLUMN = {**dict.fromkeys(TABLES.values(), "body"), "passes": "result", "audit": "detail"}  # of numbered tables
_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.SQLError, apsw.SchemaChangeError)


Row = tuple[Any, ...]


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
    left_rows: int = 0  # of telemetry that no cloud has: damaged, or too old for what there is time and room for


class _Carrier:
    def __init__(self, source: apsw.Connection, target: apsw.Connection, *, is_lenient: bool = True) -> None:
        """``is_lenient``: where a table has no room, the others come all the same."""
        self._source, self._target, self._is_lenient = source, target, is_lenient
        self.skips: AbstractSet[str] = frozenset()  # alarms that the target knows better
        self._rows: dict[str, int] = {}
        self._damaged: dict[str, None] = {}

    def result(self, left_rows: int = 0) -> Carried:
        return Carried(self._rows, tuple(self._damaged), left_rows)

    def copy(self, part: Part, *, renumbers: bool = False, replaces: bool = False, is_vital: bool = False) -> int:
        """Copy what can be read; how many rows. ``renumbers``: the target gives numbers of its own.

        ``is_vital``: without it the target is of no use, so that there must be room for it.
        """
        columns = self._common(part.table)
        if not columns:
            return 0
        given = columns[1:] if renumbers else columns
        verb = "REPLACE" if replaces else "IGNORE"
        marks = ", ".join("?" * len(given))
        insert = f"INSERT OR {verb} INTO {part.table} ({', '.join(given)}) VALUES ({marks})"  # noqa: S608 - names of our own schema
        before = self._target.total_changes()
        try:
            with self._target:
                for row in self._each(part, columns):
                    self._insert(part.table, insert, row[1:] if renumbers else row, given)
        except apsw.FullError:
            if is_vital or not self._is_lenient:
                raise
            self._damaged[part.table] = None
            return 0
        came = self._target.total_changes() - before
        self._rows[part.table] = self._rows.get(part.table, 0) + came
        return came

    def _insert(self, table: str, insert: str, row: Row, names: list[str]) -> None:
        named = dict(zip(names, row, strict=True))
        if self.skips and named.get(_OF_ALARM.get(table, "")) in self.skips:
            return
        if is_understood(table, named):
            with contextlib.suppress(apsw.SQLError, apsw.ConstraintError, apsw.MismatchError):
                self._target.execute(insert, row)
                return
        self._damaged[table] = None

    def _each(self, part: Part, columns: list[str]) -> Iterator[Row]:
        names = ", ".join(columns)
        if part.table in _LAST_COLUMN:
            return self._numbered(part, names)
        return self._keyed(part, names)

    def _keyed(self, part: Part, names: str) -> Iterator[Row]:
        """Up to a damaged page, and then from the other end down to it: what was read twice is the same row."""
        for where, order in ((part.where, ""), ("1", ""), ("1", " DESC")):
            keys = ", ".join(each + order for each in part.key.split(", "))
            query = f"SELECT {names} FROM {part.table} WHERE {where} ORDER BY {keys} LIMIT {part.most}"  # noqa: S608 - names of our own schema
            try:
                yield from self._rows_of(query, part.table)
            except _DAMAGE:
                self._damaged[part.table] = None
            else:
                return

    def _numbered(self, part: Part, names: str) -> Iterator[Row]:
        """Ascending, each row once, whatever is damaged between them."""
        after, left, column = 0, part.most, _LAST_COLUMN[part.table]
        while left > 0:
            query = (
                f"SELECT {names} FROM {part.table} WHERE seq >= {after + 1} AND {part.where}"  # noqa: S608 - as above
                f" ORDER BY seq LIMIT {left}"
            )
            try:
                for row in self._rows_of(query, part.table):
                    after, left = int(str(row[0])), left - 1
                    yield row
            except _DAMAGE:
                self._damaged[part.table] = None
                following = next_readable(self._source, part.table, after, column)
                if following <= after:
                    return
                after = max(following - 1, after + (at_least(self._source, part.table, after + 1, column) == following))
            else:
                return

    def _rows_of(self, query: str, table: str) -> Iterator[Row]:
        """Rows with a text that is none any more are left out."""
        cursor = self._source.execute(query)
        while True:
            try:
                row = cursor.fetchone()
            except UnicodeDecodeError:
                self._damaged[table] = None
                continue
            if row is None:
                return
            yield row

    def _common(self, table: str) -> list[str]:
        """Columns of both: the source may be of an older version."""
        known = _columns(self._target, table)
        try:
            return [each for each in _columns(self._source, table) if each in known]
        except (*_DAMAGE, UnicodeDecodeError):
            self._damaged[table] = None
            return []

    def meta(self, key: str) -> None:
        try:
            row = self._source.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        except (*_DAMAGE, UnicodeDecodeError):
            self._damaged["meta"] = None
            return
        if row is not None and is_understood(key, {"value": row[0]}):
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
    carrier.copy(Part(TABLES[Lane.ALARM], "seq", f"seq > {settled[Lane.ALARM]}", 20_000), renumbers=True)
    carried = carrier.result()
    with contextlib.suppress(*_DAMAGE):
        target.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FROM, _how_far(source)))
    settle_in(target, [each for each in carried.rows if each not in carried.damaged])
    return carried


def _how_far(db: apsw.Connection) -> str:
    """What changes with every alarm and reading that is stored."""
    numbers = db.execute("SELECT name, seq FROM sqlite_sequence WHERE name LIKE 'outbox%' ORDER BY name").fetchall()
    return orjson.dumps(numbers).decode()


def settle_in(refuge: apsw.Connection, whole: list[str]) -> None:
    """All that could be had is in this refuge; ``whole`` are the tables of which nothing is missing."""
    refuge.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FLED, orjson.dumps(whole).decode()))


def has_settled_in(refuge: apsw.Connection) -> bool:
    """Or did a kill end the flight on its way?"""
    return bool(number(refuge, "SELECT count(*) FROM meta WHERE key = ?", _FLED))


def _whole(refuge: apsw.Connection) -> list[str]:
    return list(orjson.loads(_meta(refuge, _FLED) or "[]"))


def _meta(db: apsw.Connection, key: str) -> str:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else ""


def mend(
    source: apsw.Connection, target: apsw.Connection, settled: Mapping[Lane, int],
    *, keeps_numbers: bool = True, most_bytes: int = MOST_TELEMETRY_BYTES,
) -> Carried:  # fmt: skip
    """Out of a damaged database into a new one in its place: all that can be read, what is needed first.

    Where the numbers of its outbox can still be told, they go on, and so does its epoch: a platform sees nothing of it.
    Of telemetry the newest ``most_bytes``.
    """
    carrier = _Carrier(source, target)
    carrier.meta("pulse")
    carrier.meta(_BROUGHT)
    carrier.meta(_FLED)  # it may be a refuge that is mended
    carrier.meta(_FROM)
    numbers = _numbers(source) if keeps_numbers else {}
    if numbers:
        carrier.meta("epoch")
        with target:
            for table, seq in numbers.items():
                target.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, seq))
    for part in _GOING_ON:
        carrier.copy(part, is_vital=True)
    carrier.copy(Part(TABLES[Lane.ALARM], "seq", f"seq > {settled[Lane.ALARM]}"), renumbers=not numbers, is_vital=True)
    for part in _HISTORY:
        carrier.copy(part)
    first = _first_of_newest(source, settled[Lane.TELEMETRY], most_bytes)
    part = Part(TABLES[Lane.TELEMETRY], "seq", f"seq >= {first}")
    came = carrier.copy(part, renumbers=not numbers)
    waiting = numbers.get(part.table, 0) - settled[Lane.TELEMETRY]
    carried = carrier.result(max(0, waiting - came))
    if has_settled_in(target):
        settle_in(target, [each for each in _whole(target) if each not in carried.damaged])
    return carried


def _first_of_newest(source: apsw.Connection, after: int, most_bytes: int) -> int:
    """The first of the newest rows behind ``after`` that are so large together."""
    table, first = TABLES[Lane.TELEMETRY], 2**62
    try:
        sizes = source.execute(
            f"SELECT seq, length(body) FROM {table} WHERE seq > ? ORDER BY seq DESC LIMIT ?",  # noqa: S608 - a constant
            (after, _MOST_TELEMETRY_ROWS),
        )
        for seq, size in sizes:
            most_bytes -= int(str(size or 0))
            if most_bytes < 0:
                break
            first = int(str(seq))
    except _DAMAGE:
        return first if first < 2**62 else after + 1
    return first


def _numbers(source: apsw.Connection) -> dict[str, int]:
    """The last numbers that were given out; nothing where that cannot be read."""
    try:
        found = {str(name): int(str(seq)) for name, seq in source.execute("SELECT name, seq FROM sqlite_sequence")}
        return found if epoch(source) else {}
    except (*_DAMAGE, ValueError):
        return {}


def bring_home(refuge: apsw.Connection, home: apsw.Connection, settled: Mapping[Lane, int]) -> Carried | None:
    """Back onto the disk that could not be written: what has happened since; None where that was done before.

    One transaction: a power cut leaves it done or not begun. What had not come along whole is only added to; so is
    everything where a gateway has gone on at home meanwhile.
    """
    mark = epoch(refuge)
    if number(home, "SELECT count(*) FROM meta WHERE key = ? AND value = ?", _BROUGHT, mark):
        return None
    left_at = _meta(refuge, _FROM)
    is_left = left_at not in ("", _how_far(home))
    whole = [] if is_left else _whole(refuge)
    carrier = _Carrier(refuge, home, is_lenient=False)
    with home:
        home.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_BROUGHT, mark))
        if not is_left:
            carrier.meta("pulse")
        carrier.skips = _make_way(refuge, home)
        for part in _STATE:
            if part.table in whole:
                home.execute(f"DELETE FROM {part.table}")  # noqa: S608 - names of our own schema
            carrier.copy(part, replaces=not is_left)
        for part in _GOING_ON:
            if part.table in _SINCE:
                carrier.copy(Part(part.table, part.key), replaces=True)
        carrier.copy(Part("alarm_events", "alarm_id, version"))
        for table in _ADDED:
            carrier.copy(Part(table, "seq"), renumbers=True)
        for lane, table in TABLES.items():
            carrier.copy(Part(table, "seq", f"seq > {settled[lane]}"), renumbers=True)
    return carrier.result()


def _make_way(refuge: apsw.Connection, home: apsw.Connection) -> AbstractSet[str]:
    """Alarms that have gone on at home. Another alarm of the same id as one in the refuge (which had not been able to
    read how far the numbers had come) makes way for it: what is done with that must have its place in the record.
    """  # noqa: D205 - one paragraph
    when = "SELECT at_ms FROM alarm_events WHERE alarm_id = ? AND version = ?"
    newer: set[str] = set()
    spans = refuge.execute("SELECT alarm_id, min(version), max(version) FROM alarm_events GROUP BY alarm_id").fetchall()
    for key, first, last in spans:
        at_home = home.execute(when, (key, first)).fetchone()
        if at_home is None:
            continue
        if at_home != refuge.execute(when, (key, first)).fetchone():
            for table, column in _OF_ALARM.items():
                home.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))  # noqa: S608 - names of our own schema
        elif number(home, "SELECT max(version) FROM alarm_events WHERE alarm_id = ?", str(key)) > int(str(last)):
            newer.add(str(key))
    return newer


def rescue_books(source: apsw.Connection, target: apsw.Connection) -> Carried:
    """Out of a damaged file of the bridge: how far clouds have settled, and what they have refused."""
    carrier = _Carrier(source, target, is_lenient=False)
    carrier.meta("epoch")
    for part in (Part("cursors", "uplink, lane"), Part("dead_letters", "id"), Part("status", "uplink")):
        carrier.copy(part)
    return carrier.result()
