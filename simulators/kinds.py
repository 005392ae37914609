"""Simulators: how devices of each kind usually look and hang together. Pure tables and functions.

Used where a profile's ``sim:`` section says nothing. Physics is as simple as a rule of thumb: a cut socket draws
0 W, a released door is unlocked, gas in the air trips the gas detector.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from simulators.charging import is_welded, sockets
from simulators.spec import SimDevice, SimPoint, Value

MAINS_V = 230.0
_CHARGING_SHARE = 0.4  # of the sockets have a vehicle
_GAS_TRIPS_AT = 10.0  # % LEL


@dataclass(frozen=True, slots=True)
class Usual:
    """Idle value of a number (drawn from a..b once per device) and how far it wobbles around it."""

    a: float
    b: float
    wobble: float = 0.0


_NUMBERS: tuple[tuple[str, Usual], ...] = (  # the first pattern found in the point's base name
    (r"battery|^bat$", Usual(82, 100)),
    (r"voltage", Usual(228, 234, 0.8)),
    (r"residual|leak", Usual(0.5, 2.0, 0.2)),
    (r"temp", Usual(21, 27, 0.3)),
    (r"humid", Usual(40, 60, 1.0)),
    (r"energy|meter", Usual(12, 900)),
    (r"rssi", Usual(-75, -55, 2)),
    (r"signal|linkquality|lqi", Usual(60, 140, 3)),
    (r"minutes|duration|elapsed", Usual(0, 0)),
)
_CELL_MV = Usual(2950, 3150, 5)
_POWER_W = {"ebike": Usual(160, 420, 6), "ev": Usual(3_200, 6_600, 40)}
_TRUE_WHEN_IDLE = re.compile(r"^(online|(is_)?locked|contact|closed|enabled?|mains.*)$")
_IS_SWITCH = re.compile(r"^(on|state|relay|output|enabled?|switch)$")
_IS_RELEASE = re.compile(r"release|unlock|open_cmd")


def idle(device: SimDevice, point: SimPoint, rng: random.Random) -> Value:
    """What the point shows when nothing happens."""
    asked = device.behaviour.idle.get(point.name, device.behaviour.idle.get(point.base))
    if asked is not None:
        return asked
    if point.type == "bool":
        if _IS_SWITCH.search(point.base):
            return "charg" in device.kind or device.kind in ("ev", "socket", "plug")
        is_plain = not (point.alarm_class or point.is_event or point.is_writable)
        return is_plain and bool(_TRUE_WHEN_IDLE.search(point.base))
    if point.type == "text":
        return ""
    usual = _usual(device, point)
    return clamped(point, rng.uniform(usual.a, usual.b) if usual else 0.0)


def idle_power(device: SimDevice, rng: random.Random) -> float:
    """Watts a vehicle at this socket asks for; most sockets are empty."""
    usual = _POWER_W["ev" if device.kind.startswith("ev") else "ebike"]
    return round(rng.uniform(usual.a, usual.b), 1) if rng.random() < _CHARGING_SHARE else 0.0


def wobble(device: SimDevice, point: SimPoint) -> float:
    """How far a number drifts around what it should be."""
    asked = device.behaviour.wobble.get(point.name, device.behaviour.wobble.get(point.base))
    if asked is not None:
        return asked
    if point.type not in ("int", "float"):
        return 0.0
    if point.base == "power":
        return _POWER_W["ev" if device.kind.startswith("ev") else "ebike"].wobble
    usual = _usual(device, point)
    return usual.wobble if usual else 0.0


def clamped(point: SimPoint, value: float) -> Value:
    """Within the physical range of the profile, and rounded."""
    low = value if point.low is None else max(point.low, value)
    return rounded(point, low if point.high is None else min(point.high, low))


def rounded(point: SimPoint, value: float) -> Value:
    """Whole where the point counts, else to a thousandth."""
    return round(value) if point.type == "int" else round(value, 3)


def _usual(device: SimDevice, point: SimPoint) -> Usual | None:
    if point.base == "temp" and device.kind.startswith("ev"):
        return Usual(28, 36, 0.4)
    if point.unit == "mV":
        return _CELL_MV
    return next((usual for pattern, usual in _NUMBERS if re.search(pattern, point.base)), None)


Values = dict[str, Value]


def meter(device: SimDevice, wanted: Values, values: Mapping[str, Value], elapsed_s: float) -> None:
    """Energy meters add up the power of their socket (``energy.3`` of ``power.3``), in place."""
    for name, point in device.points.items():
        power = values.get(f"power{name.removeprefix('energy')}")
        if point.base == "energy" and power:
            wanted[name] = float(wanted[name]) + float(power) * elapsed_s / (3600.0 if point.unit == "Wh" else 3.6e6)


def settle(
    device: SimDevice, values: Values, pinned: Mapping[str, Value], hidden: Mapping[str, Value] | None = None
) -> None:
    """Bring dependent values in line with the rest, in place; ``pinned`` were set by a person.

    ``hidden``: what no register shows: relays that stick, a cabinet without supply (see `charging`).
    """
    _sockets(device, values, pinned, hidden or {})
    for rule in (_plugs, _doors, _sirens, _gas, _lifts):
        rule(device, values, pinned)


def _sockets(device: SimDevice, values: Values, pinned: Mapping[str, Value], hidden: Mapping[str, Value]) -> None:
    for name, point in device.points.items():
        if point.base not in ("power", "current"):
            continue
        tail = name.removeprefix(point.base)
        is_off = values.get(f"on{tail}") is False or values.get(f"enable{tail}") is False
        is_empty = values.get(f"plugged{tail}") is False and name not in pinned
        if (is_off and not is_welded(hidden, tail)) or is_empty or hidden.get("unfed") is True:
            values[name] = 0 if point.type == "int" else 0.0
        elif point.base == "current" and name not in pinned and f"power{tail}" in values:
            values[name] = clamped(point, float(values[f"power{tail}"]) / _mains(device, values))
    if "status" in values and "power" in values and device.points["status"].type == "int" and "status" not in pinned:
        values["status"] = int(float(values["power"]) > 0)  # 0 idle, 1 charging


def _plugs(device: SimDevice, values: Values, pinned: Mapping[str, Value]) -> None:
    """A session that was cut is over until the plug is pulled; the cabinet's load is that of its sockets."""
    for tail in sockets(device):
        done = f"done{tail}"
        if done in values and done not in pinned:
            is_cut = values.get(f"on{tail}") is False
            values[done] = values[f"plugged{tail}"] is True and (values[done] is True or is_cut)
    if "load" in values and "load" not in pinned:
        total = sum(float(values[name]) for name, point in device.points.items() if point.base == "power")
        values["load"] = clamped(device.points["load"], total)


def _lifts(device: SimDevice, values: Values, pinned: Mapping[str, Value]) -> None:
    if device.kind == "elevator" and values.get("recall") is True:
        _together(device, values, pinned, {"floor": 1, "open": True})


def _mains(device: SimDevice, values: Values) -> float:
    seen = values.get("voltage") if "voltage" in device.points else None
    return float(seen) if seen and float(seen) > 1 else MAINS_V


def _doors(device: SimDevice, values: Values, pinned: Mapping[str, Value]) -> None:
    releases = [name for name, point in device.points.items() if point.is_writable and _IS_RELEASE.search(point.base)]
    for name in releases:
        if values[name] is True:
            _together(device, values, pinned, {"locked": False, "unlocked": True, "is_locked": False, "raised": True})
        else:
            _together(device, values, pinned, {"locked": True, "unlocked": False, "is_locked": True, "raised": False})


def _sirens(device: SimDevice, values: Values, pinned: Mapping[str, Value]) -> None:
    if "on" in values:
        _together(device, values, pinned, {"sounding": values["on"], "flashing": values["on"]})


def _gas(device: SimDevice, values: Values, pinned: Mapping[str, Value]) -> None:
    for name in ("density", "lel", "concentration"):
        if name not in values or "alarm" not in values:
            continue
        if values["alarm"] is True and name not in pinned:
            values[name] = clamped(device.points[name], 2.5 * _GAS_TRIPS_AT)
        elif float(values[name]) >= _GAS_TRIPS_AT and "alarm" not in pinned:
            values["alarm"] = True


def _together(device: SimDevice, values: Values, pinned: Mapping[str, Value], wanted: Mapping[str, Value]) -> None:
    for name, value in wanted.items():
        if name in device.points and not device.points[name].is_writable and name not in pinned:
            values[name] = value
