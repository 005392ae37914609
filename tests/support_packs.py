"""Time scripts for the shipped rules: the real loader, the pure engine, devices that obey. One file is one story.

A line of a script is an act or an expectation:

    at 2.2 s set 3-2-03-0301/smoke alarm=true temp=60.5      a device says so (bad: a reading that is no value)
    at 5 s press 3-2-03-0301/sos pressed=true                the same; the word is for the reader
    at 9 s lose 3-2-03-0301/smoke                            it falls silent (find: it is heard again)
    at 20 s take smoke-fire                                  a person's verb on the rule's newest alarm, with arguments
    at 20 s take life-quiet @room:3-2-02-0201                ... or on that of a source
    at 30 s restart                                          kill -9, and on from the journal; Modbus is polled again
    at 30 s clock +1h                                        somebody sets the wall clock
    at 0 s deaf 3-1-01-DOOR/door                             from now on it obeys no command
    between 0 and 3 s want alarm smoke-fire                  raised then (at *pattern*: only at such sources)
    between 0 and 60 s want no alarm smoke-fire              (without a name: no alarm at all)
    between 0 and 3 s want 10 commands */on.*=false          so many, to different points; without a number: some
    between 29 and 31 s want notice grid_worker              also: want no notice, want event confirmed smoke-fire
    between 0 and 1 s want ended smoke-fire                  it is open no longer

Times: s, m, h. A command is obeyed 0.2 s later: the point then reads as commanded. Gas detectors that a script does not
name report 0 %LEL every two minutes, as mains-powered ones do.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from gateway.app.loading import check_site
from gateway.model import DeviceStatus, Quality, Reading, Site, Step, Value, Verb
from tests.support_rules import ZHANG, Player

SHIPPED = Path(__file__).parent.parent / "config"
CASES = Path(__file__).parent / "cases" / "packs"
OBEYS_S = 0.2
_REPORTS_S = 120.0
_BLINK_S = 0.001  # between a restart, the first poll after it, and what happens next
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_AT = re.compile(r"at ([\d.]+) ([smh]) (\w+) ?(.*)")
_WANT = re.compile(
    r"between ([\d.]+) and ([\d.]+) ([smh]) want (no |\d+ )?(alarm|command|notice|ended|refusal|event \w+)s?"
    r"(?: (?!at )([^ ]+))?(?: at ([^ ]+))?"
)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens."""

    at_s: float
    what: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Something that must, or must not, be seen within a time."""

    line: str
    from_s: float
    to_s: float
    count: int | None  # 0: none; None: at least one
    kind: str
    pattern: str
    source: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that the gateway did."""

    at_s: float
    kind: str
    name: str
    source: str = ""


@functools.cache
def shipped() -> Site:
    """The configuration in `config/`, by the real loader."""
    found = check_site(SHIPPED)
    assert found.site is not None, [str(each) for each in found.findings]
    return found.site


def scripts() -> list[Path]:
    """Every story."""
    return sorted(CASES.glob("*/*.yaml"))


def parse(path: Path) -> tuple[list[Act], list[Want]]:
    """Acts in order of time, and expectations."""
    acts, wants = [], []
    for line in yaml.safe_load(path.read_text(encoding="utf-8"))["script"]:
        if found := _AT.fullmatch(line):
            at, unit, what, rest = found.groups()
            acts.append(Act(float(at) * _UNITS[unit], what, tuple(rest.split())))
        elif found := _WANT.fullmatch(line):
            first, last, unit, number, kind, pattern, source = found.groups()
            count = None if number is None else 0 if number == "no " else int(number)
            scale = _UNITS[unit]
            span = float(first) * scale, float(last) * scale
            wants.append(Want(line, *span, count, kind, pattern or "*", source or "*"))
        else:
            raise ValueError(f"{path.name}: cannot read {line!r}")
    return sorted(acts, key=lambda each: each.at_s), wants


class Stage:
    """The shipped site, and devices that obey."""

    def __init__(self, site: Site) -> None:
        self.player = Player(site)
        self.player.restart(0.0)
        self.points = {point.id: point for device in site.devices.values() for point in device.points}
        self.polled = {
            point.id
            for device in site.devices.values()
            for point in device.points
            if device.bus_id and site.buses[device.bus_id].type != "mqtt"
        }
        self.deaf: set[str] = set()
        self._last: dict[str, Value] = {}  # what polled points read now
        self._told: list[tuple[float, str, Value]] = []  # what devices will say by themselves
        self._looked = 0
        self._reporting: list[str] = []
        self._report_s = 0.5

    def play(self, acts: list[Act], end_s: float, *, restart_before: int = -1) -> list[Seen]:
        """Everything that was seen."""
        named = {act.words[0] for act in acts if act.words}
        gas = [each for each in self.points.values() if each.name == "lel"]
        self._reporting = [each.id for each in gas if each.device_id not in named]
        for number, act in enumerate(acts):
            self._pass(act.at_s)
            if number == restart_before:
                self._restart(act.at_s)
            self._do(act)
        self._pass(end_s)
        return list(self._seen())

    def _pass(self, to_s: float) -> None:
        """Let time pass; devices obey meanwhile."""
        while True:
            self._hear_commands()
            wake = self.player.engine.next_wake()
            told_s = self._told[0][0] if self._told else to_s
            wake_s = to_s if wake is None else max(0.0, wake - 1000.0)
            next_s = min(told_s, wake_s, self._report_s, to_s)
            if next_s >= to_s:
                return
            if self._report_s <= next_s:
                at = self.player.now(next_s).utc
                self.player.step(next_s, *[Reading(each, 0.0, at, at) for each in self._reporting])
                self._report_s += _REPORTS_S
            elif told_s <= next_s:
                _, point_id, value = self._told.pop(0)
                self._read(next_s, {point_id: value})
            else:
                self.player.step(next_s + 0.001)

    def _hear_commands(self) -> None:
        for step in self.player.steps[self._looked :]:
            at_s = step.now.mono_s - 1000.0
            for command in step.commands:
                if command.point_id.rpartition("/")[0] not in self.deaf:
                    self._told.append((at_s + OBEYS_S, command.point_id, command.value))
        self._looked = len(self.player.steps)
        self._told.sort(key=lambda each: each[0])

    def _do(self, act: Act) -> None:
        at_s, words, player = act.at_s, act.words, self.player
        match act.what:
            case "set" | "press":
                self._say(at_s, words[0], words[1:])
            case "lose" | "find":
                player.step(at_s, DeviceStatus(words[0], act.what == "find", player.now(at_s).utc))
            case "restart":
                self._restart(at_s)
            case "clock":
                player.wall_shift_s += float(words[0][:-1]) * _UNITS[words[0][-1]]
            case "deaf":
                self.deaf.add(words[0])
            case verb:
                self._handle(at_s, Verb(verb), words)
        self._hear_commands()

    def _handle(self, at_s: float, verb: Verb, words: tuple[str, ...]) -> None:
        rule_id, *rest = words
        source = rest.pop(0) if rest and "=" not in rest[0] else ""
        alarms = [each for each in self.player.alarms.values() if each.rule_id == rule_id]
        chosen = [each for each in alarms if source in {"", each.point_id}]
        assert chosen, f"no alarm of {rule_id} {source} at {at_s:g} s"
        args: dict[str, str] = dict(each.split("=") for each in rest)
        self.player.step(at_s, self.player.request(verb, chosen[-1], ZHANG, at_s, **args))

    def _say(self, at_s: float, device_id: str, values: tuple[str, ...]) -> None:
        """One message of a device, as its driver would hand it in."""
        told: dict[str, Value | None] = {}
        for each in values:
            name, _, text = each.partition("=")
            point = self.points.get(f"{device_id}/{name}")
            assert point is not None, f"no point {device_id}/{name}"
            told[point.id] = None if text == "bad" else typed(point.type, text)
        self._read(at_s, told)

    def _read(self, at_s: float, told: Mapping[str, Value | None]) -> None:
        at = self.player.now(at_s).utc
        good = {key: value for key, value in told.items() if value is not None}
        self._last |= {key: value for key, value in good.items() if key in self.polled}
        inputs = [Reading(key, value, at, at) for key, value in good.items()]
        self.player.step(at_s, *inputs, *(Reading(key, None, at, at, Quality.BAD) for key in told if key not in good))

    def _restart(self, at_s: float) -> None:
        self.player.restart(max(0.0, at_s - 2 * _BLINK_S))
        self._read(max(0.0, at_s - _BLINK_S), self._last)

    def _seen(self) -> Iterator[Seen]:
        for step in self.player.steps:
            yield from _seen_in(step)


def _seen_in(step: Step) -> Iterator[Seen]:
    at_s = step.now.mono_s - 1000.0
    for event in step.events:
        alarm = step.alarms[event.alarm_id]
        yield Seen(at_s, f"event {event.kind}", alarm.rule_id, alarm.point_id)
        if event.kind in {"raised", "reraised"}:
            yield Seen(at_s, "alarm", alarm.rule_id, alarm.point_id)
        if not alarm.is_open:
            yield Seen(at_s, "ended", alarm.rule_id, alarm.point_id)
    for command in step.commands:
        yield Seen(at_s, "command", f"{command.point_id}={str(command.value).lower()}")
    for notice in step.notices:
        yield Seen(at_s, "notice", notice.recipient, notice.alarm_id)
    for reply in step.replies:
        if reply.code:
            yield Seen(at_s, "refusal", reply.code)


def typed(kind: str, text: str) -> Value:
    """A word of a script as a value of the point's type."""
    if kind == "bool":
        return {"true": True, "false": False}[text]
    if kind == "text":
        return text
    return int(text) if kind == "int" else float(text)


def unmet(wants: list[Want], seen: list[Seen]) -> list[str]:
    """The expectations that were not met, with what was seen instead."""
    return [f"{want.line}\n    seen: {_shown(seen, want)}" for want in wants if not _is_met(want, seen)]


def _is_met(want: Want, seen: list[Seen]) -> bool:
    fitting = {
        (each.name, each.source)
        for each in seen
        if each.kind == want.kind
        and want.from_s - 1e-6 <= each.at_s <= want.to_s + 1e-6
        and fnmatchcase(each.name, want.pattern)
        and fnmatchcase(each.source, want.source)
    }
    return len(fitting) > 0 if want.count is None else len(fitting) == want.count


def _shown(seen: list[Seen], want: Want) -> str:
    lines = (f"{each.at_s:g} s {each.name} {each.source}".rstrip() for each in seen if each.kind == want.kind)
    return "; ".join(lines)[:600]


def rule_ids(site: Site) -> dict[str, Any]:
    """The shipped rules by id."""
    return {each.id: each for each in site.rules}
