"""Shelving, suppression and marks: silent for now, never lost, and the truth afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.model import (
    SYSTEM,
    Action,
    Actor,
    Alarm,
    AlarmClass,
    AlarmCondition,
    Condition,
    Handling,
    Mark,
    Reply,
    Scope,
    Tell,
    Verb,
    Watched,
    isa_state,
)
from gateway.rules import marks
from gateway.rules.table import MARKING, SHELVING, Code
from tests.support_rules import LI, WANG, ZHANG, Player, device, rule, site

ROOM, OTHER = "3-2-03-0301", "3-1-01-0101"
SMOKE, HEAT, PRESS = f"{ROOM}/all/smoke", f"{ROOM}/all/heat", f"{ROOM}/all/press"
SMOKE_2 = f"{OTHER}/smoke/smoke"
INSTALLER = Actor("赵工", "installer", "console")
TELLS = (Tell("duty", ("console",)), Tell("duty", ("apprise",), 30.0))


def a_player(cls: AlarmClass = AlarmClass.WARNING, settle_s: float = 0.0, **extra: Any) -> Player:
    """Smoke (fire), heat (``cls``) and a button (sos) in one room, smoke in another; everything drives a siren."""
    types = {"smoke": "bool", "heat": "float", "press": "bool", "siren": "bool", "buzzer": "bool"}
    everything = device(f"{ROOM}/all", "all", types, writable=["siren", "buzzer"], zone="A")
    points = tuple(replace(each, is_event=each.name == "press") for each in everything.points)
    alone = device(f"{OTHER}/smoke", "smoke", {"smoke": "bool"}, zone="A")
    actions = (
        Action("", "siren", Scope.DEVICE, True, 10.0, True, "reset"),
        Action("", "buzzer", Scope.DEVICE, True, 10.0, False, "silenced"),
    )
    common: dict[str, Any] = {"tells": TELLS, "actions": actions}
    rules = [
        rule([SMOKE, SMOKE_2], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True, **common),
        rule([HEAT], Condition("above", 60), cls, id="hot", **(common | extra)),
        rule([PRESS], Condition("changed_to", True), AlarmClass.SOS, id="sos", latches=True, **common),
    ]
    return Player(site([replace(everything, points=points), alone], rules), settle_s=settle_s)


def shelve(player: Player, at_s: float, minutes: str = "60", actor: Actor = ZHANG, rule_id: str = "hot") -> Reply:
    alarm = [each for each in player.alarms.values() if each.rule_id == rule_id][-1]
    asked = player.request(Verb.SHELVE, alarm, actor, at_s, minutes=minutes, reason="等备件")
    (reply,) = player.step(at_s, asked).replies
    return reply


def hot(player: Player) -> Alarm:
    (alarm,) = [each for each in player.engine.alarms.values() if each.rule_id == "hot"]
    return alarm


def outputs(player: Player) -> dict[str, bool]:
    """What each output was told last."""
    return {each.point_id.rpartition("/")[2]: each.value is True for step in player.steps for each in step.commands}


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
    player.engine._book.cause_of = lambda _watch, _step: "line-down:line/field/online:1"
    step = player.read(0, HEAT, 70.0)
    assert hot(player).suppressed_by == "line-down:line/field/online:1"
    assert not step.notices
    assert [each.point_id.rpartition("/")[2] for each in step.commands] == ["siren"]


@pytest.mark.parametrize("cls", [each for each in AlarmClass if each.is_life_safety])
def test_life_safety_is_never_suppressed(cls: AlarmClass) -> None:
    """A fire is nobody's consequence: not asked for at its birth, refused by a crash later."""
    player = a_player(cls)
    player.engine._book.cause_of = lambda _watch, _step: "line-down:line/field/online:1"
    step = player.read(0, HEAT, 70.0)
    assert hot(player).is_heard
    with pytest.raises(AssertionError, match="never grouped away"):
        player.engine._book.suppress(hot(player), "x", step)


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


# Marks and conditions of several devices -----------------------------------------------------------------------


def a_zone(condition: Condition, cls: AlarmClass = AlarmClass.FIRE, *, points: tuple[str, ...] = ()) -> Player:
    """Two smoke detectors of one zone with a fire rule each, and one rule over the group."""
    devices = [device(f"3-2-03-030{n}/smoke", "smoke", {"alarm": "bool"}, zone="A") for n in (1, 2)]
    alarms = [each.points[0].id for each in devices]
    rules = [
        rule(alarms, Condition("equals", True), AlarmClass.FIRE, id="pre", latches=True),
        rule(points, condition, cls, id="group", latches=cls is AlarmClass.FIRE),
    ]
    return Player(site(devices, rules))


ONE, TWO = "3-2-03-0301/smoke/alarm", "3-2-03-0302/smoke/alarm"


def of_group(player: Player) -> list[Alarm]:
    return [each for each in player.engine.alarms.values() if each.rule_id == "group"]


@pytest.mark.parametrize("mark", ["disabled", "out_of_service", "walk_test"])
@pytest.mark.parametrize("kind", ["confirmed", "devices"])
def test_a_device_that_people_work_on_is_no_witness_until_they_are_done(mark: str, kind: str) -> None:
    """Neither a confirmed fire nor a coincidence; when the mark ends, what is still true counts at once."""
    held = (Watched((ONE, TWO), Condition("equals", True)),)
    condition = {
        "confirmed": Condition("confirmed", same=Scope.ZONE),
        "devices": Condition("devices", count=2, same=Scope.ZONE, parts=held),
    }[kind]
    player = a_zone(condition)
    player.mark(0, mark, "device", "3-2-03-0301/smoke", "60")
    player.read(1, ONE, True)
    player.read(2, TWO, True)
    assert not of_group(player)
    player.step(1000)
    assert not of_group(player)
    player.step(3600)
    (alarm,) = of_group(player)
    assert alarm.is_heard


@pytest.mark.parametrize(("scope", "key", "expected"), [("zone", "A", ("drill",)), ("room", "3-2-03-0301", ())])
def test_a_confirmed_fire_is_a_drill_only_where_all_of_it_is(scope: str, key: str, expected: tuple[str, ...]) -> None:
    """A drill in one room beside real smoke in the other confirms a fire for real."""
    player = a_zone(Condition("confirmed", same=Scope.ZONE))
    player.mark(0, "drill", scope, key, "60")
    player.read(1, ONE, True)
    player.read(2, TWO, True)
    (alarm,) = of_group(player)
    assert alarm.marks == expected


def test_nobody_expects_a_sign_of_life_of_who_is_away() -> None:
    """外出: the window stands still for the room that is away, and goes on when it is over."""
    still = Condition("still", within_s=3600.0, same=Scope.ROOM, parts=(Watched((ONE,), Condition("equals", True)),))
    player = a_zone(still, AlarmClass.SOS)
    player.read(0, ONE, False)
    player.mark(1800, "away", "room", "3-2-03-0301", "1440", actor=ZHANG)
    player.step(80_000)
    assert not of_group(player)
    player.mark(80_001, "away", "room", "3-2-03-0301", verb=Verb.UNMARK, actor=ZHANG)
    player.step(80_001 + 1790)
    assert not of_group(player)
    player.step(80_001 + 1810)
    assert len(of_group(player)) == 1


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
