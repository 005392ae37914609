"""One hot socket is one line: a higher stage gathers the lower one, and hides nothing (alarms.md, section 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.counters import Counters
from gateway.model import AlarmClass, AlarmCondition, Condition, Handling, Site, Tell, Verb
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine
from tests.support_rules import WANG, Player, device, rule, site

PILE = "3-1-B1-CP01/ebike"
T1, T2 = f"{PILE}/temp.1", f"{PILE}/temp.2"
P1 = f"{PILE}/power.1"
DUTY = (Tell("duty", ("console",)),)


def sockets() -> Site:
    """Two sockets: 60 °C warns; 70 °C warns and latches; power stands for a rise, in between, and latches too."""
    made = device(PILE, "ebike", dict.fromkeys(["temp.1", "temp.2", "power.1", "power.2"], "float"))
    temps = [T1, T2]
    common: dict[str, Any] = {"tells": DUTY}
    rules = [
        rule(temps, Condition("above", 60), id="warm", yields_to=("heating", "hot"), **common),
        rule([P1], Condition("above", 1000), id="heating", latches=True, yields_to=("hot",), **common),
        rule(temps, Condition("above", 70, clear=55), id="hot", latches=True, **common),
    ]
    return site([made], rules)


def shown(player: Player) -> list[str]:
    """Rules of the open alarms that are lines of their own."""
    return [each.rule_id for each in player.engine.alarms.values() if not each.suppressed_by]


def told(player: Player) -> list[str]:
    return [each.alarm_id.partition(":")[0] for step in player.steps for each in step.notices]


def handle(player: Player, at_s: float, rule_id: str, *verbs: Verb) -> None:
    for verb in verbs:
        (alarm,) = [each for each in player.engine.alarms.values() if each.rule_id == rule_id]
        asked = player.request(verb, alarm, WANG, at_s, outcome="已处理", cause="触点松", minutes="60", reason="等人")
        assert player.step(at_s, asked).replies[0].is_accepted


def test_a_higher_stage_takes_the_lower_ones_place() -> None:
    """60, then 70: one line, told when it became worse; the other socket has its own."""
    player = Player(sockets())
    player.read(0, T1, 65.0)
    assert shown(player) == ["warm"]
    player.read(60, T1, 75.0)
    assert shown(player) == ["hot"]
    assert told(player) == ["warm", "hot"]
    player.read(61, T2, 65.0)
    assert shown(player) == ["hot", "warm"]


def test_a_lower_stage_after_the_higher_is_no_second_line() -> None:
    """Both at once, or the lower behind the higher: recorded under it, not told."""
    player = Player(sockets())
    player.read(0, P1, 1500.0)
    player.read(1, T1, 75.0)
    assert shown(player) == ["hot"]
    assert told(player) == ["heating", "hot"]
    under = {each.rule_id for each in player.engine.alarms.values() if each.suppressed_by == f"hot:{T1}:1"}
    assert under == {"warm", "heating"}


def test_when_it_is_over_nothing_is_left_to_clear_away() -> None:
    """Cooled, closed and reset: the lower ones end with it, the latched one by the same person's reset, on record."""
    player = Player(sockets())
    player.read(0, P1, 1500.0)
    player.read(1, T1, 75.0)
    player.read(2, P1, 0.0)
    player.read(3, T1, 20.0)
    assert {each.rule_id for each in player.engine.alarms.values()} == {"hot", "heating"}
    before = len(told(player))
    handle(player, 4, "hot", Verb.TAKE, Verb.CLOSE)
    assert shown(player) == ["hot"]
    handle(player, 5, "hot", Verb.RESET)
    assert not player.engine.alarms
    assert len(told(player)) == before
    mine = [each for each in player.journal if each.alarm_id.startswith("heating:")][-3:]
    assert [(each.kind, each.actor.name) for each in mine] == [
        ("taken", "王主管"), ("closed", "王主管"), ("reset", "王主管"),
    ]  # fmt: skip
    assert mine[1].data == {"outcome": "已处理", "cause": "触点松", "because": f"hot:{T1}:1"}


def test_what_is_still_there_after_the_higher_has_ended_is_shown() -> None:
    """Closed and reset while it is still 65 °C: the warning is a line again, heard and told."""
    found = sockets()
    warm, heating, hot = found.rules
    narrow = replace(hot, condition=Condition("above", 70))
    player = Player(replace(found, rules=(warm, heating, narrow)))
    player.read(0, T1, 65.0)
    player.read(1, T1, 75.0)
    player.read(2, T1, 65.0)
    handle(player, 3, "hot", Verb.TAKE, Verb.CLOSE)
    assert shown(player) == ["warm", "hot"]  # people have closed it, and it is still 65
    handle(player, 4, "hot", Verb.RESET)
    assert shown(player) == ["warm"]
    assert told(player) == ["warm", "hot", "warm"]


def test_what_somebody_has_in_hand_stays_with_them() -> None:
    """The warning was taken: it is not moved; 70 °C is news and a line of its own."""
    player = Player(sockets())
    player.read(0, T1, 65.0)
    handle(player, 1, "warm", Verb.TAKE)
    player.read(2, T1, 75.0)
    assert shown(player) == ["warm", "hot"]


@pytest.mark.parametrize("how", ["out_of_service", "shelved"])
def test_a_higher_stage_that_nobody_hears_hides_nothing(how: str) -> None:
    """Its alarm muted by a mark or a shelf: the lower one is heard."""
    player = Player(sockets())
    player.read(0, T1, 65.0)
    player.read(1, T1, 75.0)
    handle(player, 2, "hot", Verb.SHELVE)
    assert shown(player) == ["warm", "hot"]
    assert told(player)[-1] == "warm"
    handle(player, 3, "hot", Verb.UNSHELVE)
    assert shown(player) == ["hot"]
    if how == "out_of_service":
        player.mark(4, how, "device", PILE, "60")
        assert all(not each.is_heard for each in player.engine.alarms.values())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"yields_to": ("nothing",)}, "not there"),
        ({"yields_to": ("hot",), "alarm_class": AlarmClass.FIRE}, "never yields"),
        ({"yields_to": ("hot",), "groups": ("line",)}, "both"),
    ],
)
def test_a_rule_that_must_not_yield_is_refused(changed: dict[str, Any], words: str) -> None:
    """Unknown rules, life safety, two ways of being gathered, circles."""
    place = sockets()
    for bad in (
        replace(place, rules=(replace(place.rules[0], **changed), *place.rules[1:])),
        replace(place, rules=(*place.rules[:2], replace(place.rules[2], yields_to=("warm",)))),
    ):
        with pytest.raises(ValueError, match=f"{words}|in the end"):
            Engine(bad, counters=Counters(), policy=NoticePolicy(bad))


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("temp"), st.sampled_from([20.0, 58.0, 65.0, 75.0])),
        st.tuples(st.just("power"), st.sampled_from([0.0, 1500.0])),
        st.tuples(st.sampled_from(list(Verb)), st.sampled_from(["warm", "heating", "hot"])),
        st.tuples(st.just("restart"), st.just("")),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_nothing_is_hidden_that_nobody_hears(moves: list[tuple[str, Any]]) -> None:
    """Invariant: in any order of values, verbs and restarts a suppressed alarm is under an open one of a higher stage
    that is not muted; what is active under it is under one that people have not closed and that has not gone; nothing
    that is active ends; while 75 °C is measured some alarm of the socket is a line of its own."""
    player, temp = Player(sockets()), 20.0
    for at_s, (what, given_) in enumerate(moves):
        if what == "restart":
            player.restart(at_s)
            player.read(at_s, T1, temp)
        elif what == "temp":
            temp = given_
            player.read(at_s, T1, temp)
        elif what == "power":
            player.read(at_s, P1, given_)
        elif isinstance(what, Verb) and what.is_of_alarm:
            alarm = next((each for each in player.engine.alarms.values() if each.rule_id == given_), None)
            if alarm is not None:
                args = {"real": "true", "text": "x", "outcome": "已处理", "cause": "c", "minutes": "9", "reason": "r"}
                player.step(at_s, player.request(what, alarm, WANG, at_s, **args))
        _hold(player)
        assert temp < 70 or shown(player)


def _hold(player: Player) -> None:
    alarms = player.engine.alarms
    for each in alarms.values():
        if each.suppressed_by:
            cause = alarms[each.suppressed_by]
            assert cause.rule_id in {"hot", "heating"}
            assert not cause.is_out_of_service
            assert cause.shelved_until_at is None
            is_over = cause.handling is Handling.CLOSED and cause.condition is AlarmCondition.RETURNED
            assert not (is_over and each.condition is AlarmCondition.ACTIVE)
    assert all(each.condition is AlarmCondition.RETURNED for each in player.alarms.values() if not each.is_open)


def test_a_drill_that_was_not_cleared_away_hides_no_real_warning() -> None:
    """70 °C was shown in a drill and waits for its reset; real 60 °C at the same socket is told on its own."""
    player = Player(sockets())
    player.mark(0, "drill", "device", PILE, "30")
    player.read(1, T1, 75.0)
    player.read(2, T1, 20.0)
    drill = next(iter(player.engine.alarms.values()))
    assert drill.marks
    player.step(1900)
    player.read(2000, T1, 65.0)
    warm = next(each for each in player.engine.alarms.values() if each.rule_id == "warm")
    assert (warm.marks, warm.suppressed_by) == ((), "")
    assert "warm" in told(player)


def test_a_drill_takes_no_real_warning_along() -> None:
    """60 °C is real; 70 °C comes in a drill that began after it: both are shown, and after a restart as well."""
    player = Player(sockets())
    player.read(0, T1, 65.0)
    player.mark(1, "drill", "device", PILE, "30")
    player.read(2, T1, 75.0)
    assert shown(player) == ["warm", "hot"]
    player.restart(3)
    player.read(4, T1, 75.0)
    assert shown(player) == ["warm", "hot"]


def test_a_jump_over_both_limits_is_told_once() -> None:
    """From 20 to 75 °C in one reading: people hear of the higher stage, and the lower one is on record under it."""
    player = Player(sockets())
    player.read(0, T1, 20.0)
    player.read(1, T1, 75.0)
    assert told(player) == ["hot"]
    assert shown(player) == ["hot"]
    assert len(player.engine.alarms) == 2


@pytest.mark.parametrize("mark", ["drill", "out_of_service"])
@pytest.mark.parametrize("is_lifted", [False, True])
def test_when_a_drill_ends_the_higher_stage_alone_is_told(mark: str, is_lifted: bool) -> None:
    """60 °C and 75 °C of a drill are still there when it ends: one cause, one notice, of the higher stage."""
    player = Player(sockets())
    player.mark(0, mark, "device", PILE, "30")
    player.read(1, T1, 65.0)
    player.read(2, T1, 75.0)
    before = len(told(player))
    if is_lifted:
        player.mark(3, mark, "device", PILE, verb=Verb.UNMARK)
    else:
        player.step(1801)
    assert told(player)[before:] == ["hot"]
    assert shown(player) == ["hot"]
    assert all(not each.marks and not each.is_out_of_service for each in player.engine.alarms.values())
