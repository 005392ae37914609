"""Time scripts for conditions: a small site, lines of what happens when, lines of what is wanted when.

A line is one of
  at 2.2 s push <point> <value> [retained | stale] [stamped -30 s]     (its device's own time: so long before)
  at 2.2 s bad <point>
  at 2.2 s online <device> <true | false>
  at 2.2 s do <verb> <rule> [key=value ...]                            (on the newest alarm of the rule)
  at 2.2 s restart                                                     (kill -9, with what was committed)
  at 2.2 s clock +3600 s                                               (the wall clock is set)
  between 3 and 3.5 s want <raised | reraised | returned> <rule> <source> [value]
Everything that is raised or returns must be wanted, exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from gateway.model import (
    AlarmClass,
    Calendar,
    Condition,
    Device,
    DeviceStatus,
    Point,
    Quality,
    Rule,
    Scope,
    Site,
    Verb,
    Watched,
    Window,
)
from tests.support_rules import START, Player, device, rule, site

_AT = re.compile(r"at (?P<at>[\d.]+) s (?P<what>\w+) ?(?P<rest>.*)")
_WANT = re.compile(r"between (?P<low>[\d.]+) and (?P<high>[\d.]+) s want (?P<what>.+)")
_KINDS = {"raised", "reraised", "returned", "withdrawn"}


@dataclass(frozen=True)
class Do:
    """Something that happens."""

    at_s: float
    what: str
    rest: str


@dataclass(frozen=True)
class Want:
    """Something that must happen in time."""

    low_s: float
    high_s: float
    what: str


@dataclass(frozen=True)
class Case:
    """One script and its site."""

    about: str
    site: Site
    actions: tuple[Do, ...]
    wants: tuple[Want, ...]
    until_s: float
    restarts: bool  # False: a restart is allowed to change something (said in ``about``)
    clocks: bool  # False: the devices of the script have clocks of their own, which would have to be set too
    late_s: float  # by how much a restart may delay what is wanted
    start: datetime  # the wall clock at second 0


def load(path: Path) -> Case:
    """A case from its file."""
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    devices = [_device(id_, spec) for id_, spec in given["devices"].items()]
    points = [point.id for each in devices for point in each.points] + [f"{each.id}/online" for each in devices]
    rules = [_rule(dict(each), points) for each in given["rules"]]
    lines = given["script"]
    actions = tuple(Do(float(m["at"]), m["what"], m["rest"]) for each in lines if (m := _AT.fullmatch(each)))
    wants = tuple(Want(float(m["low"]), float(m["high"]), m["what"]) for each in lines if (m := _WANT.fullmatch(each)))
    assert len(actions) + len(wants) == len(lines), [
        each for each in lines if not _AT.fullmatch(each) and not _WANT.fullmatch(each)
    ]
    last = max(each.at_s for each in actions)
    calendars = {key: _calendar(key, spec) for key, spec in given.get("calendars", {}).items()}
    return Case(
        given["about"],
        replace(site(devices, rules), calendars=calendars),
        actions,
        wants,
        float(given.get("until", max([last, *(each.high_s for each in wants)]) + 1)),
        given.get("restarts", True),
        given.get("clocks", "calendars" not in given),
        float(given.get("late", 0)),
        datetime.fromisoformat(given["start"]) if "start" in given else START,
    )


def _device(id_: str, spec: Mapping[str, Any]) -> Device:
    made = device(id_, spec["kind"], {}, zone=spec.get("zone", ""))
    return replace(made, points=tuple(_point(id_, name, each) for name, each in spec["points"].items()))


def _point(device_id: str, name: str, spec: str | Mapping[str, Any]) -> Point:
    given: dict[str, Any] = {"type": spec} if isinstance(spec, str) else dict(spec)
    cls = given.get("class")
    return Point(
        f"{device_id}/{name}",
        device_id,
        name,
        given["type"],
        alarm_class=AlarmClass(cls) if cls else None,
        is_event=given.get("event", False),
    )


def _calendar(key: str, spec: Mapping[str, Any]) -> Calendar:
    days = frozenset(spec.get("days", range(7)))
    first, last = (60 * int(each[:2]) + int(each[3:]) for each in (spec["from"], spec["to"]))
    return Calendar(key, (Window(days, first, last),), frozenset(spec.get("off", ())))


def _rule(given: dict[str, Any], points: Sequence[str]) -> Rule:
    globs = given.pop("points", "")
    condition = _condition(dict(given.pop("when")), points)
    return rule(
        [each for each in points if fnmatch(each, globs)],
        condition,
        AlarmClass(given.pop("class")),
        for_s=float(given.pop("for", 0)),
        clear_for_s=float(given.pop("clear_for", 0)),
        latches=given.pop("latch", False),
        **given,
    )


def _condition(given: dict[str, Any], points: Sequence[str]) -> Condition:
    parts = []
    for each in given.pop("parts", ()):
        part = dict(each)
        globs = part.pop("points")
        found = tuple(point for point in points if fnmatch(point, globs))
        parts.append(Watched(found, Condition(part.pop("kind", "equals"), part.pop("value", True), **part)))
    same = given.pop("same", None)
    within_s = float(given.pop("within", 0))
    return Condition(parts=tuple(parts), same=Scope(same) if same else None, within_s=within_s, **given)


def play(case: Case, extra: Sequence[Do] = ()) -> list[tuple[float, str]]:
    """What was raised and returned, with the second at which it was."""
    player = Player(case.site)
    player.wall_shift_s = (case.start - START).total_seconds()
    player.restart(0.0)
    for each in sorted([*case.actions, *extra], key=lambda one: one.at_s):
        _do(player, each)
    player.step(case.until_s)
    found = []
    for step in player.steps:
        assert not [each.code for each in step.replies if each.code]
        for event in step.events:
            if event.kind in _KINDS:
                alarm = player.alarms[event.alarm_id]
                text = f"{event.kind} {alarm.rule_id} {alarm.point_id}"
                found.append((step.now.mono_s - 1000.0, f"{text} {event.data.get('value')}"))
    assert set(player.timers) == set(player.engine._timers._running), "what is kept is what is running"
    return found


def _do(player: Player, do: Do) -> None:
    words = do.rest.split()
    match do.what:
        case "push":
            _push(player, do.at_s, words)
        case "bad":
            player.read(do.at_s, words[0], None)
        case "online":
            player.step(do.at_s, DeviceStatus(words[0], words[1] == "true", player.now(do.at_s).utc))
        case "do":
            player.step(do.at_s)  # what is due by then is there to be handled
            args = dict(each.split("=") for each in words[2:])
            player.do(do.at_s, Verb(words[0]), rule_id=words[1], **args)
        case "restart":
            player.step(do.at_s)
            player.restart(do.at_s)
        case "clock":
            player.step(do.at_s)
            player.wall_shift_s += float(words[0])
            player.step(do.at_s)
        case _:
            raise AssertionError(do.what)


def _push(player: Player, at_s: float, words: list[str]) -> None:
    extra: dict[str, Any] = {}
    for each in ("retained", "stale"):
        if each in words:
            extra["quality"] = Quality(each)
    if "stamped" in words:
        before_s = float(words[words.index("stamped") + 1])
        received = player.now(at_s).utc
        extra["device_s"] = (received + timedelta(seconds=before_s) - START).total_seconds()
    player.read(at_s, words[0], yaml.safe_load(words[1]), **extra)


def misses(case: Case, found: Sequence[tuple[float, str]], *, late_s: float = 0.0, values: bool = True) -> list[str]:
    """What was wanted and did not happen, and what happened unwanted; nothing when all is well."""
    left = list(found)
    missing = []
    for want in case.wants:
        fits = [
            each
            for each in left
            if want.low_s - 1e-6 <= each[0] <= want.high_s + late_s + 1e-6 and _is_same(want.what, each[1], values)
        ]
        if fits:
            left.remove(fits[0])
        else:
            missing.append(f"wanted between {want.low_s:g} and {want.high_s:g}: {want.what}")
    return missing + [f"not wanted: {text} at {at_s:g}" for at_s, text in left]


def _is_same(wanted: str, found: str, values: bool) -> bool:
    words = wanted.split()
    return found.split()[: len(words)] == words if values else found.split()[:3] == words[:3]
