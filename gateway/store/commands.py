"""The record of what was commanded and what became of it; what a restart takes up again.

Rows are written inside the journal's transaction. Whether a command may still be carried out is said by its deadline,
counted from its issue (`gateway.store.pulse`); carrying it out is `gateway.effects`'.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import apsw
import orjson

from gateway.model import Actor, Command, CommandResult, Now
from gateway.store import codec, pulse

SCHEMA = "ALTER TABLE commands ADD COLUMN mono_s REAL;"  # when it was issued, in the boot of the last pulse


def write(db: apsw.Connection, command: Command, now: Now) -> None:
    """A command that was decided at ``now``."""
    db.execute(
        "INSERT INTO commands (id, point_id, value, actor, because, issued_ms, expires_ms, is_safety, mono_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            command.id, command.point_id, codec.dumps(command.value), codec.dumps(command.by), command.because,
            codec.to_ms(now.utc), codec.to_ms(command.expires_at), command.is_safety, now.mono_s,
        ),
    )  # fmt: skip


def settle(db: apsw.Connection, result: CommandResult) -> None:
    """How it ended."""
    db.execute(
        "UPDATE commands SET outcome = ?, readback = ?, closed_ms = ?, detail = ? WHERE id = ?",
        (
            result.outcome.value, codec.dumps(result.readback), codec.to_ms(result.at), result.detail[:500],
            result.command_id,
        ),
    )  # fmt: skip


def unsettled(
    db: apsw.Connection, before: pulse.Pulse | None, boot: str, now: Now
) -> tuple[tuple[Command, ...], list[pulse.Owed]]:
    """Commands without a result, oldest first, with what is left of their time counted from ``now``.

    Where nobody knows how old they are (another boot, and a clock that has gone back: 1970), an ordinary one (a door
    unlocked for a visitor) is over; one for safety is carried out, in its own time. With them what must be written
    so that from here on their age is kept by the clock of this boot.
    """
    found: list[Command] = []
    owed: list[pulse.Owed] = []
    rows = db.execute(
        "SELECT id, point_id, value, actor, because, expires_ms, is_safety, issued_ms, mono_s FROM commands"
        " WHERE outcome IS NULL ORDER BY issued_ms, id"
    )
    for key, point_id, value, actor, because, expires_ms, is_safety, issued_ms, mono_s in rows.fetchall():
        issued = int(str(issued_ms))
        life_s = (int(str(expires_ms)) - issued) / 1000
        passed_s = pulse.age_s(issued, None if mono_s is None else float(str(mono_s)), before, boot, now)
        if passed_s < 0 or (before is not None and before.is_lost(boot, now)):
            passed_s = 0.0 if is_safety else life_s
        owed.append(("UPDATE commands SET mono_s = ? WHERE id = ?", (now.mono_s - passed_s, str(key))))
        found.append(
            Command(
                id=str(key),
                point_id=str(point_id),
                value=orjson.loads(str(value)),
                by=Actor(*orjson.loads(str(actor))),
                because=str(because),
                expires_at=now.utc + timedelta(seconds=life_s - passed_s),
                is_safety=bool(is_safety),
            )
        )
    return tuple(found), owed


def held(db: apsw.Connection) -> tuple[tuple[str, str], ...]:
    """(alarm, point): what open alarms have switched on and not off again."""
    # Found by the key: the ids of an alarm's commands begin with its own and #, and the next sign is $. Behind # is
    # the version of the event that commanded: which one was the last must not hang on the wall clock.
    rows = db.execute(
        "SELECT because, commands.point_id, value, substr(commands.id, length(because) + 2) FROM alarms"
        " JOIN commands ON because = alarms.id AND commands.id BETWEEN alarms.id || '#' AND alarms.id || '$'"
        " WHERE is_open = 1"
    )
    last: dict[tuple[str, str], tuple[int, str]] = {}
    for because, point, value, rest in rows:
        version = int(str(rest).partition("/")[0])
        key = str(because), str(point)
        last[key] = max(last.get(key, (0, "")), (version, str(value)))
    return tuple(sorted(key for key, (_, value) in last.items() if value == "true"))


def of_alarm(db: apsw.Connection, because: str, limit: int) -> list[dict[str, Any]]:
    """The newest commands of one alarm by id, oldest first, and what became of each."""
    names = ("id", "point_id", "value", "outcome", "readback", "issued_ms", "closed_ms", "detail")
    rows = db.execute(
        f"SELECT {', '.join(names)} FROM commands WHERE because = ? ORDER BY issued_ms DESC, id DESC LIMIT ?",  # noqa: S608 - constants
        (because, limit),
    ).fetchall()
    return sorted((dict(zip(names, row, strict=True)) for row in rows), key=lambda each: str(each["id"]))
