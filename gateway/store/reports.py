"""What report on change holds back for its time, so that a kill loses no change: one row a point.

What is held and for how long is `gateway.reporting`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import apsw
import orjson

from gateway.model import Quality, Reading
from gateway.store import codec

SCHEMA = "CREATE TABLE held_readings (point_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;"


def read(db: apsw.Connection) -> list[Reading]:
    """What waited when the gateway stopped, oldest first; a damaged row keeps no gateway from starting."""
    found = []
    for point_id, body in db.execute("SELECT point_id, body FROM held_readings"):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            found.append(_reading(str(point_id), str(body)))
    return sorted(found, key=lambda each: (each.received_at, each.point_id))


def write(db: apsw.Connection, changes: Iterable[tuple[str, Reading | None]]) -> None:
    """Inside the caller's transaction: what each of these points holds now, None where nothing."""
    changes = list(changes)
    held = [(point_id, _body(each)) for point_id, each in changes if each is not None]
    if held:
        db.executemany("INSERT OR REPLACE INTO held_readings VALUES (?, ?)", held)
    gone = [(point_id,) for point_id, each in changes if each is None]
    if gone:
        db.executemany("DELETE FROM held_readings WHERE point_id = ?", gone)


def _body(reading: Reading) -> str:
    at, received = codec.to_ms(reading.at), codec.to_ms(reading.received_at)
    return orjson.dumps([reading.value, at, received, reading.quality.value, reading.detail]).decode()


def _reading(point_id: str, body: str) -> Reading:
    value, at, received, quality, detail = orjson.loads(body)
    return Reading(point_id, value, codec.from_ms(at), codec.from_ms(received), Quality(quality), detail)
