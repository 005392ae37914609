"""Reading on behind a damaged page of a table of numbered rows: what lies on it is lost to the reader, the rest is not.

Only for reading. Who writes the table finds out by itself, and what to tell people belongs to the callers.
"""

from __future__ import annotations

import apsw

_TRIES = 64  # steps of a search that doubles, then halves: no table has more rows


def next_readable(db: apsw.Connection, table: str, after: int, column: str = "body") -> int:
    """The first ``seq`` above ``after`` from which on rows can be read again; 0 where there is none.

    Pages are looked at with steps that double until one answers, then halve back: the stretch that is given up is
    the damaged one, to the row. ``column`` is the last one of the table.
    """
    low, step = after, 1
    for _ in range(_TRIES):
        probe = after + step
        if probe >= 2**62:
            return 0
        found = at_least(db, table, probe, column)
        if found is not None:
            break
        low, step = probe, step * 2
    else:
        return 0
    high = probe
    while high - low > 1:
        middle = (low + high) // 2
        again = at_least(db, table, middle, column)
        if again is None:
            low = middle
        else:
            high, found = middle, again
    return found


def at_least(db: apsw.Connection, table: str, seq: int, column: str = "body") -> int | None:
    """The first seq from here on, 0 where there is none; None where it can't be read."""
    try:
        row = db.execute(
            f"SELECT seq, length({column}) FROM {table} WHERE seq >= ? ORDER BY seq LIMIT 1",  # noqa: S608 - a constant
            (seq,),
        ).fetchone()
    except (apsw.CorruptError, apsw.IOError):
        return None
    return 0 if row is None else int(str(row[0]))
