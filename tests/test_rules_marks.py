"""Marks of places and points: who may set them, what they do, and the truth afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import (
    Actor,
    AlarmCondition,
    Handling,
    Mark,
    Verb,
    isa_state,
)
from gateway.rules import marks
from gateway.rules.table import MARKING, Code
from tests.support_marks import (
    HEAT,
    OTHER,
    PRESS,
    ROOM,
    SMOKE,
    SMOKE_2,
    a_player,
    hot,
    outputs,
    shelve,
)
from tests.support_rules import WANG

# Marks: who, where, how long -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", MARKING)
def test_limits_of_marks(mark: Mark) -> None:
    """A mark is refused to other roles, beyond its limit, in scopes it has not, and at places that are not there."""
    limit = MARKING[mark]
    keys = {"point": HEAT, "device": f"{ROOM}/all", "room": ROOM, "floor": "3-2-03", "unit": "3-2", "building": "3",
            "zone": "A", "site": ""}  # fmt: skip
    minutes = str(int((limit.longest_s or 600.0) / 60))
    for scope, key in keys.items():
        for role in ("duty", "supervisor", "installer", "system"):
            player = a_player()
            actor = Actor("某人", role, "console")
            (reply,) = player.mark(0, mark, scope, key, minutes, actor=actor).replies
            if role not in limit.roles:
                assert reply.code == Code.ROLE_NOT_ALLOWED
            elif scope not in limit.scopes:
                assert reply.code == Code.BAD_ARGUMENT
            else:
                assert reply.is_accepted
                other = player.mark(1, mark, scope, f"{key}9", minutes, actor=actor)
                assert other.replies[0].code == Code.UNKNOWN_TARGET
    player = a_player()
    actor = Actor("某人", limit.roles[0], "console")
    scope = limit.scopes[0]
    if limit.longest_s is not None:
        too_long = player.mark(0, mark, scope, keys[scope], str(int(minutes) + 1), actor=actor)
        assert too_long.replies[0].code == Code.TOO_LONG
        assert player.mark(1, mark, scope, keys[scope], "", actor=actor).replies[0].code == Code.MISSING_ARGUMENT
    assert player.mark(2, mark, scope, keys[scope], "5", actor=actor, reason=" ").replies[0].code == (
        Code.MISSING_ARGUMENT
    )
    assert not player.marks


def test_the_longest_marks_are_as_agreed() -> None:
    """A drill four hours, a walk test eight; only what is disabled may stay so without an end."""
    longest = {mark: limit.longest_s for mark, limit in MARKING.items()}
    assert (longest[Mark.DRILL], longest[Mark.WALK_TEST]) == (4 * 3600.0, 8 * 3600.0)
    assert [mark for mark, each in longest.items() if each is None] == [Mark.DISABLED]


def test_one_of_two_who_set_the_same_mark_wins() -> None:
    """The second reads who was first and when."""
    player = a_player()
    player.mark(0, "drill", "building", "3", "60")
    (reply,) = player.mark(1, "drill", "building", "3", "120").replies
    assert (reply.code, reply.detail["who"]) == (Code.ALREADY_MARKED, "王主管")
    assert reply.detail["until"].startswith("2025-06-01T09:00")
    assert player.mark(2, "drill", "unit", "3-1", verb=Verb.UNMARK).replies[0].code == Code.NOT_MARKED


def test_marks_cover_what_lies_in_their_place() -> None:
    """A mark of a building covers its rooms, one of a point covers nothing else, a group only what all of it has."""
    player = a_player()
    found = player.engine.marks
    assert not found
    player.mark(0, "drill", "building", "3", "60")
    player.mark(1, "walk_test", "room", ROOM, "60")
    player.mark(2, "disabled", "point", HEAT)
    assert found.of(HEAT) == {Mark.DRILL, Mark.WALK_TEST, Mark.DISABLED}
    assert found.of(SMOKE) == found.of(f"{ROOM}/all") == {Mark.DRILL, Mark.WALK_TEST}
    assert found.of(f"{ROOM}/all/online") == {Mark.DRILL, Mark.WALK_TEST}
    assert found.of(SMOKE_2) == {Mark.DRILL}
    assert found.of("@zone:A") == {Mark.DRILL}
    assert found.of(f"@room:{ROOM}") == {Mark.DRILL, Mark.WALK_TEST}
    assert found.of("@zone:B") == found.of("nowhere/x/y") == frozenset()
    assert (found.counts(f"{ROOM}/all"), found.counts(f"{OTHER}/smoke")) == (False, True)


# Marks: what they do -------------------------------------------------------------------------------------------


def test_a_disabled_point_raises_nothing_and_tells_the_truth_when_enabled() -> None:
    """停用: nothing is raised, counted; what is still true when it is enabled raises at once, once."""
    player = a_player()
    player.mark(0, "disabled", "room", ROOM)
    player.read(1, SMOKE, True)
    player.read(2, HEAT, 70.0)
    player.read(3, PRESS, True)
    assert not player.engine.alarms
    assert player.counters.total("raises_withheld", reason="disabled") == 3
    player.read(4, HEAT, 20.0)
    step = player.mark(5, "disabled", "room", ROOM, verb=Verb.UNMARK)
    assert [(each.kind, each.alarm_id) for each in step.events] == [("raised", f"fire:{SMOKE}:1")]
    assert step.notices
    assert outputs(player) == {"siren": True, "buzzer": True}


def test_what_is_disabled_after_a_restart_tells_the_truth_too() -> None:
    """The mark and the condition outlive a restart."""
    player = a_player()
    player.mark(0, "disabled", "room", ROOM)
    player.restart(1)
    player.read(2, SMOKE, True)
    assert not player.engine.alarms
    assert len(player.mark(3, "disabled", "room", ROOM, verb=Verb.UNMARK).events) == 1


def test_disabling_ends_no_alarm_and_opens_no_latch() -> None:
    """An open fire at a point that is disabled stays: silent, out of service, to be handled and reset as ever."""
    player = a_player()
    player.read(0, SMOKE, True)
    step = player.mark(1, "disabled", "point", SMOKE)
    (alarm,) = player.engine.alarms.values()
    assert [each.kind for each in step.events] == ["out_of_service"]
    assert (alarm.condition, alarm.is_latched, alarm.is_heard) == (AlarmCondition.ACTIVE, True, False)
    assert isa_state(alarm) == "OUT_OF_SERVICE"
    assert outputs(player) == {"siren": False, "buzzer": False}
    player.read(2, SMOKE, False)
    player.read(3, SMOKE, True)
    assert player.kinds()[-1] == "returned"
    step = player.mark(4, "disabled", "point", SMOKE, verb=Verb.UNMARK)
    assert [each.kind for each in step.events] == ["in_service", "reraised"]
    assert outputs(player) == {"siren": True, "buzzer": True}
    assert next(iter(player.engine.alarms.values())).is_heard


def test_out_of_service_is_recorded_but_moves_and_tells_nobody() -> None:
    """检修: recorded; no sound, notice or siren. Put back, what is still true is heard, told and acted upon."""
    player = a_player()
    player.mark(0, "out_of_service", "device", f"{ROOM}/all", "60")
    step = player.read(1, SMOKE, True)
    assert [each.kind for each in step.events] == ["raised"]
    assert not step.notices
    assert not step.commands
    step = player.step(3600)
    assert [(each.kind, each.actor.role) for each in step.events] == [("in_service", "system")]
    assert step.notices
    assert outputs(player) == {"siren": True, "buzzer": True}


@pytest.mark.parametrize(("mark", "commands"), [("drill", 2), ("walk_test", 0), ("commissioning", 2)])
def test_alarms_of_a_test_carry_its_mark(mark: str, commands: int) -> None:
    """Drill, walk test, commissioning: the alarm says so; in a walk test no siren moves."""
    player = a_player()
    player.mark(0, mark, "building", "3", "60")
    step = player.read(1, SMOKE, True)
    assert next(iter(step.alarms.values())).marks == (mark,)
    assert len(step.commands) == commands


@pytest.mark.parametrize("mark", ["drill", "walk_test", "commissioning"])
def test_smoke_that_is_still_there_after_the_test_is_for_real(mark: str) -> None:
    """Whoever had it in hand had it as a test: it is new, heard, told, and the siren goes."""
    player = a_player()
    player.mark(0, mark, "building", "3", "60")
    player.read(1, SMOKE, True)
    player.do(2, Verb.TAKE)
    step = player.step(3600)
    (alarm,) = player.engine.alarms.values()
    assert [each.kind for each in step.events] == ["unmarked", "reraised"]
    assert (alarm.handling, alarm.marks, alarm.is_heard, alarm.taken_by) == (Handling.NEW, (), True, "")
    assert [each.reason for each in step.notices] == [f"reopened-{alarm.version}"]
    assert outputs(player) == {"siren": True, "buzzer": True}


def test_what_returned_in_the_test_stays_a_test_until_it_comes_again() -> None:
    """The record of a walk test stays marked; smoke at the same detector afterwards is for real."""
    player = a_player()
    player.mark(0, "walk_test", "building", "3", "60")
    player.read(1, SMOKE, True)
    player.read(2, SMOKE, False)
    assert not player.step(3600).events
    step = player.read(3700, SMOKE, True)
    assert [each.kind for each in step.events] == ["unmarked", "reraised"]
    assert step.notices
    assert len(step.commands) == 2


def test_an_alarm_that_was_there_before_the_drill_is_no_drill() -> None:
    """A drill makes nothing harmless that was open before, nor what comes again of it."""
    player = a_player()
    player.read(0, SMOKE, True)
    step = player.mark(1, "drill", "site", "", "60")
    assert not step.events
    player.read(2, SMOKE, False)
    player.read(3, SMOKE, True)
    assert next(iter(player.engine.alarms.values())).marks == ()


def test_a_press_in_a_drill_stays_a_drill() -> None:
    """A button has no lasting state: its press was in the drill, and the end of the drill does not make it a call."""
    player = a_player()
    player.mark(0, "drill", "site", "", "60")
    player.read(1, PRESS, True)
    assert not player.step(3600).events
    assert next(iter(player.engine.alarms.values())).marks == ("drill",)


def test_a_drill_that_ends_frees_the_siren_for_the_real_alarm_only() -> None:
    """An alarm in a walk test holds no output on: the reset of a real one beside it silences the siren."""
    player = a_player()
    player.read(0, SMOKE, True)
    player.mark(1, "walk_test", "room", ROOM, "60")
    player.read(2, PRESS, True)
    player.do(3, Verb.TAKE, rule_id="fire")
    player.do(4, Verb.CLOSE, rule_id="fire", outcome="误报", cause="油烟")
    player.read(5, SMOKE, False)
    player.do(6, Verb.RESET, rule_id="fire")
    assert outputs(player)["siren"] is False


def test_marks_of_a_place_that_is_gone_cover_nothing_and_end_by_themselves() -> None:
    """After a restart with another configuration an alarm is out of service only as far as a mark still says so."""
    player = a_player()
    player.mark(0, "out_of_service", "zone", "A", "60")
    player.read(1, SMOKE, True)
    moved = {key: replace(each, place=each.place._replace(zone="B")) for key, each in player.site.devices.items()}
    player.site = replace(player.site, devices=moved)
    player.restart(2)
    player.step(3)
    assert player.kinds() == ["raised", "in_service"]
    assert len(player.said) == 1
    player.step(3600)
    assert not player.marks


def test_a_mark_whose_timer_was_lost_ends_all_the_same() -> None:
    """Only the mark was kept: it gets its timer back, so that nothing stays off for ever."""
    player = a_player()
    player.mark(0, "out_of_service", "zone", "A", "60")
    player.timers.clear()
    player.restart(600)
    player.step(601)
    assert list(player.timers) == ["mark|out_of_service|zone|A"]
    player.step(3600.5)
    assert not player.marks


def test_a_late_request_sets_no_mark() -> None:
    """A click that arrives after its deadline does nothing, as with alarms."""
    player = a_player()
    asked = player.request(Verb.MARK, next(iter(player.read(0, SMOKE, True).alarms.values())), WANG, 0.0)
    (reply,) = player.step(60, asked).replies
    assert reply.code == Code.EXPIRED


# Bounds --------------------------------------------------------------------------------------------------------


def test_there_are_only_so_many_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of marks is bounded; one more is refused and says the bound."""
    monkeypatch.setattr(marks, "MAX_MARKS", 2)
    player = a_player()
    for n, scope in enumerate(("room", "unit")):
        assert player.mark(n, "drill", scope, {"room": ROOM, "unit": "3-2"}[scope], "60").replies[0].is_accepted
    (reply,) = player.mark(3, "drill", "building", "3", "60").replies
    assert (reply.code, reply.detail["most"]) == (Code.TOO_MANY_MARKS, 2)


def test_what_is_lifted_leaves_nothing_behind() -> None:
    """Years of marks that come and go take no memory."""
    player = a_player()
    player.mark(0, "walk_test", "room", ROOM, "60")
    player.mark(1, "drill", "room", ROOM, "60")
    player.mark(2, "drill", "room", ROOM, verb=Verb.UNMARK)
    player.step(3600)
    assert not player.engine.marks
    assert not player.engine.marks._by_place
    assert not player.timers


def test_only_people_lift_marks() -> None:
    """A program that is no person (a cloud without a role) cannot switch a detector on or off."""
    player = a_player()
    player.mark(0, "disabled", "point", SMOKE)
    nobody = Actor("平台", "platform", "cloud")
    assert player.mark(1, "disabled", "point", SMOKE, verb=Verb.UNMARK, actor=nobody).replies[0].code == (
        Code.ROLE_NOT_ALLOWED
    )
    assert player.marks


def test_a_delay_that_is_running_when_a_point_is_enabled_is_waited_for() -> None:
    """Enabling does not cut short the time for which a value must last."""
    player = a_player(for_s=10.0)
    player.mark(0, "disabled", "point", HEAT)
    player.read(1, HEAT, 70.0)
    assert not player.mark(5, "disabled", "point", HEAT, verb=Verb.UNMARK).events
    player.step(12)
    assert hot(player).raised_at == player.now(11).utc


def test_a_silenced_buzzer_stays_silent_when_its_alarm_is_shown_again() -> None:
    """Un-shelving switches on only what the alarm still wants."""
    player = a_player()
    player.read(0, HEAT, 70.0)
    shelve(player, 1)
    player.do(2, Verb.SILENCE, rule_id="hot")
    step = player.do(3, Verb.UNSHELVE, rule_id="hot")
    assert not step.commands
    assert outputs(player) == {"siren": True, "buzzer": False}


@pytest.mark.parametrize("is_lifted", [True, False])
def test_after_a_restart_the_end_of_a_test_waits_for_the_point_to_report(is_lifted: bool) -> None:
    """The smoke of the test is long gone: what the journal says of it sounds no siren; the detector's word does."""
    player = a_player()
    player.mark(0, "walk_test", "room", ROOM, "60")
    player.read(1, SMOKE, True)
    player.restart(30 if is_lifted else 3700)
    if is_lifted:
        player.mark(31, "walk_test", "room", ROOM, verb=Verb.UNMARK)
    player.step(3701)
    assert player.kinds() == ["raised"]
    assert not outputs(player)
    player.read(3702, SMOKE, is_lifted)
    assert player.kinds()[1:] == (["unmarked", "reraised"] if is_lifted else ["returned"])
    assert bool(outputs(player)) is is_lifted
