"""What every driver offers: the contract, its error, and the models that check its part of the configuration.

A driver is one file with one `DriverKind`, named in the table `gateway.drivers.table.DRIVERS`.
Nothing protocol-specific belongs here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Arrival, Bus, Command, CommandResult, Device

Deliver = Callable[[Arrival], None]


class DriverError(Exception):
    """A line or device cannot be reached or refuses; the text says what to look at.

    The line is tried again for ever, whatever it was: cables are plugged in again, secrets are put right.
    """


class Driver(Protocol):
    """One running line to devices."""

    async def run(self, deliver: Deliver) -> None:
        """Read the line and hand in arrivals until cancelled.

        ``deliver`` never blocks and must be called on the event loop's thread. Trouble with one device is
        reported as `DeviceStatus`, trouble with the whole line by raising `DriverError`: the supervisor
        starts ``run`` again after a pause.
        """
        ...

    def write(self, command: Command) -> Awaitable[CommandResult]:
        """Set one point and read it back before ``command.expires_at``; never raises, never acts late.

        A driver may send before it returns: what is awaited is the end, with the readback.
        """
        ...


class DriverModel(BaseModel):
    """Base of every driver's configuration models. Scalars arrive as text and are converted here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PointModel(DriverModel):
    """A driver's own part of one point of a profile."""

    @property
    def value_type(self) -> str:
        """What the point's readings carry: bool, int, float or text."""
        raise NotImplementedError

    def nth(self, index: int) -> PointModel:
        """This point's parameters for the ``index``-th (from 0) of a repeated point."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a driver's part of the configuration; ``where`` is a path from the profile or device."""

    where: tuple[str | int, ...]
    code: str  # "E3xx"
    zh: str
    en: str
    fix_zh: str = ""
    fix_en: str = ""


class Build(Protocol):
    """Makes the driver of one bus."""

    def __call__(self, bus: Bus, devices: Sequence[Device], clock: Clock, counters: Counters) -> Driver:
        """``devices`` are those on this bus."""
        ...


@dataclass(frozen=True, slots=True)
class DriverKind:
    """One row of the table of drivers: what ``type: mqtt`` of a bus means.

    ``via`` is what profiles name (``via: modbus`` serves the bus types modbus-tcp, modbus-rtu, ...).
    """

    via: str
    bus: type[DriverModel]
    profile: type[DriverModel]
    point: type[PointModel]
    device: type[DriverModel]
    check_profile: Callable[[Any, Mapping[str, Any]], Iterable[Problem]]  # (profile, points by name)
    check_devices: Callable[[Bus, Sequence[Device]], Iterable[tuple[Device, Problem]]]
    build: Build
