"""Calls that nobody takes, fires that nobody verifies: who is called when, across restarts and set clocks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Tell, Verb
from gateway.rules.unverified import LONGEST_S
from tests.support_escalation import BUZZER, EVERYBODY, PRESS, SMOKE, a_player, calls, events
from tests.support_rules import START, Player, as_bytes, folded


def test_a_call_nobody_takes_goes_up_at_30_60_and_180_s() -> None:
    """Second contact and grid at 30 s, family and supervisor at 60 s, street and 120 at 180 s; late is counted."""
    player = a_player()
    player.read(0, PRESS, True)
    player.step(1000)
    assert calls(player) == EVERYBODY
    data = [each.data for each in events(player, "escalated")]
    assert [(each["stage"], each["after_s"], each["to"], each.get("call")) for each in data] == [
        (1, 30.0, ["second", "grid"], None),
        (2, 60.0, ["daughter", "supervisor"], None),
        (3, 180.0, ["street"], "120"),
    ]
    assert [player.counters.total("calls_late", within=each) for each in ("60s", "180s")] == [1, 1]
    assert next(iter(player.alarms.values())).escalated_s == 180.0
    assert not player.timers


def test_a_call_that_is_taken_calls_nobody_further() -> None:
    """Taken at 45 s: no family, no street, nothing late."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(45, Verb.TAKE)
    player.do(46, Verb.VERIFY, real="true")
    player.step(1000)
    assert calls(player) == EVERYBODY[:3]
    assert not player.counters.total("calls_late")
    assert not player.timers


@pytest.mark.parametrize("kills", [(29,), (31, 59.9, 60.1), (10, 20, 45, 75, 100, 179, 181), tuple(range(1, 200))])
def test_kill_at_any_moment_changes_neither_who_is_called_nor_when(kills: tuple[float, ...]) -> None:
    """kill -9 in between: the same people at the same second, nobody twice, and the same events."""
    player = a_player()
    player.read(0, PRESS, True)
    for at_s in kills:
        player.step(at_s)
        player.restart(at_s)
    player.step(1000)
    assert [(round(at_s), who) for at_s, who in calls(player)] == [(round(at_s), who) for at_s, who in EVERYBODY]
    assert len(events(player, "escalated")) == 3
    assert not player.timers


def test_a_stage_that_was_over_while_the_gateway_was_off_comes_at_once() -> None:
    """Off from 20 s to 100 s: what was due meanwhile is said at the start, the rest at its own time."""
    player = a_player()
    player.read(0, PRESS, True)
    player.step(20)
    player.restart(100)
    player.step(1000)
    assert calls(player) == [(0.0, "duty"), *((100.0, who) for _, who in EVERYBODY[1:6]), (180.0, "street")]


def test_a_late_stage_makes_no_other_late() -> None:
    """Every instant is counted from the press, not from the instant before it."""
    player = a_player()
    player.read(0, PRESS, True)
    player._commit(player.engine.step([], player.now(31.7)))
    player.step(1000)
    assert [at_s for at_s, _ in calls(player)] == [0.0, 31.7, 31.7, 60.0, 60.0, 90.0, 180.0]


def test_pressed_again_after_it_was_closed_begins_again() -> None:
    """A new call of the same button has its own clocks, and its own messages."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(40, Verb.TAKE)
    player.do(41, Verb.CLOSE, outcome="误触", cause="老人")
    player.read(100, PRESS, True)
    player.step(1000)
    assert [(at_s - 100, who) for at_s, who in calls(player)[3:]] == EVERYBODY
    assert len(player.said) == len(set(player.said))


@pytest.mark.parametrize("shift_s", [3600.0, -3600.0])
@pytest.mark.parametrize("kill_s", [None, 40])
def test_a_clock_that_is_set_moves_no_instant(shift_s: float, kill_s: float | None) -> None:
    """The wall clock set by an hour while a call waits, and a kill after it: the same people at the same second."""
    player = a_player()
    player.read(0, PRESS, True)
    player.step(20)
    player.wall_shift_s = shift_s
    player.step(21)
    if kill_s is not None:
        player.step(kill_s)
        player.restart(kill_s)
    player.step(1000)
    assert [(round(at_s, 3), who) for at_s, who in calls(player)] == EVERYBODY


def test_one_start_with_a_wrong_clock_spoils_no_later_one() -> None:
    """Started with the clock an hour back, then again with the right one: the instants are those of the press."""
    player = a_player()
    player.read(0, PRESS, True)
    player.wall_shift_s = -3600.0
    player.restart(10)
    player.step(11)
    player.wall_shift_s = 0.0
    player.restart(20)
    player.step(1000)
    assert calls(player) == EVERYBODY


def test_repeats_that_were_missed_do_not_come_in_a_burst() -> None:
    """Off for ten minutes, or the wall clock set on by a year: the stages come, not sixty repeats at once."""
    player = a_player(tells=(Tell("duty", ("apprise",), 0.0, 10.0), Tell("grid", ("apprise",), 60.0)))
    player.read(0, PRESS, True)
    player.step(25)
    player.wall_shift_s = 365 * 86_400.0
    player.restart(700)
    player.step(700)
    assert calls(player)[3:] == [(700.0, "duty"), (700.0, "duty"), (700.0, "grid"), (700.0, "duty")]
    player.step(731)
    assert [at_s for at_s, _ in calls(player)[7:]] == [710.0, 720.0, 730.0]


def test_a_notice_repeats_until_somebody_takes_it() -> None:
    """`every: 20s`: again and again, but not after the take; a restart neither repeats nor skips one."""
    player = a_player(tells=(Tell("duty", ("apprise",), 0.0, 20.0),))
    player.read(0, PRESS, True)
    player.step(50)
    player.restart(50)
    player.do(101, Verb.TAKE)
    player.do(102, Verb.VERIFY, real="true")
    player.step(1000)
    assert [at_s for at_s, _ in calls(player)] == [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    assert len(events(player, "escalated")) == 1  # 60 s: the stage of every call


@pytest.mark.parametrize(("point", "limit_s"), [(SMOKE, 120.0), (PRESS, 60.0)])
def test_taken_but_not_verified_sounds_again_and_calls_the_next_contact(point: str, limit_s: float) -> None:
    """Fire after 120 s, a call after 60 s: sound on, buzzer on, and those who would have been next."""
    player = a_player()
    player.read(0, point, True)
    player.do(10, Verb.TAKE)
    (alarm,) = player.engine.alarms.values()
    assert not alarm.is_sounding
    player.step(10 + limit_s - 0.1)
    assert not events(player, "unverified")
    step = player.step(10 + limit_s)
    (alarm,) = player.engine.alarms.values()
    assert alarm.is_sounding
    assert [each.kind for each in step.events or player.steps[-2].events] == ["unverified"]
    assert calls(player)[1:] == [(10 + limit_s, "second"), (10 + limit_s, "grid")]
    buzzes = [(each.point_id, each.value) for each_step in player.steps for each in each_step.commands]
    assert buzzes == [(BUZZER, True), (BUZZER, False), (BUZZER, True)]


def test_next_contact_is_the_one_after_those_who_were_called() -> None:
    """Taken after the family was called: the street is next; then the last ones once more, with growing pauses."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(70, Verb.TAKE)
    player.step(70 + 60 + 60 + 120 + 240)
    assert calls(player)[5:] == [(130.0, "street"), (190.0, "street"), (310.0, "street"), (550.0, "street")]
    assert len(player.said) == len(set(player.said))
    player.step(100_000)
    times = [each.at.timestamp() for each in events(player, "unverified")]
    assert max(later - earlier for earlier, later in pairwise(times)) == LONGEST_S


@pytest.mark.parametrize("verb", [Verb.VERIFY, Verb.CLOSE])
def test_a_word_about_what_it_is_stops_the_clock(verb: Verb) -> None:
    """Verified or closed in time: nobody else is called, also after a restart."""
    player = a_player()
    player.read(0, SMOKE, True)
    player.do(10, Verb.TAKE)
    player.do(20, verb, real="false", outcome="误报", cause="油烟")
    player.restart(30)
    player.step(1000)
    assert not events(player, "unverified")
    assert not player.timers


def test_arriving_alone_does_not_stop_the_clock() -> None:
    """An arrival is no finding: whoever is there must say what it is."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(10, Verb.TAKE)
    player.do(20, Verb.ARRIVE)
    player.step(71)
    assert [each.kind for each in player.journal][-1] == "unverified"


@pytest.mark.parametrize("kills", [(20,), (11, 40, 69), (60, 71, 100, 129)])
def test_the_clock_of_the_verification_survives_kills(kills: tuple[float, ...]) -> None:
    """Killed while it runs: it rings at its time, once, and so does the next round."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(10, Verb.TAKE)
    for at_s in kills:
        player.step(at_s)
        player.restart(at_s)
    player.step(135)
    assert [(each.at - START).total_seconds() for each in events(player, "unverified")] == [70.0, 130.0]


def test_the_clock_runs_also_for_an_alarm_of_an_older_version() -> None:
    """Taken before this clock existed: it starts from the take."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(10, Verb.TAKE)
    player.timers.clear()
    player.restart(30)
    player.step(75)
    assert [(each.at - START).total_seconds() for each in events(player, "unverified")] == [70.0]


def test_time_going_by_makes_no_click_stale() -> None:
    """Whoever presses 接警 in the instant of an escalation has taken it; what another person did still refuses."""
    player = a_player()
    player.read(0, PRESS, True)
    (seen,) = player.alarms.values()
    player.step(29.9)
    (reply,) = player.step(30.05, player.request(Verb.TAKE, seen, at_s=30.05)).replies
    assert reply.is_accepted
    (reply,) = player.step(31, player.request(Verb.NOTE, seen, at_s=31, text="x")).replies
    assert (reply.is_accepted, reply.code) == (False, "stale_version")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.05, 70.0),
            st.sampled_from(
                [
                    "kill",
                    "kill",
                    "wait",
                    "press",
                    "smoke",
                    *(str(each) for each in (Verb.TAKE, Verb.VERIFY, Verb.ARRIVE, Verb.CLOSE)),
                ]
            ),
        ),
        max_size=25,
    )
)
def test_no_order_of_kills_and_clicks_says_anything_twice_or_late(script: list[tuple[float, str]]) -> None:
    """Invariants: no key twice; what runs is kept; an untaken call has its next instant running; replay is equal."""

    def play() -> Player:
        player = a_player()
        player.read(0, PRESS, True)
        at_s = 0.0
        for pause_s, what in script:
            at_s += pause_s
            match what:
                case "kill":
                    player.step(at_s)
                    player.restart(at_s)
                    player.step(at_s)
                case "wait":
                    player.step(at_s)
                case "press" | "smoke":
                    player.read(at_s, PRESS if what == "press" else SMOKE, True)
                case _:
                    player.do(at_s, Verb(what), real="true", outcome="误触", cause="x")
            check(player)
        return player

    one = play()
    assert as_bytes(one.steps) == as_bytes(play().steps)


def check(player: Player) -> None:
    assert len(player.said) == len(set(player.said))
    assert set(player.engine._timers._running) == set(player.timers)
    assert {key: each.escalated_s for key, each in folded(player.journal).items()} == {
        key: each.escalated_s for key, each in player.alarms.items()
    }
    for alarm in player.engine.alarms.values():
        waits = [key for key in player.timers if key.split("|")[1] == alarm.id]
        if alarm.handling == "new":
            assert len(waits) == (0 if alarm.escalated_s >= 180.0 else 1)
        elif alarm.handling in {"taken", "verifying"} and alarm.verified_at is None:
            assert [key.split("|")[0] for key in waits] == ["unverified"]
        else:
            assert not waits
