"""Golden time scripts of the rules room: tests/cases/rules/<name>/{inputs,expected}.yaml.

inputs: the points of one device, one rule on the point ``v`` (or ``rules``, each on its own point), the script.
expected: one line per event.
Every script is also played with a restart, and with the wall clock set by an hour, before each of its steps.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.model import (
    Action,
    AlarmClass,
    Condition,
    Device,
    DeviceParams,
    DeviceStatus,
    Point,
    Quality,
    Rule,
    Scope,
    Site,
    Tell,
    Verb,
)
from tests.support_rules import START, Player, place, rule, site

CASES = sorted(each.parent for each in (Path(__file__).parent / "cases" / "rules").glob("*/inputs.yaml"))
NAMES = [each.name for each in CASES]
DEVICE = "3-2-03-0301/dev"


def build(case: dict[str, Any]) -> Site:
    """The site of a case."""
    points = [_point(name, spec) for name, spec in case["points"].items()]
    dev = Device(DEVICE, "dev", "", place("3-2-03-0301"), "p", "b", None, tuple(points), DeviceParams(None, None))
    return site([dev], [_rule(dict(each), number) for number, each in enumerate(case.get("rules") or [case["rule"]])])


def _rule(given: dict[str, Any], number: int) -> Rule:
    (kind, value), *rest = given.pop("when").items()
    point = given.pop("point", "v")
    made = rule(
        [f"{DEVICE}/{point}"],
        Condition({"is": "equals"}.get(kind, kind), value, dict(rest).get("clear")),
        AlarmClass(given.pop("class")),
        for_s=float(given.pop("for", 0)),
        clear_for_s=float(given.pop("clear_for", 0)),
        latches=given.pop("latch", False),
        outcomes=tuple(given.pop("outcomes", ())),
        tells=tuple(Tell(each["to"], ("console",), float(each.get("after", 0))) for each in given.pop("tell", ())),
        actions=tuple(
            Action("", each["point"], Scope.DEVICE, True, 10.0, is_safety=True, until=each.get("until", ""))
            for each in given.pop("do", ())
        ),
        id=f"r{number}",
    )
    assert not given, f"unknown keys {given}"
    return made


def _point(name: str, spec: str | dict[str, Any]) -> Point:
    given: dict[str, Any] = {"type": spec} if isinstance(spec, str) else spec
    cls = given.get("class")
    return Point(
        f"{DEVICE}/{name}",
        DEVICE,
        name,
        given["type"],
        alarm_class=AlarmClass(cls) if cls else None,
        low=given.get("low"),
        high=given.get("high"),
        is_writable=given.get("writable", False),
        is_event=given.get("event", False),
    )


def play(case: dict[str, Any], *, restart_before: int = -1, shift_before: int = -1, shift_s: float = 0.0) -> list[str]:
    """The events of a case, one line each."""
    player = Player(build(case), settle_s=float(case.get("settle", 0)))
    player.restart(0.0)
    for number, item in enumerate(case["script"]):
        at_s = float(item["at"])
        if number:
            player.step(at_s - 0.001)  # whatever is due before happens first, also where a restart follows
        if number == shift_before:
            player.wall_shift_s = shift_s
        if number == restart_before:
            player.restart(at_s - 0.001)
        _do(player, at_s, item)
    lines = []
    for step in player.steps:
        at_s = step.now.mono_s - 1000.0
        lines += [_line(at_s, each.kind, each.data) for each in step.events]
        lines += [f"{at_s:g} refused {each.code}" for each in step.replies if each.code]
        lines += [f"{at_s:g} set {each.point_id.rpartition('/')[2]} {each.value}" for each in step.commands]
        lines += [f"{at_s:g} told {each.recipient}" for each in step.notices]
    last = list(player.alarms.values())[-1:]
    return lines + [
        f"end {each.condition} {each.handling}"
        f"{' latched' if each.is_latched else ''}{' sounding' if each.is_sounding else ''}"
        f"{'' if each.is_open else ' ended'} count={each.count}"
        for each in last
    ]


def _line(at_s: float, kind: str, data: Any) -> str:
    value = f" {data['value']}" if "value" in data and kind != "returned" else ""
    return f"{at_s:g} {kind}{value}"


def _do(player: Player, at_s: float, item: dict[str, Any]) -> None:
    extra: dict[str, Any] = {}
    if "device" in item:
        extra["device_s"] = float(item["device"])
    if "quality" in item:
        extra["quality"] = Quality(item["quality"])
    for key, given in item.items():
        if key == "do":
            words = given.split()
            args = dict(each.split("=") for each in words[1:])
            player.do(at_s, Verb(words[0]), rule_id=args.pop("rule", ""), **args)
        elif key == "online":
            player.step(at_s, DeviceStatus(DEVICE, given, START + timedelta(seconds=at_s)))
        elif key == "restart":
            player.restart(at_s)
        elif key == "wait":
            player.step(at_s)
        elif key not in {"at", "device", "quality"}:
            player.read(at_s, f"{DEVICE}/{key}", given, **extra)


def load(directory: Path) -> tuple[dict[str, Any], list[str]]:
    case = yaml.safe_load((directory / "inputs.yaml").read_text(encoding="utf-8"))
    return case, yaml.safe_load((directory / "expected.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("directory", CASES, ids=NAMES)
def test_case_plays_as_written(directory: Path) -> None:
    """A rule does at each instant what its case says."""
    case, expected = load(directory)
    assert play(case) == expected, case["about"]


def _without_values(lines: list[str]) -> list[str]:
    """What is raised by a delay that went on across a restart has no value until its point reports."""
    return [" ".join(line.split()[:2]) if "raised" in line else line for line in lines]


@pytest.mark.parametrize("directory", CASES, ids=NAMES)
def test_restart_at_any_moment_changes_nothing(directory: Path) -> None:
    """kill -9 between any two steps neither loses, repeats nor delays anything."""
    case, expected = load(directory)
    for number in range(1, len(case["script"]) if case.get("restarts", True) else 0):
        lines = play(case, restart_before=number)
        assert _without_values(lines) == _without_values(expected), f"restarted before step {number}"


@pytest.mark.parametrize("directory", CASES, ids=NAMES)
@pytest.mark.parametrize("shift_s", [3600.0, -3600.0])
def test_setting_the_clock_changes_nothing(directory: Path, shift_s: float) -> None:
    """The wall clock set by an hour neither raises, repeats, skips nor delays anything."""
    case, expected = load(directory)
    for number in range(1, len(case["script"])):
        assert play(case, shift_before=number, shift_s=shift_s) == expected, f"clock set before step {number}"
