"""Points set by hand: the allow-list, refusals, fires that hold the output, pulses across restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import (
    Action,
    Actor,
    AlarmClass,
    Command,
    CommandOutcome,
    CommandResult,
    Condition,
    Device,
    Handling,
    Mark,
    Offer,
    Operate,
    OperatorRequest,
    Reading,
    Scope,
    Site,
    Step,
    Value,
    Verb,
)
from tests.support_rules import LI, START, ZHANG, Player, as_bytes, device, rule, site

DOOR = "3-2-01-DOOR/door"
LOCK = f"{DOOR}/release"  # a lock that stays as it is set: only the gateway ends a pulse
UNLOCK = f"{DOOR}/unlock"
VALVE = "3-2-01-GAS/gas-valve"
PULSE_S = 5.0
INSTALLER = Actor("周工", "installer", "console")
CLOUD = Actor("平台值班", "duty", "cloud")


def operable(of: Device, **by_name: Operate) -> Device:
    return replace(of, points=tuple(replace(each, operate=by_name.get(each.name)) for each in of.points))


def a_site(*, is_pulse: bool = True) -> Site:
    """A door with a call button, a smoke detector, a gas valve; a fire releases the door, a visitor is offered it."""
    roles = ("duty", "supervisor")
    door = operable(
        device(DOOR, "door", {"call": "bool", "release": "bool", "unlock": "bool"}, writable=["release", "unlock"]),
        release=Operate(roles, (True,) if is_pulse else (True, False), PULSE_S if is_pulse else None),
        unlock=Operate(roles, (True,)),
    )
    door = replace(door, points=tuple(replace(each, is_event=each.name == "call") for each in door.points))
    smoke = device("3-2-03-0301/smoke", "smoke", {"alarm": "bool"})
    valve = operable(
        device(VALVE, "gas-valve", {"closed": "bool"}, writable=["closed"]), closed=Operate(roles, (True, False))
    )
    socket = operable(
        device("3-1-B1-CP01/plug", "plug", {"temp": "float", "on": "bool"}, writable=["on"]),
        on=Operate(roles, (True, False)),
    )
    offer = Offer("", "release", Scope.DEVICE, value=True, title="开门", title_en="Unlock")
    rules = [
        rule([f"{DOOR}/call"], Condition("changed_to", True), id="visitor", offers=(offer,)),
        rule(
            ["3-2-03-0301/smoke/alarm"], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True,
            actions=(Action("door", "release", Scope.BUILDING, True, 10.0, True),),
        ),
        rule(
            ["3-1-B1-CP01/plug/temp"], Condition("above", 70, 60), id="hot",
            actions=(Action("", "on", Scope.DEVICE, False, 10.0, True),),
        ),
        rule([f"{DOOR}/responding"], Condition("equals", False), AlarmClass.FAULT, id="failed"),
    ]  # fmt: skip
    return site([door, smoke, valve, socket], rules)


def asking(
    point: str, value: str = "true", at_s: float = 1.0, *, actor: Actor = ZHANG, name: str = "r1", for_s: float = 10.0
) -> OperatorRequest:
    at = START + timedelta(seconds=at_s)
    args = {"point": point, "value": value}
    return OperatorRequest(name, actor, Verb.OPERATE, "", 0, at, at + timedelta(seconds=for_s), args)


def ended(command: Command, outcome: CommandOutcome = CommandOutcome.DONE, at_s: float = 1.2) -> CommandResult:
    return CommandResult(command.id, outcome, START + timedelta(seconds=at_s))


def told(step: Step) -> list[tuple[str, Value]]:
    return [(each.point_id, each.value) for each in step.commands]


def code(step: Step) -> str:
    (reply,) = step.replies
    return reply.code


@pytest.mark.parametrize("actor", [ZHANG, CLOUD])
def test_what_is_on_the_list_is_commanded_with_a_deadline(actor: Actor) -> None:
    """The console and the cloud ask in the same way: an absolute value, by a person, until an instant."""
    player = Player(a_site())
    step = player.step(1, asking(UNLOCK, actor=actor))
    (command,), (reply,) = step.commands, step.replies
    assert (command.point_id, command.value, command.by, command.is_safety) == (UNLOCK, True, actor, False)
    assert command.expires_at == START + timedelta(seconds=6)
    assert reply.is_accepted
    assert reply.detail == {"command": command.id}


def test_nothing_goes_out_later_than_the_request_allows() -> None:
    """The deadline of the request counts where it is the earlier one; a request that comes after it does nothing."""
    player = Player(a_site())
    (command,) = player.step(1, asking(UNLOCK, for_s=2)).commands
    assert command.expires_at == START + timedelta(seconds=3)
    late = player.step(20, asking(UNLOCK, at_s=1, name="r2"))
    assert (code(late), late.commands) == ("expired", [])


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asking(UNLOCK, actor=INSTALLER), "role_not_allowed"),
        (asking(f"{DOOR}/call"), "not_operable"),
        (asking(f"{DOOR}/nosuch"), "unknown_target"),
        (asking(UNLOCK, "false"), "not_operable"),
        (asking(UNLOCK, "1"), "not_operable"),
        (asking(UNLOCK, " "), "missing_argument"),
        (asking(f"{VALVE}/closed", "false"), "never_by_software"),
    ],
)
def test_everything_else_is_refused_and_counted(request_: OperatorRequest, why: str) -> None:
    """Another role, another point, another value; and a gas valve is never opened, even by a list that says so."""
    player = Player(a_site())
    step = player.step(1, request_)
    assert (code(step), step.commands, step.timers) == (why, [], [])
    assert player.counters.counts["requests_refused", (("code", why),)] == 1


def test_a_gas_valve_may_be_closed_by_hand() -> None:
    """Closing is what software may do."""
    assert told(Player(a_site()).step(1, asking(f"{VALVE}/closed"))) == [(f"{VALVE}/closed", True)]


def test_a_visitors_alarm_is_taken_then_its_door_is_opened() -> None:
    """Who has not taken the call cannot open; who has, does, and the alarm says who opened what."""
    player = Player(a_site())
    player.read(1, f"{DOOR}/call", value=True)
    assert code(player.do(2, Verb.OPERATE, point=LOCK, value="true")) == "not_taken"
    player.do(3, Verb.TAKE)
    assert code(player.do(4, Verb.OPERATE, point=UNLOCK, value="true")) == "not_operable"  # not what the rule offers
    step = player.do(5, Verb.OPERATE, point=LOCK, value="true")
    (event,), (command,), (reply,) = step.events, step.commands, step.replies
    assert (event.kind, event.actor, event.data["point"]) == ("operated", ZHANG, LOCK)
    assert (command.because, reply.version) == (event.alarm_id, event.version)
    player.do(6, Verb.CLOSE, outcome="已开门", cause="快递")
    assert code(player.do(7, Verb.OPERATE, point=LOCK, value="true")) in {"already_closed", "already_ended"}


def test_of_two_officers_who_open_at_once_one_does() -> None:
    """Both saw the same version: the second is told who has done it."""
    player = Player(a_site())
    player.read(1, f"{DOOR}/call", value=True)
    player.do(2, Verb.TAKE)
    (alarm,) = player.engine.alarms.values()
    asked = [player.request(Verb.OPERATE, alarm, who, 3, point=LOCK, value="true") for who in (ZHANG, LI)]
    step = player.step(3, *asked)
    assert [each.code for each in step.replies] == ["", "stale_version"]
    assert len(step.commands) == 1


def test_a_door_that_a_fire_has_released_is_not_locked_by_hand() -> None:
    """As long as the fire is open, whoever asks is told which alarm holds the door; opening it once more is allowed."""
    player = Player(a_site(is_pulse=False))
    player.read(1, "3-2-03-0301/smoke/alarm", value=True)
    step = player.step(2, asking(LOCK, "false", 2))
    assert (code(step), step.commands) == ("held", [])
    assert step.replies[0].detail["alarm"] == "fire:3-2-03-0301/smoke/alarm:1"
    assert told(player.step(3, asking(LOCK, "true", 3, name="r2"))) == [(LOCK, True)]


def test_a_socket_cut_for_its_heat_is_not_switched_on_by_hand() -> None:
    """Not a life-safety alarm, but what it has cut stays cut while the cause is there."""
    player = Player(a_site())
    player.read(1, "3-1-B1-CP01/plug/temp", value=80.0)
    assert code(player.step(2, asking("3-1-B1-CP01/plug/on", "true", 2))) == "held"
    player.read(3, "3-1-B1-CP01/plug/temp", value=20.0)
    assert code(player.step(4, asking("3-1-B1-CP01/plug/on", "true", 4, name="r2"))) == ""


def test_a_pulse_ends_by_itself_after_the_door_has_obeyed() -> None:
    """Five seconds from the readback, not from the click; the end is a command of the gateway's own."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(3, ended(command, at_s=3))
    before = player.step(7.9)
    assert told(before) == []
    player.step(8.5)
    ends = [each for step in player.steps for each in step.commands if each.value is False]
    assert [(each.point_id, each.by.role) for each in ends] == [(LOCK, "system")]
    assert player.timers == {}


@pytest.mark.parametrize("killed_at_s", [1.1, 2.0, 5.0, 30.0])
def test_a_kill_in_the_middle_of_a_pulse_changes_nothing_about_its_end(killed_at_s: float) -> None:
    """Before or after the readback, shortly or for long: the door is locked again exactly once."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    if killed_at_s > 1.5:
        player.step(1.5, ended(command, at_s=1.5))
    if killed_at_s < 30:
        player.step(killed_at_s)
    player.restart(killed_at_s)
    player.step(killed_at_s + 20)
    ends = [each for step in player.steps for each in step.commands if each.value is False]
    assert [each.point_id for each in ends] == [LOCK]
    assert player.timers == {}


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_fire_in_the_middle_of_a_pulse_keeps_the_door_open(*, is_killed: bool) -> None:
    """The end of the pulse does not lock what a fire has released meanwhile, not even after kill -9."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.5, ended(command, at_s=1.5))
    player.read(3, "3-2-03-0301/smoke/alarm", value=True)
    if is_killed:
        player.restart(3.5)
    player.step(60)
    assert [told(step) for step in player.steps if step.commands] == [[(LOCK, True)], [(LOCK, True)]]
    assert player.timers.keys() & {key for key in player.timers if key.startswith("pulse")} == set()
    assert player.counters.counts["pulses_overtaken", ()] == 1


def test_a_fire_before_the_click_keeps_the_door_open() -> None:
    """A door that is released already stays so: a pulse ends only what it has begun."""
    player = Player(a_site())
    player.read(1, "3-2-03-0301/smoke/alarm", value=True)
    player.step(2, asking(LOCK, at_s=2))
    player.step(60)
    assert (LOCK, False) not in [each for step in player.steps for each in told(step)]


@pytest.mark.parametrize("fire_s", [0.5, 2.0])
def test_a_fire_that_ends_within_the_pulse_leaves_the_door_open(fire_s: float) -> None:
    """Raised before the click or after it, and reset before the pulse is over: people lock what a fire has released."""
    player = Player(a_site())
    if fire_s < 1:
        player.read(fire_s, "3-2-03-0301/smoke/alarm", value=True)
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.5, ended(command, at_s=1.5))
    if fire_s > 1:
        player.read(fire_s, "3-2-03-0301/smoke/alarm", value=True)
    player.read(3, "3-2-03-0301/smoke/alarm", value=False)
    _end(player, "fire:3-2-03-0301/smoke/alarm:1", 4)
    assert not player.engine.alarms
    player.step(60)
    assert (LOCK, False) not in [each for step in player.steps for each in told(step)]


def test_a_door_that_stood_open_is_not_locked_by_a_pulse() -> None:
    """Somebody has set it open for a removal van: opening it for a visitor does not end that."""
    player = Player(a_site())
    player.read(1, LOCK, value=True)
    player.step(2, asking(LOCK, at_s=2))
    player.step(60)
    assert (LOCK, False) not in [each for step in player.steps for each in told(step)]


def test_a_second_click_makes_the_pulse_longer() -> None:
    """The visitor is slow: opened again before the end, it is locked five seconds after the second time, once."""
    player = Player(a_site())
    (first,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(first))
    player.read(1.3, LOCK, value=True)
    (second,) = player.step(4, asking(LOCK, at_s=4, name="r2")).commands
    player.step(4.2, ended(second, at_s=4.2))
    assert told(player.step(9.1)) == []
    player.step(60)
    ends = [step.now.mono_s - 1000 for step in player.steps if (LOCK, False) in told(step)]
    assert ends == [pytest.approx(9.2)]


@pytest.mark.parametrize(
    ("outcome", "locks"),
    [(CommandOutcome.FAILED, True), (CommandOutcome.UNCONFIRMED, True), (CommandOutcome.EXPIRED, False)],
)
def test_what_may_have_been_opened_is_locked_at_once(outcome: CommandOutcome, *, locks: bool) -> None:
    """No answer is not no act; a command that never left has nothing to end."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    step = player.step(3, ended(command, outcome, 3))
    assert ((LOCK, False) in told(step)) is locks
    assert not any(key.startswith("pulse") for key in player.timers)


@pytest.mark.parametrize("outcome", [CommandOutcome.EXPIRED, CommandOutcome.REFUSED])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_second_click_that_never_leaves_does_not_leave_the_door_open(
    outcome: CommandOutcome, *, is_killed: bool
) -> None:
    """Opened, and clicked again within the five seconds while the line is busy: the door is locked all the same."""
    player = Player(a_site())
    (first,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(first))
    (second,) = player.step(4, asking(LOCK, at_s=4, name="r2")).commands
    if is_killed:
        player.restart(5)
    player.step(14, ended(second, outcome, 14))
    player.step(60)
    assert [told(step) for step in player.steps if (LOCK, False) in told(step)] == [[(LOCK, False)]]


def test_a_door_that_was_not_locked_again_in_time_is_a_fault() -> None:
    """Killed between the end of a pulse and the lock, off for an hour: nobody believes that the door is locked."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(command))
    player.step(20)
    (end,) = [each for step in player.steps for each in step.commands if each.value is False]
    player.restart(3600)
    player.step(3600, ended(end, CommandOutcome.EXPIRED, 3600))
    assert [each.rule_id for each in player.engine.alarms.values()] == ["failed"]


def test_a_lock_that_a_fire_has_overtaken_is_no_fault() -> None:
    """Its end is given up because the door must stay open: that is as it should be."""
    player = Player(a_site())
    (command,) = player.step(1, asking(LOCK)).commands
    player.step(1.2, ended(command))
    player.step(20)
    (end,) = [each for step in player.steps for each in step.commands if each.value is False]
    player.read(21, "3-2-03-0301/smoke/alarm", value=True)
    player.step(22, ended(end, CommandOutcome.EXPIRED, 22))
    assert {each.rule_id for each in player.engine.alarms.values()} == {"fire"}


def test_a_door_that_does_not_obey_a_hand_is_a_fault() -> None:
    """Nobody has to watch the result: what was commanded and not done is an alarm, and goes when it obeys."""
    player = Player(a_site())
    (command,) = player.step(1, asking(UNLOCK)).commands
    player.step(2, ended(command, CommandOutcome.UNCONFIRMED, 2))
    assert [each.rule_id for each in player.engine.alarms.values()] == ["failed"]
    (command,) = player.step(3, asking(UNLOCK, at_s=3, name="r2")).commands
    player.step(4, ended(command, at_s=4))
    assert not player.engine.alarms


def test_of_a_hand_and_a_fire_in_one_step_the_fire_wins() -> None:
    """Locking and fire arrive in one batch: the hand's command is on record as too late, so that it never follows."""
    player = Player(a_site(is_pulse=False))
    at = player.now(1).utc
    step = player.step(1, asking(LOCK, "false"), Reading("3-2-03-0301/smoke/alarm", True, at, at))
    by_hand, released = step.commands
    assert (by_hand.value, by_hand.expires_at) == (False, at)
    assert (released.value, released.is_safety) == (True, True)


def test_after_a_restart_nothing_undoes_a_fire() -> None:
    """A lock command was under way when the gateway was killed, and the fire came after it: it is not sent again."""
    player = Player(a_site(is_pulse=False))
    (command,) = player.step(1, asking(LOCK, "false")).commands
    player.read(2, "3-2-03-0301/smoke/alarm", value=True)
    player.restart(3)
    released = [each for each in player.steps[-1].commands if each.is_safety]
    assert player.engine.operating.overruled([command, *released]) == {command.id}


def test_a_walk_test_holds_nothing() -> None:
    """A detector in test moves no door, so that the door can be locked by hand."""
    player = Player(a_site(is_pulse=False))
    player.mark(0.5, Mark.WALK_TEST.value, "device", "3-2-03-0301/smoke", "30")
    player.read(1, "3-2-03-0301/smoke/alarm", value=True)
    assert code(player.step(2, asking(LOCK, "false", 2))) == ""


def test_an_alarm_offers_only_what_its_point_allows() -> None:
    """The rule offers the lock; were the point taken from the list, nothing would be offered."""
    player = Player(a_site())
    player.read(1, f"{DOOR}/call", value=True)
    (alarm,) = player.engine.alarms.values()
    assert [(offer.title, point.id) for offer, point in player.engine.operating.offers(alarm)] == [("开门", LOCK)]
    bare = a_site()
    devices = dict(bare.devices)
    devices[DOOR] = operable(devices[DOOR])
    other = Player(replace(bare, devices=devices))
    other.read(1, f"{DOOR}/call", value=True)
    assert other.engine.operating.offers(next(iter(other.engine.alarms.values()))) == []


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["operate", "done", "fail", "fire", "calm", "close", "restart", "wait"]),
        st.floats(0.1, 12.0),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(_EVENTS)
def test_a_pulse_never_outlives_its_time_and_never_locks_against_a_fire(events: list[tuple[str, float]]) -> None:
    """Whatever happens in between: while a fire is open nothing locks the door; a pulse that nothing has overtaken
    has its end; the same inputs give the same bytes.
    """
    first, second = played(events), played(events)
    assert as_bytes(first.steps) == as_bytes(second.steps)
    is_fire = False
    for step in first.steps:
        for event in step.events:
            if event.alarm_id.startswith("fire:"):
                is_fire = step.alarms[event.alarm_id].is_open
        if is_fire:
            assert not [each for each in step.commands if each.value is False and each.expires_at > step.now.utc]
    ids = [each.id for step in first.steps for each in step.commands]
    assert len(ids) == len(set(ids))
    assert not [key for key in first.timers if key.startswith("pulse")]


def played(events: list[tuple[str, float]]) -> Player:
    """One door, one fire; at the end all is quiet for a minute."""
    player, at_s, last = Player(a_site()), 1.0, None
    for number, (what, pause_s) in enumerate(events):
        at_s += pause_s
        match what:
            case "operate":
                player.step(at_s, asking(LOCK, at_s=at_s, name=f"r{number}"))
                last = next((each for each in player.steps[-1].commands if each.id.startswith("operate:")), last)
            case "done" | "fail" if last is not None:
                outcome = CommandOutcome.DONE if what == "done" else CommandOutcome.UNCONFIRMED
                player.step(at_s, ended(last, outcome, at_s))
            case "fire" | "calm":
                player.read(at_s, "3-2-03-0301/smoke/alarm", what == "fire")
            case "close":
                for alarm in [each for each in player.engine.alarms.values() if each.rule_id == "fire"]:
                    _end(player, alarm.id, at_s)
            case "restart":
                player.step(at_s)
                player.restart(at_s)
            case _:
                player.step(at_s)
    player.step(at_s + 60)
    return player


def _end(player: Player, alarm_id: str, at_s: float) -> None:
    for verb in (Verb.TAKE, Verb.CLOSE, Verb.RESET):
        alarm = player.engine.alarms.get(alarm_id)
        if alarm is not None and not (verb is Verb.TAKE and alarm.handling is not Handling.NEW):
            player.step(at_s, player.request(verb, alarm, ZHANG, at_s, outcome="误报", cause="油烟"))
