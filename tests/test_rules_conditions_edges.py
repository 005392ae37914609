"""Conditions of more than one value at their edges: who counts, who is away, what is refused, what stays bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.model import (
    Action,
    AlarmClass,
    Calendar,
    Condition,
    Rule,
    Scope,
    Step,
    Value,
    Verb,
    Watched,
    Window,
)
from gateway.rules.kinds import unmerged_points
from tests.support_rules import START, Player, device, rule, site

IS = Condition("equals", True)
ABOVE = Condition("above", 60)
HOMES = [f"1-1-0{each}-0{each}01/d" for each in range(1, 4)]


def homes(types: dict[str, str], **extra: Any) -> list[Any]:
    return [device(each, "d", types, **extra) for each in HOMES]


def parts(point: str, condition: Condition = IS, ids: list[str] = HOMES) -> Watched:
    return Watched(tuple(f"{each}/{point}" for each in ids), condition)


def two(*, same: Scope = Scope.UNIT, within_s: float = 0.0, **extra: Any) -> Rule:
    when = Condition("devices", count=2, same=same, within_s=within_s, parts=(parts("v"),))
    return rule([], when, extra.pop("cls", AlarmClass.FIRE), **extra)


def look_again(player: Player, at_s: float) -> None:
    """Marks have changed."""
    player.step(at_s)
    step = Step(player.now(at_s))
    player.engine._bench.look_again(step)
    player._commit(step)


def test_a_device_that_is_marked_never_counts_and_counts_again_after() -> None:
    """A detector in a walk test never confirms a fire; when the test ends, what it says is heard."""
    player = Player(site(homes({"v": "bool"}), [two()]))
    in_test = {HOMES[0]}
    player.engine._ground.counts = lambda device_id: device_id not in in_test
    player.read(0, f"{HOMES[0]}/v", True)
    player.read(1, f"{HOMES[1]}/v", True)
    assert not player.journal
    player.read(2, f"{HOMES[2]}/v", True)
    player.read(3, f"{HOMES[2]}/v", False)
    assert player.kinds() == ["raised", "returned"]
    in_test.clear()
    look_again(player, 10)
    assert player.kinds() == ["raised", "returned", "reraised"]


def still(**extra: Any) -> Rule:
    when = Condition("still", within_s=3600, same=Scope.ROOM, parts=(parts("v", ids=HOMES[:1]),))
    return rule([], when, AlarmClass.SOS, latches=True, **extra)


@pytest.mark.parametrize("restarts", [False, True])
def test_time_away_does_not_count_as_stillness(restarts: bool) -> None:
    """Who is away for a week is not searched for; back home the window goes on where it was."""
    player = Player(site(homes({"v": "bool"}), [still()]))
    away = False

    def restart(at_s: float) -> None:
        if restarts:
            player.restart(at_s)
        player.engine._ground.is_away = lambda _device_id: away

    restart(0)
    player.read(0, f"{HOMES[0]}/v", True)
    player.read(600, f"{HOMES[0]}/v", False)
    away = True
    restart(1600)
    look_again(player, 1600)
    restart(50_000)
    player.step(90_000)
    away = False
    restart(100_000)
    look_again(player, 100_000)
    grace_s = 3 * 360 if restarts else 0  # a tenth of the window for each restart, and never early
    player.step(102_599)
    assert not player.journal
    player.step(102_601 + grace_s)
    assert [each for each in player.kinds() if each != "escalated"] == ["raised"]


def test_still_is_raised_at_its_place_with_what_was_waited_for() -> None:
    """Who comes to help must know where, and for how long nothing was seen."""
    player = Player(site(homes({"v": "bool"}), [still(id="life")]))
    player.step(0)
    player.step(3601)
    (alarm,) = player.alarms.values()
    assert (alarm.id, alarm.place, alarm.value) == ("life:@room:1-1-01-0101:1", "1-1-01-0101", 3600)
    assert alarm.device_id == ""


@pytest.mark.parametrize(
    ("same", "source", "place"),
    [
        (Scope.UNIT, "@unit:1-1", "1-1"),
        (Scope.BUILDING, "@building:1", "1栋"),
        (Scope.ZONE, "@zone:车棚", "车棚"),
        (Scope.SITE, "@site:", "阳光花园"),
    ],
)
def test_a_group_has_a_name_and_a_place(same: Scope, source: str, place: str) -> None:
    """One alarm for each group, named after it."""
    player = Player(site(homes({"v": "bool"}, zone="车棚"), [two(same=same)]))
    player.read(0, f"{HOMES[0]}/v", True)
    player.read(1, f"{HOMES[1]}/v", True)
    (alarm,) = player.alarms.values()
    assert (alarm.point_id, alarm.place, alarm.value) == (source, place, 2)


def test_no_group_in_a_scope_in_which_nothing_lies() -> None:
    """Devices without a zone share none with each other."""
    player = Player(site(homes({"v": "bool"}), [two(same=Scope.ZONE)]))
    for each in HOMES:
        player.read(0, f"{each}/v", True)
    assert not player.journal


def test_actions_of_a_group_reach_what_lies_around_any_of_its_members() -> None:
    """Two detectors of a unit release the door of each floor, every door once."""
    doors = [device(f"1-1-0{each}-0/door", "door", {"open": "bool"}, writable=["open"]) for each in range(1, 4)]
    other = device("1-2-01-0/door", "door", {"open": "bool"}, writable=["open"])
    release = Action("door", "open", Scope.FLOOR, True, 10.0, is_safety=True)
    player = Player(site([*homes({"v": "bool"}), *doors, other], [two(actions=(release,))]))
    player.read(0, f"{HOMES[0]}/v", True)
    step = player.read(1, f"{HOMES[1]}/v", True)
    assert [each.point_id for each in step.commands] == [f"{each.id}/open" for each in doors]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("devices", count=2), "one part"),
        (Condition("devices", count=2, parts=(parts("v", Condition("changed_to", True)),)), "needs within"),
        (Condition("devices", count=2, parts=(parts("v", Condition("near", True)),)), "no condition is called"),
        (Condition("devices", count=2, parts=(parts("v", ABOVE),)), "cannot be true"),
        (Condition("devices", count=2, parts=(parts("nothing"),)), "there is no point"),
        (Condition("equals", True, count=3), "within"),
        (Condition("equals", True, count=10**6, within_s=5), "from 2 to 1000"),
        (Condition("absent"), "absent needs a time"),
        (Condition("still", within_s=5), "still needs points"),
        (Condition("still", parts=(parts("v"),)), "still needs points and a time"),
        (Condition("sequence", within_s=5, parts=(parts("v"),)), "two or three parts"),
        (Condition("sequence", parts=(parts("v"), parts("v"))), "within"),
        (Condition("rises", 5.0, within_s=60), "which is bool"),
        (Condition("rises", 0.0, within_s=60), "above 0"),
        (Condition("falls", 5.0, clear=6.0, within_s=60), "clear must not"),
        (Condition("rises", 5.0), "within"),
    ],
)
def test_a_condition_that_cannot_work_is_refused_at_the_start(condition: Condition, words: str) -> None:
    """What could never fire stops the start with the rule's name."""
    with pytest.raises(ValueError, match=f"rule r: .*{words}"):
        Player(site(homes({"v": "bool"}), [rule([f"{HOMES[0]}/v"], condition)]))


@pytest.mark.parametrize("extra", [{"for_s": 5.0}, {"only": "never-written"}])
def test_a_rule_with_a_time_that_makes_no_sense_is_refused(extra: dict[str, Any]) -> None:
    """A sequence has no duration, and a calendar must be there."""
    when = Condition("sequence", within_s=5, same=Scope.UNIT, parts=(parts("v"), parts("v")))
    with pytest.raises(ValueError, match=r"rule r: .*(no duration|no calendar)"):
        Player(site(homes({"v": "bool"}), [rule([], when, **extra)]))


@pytest.mark.parametrize("key", ["only", "unless"])
def test_a_clock_that_was_never_set_silences_no_rule(key: str) -> None:
    """A box that wakes up in 1970 does not know what time it is: then every rule looks."""
    calendars = {
        "only": Calendar("c", (Window(frozenset(), 0, 1),)),
        "unless": Calendar("c", (Window(frozenset(range(7)), 0, 24 * 60),)),
    }
    gate: dict[str, Any] = {key: "c"}
    hot = rule([f"{HOMES[0]}/v"], IS, **gate)
    player = Player(replace(site(homes({"v": "bool"}), [hot]), calendars={"c": calendars[key]}))
    player.read(0, f"{HOMES[0]}/v", True)
    assert not player.journal
    player.wall_shift_s = (datetime(1970, 1, 1, tzinfo=UTC) - START).total_seconds()
    player.step(1)
    assert player.kinds() == ["raised"]
    player.wall_shift_s = 0
    player.step(2)
    assert player.kinds() == ["raised", "returned"]


def test_a_wake_at_every_minute_writes_nothing() -> None:
    """Looking at a calendar is no reason to write to the disk."""
    day = Calendar("c", (Window(frozenset(range(7)), 0, 60),))
    player = Player(replace(site(homes({"v": "bool"}), [two(only="c")]), calendars={"c": day}))
    player.step(0)
    player.step(3600)
    assert 60 <= len(player.steps) <= 63
    assert not any(each.timers or each.events for each in player.steps)


def a_storm() -> Player:
    """A rule of every kind that keeps something, at points that never rest."""
    types = {"v": "bool", "f": "float"}
    ids = [f"{each}/v" for each in HOMES]
    floats = [f"{each}/f" for each in HOMES]
    rules = [
        two(within_s=60, id="two"),
        rule(ids, Condition("equals", True, count=5, within_s=600), id="times"),
        rule(floats, Condition("rises", 5.0, within_s=600), id="rises"),
        rule(floats, Condition("absent", within_s=600), id="absent"),
        rule([], Condition("still", within_s=600, same=Scope.UNIT, parts=(parts("f"),)), id="still"),
        rule([], Condition("sequence", within_s=60, same=Scope.UNIT, parts=(parts("v"), parts("v"))), id="then"),
    ]
    player = Player(site(homes(types), rules))
    for tick in range(3000):
        for number, each in enumerate(HOMES):
            player.read(tick, f"{each}/v", (tick + number) % 2 == 0)
            player.read(tick, f"{each}/f", float((tick * 37 + number) % 101))
    return player


def test_windows_are_bounded_and_readings_write_little() -> None:
    """Three thousand changes of every point: what is remembered does not grow, nor is every reading written down."""
    player = a_storm()
    ground, judges = player.engine._ground, player.engine._bench._judges
    assert len(ground.timers) < 100
    lows: Any = judges["rises"]
    assert all(len(each._entries) <= 64 for each in lows._lows.values())
    times: Any = judges["times"]
    assert all(len(each.running) <= 5 for each in times._counters.values())
    written = [change.key.split("|")[1] for step in player.steps for change in step.timers]
    assert written.count("absent") < 3 * 3000 / 50
    assert written.count("still") < 3000 / 50


def test_points_that_are_counted_are_named_for_the_inbox() -> None:
    """Under load the newest reading of a point may stand for the older ones, but not where each counts."""
    ids = tuple(f"{each}/v" for each in HOMES)
    plain = rule([f"{HOMES[0]}/f"], ABOVE)
    assert unmerged_points([plain, rule([], Condition("absent", within_s=5))]) == frozenset()
    assert unmerged_points([plain, two()]) == frozenset(ids)
    assert unmerged_points([rule(ids[:1], Condition("equals", True, count=2, within_s=5))]) == frozenset(ids[:1])


@pytest.mark.parametrize("value", [True, False])
def test_a_sequence_is_ended_by_a_person_only(value: Value) -> None:
    """What has happened does not un-happen: it is open until somebody closes it, over a restart too."""
    when = Condition(
        "sequence", within_s=60, same=Scope.UNIT, parts=(parts("v", ids=HOMES[:1]), parts("v", ids=HOMES[1:]))
    )
    player = Player(site(homes({"v": "bool"}), [rule([], when, AlarmClass.SECURITY)]))
    player.read(0, f"{HOMES[0]}/v", True)
    player.restart(1)
    player.read(2, f"{HOMES[1]}/v", True)
    player.restart(3)
    player.read(4, f"{HOMES[1]}/v", value)
    player.step(500)
    assert player.kinds() == ["raised"]
    player.do(600, Verb.TAKE)
    player.do(601, Verb.CLOSE, outcome="误报", cause="维修")
    assert not player.engine.alarms
