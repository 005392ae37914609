"""Room: drivers. Modbus TCP, RTU and RTU over TCP: the rows of the table of drivers, and the driver of one bus.

The bus's units are shared out over its lines (one, or `connections` of a TCP host); everything that happens on a
line belongs in `modbus_line`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.drivers.base import Deliver, Driver, DriverError, DriverKind
from gateway.drivers.modbus_checks import check_devices, check_profile, unit_of
from gateway.drivers.modbus_exchange import Exchange
from gateway.drivers.modbus_line import Line
from gateway.drivers.modbus_params import (
    BusModel,
    DeviceModel,
    ModbusPoint,
    ProfileModel,
    RtuBus,
    RtuOverTcpBus,
    TcpBus,
)
from gateway.drivers.modbus_passes import Gate
from gateway.drivers.modbus_plan import Field, place, plan
from gateway.drivers.modbus_schedule import Poll, Read
from gateway.drivers.modbus_unit import Unit
from gateway.drivers.modbus_write import Refusal, prepare
from gateway.model import Bus, Command, CommandOutcome, CommandResult, Device

ANSWER_GRACE_S = 0.2  # beyond two time-outs, for a command whose frame left before its deadline


class ModbusDriver:
    """All units of one bus."""

    def __init__(self, bus: Bus, devices: Sequence[Device], clock: Clock, counters: Counters) -> None:
        assert isinstance(bus.params, BusModel)
        self._params = bus.params
        self._clock = clock
        self._counters = counters
        self._bus_id = bus.id
        self._targets: dict[str, tuple[Unit, Field, Field]] = {}  # by point id: the point, and what shows it
        units: dict[int, Unit] = {}
        polls: dict[int, list[Poll]] = {}
        for device in devices:
            number = unit_of(device)
            unit = units.setdefault(number, Unit(number))
            unit.device_ids.append(device.id)
            polls.setdefault(number, []).extend(self._polls(device, unit))
        self._lines = self._make_lines(list(units.values()), polls)

    async def run(self, deliver: Deliver) -> None:
        """Poll every unit until cancelled. Raises DriverError when a line is down."""
        if len(self._lines) == 1:
            await self._lines[0].run(deliver)
            return
        try:
            async with asyncio.TaskGroup() as group:
                for index, line in enumerate(self._lines):
                    group.create_task(line.run(deliver), name=f"modbus {self._bus_id} {index}")
        except* DriverError as errors:
            raise DriverError(str(errors.exceptions[0])) from errors

    async def write(self, command: Command) -> CommandResult:
        """Set one point and read it back before ``command.expires_at``; never raises, never acts late."""
        found = self._targets.get(command.point_id)
        if found is None:
            return self._ended(command, CommandOutcome.REFUSED, f"{command.point_id} is not on bus {self._bus_id}")
        unit, target, shown = found
        left_s = command.left_s(self._clock.now())
        if left_s <= 0:
            return self._ended(command, CommandOutcome.EXPIRED, "too late on arrival")
        try:
            job = prepare(command, unit, target, shown)
        except Refusal as refusal:
            return self._ended(command, CommandOutcome.REFUSED, str(refusal))
        line = self._line_of[unit.number]
        if not line.submit(job):
            return self._ended(command, CommandOutcome.REFUSED, "too many commands are waiting for this line")
        try:
            await asyncio.wait([job.result], timeout=left_s)
            if job.is_running and not job.result.done():
                await asyncio.wait([job.result], timeout=2 * self._params.timeout + ANSWER_GRACE_S)
        finally:
            line.drop(job)
        if job.result.done():
            return job.result.result()
        outcome = CommandOutcome.UNCONFIRMED if job.is_sent or job.is_running else CommandOutcome.EXPIRED
        return self._ended(command, outcome, job.detail or "no turn on the line before the deadline")

    def _ended(self, command: Command, outcome: CommandOutcome, detail: str) -> CommandResult:
        return CommandResult(command.id, outcome, self._clock.now().utc, None, detail)

    def _polls(self, device: Device, unit: Unit) -> list[Poll]:
        """One poll per interval of the device's points."""
        profile = device.params.profile
        assert isinstance(profile, ProfileModel)
        fields = {point.name: place(point, profile) for point in device.points}
        for name, field in fields.items():
            self._targets[field.point.id] = (unit, field, _shown(name, field, fields))

        def interval_s(field: Field) -> float:
            return field.point.params.poll or profile.poll

        polls = []
        for every_s, group in groupby(sorted(fields.values(), key=interval_s), interval_s):
            together = list(group)
            blocks = plan(together, self._params.gap)
            reads = [Read(unit.number, block) for block in blocks]
            is_urgent = any(each.is_urgent for each in blocks)
            gate = Gate(together)
            polls.append(Poll(device.id, unit, every_s, reads, is_urgent=is_urgent, gate=gate or None))
        return polls

    def _make_lines(self, units: Sequence[Unit], polls: dict[int, list[Poll]]) -> list[Line]:
        wanted = self._params.connections if isinstance(self._params, TcpBus) else 1
        count = max(1, min(wanted, len(units)))
        lines = []
        self._line_of: dict[int, Line] = {}
        for index in range(count):
            own = units[index::count]
            own_polls = [poll for unit in own for poll in polls[unit.number]]
            exchange = Exchange(self._bus_id, self._params, own, self._clock, self._counters)
            line = Line(self._bus_id, exchange, own_polls, self._clock, self._counters)
            lines.append(line)
            self._line_of.update({unit.number: line for unit in own})
        return lines


def _shown(name: str, field: Field, fields: dict[str, Field]) -> Field:
    """The field that shows what a write did: on.3 is shown by state.3, or by state where that is not repeated."""
    readback = field.point.params.readback
    index = name.rpartition(".")[2]
    return fields.get(f"{readback}.{index}") or fields.get(readback) or field


def _build(bus: Bus, devices: Sequence[Device], clock: Clock, counters: Counters) -> Driver:
    return ModbusDriver(bus, devices, clock, counters)


KINDS = {
    name: DriverKind(
        via="modbus",
        bus=model,
        profile=ProfileModel,
        point=ModbusPoint,
        device=DeviceModel,
        check_profile=check_profile,
        check_devices=check_devices,
        build=_build,
    )
    for name, model in (("modbus-tcp", TcpBus), ("modbus-rtu", RtuBus), ("modbus-rtu-over-tcp", RtuOverTcpBus))
}
