"""The proof that somebody has arrived; what shelving, service and drills do to those who are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.model import SYSTEM, AlarmClass, AlarmEvent, Condition, Quality, Scope, Verb, Watched
from tests.support_escalation import EVERYBODY, HOME, PRESS, SMOKE, a_player, calls, events
from tests.support_rules import START, Player, rule


def test_same_button_again_proves_the_arrival() -> None:
    """Pressed again before anybody took it: only a further call. After the take: somebody is there."""
    player = a_player()
    player.read(0, PRESS, True)
    player.read(5, PRESS, True)
    assert not events(player, "arrived")
    player.do(10, Verb.TAKE)
    player.read(200, PRESS, True)
    player.read(210, PRESS, True)
    (arrived,) = events(player, "arrived")
    assert (arrived.actor.via, arrived.data["point"]) == ("device", PRESS)
    (alarm,) = player.alarms.values()
    assert alarm.arrived_at == player.now(200).utc


@pytest.mark.parametrize("point", [PRESS, f"{HOME}/door/code"])
def test_a_clock_that_is_put_back_hides_no_arrival(point: str) -> None:
    """Our clock steps back an hour between the take and the arrival: somebody is there all the same."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(10, Verb.TAKE)
    player.wall_shift_s = -3600.0
    player.read(60, point, True if point == PRESS else "OFFICER-7")
    assert [each.data["point"] for each in events(player, "arrived")] == [point]


@pytest.mark.parametrize(
    ("point", "extra", "is_proof"),
    [
        (f"{HOME}/door/code", {}, True),
        ("3-2/door/code", {}, True),  # of no flat: the unit's
        ("3-2-03-0302/door/code", {}, False),
        (f"{HOME}/door/code", {"device_s": 5}, False),  # scanned before anybody took the call
        (f"{HOME}/door/code", {"quality": Quality.RETAINED}, False),
    ],
)
def test_a_code_scanned_at_the_door_proves_the_arrival(point: str, extra: dict[str, Any], is_proof: bool) -> None:
    """Only at that flat or its unit, only after the take, never a message of before."""
    player = a_player()
    player.read(0, PRESS, True)
    player.do(10, Verb.TAKE)
    player.read(60, point, "OFFICER-7", **extra)
    assert [each.data["point"] for each in events(player, "arrived")] == ([point] if is_proof else [])


@pytest.mark.parametrize(("door", "is_proof"), [(HOME, True), ("3-2", True), ("3-2-03-0302", False)])
def test_no_sign_of_life_is_over_when_somebody_scans_at_the_door(door: str, is_proof: bool) -> None:
    """An alarm of a flat, not of a device: its door, or its unit's, proves the arrival as well."""
    player = a_player()
    still = Condition("still", within_s=3600.0, same=Scope.ROOM, parts=(Watched((PRESS,), Condition("equals", True)),))
    quiet = rule([], still, AlarmClass.SOS, id="quiet", latches=True)
    player.site = replace(player.site, rules=(quiet,))
    player.restart(0)
    player.read(0, PRESS, False)
    player.step(3601)
    assert [each.point_id for each in player.alarms.values()] == [f"@room:{HOME}"]
    player.do(3700, Verb.TAKE)
    player.read(3750, f"{door}/door/code", "OFFICER-7")
    assert bool(events(player, "arrived")) is is_proof


def put(player: Player, at_s: float, kind: str = "noted", data: dict[str, Any] | None = None, **changes: Any) -> None:
    """The alarm as another room's event leaves it; tells its followers as the book does."""
    (alarm,) = player.engine.alarms.values()
    event = AlarmEvent(alarm.id, alarm.version + 1, kind, player.now(at_s).utc, SYSTEM, data or {"text": "x"})
    changed = replace(alarm, version=event.version, acted_version=event.version, last_event=kind, **changes)
    watch = player.engine._book.watch_of(alarm)
    assert watch is not None
    step = player.step(at_s)
    step.alarms[alarm.id] = watch.alarm = player.engine._book.alarms[alarm.id] = changed
    player.engine._tells.after(event, changed, watch.rule, step)
    player._commit(step)
    player.steps.pop()


MUTES: list[dict[str, Any]] = [{"shelved_until_at": START}, {"is_out_of_service": True}, {"marks": ("walk_test",)}]
BARE: dict[str, Any] = {"shelved_until_at": None, "is_out_of_service": False, "marks": ()}


@pytest.mark.parametrize(("mute", "kill_s"), [*((each, None) for each in MUTES), (MUTES[-1], 50)])
def test_what_is_muted_is_told_when_the_muting_ends(mute: dict[str, Any], kill_s: float | None) -> None:
    """Nobody is called while it is shelved; un-shelved and still untaken, all are, from the beginning."""
    player = a_player()
    player.read(0, PRESS, True)
    put(player, 10, **mute)
    if kill_s is not None:
        player.restart(kill_s)
        player.step(kill_s)
    player.step(400)
    assert calls(player) == EVERYBODY[:1]
    assert not player.timers
    put(player, 500, **BARE)
    player.step(2000)
    assert [(at_s - 500, who) for at_s, who in calls(player)[1:]] == EVERYBODY
    assert len(player.said) == len(set(player.said))


def test_shelved_while_taken_and_unshelved_calls_nobody() -> None:
    """Somebody has it in hand: the end of a muting is no news to them."""
    player = a_player()
    player.read(0, SMOKE, True)
    player.do(5, Verb.TAKE)
    player.do(6, Verb.VERIFY, real="true")
    put(player, 10, is_out_of_service=True)
    put(player, 20, **BARE)
    player.step(1000)
    assert calls(player) == EVERYBODY[:1]


@pytest.mark.parametrize("mark", ["drill", "walk_test"])
def test_a_test_that_becomes_real_is_told_to_all_once_from_the_beginning(mark: str) -> None:
    """Raised in a test, and again without it: now it is for real, its clocks begin again, nobody hears it twice."""
    player = a_player()
    player.read(0, PRESS, True)
    put(player, 1, marks=(mark,))
    put(player, 45, "unmarked", marks=())
    put(player, 45, "reraised", {"value": True, "sounds": True, "reopens": True})
    player.step(1000)
    assert [(at_s - 45, who) for at_s, who in calls(player)[1:]] == EVERYBODY
    assert not player.timers


def test_a_drill_counts_no_call_as_late() -> None:
    """A drill that nobody takes is no breach of the service level."""
    player = a_player()
    player.read(0, PRESS, True)
    put(player, 10, marks=("drill",))
    player.step(1000)
    assert not player.counters.total("calls_late")
