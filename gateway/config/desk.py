"""Configuration: what one check carries along: the findings, what is defined so far, and the tables it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

from gateway.config.findings import Findings, Say, Spot
from gateway.config.tree import Entry
from gateway.model import AlarmClass, Bus, Device, Operate, Point, Report

ONLINE = "online"  # the point every device has: is it there?
RESPONDING = "responding"  # the point every device with an output has: did it obey?
FIRE_KINDS = ("smoke", "heat", "call-point", "fire-panel")
DETECTORS = (*FIRE_KINDS, "gas", "co", "sos", "button")  # alarms.md, section 3: no on-delay
LIFE_SAFETY = (AlarmClass.FIRE, AlarmClass.GAS, AlarmClass.SOS)
LATCHING = (*LIFE_SAFETY, AlarmClass.SUPERVISORY)  # until 复位, whatever a rule says; others as their rule says


class DriverProblem(Protocol):
    """What a driver finds wrong in its part."""

    @property
    def where(self) -> tuple[str | int, ...]: ...  # noqa: D102
    @property
    def code(self) -> str: ...  # noqa: D102
    @property
    def zh(self) -> str: ...  # noqa: D102
    @property
    def en(self) -> str: ...  # noqa: D102
    @property
    def fix_zh(self) -> str: ...  # noqa: D102
    @property
    def fix_en(self) -> str: ...  # noqa: D102


class DriverShape(Protocol):
    """What this room uses of a row of the table of drivers."""

    @property
    def via(self) -> str:
        """What profiles name."""
        ...

    @property
    def bus(self) -> type[BaseModel]:
        """Parameters of a bus."""
        ...

    @property
    def profile(self) -> type[BaseModel]:
        """Parameters of a profile."""
        ...

    @property
    def point(self) -> type[Any]:
        """Parameters of a point; has ``value_type`` and ``nth``."""
        ...

    @property
    def device(self) -> type[BaseModel]:
        """Parameters of a device."""
        ...

    @property
    def check_profile(self) -> Callable[[Any, Mapping[str, Any]], Iterable[DriverProblem]]:
        """What does not fit together in a profile."""
        ...

    @property
    def check_devices(self) -> Callable[[Bus, Sequence[Device]], Iterable[tuple[Device, DriverProblem]]]:
        """What does not fit together on a bus."""
        ...


class Mould(NamedTuple):
    """A point of a profile, from which every device's point is cast; the parts are shared by all of them."""

    base: str  # "power" of power.3
    suffix: str  # "/power.3"
    name: str
    type: str
    unit: str
    alarm_class: AlarmClass | None
    title: str
    low: float | None
    high: float | None
    is_writable: bool
    is_event: bool
    params: Any
    operate: Operate | None = None
    is_personal: bool = False
    report: Report | None = None

    def cast(self, device_id: str) -> Point:
        """The point of one device."""
        _, suffix, *rest = self
        return Point(device_id + suffix, device_id, *rest)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that could be read."""

    id: str
    title: str
    kind: str
    via: str
    offline_after_s: float | None
    moulds: tuple[Mould, ...]
    params: Any
    entry: Entry
    limits: Mapping[str, str] = field(default_factory=dict)  # that rules name, as written

    def has(self, point: str) -> bool:
        """Is there a point of this base name?"""
        return any(each.base == point for each in self.moulds)


@dataclass(slots=True)
class Desk:
    """The state of one check. ``None`` where the file a name would come from could not be read."""

    findings: Findings
    drivers: Mapping[str, DriverShape]
    profiles: dict[str, Profile] = field(default_factory=dict)
    unread_profiles: set[str] = field(default_factory=set)  # defined, but wrong: no second complaint about them
    buses: dict[str, Bus] = field(default_factory=dict)
    unread_buses: set[str] = field(default_factory=set)
    bus_spots: dict[str, Spot] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    origins: dict[str, Entry] = field(default_factory=dict)  # device id to the item it came from
    by_kind: dict[str, list[Device]] = field(default_factory=dict)
    limits: dict[str, Mapping[str, str]] = field(default_factory=dict)  # of single devices, over their profile's
    pictures: set[str] = field(default_factory=set)  # hosts that a browser may be sent to for a picture
    is_partial: bool = False  # a file could not be read: names may be missing that are defined there
    is_whole: bool = True  # all devices are there: nothing was wrong when the rules were begun

    def via(self, via: str) -> DriverShape | None:
        """The driver that profiles call ``via``."""
        return next((each for each in self.drivers.values() if each.via == via), None)


def device_subject(name: str) -> Say:
    """Whom an error of a device concerns."""
    return Say(f"设备 {name}", f"device {name}")
