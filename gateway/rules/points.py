"""Room: rules. What is known of each point, and which readings may become a value.

Conditions and alarms do not belong here: this file only says whether a reading is believed, and why not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.model import Device, Place, Point, Quality, Reading, Value

if TYPE_CHECKING:
    from gateway.rules.judge import Ear
    from gateway.rules.watch import PointWatch

ONLINE = "online"  # the implicit point of every device, fed by DeviceStatus
RESPONDING = "responding"  # the implicit point of every device with an output, fed by results of safety commands
TIME_OK = "gateway/box/time_ok"  # of the built-in device "the box": is the wall clock synchronised?

_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (float,), "text": (str,)}
_WIDEST: dict[str, tuple[float, float]] = {"int": (-(2**63), 2**64 - 1), "float": (float("-inf"), float("inf"))}
# A device clock before this has never been set: such a time orders nothing and identifies nothing.
_NO_CLOCK = datetime(2020, 1, 1, tzinfo=UTC)
# A device time further ahead of ours than this was a wrong clock, now put right: what follows is not "older".
# More than the hour by which our own clock may step.
_AHEAD = timedelta(hours=2)


class Doubt(StrEnum):
    """Why a reading is not simply the point's new value; the label of the counter ``readings_rejected``."""

    NONE = ""
    REPEAT = "repeat"
    LATE = "out_of_order"
    BAD = "bad"
    STALE = "stale"
    TYPE = "type_mismatch"
    NOT_FINITE = "not_finite"
    RANGE = "out_of_range"
    UNKNOWN_POINT = "unknown_point"
    UNKNOWN_DEVICE = "unknown_device"


class PointState:
    """The present of one point. ``value`` is None until a believable reading came; a bad one never replaces it."""

    __slots__ = (
        "device_at",
        "ears",
        "events",
        "high",
        "levels",
        "limited",
        "low",
        "place",
        "point",
        "quality",
        "types",
        "value",
    )

    def __init__(self, point: Point, place: Place) -> None:
        self.point = point
        self.place = place
        self.types = _TYPES[point.type]
        # Only numbers have limits: the physical range; without one what 64 bits hold, which all formats can carry.
        self.limited = point.type in _WIDEST
        low, high = _WIDEST.get(point.type, (0.0, 0.0))
        self.low = low if point.low is None else point.low
        self.high = high if point.high is None else point.high
        self.value: Value | None = None
        self.device_at: datetime | None = None  # the newest time by the device's own clock
        self.quality = Quality.GOOD
        self.levels: tuple[PointWatch, ...] = ()  # rules that look at the value, ...
        self.events: tuple[PointWatch, ...] = ()  # ... at its change, ...
        self.ears: tuple[Ear, ...] = ()  # ... and rules that need more than one value


def states_of(devices: Iterable[Device]) -> dict[str, PointState]:
    """A state for every point by its id, the implicit ``online`` and ``responding`` points included."""
    states: dict[str, PointState] = {}
    for device in devices:
        has_output = any(each.is_writable for each in device.points)
        for name in (ONLINE, RESPONDING) if has_output else (ONLINE,):
            states[f"{device.id}/{name}"] = PointState(
                Point(f"{device.id}/{name}", device.id, name, "bool"), device.place
            )
        for point in device.points:
            states[point.id] = PointState(point, device.place)
    return states


def doubt_of(state: PointState, reading: Reading) -> Doubt:
    """Why ``reading`` must not become the value of its point; `Doubt.NONE` when it may.

    Changes ``state.device_at`` only: the order of readings is judged by the device's clock where it has a usable one.
    """
    _, value, at, received_at, quality, _ = reading
    if quality is Quality.BAD:
        return Doubt.BAD
    if quality is Quality.STALE:
        return Doubt.STALE
    if type(value) not in state.types and not (state.point.type == "float" and _is_short_int(value)):
        return Doubt.TYPE
    if state.limited:
        number: float = value  # type: ignore[assignment]  # its type was just compared
        # A chain for four cases: too low, too high, infinite and (every comparison being false) not a number.
        if not state.low <= number <= state.high or number - number != 0:
            return Doubt.RANGE if number - number == 0 else Doubt.NOT_FINITE
    return Doubt.NONE if at is received_at or at == received_at else _order(state, reading)


def _is_short_int(value: object) -> bool:
    """A whole number may stand for a float (JSON's 20), as long as every format can carry it."""
    return type(value) is int and -(2**63) <= value < 2**64


def _order(state: PointState, reading: Reading) -> Doubt:
    """Is a reading with the device's own time new, told again, or older than what is known?"""
    at, newest = reading.at, state.device_at
    if at < _NO_CLOCK:
        return Doubt.NONE
    if newest is not None and at == newest:
        is_same = reading.value == state.value and state.quality is not Quality.BAD
        return Doubt.REPEAT if is_same else Doubt.NONE
    if newest is not None and at < newest and newest - reading.received_at <= _AHEAD:
        return Doubt.LATE
    state.device_at = at
    return Doubt.NONE


def as_bad(reading: Reading, doubt: Doubt, state: PointState) -> Reading:
    """The reading without its value, so that it is seen in history and on screens but never taken for one."""
    if doubt is Doubt.TYPE:
        detail = f"{doubt}: expected {state.point.type}, got {type(reading.value).__name__}"
    else:
        said = f"{reading.value:g}" if isinstance(reading.value, float) else "a number"
        detail = f"{doubt}: {said}, believed from {state.low:g} to {state.high:g}"
    return reading._replace(value=None, quality=Quality.BAD, detail=detail)
