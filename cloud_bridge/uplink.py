"""What every uplink offers: the contract, its limits, its error. One uplink is one file and one row of `table`.

Which rows are sent when, what is settled and how long to wait belongs to `pump` and what it is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from cloud_bridge.ask import Ask, refuse
from cloud_bridge.narrow import Window
from cloud_bridge.selection import Selection
from cloud_bridge.settings import Common
from gateway.clock import Clock
from gateway.model import Delivery, OutboxEntry, Site


class UplinkError(Exception):
    """The platform can't be reached, doesn't answer or refuses the session: everything in flight is kept.

    ``retry_after_s``: the platform asked for this pause. ``is_refusal``: the platform ended a working session by
    itself, perhaps because of a row that was in flight. ``is_explicit``: it has said so, a bad link can't be why.
    """

    def __init__(
        self, message: str, *, retry_after_s: float = 0.0, is_refusal: bool = False, is_explicit: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_refusal = is_refusal
        self.is_explicit = is_explicit


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an uplink takes at once; the two lanes are counted apart, so that telemetry can't fill up alarms."""

    rows: int  # outbox rows of one delivery
    in_flight: int  # deliveries without an answer
    in_flight_bytes: int  # bodies without an answer, as they lie in the outbox
    answer_s: float  # without an answer for so long, the session is given up
    telemetry_bytes: int = 1 << 31  # as in_flight_bytes, of telemetry alone: a narrow line takes less of it
    rate: float = 0.0  # telemetry deliveries per second; 0 is unlimited


def on_line(limits: Limits, window: Window | None) -> Limits:
    """As much telemetry as the line takes in a few moments: half of what may be on it, as it lies in the outbox."""
    size = 0 if window is None else window.size // 2
    return limits if size == limits.telemetry_bytes else replace(limits, telemetry_bytes=size)


class Uplink(Protocol):
    """One platform. Every method runs on the event loop's thread and must not block it."""

    @property
    def limits(self) -> Limits:
        """How much it takes at once."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """What it has counted itself, for the status; keys are a closed set."""
        ...

    async def open(self) -> None:
        """Open a session.

        Raises:
            UplinkError: the platform could not be reached or refused.
        """
        ...

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        """Begin to send these rows of one lane, in order, before returning.

        The future ends with what the platform answered for every row, or with `UplinkError`.
        """
        ...

    def newest(self, readings: Sequence[Sequence[Any]], seq: int) -> None:
        """Send the newest value of points at once, while older rows still wait; best effort, never settled.

        ``readings`` are ``[point_id, value, at_ms, received_at_ms, quality]``, one per point, the newest of the rows
        up to outbox row ``seq``. Called any time a session is open, several times for one ``seq``; never raises.
        """
        ...

    async def ended(self) -> UplinkError:
        """Wait until the session ends by itself; says why."""
        ...

    async def close(self) -> None:
        """End the session; safe to call at any time."""
        ...


class Context(NamedTuple):
    """What an uplink may know of the gateway."""

    site: Site
    clock: Clock
    selection: Selection
    epoch: str = ""  # of the outbox: numbers of another epoch are other things
    ask: Ask = refuse  # what the platform asks goes here
    data_dir: str = ""  # where an uplink may keep a small file of its own; "": nowhere


class UplinkKind(NamedTuple):
    """One row of the table of uplinks: what ``type: mqtt`` of an uplink means."""

    params: type[Common]
    build: Callable[[Context, Any], Uplink]
