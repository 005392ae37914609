"""A gas valve is closed by software and opened by a hand (GB 50028 10.8.2): attacked from every side.

What counts as opening is written down here once more, apart from the code that prevents it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.app.run import Gateway
from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Action,
    AlarmClass,
    Command,
    CommandOutcome,
    CommandResult,
    Condition,
    Device,
    Mark,
    Rule,
    Scope,
    Site,
    Value,
    Verb,
)
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine
from tests.support_packs import SHIPPED, shipped
from tests.support_rules import WANG, Player, device, now, rule, site

UNIT = "3-2-01-0100"
VALVE = f"{UNIT}/valve"
SOURCES = [f"3-2-0{n}-0{n}01/smoke/alarm" for n in (1, 2, 3)]


def opens(point_id: str, value: Value) -> bool:
    """Would this open the valve, or do anything but close it? 1 is true to a device, 0 false."""
    name = point_id.rpartition("/")[2].partition(".")[0]
    closing: dict[str, Value] = {"closed": True, "open": False}
    return "/valve" in point_id and (isinstance(value, str) or name not in closing or value != closing[name])


VALUES: list[Value] = [True, False, 0, 1, 0.0, "open", "false", ""]
REACHED = [
    ("gas-valve", "closed"), ("gas-valve", "closed"), ("gas-valve", "open"), ("gas-valve", "closed.2"),
    ("gas-valve", "position"), ("door", "release"), ("siren", "on"), ("", "alarm"),
]  # fmt: skip
ACTIONS = st.builds(
    lambda reached, scope, value, is_safety, until: Action(
        reached[0], reached[1], scope, value, 10.0, is_safety, until
    ),
    st.sampled_from(REACHED),
    st.sampled_from([Scope.UNIT, Scope.BUILDING, Scope.ZONE, Scope.SITE]),
    st.sampled_from([True, False, *VALUES]),
    st.booleans(),
    st.sampled_from(["", "", "reset", "silenced"]),
)
CONDITIONS = [
    (Condition("equals", True), SOURCES),
    (Condition("changed_to", True), SOURCES),
    (Condition("equals", False), [f"{VALVE}/closed"]),
    (Condition("equals", False), [f"{VALVE}/responding"]),
    (Condition("confirmed", same=Scope.ZONE), []),
]


def community() -> list[Device]:
    """Three detectors of one zone, a valve with every name a profile may give, a door, a siren."""
    names = ["closed", "open", "closed.2", "position"]
    return [
        *(device(each.rpartition("/")[0], "smoke", {"alarm": "bool"}, zone="z") for each in SOURCES),
        device(VALVE, "gas-valve", dict.fromkeys(names, "bool"), writable=names, zone="z"),
        device(f"{UNIT}/door", "door", {"release": "bool"}, writable=["release"], zone="z"),
        device(f"{UNIT}/siren", "siren", {"on": "bool"}, writable=["on"], zone="z"),
    ]


@st.composite
def sites(draw: st.DrawFn) -> Site | None:
    """A site with rules that only a careless or a hostile hand would write; those the engine refuses are left out."""
    rules: list[Rule] = []
    for number in range(draw(st.integers(1, 4))):
        condition, points = draw(st.sampled_from(CONDITIONS))
        cls = AlarmClass.FIRE if condition.kind == "confirmed" else draw(st.sampled_from(list(AlarmClass)))
        actions = tuple(draw(st.lists(ACTIONS, min_size=1, max_size=2)))
        made = rule(points, condition, cls, id=f"r{number}", latches=draw(st.booleans()), actions=actions)
        try:
            Engine(found := site(community(), [made]), counters=Counters(), policy=NoticePolicy(site(community(), [])))
        except ValueError:
            continue
        rules += found.rules
    return site(community(), rules) if rules else None


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sampled_from([*SOURCES, f"{VALVE}/closed", f"{VALVE}/open"]), st.booleans()),
        st.tuples(st.sampled_from([each for each in Verb if each.is_of_alarm]), st.integers(0, 3), st.booleans()),
        st.tuples(st.sampled_from(list(Mark)), st.sampled_from([VALVE, SOURCES[0].rpartition("/")[0]]), st.booleans()),
        st.tuples(st.just("result"), st.sampled_from(list(CommandOutcome)), st.booleans()),
        st.tuples(st.just("restart"), st.none(), st.booleans()),
    ),
    max_size=25,
)


@settings(max_examples=250, deadline=None)
@given(sites(), MOVES)
def test_nothing_that_happens_opens_a_gas_valve(found: Site | None, moves: list[tuple[Any, Any, bool]]) -> None:
    """Invariant: whatever rules the engine takes, and whatever is reported, asked for, marked, answered by devices or
    restarted (with a journal that claims that alarms hold the valve), no command but a closing one is ever given; and
    every command has a deadline ahead of it."""
    if found is None:
        return
    player = Player(found)
    smoke = [("read", each, value) for value in (False, True) for each in SOURCES]
    half = len(moves) // 2
    for at_s, (what, which, flag) in enumerate([*moves[:half], *smoke, *moves[half:]]):
        if what == "read":
            player.read(at_s, which, flag)
        elif what == "restart":
            _restart(player, at_s, forgets=flag)
        elif what == "result":
            commands = [each for step in player.steps for each in step.commands]
            player.step(at_s, *(CommandResult(each.id, which, now(at_s).utc) for each in commands[-3:]))
        elif isinstance(what, Mark):
            player.mark(at_s, what, "device", which, "30", verb=Verb.MARK if flag else Verb.UNMARK)
        else:
            _ask(player, at_s, what, which, said=flag)
    player.step(4000)
    for step in player.steps:
        for command in step.commands:
            assert not opens(command.point_id, command.value), command
            assert command.expires_at > step.now.utc


def _restart(player: Player, at_s: float, *, forgets: bool) -> None:
    """From a journal that claims that every open alarm holds the valve; perhaps the rules that set it are gone."""
    if forgets:
        bare = tuple(replace(each, actions=()) for each in player.site.rules)
        player.site = replace(player.site, rules=bare)
    player.restart(at_s)
    valve = [f"{VALVE}/{name}" for name in ("closed", "open", "closed.2", "position")]
    player.engine.restore_outputs([(alarm_id, each) for alarm_id in player.engine.alarms for each in valve])


def _ask(player: Player, at_s: float, verb: Verb, which: int, *, said: bool) -> None:
    alarms = list(player.engine.alarms.values())
    if alarms:
        args = {"real": str(said).lower(), "text": "x", "outcome": "o", "cause": "c", "minutes": "5", "reason": "r",
                "point": f"{VALVE}/closed", "value": "false"}  # fmt: skip
        player.step(at_s, player.request(verb, alarms[which % len(alarms)], WANG, at_s, **args))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("by", ["rule", "person", "restart"])
async def test_the_last_gate_refuses_whatever_got_that_far(tmp_path: Path, value: Value, by: str) -> None:
    """In the gateway as it is shipped no command that opens a valve reaches a driver: refused, said and counted."""
    running = Gateway(replace(shipped(), data_dir=str(tmp_path), uplinks=()), SHIPPED, SystemClock())
    points = [
        point.id
        for each in running._site.devices.values()
        if each.kind == "gas-valve"
        for point in each.points
        if point.is_writable
    ]
    assert points
    for point_id in points:
        if not opens(point_id.replace("/gas-valve", "/valve"), value):
            continue
        at = SystemClock().now()
        late = at.utc.replace(year=at.utc.year + 1)
        command = Command(f"{by}/{point_id}", point_id, value, SYSTEM, "", late, is_safety=by == "rule")
        async with asyncio.timeout(5):
            result = await running._effects._writers[point_id](command)
        assert result.outcome is CommandOutcome.REFUSED
        assert "by hand" in result.detail
        assert running.counters.total("commands_forbidden", point=point_id.rpartition("/")[2]) > 0
    await running._effects.close()
    running._journal.close()
