"""Outputs of a rule that is gone: what the record of commands still holds on is let go."""

from __future__ import annotations

from gateway.model import (
    Action,
    AlarmClass,
    Condition,
    Scope,
    Value,
    Verb,
)
from tests.support_rules import Player, device, rule, site


def noisy(*, until: str = "reset", number: int = 1) -> Player:
    """A fire alarm that has switched on a siren, a door and a smoke extractor, restarted without its rule."""
    source = [device(f"3-2-03-030{n}/smoke", "smoke", {"alarm": "bool"}) for n in (1, 2)]
    outputs = [
        device("3-2-01-0101/siren", "siren", {"on": "bool"}, writable=["on"]),
        device("3-2-01-0101/door", "door", {"release": "bool"}, writable=["release"]),
        device("3-2-01-0101/extractor", "extractor", {"on": "bool"}, writable=["on"]),
    ]
    acts = (
        Action("siren", "on", Scope.BUILDING, True, 10.0, True, until),
        Action("door", "release", Scope.BUILDING, True, 10.0, True),
        Action("extractor", "on", Scope.BUILDING, True, 10.0, True),
    )
    fire = rule(
        [f"{each.id}/alarm" for each in source], Condition("equals", True), AlarmClass.FIRE, id="fire", actions=acts
    )
    player = Player(site([*source, *outputs], [fire]))
    for n in range(number):
        player.read(n, f"{source[n].id}/alarm", True)
    player.site = site([*source, *outputs], [])
    return player


def on_record(player: Player) -> list[tuple[str, str]]:
    """As the journal gives it: what the last commands of open alarms have left on."""
    last = {(each.because, each.point_id): each.value for step in player.steps for each in step.commands}
    return [key for key, value in last.items() if value is True]


def close_one(player: Player, at_s: float, number: int = 0) -> list[tuple[str, Value]]:
    """Close the alarm of one detector; what is commanded."""
    alarm_id = f"fire:3-2-03-030{number + 1}/smoke/alarm:1"
    commands = []
    for verb in (Verb.TAKE, Verb.CLOSE):
        request = player.request(verb, player.alarms[alarm_id], at_s=at_s, outcome="误报", cause="油烟")
        commands += player.step(at_s, request).commands
    return [(each.point_id, each.value) for each in commands]


def test_a_siren_whose_rule_was_removed_stops_when_its_alarm_is_closed() -> None:
    """The rule is gone, the siren is not: closing the withdrawn alarm stops it, and nothing else is touched."""
    player = noisy()
    given = sum(len(each.commands) for each in player.steps)
    for _ in range(2):
        player.restart(10)
        player.engine.restore_outputs(on_record(player))
        player.step(11)
    assert sum(len(each.commands) for each in player.steps) == given
    assert close_one(player, 20) == [("3-2-01-0101/siren/on", False)]


def test_a_siren_that_another_alarm_on_record_holds_goes_on() -> None:
    """Two withdrawn alarms and one siren: it stops with the second."""
    player = noisy(number=2)
    player.restart(10)
    player.engine.restore_outputs(on_record(player))
    player.step(11)
    assert close_one(player, 20) == []
    player.restart(25)
    player.engine.restore_outputs(on_record(player)[-3:])  # the journal names open alarms only
    assert close_one(player, 30, 1) == [("3-2-01-0101/siren/on", False)]


def test_what_a_rule_still_speaks_for_is_not_judged_by_the_record() -> None:
    """A siren that its rule leaves on (no until) stays on, whatever the record says."""
    player = noisy(until="")
    fire = rule(
        ["3-2-03-0301/smoke/alarm"], Condition("equals", True), AlarmClass.FIRE, id="fire",
        actions=(Action("siren", "on", Scope.BUILDING, True, 10.0, True),),
    )  # fmt: skip
    player.site = site(list(player.site.devices.values()), [fire])
    player.restart(10)
    player.engine.restore_outputs(on_record(player))
    player.read(11, "3-2-03-0301/smoke/alarm", False)
    assert close_one(player, 20) == []
