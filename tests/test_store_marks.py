"""Marks are kept; databases of other versions are taken over whole, or refused in words that say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import orjson
import pytest

from gateway.model import SYSTEM, Actor, Mark, MarkChange, OperatorRequest, Reply, Step, Verb, isa_state
from gateway.store import database
from gateway.store.codec import alarm_body
from gateway.store.database import GATEWAY_FILE, StoreError, open_gateway
from gateway.store.journal import Batch, Journal
from gateway.store.past import JournalReader
from tests.support_core import full_step, now

WANG = Actor("王主管", "supervisor", "console")
DRILL = MarkChange(Mark.DRILL, "building", "3", True, now().utc, now(3600).utc, "王主管", "消防演练")
OFF = MarkChange(Mark.DISABLED, "point", "3-2-03-0301/smoke/alarm", True, now().utc, None, "王主管", "等备件")


def journal(directory: Path) -> Journal:
    return Journal(str(directory), (), 10_000_000)


def lifted(change: MarkChange, by: str) -> MarkChange:
    return change._replace(is_set=False, since_at=now(9).utc, until_at=None, by=by)


def test_marks_are_there_after_a_restart(tmp_path: Path) -> None:
    """A drill with its end and a disabled point without one are restored as they were; what was lifted is not."""
    store = journal(tmp_path)
    store.commit(Batch([Step(now(), marks=[DRILL, OFF])]))
    store.close()
    store = journal(tmp_path)
    assert store.restore(now()).marks == (OFF, DRILL)
    assert JournalReader(str(tmp_path)).marks() == [OFF, DRILL]
    store.commit(Batch([Step(now(9), marks=[lifted(DRILL, "李姐")])]))
    assert store.restore(now(9)).marks == (OFF,)


def test_setting_and_ending_a_mark_is_on_record(tmp_path: Path) -> None:
    """Who asked for what is in the audit trail, also when it was refused; so is an end that nobody asked for."""
    store = journal(tmp_path)
    args = {"mark": "drill", "scope": "building", "key": "3", "minutes": "60", "reason": "消防演练"}
    asked = OperatorRequest("q1", WANG, Verb.MARK, "", 0, now().utc, now(10).utc, args)
    store.commit(Batch([Step(now(), marks=[DRILL], replies=[Reply("q1", True)])], requests={"q1": asked}))
    store.commit(Batch([Step(now(9), marks=[lifted(DRILL, SYSTEM.name)])]))
    rows = list(store.connection.execute("SELECT action, actor, detail FROM audit ORDER BY seq"))
    (set_by, ended_by), details = ([orjson.loads(str(row[1])) for row in rows], [orjson.loads(str(r[2])) for r in rows])
    assert [row[0] for row in rows] == ["mark.mark", "mark.ended"]
    assert (set_by[0], details[0]["args"]["reason"], details[0]["accepted"]) == ("王主管", "消防演练", True)
    assert (ended_by, details[1]) == (list(SYSTEM), {"mark": "drill", "scope": "building", "key": "3"})


def test_the_database_of_the_first_version_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update of the program finds every alarm, and has room for marks."""
    with monkeypatch.context() as older:
        older.setattr(database, "_GATEWAY_SCHEMA", database._GATEWAY_SCHEMA[:1])
        db = open_gateway(str(tmp_path))
        db.execute("INSERT INTO timers VALUES ('for|r|p', 1, 5.0)")
        epoch = database.epoch(db)
        db.close()
    store = journal(tmp_path)
    store.commit(Batch([full_step(), Step(now(), marks=[DRILL])]))
    restored = store.restore(now())
    assert [each[0] for each in restored.timers] == ["for:1", "for|r|p"]
    assert (restored.marks, len(restored.alarms)) == ((DRILL,), 1)
    assert database.epoch(store.connection) == epoch


def test_every_version_of_the_schema_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From each version that there was, the newest one is reached."""
    schema = database._GATEWAY_SCHEMA
    for version in range(len(schema) + 1):
        directory = tmp_path / str(version)
        with monkeypatch.context() as older:
            older.setattr(database, "_GATEWAY_SCHEMA", schema[:version])
            if version:
                open_gateway(str(directory)).close()
        db = open_gateway(str(directory))
        assert db.pragma("user_version") == len(schema)


def spoil(directory: Path, sql: str) -> bytes:
    """A database of ours on which ``sql`` was done by somebody else; its bytes."""
    open_gateway(str(directory)).close()
    db = apsw.Connection(str(directory / GATEWAY_FILE))
    db.execute(sql)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return (directory / GATEWAY_FILE).read_bytes()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("PRAGMA user_version = 99", "newer version (99)"),
        ("CREATE TABLE elsewhere (x)", "unknown tables: elsewhere"),
        ("DROP TABLE marks", "missing tables: marks"),
        ("PRAGMA user_version = 0", "unknown tables: alarm_events"),
    ],
)
def test_a_database_that_is_not_ours_is_refused_in_words_and_left_alone(tmp_path: Path, sql: str, says: str) -> None:
    """Chinese first, what is wrong, what to do; and not one byte of the file is changed."""
    before = spoil(tmp_path, sql)
    with pytest.raises(StoreError) as caught:
        open_gateway(str(tmp_path))
    text = str(caught.value)
    assert says in text
    assert "数据库" in text
    assert "data_dir" in text
    assert (tmp_path / GATEWAY_FILE).read_bytes() == before


def test_a_file_of_another_program_is_refused_in_words(tmp_path: Path) -> None:
    """Somebody's SQLite file under our name is neither opened nor changed."""
    db = apsw.Connection(str(tmp_path / GATEWAY_FILE))
    db.execute("CREATE TABLE contacts (name)")
    db.close()
    with pytest.raises(StoreError, match="unknown tables: contacts"):
        open_gateway(str(tmp_path))


def test_whoever_starts_the_gateway_on_a_newer_database_reads_why(tmp_path: Path) -> None:
    """`shouwang run` ends with the sentence, not with a traceback."""
    spoil(tmp_path / "data", "PRAGMA user_version = 99")
    config = tmp_path / "config"
    config.mkdir()
    gateway = f"gateway: {{id: gw-1, data_dir: {tmp_path / 'data'}, web: {{host: 127.0.0.1, port: 8080}}}}"
    (config / "gateway.yaml").write_text(gateway, encoding="utf-8")
    (config / "site.yaml").write_text("site: 阳光花园\ntimezone: Asia/Shanghai\n", encoding="utf-8")
    (config / "notify.yaml").write_text("recipients: {duty: {title: 值班室}}\n", encoding="utf-8")
    done = subprocess.run(  # a process of its own: it sets up the logs of whoever it runs in
        [sys.executable, "-m", "gateway", "run", "--config", str(config)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "更新版本的程序写的" in done.stderr
    assert "Traceback" not in done.stderr


def test_clouds_get_the_state_in_the_words_of_isa() -> None:
    """The body of an alarm says its ISA-18.2 state beside its parts."""
    step = full_step()
    (alarm,) = step.alarms.values()
    body = orjson.loads(alarm_body(step.events[0], alarm))
    assert body["alarm"]["isa_state"] == isa_state(alarm) == "UNACK"
