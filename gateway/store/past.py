"""What is read of the past: by screens with a connection of their own, and by a start.

Writing belongs to `journal`; passes and operations have readers of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import apsw
import orjson

from gateway.model import Alarm, AlarmEvent, MarkChange, Reply
from gateway.store import codec, commands, kpi, notices
from gateway.store.database import GATEWAY_FILE, open_reader

_MOST_NOTICES = 500  # of one alarm, that a screen gets
_MOST_EVENTS = 1_000  # and lines of its journal: the first (how it began), and the newest
_FIRST_EVENTS = 100
_MOST_COMMANDS = 1_000  # and commands: the newest


class JournalReader:
    """What screens ask of the past; may be called from any one thread at a time."""

    def __init__(self, directory: str) -> None:
        self._db = open_reader(directory, GATEWAY_FILE)

    def events(self, alarm_id: str) -> list[AlarmEvent]:
        """The journal of one alarm, oldest first; of a very long one its beginning and its end."""
        rows = self._db.execute(
            "SELECT alarm_id, version, kind, at_ms, actor, data FROM alarm_events WHERE alarm_id = ?1 AND ("
            "version <= ?2 OR version > (SELECT max(version) FROM alarm_events WHERE alarm_id = ?1) - ?3)"
            " ORDER BY version",
            (alarm_id, _FIRST_EVENTS, _MOST_EVENTS - _FIRST_EVENTS),
        )
        return [codec.event_from_row(row) for row in rows]

    def alarm(self, alarm_id: str) -> Alarm | None:
        """The alarm, open or ended."""
        found = alarms_of(self._db.execute("SELECT body FROM alarms WHERE id = ?", (alarm_id,)))
        return found[0] if found else None

    def ended(self, limit: int, before: tuple[datetime, str] | None) -> list[Alarm]:
        """Ended alarms by (raised_at, id) descending, strictly before ``before``."""
        before_ms, before_id = (2**62, "") if before is None else (codec.to_ms(before[0]), before[1])
        rows = self._db.execute(
            "SELECT body FROM alarms WHERE is_open = 0 AND (raised_ms, id) < (?, ?)"
            " ORDER BY raised_ms DESC, id DESC LIMIT ?",
            (before_ms, before_id, limit),
        )
        return list(alarms_of(rows))

    def reply(self, request_id: str) -> Reply | None:
        """What became of a request that was made before."""
        row = self._db.execute("SELECT reply FROM requests WHERE id = ?", (request_id,)).fetchone()
        return Reply(request_id, *orjson.loads(str(row[0]))) if row else None

    def commands(self, because: str) -> list[dict[str, Any]]:
        """What an alarm commanded and what became of it; the newest of very many."""
        return commands.of_alarm(self._db, because, _MOST_COMMANDS)

    def marks(self) -> list[MarkChange]:
        """The marks that are set: disabled, out of service, drills, tests, shelved."""
        return list(marks_set(self._db))

    def notices(self, alarm_id: str) -> list[dict[str, Any]]:
        """Who was told of an alarm, and how far each notice has got; the newest of them."""
        return notices.of_alarm(self._db, alarm_id, _MOST_NOTICES)

    def calls(self, start: datetime, end: datetime, now: datetime) -> dict[str, Any]:
        """How the calls for help of this time were answered."""
        return kpi.report(kpi.calls(self._db, start, end), now)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def marks_set(db: apsw.Connection) -> tuple[MarkChange, ...]:
    """The marks that are set."""
    rows = db.execute("SELECT mark, scope, key, since_ms, until_ms, by, reason FROM marks ORDER BY mark, scope, key")
    return tuple(codec.mark_from_row(row) for row in rows)


def alarms_of(rows: Iterable[Sequence[Any]]) -> tuple[Alarm, ...]:
    """Alarms of rows that hold their ``body``."""
    return tuple(codec.alarm_from_json(orjson.loads(row[0])) for row in rows)
