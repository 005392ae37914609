"""Starting on what a bad day has left behind: a crash in a flood, a full disk, a broken file, a gap in the record."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from gateway.app.bridge import BridgeEnded, BridgeProcess
from gateway.model import AlarmClass, Condition, Handling, Notice, Quality, Reading, Step, Verb
from gateway.store.database import BRIDGE_FILE
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import CursorStore, bridge_status
from tests.support_core import alarm, full_step, now
from tests.support_rules import ZHANG, Player, device, rule, site

FLOOD = 3_000


def test_a_crash_in_a_flood_does_not_delay_the_start(tmp_path: Path) -> None:
    """Thousands of notices under way and years of records: what is still to be said is found in a moment; notices of
    alarms that somebody has in hand, or that are over, are not."""
    store = Journal(str(tmp_path), (), 10_000_000)
    old, new = Step(now()), Step(now(1))
    for n in range(1, 20_001):
        ended = replace(alarm(n, is_open=False), id=f"old:p:{n}", rule_id="old", point_id="p")
        old.alarms[ended.id] = ended
    for n in range(1, FLOOD + 1):
        each = replace(alarm(n), handling=Handling.TAKEN if n % 3 == 0 else Handling.NEW, is_open=n % 3 != 1)
        new.alarms[each.id] = each
        new.notices.append(Notice(f"{each.id}/raised/duty/console", each.id, "raised", "console", "duty", "火警"))
    store.commit(Batch([old, new]))
    begun_s = time.perf_counter()
    restored = store.restore(now(2))
    assert time.perf_counter() - begun_s < 1.0
    assert {each.alarm_id for each in restored.notices} == {alarm(n).id for n in range(1, FLOOD + 1) if n % 3 == 2}


def test_a_disk_that_is_full_at_the_start_loses_no_word(tmp_path: Path) -> None:
    """Where nothing can be written the gateway starts all the same, and sends nothing that is overtaken."""
    store = Journal(str(tmp_path), (), 10_000_000)
    taken = replace(alarm(1), handling=Handling.TAKEN)
    step = Step(now(), alarms={taken.id: taken})
    step.notices.append(Notice(f"{taken.id}/raised/duty/console", taken.id, "raised", "console", "duty", "火警"))
    store.commit(Batch([step]))
    store.connection.pragma("query_only", 1)
    restored = store.restore(now(1))
    assert [each.id for each in restored.alarms] == [taken.id]
    assert restored.notices == ()


def test_the_ballast_is_thrown_before_a_start_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database needs some room to be opened: what was kept back for the worst is given up for it."""
    Journal(str(tmp_path), (), 10_000_000).close()
    assert (tmp_path / "ballast").exists()
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=10, f_frsize=4096))
    Journal(str(tmp_path), (), 10_000_000).close()
    assert not (tmp_path / "ballast").exists()


def test_ballast_that_was_never_filled_is_made_again(tmp_path: Path) -> None:
    """Killed between making the file and filling it: there is room kept back all the same."""
    (tmp_path / "ballast").touch()
    Journal(str(tmp_path), (), 10_000_000).close()
    assert (tmp_path / "ballast").stat().st_size > 0


def fill(store: Journal) -> None:
    for n in range(1, 1000):
        store.commit(Batch([full_step(n)]))


def test_on_a_full_disk_the_log_stays_short(tmp_path: Path) -> None:
    """What the ballast gave back is for alarms: the log must not take it all before it is copied into the database."""
    store = Journal(str(tmp_path), (), 10_000_000)
    store.connection.pragma("max_page_count", 60)
    with pytest.raises(apsw.FullError):
        fill(store)
    store.connection.pragma("max_page_count", 100_000)
    log = tmp_path / "shouwang.db-wal"
    most = 0
    for n in range(2001, 2200):
        store.commit(Batch([full_step(n)]))
        most = max(most, log.stat().st_size)
    assert most < 1_000_000


def test_a_broken_bridge_file_ends_no_screen(tmp_path: Path) -> None:
    """What the bridge says of itself cannot be read: then it says nothing, and alarms go on."""
    CursorStore(str(tmp_path)).close()
    path = tmp_path / BRIDGE_FILE
    data = bytearray(path.read_bytes())
    data[200:] = b"\xff" * (len(data) - 200)
    path.write_bytes(data)
    with pytest.raises(apsw.Error):
        apsw.Connection(str(path)).execute("SELECT * FROM status").fetchall()
    assert bridge_status(str(tmp_path)) == {}


async def test_a_bridge_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory for its process: that is for its supervisor, and no end of the gateway."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    with pytest.raises(BridgeEnded):
        await BridgeProcess(tmp_path, str(tmp_path)).run()


def test_two_open_alarms_of_one_source_do_not_keep_the_gateway_from_starting() -> None:
    """After a disk that refused for long the record may lack the end of an alarm before the next one: the older one is
    withdrawn and can be closed by people, the newer one goes on as if nothing had been."""
    smoke = "3-2-03-0301/smoke/alarm"
    player = Player(
        site(
            [device("3-2-03-0301/smoke", "smoke", {"alarm": "bool"})],
            [rule([smoke], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True)],
        )
    )
    at = player.now(0.0).utc
    (first,) = player.step(0.0, Reading(smoke, True, at, at, Quality.GOOD)).alarms.values()
    second = replace(first, id=f"fire:{smoke}:2", occurrence=2)
    player.alarms[second.id] = second
    player.restart(1.0)
    player.step(2.0)
    assert {each.id: each.condition for each in player.engine.alarms.values()} == {
        first.id: "returned",
        second.id: "active",
    }
    args = {"outcome": "误报", "cause": "记录缺失"}
    for verb in (Verb.TAKE, Verb.CLOSE):
        (reply,) = player.step(3.0, player.request(verb, player.alarms[first.id], ZHANG, 3.0, **args)).replies
        assert reply.is_accepted
    assert list(player.engine.alarms) == [second.id]
    (reply,) = player.step(4.0, player.request(Verb.TAKE, player.alarms[second.id], ZHANG, 4.0)).replies
    assert reply.is_accepted
    third = player.step(5.0, Reading(smoke, False, at, player.now(5.0).utc, Quality.GOOD))
    assert list(third.alarms) == [second.id]
