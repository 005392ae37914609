"""Records are kept as long as they must be, and not for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from gateway.model import SYSTEM, Alarm, AlarmEvent, Command, Notice, Now, Step
from gateway.store import retention
from gateway.store.codec import to_ms
from gateway.store.journal import Batch, Journal, write_audit
from tests.support_core import alarm, now

LATER = 401 * 86_400.0


def with_all(each: Alarm) -> Step:
    """A step of an alarm with an event, a command and a notice."""
    at = now()
    return Step(
        at,
        events=[AlarmEvent(each.id, 1, "raised", at.utc, SYSTEM, {})],
        alarms={each.id: each},
        commands=[Command(f"{each.id}#1/siren/on", "siren/on", True, SYSTEM, each.id, at.utc)],
        notices=[Notice(f"{each.id}/raised/duty/console", each.id, "raised", "console", "duty", "火警")],
    )


def count(db: apsw.Connection, table: str) -> int:
    return int(str(next(db.execute(f"SELECT count(*) FROM {table}"))[0]))


def ids(db: apsw.Connection) -> list[str]:
    return [str(each) for (each,) in db.execute("SELECT id FROM alarms ORDER BY occurrence")]


def trim_all(journal: Journal, at: Now, kept_alarms: int) -> None:
    while retention.trim_records(journal.connection, at, kept_alarms=kept_alarms):
        pass


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Ten alarms of one source: nine ended ones, the fifth still open."""
    made = Journal(str(tmp_path), (), 10_000_000)
    made.commit(Batch([with_all(alarm(n, is_open=n == 5)) for n in range(1, 11)]))
    return made


def test_old_records_go_with_all_that_belongs_to_them(journal: Journal) -> None:
    """After 400 days ended alarms go, but for the newest ones that must stay; open ones and the last stay anyway."""
    trim_all(journal, now(), kept_alarms=2)
    assert len(ids(journal.connection)) == 10
    trim_all(journal, now(LATER), kept_alarms=2)
    assert ids(journal.connection) == [alarm(n).id for n in (5, 9, 10)]
    for table in ("alarm_events", "commands", "notices"):
        assert count(journal.connection, table) == 3


def test_housekeeping_trims_records_too(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's own housekeeping comes to the records, and says when there is more."""
    monkeypatch.setattr(retention.trim_records, "__kwdefaults__", {"kept_alarms": 1})
    journal.trim(now())  # the clock has run evenly since
    assert not journal.trim(now(LATER)).is_more
    assert ids(journal.connection) == [alarm(n).id for n in (5, 10)]


def test_alarms_of_a_box_that_started_in_1970_are_kept(tmp_path: Path) -> None:
    """No battery in its clock: what was raised before it was set goes when what came after it goes, not at once."""
    made = Journal(str(tmp_path), (), 10_000_000)
    to_1970 = timedelta(seconds=now().utc.timestamp())
    alarms = [replace(alarm(n, is_open=False), raised_at=now(n).utc) for n in range(1, 6)]
    alarms[0] = replace(alarms[0], raised_at=alarms[0].raised_at - to_1970)
    made.commit(Batch([with_all(each) for each in alarms]))
    trim_all(made, now(), kept_alarms=2)
    assert len(ids(made.connection)) == 5
    trim_all(made, now(LATER), kept_alarms=2)
    assert ids(made.connection) == [alarm(n).id for n in (4, 5)]


def test_the_newest_ten_thousand_stay(journal: Journal) -> None:
    """However old they seem: a clock in 2099 empties nothing."""
    trim_all(journal, now(70 * 365 * 86_400.0), kept_alarms=retention.KEPT_ALARMS)
    assert len(ids(journal.connection)) == 10


def test_an_id_is_never_used_twice(journal: Journal) -> None:
    """The last occurrence of every rule and source stays, so that counting goes on from it."""
    other = replace(alarm(1, is_open=False), id="other:p:7", rule_id="other", point_id="p", occurrence=7)
    journal.commit(Batch([with_all(other)]))
    trim_all(journal, now(LATER), kept_alarms=1)
    assert journal.restore(now(LATER)).occurrences == {
        ("other", "p"): 7,
        ("smoke-fire", "3-2-03-0301/smoke/alarm"): 10,
    }


def test_the_audit_is_trimmed_by_age_and_number(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than 400 days goes; the newest lines stay whatever their time says."""
    monkeypatch.setattr(retention, "KEPT_AUDIT", 3)
    for n in range(10):
        write_audit(journal.connection, to_ms(now().utc + timedelta(days=n)), SYSTEM, "alarm.take", "{}")
    trim_all(journal, now(LATER), kept_alarms=1)
    assert count(journal.connection, "audit") == 9  # the first day's is older than 400 days
    trim_all(journal, now(2 * LATER), kept_alarms=1)
    assert count(journal.connection, "audit") == 3
