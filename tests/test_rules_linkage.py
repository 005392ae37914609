"""What a rule commands: which devices, which socket, until when, and never a gas valve open."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.counters import Counters
from gateway.model import (
    Action,
    AlarmClass,
    Command,
    CommandOutcome,
    CommandResult,
    Condition,
    Device,
    Reading,
    Scope,
    Value,
    Verb,
)
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine, may_open_gas_valve
from tests.support_rules import START, Player, device, now, rule, site

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


def test_safety_leaves_in_the_middle_of_the_step() -> None:
    """Safety commands are handed over when they are decided: before the alarm is written, and only they."""
    source = device(SMOKE, "smoke", {"alarm": "bool"})
    two = (
        Action("siren", "on", Scope.ROOM, True, 10.0, True),
        Action("siren", "on", Scope.BUILDING, True, 20.0, False),
    )
    player = Player(site([source, *sirens()], [rule([f"{SMOKE}/alarm"], Condition("equals", True), actions=two)]))
    seen: list[tuple[Sequence[Command], int]] = []
    fire = Reading(f"{SMOKE}/alarm", True, START, START)
    step = player.engine.step([fire], player.now(0), lambda given, _: seen.append((given, len(player.engine.alarms))))
    assert seen == [(step.commands[:1], 0)]
    assert len(step.commands) == 4
    assert len(step.events) == 1


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


@pytest.mark.parametrize(
    ("kind", "point", "value", "until", "words"),
    [
        ("gas-valve", "closed", True, "reset", "never set back"),
        ("gas-valve", "closed", True, "silenced", "never set back"),
        ("door", "release", True, "reset", "never set back"),
        ("barrier", "release", True, "reset", "never set back"),
        ("siren", "on", False, "reset", "set value: true"),
        ("siren", "on", 1, "reset", "set value: true"),
        ("siren", "on", True, "taken", "is not known"),
    ],
)
def test_what_people_must_set_back_is_never_set_back(
    kind: str, point: str, value: Value, until: str, words: str
) -> None:
    """No rule opens a gas valve or locks a door again when its alarm is silenced or reset."""
    one = device("1-1-01-0101/x", kind, {"leak": "bool", point: "bool"}, writable=[point])
    for by in (kind, ""):
        act = (Action(by, point, Scope.ROOM, value, 10.0, True, until),)
        place = site([one], [rule(["1-1-01-0101/x/leak"], Condition("equals", True), AlarmClass.GAS, actions=act)])
        with pytest.raises(ValueError, match=words):
            Engine(place, counters=Counters(), policy=NoticePolicy(place))


def two_fires() -> Player:
    """Two smoke detectors of one building with its siren."""
    source = [device(f"3-2-03-030{n}/smoke", "smoke", {"alarm": "bool"}) for n in (1, 2)]
    action = Action("siren", "on", Scope.BUILDING, True, 10.0, True, "reset")
    lost = rule(["3-2-01-0101/siren/responding"], Condition("equals", False), AlarmClass.FAULT, id="output-failed")
    fire = rule(
        [f"{each.id}/alarm" for each in source],
        Condition("equals", True),
        AlarmClass.FIRE,
        id="fire",
        latches=True,
        actions=(action,),
    )
    siren = device("3-2-01-0101/siren", "siren", {"on": "bool"}, writable=["on"])
    player = Player(site([*source, siren], [fire, lost]))
    player.restart(0)
    return player


def end(player: Player, at_s: float, room: str) -> list[tuple[str, Value, bool]]:
    """The alarm of ``room`` is over and reset; what is commanded."""
    player.read(at_s, f"{room}/smoke/alarm", False)
    (alarm_id,) = (each for each in player.engine.alarms if room in each)
    commands = []
    for verb in (Verb.TAKE, Verb.CLOSE, Verb.RESET):
        request = player.request(verb, player.alarms[alarm_id], at_s=at_s, outcome="误报", cause="油烟")
        commands += player.step(at_s, request).commands
    return [(each.id, each.value, each.is_safety) for each in commands]


@pytest.mark.parametrize("restarts", [False, True])
def test_siren_stops_with_the_last_fire_whatever_was_restarted(restarts: bool) -> None:
    """Two fires in one building: resetting one leaves the siren on, resetting the other stops it, once."""
    player = two_fires()
    for number, room in enumerate(("3-2-03-0301", "3-2-03-0302")):
        player.read(number, f"{room}/smoke/alarm", True)
    if restarts:
        player.restart(5)
    assert end(player, 100, "3-2-03-0301") == []
    if restarts:
        player.restart(101)
    off = end(player, 200, "3-2-03-0302")
    assert off == [("fire:3-2-03-0302/smoke/alarm:1#5/3-2-01-0101/siren/on", False, False)]


@pytest.mark.parametrize("first", ["reset", "fire"])
def test_reset_and_a_new_fire_in_one_batch_leave_the_siren_on(first: str) -> None:
    """The last fire is reset while another begins: nothing is commanded that could silence the siren."""
    player = two_fires()
    player.read(0, f"{SMOKE}/alarm", True)
    player.read(100, f"{SMOKE}/alarm", False)
    player.do(101, Verb.TAKE)
    player.do(102, Verb.CLOSE, outcome="误报", cause="油烟")
    (alarm,) = player.engine.alarms.values()
    at = player.now(103).utc
    both = [player.request(Verb.RESET, alarm, at_s=103), Reading("3-2-03-0302/smoke/alarm", True, at, at)]
    step = player.step(103, *(both if first == "reset" else reversed(both)))
    assert [each.kind for each in step.events if each.kind == "reset"]
    assert [each.value for each in step.commands] == [True]


@pytest.mark.parametrize("outcome", [each for each in CommandOutcome if each not in {"done", "superseded"}])
def test_output_that_does_not_obey_is_a_fault_until_it_does(outcome: CommandOutcome) -> None:
    """A siren that was not read back is seen as a fault; the next command that works ends it."""
    player = two_fires()
    (on,) = player.read(0, f"{SMOKE}/alarm", True).commands
    step = player.step(1, CommandResult(on.id, outcome, now(1).utc))
    assert [each.alarm_id for each in step.events] == ["output-failed:3-2-01-0101/siren/responding:1"]
    assert not player.step(2, CommandResult(on.id, CommandOutcome.SUPERSEDED, now(2).utc)).events
    step = player.step(3, CommandResult(on.id, CommandOutcome.DONE, now(3).utc))
    assert [each.kind for each in step.events] == ["returned"]


def test_an_output_that_was_mended_is_in_order_when_a_person_says_so() -> None:
    """Nobody commands a siren to see whether it obeys again: closing its fault ends it, and the next failure is new."""
    player = two_fires()
    (on,) = player.read(0, f"{SMOKE}/alarm", True).commands
    player.step(1, CommandResult(on.id, CommandOutcome.FAILED, now(1).utc))
    alarm_id = "output-failed:3-2-01-0101/siren/responding:1"
    for at_s, verb in ((2, Verb.TAKE), (3, Verb.CLOSE)):
        player.step(at_s, player.request(verb, player.alarms[alarm_id], at_s=at_s, outcome="已修好", cause="插头松了"))
    assert not player.alarms[alarm_id].is_open
    step = player.step(4, CommandResult(on.id, CommandOutcome.FAILED, now(4).utc))
    assert [each.alarm_id for each in step.events] == [alarm_id.replace(":1", ":2")]


@pytest.mark.parametrize(
    ("undoes", "is_safety", "locked"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_nothing_ordinary_undoes_what_a_fire_has_set(undoes: bool, is_safety: bool, locked: bool) -> None:
    """A door that a fire has released is not locked by the rule that locks it at night, as long as the fire is open;
    counted. The same value, and what is for safety itself, goes through."""
    devices = [
        device(SMOKE, "smoke", {"alarm": "bool"}),
        device("3-2-01-0101/clock", "clock", {"night": "bool"}),
        device("3-2-01-0101/door", "door", {"release": "bool"}, writable=["release"]),
    ]
    release = Action("door", "release", Scope.BUILDING, True, 10.0, True)
    lock = Action("door", "release", Scope.BUILDING, not undoes, 10.0, is_safety)
    rules = [
        rule([f"{SMOKE}/alarm"], Condition("equals", True), AlarmClass.FIRE, id="fire", actions=(release,)),
        rule(["3-2-01-0101/clock/night"], Condition("equals", True), AlarmClass.FAULT, id="night", actions=(lock,)),
    ]
    player = Player(site(devices, rules))
    player.read(0, f"{SMOKE}/alarm", True)
    night = "3-2-01-0101/clock/night"
    assert [each.value for each in player.read(1, night, True).commands] == [not undoes] * locked
    assert player.counters.total("commands_withheld", rule="night") == (not locked)
    player.read(2, night, False)
    player.read(3, f"{SMOKE}/alarm", False)
    player.do(4, Verb.TAKE, rule_id="fire")
    player.do(5, Verb.CLOSE, rule_id="fire", outcome="误报", cause="油烟")
    assert [each.value for each in player.read(6, night, True).commands] == [not undoes]


def test_a_warning_does_not_hold_what_it_has_set() -> None:
    """A hot socket was cut; while its warning waits to be taken, a rule may switch the socket on again."""
    devices = [device("3-2-01-0101/pile", "pile", {"hot": "bool", "card": "bool", "on": "bool"}, writable=["on"])]
    cut, charge = (Action("", "on", Scope.DEVICE, value, 10.0, value is False) for value in (False, True))
    hot, card = "3-2-01-0101/pile/hot", "3-2-01-0101/pile/card"
    rules = [
        rule([hot], Condition("equals", True), id="hot", actions=(cut,)),
        rule([card], Condition("equals", True), AlarmClass.FAULT, id="card", actions=(charge,)),
    ]
    player = Player(site(devices, rules))
    assert [each.value for each in player.read(0, hot, True).commands] == [False]
    assert [each.value for each in player.read(1, card, True).commands] == [True]


def test_the_fault_of_an_output_names_the_output_and_the_fire() -> None:
    """Whoever reads the fault sees which device did not obey, what became of the command, and for which alarm."""
    player = two_fires()
    (on,) = player.read(0, f"{SMOKE}/alarm", True).commands
    late = CommandResult(on.id, CommandOutcome.UNCONFIRMED, now(1).utc, detail="the device has not reported the value")
    (fault,) = player.step(1, late).events
    assert (fault.data["device"], fault.data["place"]) == ("3-2-01-0101/siren", "3-2-01-0101")
    assert fault.data["detail"] == f"{on.id}: unconfirmed the device has not reported the value"
    assert on.because in fault.data["detail"]


def test_places_and_points_may_have_a_number_sign() -> None:
    """3#楼 is an address like any other: a siren of it that does not obey is a fault."""
    devices = [
        device("3#1-2/smoke", "smoke", {"alarm": "bool"}),
        device("3#1-2/siren", "siren", {"on": "bool"}, writable=["on"]),
    ]
    act = (Action("siren", "on", Scope.BUILDING, True, 10.0, True),)
    rules = [
        rule(["3#1-2/smoke/alarm"], Condition("equals", True), AlarmClass.FIRE, actions=act),
        rule(["3#1-2/siren/responding"], Condition("equals", False), AlarmClass.FAULT, id="failed"),
    ]
    player = Player(site(devices, rules))
    (on,) = player.read(0, "3#1-2/smoke/alarm", True).commands
    assert len(player.step(1, CommandResult(on.id, CommandOutcome.FAILED, now(1).utc)).events) == 1


@pytest.mark.parametrize(
    "command_id",
    ["", "#1/", "x", "fire:a:1#1/b", f"fire:{SMOKE}/alarm:1#1/3-2-01-0101/door/on", f"gone:{SMOKE}/alarm:1#1/x/y/on"],
)
def test_results_of_other_commands_say_nothing_of_outputs(command_id: str) -> None:
    """What no safety action of a rule has commanded raises no fault, however it is written."""
    player = two_fires()
    assert not player.step(1, CommandResult(command_id, CommandOutcome.FAILED, now(1).utc)).events
