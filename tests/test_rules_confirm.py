"""Fire: from the first device to the confirmed fire and its linkage (alarms.md section 4, GB 50116 4.1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.counters import Counters
from gateway.model import (
    Action,
    AlarmClass,
    AlarmCondition,
    Command,
    Condition,
    Mark,
    Now,
    Reading,
    Rule,
    Scope,
    Site,
    Tell,
    Verb,
)
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine
from tests.support_rules import START, ZHANG, Player, device, folded, rule, site

A, B, MCP = "3-2-03-0301/smoke", "3-2-03-0302/smoke", "3-2-01-0100/call-point"
ELSEWHERE, HOMELESS = "2-1-01-0101/smoke", "5-1-01-0101/smoke"
CONFIRMED = "fire-confirmed:@zone:east:1"
OUT = "3-2-01-0100"


def community(*, extra: Sequence[Rule] = (), latches: bool = True, same: Scope = Scope.ZONE) -> Site:
    """Two detectors and a call point in one compartment, one in another, one in none; doors, sirens, a gas valve."""
    detectors = [
        device(A, "smoke", {"alarm": "bool", "heat": "bool"}, zone="east"),
        device(B, "smoke", {"alarm": "bool"}, zone="east"),
        device(MCP, "call-point", {"alarm": "bool"}, zone="east"),
        device(ELSEWHERE, "smoke", {"alarm": "bool"}, zone="west"),
        device(HOMELESS, "smoke", {"alarm": "bool"}),
    ]
    outputs = [
        device(f"{OUT}/siren", "siren", {"on": "bool"}, writable=["on"]),
        device("3-1-01-0100/door", "door", {"release": "bool"}, writable=["release"]),
        device("2-1-01-0100/door", "door", {"release": "bool"}, writable=["release"]),
    ]
    points = [f"{each.id}/{point.name}" for each in detectors for point in each.points]
    single = rule(
        points,
        Condition("equals", True),
        AlarmClass.FIRE,
        id="fire",
        latches=latches,
        tells=(Tell("duty", ("console",)),),
        actions=(Action("siren", "on", Scope.BUILDING, True, 10.0, True, "reset"),),
    )
    confirmed = rule(
        [],
        Condition("confirmed", same=same),
        AlarmClass.FIRE,
        id="fire-confirmed",
        latches=True,
        tells=(Tell("duty", ("console",)),),
        actions=(Action("door", "release", Scope.BUILDING, True, 10.0, True),),
    )
    return site([*detectors, *outputs], [single, confirmed, *extra])


def fire(player: Player, at_s: float, *devices: str, point: str = "alarm", value: bool = True) -> list[Command]:
    """Each of ``devices`` reports; the doors that are released."""
    found = []
    for each in devices:
        step = player.read(at_s, f"{each}/{point}", value)
        found += [command for command in step.commands if command.point_id.endswith("/release")]
    return found


def is_confirmed(player: Player, alarm_id: str = CONFIRMED) -> bool:
    """Is there a confirmed fire now?"""
    alarm = player.engine.alarms.get(alarm_id)
    return alarm is not None and alarm.condition is AlarmCondition.ACTIVE


def test_two_devices_of_one_compartment_confirm_and_release_its_doors() -> None:
    """The second independent device confirms: the doors of the building are released in the same step."""
    player = Player(community())
    assert fire(player, 0, A) == []
    (door,) = fire(player, 5, B)
    assert door.id == f"{CONFIRMED}#1/3-1-01-0100/door/release"
    assert (door.value, door.is_safety, door.because) == (True, True, CONFIRMED)
    alarm = player.alarms[CONFIRMED]
    assert (alarm.place, alarm.device_id, alarm.point_id, alarm.value) == ("east", "", "@zone:east", 2)
    members = [each for each in player.alarms.values() if each.rule_id == "fire"]
    assert [each.is_confirmed for each in members] == [True, True]
    assert [each.data for each in player.journal if each.kind == "confirmed"] == [
        {"by": CONFIRMED, "because": "devices"}
    ] * 2
    assert folded(player.journal)[members[0].id].is_confirmed


def test_people_are_told_at_the_first_device_and_nothing_waits_for_the_second() -> None:
    """PRE_ALARM: duty hears of the first device in its own step, with the siren of its building."""
    player = Player(community())
    step = player.read(0, f"{A}/alarm", True)
    assert [each.recipient for each in step.notices] == ["duty"]
    assert [each.point_id for each in step.commands] == [f"{OUT}/siren/on"]
    assert CONFIRMED not in player.alarms


def test_one_device_twice_never_confirms() -> None:
    """However often, and by however many points, one device reports: it is one."""
    player = Player(community())
    for at_s in range(0, 40, 2):
        fire(player, at_s, A)
        fire(player, at_s + 1, A, value=False)
        fire(player, at_s + 1, A, point="heat", value=at_s % 4 == 0)
    assert len([each for each in player.engine.alarms.values() if each.rule_id == "fire"]) == 2
    assert CONFIRMED not in player.alarms


def test_devices_of_different_compartments_do_not_confirm() -> None:
    """One device here, one there, one in no compartment: no linkage."""
    player = Player(community())
    assert fire(player, 0, A, ELSEWHERE, HOMELESS) == []
    assert all(each.rule_id == "fire" for each in player.alarms.values())


@pytest.mark.parametrize("order", [(A, MCP), (MCP, A)])
def test_detector_and_call_point_confirm(order: tuple[str, str]) -> None:
    """A manual call point confirms a detector, whichever came first; alone it is one device."""
    player = Player(community())
    assert fire(player, 0, order[0]) == []
    assert len(fire(player, 1, order[1])) == 1


@pytest.mark.parametrize(("real", "doors"), [("true", 1), ("false", 0)])
def test_a_person_confirms(real: str, doors: int) -> None:
    """确认火警: one device and a person's word do, a false alarm confirms nothing; the answer is up to date."""
    player = Player(community())
    fire(player, 0, A)
    player.do(1, Verb.TAKE)
    step = player.do(2, Verb.VERIFY, real=real)
    assert len(step.commands) == doors
    (reply,) = step.replies
    (member,) = (each for each in player.alarms.values() if each.rule_id == "fire")
    assert reply.version == member.version
    assert member.is_confirmed is (real == "true")
    assert [each.data["because"] for each in step.events if each.kind == "confirmed"] == ["person"] * doors


@pytest.mark.parametrize("latches", [True, False])
def test_a_device_that_recovered_in_between_still_counts(latches: bool) -> None:
    """Smoke that one detector lost while the next found it is one fire: its alarm is open until somebody ends it."""
    player = Player(community(latches=latches))
    fire(player, 0, A)
    fire(player, 10, A, value=False)
    assert len(fire(player, 600, B)) == 1


def test_what_a_person_found_false_counts_again_only_while_it_reports() -> None:
    """A false alarm that has recovered confirms nothing; a detector that still reports is a detector in alarm."""
    for is_over in (True, False):
        player = Player(community())
        fire(player, 0, A)
        player.do(1, Verb.TAKE)
        player.do(2, Verb.VERIFY, real="false")
        if is_over:
            fire(player, 3, A, value=False)
        assert len(fire(player, 4, B)) == (not is_over)


@pytest.mark.parametrize("mark", [Mark.DISABLED, Mark.OUT_OF_SERVICE, Mark.WALK_TEST])
@pytest.mark.parametrize("muted", [A, B])
def test_a_device_in_test_or_disabled_never_confirms(muted: str, mark: Mark) -> None:
    """Walk test, disabled, out of service: while the mark is set its device is no second witness; a third one is."""
    player = Player(community())
    player.mark(0, mark, "device", muted, "" if mark is Mark.DISABLED else "60")
    assert fire(player, 1, A, B) == []
    assert len(fire(player, 2, MCP)) == 1
    assert all(not each.is_confirmed for each in player.alarms.values() if each.device_id == muted)


def test_a_fire_that_ends_is_over_only_when_people_say_so() -> None:
    """The confirmed alarm returns when its members are reset, stays latched, and can be confirmed again."""
    player = Player(community())
    fire(player, 0, A, B)
    for at_s, one in ((10, A), (20, B)):
        fire(player, at_s, one, value=False)
        (alarm_id,) = (each.id for each in player.alarms.values() if each.device_id == one)
        for verb in (Verb.TAKE, Verb.CLOSE, Verb.RESET):
            request = player.request(verb, player.alarms[alarm_id], at_s=at_s, outcome="误报", cause="油烟")
            assert player.step(at_s, request).replies[0].is_accepted
        assert player.alarms[CONFIRMED].condition is AlarmCondition.RETURNED
    assert player.engine.alarms[CONFIRMED].is_latched
    assert [each.id for each in fire(player, 100, A, B)] == [f"{CONFIRMED}#3/3-1-01-0100/door/release"]


def handle(player: Player, at_s: float, device_id: str, *verbs: Verb) -> None:
    """What people do with the fire alarm of a device."""
    for verb in verbs:
        (alarm,) = (each for each in player.engine.alarms.values() if each.device_id == device_id)
        request = player.request(verb, alarm, at_s=at_s, outcome="误报", cause="油烟")
        assert player.step(at_s, request).replies[0].is_accepted


def test_what_was_confirmed_once_is_not_confirmed_for_ever() -> None:
    """The fire is over, one alarm is closed and not reset: its detector alone, reporting again, is one device."""
    player = Player(community())
    fire(player, 0, A, B)
    for one in (A, B):
        fire(player, 1, one, value=False)
        handle(player, 2, one, Verb.TAKE, Verb.CLOSE)
    handle(player, 3, B, Verb.RESET)
    (mine,) = (each.id for each in player.engine.alarms.values() if each.device_id == A)
    assert player.engine.alarms[mine].is_confirmed
    assert fire(player, 10, A) == []
    assert not player.engine.alarms[mine].is_confirmed


def test_a_new_device_after_people_had_closed_it_acts_again() -> None:
    """A confirmed fire that was closed and not reset does not swallow the next one: doors and people hear again."""
    player = Player(community())
    fire(player, 0, A, B)
    for verb in (Verb.TAKE, Verb.CLOSE):
        player.do(5, verb, rule_id="fire-confirmed", outcome="误报", cause="演习")
    step = player.read(10, f"{MCP}/alarm", True)
    assert [each.point_id for each in step.commands if each.because == CONFIRMED] == ["3-1-01-0100/door/release"]
    assert {each.alarm_id for each in step.notices} == {CONFIRMED, f"fire:{MCP}/alarm:1"}


def test_the_second_device_while_the_gateway_restarts_confirms() -> None:
    """The first device's alarm comes from the disk; the second reports after the start: confirmed."""
    player = Player(community())
    fire(player, 0, A)
    player.restart(5)
    assert len(fire(player, 6, B)) == 1
    player.restart(7)
    assert fire(player, 8, A, B) == []
    assert [each.kind for each in player.journal if each.alarm_id == CONFIRMED] == ["raised"]


def test_a_rule_that_is_new_after_a_restart_sees_the_fire_that_is_there() -> None:
    """Adding the rule while two detectors are in alarm confirms at the first step."""
    player = Player(community())
    whole = player.site
    player.site = replace(whole, rules=whole.rules[:1])
    player.restart(0)
    fire(player, 1, A, B)
    player.site = whole
    player.restart(2)
    player.step(3)
    assert [each.because for step in player.steps for each in step.commands].count(CONFIRMED) == 1
    assert is_confirmed(player)


def test_a_device_that_is_gone_after_a_restart_confirms_no_more() -> None:
    """Its alarm is withdrawn with it; what is left of the confirmed alarm is for people to reset."""
    player = Player(community())
    fire(player, 0, A, B)
    whole = player.site
    player.site = replace(whole, devices={key: each for key, each in whole.devices.items() if key != B})
    single = whole.rules[0]
    kept = replace(single, points=tuple(each for each in single.points if not each.startswith(B)))
    player.site = replace(player.site, rules=(kept, whole.rules[1]))
    player.restart(5)
    player.step(6)
    assert player.alarms[CONFIRMED].condition is AlarmCondition.RETURNED
    assert player.engine.alarms[CONFIRMED].is_latched


@pytest.mark.parametrize(
    ("same", "source", "released"),
    [
        (Scope.UNIT, "@unit:3-2", {"3-1-01-0100/door/release"}),
        (Scope.BUILDING, "@building:3", {"3-1-01-0100/door/release"}),
        (Scope.SITE, "@site:", {"3-1-01-0100/door/release", "2-1-01-0100/door/release"}),
    ],
)
def test_a_compartment_may_be_a_unit_a_building_or_all(same: Scope, source: str, released: set[str]) -> None:
    """Outputs are those that any device of the group reaches, each commanded once."""
    player = Player(community(same=same))
    doors = fire(player, 0, A, B)
    assert {each.point_id for each in doors} == released
    assert len(doors) == len(released)
    assert {each.because for each in doors} == {f"fire-confirmed:{source}:1"}


def test_doors_of_all_buildings_that_a_zone_touches_are_released() -> None:
    """A garage under three buildings: smoke in one corner opens the doors of all of them."""
    devices = [device(f"{n}-1-B1-000{n}/smoke", "smoke", {"alarm": "bool"}, zone="garage") for n in (1, 2, 3)]
    doors = [device(f"{n}-1-01-0100/door", "door", {"release": "bool"}, writable=["release"]) for n in (1, 2, 3, 4)]
    rules = [
        replace(community().rules[0], points=tuple(f"{each.id}/alarm" for each in devices)),
        community().rules[1],
    ]
    player = Player(site([*devices, *doors], rules))
    found = fire(player, 0, devices[0].id, devices[2].id)
    assert [each.point_id for each in found] == [f"{n}-1-01-0100/door/release" for n in (1, 2, 3)]


def test_both_devices_in_one_batch() -> None:
    """Two reports in one message are two devices; the commands leave before the events are written."""
    player = Player(community())
    seen: list[tuple[list[str], int]] = []

    def act(commands: Sequence[Command], _decided: Now) -> None:
        seen.append(([each.point_id for each in commands], len(player.engine.alarms)))

    both = [Reading(f"{each}/alarm", True, START, START) for each in (A, B)]
    player.engine.step(both, player.now(0), act)
    assert [points for points, _ in seen] == [[f"{OUT}/siren/on"]] * 2 + [["3-1-01-0100/door/release"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"condition": Condition("confirmed")},
        {"alarm_class": AlarmClass.WARNING},
        {"for_s": 5.0},
        {"only": "daytime"},
        {"unless": "quiet"},
        {"actions": (Action("door", "release", Scope.BUILDING, True, 10.0, True, "reset"),)},
        {"actions": (Action("gas-valve", "closed", Scope.BUILDING, False, 10.0, True),)},
    ],
)
def test_a_rule_that_could_not_confirm_is_refused(wrong: dict[str, object]) -> None:
    """No compartment, another class, a delay, quiet hours, doors that lock themselves: an error at the start."""
    place = community()
    bad = replace(place.rules[1], **wrong)  # type: ignore[arg-type]
    place = replace(place, rules=(place.rules[0], bad))
    with pytest.raises(ValueError, match="fire-confirmed"):
        Engine(place, counters=Counters(), policy=NoticePolicy(place))


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["on", "off", "restart", "take", "real", "false", "close", "reset"]),
        st.sampled_from([A, B, MCP, ELSEWHERE, HOMELESS]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_confirmed_is_what_the_open_alarms_say(moves: list[tuple[str, str]]) -> None:
    """Invariant: after any history of reports, verbs and restarts there is an active confirmed alarm exactly where two
    devices or a person speak for a fire, doors were released for each, and no member counts that was not marked."""
    player = Player(community())
    verbs = {"take": Verb.TAKE, "real": Verb.VERIFY, "false": Verb.VERIFY, "close": Verb.CLOSE, "reset": Verb.RESET}
    for number, (move, one) in enumerate(moves):
        if move == "restart":
            player.restart(number)
            player.step(number)
        elif move in {"on", "off"}:
            player.read(number, f"{one}/alarm", move == "on")
        else:
            alarm = next((each for each in player.engine.alarms.values() if each.device_id == one), None)
            if alarm is None:
                continue
            args = {"real": "true" if move == "real" else "false", "outcome": "误报", "cause": "测试"}
            player.step(number, player.request(verbs[move], alarm, ZHANG, number, **args))
    commands = [each for step in player.steps for each in step.commands]
    released = {each.because for each in commands if each.point_id.endswith("/release")}
    members = [each for each in player.engine.alarms.values() if each.rule_id == "fire" and _zone(each.device_id)]
    for zone in ("east", "west"):
        inside = [each for each in members if _zone(each.device_id) == zone]
        speaking = {
            each.device_id for each in inside if each.condition is AlarmCondition.ACTIVE or each.is_real is not False
        }
        expected = len(speaking) >= 2 or any(each.is_real for each in inside)
        ids = [each for each in player.engine.alarms if each.startswith(f"fire-confirmed:@zone:{zone}:")]
        assert [is_confirmed(player, each) for each in ids] == [expected] * len(ids)
        assert ids or not expected
        assert set(ids) <= released
        if expected:
            assert all(each.is_confirmed for each in inside if each.device_id in speaking)


def _zone(device_id: str) -> str:
    return {A: "east", B: "east", MCP: "east", ELSEWHERE: "west"}.get(device_id, "")
