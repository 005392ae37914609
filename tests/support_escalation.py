"""A flat with a call button, a smoke detector and a door reader; who is called when. For tests of escalation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.model import Action, AlarmClass, AlarmEvent, Condition, Recipient, Scope, Site, Tell
from tests.support_rules import Player, device, rule, site

HOME = "3-2-03-0301"
PRESS, SMOKE, BUZZER = f"{HOME}/sos/pressed", f"{HOME}/smoke/alarm", "desk/buzzer/on"
SMS = {"apprise": "x"}
STAGES = (
    Tell("duty", ("console", "apprise")),
    Tell("second", ("apprise",), 30.0),
    Tell("grid", ("apprise",), 30.0),
    Tell("family", ("apprise",), 60.0),
    Tell("supervisor", ("apprise",), 60.0),
    Tell("street", ("apprise",), 180.0),
)
BUZZ = Action("buzzer", "on", Scope.SITE, True, 10.0, True, "silenced")


def a_site(*, tells: tuple[Tell, ...] = STAGES, **extra: Any) -> Site:
    button = device(f"{HOME}/sos", "sos", {"pressed": "bool"}, is_event=True)
    smoke = device(f"{HOME}/smoke", "smoke", {"alarm": "bool"})
    buzzer = device("desk/buzzer", "buzzer", {"on": "bool"}, writable=["on"])
    reader = replace(device(f"{HOME}/door", "door", {"code": "text"}, is_event=True), tags=("arrival",))
    other = replace(device("3-2-03-0302/door", "door", {"code": "text"}, is_event=True), tags=("arrival",))
    hall = replace(device("3-2/door", "door", {"code": "text"}, is_event=True), tags=("arrival",))
    sos = rule(
        [PRESS], Condition("changed_to", True), AlarmClass.SOS, id="sos", latches=True, tells=tells, actions=(BUZZ,)
    )
    fire = rule(
        [SMOKE], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True, tells=tells, actions=(BUZZ,)
    )
    people = ("duty", "second", "grid", "supervisor", "street", "daughter", "son")
    recipients = {each: Recipient(each, each, SMS) for each in people}
    recipients["family"] = Recipient("family", "家属", {}, "family", ("daughter", "son"))
    found = site([button, smoke, buzzer, reader, other, hall], [replace(sos, **extra), fire])
    return replace(found, recipients=recipients)


def a_player(**extra: Any) -> Player:
    player = Player(a_site(**extra))
    player.restart(0)
    return player


def calls(player: Player) -> list[tuple[float, str]]:
    """(when, who) of every message but the first ones."""
    return [
        (round(step.now.mono_s - 1000.0, 3), each.recipient)
        for step in player.steps
        for each in step.notices
        if each.channel != "console"
    ]


def events(player: Player, kind: str) -> list[AlarmEvent]:
    return [each for each in player.journal if each.kind == kind]


EVERYBODY = [
    (0.0, "duty"),
    (30.0, "second"),
    (30.0, "grid"),
    (60.0, "daughter"),
    (60.0, "supervisor"),
    (90.0, "son"),
    (180.0, "street"),
]
