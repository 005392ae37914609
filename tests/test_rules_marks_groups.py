"""Marks of devices that others are judged with: confirmed fires, coincidences, signs of life."""

from __future__ import annotations

import pytest

from gateway.model import (
    Alarm,
    AlarmClass,
    Condition,
    Scope,
    Verb,
    Watched,
)
from tests.support_rules import ZHANG, Player, device, rule, site
from tests.test_rules_confirm import CONFIRMED, A, community

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


@pytest.mark.parametrize("mark", ["disabled", "out_of_service", "walk_test"])
@pytest.mark.parametrize("is_marked_first", [True, False])
def test_a_person_confirms_a_fire_in_a_compartment_that_is_marked(mark: str, *, is_marked_first: bool) -> None:
    """Marks of devices do not take a person's word away: doors open, people are told, the alarm is no test."""
    player = Player(community())
    if is_marked_first and mark != "disabled":  # a disabled detector raises nothing to confirm
        assert player.mark(0, mark, "zone", "east", "60").replies[0].is_accepted
    player.read(1, f"{A}/alarm", True)
    if not is_marked_first or mark == "disabled":
        assert player.mark(2, mark, "zone", "east", "60").replies[0].is_accepted
    player.do(3, Verb.TAKE)
    step = player.do(4, Verb.VERIFY, real="true")
    assert "3-1-01-0100/door/release" in {each.point_id for each in step.commands}
    assert step.notices
    confirmed = player.engine.alarms[CONFIRMED]
    assert (confirmed.marks, confirmed.is_muted) == ((), False)
