"""What people have set by hand: commands whose id says so, with what became of them; and how long that is kept.

The rows are those of all commands, written by `gateway.store.journal`. Deciding is `gateway.rules.operate`'s.
"""

from __future__ import annotations

from typing import Any

import apsw

from gateway.store.database import GATEWAY_FILE, open_reader

PREFIX = "operate:"
_MOST_TRIMMED = 500
_COLUMNS = (
    "id", "point_id", "value", "outcome", "readback", "issued_ms", "closed_ms", "detail", "actor", "because",
    "expires_ms",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM commands"  # noqa: S608 - constants
_OF_HAND = "id > 'operate:' AND id < 'operate;'"  # the primary key finds them; the ends of pulses are not meant


def trim(db: apsw.Connection, before_ms: int) -> bool:
    """Forget what was commanded without an alarm before that; True while there may be more.

    What was commanded from an alarm goes with its alarm.
    """
    rows = db.execute(
        "SELECT id FROM commands WHERE because = '' AND issued_ms < ? LIMIT ?", (before_ms, _MOST_TRIMMED)
    ).fetchall()
    if rows:
        with db:
            db.executemany("DELETE FROM commands WHERE id = ?", rows)
    return len(rows) == _MOST_TRIMMED


class OperationReader:
    """What screens and clouds ask; may be called from any one thread at a time."""

    def __init__(self, directory: str) -> None:
        self._db = open_reader(directory, GATEWAY_FILE)

    def one(self, command_id: str) -> dict[str, Any] | None:
        """One operation; None where there is none of this id."""
        if not command_id.startswith(PREFIX):
            return None
        row = self._db.execute(f"{_SELECT} WHERE id = ?", (command_id,)).fetchone()
        return dict(zip(_COLUMNS, row, strict=True)) if row else None

    def page(self, limit: int, before: tuple[int, str] | None) -> list[dict[str, Any]]:
        """The newest first, strictly before (issued_ms, id)."""
        rows = self._db.execute(
            f"{_SELECT} WHERE {_OF_HAND} AND (issued_ms, id) < (?, ?) ORDER BY issued_ms DESC, id DESC LIMIT ?",
            (*(before or (2**62, "")), limit),
        )
        return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
