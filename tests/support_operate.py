"""A door, a gas valve and a socket that may be set by hand, and a fire that holds them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from gateway.model import (
    Action,
    Actor,
    AlarmClass,
    Command,
    CommandOutcome,
    CommandResult,
    Condition,
    Device,
    Offer,
    Operate,
    OperatorRequest,
    Scope,
    Site,
    Step,
    Value,
    Verb,
)
from tests.support_rules import START, ZHANG, device, rule, site

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
