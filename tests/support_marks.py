"""A room with a detector, a heat sensor and a button, for tests of what silences alarms for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.model import (
    Action,
    Actor,
    Alarm,
    AlarmClass,
    Condition,
    Reply,
    Scope,
    Tell,
    Verb,
)
from tests.support_rules import ZHANG, Player, device, rule, site

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
