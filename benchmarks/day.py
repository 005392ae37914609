"""A day of the community, with people who answer: how many alarms is that? In virtual time, the pure engine.

The shipped configuration is copied to ``--copies`` as many buildings. Each point, and the presence of each device,
has by chance (``--share`` per day) a false alarm or a fault: it says what its rules look for, for a while; one in
ten flickers. Once a day a line is gone for ten minutes with all that hangs on it. A person takes each alarm after
two minutes and closes it after five, as a duty officer would.

Counted is what people hear or are told: raised, raised again or shown again, and neither suppressed nor of class
maintenance. Targets (ISA-18.2, EEMUA 191): at most 1 per 10 minutes on average, less than 1 % of windows above 10.

``python -m benchmarks.day [--seeds 5] [--copies 40] [--share 0.001] [--config config]``
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.harness import ROOT, BenchError
from benchmarks.report import Figure, Report, Spread, percentile, show
from gateway.app.loading import check_site
from gateway.counters import Counters
from gateway.model import (
    Actor,
    Alarm,
    AlarmClass,
    AlarmCondition,
    Condition,
    Device,
    DeviceStatus,
    Handling,
    Input,
    Now,
    OperatorRequest,
    Point,
    Quality,
    Reading,
    Rule,
    Site,
    Step,
    Value,
    Verb,
    Watched,
)
from gateway.notify.policy import NoticePolicy
from gateway.rules.engine import Engine

DAY_S = 86_400.0
WINDOW_S = 600.0
START = datetime(2026, 3, 2, tzinfo=UTC)
OFFICER = Actor("值班员", "supervisor", "console")
TAKE_S, CLOSE_S, RESET_S = 120.0, 300.0, 600.0
LINE_OUT_S = 600.0
FLICKER_SHARE = 0.1


# The community ---------------------------------------------------------------------------------------------------


def many(site: Site, copies: int) -> Site:
    """The same site, ``copies`` times: each copy has buildings and zones of its own, on the same lines."""
    devices: dict[str, Device] = {each.id: each for each in site.devices.values() if not each.bus_id}
    for n in range(copies):
        for device in site.devices.values():
            if device.bus_id:
                made = _copy(device, n)
                devices[made.id] = made
    return replace(site, devices=devices, rules=tuple(_rule(each, copies) for each in site.rules))


def _name(id_: str, n: int) -> str:
    return f"{n}_{id_}"


def _copy(device: Device, n: int) -> Device:
    id_ = _name(device.id, n)
    place = device.place
    zone = place.zone and _name(place.zone, n)
    place = place._replace(text=_name(place.text, n), building=place.building and _name(place.building, n), zone=zone)
    points = tuple(replace(each, id=_name(each.id, n), device_id=id_) for each in device.points)
    return replace(device, id=id_, place=place, points=points)


_BUILT_IN = ("line/", "uplink/", "channel/", "gateway/")


def _points(ids: Sequence[str], copies: int) -> tuple[str, ...]:
    own = [each for each in ids if each.startswith(_BUILT_IN)]
    return (*own, *(_name(each, n) for n in range(copies) for each in ids if not each.startswith(_BUILT_IN)))


def _rule(rule: Rule, copies: int) -> Rule:
    condition = rule.condition
    parts = tuple(Watched(_points(each.points, copies), each.condition) for each in condition.parts)
    return replace(rule, points=_points(rule.points, copies), condition=replace(condition, parts=parts))


# What happens ----------------------------------------------------------------------------------------------------


@dataclass(order=True)
class Happening:
    """One input at its instant; ``order`` keeps equal instants in order."""

    at_s: float
    order: int
    what: Point | Device = field(compare=False)
    value: Value | None = field(compare=False)


class Plant:
    """Points and devices that now and then say what is not so."""

    def __init__(self, site: Site, seed: int, share: float) -> None:
        self._random = random.Random(seed)
        self._site = site
        self._share = share
        self._order = 0
        self._wanted = _wanted(site.rules)
        self.incidents = 0

    def day(self) -> list[Happening]:
        """Everything that goes wrong in a day, in order."""
        found: list[Happening] = []
        for device in self._site.devices.values():
            if not device.bus_id:
                continue
            for point in device.points:
                if not point.is_writable and self._random.random() < self._share:
                    found += self._incident(point)
            if self._random.random() < self._share:
                found += self._gone(device, self._random.uniform(0, DAY_S), self._random.uniform(60, DAY_S / 4))
        found += self._line_out()
        found += self._routine()
        return sorted(found)

    def _routine(self) -> Iterator[Happening]:
        """What is expected to go on, does: meters report in time, people move about in their homes."""
        points = {each.id: each for device in self._site.devices.values() for each in device.points}
        for rule in self._site.rules:
            kind, within_s = rule.condition.kind, rule.condition.within_s
            if kind not in {"absent", "still"}:
                continue
            ids = rule.points if kind == "absent" else rule.condition.parts[0].points
            for point in (points[each] for each in ids if each in points):
                right = self._wanted[point.id][1] if point.id in self._wanted else _quiet(point)
                for n in range(int(3 * DAY_S / within_s)):
                    lives = kind == "still" and point.id not in self._wanted
                    yield self._at((n + 0.5) * within_s / 3, point, _moved(point, n) if lives else right)

    def _incident(self, point: Point) -> Iterator[Happening]:
        self.incidents += 1
        wrong, right = self._wanted.get(point.id) or (None, _quiet(point))
        at_s = self._random.uniform(0, DAY_S)
        if self._random.random() < FLICKER_SHARE:
            for _ in range(self._random.randint(20, 200)):
                yield self._at(at_s, point, wrong)
                yield self._at(at_s + 1.0, point, right)
                at_s += self._random.uniform(1.5, 8.0)
            return
        yield self._at(at_s, point, wrong)
        yield self._at(at_s + self._random.choice([2.0, 30.0, 600.0, 7200.0]), point, right)

    def _gone(self, device: Device, at_s: float, for_s: float) -> Iterator[Happening]:
        self.incidents += 1
        yield self._at(at_s, device, value=False)
        yield self._at(at_s + for_s, device, value=True)

    def _line_out(self) -> Iterator[Happening]:
        bus_id = self._random.choice(sorted({each.bus_id for each in self._site.devices.values() if each.bus_id}))
        at_s = self._random.uniform(0, DAY_S - 3 * LINE_OUT_S)
        line = self._site.devices.get(f"line/{bus_id}")
        if line is not None:
            yield from self._gone(line, at_s, LINE_OUT_S)
        for device in self._site.devices.values():
            if device.bus_id == bus_id:
                yield self._at(at_s + self._random.uniform(0, 5), device, value=False)
                yield self._at(at_s + LINE_OUT_S + self._random.uniform(0, 60), device, value=True)

    def _at(self, at_s: float, what: Point | Device, value: Value | None) -> Happening:
        self._order += 1
        return Happening(at_s, self._order, what, value)


def _wanted(rules: Sequence[Rule]) -> dict[str, tuple[Value, Value]]:
    """By point: what makes a rule of it true, and what does not."""
    found: dict[str, tuple[Value, Value]] = {}
    for rule in rules:
        for points, condition in [
            (rule.points, rule.condition),
            *((e.points, e.condition) for e in rule.condition.parts),
        ]:
            values = _values(condition)
            if values is not None:
                for each in points:
                    wrong, right = found.setdefault(each, values)
                    if condition.kind == "above" and isinstance(right, int | float) and right > float(values[1]):
                        found[each] = wrong, values[1]
    return found


def _values(condition: Condition) -> tuple[Value, Value] | None:
    value, clear = condition.value, condition.clear
    if condition.kind in {"equals", "changed_to"}:
        return value, (not value if isinstance(value, bool) else "" if isinstance(value, str) else value + 1)
    if condition.kind in {"above", "below"} and isinstance(value, int | float):
        edge = clear if clear is not None else value
        step = max(1.0, abs(value) * 0.02)
        return (value + step, edge - step) if condition.kind == "above" else (value - step, edge + step)
    return None


def _moved(point: Point, n: int) -> Value:
    """Something else each time: somebody was there."""
    moved: dict[str, Value] = {"bool": n % 2 == 1, "text": str(n)}
    return moved.get(point.type, (point.low or 0.0) + n % 2)


def _quiet(point: Point) -> Value:
    quiet: dict[str, Value] = {"bool": False, "text": ""}
    return quiet.get(point.type, point.low or 0.0)


# People ----------------------------------------------------------------------------------------------------------


class Officer:
    """Takes alarms, closes them, resets them; asks again when refused."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._requests = 0
        self.due: list[tuple[float, int, str]] = []

    def hear(self, step: Step, at_s: float) -> None:
        """An alarm is on the screen."""
        for event in step.events:
            if event.kind in {"raised", "unsuppressed", "reraised"}:
                self._later(at_s + TAKE_S, event.alarm_id)

    def acts(self, at_s: float, now: Now) -> Iterator[OperatorRequest]:
        """What is due to be done by now."""
        while self.due and self.due[0][0] <= at_s:
            _, _, alarm_id = heapq.heappop(self.due)
            alarm = self._engine.alarms.get(alarm_id)
            if alarm is not None and not alarm.suppressed_by:
                request = self._request(alarm, now)
                if request is not None:
                    yield request
                self._later(at_s + CLOSE_S, alarm_id)

    def _request(self, alarm: Alarm, now: Now) -> OperatorRequest | None:
        args = {"outcome": "误报", "cause": "测试"}
        if alarm.handling is Handling.NEW:
            return self._made(Verb.TAKE, alarm, now, {})
        if alarm.handling is not Handling.CLOSED and alarm.condition is AlarmCondition.RETURNED:
            rule = next(each for each in self._engine_rules if each.id == alarm.rule_id)
            args["outcome"] = rule.outcomes[0] if rule.outcomes else "误报"
            return self._made(Verb.CLOSE, alarm, now, args)
        if alarm.is_latched and alarm.condition is AlarmCondition.RETURNED:
            return self._made(Verb.RESET, alarm, now, {})
        if alarm.handling is not Handling.CLOSED and alarm.alarm_class is AlarmClass.SOS:
            rule = next(each for each in self._engine_rules if each.id == alarm.rule_id)
            args["outcome"] = rule.outcomes[0] if rule.outcomes else "误触"
            return self._made(Verb.CLOSE, alarm, now, args)
        return None

    def know(self, rules: Sequence[Rule]) -> None:
        """The words in which an alarm may be closed."""
        self._engine_rules = rules

    def _made(self, verb: Verb, alarm: Alarm, now: Now, args: dict[str, str]) -> OperatorRequest:
        self._requests += 1
        until = now.utc + timedelta(seconds=10)
        return OperatorRequest(f"q{self._requests}", OFFICER, verb, alarm.id, alarm.version, now.utc, until, args)

    def _later(self, at_s: float, alarm_id: str) -> None:
        heapq.heappush(self.due, (at_s, self._requests, alarm_id))


# The day ---------------------------------------------------------------------------------------------------------


@dataclass
class Day:
    """What one day was like."""

    incidents: int
    per_window: list[int]
    by_class: Counter[str]
    worst: list[tuple[str, int]]


def play(site: Site, seed: int, share: float) -> Day:
    """Play one day."""
    plant = Plant(site, seed, share)
    engine = Engine(site, counters=Counters(), policy=NoticePolicy(site), settle_s=0.0)
    officer = Officer(engine)
    officer.know(site.rules)
    engine.restore((), {}, (), _now(0.0))
    heard: list[tuple[float, str, str]] = []
    happenings = plant.day()
    at_s, index = 0.0, 0
    while at_s < DAY_S:
        soon = [DAY_S, (engine.next_wake() or float("inf")) - 1000.0]
        soon += [happenings[index].at_s] if index < len(happenings) else []
        soon += [officer.due[0][0]] if officer.due else []
        at_s = max(at_s, min(soon))
        now = _now(at_s)
        inputs: list[Input] = list(officer.acts(at_s, now))
        while index < len(happenings) and happenings[index].at_s <= at_s:
            inputs.append(_input(happenings[index], now))
            index += 1
        step = engine.step(inputs, now)
        if step.events:
            officer.hear(step, at_s)
            heard += [(at_s, *each) for each in _annunciated(step)]
    windows = [0] * int(DAY_S / WINDOW_S)
    for when, _, _ in heard:
        windows[min(int(when / WINDOW_S), len(windows) - 1)] += 1
    by_rule = Counter(rule for _, _, rule in heard)
    return Day(plant.incidents, windows, Counter(cls for _, cls, _ in heard), by_rule.most_common(3))


def _annunciated(step: Step) -> Iterator[tuple[str, str]]:
    """(class, rule) of what is seen and heard at the end of the step because of it."""
    for event in step.events:
        if event.kind not in {"raised", "reraised", "unsuppressed"}:
            continue
        alarm = step.alarms[event.alarm_id]
        if not alarm.is_muted and alarm.alarm_class is not AlarmClass.MAINTENANCE:
            yield alarm.alarm_class.value, alarm.rule_id


def _input(happening: Happening, now: Now) -> Input:
    what = happening.what
    if isinstance(what, Device):
        return DeviceStatus(what.id, happening.value is True, now.utc)
    quality = Quality.BAD if happening.value is None else Quality.GOOD
    return Reading(what.id, happening.value, now.utc, now.utc, quality)


def _now(at_s: float) -> Now:
    return Now(START + timedelta(seconds=at_s), 1000.0 + at_s)


def run(seeds: int = 5, copies: int = 40, share: float = 0.001, config: Path = ROOT / "config") -> Report:
    """``seeds`` days of the configuration."""
    checked = check_site(config)
    if checked.site is None:
        raise BenchError(f"the configuration has errors: shouwang check --config {config}")
    site = many(checked.site, copies)
    days = [play(site, seed, share) for seed in range(1, seeds + 1)]
    devices = sum(bool(each.bus_id) for each in site.devices.values())
    points = sum(len(each.points) for each in site.devices.values())
    report = Report(f"A day of {devices:,} devices, {points:,} points, {share:.2%} false or faulty per point and day")
    means = Spread(tuple(statistics.mean(each.per_window) for each in days))
    over = Spread(tuple(100 * sum(n > 10 for n in each.per_window) / len(each.per_window) for each in days))
    report.figures = [
        Figure("annunciated alarms", "per 10 min", "≤ 1 on average", means, holds=lambda f: _worst(f) <= 1.0),
        Figure("10-minute windows above 10", "%", "< 1", over, holds=lambda f: _worst(f) < 1.0),
        Figure("most in one window", "", "", Spread(tuple(float(max(each.per_window)) for each in days)), form=".0f"),
        Figure("incidents", "a day", "", Spread(tuple(float(each.incidents) for each in days)), form=".0f"),
    ]
    for seed, day in enumerate(days, 1):
        spread = ", ".join(f"{share_:g}: {percentile(day.per_window, share_)}" for share_ in (0.5, 0.9, 0.99, 1.0))
        classes = ", ".join(f"{name} {n}" for name, n in sorted(day.by_class.items()))
        report.notes.append(
            f"seed {seed}: {sum(day.per_window)} annunciated of {day.incidents} incidents; per window by share "
            f"{spread}; {classes}; most often {', '.join(f'{name} {n}' for name, n in day.worst)}"
        )
    return report


def _worst(figure: Figure) -> float:
    return max(figure.ours.runs) if figure.ours else float("inf")


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--copies", type=int, default=40)
    options.add_argument("--share", type=float, default=0.001)
    options.add_argument("--config", type=Path, default=ROOT / "config")
    given = options.parse_args()
    show(run(given.seeds, given.copies, given.share, given.config))


if __name__ == "__main__":
    main()
