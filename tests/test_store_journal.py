"""The journal and the outbox: what was committed is there after any stop, what was not is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from gateway.model import (
    SYSTEM,
    AlarmClass,
    AlarmEvent,
    Command,
    CommandOutcome,
    CommandResult,
    Lane,
    NoticeResult,
    Now,
    Step,
)
from gateway.store.database import StoreError, open_gateway
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import CursorStore, OutboxReader
from gateway.store.past import JournalReader
from tests.support_core import alarm, full_step, now, reading

LIMIT = 10_000_000


def journal(directory: Path, uplinks: tuple[str, ...] = ("platform",), limit: int = LIMIT) -> Journal:
    return Journal(str(directory), uplinks, limit)


def telemetry(count: int, seconds: float = 0.0) -> Batch:
    step = Step(now(seconds), readings=[reading(value=float(n), seconds=seconds) for n in range(count)])
    return Batch([step])


def test_what_was_going_on_is_restored(tmp_path: Path) -> None:
    """An open alarm, its occurrence, timer, said notice and unfinished command are there after a restart."""
    first = journal(tmp_path)
    first.commit(Batch([full_step()], [b"0123456789", b"abcdefghij"]))
    first.close()
    restored = journal(tmp_path).restore(now())
    assert restored.alarms == (alarm(),)
    assert restored.occurrences == {("smoke-fire", "3-2-03-0301/smoke/alarm"): 1}
    assert restored.timers == (("for:1", now().utc, 5.0),)
    assert restored.said == (full_step().notices[0].key,)
    assert restored.commands == tuple(full_step().commands)
    assert restored.notices == tuple(full_step().notices)
    assert restored.digests == (b"0123456789", b"abcdefghij")


def test_results_close_commands_and_notices(tmp_path: Path) -> None:
    """A command that was carried out and a notice that was sent are not taken up again."""
    store = journal(tmp_path)
    step = full_step()
    store.commit(Batch([step]))
    results: list[CommandResult | NoticeResult] = [
        CommandResult(step.commands[0].id, CommandOutcome.DONE, now(1).utc, readback=True),
        NoticeResult(step.notices[0].key, is_accepted=True, at=now(1).utc),
    ]
    store.commit(Batch([Step(now(1), results=results)]))
    restored = store.restore(now())
    assert restored.commands == ()
    assert restored.notices == ()
    assert restored.said == (step.notices[0].key,)
    assert JournalReader(str(tmp_path)).commands(step.commands[0].because)[0]["outcome"] == "done"


@pytest.mark.parametrize(("is_safety", "left_s"), [(False, 0.0), (True, 10.0)])
def test_a_clock_put_back_gives_no_command_a_new_life(tmp_path: Path, is_safety: bool, left_s: float) -> None:
    """1970 at boot: an old unlock is over, a safety command has its own ten seconds and not fifty years."""
    step = full_step()
    store = journal(tmp_path)
    store.commit(Batch([replace(step, commands=[replace(step.commands[0], is_safety=is_safety)])]))
    boot = now(-56 * 366 * 86_400.0)
    (command,) = store.restore(boot).commands
    assert (command.expires_at - boot.utc).total_seconds() == left_s
    (command,) = store.restore(now(1)).commands  # 1970 told nobody how old it is
    assert (command.expires_at - now(1).utc).total_seconds() == left_s


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0, -56 * 365 * 86_400.0])
def test_a_kill_counts_the_time_of_commands_and_delays_by_the_clock_nobody_sets(tmp_path: Path, jump_s: float) -> None:
    """Killed for three seconds while the wall clock is set: seven of ten are left, and two of five; also next time."""
    store = Journal(str(tmp_path), (), LIMIT, boot="b")
    store.commit(Batch([full_step()]))
    store.close()
    for mono_s, left_s, wall_s in ((1003.0, 7.0, jump_s), (1004.0, 6.0, 2 * jump_s / 3), (1005.0, 5.0, 0.0)):
        store = Journal(str(tmp_path), (), LIMIT, boot="b")
        at = Now(now(wall_s).utc, mono_s)
        restored = store.restore(at)
        assert [(each.expires_at - at.utc).total_seconds() for each in restored.commands] == [left_s]
        assert [(at.utc - begun).total_seconds() for _, begun, _ in restored.timers] == [mono_s - 1000.0]
        store.close()


@pytest.mark.parametrize(
    "silent", [{"shelved_until_at": now(99).utc}, {"suppressed_by": "x"}, {"is_out_of_service": True}]
)
@pytest.mark.parametrize("cls", [AlarmClass.FAULT, AlarmClass.FIRE])
def test_what_was_silenced_meanwhile_is_not_sent_after_a_restart(
    tmp_path: Path, silent: dict[str, Any], cls: AlarmClass
) -> None:
    """A notice under way at a crash goes out only if its alarm would still be told; fire is never behind a cause."""
    step = full_step()
    store = journal(tmp_path)
    store.commit(Batch([step]))
    (raised,) = step.alarms.values()
    later = replace(raised, version=2, alarm_class=cls, **silent)
    store.commit(Batch([Step(now(1), alarms={later.id: later})]))
    is_sent = cls is AlarmClass.FIRE and "suppressed_by" in silent
    assert bool(store.restore(now(2)).notices) is is_sent


def test_the_journal_of_one_alarm_is_read_in_bounds(tmp_path: Path) -> None:
    """A door that rattled for a year: its beginning and its end are shown, not a million lines."""
    store = journal(tmp_path)
    (raised,) = full_step().alarms.values()
    events = [AlarmEvent(raised.id, number, "reraised", now().utc, SYSTEM) for number in range(1, 3001)]
    commands = [replace(full_step().commands[0], id=f"{raised.id}#{number}/siren") for number in range(1, 3001)]
    store.commit(Batch([Step(now(), events=events, alarms={raised.id: raised}, commands=commands)]))
    reader = JournalReader(str(tmp_path))
    versions = [each.version for each in reader.events(raised.id)]
    assert versions == [*range(1, 101), *range(2101, 3001)]
    assert len(reader.commands(raised.id)) == 1000


def test_what_open_alarms_have_left_on_is_on_record(tmp_path: Path) -> None:
    """The last command of each point counts, of open alarms only, and only where it switched something on."""
    store = journal(tmp_path)
    at = now().utc
    wanted = {1: [True], 2: [True, False], 3: [False], 4: [True]}
    for number, values in wanted.items():
        for version, value in enumerate(values, 1):
            step = Step(now(version))
            raised = alarm(number, is_open=number != 4)
            step.alarms[raised.id] = raised
            step.commands.append(
                Command(f"{raised.id}#{version}/3/siren/on", "3/siren/on", value, SYSTEM, raised.id, at)
            )
            store.commit(Batch([step]))
    assert store.restore(now()).held == ((alarm(1).id, "3/siren/on"),)


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A batch whose last row is refused leaves no reading, no event and no outbox row behind."""
    store = journal(tmp_path)
    store.commit(Batch([full_step(1)]))
    again = full_step(1)  # the same event id a second time breaks the journal's key
    again.readings = [reading(value=9.0)]
    with pytest.raises(apsw.ConstraintError):
        store.commit(Batch([Step(now(), readings=[reading(value=8.0)]), again]))
    assert OutboxReader(str(tmp_path)).last_seq(Lane.TELEMETRY) == 1


def test_outbox_carries_readings_and_events(tmp_path: Path) -> None:
    """Clouds get each event with its stable id, and the readings of a batch with their first instants."""
    journal(tmp_path).commit(Batch([full_step()]))
    reader = OutboxReader(str(tmp_path))
    (event,) = reader.take(Lane.ALARM, 0)
    assert orjson.loads(event.body)["id"] == f"{alarm().id}#1"
    (blob,) = reader.take(Lane.TELEMETRY, 0)
    ms = 1_768_442_400_000
    assert orjson.loads(zlib.decompress(blob.body)) == {"r": [["3-2-03-0301/smoke/alarm", True, ms, ms, "good"]]}


def test_only_what_every_uplink_has_settled_is_trimmed(tmp_path: Path) -> None:
    """A row stays until the last uplink has it."""
    store = journal(tmp_path, ("a", "b"))
    for n in range(3):
        store.commit(telemetry(10, n))
    cursors = CursorStore(str(tmp_path))
    cursors.adopt(OutboxReader(str(tmp_path)).epoch)
    cursors.settle("a", Lane.TELEMETRY, 3)
    cursors.settle("b", Lane.TELEMETRY, 1)
    assert store.trim(now()).dropped == 0
    assert [each.seq for each in OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0)] == [2, 3]


def test_numbers_go_on_after_everything_was_trimmed(tmp_path: Path) -> None:
    """A cursor never points past rows that were written after it: sequence numbers are not used twice."""
    store = journal(tmp_path, ())
    store.commit(telemetry(1))
    store.trim(now())
    store.close()
    store = journal(tmp_path, ())
    store.commit(telemetry(1))
    assert OutboxReader(str(tmp_path)).last_seq(Lane.TELEMETRY) == 2


def test_full_outbox_drops_oldest_telemetry_and_no_alarm(tmp_path: Path) -> None:
    """Beyond its bound the outbox loses the oldest readings, counted; alarms stay."""
    store = journal(tmp_path, limit=4000)
    store.commit(Batch([full_step(1)]))
    for n in range(40):
        store.commit(telemetry(100, n))
    dropped = store.trim(now()).dropped
    reader = OutboxReader(str(tmp_path))
    left = reader.take(Lane.TELEMETRY, 0, limit=1000)
    assert dropped == 1 + 100 * (40 - len(left))
    assert left[-1].seq == 41
    assert reader.backlog(Lane.TELEMETRY, 0)[1] <= 4000
    assert len(reader.take(Lane.ALARM, 0)) == 1


def fill(store: Journal) -> None:
    for n in range(10_000):
        store.commit(Batch([Step(now(n), readings=[reading(value=float(n * k % 997)) for k in range(200)])]))


def test_a_full_disk_gives_up_the_oldest_telemetry_and_goes_on(tmp_path: Path) -> None:
    """With no cloud and no room left, housekeeping makes room: an alarm is stored, the oldest readings are counted."""
    store = journal(tmp_path)
    store.connection.pragma("max_page_count", 120)
    with pytest.raises(apsw.FullError):
        fill(store)
    dropped = 0
    while (trimmed := store.trim(now())).is_more:
        dropped += trimmed.dropped
    store.commit(Batch([full_step(1)]))
    assert dropped + trimmed.dropped > 0
    assert len(OutboxReader(str(tmp_path)).take(Lane.ALARM, 0)) == 1


def test_take_is_bounded_by_bytes(tmp_path: Path) -> None:
    """The bridge never takes more into memory than it asked for, but always at least one row."""
    store = journal(tmp_path)
    for n in range(5):
        store.commit(telemetry(100, n))
    reader = OutboxReader(str(tmp_path))
    assert len(reader.take(Lane.TELEMETRY, 0, max_bytes=1)) == 1
    assert len(reader.take(Lane.TELEMETRY, 0, limit=2)) == 2


def test_a_cursor_never_goes_back(tmp_path: Path) -> None:
    """A late settlement of an older row does not send newer ones again."""
    cursors = CursorStore(str(tmp_path))
    cursors.settle("a", Lane.ALARM, 7)
    cursors.settle("a", Lane.ALARM, 3)
    assert cursors.get("a", Lane.ALARM) == 7


def test_cursors_of_a_replaced_database_trim_nothing(tmp_path: Path) -> None:
    """With a new database beside an old bridge's file, rows stay until the bridge has adopted the new epoch."""
    store = journal(tmp_path, ("a",))
    store.commit(telemetry(1))
    cursors = CursorStore(str(tmp_path))
    assert cursors.adopt(OutboxReader(str(tmp_path)).epoch) is False
    cursors.settle("a", Lane.TELEMETRY, 100)
    store.close()
    for each in tmp_path.glob("shouwang.db*"):
        each.unlink()
    store = journal(tmp_path, ("a",))
    store.commit(telemetry(1))
    store.trim(now())
    reader = OutboxReader(str(tmp_path))
    assert reader.last_seq(Lane.TELEMETRY) == 1
    assert cursors.adopt(reader.epoch) is True
    assert cursors.get("a", Lane.TELEMETRY) == 0


def test_a_broken_bridge_file_is_put_aside(tmp_path: Path) -> None:
    """The bridge's file holds only how far it got: a broken one must not keep alarms from the cloud."""
    journal(tmp_path).close()
    (tmp_path / "bridge.db").write_bytes(b"not a database at all" * 1000)
    cursors = CursorStore(str(tmp_path))
    assert cursors.get("a", Lane.ALARM) == 0
    assert (tmp_path / "bridge.db.broken").exists()


def test_a_broken_bridge_file_trims_nothing(tmp_path: Path) -> None:
    """As long as nobody can say what was settled, nothing counts as settled."""
    store = journal(tmp_path)
    (tmp_path / "bridge.db").write_bytes(b"not a database at all" * 1000)
    store.commit(telemetry(1))
    assert store.trim(now()).dropped == 0
    assert OutboxReader(str(tmp_path)).last_seq(Lane.TELEMETRY) == 1


def test_receipts_are_remembered_in_order_whatever_the_clock_does(tmp_path: Path) -> None:
    """A clock that steps back an hour does not hide what was committed last."""
    store = journal(tmp_path)
    for n, seconds in enumerate((0.0, 1.0, -3600.0)):
        store.commit(Batch([Step(now(seconds), readings=[reading()])], [b"%010d" % n]))
    assert store.restore(now()).digests == (b"0000000000", b"0000000001", b"0000000002")


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """An older program does not write into a database it does not understand."""
    db = open_gateway(str(tmp_path))
    db.pragma("user_version", 99)
    db.close()
    with pytest.raises(StoreError, match="newer"):
        open_gateway(str(tmp_path))


WRITER = """
import sys
from gateway.store.journal import Journal
from tests.test_store_journal import telemetry
store = Journal(sys.argv[1], ("platform",), 10_000_000)
for n in range(100_000):
    store.commit(telemetry(20, n))
    print(n + 1, flush=True)
"""


def test_kill_9_loses_no_committed_batch(tmp_path: Path) -> None:
    """Every batch whose commit returned is in the outbox after kill -9, and none is there twice."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert child.stdout is not None
    told = 0
    while told < 50:
        told = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split("\n")
    child.wait()
    told = max([told, *(int(each) for each in rest[:-1] if each)])
    found = journal(tmp_path)  # opens, recovers
    found.close()
    rows = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0, limit=200_000, max_bytes=1 << 30)
    assert told <= len(rows) <= told + 1
    assert [each.seq for each in rows] == list(range(1, len(rows) + 1))
