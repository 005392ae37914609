"""Shelving and suppression: silent for now, never lost, and the truth afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import (
    SYSTEM,
    Actor,
    AlarmClass,
    AlarmCondition,
    Handling,
    Verb,
    isa_state,
)
from gateway.rules.table import SHELVING, Code
from tests.support_marks import (
    HEAT,
    a_player,
    hot,
    outputs,
    shelve,
)
from tests.support_rules import LI, WANG

# Shelving ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["duty", "supervisor", "installer", "system"])
@pytest.mark.parametrize("cls", AlarmClass)
def test_who_may_shelve_what_for_how_long(cls: AlarmClass, role: str) -> None:
    """Fire, gas and sos are never shelved by anybody; the others by role and up to a limit, not a minute more."""
    actor = Actor("某人", role, "console")
    longest = SHELVING[cls].get(role)
    expected = Code.TOO_LONG if longest else Code.ROLE_NOT_ALLOWED if SHELVING[cls] else Code.NOT_SHELVABLE
    player = a_player(cls)
    player.read(0, HEAT, 70.0)
    assert shelve(player, 1, "1441" if longest is None else str(int(longest / 60) + 1), actor).code == expected
    assert shelve(player, 2, "1" if longest is None else str(int(longest / 60)), actor).is_accepted == bool(longest)


def test_limits_of_shelving_are_those_of_the_standard() -> None:
    """Life safety never; security by the supervisor alone; duty staff a shift of eight hours, the supervisor a day."""
    for cls in AlarmClass:
        if cls.is_life_safety:
            assert SHELVING[cls] == {}
        elif cls is AlarmClass.SECURITY:
            assert SHELVING[cls] == {"supervisor": 86_400.0}
        else:
            assert SHELVING[cls] == {"duty": 28_800.0, "supervisor": 86_400.0}


@pytest.mark.parametrize(("shelvable_s", "code"), [(0.0, Code.NOT_SHELVABLE), (600.0, Code.TOO_LONG), (660.0, "")])
def test_a_rule_may_lower_the_limit(shelvable_s: float, code: str) -> None:
    """`shelve: never` and `shelve: 10m` hold for every role; the refusal says how long would be allowed."""
    player = a_player(shelvable_s=shelvable_s)
    player.read(0, HEAT, 70.0)
    reply = shelve(player, 1, "11", WANG)
    assert reply.code == code
    assert reply.detail.get("longest_minutes", 10) == 10


@pytest.mark.parametrize("minutes", ["0", "-5", "1.5", "1e3", "many", "", "²", "99999999"])
def test_a_length_that_is_no_number_of_minutes_is_refused(minutes: str) -> None:
    """Nobody shelves for ever by a slip of the finger."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    assert shelve(player, 1, minutes).code in {Code.BAD_ARGUMENT, Code.MISSING_ARGUMENT}
    assert not player.marks


def test_a_shelved_alarm_is_silent_and_shows_the_truth_when_its_time_is_over() -> None:
    """No sound, no notice, the buzzer stops; at the minute it is heard and told again, since nobody has taken it."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    assert shelve(player, 1).is_accepted
    assert (hot(player).is_heard, hot(player).is_sounding, isa_state(hot(player))) == (False, True, "SHELVED")
    assert outputs(player)["buzzer"] is False
    player.step(3600.9)
    assert len(player.said) == 1
    step = player.step(3601.0)
    assert [(each.kind, each.actor) for each in step.events] == [("unshelved", SYSTEM)]
    assert (hot(player).is_heard, isa_state(hot(player))) == (True, "UNACK")
    assert outputs(player)["buzzer"] is True
    assert [each.rsplit("/", 3)[1].partition("-")[0] for each in player.said] == ["raised", "shown"]
    assert not player.marks


def test_shelving_is_of_the_tag_and_outlives_the_alarm() -> None:
    """The next occurrence is born silent, until the same minute; another source of the rule is not concerned."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    shelve(player, 1)
    player.read(2, HEAT, 20.0)
    player.do(3, Verb.TAKE, rule_id="hot")
    assert not player.engine.alarms
    player.read(4, HEAT, 70.0)
    alarm = hot(player)
    assert (alarm.occurrence, alarm.is_heard, alarm.shelved_by) == (2, False, "张师傅")
    assert len(player.said) == 1
    assert outputs(player)["buzzer"] is False
    player.step(3601)
    assert hot(player).is_heard
    assert len(player.said) == 2


def test_a_shelved_alarm_changes_as_usual_and_is_not_told_after_somebody_took_it() -> None:
    """Un-shelving shows what happened meanwhile: taken, returned; nobody is disturbed for that."""
    player = a_player(latches=True)
    player.read(0, HEAT, 70.0)
    shelve(player, 1)
    player.read(2, HEAT, 20.0)
    player.do(3, Verb.TAKE, rule_id="hot")
    step = player.do(4, Verb.UNSHELVE, rule_id="hot")
    assert step.replies[0].is_accepted
    alarm = hot(player)
    assert (alarm.condition, alarm.handling, alarm.is_latched) == (AlarmCondition.RETURNED, Handling.TAKEN, True)
    assert isa_state(alarm) == "LATCHED_ACK"
    assert not step.notices
    assert not alarm.is_heard
    assert not player.marks


def test_shelving_twice_and_unshelving_nothing_are_refused() -> None:
    """A shelving cannot be prolonged without looking at the true state in between."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    assert player.do(1, Verb.UNSHELVE, rule_id="hot").replies[0].code == Code.NOT_SHELVED
    shelve(player, 2)
    assert shelve(player, 3).code == Code.ALREADY_SHELVED


def test_a_shelving_goes_on_over_a_restart() -> None:
    """Restarted half-way, it ends when it would have ended, and not a second later than that."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    shelve(player, 1)
    player.restart(1800)
    player.step(3600.5)
    assert not hot(player).is_heard
    assert len(player.said) == 1
    player.step(3601.5)
    assert hot(player).is_heard


def test_a_shelved_tag_without_alarm_can_be_freed_by_its_mark() -> None:
    """After the alarm has ended there is nothing to click on: the list of marks frees the tag."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    shelve(player, 1)
    player.read(2, HEAT, 20.0)
    player.do(3, Verb.TAKE, rule_id="hot")
    step = player.mark(4, "shelved", "alarm", f"hot:{HEAT}", verb=Verb.UNMARK, actor=LI)
    assert step.replies[0].is_accepted
    assert player.mark(5, "shelved", "alarm", f"hot:{HEAT}", "10").replies[0].code == Code.BAD_ARGUMENT
    player.read(6, HEAT, 70.0)
    assert hot(player).is_heard


def test_a_tag_that_has_become_life_safety_is_not_shelved_any_more() -> None:
    """The configuration made a warning a gas alarm over a restart: it is heard, whatever was shelved before."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    shelve(player, 1)
    player.read(2, HEAT, 20.0)
    player.do(3, Verb.TAKE, rule_id="hot")
    rules = tuple(replace(each, alarm_class=AlarmClass.GAS) if each.id == "hot" else each for each in player.site.rules)
    player.site = replace(player.site, rules=rules)
    player.restart(4)
    player.read(5, HEAT, 70.0)
    assert hot(player).is_heard


# Suppression by design -----------------------------------------------------------------------------------------


def test_a_suppressed_alarm_is_silent_and_shows_the_truth_afterwards() -> None:
    """A consequence makes no sound; when its cause is gone and it is still new, people hear of it."""
    player = a_player(AlarmClass.FAULT)
    step = player.read(0, HEAT, 70.0)
    player.engine._book.suppress(hot(player), "line-down:line/field/online:1", step)
    assert (hot(player).is_heard, isa_state(hot(player))) == (False, "SUPPRESSED_BY_DESIGN")
    before = hot(player)
    assert player.engine._book.suppress(before, "line-down:line/field/online:1", step) is before
    later = player.step(1)
    player.engine._book.unsuppress(hot(player), later)
    assert hot(player).is_heard
    assert [each.reason.partition("-")[0] for each in later.notices] == ["shown"]


def test_an_alarm_can_be_born_suppressed_and_nobody_is_told() -> None:
    """Where the cause is known at once, not even the first notice goes out."""
    player = a_player(AlarmClass.FAULT)
    player.engine._book.cause_of = lambda _watch, _step, _is_muted: "line-down:line/field/online:1"
    step = player.read(0, HEAT, 70.0)
    assert hot(player).suppressed_by == "line-down:line/field/online:1"
    assert not step.notices
    assert [each.point_id.rpartition("/")[2] for each in step.commands] == ["siren"]


@pytest.mark.parametrize("cls", [each for each in AlarmClass if each.is_life_safety])
def test_life_safety_is_never_suppressed(cls: AlarmClass) -> None:
    """A fire is nobody's consequence: not asked for at its birth, refused by a crash later."""
    player = a_player(cls)
    player.engine._book.cause_of = lambda _watch, _step, _is_muted: "line-down:line/field/online:1"
    step = player.read(0, HEAT, 70.0)
    assert hot(player).is_heard
    with pytest.raises(AssertionError, match="never grouped away"):
        player.engine._book.suppress(hot(player), "x", step)
