"""What the box says of itself: its clock, its disk, its lines. Transitions only, and the cause before consequences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.app.lines import Box, Presence, line_watches, uplinks_seen
from gateway.clock import ManualClock, is_synchronised, kernel_says
from gateway.counters import Counters
from gateway.drivers.base import Deliver, DriverError
from gateway.model import Arrival, DeviceStatus, Input, Now, Reading
from gateway.web.ports import UplinkHealth
from tests.support_lines import built_in, lamp

START = Now(datetime(2026, 1, 1, tzinfo=UTC), 100.0)
DEVICES = {each.id: each for each in (built_in("line", "b1"), built_in("uplink", "cloud"), lamp(1, "1"), lamp(2, "1"))}
FIRST, SECOND = (each.id for each in DEVICES.values() if each.kind == "lamp")


class Watched:
    """A line with two devices, what its driver hands in, and what reaches the inbox."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.counters = Counters()
        self.put: list[Input] = []
        self.delivered: list[Arrival] = []
        self.presence = Presence(DEVICES, self.put.append, self.clock)
        (self.line,) = line_watches(DEVICES, self.presence, self.clock, self.counters).values()

    def up(self, *, is_up: bool) -> None:
        self.counters.gauge("bus_up", float(is_up), bus="b1")

    async def hand_in(self, *statuses: tuple[str, bool]) -> list[tuple[str, bool]]:
        """What the inbox gets for it, in order."""
        self.delivered.clear()

        async def driver(deliver: Deliver) -> None:
            deliver(Arrival(tuple(DeviceStatus(id_, is_online, START.utc) for id_, is_online in statuses)))

        await self.line.run(driver, self.delivered.append)
        return [(each.device_id, each.is_online) for each in self.delivered[0].inputs if isinstance(each, DeviceStatus)]

    def said(self) -> list[tuple[str, bool]]:
        found = [(each.device_id, each.is_online) for each in self.put if isinstance(each, DeviceStatus)]
        self.put.clear()
        return found


def test_a_line_is_told_when_it_comes_and_goes_and_not_in_between() -> None:
    """Looked at twice a second, it speaks once for each change."""
    watched = Watched()
    watched.line.look()
    assert watched.said() == []  # not tried yet: nothing is known
    for is_up in (True, True, False, False, True):
        watched.up(is_up=is_up)
        watched.line.look()
    assert watched.said() == [("line/b1", True), ("line/b1", False), ("line/b1", True)]


async def test_a_line_goes_ahead_of_its_devices() -> None:
    """What is lost with the line is lost after it: a cause is known before its consequences."""
    watched = Watched()
    watched.up(is_up=True)
    watched.line.look()
    watched.up(is_up=False)
    assert await watched.hand_in((FIRST, False)) == [("line/b1", False), (FIRST, False)]


async def test_a_line_on_which_everybody_is_silent_is_down() -> None:
    """A cut RS-485 cable leaves the port open: all devices together say what the port does not."""
    watched = Watched()
    watched.up(is_up=True)
    watched.line.look()
    assert await watched.hand_in((FIRST, False)) == [(FIRST, False)]
    assert await watched.hand_in((SECOND, False)) == [("line/b1", False), (SECOND, False)]
    assert await watched.hand_in((FIRST, True)) == [("line/b1", True), (FIRST, True)]


async def test_a_line_whose_driver_gives_up_is_down() -> None:
    """A broker that was never reached has no state of its own: the error is its state, with the reason."""
    watched = Watched()

    async def driver(_deliver: Deliver) -> None:
        raise DriverError("connection refused")

    with pytest.raises(DriverError):
        await watched.line.run(driver, watched.delivered.append)
    (status,) = watched.put
    assert status == DeviceStatus("line/b1", False, START.utc, "connection refused")


def test_uplinks_speak_when_they_are_known() -> None:
    """Before the bridge has said anything nothing is said for it."""
    watched = Watched()
    for is_up in (None, True, True, False):
        uplinks_seen(watched.presence, {"cloud": UplinkHealth(is_up, 0), "unheard-of": UplinkHealth(True, 0)}, 5.0)
    assert watched.said() == [("uplink/cloud", True), ("uplink/cloud", False)]


def test_a_bridge_that_ends_each_time_it_is_started_is_a_fault() -> None:
    """It never gets to say anything of its uplinks: after a minute they are not there, once."""
    watched = Watched()
    for running_s in (1.0, 30.0, 61.0, 63.0):
        uplinks_seen(watched.presence, {"cloud": UplinkHealth(None, 0)}, running_s)
    assert watched.said() == [("uplink/cloud", False)]


class Machine:
    """A box whose clock and disk the test commands."""

    def __init__(self, directory: Path) -> None:
        self.synchronised: bool | None = True
        self.is_storing = True
        self.put: list[Reading] = []
        self.counters = Counters()
        self.box = Box(
            str(directory), self._put, ManualClock(START), self.counters,
            is_storing=lambda: self.is_storing, synchronised=lambda _now: self.synchronised,
        )  # fmt: skip

    def _put(self, item: Input) -> None:
        assert isinstance(item, Reading)
        self.put.append(item)

    def said(self) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = [(each.point_id, each.value) for each in self.put]
        self.put.clear()
        return found


def test_an_unsynchronised_clock_is_said_and_counted(tmp_path: Path) -> None:
    """The point, and the gauge that health and metrics read; once for each change."""
    machine = Machine(tmp_path)
    machine.synchronised = None
    machine.box.look_at_time()
    assert machine.said() == []
    for machine.synchronised in (False, False, True):
        machine.box.look_at_time()
        assert machine.counters.gauges["time_synchronised", ()] == float(machine.synchronised)
    assert machine.said() == [("gateway/box/time_ok", False), ("gateway/box/time_ok", True)]


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    """While what is written does not reach the disk, people can see it."""
    machine = Machine(tmp_path)
    for machine.is_storing in (True, False, False, True):
        machine.box.look_at_disk()
    assert machine.said() == [("gateway/box/disk_ok", each) for each in (True, False, True)]


def test_a_clock_that_was_never_set_is_not_synchronised() -> None:
    """In 1970 no time source has been heard, whatever the kernel says; today it answers one of three."""
    assert is_synchronised(Now(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=1), 1.0), lambda: True) is False
    for said in (True, False, None):
        assert is_synchronised(START, lambda said=said: said) is said  # type: ignore[misc]
    assert kernel_says() in {True, False, None}
