"""What is kept of notices and calls: honest states, what a restart still sends, a month's percentiles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import SYSTEM, Actor, Alarm, AlarmClass, AlarmEvent, Handling, Notice, NoticeResult, Step
from gateway.store import codec
from gateway.store.database import _GATEWAY_SCHEMA, GATEWAY_FILE, open_gateway
from gateway.store.journal import Batch, Journal
from gateway.store.kpi import PERCENTILES, percentile
from gateway.store.past import JournalReader
from tests.support_core import alarm, full_step, now

START, END = datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC)  # November at +8


def a_journal(tmp_path: Path, *steps: Step) -> Journal:
    journal = Journal(str(tmp_path), [], 1_000_000)
    journal.commit(Batch(list(steps)))
    return journal


def states(tmp_path: Path, alarm_id: str) -> list[tuple[str, str]]:
    reader = JournalReader(str(tmp_path))
    found = [(str(each["state"]), str(each["detail"])) for each in reader.notices(alarm_id)]
    reader.close()
    return found


def said(key: str, *words: tuple[str, bool]) -> list[NoticeResult]:
    return [
        NoticeResult(key, is_accepted, now(n).utc, f"word {n}", state) for n, (state, is_accepted) in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ([], "sending"),
        ([("", True)], "accepted"),
        ([("", False)], "failed"),
        ([("sending", True)], "sending"),
        ([("accepted", True), ("delivered", True)], "delivered"),
        ([("accepted", True), ("failed", False)], "failed"),
        ([("delivered", True), ("accepted", True)], "delivered"),
        ([("delivered", True), ("failed", False)], "delivered"),
        ([("failed", False), ("delivered", True)], "delivered"),
    ],
)
def test_a_notice_says_honestly_how_far_it_got(tmp_path: Path, words: list[tuple[str, bool]], state: str) -> None:
    """Taken by a provider is not delivered; what was delivered stays so, whatever comes late."""
    step = full_step()
    (notice,) = step.notices
    journal = a_journal(tmp_path, step)
    journal.commit(Batch([Step(now(9), results=list(said(notice.key, *words)))]))
    assert [each for each, _ in states(tmp_path, notice.alarm_id)] == [state]
    assert (journal.restore(now(10)).notices == ()) is (state != "sending")
    journal.close()


def test_a_restart_ends_the_wait_for_a_report_of_delivery(tmp_path: Path) -> None:
    """Nobody hears the report any more: it stays taken, and says that more is not known. What had its end keeps it."""
    first, second = full_step().notices[0], replace(full_step().notices[0], key="other/raised/li/modem")
    journal = a_journal(tmp_path, full_step(), Step(now(), notices=[second]))
    waiting = NoticeResult(first.key, is_accepted=True, at=now(1).utc, detail="waits", state="accepted", is_final=False)
    ended = NoticeResult(second.key, is_accepted=True, at=now(1).utc, detail="was taken", state="accepted")
    journal.commit(Batch([Step(now(1), results=[waiting, ended])]))
    assert ("accepted", "waits") in states(tmp_path, first.alarm_id)
    assert journal.restore(now(10)).notices == ()
    journal.close()
    found = dict.fromkeys(states(tmp_path, first.alarm_id))
    assert ("accepted", "was taken") in found
    assert any(state == "accepted" and "not known" in detail for state, detail in found)
    assert ("accepted", "waits") not in found


def test_a_restart_still_sends_what_is_wanted(tmp_path: Path) -> None:
    """Taken meanwhile: the call that nobody had taken is not sent any more, the one that it is not verified is."""
    untaken, taken = alarm(1), replace(alarm(2), handling=Handling.TAKEN)
    step = Step(now(), alarms={each.id: each for each in (untaken, taken)})
    for each, reason in ((untaken, "raised+30s"), (taken, "raised+30s"), (taken, "unverified-3+30s")):
        step.notices.append(Notice(f"{each.id}/{reason}/li/apprise", each.id, reason, "apprise", "li", "x"))
    journal = a_journal(tmp_path, step)
    left = journal.restore(now(5)).notices
    assert [(each.alarm_id, each.reason) for each in left] == [
        (untaken.id, "raised+30s"),
        (taken.id, "unverified-3+30s"),
    ]
    assert ("failed", "overtaken by a restart") in states(tmp_path, taken.id)
    journal.close()


def test_a_database_of_the_first_version_is_opened_with_its_notices(tmp_path: Path) -> None:
    """What an older gateway wrote down keeps its meaning: accepted, failed, or still on its way."""
    db = apsw.Connection(str(tmp_path / GATEWAY_FILE))
    db.execute(_GATEWAY_SCHEMA[0])
    db.pragma("user_version", 1)
    for n, is_accepted in enumerate((1, 0, None)):
        db.execute(
            "INSERT INTO notices (key, alarm_id, reason, channel, recipient, text, at_ms, is_accepted)"
            " VALUES (?, 'a', 'raised', 'c', 'r', 't', ?, ?)",
            (f"a/raised/r/c{n}", n, is_accepted),
        )
    db.close()
    open_gateway(str(tmp_path)).close()
    assert [each for each, _ in states(tmp_path, "a")] == ["accepted", "failed", "sending"]


ZHANG = Actor("张师傅", "duty", "console")


def call(
    number: int, at: datetime, *, marks: tuple[str, ...] = (), outcome: str = "上门-平安", **steps_s: float
) -> Step:
    """A call for help, and when after the press each step was done."""
    made = replace(alarm(number), alarm_class=AlarmClass.SOS, raised_at=at, marks=marks)
    events = [AlarmEvent(made.id, 1, "raised", at, SYSTEM, {})]
    for version, (kind, after_s) in enumerate(steps_s.items(), start=2):
        data = {"outcome": outcome} if kind == "closed" else {}
        events.append(AlarmEvent(made.id, version, kind, at + timedelta(seconds=after_s), ZHANG, data))
    made = replace(made, version=len(events), last_at=events[-1].at)
    return Step(now(), events=events, alarms={made.id: made})


def report(tmp_path: Path, *steps: Step, at: datetime = END) -> dict[str, Any]:
    a_journal(tmp_path, *steps).close()
    reader = JournalReader(str(tmp_path))
    found = reader.calls(START, END, at)
    reader.close()
    return found


def test_a_months_calls_are_judged_by_both_targets(tmp_path: Path) -> None:
    """97.5 % within 60 s and 99 % within 180 s: 40 calls, one taken after 61 s, one never, say how many and whether."""
    quick = [call(n, START + timedelta(hours=n), taken=10.0 + n, verified=40.0, closed=600.0) for n in range(38)]
    late = call(50, START + timedelta(days=3), taken=61.0, arrived=300.0, closed=900.0, outcome="送医")
    never = call(51, START + timedelta(days=4))
    found = report(tmp_path, *quick, late, never)
    assert found["calls"] == 40
    first, second = found["taken_within"]
    assert (first["in_time"], first["judged"], first["share"], first["is_met"]) == (38, 40, 0.95, False)
    assert (second["in_time"], second["share"], second["is_met"]) == (39, 0.975, False)
    seconds = found["seconds"]
    assert seconds["taken"] == {"count": 39, "p50": 29.0, "p90": 45.0, "p97.5": 61.0, "p99": 61.0, "p100": 61.0}
    assert seconds["arrived"]["count"] == 1
    assert found["outcomes"] == {"上门-平安": 38, "送医": 1}
    assert found["open"] == 1


def test_drills_and_tests_are_counted_apart(tmp_path: Path) -> None:
    """A drill that nobody took spoils no figure, and a hundred test presses make none better."""
    steps = [
        call(1, START, taken=100.0, closed=200.0),
        call(2, START, marks=("drill",), taken=1.0),
        call(3, START, marks=("walk_test",)),
        call(4, START, marks=("commissioning",), taken=1.0),
        *(call(n, START, taken=1.0, closed=2.0, outcome="测试") for n in range(5, 9)),
    ]
    found = report(tmp_path, *steps)
    assert found["calls"] == 1
    assert found["excluded"] == {"drill": 1, "walk_test": 1, "commissioning": 1, "test": 4}
    assert [each["share"] for each in found["taken_within"]] == [0.0, 1.0]
    assert found["outcomes"] == {"上门-平安": 1}


def test_a_call_of_a_drill_that_became_real_is_a_drill_and_a_call(tmp_path: Path) -> None:
    """Pressed in a drill, and again when it was over: the first stays a drill, the second is a call."""
    drill = call(1, START, marks=())
    (raised,) = drill.events
    at = START + timedelta(hours=1)
    told: list[tuple[str, datetime, dict[str, Any]]] = [
        ("unmarked", at, {"marks": []}),
        ("reraised", at, {"reopens": True}),
        ("taken", at + timedelta(seconds=5), {}),
    ]
    later = [AlarmEvent(raised.alarm_id, n, kind, when, SYSTEM, data) for n, (kind, when, data) in enumerate(told, 2)]
    drill.events[:] = [replace(raised, data={"marks": ["drill"]}), *later]
    found = report(tmp_path, drill)
    assert (found["calls"], found["excluded"]) == (1, {"drill": 1})
    assert found["seconds"]["taken"] == {"count": 1} | {f"p{each:g}": 5.0 for each in PERCENTILES}


def test_a_month_has_its_calls_and_no_others(tmp_path: Path) -> None:
    """From its first instant until before the next month's; a fire is no call."""
    fire = replace(alarm(9), raised_at=START)
    other = Step(now(), events=[AlarmEvent(fire.id, 1, "raised", START, SYSTEM, {})], alarms={fire.id: fire})
    edges = [START, END - timedelta(seconds=1), START - timedelta(seconds=1), END]
    found = report(tmp_path, other, *(call(n, at, taken=1.0) for n, at in enumerate(edges)))
    assert found["calls"] == 2


def test_who_waits_and_is_not_late_yet_is_not_judged(tmp_path: Path) -> None:
    """Half a minute after a press the month is not worse for it; after a minute it is."""
    pressed = call(1, START)
    early = report(tmp_path, pressed, at=START + timedelta(seconds=30))
    assert [(each["judged"], each["is_met"]) for each in early["taken_within"]] == [(0, None), (0, None)]
    reader = JournalReader(str(tmp_path))
    late = reader.calls(START, END, START + timedelta(seconds=61))
    assert [(each["judged"], each["is_met"]) for each in late["taken_within"]] == [(1, False), (0, None)]
    reader.close()


def test_a_reopened_alarm_is_a_second_call(tmp_path: Path) -> None:
    """Closed and pressed again: two calls, each with its own times; a press in between is none."""
    made: Alarm = replace(alarm(1), alarm_class=AlarmClass.SOS, raised_at=START, version=6)
    script: list[tuple[str, float, dict[str, Any]]] = [
        ("raised", 0.0, {}),
        ("taken", 10.0, {}),
        ("reraised", 20.0, {"reopens": False}),
        ("closed", 30.0, {"outcome": "误触"}),
        ("reraised", 1000.0, {"reopens": True}),
        ("taken", 1070.0, {}),
    ]
    at = [START + timedelta(seconds=after_s) for _, after_s, _ in script]
    events = [AlarmEvent(made.id, n + 1, kind, at[n], SYSTEM, data) for n, (kind, _, data) in enumerate(script)]
    found = report(tmp_path, Step(now(), events=events, alarms={made.id: replace(made, last_at=at[-1])}))
    assert found["calls"] == 2
    assert found["seconds"]["taken"]["p100"] == 70.0
    assert found["outcomes"] == {"误触": 1}
    reader = JournalReader(str(tmp_path))
    before, after = (START, START + timedelta(seconds=500)), (START + timedelta(seconds=500), END)
    assert [reader.calls(*each, END)["calls"] for each in (before, after)] == [1, 1]
    reader.close()


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from(PERCENTILES))
def test_percentile_is_a_value_that_was_measured(values: list[float], percent: float) -> None:
    """Nearest rank: one of the values, and that share of all is not above it."""
    found = percentile(values, percent)
    assert found in values
    assert found is not None
    assert sum(each <= found for each in values) >= percent / 100 * len(values) - 1e-9
    assert sum(each < found for each in values) < max(1.0, percent / 100 * len(values) + 1e-9)


def test_percentile_of_nothing_is_nothing() -> None:
    """A month without a call has no percentile, not zero seconds."""
    assert percentile([], 97.5) is None
    assert codec.to_ms(START) == 1_793_462_400_000
