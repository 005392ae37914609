"""Points set by hand: the allow-list, refusals, fires that hold the output, pulses across restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.model import (
    Actor,
    CommandOutcome,
    Mark,
    OperatorRequest,
    Reading,
    Verb,
)
from tests.support_operate import (
    CLOUD,
    DOOR,
    INSTALLER,
    LOCK,
    UNLOCK,
    VALVE,
    a_site,
    asking,
    code,
    ended,
    operable,
    told,
)
from tests.support_rules import LI, START, ZHANG, Player


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
