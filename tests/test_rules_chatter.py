"""Chatter: a source that comes and goes becomes one alarm with a count (alarms.md, section 3)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import AlarmClass, AlarmCondition, Condition, Handling, Tell, Verb
from gateway.rules import chatter
from tests.support_rules import Player, as_bytes, device, folded, rule, site

TEMP = "1-1-01-0101/t/temp"
PRESS = "1-1-01-0101/t/press"
DEVICE = device("1-1-01-0101/t", "t", {"temp": "float", "press": "text"})
DUTY = (Tell("duty", ("apprise",)),)


def a_player(cls: AlarmClass = AlarmClass.FAULT, **extra: object) -> Player:
    one = rule([TEMP], Condition("above", 60), cls, tells=DUTY, **extra)
    return Player(site([DEVICE], [one]), chatter_s=chatter.WINDOW_S)


def a_button() -> Player:
    one = rule([PRESS], Condition("changed_to", value="on"), AlarmClass.SOS, latches=True, tells=DUTY)
    return Player(site([DEVICE], [one]), chatter_s=chatter.WINDOW_S)


def flicker(player: Player, times: int, *, every_s: float = 1.0, start_s: float = 0.0) -> float:
    """On and off, so many times; the instant of the last off."""
    for n in range(times):
        player.read(start_s + n * every_s, TEMP, 70.0)
        player.read(start_s + (n + 0.5) * every_s, TEMP, 20.0)
    return start_s + (times - 0.5) * every_s


def presses(player: Player, *at_s: float) -> None:
    for each in at_s:
        player.read(each, PRESS, "off")
        player.read(each + 0.1, PRESS, "on")


def test_a_flickering_source_is_one_alarm_with_a_count() -> None:
    """The second raise within the minute is the third transition: it stays, and the others only count."""
    player = a_player()
    flicker(player, 30)
    assert player.kinds() == ["raised", "returned", "raised"]
    (alarm,) = player.engine.alarms.values()
    assert alarm.is_chattering
    assert alarm.condition is AlarmCondition.ACTIVE
    assert len(player.said) == 2  # once for each alarm, never again


def test_it_returns_when_it_has_been_quiet_for_a_minute_and_says_how_often() -> None:
    """The count at the end is the true one."""
    player = a_player()
    last_s = flicker(player, 30)
    player.step(last_s + chatter.WINDOW_S - 0.01)
    assert player.engine.alarms
    player.step(last_s + chatter.WINDOW_S + 0.01)
    assert not player.engine.alarms
    alarm = list(player.alarms.values())[-1]
    assert (alarm.count, alarm.is_chattering) == (29, False)


def test_slow_changes_are_not_chatter() -> None:
    """Two transitions a minute are told each time."""
    player = a_player()
    flicker(player, 5, every_s=70.0)
    assert player.kinds() == ["raised", "returned"] * 5


def test_what_its_own_delay_absorbs_is_not_chatter() -> None:
    """A rule with an off-delay sees one alarm, not a flickering one."""
    player = a_player(clear_for_s=10.0)
    flicker(player, 20)
    (alarm,) = player.engine.alarms.values()
    assert player.kinds() == ["raised"]
    assert not alarm.is_chattering
    assert alarm.count == 1


@pytest.mark.parametrize("every_s", [0.2, 1.0, 7.0])
def test_the_rate_of_events_of_one_source_is_bounded(every_s: float) -> None:
    """However fast it flickers, six minutes of it are three events; of its count at most one state in five seconds."""
    player = a_player()
    flicker(player, int(3600 / every_s / 10), every_s=every_s)
    assert len(player.journal) == 3
    shown = [step.now.mono_s for step in player.steps if step.alarms and not step.events]
    assert shown
    assert all(b - a >= 5.0 for a, b in pairwise(shown))


def test_a_latching_fire_alarm_is_told_the_first_time() -> None:
    """A detector with a loose wire: the first raise is told at once, the flicker after it is one alarm."""
    player = a_player(AlarmClass.FIRE, latches=True)
    step = player.read(0, TEMP, 70.0)
    assert len(step.notices) == 1
    flicker(player, 20, start_s=1)
    assert len(player.engine.alarms) == 1
    assert len(player.said) <= 2
    assert len(player.journal) <= 4


def test_a_button_pressed_again_and_again_is_one_alarm() -> None:
    """A press is never lost: the first is told, the second tells again, the following ones count."""
    player = a_button()
    presses(player, *range(0, 20, 2))
    (alarm,) = player.engine.alarms.values()
    assert alarm.is_chattering
    assert player.kinds() == ["raised", "reraised", "reraised"]
    player.step(30)
    presses(player, 31)
    assert next(iter(player.engine.alarms.values())).count == 11


def test_a_press_after_a_quiet_while_is_told_again() -> None:
    """Whoever presses an hour later needs help now."""
    player = a_button()
    presses(player, 0, 1, 2, 3, 4)
    presses(player, 3600)
    assert player.kinds()[-1] == "reraised"
    assert not next(iter(player.engine.alarms.values())).is_chattering


def test_a_press_after_the_alarm_was_closed_opens_it_again() -> None:
    """A person's word about the last call does not hold for this one, chatter or not."""
    player = a_button()
    presses(player, 0, 1, 2, 3)
    player.do(4, Verb.TAKE)
    player.do(5, Verb.CLOSE, outcome="误触", cause="测试")
    presses(player, 6)
    alarm = list(player.alarms.values())[-1]
    assert (alarm.handling, alarm.is_sounding) == ("new", True)


@pytest.mark.parametrize("at_s", [1.2, 3.7, 29.4, 29.9, 60.0, 88.0])
def test_a_restart_forgets_no_chatter(at_s: float) -> None:
    """Killed at any moment, the alarm stays one alarm and returns at the same instant."""
    plain, killed = a_player(), a_player()
    for player in (plain, killed):
        for n in range(30):
            for when, value in ((n, 70.0), (n + 0.5, 20.0)):
                if player is killed and when - 0.5 <= at_s < when:
                    player.restart(at_s)
                player.read(when, TEMP, value)
        if player is killed and at_s > 29.5:
            player.step(at_s)
            player.restart(at_s)
        player.step(89.51)
    assert plain.kinds() == killed.kinds()
    assert [each.at for each in plain.journal] == [each.at for each in killed.journal]


MOVES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.3, 5.0, 29.0, 31.0, 61.0]), st.sampled_from([20.0, 70.0, None])), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(MOVES, st.sampled_from([AlarmClass.FAULT, AlarmClass.WARNING, AlarmClass.FIRE]))
def test_chatter_never_hides_the_truth(moves: list[tuple[float, float | None]], cls: AlarmClass) -> None:
    """Whatever comes (None: a restart), two minutes later alarm and point agree; the journal tells the same; no
    minute holds more than three raises and returns but for the end of a quiet minute."""
    player = a_player(cls, latches=cls is AlarmClass.FIRE)
    at_s, value = 0.0, 20.0
    for wait_s, said in moves:
        at_s += wait_s
        if said is None:
            player.restart(at_s)
        else:
            value = said
            player.read(at_s, TEMP, said)
    player.read(at_s + 0.1, TEMP, value)
    player.step(at_s + 121)
    active = [a for a in player.engine.alarms.values() if a.condition is AlarmCondition.ACTIVE]
    assert bool(active) is (value > 60)
    for alarm in folded(player.journal).values():
        assert alarm.condition is player.alarms[alarm.id].condition
    instants = [e.at.timestamp() for e in player.journal if e.kind in {"raised", "reraised", "returned"}]
    for n, first in enumerate(instants):
        assert sum(1 for each in instants[n:] if each - first < chatter.WINDOW_S) <= chatter.TRANSITIONS + 1
    assert as_bytes(player.steps)


def test_a_closed_fire_that_flickers_is_told_when_there_is_smoke_again() -> None:
    """People found nothing and closed it; what comes then is not a number more, though it still stands as active."""
    player = a_player(AlarmClass.FIRE, latches=True)
    last_s = flicker(player, 3)
    player.do(last_s + 1, Verb.TAKE)
    player.do(last_s + 2, Verb.CLOSE, outcome="误报", cause="灰尘")
    told = len(player.said)
    player.read(last_s + 10, TEMP, 70.0)
    (alarm,) = player.engine.alarms.values()
    assert (alarm.handling, alarm.is_sounding) == (Handling.NEW, True)
    assert len(player.said) == told + 1
    flicker(player, 10, start_s=last_s + 11)
    assert player.kinds()[-1] == "reraised"  # once: what follows counts
    assert player.kinds().count("reraised") == 2


def test_a_press_proves_the_arrival_also_at_a_button_that_was_pressed_in_panic() -> None:
    """The helper's press is within the minute of the caller's: it is the one that counts as a proof."""
    player = a_button()
    presses(player, 0, 5, 10)
    player.do(15, Verb.TAKE)
    presses(player, 50, 52, 54)
    (alarm,) = player.engine.alarms.values()
    assert alarm.arrived_at == player.now(50.1).utc
    assert player.kinds().count("arrived") == 1
    assert player.kinds()[-1] == "arrived"
