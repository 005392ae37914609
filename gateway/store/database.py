"""Opening the database files: pragmas, schema, migrations. What is kept belongs to the other modules of this room.

Two files, one writer each: the gateway alone writes ``shouwang.db``, the bridge alone writes ``bridge.db``. So a
stopped or stalled bridge can never hold a lock that an alarm waits for.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

import apsw

from gateway.store import commands, notices, reports, timers

GATEWAY_FILE = "shouwang.db"
BRIDGE_FILE = "bridge.db"

_GATEWAY_SCHEMA = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE alarm_events (
        alarm_id TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (alarm_id, version)) WITHOUT ROWID;
    CREATE TABLE alarms (
        id TEXT PRIMARY KEY, rule_id TEXT NOT NULL, point_id TEXT NOT NULL, occurrence INTEGER NOT NULL,
        is_open INTEGER NOT NULL, raised_ms INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX alarms_open ON alarms (is_open, raised_ms);
    CREATE INDEX alarms_source ON alarms (rule_id, point_id, occurrence);
    CREATE TABLE commands (
        id TEXT PRIMARY KEY, point_id TEXT NOT NULL, value TEXT NOT NULL, actor TEXT NOT NULL, because TEXT NOT NULL,
        issued_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, is_safety INTEGER NOT NULL,
        outcome TEXT, readback TEXT, closed_ms INTEGER, detail TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
    CREATE INDEX commands_open ON commands (expires_ms) WHERE outcome IS NULL;
    CREATE TABLE notices (
        key TEXT PRIMARY KEY, alarm_id TEXT NOT NULL, reason TEXT NOT NULL, channel TEXT NOT NULL,
        recipient TEXT NOT NULL, text TEXT NOT NULL, at_ms INTEGER NOT NULL,
        is_accepted INTEGER, closed_ms INTEGER, detail TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
    CREATE INDEX notices_open ON notices (at_ms) WHERE is_accepted IS NULL;
    CREATE TABLE timers (key TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, duration_s REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE requests (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, reply TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE outbox_alarm (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, items INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE outbox_telemetry (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, items INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE receipts (slot INTEGER PRIMARY KEY, seq INTEGER NOT NULL, digests BLOB NOT NULL);
    CREATE TABLE users (
        name TEXT PRIMARY KEY, role TEXT NOT NULL, password_hash TEXT NOT NULL, created_ms INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE sessions (
        token_hash TEXT PRIMARY KEY, user TEXT NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
        detail TEXT NOT NULL);
    """,
    """
    CREATE INDEX commands_because ON commands (because);
    CREATE INDEX notices_alarm ON notices (alarm_id);
    """,
    """
    CREATE TABLE marks (
        mark TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL, since_ms INTEGER NOT NULL, until_ms INTEGER,
        by TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (mark, scope, key)) WITHOUT ROWID;
    """,
    notices.SCHEMA,
    """
    CREATE TABLE passes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, device_ms INTEGER NOT NULL,
        device_id TEXT NOT NULL, credential TEXT NOT NULL, way TEXT NOT NULL, direction TEXT NOT NULL,
        result TEXT NOT NULL);
    CREATE INDEX passes_at ON passes (at_ms);
    CREATE INDEX passes_device ON passes (device_id, seq);
    """,
    """
    CREATE INDEX passes_credential ON passes (credential, seq);
    """,
    timers.SCHEMA + commands.SCHEMA,
    reports.SCHEMA,
)

_BRIDGE_SCHEMA = (
    """
    CREATE TABLE cursors (
        uplink TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (uplink, lane)) WITHOUT ROWID;
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT, uplink TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (uplink, lane, seq, reason));
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE status (uplink TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    """,
)


_TABLE = re.compile(r"CREATE TABLE (\w+)")
_LOG_BYTES = 16_000_000  # to which the log shrinks after a reader had held it up
_NARROW_PAGES = (
    100  # of the log, before it is copied into the database: on a full disk it must not take all that is left
)


class StoreError(Exception):
    """The database cannot be opened or written; the text says what the operator must do."""


def is_damage(error: BaseException | None) -> bool:
    """Is the file itself damaged, so that no later try can succeed?"""
    while error is not None:
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(is_damage(each) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return False


def put_aside(path: Path) -> Path:
    """Rename a damaged database and its log to ``….broken``; one that lay there before is overwritten.

    Killed in between and called again, it goes on where it was.
    """
    parts = {suffix: path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")}
    asides = {suffix: path.with_name(f"{path.name}.broken{suffix}") for suffix in parts}
    if path.exists():
        for each in asides.values():
            each.unlink(missing_ok=True)
    for suffix, part in parts.items():
        if part.exists():
            part.replace(asides[suffix])
    return asides[""]


def open_gateway(directory: str) -> apsw.Connection:
    """The gateway's database, created or migrated; durable against power loss from the first commit.

    A new one gets an epoch: its sequence numbers and occurrences begin again, and whoever keeps numbers of a former
    database (the bridge, a platform) must be able to see that they are not of this one.
    """
    db = _open(Path(directory) / GATEWAY_FILE, _GATEWAY_SCHEMA)
    try:
        db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (secrets.token_hex(4),))
    except apsw.Error as error:
        raise StoreError(f"cannot write {GATEWAY_FILE} in {directory}: {error}") from error
    return db


def open_bridge(directory: str) -> apsw.Connection:
    """The bridge's own database, created or migrated."""
    return _open(Path(directory) / BRIDGE_FILE, _BRIDGE_SCHEMA)


def open_reader(directory: str, name: str) -> apsw.Connection:
    """A read-only connection to a database that another connection writes."""
    path = Path(directory) / name
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(2000)
        version = int(str(db.pragma("user_version")))
    except apsw.Error as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    if not version:  # its writer has just created it: no tables yet
        db.close()
        raise StoreError(f"{path} is still being made")
    return db


def log_path(directory: str) -> Path:
    """The write-ahead log of the gateway's database."""
    return Path(directory) / f"{GATEWAY_FILE}-wal"


def narrow(db: apsw.Connection) -> None:
    """The disk is full: from now on the log is kept short. What is in it takes less room in the database."""
    db.pragma("wal_autocheckpoint", _NARROW_PAGES)
    with contextlib.suppress(apsw.Error):  # no room for that either: it is tried again at every commit
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _open(path: Path, schema: tuple[str, ...]) -> apsw.Connection:
    db = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        db = apsw.Connection(str(path))
        path.chmod(0o600)
        db.set_busy_timeout(5000)
        _check(db, path, schema)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", 2)  # FULL: a commit that returned survives a power cut
        db.pragma("foreign_keys", 1)
        db.pragma("journal_size_limit", _LOG_BYTES)
        _migrate(db, schema)
    except (apsw.Error, OSError) as error:
        if db is not None:
            db.close()  # left open it would delete, by its name, the log of the one that comes in its place
        raise StoreError(f"cannot open {path}: {error}") from error
    except UnicodeDecodeError as error:  # in its schema
        assert db is not None
        db.close()
        raise StoreError(f"cannot open {path}: {error}") from apsw.CorruptError(str(error))
    return db


def _check(db: apsw.Connection, path: Path, schema: tuple[str, ...]) -> None:
    """Is it ours, and of a version that this program knows? Asked before anything is changed in it."""
    has = int(str(db.pragma("user_version")))
    if has > len(schema):
        raise StoreError(
            f"数据库 {path} 是更新版本的程序写的(版本 {has},本程序只认得 {len(schema)})。"
            "请用新版本的程序,或换一个 data_dir。\n"
            f"{path} is of a newer version ({has}) than this program knows ({len(schema)}): "
            "use the newer program, or another data_dir"
        )
    _compare_tables(db, path, schema[:has])


def _migrate(db: apsw.Connection, schema: tuple[str, ...]) -> None:
    has = int(str(db.pragma("user_version")))
    for number, script in enumerate(schema[has:], start=has + 1):
        with db:
            db.execute(script)
            db.pragma("user_version", number)


def _compare_tables(db: apsw.Connection, path: Path, schema: tuple[str, ...]) -> None:
    """A file of another program, or of a version that was never released: writing into it would ruin both."""
    wanted = set(_TABLE.findall("".join(schema)))
    rows = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    has = {str(name) for (name,) in rows}
    if has == wanted:
        return
    missing, unknown = ", ".join(sorted(wanted - has)) or "-", ", ".join(sorted(has - wanted)) or "-"
    raise StoreError(
        f"数据库 {path} 不是本程序这个版本的(缺少的表:{missing};不认得的表:{unknown})。"
        "请用写它的程序打开,或把它移走(会失去记录),或换一个 data_dir。\n"
        f"{path} is not a database of this version (missing tables: {missing}; unknown tables: {unknown}): "
        "open it with the program that wrote it, move it away (its records are lost then), or use another data_dir"
    )


def epoch(db: apsw.Connection) -> str:
    """Which database this is; "" where it has never been said."""
    row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return str(row[0]) if row else ""


def number(db: apsw.Connection, sql: str, *args: str | float | bytes) -> int:
    """The one number a query answers; 0 where it answers nothing."""
    row = db.execute(sql, args).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])
