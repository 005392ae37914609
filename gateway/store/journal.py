"""The gateway's memory: one transaction per group of batches, and what a restart needs to go on.

One thread at a time calls `Journal.commit`. The outbox rows of a batch are written in the same transaction by
`gateway.store.outbox.append`. What screens ask of it is read by `gateway.store.past`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import apsw

from gateway.model import (
    SYSTEM,
    Actor,
    Alarm,
    AlarmEvent,
    Command,
    CommandResult,
    MarkChange,
    Notice,
    Now,
    OperatorRequest,
    Reading,
    Reply,
    Report,
    Step,
    Verb,
)
from gateway.reporting import Reporting
from gateway.store import codec, commands, notices, outbox, passes, pulse
from gateway.store import reports as held_readings
from gateway.store.ballast import Ballast, make_room
from gateway.store.database import narrow, number, open_gateway
from gateway.store.past import alarms_of, marks_set
from gateway.store.retention import SteadyClock, trim_records
from gateway.store.timers import TimerLog
from gateway.store.trimming import Trimmed, Trimmer
from gateway.store.understanding import MISUNDERSTOOD

_RECEIPT_SLOTS = 1024  # commits whose message digests are remembered: more than a broker keeps in flight
_DIGEST_BYTES = 10
_PASSING = (
    apsw.FullError, apsw.IOError, apsw.BusyError, apsw.LockedError, apsw.ReadOnlyError, apsw.CantOpenError,
    apsw.CorruptError, apsw.NotADBError, apsw.NoMemError, OSError,
)  # fmt: skip
_READ_THROUGH = ("users", "sessions", "marks", "requests")  # at the start: damage in them would keep people out
_KEEP_REQUESTS_S = 7 * 86_400.0
_RECORDS_EVERY_S = 600.0


@dataclass(slots=True)
class Batch:
    """What one transaction holds: the steps in order, the digests of the messages, the requests they answer."""

    steps: list[Step] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    requests: dict[str, OperatorRequest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was going on when the gateway stopped."""

    alarms: tuple[Alarm, ...]  # open ones
    occurrences: dict[tuple[str, str], int]  # by (rule, point): how often so far
    timers: tuple[tuple[str, datetime, float], ...]
    said: tuple[str, ...]  # keys of notices of open alarms
    commands: tuple[Command, ...]  # without a result
    notices: tuple[Notice, ...]  # without a result
    digests: tuple[bytes, ...]  # of messages whose acknowledgement may not have reached the broker
    held: tuple[tuple[str, str], ...] = ()  # (alarm, point): what open alarms have switched on and not off again
    marks: tuple[MarkChange, ...] = ()  # that are set


class Journal:
    """The single writer's store."""

    def __init__(
        self,
        directory: str,
        uplinks: Sequence[str],
        limit_bytes: int,
        doors: Container[str] = frozenset(),
        *,
        boot: str = "",
        reports: Mapping[str, Report] | None = None,
    ) -> None:
        """``doors``: devices where an output that is set by hand lets somebody in, which is a pass.

        ``reports``: by point id, what of its readings goes to the clouds; of the others each.
        ``boot`` tells one boot of the machine from another (`gateway.clock.boot_id`).
        """
        self._doors = doors
        make_room(directory)
        self._db = open_gateway(directory)
        self._boot = boot
        self._timers = TimerLog(self._db, boot)
        try:
            self._receipt_seq = number(self._db, "SELECT max(seq) FROM receipts")
            self._reporting = Reporting(reports or {}, held_readings.read(self._db))
            for table in _READ_THROUGH:
                number(self._db, f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
        except MISUNDERSTOOD as error:
            self._db.close()
            raise apsw.CorruptError(f"a row cannot be understood: {error}") from error
        except BaseException:
            self._db.close()  # its file may be put aside
            raise
        self._trimmer = Trimmer(self._db, directory, uplinks, limit_bytes)
        self._saved = 0  # of its savings, what has been counted
        self._ballast = Ballast(directory)
        self._records_due_s = 0.0
        self._steady = SteadyClock()

    def commit(self, batch: Batch) -> None:
        """Write everything of ``batch`` or nothing; returns when it is on the disk.

        Raises:
            apsw.Error: disk full, read-only, corrupt: nothing of the batch was kept.
        """
        try:
            self._commit(batch)
        except apsw.Error as error:
            first = _first(error)
            if isinstance(first, apsw.FullError):
                self._ballast.throw()  # room for the log of deleting the oldest telemetry
                self._trimmer.squeeze()
                narrow(self._db)
            raise first from None

    def _commit(self, batch: Batch) -> None:
        readings: list[Reading] = []
        events: list[tuple[AlarmEvent, Alarm]] = []
        last = batch.steps[-1].now
        self._reporting.begin()
        with self._db:
            for step in batch.steps:
                readings += step.readings
                events += [(event, step.alarms[event.alarm_id]) for event in step.events]
                self._write_step(step, batch.requests)
            outbox.append(self._db, codec.to_ms(last.utc), self._reporting.pick(batch.steps), events)
            held_readings.write(self._db, self._reporting.changes())
            passes.write(self._db, readings)
            self._write_receipts(batch.digests)
        self._reporting.settle()

    def is_passing(self, error: BaseException) -> bool:
        """May the same batch be written later? The disk is full, read-only, busy or broken."""
        return isinstance(error, _PASSING)

    def trim(self, now: Now) -> Trimmed:
        """A bounded piece of housekeeping."""
        self._db.execute(
            "DELETE FROM requests WHERE at_ms < ?", (codec.to_ms(now.utc - timedelta(seconds=_KEEP_REQUESTS_S)),)
        )
        self._timers.beat(now)
        trimmed = self._trimmer.trim()
        is_steady = self._steady.believes(now)
        if is_steady:
            passes.trim(self._db, now)
        if is_steady and now.mono_s >= self._records_due_s:
            is_more = trim_records(self._db, now)
            self._records_due_s = now.mono_s + (0 if is_more else _RECORDS_EVERY_S)
            trimmed = trimmed._replace(is_more=trimmed.is_more or is_more)
        trimmed = trimmed._replace(is_more=self._send_held(now) or trimmed.is_more, saved=self._newly_saved())
        self._ballast.stow()
        return trimmed

    def _send_held(self, now: Now) -> bool:
        """Changes that came too soon after the last one sent, whose time has come; True where there may be more."""
        self._reporting.begin()
        due = self._reporting.due(now.mono_s)
        if not due:
            return False
        with contextlib.suppress(*_PASSING):  # they wait on
            with self._db:
                outbox.append(self._db, codec.to_ms(now.utc), due, ())
                held_readings.write(self._db, self._reporting.changes())
            self._reporting.settle()
            return True
        return False

    def _newly_saved(self) -> int:
        before, self._saved = self._saved, self._reporting.saved
        return self._saved - before

    def restore(self, now: Now) -> Restored:
        """What a restart needs; the instants in it are by the clocks of ``now``, whatever was set meanwhile.

        Notices of alarms that are taken care of, silent or over are not sent any more.

        Raises:
            apsw.CorruptError: the file is damaged, or a row cannot be understood: it must be mended.
        """
        try:
            return self._restore(now)
        except MISUNDERSTOOD as error:
            raise apsw.CorruptError(f"a row cannot be understood: {error}") from error

    def _restore(self, now: Now) -> Restored:
        db = self._db
        before = pulse.last(db)
        with contextlib.suppress(*_PASSING):  # on a full disk the gateway must start as well
            notices.overtake(db, now.utc)
            notices.give_up_reports(db, now.utc)
        unsettled, owed = commands.unsettled(db, before, self._boot, now)
        running = self._timers.restore(before, now, owed)
        with contextlib.suppress(*_PASSING):
            self._timers.beat(now)
        return Restored(
            alarms=alarms_of(db.execute("SELECT body FROM alarms WHERE is_open = 1 ORDER BY raised_ms, id")),
            occurrences={
                (str(rule), str(point)): int(str(count))
                for rule, point, count in db.execute(
                    "SELECT rule_id, point_id, max(occurrence) FROM alarms GROUP BY rule_id, point_id"
                )
            },
            timers=running,
            said=notices.said(db),
            commands=unsettled,
            notices=notices.unsettled(db),
            digests=self._recent_digests(),
            held=commands.held(db),
            marks=marks_set(db),
        )

    @property
    def connection(self) -> apsw.Connection:
        """The one writing connection, for the writer's thread only."""
        return self._db

    def close(self) -> None:
        """Close the database; the log is checkpointed."""
        self._db.close()

    def _write_step(self, step: Step, requests: dict[str, OperatorRequest]) -> None:
        db, now_ms = self._db, codec.to_ms(step.now.utc)
        if step.events:
            db.executemany("INSERT INTO alarm_events VALUES (?, ?, ?, ?, ?, ?)", map(_event_row, step.events))
        if step.alarms:
            db.executemany(
                "INSERT OR REPLACE INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?)", map(_alarm_row, step.alarms.values())
            )
        for command in step.commands:
            commands.write(db, command, step.now)
        for notice in step.notices:
            notices.write(db, notice, now_ms)
        for result in step.results:
            if isinstance(result, CommandResult):
                commands.settle(db, result)
                passes.write_opened(db, result, self._doors)
            else:
                notices.settle(db, result)
        self._timers.write(step.timers, step.now, is_dated=bool(step.commands))
        for change in step.marks:
            self._write_mark(change, now_ms)
        for reply in step.replies:
            self._write_reply(reply, requests[reply.request_id], now_ms)

    def _write_mark(self, change: MarkChange, now_ms: int) -> None:
        if change.is_set:
            self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?, ?)", codec.mark_to_row(change))
            return
        self._db.execute(
            "DELETE FROM marks WHERE mark = ? AND scope = ? AND key = ?", (change.mark.value, change.scope, change.key)
        )
        if change.by == SYSTEM.name:  # nobody asked, so that no request is on record
            detail = codec.dumps({"mark": change.mark.value, "scope": change.scope, "key": change.key})
            write_audit(self._db, now_ms, SYSTEM, "mark.ended", detail)

    def _write_reply(self, reply: Reply, request: OperatorRequest, now_ms: int) -> None:
        body = codec.dumps([reply.is_accepted, reply.code, dict(reply.detail), reply.version])
        self._db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?, ?)", (reply.request_id, now_ms, body))
        detail = codec.dumps(
            {
                "alarm": request.alarm_id,
                "version": request.version,
                "args": dict(request.args),
                "accepted": reply.is_accepted,
                "code": reply.code,
            }
        )
        of = "point" if request.verb is Verb.OPERATE else "alarm" if request.verb.is_of_alarm else "mark"
        what = f"{of}.{request.verb.value}"
        write_audit(self._db, now_ms, request.actor, what, detail)

    def _write_receipts(self, digests: list[bytes]) -> None:
        if digests:
            self._receipt_seq += 1
            self._db.execute(
                "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?)",
                (self._receipt_seq % _RECEIPT_SLOTS, self._receipt_seq, b"".join(digests)),
            )

    def _recent_digests(self) -> tuple[bytes, ...]:
        joined = b"".join(bytes(row[0]) for row in self._db.execute("SELECT digests FROM receipts ORDER BY seq"))
        return tuple(joined[at : at + _DIGEST_BYTES] for at in range(0, len(joined), _DIGEST_BYTES))


def _first(error: BaseException) -> BaseException:
    """What went wrong first: a full disk ends the transaction by itself, and rolling it back then fails as well."""
    while isinstance(error.__context__, apsw.Error):
        error = error.__context__
    return error


def write_audit(db: apsw.Connection, at_ms: int, actor: Actor, action: str, detail: str) -> None:
    """One line of the record of who did what; inside the caller's transaction."""
    db.execute(
        "INSERT INTO audit (at_ms, actor, action, detail) VALUES (?, ?, ?, ?)",
        (at_ms, codec.dumps(actor), action, detail),
    )


def _event_row(event: AlarmEvent) -> tuple[Any, ...]:
    return (
        event.alarm_id, event.version, event.kind, codec.to_ms(event.at),
        codec.dumps(event.actor), codec.dumps(dict(event.data)),
    )  # fmt: skip


def _alarm_row(alarm: Alarm) -> tuple[Any, ...]:
    return (
        alarm.id, alarm.rule_id, alarm.point_id, alarm.occurrence, alarm.is_open,
        codec.to_ms(alarm.raised_at), codec.dumps(codec.alarm_to_json(alarm)),
    )  # fmt: skip
