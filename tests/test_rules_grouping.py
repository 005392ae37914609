"""Flood: one cause, one line (alarms.md, section 3). A life-safety alarm is never grouped away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import AlarmClass, AlarmCondition, Device, Verb
from gateway.rules import grouping
from tests.support_lines import Flood, built_in, community, lamp
from tests.support_rules import as_bytes, folded

LINES = [built_in("line", "b1"), built_in("line", "b2")]
LAMPS = [lamp(n, str(1 + n % 4), bus="b1" if n < 300 else "b2") for n in range(320)]
SITE = community([*LINES, *LAMPS])
ON_B1 = [each.id for each in LAMPS if each.bus_id == "b1"]
IN_1 = [each.id for each in LAMPS if each.place.building == "1"]


def a_flood() -> Flood:
    return Flood(SITE)


def test_a_line_that_is_down_gathers_its_devices() -> None:
    """The line is one alarm; each device lost after it is recorded under it, unheard and untold."""
    flood = a_flood()
    flood.lose(0, "line/b1", *ON_B1)
    (line,) = flood.open()
    assert line.device_id == "line/b1"
    assert flood.members(line) == ON_B1
    assert flood.told() == {line.id}


def test_a_line_that_is_seen_down_late_gathers_what_was_lost_before() -> None:
    """The cause may be known last: what nobody has taken goes under it then."""
    flood = a_flood()
    flood.lose(0, *ON_B1[:3])
    assert len(flood.open()) == 3
    flood.do(1, Verb.TAKE)
    flood.lose(2, "line/b1")
    assert {each.device_id for each in flood.open()} == {"line/b1", ON_B1[2]}  # the last one is in somebody's hands


def test_an_old_fault_is_not_hidden_under_a_new_cause() -> None:
    """What was broken long before the line went down has another cause."""
    flood = a_flood()
    flood.lose(0, ON_B1[0])
    flood.lose(grouping.RECENT_S + 1, "line/b1")
    assert len(flood.open()) == 2


def test_three_hundred_lost_in_five_seconds_are_at_most_ten_alarms() -> None:
    """Also where no line is to blame: by building where there are many, else as one for the site."""
    flood = a_flood()
    for n, each in enumerate(ON_B1):
        flood.lose(n / 60, each)
    assert len(flood.engine.alarms) >= 300
    assert flood.annunciated() <= 10
    assert len(flood.told()) <= 10
    assert len(flood.open()) <= 3


@pytest.mark.parametrize("buildings", [2, 4, 30])
def test_a_flood_that_goes_from_building_to_building_is_at_most_ten_alarms(buildings: int) -> None:
    """Radio gateways fall silent one after the other: 300 devices within five seconds, sorted by building."""
    flood = Flood(community([*LINES, *(lamp(n, str(1 + n * buildings // 300)) for n in range(300))]))
    for n in range(300):
        flood.lose(n / 60, list(flood.site.devices)[2 + n])
    assert len(flood.engine.alarms) >= 300
    assert flood.annunciated() <= 10
    assert len(flood.told()) <= 10
    assert len(flood.open()) <= 3
    flood.find(60, *list(flood.site.devices)[2:])
    assert not flood.engine.alarms
    flood.step(1000)
    assert not flood.timers
    assert not flood.engine._grouping._members


def test_a_building_that_goes_silent_is_one_alarm_with_its_members() -> None:
    """The fifth within five minutes makes the group, and takes the four before it along."""
    flood = a_flood()
    for n, each in enumerate(IN_1[:4]):
        flood.lose(n * 30, each)  # found lost as their reports fail to come
    assert len(flood.open()) == 4
    flood.lose(120, IN_1[4])
    (group,) = flood.open()
    assert (group.point_id, group.device_id, group.place) == ("@building:1", "", "1 栋")
    assert flood.members(group) == IN_1[:5]
    flood.lose(150, IN_1[5])
    assert flood.open() == [group]


def test_devices_lost_one_by_one_over_an_hour_are_alarms_of_their_own() -> None:
    """No common cause, no group: five within five minutes are one, five in half an hour are five."""
    flood = a_flood()
    for n, each in enumerate(IN_1[:5]):
        flood.lose(n * (grouping.TOGETHER_S + 1), each)
    assert len(flood.open()) == 5


def test_a_group_ends_with_its_last_member() -> None:
    """While one is lost the line stays; then all is over, and nothing is left in memory."""
    flood = a_flood()
    flood.lose(0, *IN_1[:6])
    flood.find(60, *IN_1[:5])
    (group,) = flood.open()
    assert group.condition is AlarmCondition.ACTIVE
    flood.find(61, IN_1[5])
    assert not flood.engine.alarms
    flood.step(1000)
    assert not flood.timers
    assert not flood.engine._grouping._members  # nothing unbounded


def test_a_group_takes_nobody_after_a_while() -> None:
    """What is lost long after the others has another cause, and is seen."""
    flood = a_flood()
    flood.lose(0, *IN_1[:6])
    flood.lose(grouping.JOIN_S + 1, IN_1[7])
    assert len(flood.open()) == 2


def test_what_does_not_come_back_with_its_line_is_shown_after_a_while() -> None:
    """Two of three hundred stay dead: after the settling time each is an alarm that people are told of."""
    flood = a_flood()
    flood.lose(0, "line/b1", *ON_B1)
    flood.find(60, "line/b1")
    flood.find(70, *ON_B1[2:])
    assert not flood.open()
    flood.step(60 + grouping.SETTLE_S + 1)
    assert {each.device_id for each in flood.open()} == set(ON_B1[:2])


def test_a_building_that_does_not_come_back_with_its_line_is_shown_as_one() -> None:
    """Members that are still lost become visible in groups, not as a second flood."""
    flood = a_flood()
    flood.lose(0, "line/b1", *ON_B1)
    flood.find(60, "line/b1")
    mine = [each for each in ON_B1 if each in IN_1]
    flood.find(70, *(each for each in ON_B1 if each not in IN_1))
    flood.step(60 + grouping.SETTLE_S + 1)
    (group,) = flood.open()
    assert group.point_id == "@building:1"
    assert flood.members(group) == mine


def test_a_line_that_is_down_again_keeps_its_members() -> None:
    """Down, up, down: those that never came back are listed under the line that is down now."""
    flood = a_flood()
    flood.lose(0, "line/b1", *ON_B1[:20])
    flood.find(10, "line/b1")
    flood.lose(20, "line/b1")
    flood.step(300)
    (line,) = flood.open()
    assert line.occurrence == 2
    assert flood.members(line) == ON_B1[:20]


def test_a_cabinet_gathers_what_hangs_on_it() -> None:
    """A device tagged cabinet at the same address is the cause of the others there."""
    made = [_renamed(lamp(1, "1", tags=("cabinet",)), "cabinet"), lamp(1, "1"), lamp(2, "1")]
    flood = Flood(community(made))
    flood.lose(0, made[0].id)
    flood.lose(1, made[1].id, made[2].id)
    assert {each.device_id for each in flood.open()} == {made[0].id, made[2].id}


def test_what_a_line_leaves_under_its_cabinet_is_shown_when_that_is_back() -> None:
    """Line, lamp and cabinet go, in this order; the line comes back, then the cabinet: the lamp that stays is heard."""
    made = [lamp(1, "1"), _renamed(lamp(1, "1", tags=("cabinet",)), "cabinet")]
    flood = Flood(community([built_in("line", "b1"), *made]))
    flood.lose(0, "line/b1", made[0].id, made[1].id)
    flood.find(10, "line/b1")
    flood.step(10 + grouping.SETTLE_S + 5)
    (cabinet,) = flood.open()
    assert (cabinet.device_id, flood.members(cabinet)) == (made[1].id, [made[0].id])
    flood.find(300, made[1].id)
    flood.step(300 + grouping.SETTLE_S + 5)
    assert [each.device_id for each in flood.open()] == [made[0].id]


def _renamed(device: Device, name: str) -> Device:
    id_ = f"{device.place.text}/{name}"
    points = tuple(replace(each, id=f"{id_}/{each.name}", device_id=id_) for each in device.points)
    return replace(device, id=id_, points=points)


def test_a_fire_is_never_grouped_away() -> None:
    """In the middle of the flood, on a line that is down, in a building that is silent: told at once, on its own."""
    flood = a_flood()
    flood.lose(0, "line/b1", *ON_B1[:150])
    step = flood.read(0.5, f"{ON_B1[7]}/lit", value=True)
    (fire,) = [each for each in step.alarms.values() if each.alarm_class is AlarmClass.FIRE]
    assert not fire.suppressed_by
    assert [each.alarm_id for each in step.notices] == [fire.id]


@pytest.mark.parametrize("cls", [each for each in AlarmClass if each not in {"fault", "maintenance"}])
def test_only_faults_are_gathered(cls: AlarmClass) -> None:
    """What asks for a person's judgement is never a mere consequence, whatever its rule says."""
    base = community([*LINES, *LAMPS])
    lost = replace(base.rules[0], alarm_class=cls, latches=False)
    flood = Flood(replace(base, rules=(lost, *base.rules[1:])))
    flood.lose(0, "line/b1", *ON_B1[:20])
    assert len(flood.open()) == 21


def test_rules_without_groups_are_left_alone() -> None:
    """Grouping is asked for by the rule."""
    flood = Flood(community([*LINES, *LAMPS], groups=()))
    flood.lose(0, "line/b1", *ON_B1[:10])
    assert len(flood.open()) == 11


@pytest.mark.parametrize("at_s", [1, 3, 8, 65, 100, 179, 200, 400])
def test_a_restart_changes_nothing(at_s: float) -> None:
    """Killed at any moment of a flood, the same alarms are shown, hidden, and listed under the same cause."""

    def play(*restarts: float) -> Flood:
        flood = a_flood()
        script = [
            (0, "lose", IN_1[:4]), (4, "lose", [IN_1[4]]), (6, "lose", IN_1[5:30]), (7, "lose", ["line/b1"]),
            (9, "lose", ON_B1[:200]), (60, "find", ["line/b1"]), (70, "find", ON_B1[:120]), (350, "find", ON_B1[:150]),
        ]  # fmt: skip
        for when, what, ids in script:
            for each in restarts:
                if each < when and flood.restarted_s < each:
                    flood.step(each)
                    flood.restart(each)
                    flood.restarted_s = each
            getattr(flood, what)(when, *ids)
        for each in restarts:
            if flood.restarted_s < each:
                flood.step(each)
                flood.restart(each)
        flood.step(800)
        return flood

    def seen(flood: Flood) -> dict[str, tuple[str, str]]:
        return {each.id: (str(each.condition), each.suppressed_by) for each in flood.engine.alarms.values()}

    assert seen(play(at_s)) == seen(play())


IDS = [*(each.id for each in LAMPS[:40]), "line/b1", "line/b2"]
MOVES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 3.0, 11.0, 130.0, 700.0]),
        st.sampled_from(["lose", "find", "restart"]),
        st.lists(st.sampled_from(IDS), min_size=1, max_size=25, unique=True),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_no_lost_device_is_ever_forgotten(moves: list[tuple[float, str, list[str]]]) -> None:
    """Whatever comes and goes, restarts included: every lost device has exactly one open alarm; each hidden one is
    under an open cause or one that has gone less than the settling time ago; the journal tells the same."""
    flood = Flood(SITE)
    lost: set[str] = set()
    at_s = 0.0
    for wait_s, what, ids in moves:
        at_s += wait_s
        if what == "restart":
            flood.restart(at_s)
        else:
            getattr(flood, what)(at_s, *ids)
            lost = lost | set(ids) if what == "lose" else lost - set(ids)
    flood.step(at_s + 0.1)
    _check(flood, lost)
    flood.step(at_s + 1000)
    _check(flood, lost)
    hidden = [each for each in flood.engine.alarms.values() if each.suppressed_by]
    assert all(each.suppressed_by in flood.engine.alarms for each in hidden)  # nothing settles for ever
    flood.find(at_s + 1001, *lost)
    flood.step(at_s + 2000)
    assert not flood.engine.alarms
    assert not flood.timers
    as_bytes(flood.steps)


def _check(flood: Flood, lost: set[str]) -> None:
    own = [each for each in flood.engine.alarms.values() if each.device_id]
    assert sorted(each.device_id for each in own) == sorted(lost)
    for each in own:
        cause = each.suppressed_by
        assert not cause or cause in flood.engine.alarms or f"group|settle|{cause}" in flood.timers
    journal = folded(flood.journal)
    for each in own:
        assert journal[each.id].suppressed_by == each.suppressed_by


def test_work_on_a_disabled_building_does_not_stop_the_gateway() -> None:
    """Its line comes back and its devices do not: disabled, they are no group, and stand silently for themselves."""
    flood = a_flood()
    flood.lose(0, "line/b1", *IN_1[:6])
    assert flood.mark(10, "disabled", "building", "1").replies[0].is_accepted
    flood.find(20, "line/b1")
    told = flood.told()
    flood.step(20 + grouping.SETTLE_S + 1)
    assert [each.device_id for each in flood.open() if each.is_out_of_service] == IN_1[:6]
    assert flood.told() == told
    flood.mark(500, "disabled", "building", "1", verb=Verb.UNMARK)
    assert len(flood.open()) == 6


@pytest.mark.parametrize("mark", ["out_of_service", "walk_test", "commissioning"])
def test_devices_that_people_work_on_make_no_group(mark: str) -> None:
    """Of none of them anybody would be told: nobody is told of all of them either."""
    flood = a_flood()
    for n, each in enumerate(IN_1[:6]):
        assert flood.mark(n, mark, "device", each, "60").replies[0].is_accepted
    flood.lose(10, *IN_1[:6])
    assert {each.device_id for each in flood.open()} == set(IN_1[:6])
    assert not flood.told()


def test_a_configuration_without_groups_shows_what_was_gathered() -> None:
    """`group` was taken out of the rules over a restart: no cause will ever let its members go, so they are shown."""
    flood = a_flood()
    flood.lose(0, "line/b1", *IN_1[:6])
    flood.site = community([*LINES, *LAMPS], groups=())
    flood.restart(10)
    flood.step(11)
    assert {each.device_id for each in flood.open()} == {"line/b1", *IN_1[:6]}


@pytest.mark.parametrize("cls", [AlarmClass.SOS, AlarmClass.GAS, AlarmClass.WARNING])
def test_an_alarm_of_a_rule_that_became_a_fault_is_not_gathered(cls: AlarmClass) -> None:
    """Raised as a call for help, it is one until it ends, whatever the configuration says since."""
    flood = a_flood()
    faults = flood.site.rules
    flood.site = replace(flood.site, rules=tuple(replace(r, alarm_class=cls) if r.id == "lost" else r for r in faults))
    flood.restart(0)
    flood.lose(1, *IN_1[:2])
    flood.site = replace(flood.site, rules=faults)
    flood.restart(10)
    flood.lose(11, "line/b1", *IN_1[2:6])
    assert {each.device_id for each in flood.open()} == {"line/b1", *IN_1[:2]}


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 50 * 365 * 86_400.0])
@pytest.mark.parametrize("later_s", [grouping.RECENT_S - 5, grouping.RECENT_S + 1])
def test_setting_the_clock_gathers_neither_more_nor_less(jump_s: float, later_s: float) -> None:
    """How old a fault is when its cause is seen is a matter of the monotonic clock."""
    flood = a_flood()
    flood.lose(0, ON_B1[0])
    flood.wall_shift_s = jump_s
    flood.lose(later_s, "line/b1")
    assert len(flood.open()) == (1 if later_s < grouping.RECENT_S else 2)
