"""Who went through which door: written with the readings it is made of, kept for 200 days, read by screens.

A pass is the reading of a door's event point ``pass`` (the credential's number, never a face) with what came in the
same message beside it: ``pass_way``, ``pass_dir``, ``pass_result``. A door that somebody has opened by hand from afar
is one, too. Judging a pass is a rule's business, the table itself is in `gateway.store.database`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import apsw
import orjson

from gateway.model import CommandOutcome, CommandResult, Now, Quality, Reading
from gateway.store import codec
from gateway.store.database import GATEWAY_FILE, open_reader
from gateway.store.operations import PREFIX

KEEP_S = 200 * 86_400.0  # at least 180 days are asked for (alarms.md, section 7)
_TRIM_ROWS = 2_000  # at once: more than a second of passes, and a bounded piece of work
_SET_MS = codec.to_ms(datetime(2020, 1, 1, tzinfo=UTC))  # before it no clock was ever set
_LONGEST = 64  # characters of a credential: more is no number of a card
_MARK = "/pass"  # what the point is called (``pass_way`` and the others begin so, too)
REMOTE = "remote"  # the way of a door that was opened from the desk: the credential is who did it, and seen whole
_REMOTE_OF_DOOR = "remote_door"  # what a door itself calls remote: its credential is somebody's number
_INSERT = (
    "INSERT INTO passes (at_ms, device_ms, device_id, credential, way, direction, result) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class Pass(NamedTuple):
    """One person at one door. ``seq`` grows by the order of recording."""

    seq: int
    at: datetime  # when the gateway heard of it
    device_at: datetime  # by the door's own clock
    device_id: str
    credential: str
    way: str  # card | pin | qr | button | face | remote | remote_door | what the door says; "" where it does not
    direction: str
    result: str


def write(db: apsw.Connection, readings: Iterable[Reading]) -> None:
    """Record the passes among ``readings``, inside the caller's transaction. A state told again is no pass."""
    texts = [each for each in readings if type(each.value) is str and _MARK in each.point_id]
    if not texts:
        return
    said = {(each.point_id, each.received_at, each.at): str(each.value) for each in texts}
    for point_id, value, at, received_at, quality, _ in texts:
        if not point_id.endswith(_MARK) or quality is not Quality.GOOD:
            continue
        beside = [said.get((point_id + part, received_at, at), "") for part in ("_way", "_dir", "_result")]
        if beside[0] == REMOTE:
            beside[0] = _REMOTE_OF_DOOR
        db.execute(
            _INSERT,
            (
                codec.to_ms(received_at), codec.to_ms(at), point_id.removesuffix(_MARK),
                *(each[:_LONGEST] for each in (str(value), *beside)),
            ),
        )  # fmt: skip


def passes_of(readings: Iterable[Reading]) -> list[Reading]:
    """Those that say who went through a door, and how: more than telemetry. Empty without a pass among them."""
    texts = [each for each in readings if type(each.value) is str and _MARK in each.point_id]
    has_pass = any(each.point_id.endswith(_MARK) and each.quality is Quality.GOOD for each in texts)
    return texts if has_pass else []


def write_opened(db: apsw.Connection, result: CommandResult, doors: Container[str]) -> None:
    """Record that somebody has opened one of ``doors`` by hand from afar, and what came of it; in the transaction."""
    if not result.command_id.startswith(PREFIX):
        return
    row = db.execute("SELECT point_id, value, actor FROM commands WHERE id = ?", (result.command_id,)).fetchone()
    if row is None or str(row[1]) != "true" or (device_id := str(row[0]).rpartition("/")[0]) not in doors:
        return
    at_ms, who = codec.to_ms(result.at), str(orjson.loads(str(row[2]))[0])
    said = "granted" if result.outcome is CommandOutcome.DONE else result.outcome.value
    db.execute(_INSERT, (at_ms, at_ms, device_id, who[:_LONGEST], REMOTE, "", said))


def trim(db: apsw.Connection, now: Now) -> None:
    """Forget what is older than 200 days; a bounded piece at a time, from the first one on.

    A stamp of a clock that was never set (a box starts in 1970), or of the future, says nothing of an age: such a pass
    goes with one that was recorded after it and is old.
    """
    now_ms, before_ms, last = codec.to_ms(now.utc), codec.to_ms(now.utc - timedelta(seconds=KEEP_S)), 0
    dated = db.execute(  # the + keeps SQLite from sorting all of them
        "SELECT seq, at_ms FROM passes WHERE +at_ms BETWEEN ? AND ? ORDER BY seq LIMIT ?", (_SET_MS, now_ms, _TRIM_ROWS)
    )
    for seq, at_ms in dated:
        if int(str(at_ms)) >= before_ms:
            break
        last = int(str(seq))
    if last:
        oldest = "SELECT seq FROM passes WHERE seq <= ? ORDER BY seq LIMIT ?"
        db.execute(f"DELETE FROM passes WHERE seq IN ({oldest})", (last, _TRIM_ROWS))  # noqa: S608 - constants


class PassReader:
    """What screens ask; may be called from any one thread at a time."""

    def __init__(self, directory: str) -> None:
        self._db = open_reader(directory, GATEWAY_FILE)

    def page(
        self,
        limit: int,
        before: int | None,
        device_id: str | None,
        credential: str | None = None,
        *,
        result: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Pass]:
        """The newest first, strictly before the number ``before``; of one door, credential, result, time, or of all."""
        wanted: dict[str, str | int | None] = {
            "device_id = ?": device_id,
            "credential = ?": credential,
            "result = ?": result,
            "at_ms >= ?": None if since is None else codec.to_ms(since),
            "at_ms < ?": None if until is None else codec.to_ms(until),
        }
        asked = {condition: value for condition, value in wanted.items() if value is not None}
        where = " AND ".join(["seq < ?", *asked])
        rows = self._db.execute(
            "SELECT seq, at_ms, device_ms, device_id, credential, way, direction, result FROM passes"  # noqa: S608 - constants
            f" WHERE {where} ORDER BY seq DESC LIMIT ?",
            (2**62 if before is None else before, *asked.values(), limit),
        )
        return [
            Pass(int(str(seq)), codec.from_ms(int(str(at))), codec.from_ms(int(str(device_ms))), *map(str, rest))
            for seq, at, device_ms, *rest in rows
        ]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
