"""The record of what people were told: the "already said" log, and how far each notice has got.

Rows are written inside the journal's transaction. A notice is ``sending`` until its channel has spoken; ``accepted``
says that a provider took it, no more; ``delivered`` that the person's device has it; ``failed`` has a reason beside it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import apsw

from gateway.model import Notice, NoticeResult
from gateway.store import codec

SENDING, ACCEPTED, DELIVERED, FAILED = "sending", "accepted", "delivered", "failed"
STATES = (SENDING, ACCEPTED, DELIVERED, FAILED)

SCHEMA = """
    ALTER TABLE notices ADD COLUMN state TEXT NOT NULL DEFAULT 'sending';
    UPDATE notices SET state = CASE is_accepted WHEN 1 THEN 'accepted' WHEN 0 THEN 'failed' ELSE 'sending' END;
    CREATE INDEX alarms_class ON alarms (body ->> 'alarm_class', raised_ms);
    """

_REPORT_LOST = "网关重启,没有等到送达回执,不知道收没收到 / the gateway restarted before a report of delivery: not known"

# Whom it is still worth telling after a restart: of what nobody has taken, and of what is not verified in time; but
# not of what has been silenced meanwhile (`gateway.notify.policy` tells nobody of it either; its end is told anew).
# Found by the key of the alarm: a crash in a flood leaves thousands of notices, and the start must not wait for them.
_WANTED = """
    EXISTS (SELECT 1 FROM alarms WHERE alarms.id = notices.alarm_id AND is_open = 1 AND (body ->> 'handling' = 'new'
    OR (body ->> 'handling' IN ('taken', 'verifying') AND notices.reason LIKE 'unverified-%'))
    AND body ->> 'shelved_until_at' IS NULL AND NOT coalesce(body ->> 'is_out_of_service', 0)
    AND (coalesce(body ->> 'suppressed_by', '') = '' OR body ->> 'alarm_class' IN ('fire', 'gas', 'sos')))
    """


def write(db: apsw.Connection, notice: Notice, at_ms: int) -> None:
    """A notice that is about to be sent."""
    db.execute(
        "INSERT INTO notices (key, alarm_id, reason, channel, recipient, text, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (notice.key, notice.alarm_id, notice.reason, notice.channel, notice.recipient, notice.text, at_ms),
    )


def state_of(result: NoticeResult) -> str:
    """The state a result leads to; a channel that says nothing of it says accepted or not."""
    if result.state in STATES:
        return result.state
    return ACCEPTED if result.is_accepted else FAILED


def settle(db: apsw.Connection, result: NoticeResult) -> None:
    """What its channel said. There may be more than one word of a notice; what was delivered stays delivered."""
    state = state_of(result)
    is_accepted = None if state == SENDING else state != FAILED
    closed_ms = codec.to_ms(result.at) if result.is_final else None
    db.execute(
        "UPDATE notices SET is_accepted = ?, state = ?, closed_ms = ?, detail = ? WHERE key = ? AND state != ?",
        (is_accepted, state, closed_ms, result.detail[:500], result.key, DELIVERED),
    )


def give_up_reports(db: apsw.Connection, at: datetime) -> None:
    """After a restart: nobody hears the reports of delivery that were awaited. Whether they arrived is not known."""
    db.execute(
        "UPDATE notices SET closed_ms = ?, detail = ? WHERE state = ? AND closed_ms IS NULL",
        (codec.to_ms(at), _REPORT_LOST, ACCEPTED),
    )


def overtake(db: apsw.Connection, at: datetime) -> None:
    """After a restart: notices of alarms that are taken care of, silent or over are not sent any more."""
    db.execute(
        "UPDATE notices SET is_accepted = 0, state = 'failed', closed_ms = ?, detail = 'overtaken by a restart'"  # noqa: S608 - constants
        f" WHERE is_accepted IS NULL AND NOT {_WANTED}",
        (codec.to_ms(at),),
    )


def said(db: apsw.Connection) -> tuple[str, ...]:
    """The keys of everything said of open alarms."""
    rows = db.execute(
        "SELECT key FROM notices JOIN alarms ON alarms.id = notices.alarm_id WHERE is_open = 1 ORDER BY key"
    )
    return tuple(str(key) for (key,) in rows)


def unsettled(db: apsw.Connection) -> tuple[Notice, ...]:
    """Notices that are still worth sending and whose channel has not spoken, oldest first."""
    rows = db.execute(
        "SELECT key, alarm_id, reason, channel, recipient, text FROM notices WHERE is_accepted IS NULL"  # noqa: S608 - constants
        f" AND {_WANTED} ORDER BY at_ms, key"
    )
    return tuple(Notice(*(str(each) for each in row)) for row in rows)


def of_alarm(db: apsw.Connection, alarm_id: str, limit: int) -> list[dict[str, Any]]:
    """The newest notices of one alarm, oldest first: who was told what by which channel, and what became of it."""
    names = ("key", "reason", "channel", "recipient", "text", "at_ms", "state", "closed_ms", "detail")
    rows = db.execute(
        f"SELECT {', '.join(names)} FROM notices WHERE alarm_id = ? ORDER BY at_ms DESC, key DESC LIMIT ?",  # noqa: S608 - constants
        (alarm_id, limit),
    )
    return [dict(zip(names, row, strict=True)) for row in rows][::-1]
