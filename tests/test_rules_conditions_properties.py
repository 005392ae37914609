"""Any interleaving of readings, restarts and clock steps keeps these promises of the conditions:

- what is raised and returns, and when, is the same as without the restarts and the steps of the wall clock;
- but an absence may come up to a tenth of its window late for each restart, and never early;
- what is written down of running windows is what is running, and it is bounded;
- the same inputs give the same bytes.

One thing a restart may change is not in the scripts: the first value of a point after it has no value before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import AlarmClass, Condition, Quality, Scope, Site, Watched
from tests.support_rules import Player, as_bytes, device, rule, site

IDS = ["1-1-01-0101/d", "1-1-02-0201/d", "1-2-01-0101/d"]
POINTS = [f"{each}/{name}" for each in IDS for name in ("v", "w")]
WITHIN_S = 60.0
LATE_S = WITHIN_S / 10
IS = Condition("equals", True)


def parts(name: str) -> Watched:
    return Watched(tuple(f"{each}/{name}" for each in IDS), IS)


def a_site() -> Site:
    """A rule of every kind that remembers something."""
    devices = [device(each, "d", {"v": "bool", "w": "bool"}, zone="z") for each in IDS]
    v, w = parts("v"), parts("w")
    within: dict[str, Any] = {"within_s": WITHIN_S}
    return site(
        devices,
        [
            rule([], Condition("devices", count=2, same=Scope.UNIT, parts=(v,)), AlarmClass.FIRE, id="now"),
            rule([], Condition("devices", count=2, same=Scope.ZONE, parts=(w,), **within), id="near", for_s=5.0),
            rule(v.points, Condition("equals", True, count=3, **within), AlarmClass.FAULT, id="often", clear_for_s=7.0),
            rule([], Condition("sequence", same=Scope.UNIT, parts=(v, w), **within), AlarmClass.SECURITY, id="then"),
            rule(
                [], Condition("sequence", same=Scope.ZONE, parts=(v, w, v), **within), AlarmClass.WARNING, id="unless"
            ),
            rule(w.points, Condition("absent", **within), AlarmClass.FAULT, id="absent"),
            rule(v.points, IS, AlarmClass.FAULT, id="plain", for_s=3.0),
        ],
    )


@dataclass(frozen=True)
class Word:
    """After a pause a point says something."""

    pause_s: float
    point: str
    value: bool
    quality: Quality


@dataclass(frozen=True)
class Trouble:
    """Somewhere in the pause before the n-th word: kill -9, or a clock that is set."""

    before: int
    share: float
    set_s: float
    restarts: bool


words = st.builds(
    Word,
    st.sampled_from([0.25, 1.0, 4.0, 13.0, 50.0, 130.0]),
    st.sampled_from(POINTS),
    st.booleans(),
    st.sampled_from([Quality.GOOD] * 6 + [Quality.RETAINED, Quality.STALE]),
)
scripts = st.lists(words, min_size=3, max_size=30)
troubles = st.lists(
    st.builds(
        Trouble,
        st.integers(0, 29),
        st.sampled_from([0.1, 0.5, 0.93]),
        st.sampled_from([0.0, 3600.0, -3600.0]),
        st.booleans(),
    ),
    max_size=4,
)


def play(script: list[Word], trouble: list[Trouble]) -> Player:
    """Play it, with what goes wrong in between."""
    player = Player(a_site())
    player.restart(0.0)
    at_s = 0.0
    for number, word in enumerate(script):
        for each in sorted((one for one in trouble if one.before % len(script) == number), key=lambda one: one.share):
            _suffer(player, at_s + each.share * word.pause_s, each)
        at_s += word.pause_s
        player.read(at_s, word.point, word.value, quality=word.quality)
        assert set(player.timers) == set(player.engine._timers._running)
    player.step(at_s + 300)
    return player


def _suffer(player: Player, at_s: float, each: Trouble) -> None:
    player.step(at_s)
    player.wall_shift_s += each.set_s
    player.step(at_s)
    if each.restarts:
        player.restart(at_s)
        player.step(at_s)


Told = list[tuple[float, str, str, str]]


def told(player: Player) -> Told:
    """When which rule at which source was raised or returned."""
    found = []
    for step in player.steps:
        for each in step.events:
            rule_id, _, source_id = each.alarm_id.rpartition(":")[0].partition(":")
            found.append((round(step.now.mono_s - 1000.0, 6), each.kind, rule_id, source_id))
    return found


@settings(max_examples=400, deadline=None)
@given(scripts, troubles)
def test_restarts_and_clock_steps_change_no_condition(script: list[Word], trouble: list[Trouble]) -> None:
    """Whenever the gateway is killed and however its clock is set: the same alarms at the same instants."""
    calm, rough = told(play(script, [])), told(play(script, trouble))
    assert [each for each in rough if each[2] != "absent"] == [each for each in calm if each[2] != "absent"]
    _check_absences(calm, rough, LATE_S)


def _check_absences(calm: Told, rough: Told, late_s: float) -> None:
    """Each absence there as well, never early, at most so much late; one that ended before that may be missing."""
    for source in {each[3] for each in calm + rough if each[2] == "absent"}:
        raised = [each[0] for each in calm if each[3] == source and each[1:3] == ("raised", "absent")]
        ended = [each[0] for each in calm if each[3] == source and each[1:3] == ("returned", "absent")]
        found = [each[0] for each in rough if each[3] == source and each[1:3] == ("raised", "absent")]
        for at_s in found:
            assert any(one - 1e-6 <= at_s <= one + late_s + 1e-6 for one in raised), "early, or out of nothing"
        for one in raised:
            is_over = any(one <= each <= one + late_s for each in ended)
            assert is_over or any(one - 1e-6 <= at_s <= one + late_s + 1e-6 for at_s in found), "missing or late"


@settings(max_examples=50, deadline=None)
@given(scripts, troubles)
def test_the_same_inputs_give_the_same_bytes(script: list[Word], trouble: list[Trouble]) -> None:
    """A replay decides the same, to the byte."""
    assert as_bytes(play(script, trouble).steps) == as_bytes(play(script, trouble).steps)


@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=30, max_size=120))
def test_what_is_remembered_is_bounded(script: list[Word]) -> None:
    """However long it goes on: a timer for each point and part, so many for each count, no more."""
    player = play(script, [])
    often = 3 * len(IDS)
    assert len(player.timers) <= often + 8 * len(POINTS) + 10
