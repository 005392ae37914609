"""Limits per profile and per device: the shipped charging pack with two models of cabinet side by side.

The site is the shipped one and what stands in tests/cases/limits/site; the stories beside it are as in `test_packs`.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.model import Condition, Device, Reading, Rule, Site
from gateway.web.views import rule_of
from tests.support_config import checked
from tests.support_packs import SHIPPED, Stage, parse, unmet
from tests.support_rules import Player, device, rule, site

CASES = Path(__file__).parent / "cases" / "limits"
STORIES = sorted(CASES.glob("*.yaml"))
NAMES = [each.stem for each in STORIES]


@functools.cache
def two_models() -> Site:
    """The shipped site with a second model of charging cabinet, and one cabinet that differs from its model."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "config"
        shutil.copytree(SHIPPED, directory)
        shutil.copytree(CASES / "site", directory, dirs_exist_ok=True)
        found = checked(directory)
    assert found.site is not None, [str(each) for each in found.findings]
    assert not found.findings
    return found.site


@pytest.mark.parametrize("path", STORIES, ids=NAMES)
def test_each_model_has_its_own_limits(path: Path) -> None:
    """The same values at cabinets of different models: each is judged by its own limits, and those alone."""
    acts, wants = parse(path)
    seen = Stage(two_models()).play(acts, max(each.to_s for each in wants) + 0.01)
    assert not (wrong := unmet(wants, seen)), "\n".join(wrong)


@pytest.mark.parametrize("path", STORIES, ids=NAMES)
def test_a_kill_before_any_act_changes_nothing(path: Path) -> None:
    """Delays and windows of every model go on where they were."""
    acts, wants = parse(path)
    end_s = max(each.to_s for each in wants) + 0.01
    for number in range(1, len(acts)):
        if acts[number].at_s != acts[number - 1].at_s:
            seen = Stage(two_models()).play(acts, end_s, restart_before=number)
            assert not (wrong := unmet(wants, seen)), f"restarted before {acts[number]}:\n" + "\n".join(wrong)


def test_an_alarm_says_the_limit_of_its_own_model() -> None:
    """Title and text of an alarm have the limit that was passed, not that of another model."""
    warm = next(each for each in two_models().rules if each.id == "socket-warm")
    texts = {name: warm.at(f"3-1-B1-{name}/ebike-charger/temp.1").text for name in ("CP01", "CP03", "CP04")}
    assert texts == {
        "CP01": "充电口温度超过 60 °C",
        "CP03": "充电口温度超过 55 °C",
        "CP04": "充电口温度超过 52 °C",
    }
    stage = Stage(two_models())
    stage.play(parse(CASES / "session-of-each.yaml")[0], 9 * 3600.0)
    raised = {each.device_id: each for each in stage.player.alarms.values() if each.rule_id == "session-long"}
    titles = {device_id.partition("/")[0]: each.title for device_id, each in raised.items()}
    assert titles == {
        "3-1-B1-CP01": "充电超过 8 小时",
        "3-1-B1-CP03": "充电超过 6 小时",
        "3-1-B1-CP04": "充电超过 4 小时",
    }
    for each in raised.values():
        found = rule_of(two_models(), each)
        assert found is not None
        assert found.title == each.title


def test_without_limits_of_their_own_all_devices_share_one_rule() -> None:
    """The shipped site has no variants: what is not used costs nothing."""
    found = checked(SHIPPED).site
    assert found is not None
    assert not any(each.variants for each in found.rules)
    assert all(each.apart() == (each,) for each in found.rules)


_CONDITIONS = {
    "above": lambda limit: Condition("above", limit, limit - 5.0),
    "rises": lambda limit: Condition("rises", limit / 10, within_s=30.0),
    "times": lambda limit: Condition("above", limit, limit - 5.0, within_s=60.0, count=2),
    "absent": lambda limit: Condition("absent", within_s=limit),
    "expression": lambda limit: Condition("expression", expression=f"t > {limit}"),
}
_VALUES = ((0, 20.0), (10, 52.0), (20, 30.0), (30, 53.0), (40, 62.0), (50, 30.0), (60, 64.0), (90, 30.0), (200, 20.0))


def _varied(kind: str) -> Site:
    """One rule of two devices, the second of which has a lower limit."""
    points = ("1/a/t", "2/a/t")
    made = rule(points, _CONDITIONS[kind](60.0), for_s=2.0)
    low = replace(made, points=points[1:], condition=_CONDITIONS[kind](50.0), for_s=1.0)
    return site([_sensor("1/a"), _sensor("2/a")], [replace(made, variants=(low,))])


def _alone(kind: str, at: str, limit: float, for_s: float) -> Site:
    return site([_sensor(at)], [rule((f"{at}/t",), _CONDITIONS[kind](limit), for_s=for_s)])


def _sensor(name: str) -> Device:
    return device(name, "sensor", {"t": "float"})


def _journal(of: Site, names: tuple[str, ...], *, restart_at_s: int) -> dict[str, list[tuple[str, str]]]:
    """What was written of each device: instant and kind of every event."""
    player = Player(of)
    player.restart(0.0)
    for at_s, value in _VALUES:
        at = player.now(at_s).utc
        if at_s == restart_at_s:
            player.restart(at_s - 0.5)
        player.step(at_s, *[Reading(f"{name}/t", value, at, at) for name in names])
    player.step(400.0)
    return {name: [(str(e.at), e.kind) for e in player.journal if f":{name}/" in e.alarm_id] for name in names}


@pytest.mark.parametrize("kind", _CONDITIONS)
@pytest.mark.parametrize("restart_at_s", [-1, 30, 50])
def test_a_variant_is_judged_like_a_rule_of_its_own(kind: str, restart_at_s: int) -> None:
    """Two devices under one rule with a variant give the events that each would give under a rule with its limit."""
    both = _journal(_varied(kind), ("1/a", "2/a"), restart_at_s=restart_at_s)
    high = _journal(_alone(kind, "1/a", 60.0, 2.0), ("1/a",), restart_at_s=restart_at_s)
    low = _journal(_alone(kind, "2/a", 50.0, 1.0), ("2/a",), restart_at_s=restart_at_s)
    assert both == {**high, **low}
    assert both["2/a"], "a script in which nothing happens proves nothing"
    assert both["1/a"] != both["2/a"]


@pytest.mark.parametrize("kind", _CONDITIONS)
def test_a_rule_may_be_nothing_but_variants(kind: str) -> None:
    """Where every device has limits of its own nothing is left for those of the rule, and nothing is missed."""
    (made,) = _varied(kind).rules
    low = replace(made.variants[0], points=made.points)
    whole = site([_sensor("1/a"), _sensor("2/a")], [replace(made, variants=(low,))])
    found = _journal(whole, ("1/a", "2/a"), restart_at_s=30)
    assert found["1/a"] == found["2/a"] == _journal(_varied(kind), ("1/a", "2/a"), restart_at_s=30)["2/a"]


def test_a_point_is_under_one_variant_only() -> None:
    """Every point of a rule with variants is watched once, by the rule that holds for it."""
    for each in two_models().rules:
        points = [point for part in each.apart() for point in part.points]
        assert sorted(points) == sorted(each.points), each.id
        assert all(_holds(each, point) for point in each.points), each.id


def _holds(whole: Rule, point: str) -> bool:
    return next(part for part in whole.apart() if point in part.points).condition == whole.at(point).condition
