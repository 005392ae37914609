"""Delays, restarts, clocks: what the first minute, a vanished rule and a backward clock may and may not do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.counters import Counters
from gateway.model import AlarmClass, Condition, Handling, Now, Step, Tell, Verb
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine
from gateway.rules.engine import SETTLE_S
from gateway.rules.tells import Tells
from gateway.rules.timers import Timers
from tests.support_rules import START, Player, device, now, rule, site

TEMP = "1-1-01-0101/t/temp"
DEVICE = device("1-1-01-0101/t", "t", {"temp": "float"})


def a_player(cls: AlarmClass = AlarmClass.FAULT, *, settle_s: float = 60.0, **extra: object) -> Player:
    player = Player(site([DEVICE], [rule([TEMP], Condition("above", 60), cls, **extra)]), settle_s=settle_s)
    player.restart(0)
    return player


def test_alarms_of_the_journal_are_unconfirmed_until_their_point_reports() -> None:
    """After a restart the screen says which alarms are only remembered."""
    player = a_player()
    player.read(0, TEMP, 70.0)
    player.restart(10)
    (alarm,) = player.engine.alarms.values()
    assert alarm.is_unconfirmed
    player.read(11, TEMP, "rubbish")
    assert next(iter(player.engine.alarms.values())).is_unconfirmed
    step = player.read(12, TEMP, 71.0)
    assert not step.events
    assert not step.alarms[alarm.id].is_unconfirmed


def test_a_return_in_the_first_minute_waits_and_is_forgotten_when_it_was_not_true() -> None:
    """The first words after a start do not clear an alarm; after the minute the truth counts."""
    player = a_player()
    player.read(0, TEMP, 70.0)
    player.restart(100)
    player.read(101, TEMP, 20.0)
    player.read(130, TEMP, 70.0)
    player.read(140, TEMP, 20.0)
    player.step(159.9)
    assert player.kinds() == ["raised"]
    player.step(161)
    assert player.kinds() == ["raised", "returned"]
    assert player.steps[-2].now.mono_s == 1160.0


def test_the_first_minute_is_a_minute() -> None:
    """As it is shipped: what returned right after the start is taken as returned after 60 s, not before."""
    player = a_player(settle_s=SETTLE_S)
    player.read(0, TEMP, 70.0)
    player.restart(100)
    player.read(101, TEMP, 20.0)
    player.step(159.9)
    assert player.kinds() == ["raised"]
    player.step(160.1)
    assert player.kinds() == ["raised", "returned"]


def test_an_off_delay_does_not_end_within_the_first_minute() -> None:
    """An off-delay that was running goes on, but its alarm stays through the first minute like every other."""
    player = a_player(clear_for_s=10.0)
    player.step(100)
    player.read(100, TEMP, 70.0)
    player.read(101, TEMP, 20.0)
    player.restart(105)
    player.step(164.9)
    assert player.kinds() == ["raised"]
    player.step(165.1)
    assert player.kinds() == ["raised", "returned"]


def test_alarm_ids_are_never_used_twice_even_without_the_list_of_occurrences() -> None:
    """The open alarms alone are enough to go on counting."""
    player = a_player(settle_s=0.0)
    for at_s in (0, 1):
        player.read(at_s, TEMP, 70.0)
        player.read(at_s + 0.5, TEMP, 20.0)
    player.read(2, TEMP, 70.0)
    player.engine = player._new()
    player.engine.restore([each for each in player.alarms.values() if each.is_open], {}, [], now(3))
    player.read(4, TEMP, 20.0)
    player.read(5, TEMP, 70.0)
    assert sorted(player.alarms) == [f"r:{TEMP}:{each}" for each in (1, 2, 3, 4)]


def test_one_reason_is_told_once() -> None:
    """Whoever asks again, what has been said is not said again until the alarm has ended."""
    one = rule([TEMP], Condition("above", 60), AlarmClass.SOS, tells=(Tell("duty", ("apprise",)),))
    tells = Tells(NoticePolicy(site([DEVICE], [one])), Timers())
    player = Player(site([DEVICE], [one]))
    (event,) = player.read(0, TEMP, 70.0).events
    (alarm,) = player.alarms.values()
    step = Step(now(0))
    tells.after(event, alarm, one, step)
    tells.after(event, alarm, one, step)
    assert len(step.notices) == 1


def test_nothing_is_notified_again_after_a_restart() -> None:
    """kill -9 does not send a second message for the same reason to the same person."""
    player = a_player(AlarmClass.SOS, tells=(Tell("duty", ("console", "apprise")), Tell("grid", ("apprise",), 30.0)))
    player.read(0, TEMP, 70.0)
    for at_s in (1, 2, 29, 31, 40):
        player.restart(at_s)
        player.read(at_s + 0.5, TEMP, 70.0)
    assert len(player.said) == len(set(player.said)) == 3
    assert player.kinds() == ["raised", "escalated"]


def test_taking_the_alarm_stops_what_was_still_to_be_told() -> None:
    """Nobody's family is called after the duty officer has taken the alarm, restart or not."""
    player = a_player(AlarmClass.SOS, tells=(Tell("family", ("apprise",), 60.0),))
    player.read(0, TEMP, 70.0)
    assert player.timers
    player.do(10, Verb.TAKE)
    player.do(11, Verb.VERIFY, real="true")
    assert not player.timers
    player.restart(20)
    player.step(200)
    assert not player.said


def test_a_timer_that_outlived_its_alarm_is_deleted() -> None:
    """What a crash left behind for an alarm that was taken meanwhile is cleaned up, not rung."""
    player = a_player(AlarmClass.SOS, tells=(Tell("family", ("apprise",), 60.0),))
    player.read(0, TEMP, 70.0)
    (alarm,) = player.alarms.values()
    player.alarms[alarm.id] = replace(alarm, handling=Handling.HANDLING)
    player.restart(10)
    wake = player.engine.next_wake()
    assert wake is not None
    assert wake <= 1010.0
    player.step(10)
    assert not player.timers
    assert player.engine.next_wake() is None


@pytest.mark.parametrize("cls", [AlarmClass.FIRE, AlarmClass.FAULT])
def test_alarm_whose_rule_is_gone_is_withdrawn_once_and_can_be_handled(cls: AlarmClass) -> None:
    """Removing a rule does not make its open fire disappear: it says so, and waits for people."""
    player = a_player(cls, latches=cls is AlarmClass.FIRE)
    player.read(0, TEMP, 70.0)
    player.site = site([DEVICE], [])
    player.restart(10)
    player.step(10)
    assert player.kinds() == ["raised", "withdrawn"]
    if cls is AlarmClass.FAULT:
        assert not player.engine.alarms
        return
    player.restart(20)
    player.step(20)
    assert player.kinds() == ["raised", "withdrawn"]
    player.do(21, Verb.TAKE)
    (reply,) = player.do(22, Verb.RESET).replies
    assert reply.code == "not_latched"
    player.do(23, Verb.CLOSE, outcome="误报", cause="规则已删")
    assert not player.engine.alarms


def test_occurrences_go_on_after_a_restart() -> None:
    """No two alarms ever share an id."""
    player = a_player(settle_s=0.0)
    for at_s in range(0, 8, 2):
        player.read(at_s, TEMP, 70.0)
        player.read(at_s + 1, TEMP, 20.0)
        player.restart(at_s + 1.5)
    assert sorted(player.alarms) == [f"r:{TEMP}:{each}" for each in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("wall_s", "left_s"),
    [(0, 30), (10, 20), (30, 0), (31, 0), (1e9, 0), (-1, 30), (-3600, 30)],
)
def test_restored_delay_has_between_nothing_and_all_of_it_left(wall_s: float, left_s: float) -> None:
    """However the wall clock was set while the gateway was off, a delay is neither negative nor longer than it was."""
    timers = Timers()
    timers.restore("x", START, 30.0, Now(START + timedelta(seconds=wall_s), 500.0), not_before=0.0)
    assert timers.next_wake() == 500.0 + left_s


def test_timers_do_not_pile_up() -> None:
    """A point that toggles for ever does not fill the memory with dead delays."""
    timers = Timers()
    for each in range(10_000):
        timers.start("x", 30.0, now(each))
        timers.stop("x")
        timers.start("y", 30.0, now(each))
    assert len(timers) == 1
    assert len(timers._heap) < 200


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=40), st.integers(1, 60))
def test_the_heap_of_delays_is_bounded_by_what_runs(moves: list[tuple[str, bool]], times: int) -> None:
    """Started again, stopped, started: at most twice as many entries as run, and a constant; the next one is right."""
    timers = Timers()
    due: dict[str, float] = {}
    for number, (key, is_start) in enumerate(moves * times):
        if is_start:
            timers.start(key, 30.0, now(number))
            due[key] = 1030.0 + number
        else:
            timers.stop(key)
            due.pop(key, None)
        assert len(timers._heap) <= 2 * len(timers) + 64
    assert timers.next_wake() == min(due.values(), default=None)


def test_delays_of_one_instant_end_in_the_order_they_began() -> None:
    """Replays give the same order."""
    timers = Timers()
    for key in "cab":
        timers.start(key, 5.0, now(0))
    assert [timers.pop_due(1005.0) for _ in range(4)] == ["c", "a", "b", None]


@pytest.mark.parametrize(
    ("condition", "extra", "words"),
    [
        (Condition("near", 1), {}, "no condition is called"),
        (Condition("above", 1), {"for_s": -1.0}, "negative"),
        (Condition("changed_to", 1.0), {"for_s": 1.0}, "has no duration"),
        (Condition("equals", True), {}, "cannot be true"),
        (Condition("above", "hot"), {}, "cannot be true"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_the_start(
    condition: Condition, extra: dict[str, Any], words: str
) -> None:
    """A rule that can never fire stops the start with its name, instead of being silent for ever."""
    broken = site([DEVICE], [rule([TEMP], condition, **extra)])
    with pytest.raises(ValueError, match=f"rule r: .*{words}"):
        Engine(broken, counters=Counters(), policy=NoticePolicy(broken))


def test_a_rule_on_a_point_that_does_not_exist_is_refused() -> None:
    """A rule that names no point of the site is an error, not a rule without points."""
    broken = site([DEVICE], [rule(["x/y/z"], Condition("above", 1))])
    with pytest.raises(ValueError, match="there is no point x/y/z"):
        Engine(broken, counters=Counters(), policy=NoticePolicy(broken))


def with_after(player: Player, *after_s: float) -> None:
    """The rule of the site tells the duty officer at once and the family after each of these."""
    tells = (Tell("duty", ("apprise",)), *(Tell(f"family{each:g}", ("apprise",), each) for each in after_s))
    player.site = site([DEVICE], [replace(player.site.rules[0], tells=tells)])


@pytest.mark.parametrize(
    ("before", "edited_at_s", "after", "told_at_s"),
    [
        ((30.0,), 10, (60.0,), {60.0: 60.0}),
        ((60.0,), 40, (30.0,), {30.0: 40.0}),
        ((), 10, (30.0,), {30.0: 30.0}),
        ((30.0,), 40, (30.0, 60.0), {60.0: 60.0}),
        ((30.0, 60.0), 10, (60.0,), {60.0: 60.0}),
        ((30.0,), 10, (), {}),
    ],
)
def test_escalation_follows_the_rule_as_it_is_now(
    before: tuple[float, ...], edited_at_s: float, after: tuple[float, ...], told_at_s: dict[float, float]
) -> None:
    """Edited while a call waits: the next contact is called after the new time, counted from the call."""
    player = a_player(AlarmClass.SOS, settle_s=0.0)
    with_after(player, *before)
    player.restart(0)
    player.read(0, TEMP, 70.0)
    player.step(edited_at_s - 0.5)
    with_after(player, *after)
    player.restart(edited_at_s)
    told = len(player.steps)
    player.step(190)  # 180 s is a stage of every call
    notices = {each.recipient: step.now.mono_s - 1000.0 for step in player.steps[told:] for each in step.notices}
    assert notices == {f"family{each:g}": at_s for each, at_s in told_at_s.items()}
    assert not player.timers
    player.restart(200)
    player.step(300)
    assert len(player.said) == len(set(player.said))


def test_reopened_call_is_not_mistaken_for_the_first_one_after_a_restart() -> None:
    """Taken in time, closed, pressed again: a restart escalates the second call, never the first one."""
    player = a_player(AlarmClass.SOS, settle_s=0.0, latches=True)
    with_after(player, 30.0)
    player.restart(0)
    player.read(0, TEMP, 70.0)
    player.do(5, Verb.TAKE)
    player.do(6, Verb.CLOSE, outcome="误触", cause="老人")
    player.read(7, TEMP, 20.0)
    player.read(100, TEMP, 70.0)
    for at_s in (110, 140, 150):
        player.restart(at_s)
        player.step(at_s + 5)
    assert [key.split("/")[-3] for key in player.said] == ["raised", "reopened-5", "reopened-5+30s"]
    assert player.steps[-1].notices == []
