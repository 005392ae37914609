"""What the gateway says of itself as devices: its lines, uplinks, notification channels and the box.

Each is a device without a bus (`gateway.config.builtin`), so that rules, screens and clouds treat its loss as any
other. Channels speak for themselves (`gateway.notify.channels`). Only transitions go into the inbox; what was never
seen is not said.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from gateway.clock import Clock, is_synchronised
from gateway.config.builtin import BOX_ID
from gateway.counters import Counters
from gateway.drivers.base import Deliver, DriverError
from gateway.model import Arrival, Device, DeviceStatus, Input, Now, Reading
from gateway.web.ports import UplinkHealth

LINES_EVERY_S = 0.5
TIME_EVERY_S = 60.0
DISK_EVERY_S = 2.0
_LEAST_FREE_BYTES = 50_000_000
_BRIDGE_STARTS_S = 60.0  # within which a bridge says its first word, on the slowest box
_ALL_SILENT_LEAST = 2  # devices of a line: one alone that is silent is that device's fault

Put = Callable[[Input], None]


class Presence:
    """Says that something is there or gone, once each time that changes."""

    def __init__(self, known: Mapping[str, Device], put: Put, clock: Clock) -> None:
        self._known = known
        self._put = put
        self._clock = clock
        self._said: dict[str, bool] = {}

    def say(self, device_id: str, *, is_online: bool, reason: str = "") -> None:
        """It is there or not, as seen now."""
        if self.is_news(device_id, is_online=is_online):
            self._put(DeviceStatus(device_id, is_online, self._clock.now().utc, reason))

    def is_news(self, device_id: str, *, is_online: bool) -> bool:
        """Must it be said? Takes for granted that it then is."""
        if device_id not in self._known or self._said.get(device_id) is is_online:
            return False
        self._said[device_id] = is_online
        return True


class LineWatch:
    """One line: down when its driver says so, or when every device on it is silent."""

    def __init__(self, bus_id: str, devices: int, presence: Presence, clock: Clock, counters: Counters) -> None:
        self._id = f"line/{bus_id}"
        self._gauge = ("bus_up", (("bus", bus_id),))
        self._devices = devices
        self._presence = presence
        self._clock = clock
        self._counters = counters
        self._lost: set[str] = set()

    async def run(self, driver: Callable[[Deliver], Awaitable[None]], deliver: Deliver) -> None:
        """Run the line's driver, watching what it hands in. Raises DriverError as the driver does."""
        try:
            await driver(lambda arrival: self._hand_on(arrival, deliver))
        except DriverError as error:
            self._presence.say(self._id, is_online=False, reason=str(error))
            raise

    def look(self) -> None:
        """Has it come up or gone down since?"""
        is_up = self._is_up()
        if is_up is not None:
            self._presence.say(self._id, is_online=is_up, reason="" if is_up else self._why())

    def _hand_on(self, arrival: Arrival, deliver: Deliver) -> None:
        """The line's own state goes ahead of its devices': a cause before its consequences."""
        statuses = [each for each in arrival.inputs if type(each) is DeviceStatus]
        for each in statuses:
            (self._lost.discard if each.is_online else self._lost.add)(each.device_id)
        is_up = self._is_up() if statuses else None
        if is_up is not None and self._presence.is_news(self._id, is_online=is_up):
            mine = DeviceStatus(self._id, is_up, self._clock.now().utc, "" if is_up else self._why())
            arrival = arrival._replace(inputs=(mine, *arrival.inputs))
        deliver(arrival)

    def _is_up(self) -> bool | None:
        said = self._counters.gauges.get(self._gauge)
        if said is None:
            return None
        return said > 0 and not self._is_silent

    def _why(self) -> str:
        return f"all {self._devices} devices are silent" if self._is_silent else "not connected"

    @property
    def _is_silent(self) -> bool:
        return self._devices >= _ALL_SILENT_LEAST and len(self._lost) >= self._devices


def line_watches(
    devices: Mapping[str, Device], presence: Presence, clock: Clock, counters: Counters
) -> dict[str, LineWatch]:
    """One for every line that has devices, by bus id."""
    number = Counter(each.bus_id for each in devices.values() if each.bus_id)
    return {bus_id: LineWatch(bus_id, count, presence, clock, counters) for bus_id, count in number.items()}


async def watch_lines(lines: Mapping[str, LineWatch]) -> None:
    """A line that went quiet hands nothing in: look at it."""
    while True:
        for each in lines.values():
            each.look()
        await asyncio.sleep(LINES_EVERY_S)


def uplinks_seen(presence: Presence, uplinks: Mapping[str, UplinkHealth], running_s: float) -> None:
    """What the bridge says of its uplinks. One that says nothing for a minute does not run, or ends each time."""
    for key, health in uplinks.items():
        if health.is_up is not None or running_s > _BRIDGE_STARTS_S:
            why = "not connected" if health.is_up is not None else "the bridge does not run"
            presence.say(f"uplink/{key}", is_online=bool(health.is_up), reason="" if health.is_up else why)


class Box:
    """The machine: is its clock set, does its disk take what is written?"""

    def __init__(
        self,
        directory: str,
        put: Put,
        clock: Clock,
        counters: Counters,
        *,
        is_storing: Callable[[], bool],
        synchronised: Callable[[Now], bool | None] = is_synchronised,
    ) -> None:
        self._directory = directory
        self._put = put
        self._clock = clock
        self._counters = counters
        self._is_storing = is_storing
        self._synchronised = synchronised
        self._said: dict[str, bool] = {}
        self.is_time_ok: bool | None = None  # None: the system does not say

    def look_at_time(self) -> None:
        """An unsynchronised clock is shown, not acted on: delays run on the monotonic clock."""
        now = self._clock.now()
        self.is_time_ok = self._synchronised(now)
        if self.is_time_ok is not None:
            self._counters.gauge("time_synchronised", float(self.is_time_ok))
            self._say("time_ok", now.utc, value=self.is_time_ok)

    def look_at_disk(self) -> None:
        """It takes what is written, and there is room."""
        try:
            free = shutil.disk_usage(self._directory).free
        except OSError:
            free = 0
        self._counters.gauge("disk_free_bytes", free)
        self._say("disk_ok", self._clock.now().utc, value=self._is_storing() and free >= _LEAST_FREE_BYTES)

    def _say(self, point: str, at: datetime, *, value: bool) -> None:
        if self._said.get(point) is not value:
            self._said[point] = value
            self._put(Reading(f"{BOX_ID}/{point}", value, at, at))

    async def watch(self) -> None:
        """Look again and again; the clock is looked at when it jumps, too."""
        last = self._clock.now()
        looked_s = float("-inf")
        while True:
            now = self._clock.now()
            jumped_s = (now.utc - last.utc).total_seconds() - (now.mono_s - last.mono_s)
            if abs(jumped_s) > 1.0:
                self._counters.count("clock_steps")
            if abs(jumped_s) > 1.0 or now.mono_s - looked_s >= TIME_EVERY_S:
                self.look_at_time()
                looked_s = now.mono_s
            last = now
            self.look_at_disk()
            await asyncio.sleep(DISK_EVERY_S)
