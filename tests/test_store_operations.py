"""What was set by hand is on record: the command with its end, the audit line, and a pass where somebody was let in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.counters import Counters
from gateway.model import (
    Actor,
    Arrival,
    Command,
    CommandOutcome,
    CommandResult,
    OperatorRequest,
    Reading,
    Reply,
    Step,
    Value,
    Verb,
)
from gateway.shedding import MOST_PASSES, MOST_STEPS, Stepped, shed
from gateway.store.journal import Batch, Journal
from gateway.store.operations import OperationReader
from gateway.store.passes import PassReader
from gateway.store.past import JournalReader
from gateway.store.retention import KEPT_S
from tests.support_core import alarm, full_step, now

DOOR = "1-1-01-DOOR/door"
LI = Actor("李姐", "duty", "console")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path), (), 10_000_000, doors={DOOR})
    yield journal
    journal.close()


def command(number: int = 1, point: str = f"{DOOR}/unlock", *, value: Value = True, because: str = "") -> Command:
    id_ = f"operate:web/李姐/r{number}:{number}/{point}"
    return Command(id_, point, value, LI, because, now(number).utc + timedelta(seconds=5))


def commit(store: Journal, *commands: Command, outcome: CommandOutcome | None = None, at_s: float = 1.0) -> None:
    """As the pipeline does: the commands with their request, then how they ended."""
    asked = [OperatorRequest(f"r{each.id}", LI, Verb.OPERATE, "", 0, now().utc, now(10).utc) for each in commands]
    step = Step(now(at_s), commands=list(commands), replies=[Reply(each.id, is_accepted=True) for each in asked])
    store.commit(Batch([step], requests={each.id: each for each in asked}))
    if outcome is not None:
        results = [CommandResult(each.id, outcome, now(at_s + 1).utc, each.value) for each in commands]
        store.commit(Batch([Step(now(at_s + 1), results=list(results))]))


def passes(directory: Path) -> Sequence[tuple[str, ...]]:
    reader = PassReader(str(directory))
    found = [each[3:] for each in reader.page(50, None, None)]
    reader.close()
    return found


@pytest.mark.parametrize(
    ("outcome", "result"), [(CommandOutcome.DONE, "granted"), (CommandOutcome.UNCONFIRMED, "unconfirmed")]
)
def test_a_door_opened_from_the_desk_is_a_pass(
    store: Journal, tmp_path: Path, outcome: CommandOutcome, result: str
) -> None:
    """Who, which door, how, and what came of it; beside the records of cards."""
    commit(store, command(), outcome=outcome)
    assert passes(tmp_path) == [(DOOR, "李姐", "remote", "", result)]


def test_what_lets_nobody_in_is_no_pass(store: Journal, tmp_path: Path) -> None:
    """Locking a door, a siren switched by hand, a door that a fire has released, and the end of a pulse."""
    end = replace(command(3), id=f"operate-end:x:1/{DOOR}/unlock", value=False)
    fire = replace(command(4), id=f"confirmed:@zone:1:1#1/{DOOR}/release", because="confirmed:@zone:1:1")
    others = (command(1, value=False), command(2, "3/siren/on"), end, fire)
    commit(store, *others, outcome=CommandOutcome.DONE)
    assert passes(tmp_path) == []


def test_an_operation_is_found_with_its_end(store: Journal, tmp_path: Path) -> None:
    """Under way, and then as it ended, with who did it; the newest first, page by page, without the ends of pulses."""
    commit(store, command(1), at_s=1)
    commit(store, command(2), replace(command(9), id="operate-end:x:1/p"), outcome=CommandOutcome.DONE, at_s=2)
    reader = OperationReader(str(tmp_path))
    first = reader.one(command(1).id)
    assert first is not None
    assert (first["outcome"], first["actor"], first["because"]) == (None, '["李姐","duty","console"]', "")
    newest = reader.page(1, None)
    assert [(each["id"], each["outcome"]) for each in newest] == [(command(2).id, "done")]
    before = newest[0]["issued_ms"], newest[0]["id"]
    assert [each["id"] for each in reader.page(5, before)] == [command(1).id]
    assert reader.one("smoke-fire:x:1#1/siren") is None
    reader.close()


def test_who_asked_for_it_is_in_the_audit_trail(store: Journal) -> None:
    """Accepted or refused: the trail names the act as one on a point."""
    commit(store, command())
    actions = [row[0] for row in store.connection.execute("SELECT action FROM audit")]
    assert actions == ["point.operate"]


def test_operations_without_an_alarm_are_forgotten_after_their_time(store: Journal, tmp_path: Path) -> None:
    """As long as alarms and the audit trail are kept, and not for ever; those of an open alarm stay with it."""
    store.commit(Batch([full_step()]))
    own = command(2, because=alarm().id)
    commit(store, command(1), own, outcome=CommandOutcome.DONE)
    store.trim(now(0))
    store.trim(now(KEPT_S - 60))
    reader = OperationReader(str(tmp_path))
    assert len(reader.page(5, None)) == 2
    store.trim(now(KEPT_S + 3600))
    assert [each["id"] for each in reader.page(5, None)] == [own.id]
    reader.close()
    screens = JournalReader(str(tmp_path))
    assert own.id in {each["id"] for each in screens.commands(alarm().id)}
    screens.close()


# The disk refuses ---------------------------------------------------------------------------------------------------


def stepped(number: int, *readings: Reading, acknowledged: list[int] | None = None) -> Stepped:
    receipt = None if acknowledged is None else lambda: acknowledged.append(number)
    return Stepped(Step(now(number), readings=list(readings)), [Arrival(readings, receipt, b"digest")], 1)


def somebody(number: int) -> list[Reading]:
    at = now(number).utc
    texts = {"pass": f"C{number}", "pass_way": "card", "pass_result": "granted"}
    return [Reading(f"{DOOR}/{name}", text, at, at) for name, text in texts.items()]


def other(number: int) -> Reading:
    return Reading("3-2-03-0301/smoke/temp", 20.0, now(number).utc, now(number).utc)


def test_while_the_disk_refuses_who_went_through_a_door_is_kept(store: Journal, tmp_path: Path) -> None:
    """Telemetry is given up, the pass in the same message is not: it is on record when there is room again. All of it
    is acknowledged, or the broker would hold back the next alarm behind it.
    """
    counters, acknowledged = Counters(), list[int]()
    pending = [stepped(n, other(n), acknowledged=acknowledged) for n in range(600)]
    pending.insert(300, stepped(1000, other(5), *somebody(5), acknowledged=acknowledged))
    left = shed(pending, counters)
    assert [each.step.readings for each in left] == [somebody(5)]
    assert len(acknowledged) == 601
    assert counters.total("readings_not_stored") == 601
    assert shed(left, counters) == left
    store.commit(Batch([each.step for each in left]))
    assert passes(tmp_path) == [(DOOR, "C5", "card", "", "granted")]


def test_however_long_the_disk_refuses_passes_are_bounded_and_the_newest_stay() -> None:
    """Of more steps than may wait the oldest become one: their passes are in it, up to a bound, alarms as well."""
    counters = Counters()
    pending = [Stepped(full_step(n, n), [], 1) for n in range(3)]
    pending += [stepped(n, *somebody(n)) for n in range(MOST_STEPS + MOST_PASSES)]
    left = shed(pending, counters)
    assert len(left) == MOST_STEPS
    assert len(left[0].step.events) == 3
    assert len(left[0].step.readings) == MOST_PASSES
    assert left[-1].step.readings == somebody(MOST_STEPS + MOST_PASSES - 1)
    kept = sum(len(each.step.readings) for each in left)
    lost = 3 * (MOST_STEPS + MOST_PASSES) - kept  # readings, of which every third is the pass itself
    assert counters.total("passes_not_stored") == -(-lost // 3)
