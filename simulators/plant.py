"""Simulators: the plant: what every device feels, as a pure function of seed, time and what people do. No sockets.

Time is an argument, in seconds since the start. Each device draws from its own seeded random, so that the order of
devices, the number of them or what happens elsewhere does not change what one of them does.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from typing import NamedTuple

from simulators import charging, kinds, visitors
from simulators.spec import SimDevice, SimError, SimPoint, SimSite, Value

TICK_S = 1.0  # measured values of polled devices drift this often
RAMP_STEP_S = 0.25
_FIRST_REPORTS_PER_S = 200  # after the start every device reports once, spread like this
_REPORT_ALL_S = 2.0  # asked to report, all do so within this time and twice this time
_JITTER = 0.1  # of the reporting period
ONLINE = "online"  # the implicit point: false makes a device fall silent
MAIN_SWITCH = "main-switch"  # the kind that feeds the chargers of its zone


class Event(NamedTuple):
    """Something a device has to tell: its values at ``at_s``; ``changed`` is empty for a periodic report."""

    at_s: float
    device_id: str
    changed: tuple[str, ...]
    values: Mapping[str, Value]
    is_alarm: bool


class _Ramp(NamedTuple):
    started_s: float
    over_s: float
    first: float
    last: float


class _Task(NamedTuple):
    """Something due; compared by time, then by order of planning, so that equal seeds give equal runs."""

    at_s: float
    order: int
    kind: str  # report | once | tick | release | ramp | auto | pulse | open | close
    device_id: str
    point: str = ""
    token: int = 0


class _State:
    """One device: what the world wants of it (``wanted``), who insists (``pinned``), what it shows (``values``)."""

    def __init__(self, device: SimDevice, seed: int) -> None:
        self.device = device
        self.rng = random.Random(f"{seed}/{device.id}")
        self.is_online = True
        self.pinned: dict[str, Value] = {}
        self.hidden: dict[str, Value] = {}  # what no point shows (see `charging`)
        self.wanted = {name: kinds.idle(device, point, self.rng) for name, point in device.points.items()}
        for name, point in device.points.items():
            if point.base == "power" and point.base not in device.behaviour.idle:
                self.wanted[name] = kinds.clamped(point, kinds.idle_power(device, self.rng))
        self._wobbling = [(n, p, reach) for n, p in device.points.items() if (reach := kinds.wobble(device, p))]
        self.sessions = {
            tail: charging.Session(float(self.wanted[f"power{tail}"]), self.rng) for tail in charging.sockets(device)
        }
        for tail, session in self.sessions.items():
            self.wanted |= charging.plug(self.wanted, tail, session)
        self.values = dict(self.wanted)
        self.settle()

    def set(self, wanted: Mapping[str, Value], *, pins: bool) -> tuple[str, ...]:
        """Make the world want these values; returns the points that show something else than before."""
        self.wanted.update(wanted)
        if pins:
            self.pinned.update(wanted)
        before = dict(self.values)
        self.values.update(wanted)
        self.settle()
        return tuple(name for name, value in self.values.items() if before[name] != value)

    def settle(self) -> None:
        """Let what hangs together do so."""
        self._restore_loads()
        kinds.settle(self.device, self.values, self.pinned, self.hidden)

    def charge(self, elapsed_s: float) -> None:
        """Vehicles take energy, become full, leave; others come. What a person has set stays."""
        for tail, session in self.sessions.items():
            if self.pinned.keys() & {f"power{tail}", f"plugged{tail}", f"on{tail}"}:
                continue
            if session.pass_time(elapsed_s, float(self.values[f"power{tail}"])):
                self.set(charging.plug(self.values, tail, session), pins=False)
            else:
                self.wanted[f"power{tail}"] = round(session.power_w, 1)

    def drift(self) -> None:
        """Measured values wobble around what they should be; pinned ones stand still."""
        for name, point, reach in self._wobbling:
            base = self.wanted[name]
            if name not in self.pinned and not isinstance(base, str) and (base or point.base != "power"):
                self.values[name] = kinds.clamped(point, float(base) + self.rng.uniform(-reach, reach))
        self.settle()

    def meter(self, elapsed_s: float) -> None:
        """Energy meters move on, at full precision, and show it rounded."""
        kinds.meter(self.device, self.wanted, self.values, elapsed_s)
        for name, point in self.device.points.items():
            if point.base == "energy":
                self.values[name] = kinds.clamped(point, float(self.wanted[name]))

    def _restore_loads(self) -> None:
        """A socket that is on again draws what its vehicle wants."""
        for name, point in self.device.points.items():
            if point.base in ("power", "current") and not self.values[name]:
                self.values[name] = self.wanted[name]


class Plant:
    """All devices of a site.

    Feed it time with `advance`, people with `press`, `set` and `ramp`, the gateway's commands with `write`. What
    devices have to tell comes out of `advance` as `Event` s, in order.
    """

    def __init__(self, site: SimSite, *, seed: int = 1, pace: float = 1.0) -> None:
        """``pace`` multiplies every reporting period (0.1: ten times as often)."""
        self.now_s = 0.0
        self._pace = pace
        self._states = {device.id: _State(device, seed) for device in site.devices.values()}
        self._agenda: list[_Task] = []
        self._ramps: dict[tuple[str, str], tuple[int, _Ramp]] = {}
        self._releases: dict[str, tuple[int, float]] = {}  # device -> token and time of the release to come
        self._visitors: dict[str, float] = {}  # device -> when somebody called there
        self._planned = 0
        self._told: list[Event] = []
        spread_s = max(2.0, len(self._states) / _FIRST_REPORTS_PER_S)
        for state in self._states.values():
            if state.device.unit:
                self._plan(TICK_S, "tick", state.device.id)
            else:
                first_s = state.rng.uniform(0.2, min(spread_s, max(0.3, self._every_s(state))))
                self._plan(first_s, "report", state.device.id)
            if state.device.behaviour.auto_s:
                self._plan_auto(state)

    def values(self, device_id: str) -> Mapping[str, Value]:
        """What the device shows now."""
        return self._states[device_id].values

    def is_online(self, device_id: str) -> bool:
        """Does the device answer or report at all?"""
        return self._states[device_id].is_online

    def next_due_s(self) -> float:
        """When `advance` has something to do."""
        return self._agenda[0].at_s if self._agenda else self.now_s + TICK_S

    def advance(self, to_s: float) -> list[Event]:
        """Let time pass up to ``to_s``; returns what devices tell, in order."""
        while self._agenda and self._agenda[0].at_s <= to_s:
            task = heapq.heappop(self._agenda)
            self.now_s = max(self.now_s, task.at_s)
            self._do(task)
        self.now_s = max(self.now_s, to_s)
        told, self._told = self._told, []
        return told

    def press(self, device_id: str, point: str = "") -> str:
        """A momentary press of the device's main event or alarm point; returns the name of what was pressed.

        Raises:
            SimError: the device has nothing to press.
        """
        state = self._states[device_id]
        wanted, _ = _press(state.device, point)
        wanted = {name: _numbered(value, state.rng) for name, value in wanted.items()}
        counting = {state.device.points[name].counter for name in wanted if name in state.device.points} - {""}
        wanted |= {name: (int(state.values[name]) + 1) % 65_536 for name in sorted(counting)}
        if point == visitors.CALL:
            self._visitors[device_id] = self.now_s
        self._tell(state, state.set(wanted, pins=False) or tuple(wanted))
        release_s = self.now_s + state.device.behaviour.hold_s
        self._releases[device_id] = self._planned, release_s
        self._plan(release_s, "release", device_id, point)
        return next(iter(wanted))

    def report_all(self) -> None:
        """Let every device that reports by itself do so once, spread over a few seconds; its period stays."""
        reporting = [state.device.id for state in self._states.values() if not state.device.unit]
        for n, device_id in enumerate(reporting):
            self._plan(self.now_s + _REPORT_ALL_S * (1 + n / len(reporting)), "once", device_id)

    def set(self, device_id: str, wanted: Mapping[str, Value]) -> None:
        """A person, or nature, makes these points read so until told otherwise."""
        state = self._states[device_id]
        wanted = dict(wanted)
        for point in wanted:
            self._ramps.pop((device_id, point), None)
        if ONLINE in wanted and ONLINE not in state.device.points:
            state.is_online = wanted.pop(ONLINE) is True
        for name in [each for each in wanted if charging.is_hidden(state.device, each)]:
            state.hidden[name] = wanted.pop(name)
        changed = state.set(wanted, pins=True)
        self._feed(state)
        self._tell(state, changed or tuple(wanted))

    def write(self, device_id: str, point: str, value: Value) -> None:
        """The gateway commands a writable point; the device tells its new state even when it is the old one."""
        state = self._states[device_id]
        shown = state.device.points[point].readback
        wanted = {point: value} | ({shown: value} if shown in state.device.points else {})
        self._tell(state, state.set(wanted, pins=False) or (point,))
        self._feed(state)
        if value is True and visitors.is_let_in(state.device, point, self._visitors.get(device_id), self.now_s):
            del self._visitors[device_id]
            self._plan(self.now_s + visitors.OPENS_AFTER_S, "open", device_id, visitors.CONTACT)
        if value is True and point in state.device.behaviour.pulse_s:
            self._plan(self.now_s + state.device.behaviour.pulse_s[point], "pulse", device_id, point)

    def ramp(self, device_id: str, point: str, first: float, last: float, over_s: float) -> None:
        """Move a number evenly from ``first`` to ``last``; it stays there."""
        token = self._planned
        self._ramps[device_id, point] = token, _Ramp(self.now_s, max(over_s, RAMP_STEP_S), first, last)
        self._plan(self.now_s, "ramp", device_id, point)

    def _plan(self, at_s: float, kind: str, device_id: str, point: str = "") -> None:
        heapq.heappush(self._agenda, _Task(at_s, self._planned, kind, device_id, point, self._planned))
        self._planned += 1

    def _do(self, task: _Task) -> None:
        state = self._states[task.device_id]
        if task.kind == "tick":
            state.drift()
            state.meter(TICK_S)
            state.charge(TICK_S)
            self._plan(task.at_s + TICK_S, "tick", task.device_id)
        elif task.kind in ("report", "once"):
            self._report(task, state)
        elif task.kind == "release":
            self._release(task, state)
        elif task.kind == "auto":
            if not state.pinned.keys() & state.device.behaviour.press.keys():  # a person plays with it
                self.press(task.device_id)
            self._plan_auto(state)
        elif task.kind in ("open", "close"):
            self._tell(state, state.set({task.point: task.kind == "close"}, pins=False))
            if task.kind == "open":
                self._plan(task.at_s + visitors.STANDS_OPEN_S, "close", task.device_id, task.point)
        elif task.kind == "pulse":
            self._tell(state, state.set({task.point: False}, pins=False))
        else:
            self._climb(task, state)

    def _report(self, task: _Task, state: _State) -> None:
        """A report; while a button is held it waits, or one press would be told twice."""
        if task.device_id in self._releases:
            self._plan(self._releases[task.device_id][1], task.kind, task.device_id)
            return
        state.drift()
        self._tell(state, ())
        if task.kind == "report":
            every_s = self._every_s(state)
            self._plan(task.at_s + every_s * (1 + state.rng.uniform(-_JITTER, _JITTER)), "report", task.device_id)

    def _release(self, task: _Task, state: _State) -> None:
        if self._releases.get(task.device_id, (-1, 0.0))[0] != task.token:
            return  # pressed again meanwhile: the later release counts
        del self._releases[task.device_id]
        _, released = _press(state.device, task.point)
        self._tell(state, state.set(released, pins=False))

    def _climb(self, task: _Task, state: _State) -> None:
        token, ramp = self._ramps.get((task.device_id, task.point), (-1, None))
        if ramp is None or token > task.token:
            return  # set or ramped again meanwhile
        done = min(1.0, (task.at_s - ramp.started_s) / ramp.over_s)
        value = kinds.rounded(state.device.points[task.point], ramp.first + (ramp.last - ramp.first) * done)
        if changed := state.set({task.point: value}, pins=True):
            self._tell(state, changed)
        if done < 1.0:
            self._plan(task.at_s + RAMP_STEP_S, "ramp", task.device_id, task.point)
        else:
            del self._ramps[task.device_id, task.point]

    def _plan_auto(self, state: _State) -> None:
        self._plan(self.now_s + state.device.behaviour.auto_s * state.rng.uniform(0.5, 1.5), "auto", state.device.id)

    def _feed(self, switch: _State) -> None:
        """A main switch that is open leaves the chargers of its zone without supply."""
        if switch.device.kind != MAIN_SWITCH or not switch.device.zone:
            return
        for state in self._states.values():
            if state.sessions and state.device.zone == switch.device.zone:
                state.hidden["unfed"] = switch.values.get("closed") is False
                state.settle()

    def _tell(self, state: _State, changed: tuple[str, ...]) -> None:
        if not state.is_online:
            return
        points = state.device.points
        is_alarm = any(points[name].alarm_class or points[name].is_event for name in changed)
        self._told.append(Event(self.now_s, state.device.id, changed, dict(state.values), is_alarm))

    def _every_s(self, state: _State) -> float:
        return state.device.behaviour.every_s * self._pace


def _press(device: SimDevice, name: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """What a press sets, and what its release sets."""
    if not name and device.behaviour.press:
        return dict(device.behaviour.press), dict(device.behaviour.release)
    point: SimPoint | None = device.points.get(name) if name else device.main_point
    if point is None or point.type == "float":
        raise SimError(
            f"{device.id} 没有可以按的点,请用 sim set 设置数值", f"{device.id} has nothing to press: use sim set"
        )
    pressed: dict[str, Value] = {"bool": True, "int": 1, "text": "press"}
    released: dict[str, Value] = {"bool": False, "int": 0, "text": ""}
    return {point.name: pressed[point.type]}, {point.name: released[point.type]}


def _numbered(value: Value, rng: random.Random) -> Value:
    """Another card each time: every ``#`` of a text is a digit."""
    if not isinstance(value, str) or "#" not in value:
        return value
    return "".join(str(rng.randrange(10)) if char == "#" else char for char in value)
