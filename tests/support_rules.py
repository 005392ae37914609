"""A small site and a player of time scripts for tests of the rules room."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.counters import Counters
from gateway.model import (
    Actor,
    Alarm,
    AlarmClass,
    AlarmEvent,
    Condition,
    Device,
    DeviceParams,
    Input,
    Mark,
    MarkChange,
    Now,
    OperatorRequest,
    Place,
    Point,
    Quality,
    Reading,
    Recipient,
    Rule,
    Site,
    Step,
    Value,
    Verb,
)
from gateway.notify.policy import NoticePolicy
from gateway.rules import Engine, fold

START = datetime(2025, 6, 1, 8, 0, tzinfo=UTC)
ZHANG = Actor("张师傅", "duty", "console")
LI = Actor("李姐", "duty", "console")
WANG = Actor("王主管", "supervisor", "console")


def place(text: str, zone: str = "") -> Place:
    """楼栋-单元-楼层-房号; missing parts are empty."""
    building, unit, floor, room = [*text.split("-"), "", "", ""][:4]
    return Place(text, building, unit, floor, room, zone)


def device(
    id_: str, kind: str, points: Mapping[str, str], *, writable: Sequence[str] = (), zone: str = "", **extra: Any
) -> Device:
    """A device with ``points`` by name and type; ``extra`` goes to every point."""
    made = [Point(f"{id_}/{n}", id_, n, t, is_writable=n in writable, **extra) for n, t in points.items()]
    where = place(id_.partition("/")[0], zone)
    return Device(id_, kind, kind, where, "p", "field", None, tuple(made), DeviceParams(None, None))


def site(devices: Sequence[Device], rules: Sequence[Rule], recipients: Sequence[str] = ("duty",)) -> Site:
    """A site with nothing but these."""
    return Site(
        id="gw1",
        title="阳光花园",
        timezone="Asia/Shanghai",
        data_dir="",
        web_host="",
        web_port=0,
        buses={},
        devices={each.id: each for each in devices},
        rules=tuple(rules),
        recipients={each: Recipient(each, each, {}) for each in recipients},
        uplinks=(),
        digest="",
    )


def rule(points: Sequence[str], condition: Condition, cls: AlarmClass = AlarmClass.WARNING, **extra: Any) -> Rule:
    """A rule called r."""
    return Rule(**({"id": "r", "title": "规则"} | extra), alarm_class=cls, points=tuple(points), condition=condition)


def now(at_s: float, *, wall_shift_s: float = 0.0) -> Now:
    """``at_s`` seconds into the script; the wall clock may be shifted against the monotonic one."""
    return Now(START + timedelta(seconds=at_s + wall_shift_s), 1000.0 + at_s)


class Player:
    """An engine with its journal: plays inputs in time, can be restarted at any moment."""

    def __init__(self, of: Site, *, settle_s: float = 0.0, chatter_s: float = 0.0) -> None:
        """``chatter_s`` 0: what comes and goes is told each time, so that scripts can be short."""
        self.site = of
        self.chatter_s = chatter_s
        self.settle_s = settle_s
        self.wall_shift_s = 0.0
        self.counters = Counters()
        self.journal: list[AlarmEvent] = []
        self.alarms: dict[str, Alarm] = {}  # as the store keeps them: from Step.alarms
        self.timers: dict[str, tuple[datetime, float]] = {}
        self.begun_s: dict[str, float] = {}  # key -> start on the monotonic clock, which a kill does not stop
        self.marks: dict[tuple[Mark, str, str], MarkChange] = {}
        self.said: list[str] = []
        self.steps: list[Step] = []
        self.requests = 0
        self.engine = self._new()

    def _new(self) -> Engine:
        return Engine(
            self.site,
            counters=self.counters,
            policy=NoticePolicy(self.site),
            settle_s=self.settle_s,
            chatter_s=self.chatter_s,
        )

    def now(self, at_s: float) -> Now:
        return now(at_s, wall_shift_s=self.wall_shift_s)

    def restart(self, at_s: float) -> None:
        """Forget everything but what was committed; delays go on as `gateway.store.timers` keeps them."""
        occurrences: dict[tuple[str, str], int] = {}
        for alarm in self.alarms.values():
            key = alarm.rule_id, alarm.point_id
            occurrences[key] = max(alarm.occurrence, occurrences.get(key, 0))
        self.engine = self._new()
        at = self.now(at_s)
        timers = [
            (key, at.utc - timedelta(seconds=at.mono_s - self.begun_s[key]), duration_s)
            for key, (_, duration_s) in self.timers.items()
        ]
        open_alarms = [a for a in self.alarms.values() if a.is_open]
        self.engine.restore(open_alarms, occurrences, timers, at, marks=self.marks.values())
        self.engine.restore_said(self.said)

    def step(self, at_s: float, *inputs: Input) -> Step:
        """One batch at ``at_s``, after every timer that is due before it, each woken at its own instant."""
        while (wake := self.engine.next_wake()) is not None and wake < 1000.0 + at_s:
            self._commit(self.engine.step([], self.now(wake - 1000.0)))
        return self._commit(self.engine.step(inputs, self.now(at_s)))

    def _commit(self, step: Step) -> Step:
        self.steps.append(step)
        self.journal += step.events
        self.alarms.update(step.alarms)
        self.said += [each.key for each in step.notices]
        for change in step.timers:
            if change.started_at is None:
                self.timers.pop(change.key, None)
            else:
                self.timers[change.key] = change.started_at, change.duration_s
                ago_s = (step.now.utc - change.started_at).total_seconds()
                self.begun_s[change.key] = step.now.mono_s - ago_s
        for mark in step.marks:
            if mark.is_set:
                self.marks[mark.mark, mark.scope, mark.key] = mark
            else:
                del self.marks[mark.mark, mark.scope, mark.key]
        return step

    def read(self, at_s: float, point_id: str, value: Value | None, **extra: Any) -> Step:
        """A reading; ``device_s`` is the device's own time in script seconds."""
        received = self.now(at_s).utc
        device_s = extra.pop("device_s", None)
        at = received if device_s is None else START + timedelta(seconds=device_s)
        quality = extra.pop("quality", Quality.BAD if value is None else Quality.GOOD)
        return self.step(at_s, Reading(point_id, value, at, received, quality))

    def request(
        self, verb: Verb, alarm: Alarm, actor: Actor = ZHANG, at_s: float = 0.0, **args: str
    ) -> OperatorRequest:
        """``verb`` on the alarm as ``alarm`` shows it."""
        self.requests += 1
        at = self.now(at_s).utc
        return OperatorRequest(
            f"q{self.requests}", actor, verb, alarm.id, alarm.version, at, at + timedelta(seconds=10), args
        )

    def do(self, at_s: float, verb: Verb, *, rule_id: str = "", **args: str) -> Step:
        """``verb`` on the newest alarm (of that rule)."""
        alarm = [each for each in self.alarms.values() if rule_id in {"", each.rule_id}][-1]
        return self.step(at_s, self.request(verb, alarm, ZHANG, at_s, **args))

    def mark(
        self, at_s: float, mark: str, scope: str, key: str, minutes: str = "", *, actor: Actor = WANG,
        verb: Verb = Verb.MARK, reason: str = "检修",
    ) -> Step:  # fmt: skip
        """Set a mark, or lift it."""
        self.requests += 1
        at = self.now(at_s).utc
        args = {"mark": mark, "scope": scope, "key": key, "minutes": minutes, "reason": reason}
        asked = OperatorRequest(f"q{self.requests}", actor, verb, "", 0, at, at + timedelta(seconds=10), args)
        return self.step(at_s, asked)

    def kinds(self) -> list[str]:
        """The journal in short."""
        return [each.kind for each in self.journal]


def folded(journal: Sequence[AlarmEvent]) -> dict[str, Alarm]:
    """Every alarm by its events alone, as a new reader of the journal would see it."""
    alarms: dict[str, Alarm] = {}
    for event in journal:
        alarms[event.alarm_id] = fold(alarms.get(event.alarm_id), event)
    return alarms


def as_bytes(steps: Sequence[Step]) -> bytes:
    """Everything the engine decided, as one string of bytes."""
    return "\n".join(json.dumps(asdict(step), default=str, ensure_ascii=False) for step in steps).encode()
