"""What a rule commands: which devices, which socket, until when, and never a gas valve open."""

from __future__ import annotations

import pytest

from gateway.counters import Counters
from gateway.model import Action, AlarmClass, Condition, Device, Scope, Value
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine, may_open_gas_valve
from tests.support_rules import START, Player, device, rule, site

SMOKE = "3-2-03-0301/smoke"


def sirens() -> list[Device]:
    return [
        device(f"{at}/siren", "siren", {"on": "bool", "volume": "int"}, writable=["on"], zone=zone)
        for at, zone in [
            ("3-2-03-0301", "east"),
            ("3-2-03-0302", ""),
            ("3-2-04-0401", ""),
            ("3-1-01-0101", ""),
            ("2-2-03-0301", "east"),
        ]
    ]


def targets(source: Device, others: list[Device], action: Action, point: str = "alarm") -> list[str]:
    """The points commanded when ``point`` of ``source`` raises."""
    fire = rule([f"{source.id}/{point}"], Condition("equals", True), AlarmClass.FIRE, actions=(action,))
    step = Player(site([source, *others], [fire])).read(0, f"{source.id}/{point}", True)
    return [each.point_id for each in step.commands]


@pytest.mark.parametrize(
    ("scope", "count"),
    [
        (Scope.DEVICE, 0),
        (Scope.ROOM, 1),
        (Scope.FLOOR, 2),
        (Scope.UNIT, 3),
        (Scope.BUILDING, 4),
        (Scope.ZONE, 2),
        (Scope.SITE, 5),
    ],
)
def test_scope_reaches_its_neighbours_and_no_further(scope: Scope, count: int) -> None:
    """A siren sounds where it was told to: in the room, on the floor, in the building."""
    source = device(SMOKE, "smoke", {"alarm": "bool"}, zone="east")
    found = targets(source, sirens(), Action("siren", "on", scope, True, 10.0, True))
    assert len(found) == count
    assert all(each.endswith("/siren/on") for each in found)


def test_no_zone_is_not_a_zone() -> None:
    """Devices without a zone do not form one together."""
    source = device(SMOKE, "smoke", {"alarm": "bool"})
    assert not targets(source, sirens(), Action("siren", "on", Scope.ZONE, True, 10.0, True))


def test_action_without_target_is_counted() -> None:
    """A rule that reaches nothing is seen in the metrics."""
    source = device(SMOKE, "smoke", {"alarm": "bool"})
    action = Action("siren", "volume", Scope.BUILDING, 9, 10.0, True)  # not writable
    fire = rule([f"{SMOKE}/alarm"], Condition("equals", True), AlarmClass.FIRE, actions=(action,))
    player = Player(site([source, *sirens()], [fire]))
    assert not player.read(0, f"{SMOKE}/alarm", True).commands
    assert player.counters.total("actions_without_target", rule="r") == 1


def cabinet(at: str = "3-1-B1-CP01") -> Device:
    names = [f"{name}.{n}" for n in range(1, 11) for name in ("hot", "on")]
    return device(
        f"{at}/ebike",
        "ebike-charger",
        dict.fromkeys(["smoke", *names], "bool"),
        writable=[each for each in names if each.startswith("on")],
    )


@pytest.mark.parametrize("action_kind", ["", "ebike-charger"])
def test_a_hot_socket_cuts_itself_and_smoke_cuts_all(action_kind: str) -> None:
    """Over-temperature of socket 3 cuts socket 3; smoke in the cabinet cuts all ten."""
    action = Action(action_kind, "on", Scope.DEVICE, False, 5.0, True)
    assert targets(cabinet(), [cabinet("3-1-B1-CP02")], action, "hot.3") == ["3-1-B1-CP01/ebike/on.3"]
    assert len(targets(cabinet(), [cabinet("3-1-B1-CP02")], action, "smoke")) == 10


def test_a_hot_socket_cuts_all_of_the_neighbours_when_told_to() -> None:
    """Other devices have no socket "of the same number": all of theirs are meant."""
    action = Action("ebike-charger", "on", Scope.FLOOR, False, 5.0, True)
    assert len(targets(cabinet(), [cabinet("3-1-B1-CP02")], action, "hot.3")) == 11


def test_one_socket_by_its_number() -> None:
    """An action may name one of a repeated point."""
    action = Action("", "on.7", Scope.DEVICE, False, 5.0, True)
    assert targets(cabinet(), [], action, "smoke") == ["3-1-B1-CP01/ebike/on.7"]


def test_command_says_why_by_whom_and_until_when() -> None:
    """A command has a stable id, its alarm, a deadline; raising again commands again under another id."""
    source = device(SMOKE, "smoke", {"alarm": "bool"})
    two = (
        Action("siren", "on", Scope.ROOM, True, 10.0, True),
        Action("siren", "on", Scope.BUILDING, True, 20.0, False),
    )
    fire = rule([f"{SMOKE}/alarm"], Condition("equals", True), AlarmClass.FIRE, latches=True, actions=two)
    player = Player(site([source, *sirens()], [fire]))
    first = player.read(0, f"{SMOKE}/alarm", True).commands
    assert [each.is_safety for each in first] == [True, False, False, False]
    assert first[0].id == f"r:{SMOKE}/alarm:1#1/3-2-03-0301/siren/on"
    assert first[0].because == f"r:{SMOKE}/alarm:1"
    assert (first[0].expires_at - START).total_seconds() == 10.0
    player.read(1, f"{SMOKE}/alarm", False)
    again = player.read(2, f"{SMOKE}/alarm", True).commands
    assert {each.id for each in first}.isdisjoint(each.id for each in again)
    assert [each.point_id for each in again] == [each.point_id for each in first]


@pytest.mark.parametrize(
    ("kind", "point", "value", "may_open"),
    [
        ("gas-valve", "open", True, True),
        ("gas-valve", "open", 1, True),
        ("gas-valve", "open.2", True, True),
        ("gas-valve", "open", "false", True),
        ("gas-valve", "closed", False, True),
        ("gas-valve", "position", 0, True),
        ("gas-valve", "closed", True, False),
        ("gas-valve", "open", False, False),
        ("gas-valve", "open", 0, False),
        ("door", "open", True, False),
    ],
)
@pytest.mark.parametrize("by_kind", [True, False])
def test_no_rule_can_open_a_gas_valve(kind: str, point: str, value: Value, may_open: bool, by_kind: bool) -> None:
    """A gas valve is closed by software and opened by a hand, whatever a rule says."""
    assert may_open_gas_valve(kind, point, value) is may_open
    valve = device("1-1-01-0101/valve", kind, {"leak": "bool", point: "bool"}, writable=[point])
    action = Action(kind if by_kind else "", point, Scope.ROOM, value, 10.0, True)
    one = rule(["1-1-01-0101/valve/leak"], Condition("equals", True), AlarmClass.GAS, actions=(action,))
    place = site([valve], [one])
    if may_open:
        with pytest.raises(ValueError, match="never opened"):
            Engine(place, counters=Counters(), policy=NoticePolicy(place))
    else:
        assert Player(place).read(0, "1-1-01-0101/valve/leak", True).commands
