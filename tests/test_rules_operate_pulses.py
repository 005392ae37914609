"""Pulses of outputs set by hand: their end, across restarts, and against fires."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import (
    CommandOutcome,
    Handling,
    Verb,
)
from tests.support_operate import (
    LOCK,
    a_site,
    asking,
    ended,
    told,
)
from tests.support_rules import ZHANG, Player, as_bytes


def test_a_pulse_ends_by_itself_after_the_door_has_obeyed() -> None:
    """Five seconds from the readback, not from the click; the end is a command of the gateway's own."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(3, ended(command, at_s=3))
    before = player.step(7.9)
    assert told(before) == []
    player.step(8.5)
    ends = [each for step in player.steps for each in step.commands if each.value is False]
    assert [(each.point_id, each.by.role) for each in ends] == [(LOCK, "system")]
    assert player.timers == {}


@pytest.mark.parametrize("killed_at_s", [1.1, 2.0, 5.0, 30.0])
def test_a_kill_in_the_middle_of_a_pulse_changes_nothing_about_its_end(killed_at_s: float) -> None:
    """Before or after the readback, shortly or for long: the door is locked again exactly once."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    if killed_at_s > 1.5:
        player.step(1.5, ended(command, at_s=1.5))
    if killed_at_s < 30:
        player.step(killed_at_s)
    player.restart(killed_at_s)
    player.step(killed_at_s + 20)
    ends = [each for step in player.steps for each in step.commands if each.value is False]
    assert [each.point_id for each in ends] == [LOCK]
    assert player.timers == {}


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_fire_in_the_middle_of_a_pulse_keeps_the_door_open(*, is_killed: bool) -> None:
    """The end of the pulse does not lock what a fire has released meanwhile, not even after kill -9."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.5, ended(command, at_s=1.5))
    player.read(3, "3-2-03-0301/smoke/alarm", value=True)
    if is_killed:
        player.restart(3.5)
    player.step(60)
    assert [told(step) for step in player.steps if step.commands] == [[(LOCK, True)], [(LOCK, True)]]
    assert player.timers.keys() & {key for key in player.timers if key.startswith("pulse")} == set()
    assert player.counters.counts["pulses_overtaken", ()] == 1


def test_a_fire_before_the_click_keeps_the_door_open() -> None:
    """A door that is released already stays so: a pulse ends only what it has begun."""
    player = Player(a_site())
    player.read(1, "3-2-03-0301/smoke/alarm", value=True)
    player.step(2, asking(LOCK, at_s=2))
    player.step(60)
    assert (LOCK, False) not in [each for step in player.steps for each in told(step)]


@pytest.mark.parametrize("fire_s", [0.5, 2.0])
def test_a_fire_that_ends_within_the_pulse_leaves_the_door_open(fire_s: float) -> None:
    """Raised before the click or after it, and reset before the pulse is over: people lock what a fire has released."""
    player = Player(a_site())
    if fire_s < 1:
        player.read(fire_s, "3-2-03-0301/smoke/alarm", value=True)
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.5, ended(command, at_s=1.5))
    if fire_s > 1:
        player.read(fire_s, "3-2-03-0301/smoke/alarm", value=True)
    player.read(3, "3-2-03-0301/smoke/alarm", value=False)
    _end(player, "fire:3-2-03-0301/smoke/alarm:1", 4)
    assert not player.engine.alarms
    player.step(60)
    assert (LOCK, False) not in [each for step in player.steps for each in told(step)]


def test_a_door_that_stood_open_is_not_locked_by_a_pulse() -> None:
    """Somebody has set it open for a removal van: opening it for a visitor does not end that."""
    player = Player(a_site())
    player.read(1, LOCK, value=True)
    player.step(2, asking(LOCK, at_s=2))
    player.step(60)
    assert (LOCK, False) not in [each for step in player.steps for each in told(step)]


def test_a_second_click_makes_the_pulse_longer() -> None:
    """The visitor is slow: opened again before the end, it is locked five seconds after the second time, once."""
    player = Player(a_site())
    (first,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(first))
    player.read(1.3, LOCK, value=True)
    (second,) = player.step(4, asking(LOCK, at_s=4, name="r2")).commands
    player.step(4.2, ended(second, at_s=4.2))
    assert told(player.step(9.1)) == []
    player.step(60)
    ends = [step.now.mono_s - 1000 for step in player.steps if (LOCK, False) in told(step)]
    assert ends == [pytest.approx(9.2)]


@pytest.mark.parametrize(
    ("outcome", "locks"),
    [(CommandOutcome.FAILED, True), (CommandOutcome.UNCONFIRMED, True), (CommandOutcome.EXPIRED, False)],
)
def test_what_may_have_been_opened_is_locked_at_once(outcome: CommandOutcome, *, locks: bool) -> None:
    """No answer is not no act; a command that never left has nothing to end."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    step = player.step(3, ended(command, outcome, 3))
    assert ((LOCK, False) in told(step)) is locks
    assert not any(key.startswith("pulse") for key in player.timers)


@pytest.mark.parametrize("outcome", [CommandOutcome.EXPIRED, CommandOutcome.REFUSED])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_second_click_that_never_leaves_does_not_leave_the_door_open(
    outcome: CommandOutcome, *, is_killed: bool
) -> None:
    """Opened, and clicked again within the five seconds while the line is busy: the door is locked all the same."""
    player = Player(a_site())
    (first,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(first))
    (second,) = player.step(4, asking(LOCK, at_s=4, name="r2")).commands
    if is_killed:
        player.restart(5)
    player.step(14, ended(second, outcome, 14))
    player.step(60)
    assert [told(step) for step in player.steps if (LOCK, False) in told(step)] == [[(LOCK, False)]]


def test_a_door_that_was_not_locked_again_in_time_is_a_fault() -> None:
    """Killed between the end of a pulse and the lock, off for an hour: nobody believes that the door is locked."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(command))
    player.step(20)
    (end,) = [each for step in player.steps for each in step.commands if each.value is False]
    player.restart(3600)
    player.step(3600, ended(end, CommandOutcome.EXPIRED, 3600))
    assert [each.rule_id for each in player.engine.alarms.values()] == ["failed"]


def test_a_lock_that_a_fire_has_overtaken_is_no_fault() -> None:
    """Its end is given up because the door must stay open: that is as it should be."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(command))
    player.step(20)
    (end,) = [each for step in player.steps for each in step.commands if each.value is False]
    player.read(21, "3-2-03-0301/smoke/alarm", value=True)
    player.step(22, ended(end, CommandOutcome.EXPIRED, 22))
    assert {each.rule_id for each in player.engine.alarms.values()} == {"fire"}


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["operate", "done", "fail", "fire", "calm", "close", "restart", "wait"]),
        st.floats(0.1, 12.0),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(_EVENTS)
def test_a_pulse_never_outlives_its_time_and_never_locks_against_a_fire(events: list[tuple[str, float]]) -> None:
    """Whatever happens in between: while a fire is open nothing locks the door; a pulse that nothing has overtaken
    has its end; the same inputs give the same bytes.
    """
    first, second = played(events), played(events)
    assert as_bytes(first.steps) == as_bytes(second.steps)
    is_fire = False
    for step in first.steps:
        for event in step.events:
            if event.alarm_id.startswith("fire:"):
                is_fire = step.alarms[event.alarm_id].is_open
        if is_fire:
            assert not [each for each in step.commands if each.value is False and each.expires_at > step.now.utc]
    ids = [each.id for step in first.steps for each in step.commands]
    assert len(ids) == len(set(ids))
    assert not [key for key in first.timers if key.startswith("pulse")]


def played(events: list[tuple[str, float]]) -> Player:
    """One door, one fire; at the end all is quiet for a minute."""
    player, at_s, last = Player(a_site()), 1.0, None
    for number, (what, pause_s) in enumerate(events):
        at_s += pause_s
        match what:
            case "operate":
                player.step(at_s, asking(LOCK, at_s=at_s, name=f"r{number}"))
                last = next((each for each in player.steps[-1].commands if each.id.startswith("operate:")), last)
            case "done" | "fail" if last is not None:
                outcome = CommandOutcome.DONE if what == "done" else CommandOutcome.UNCONFIRMED
                player.step(at_s, ended(last, outcome, at_s))
            case "fire" | "calm":
                player.read(at_s, "3-2-03-0301/smoke/alarm", what == "fire")
            case "close":
                for alarm in [each for each in player.engine.alarms.values() if each.rule_id == "fire"]:
                    _end(player, alarm.id, at_s)
            case "restart":
                player.step(at_s)
                player.restart(at_s)
            case _:
                player.step(at_s)
    player.step(at_s + 60)
    return player


def _end(player: Player, alarm_id: str, at_s: float) -> None:
    for verb in (Verb.TAKE, Verb.CLOSE, Verb.RESET):
        alarm = player.engine.alarms.get(alarm_id)
        if alarm is not None and not (verb is Verb.TAKE and alarm.handling is not Handling.NEW):
            player.step(at_s, player.request(verb, alarm, ZHANG, at_s, outcome="误报", cause="油烟"))
