"""A house with the real engine, pipeline, effects, journal and Modbus drivers, and doors on real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pymodbus import FramerType
from pymodbus.constants import ExcCodes

from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.drivers.base import Driver, DriverError
from gateway.drivers.table import DRIVERS
from gateway.effects import Effects
from gateway.model import (
    Action,
    AlarmClass,
    Arrival,
    Bus,
    Command,
    CommandResult,
    Condition,
    Device,
    Input,
    Notice,
    NoticeResult,
    Now,
    Reading,
    Rule,
    Scope,
    Site,
    Step,
)
from gateway.notify.policy import NoticePolicy
from gateway.pipeline import Pipeline
from gateway.rules import Engine
from gateway.store.journal import Batch, Journal
from gateway.store.trimming import Trimmed
from gateway.supervise import keep_running
from tests.support_modbus import Field, make_device, raw_server, serve
from tests.support_rules import device, place, rule, site

SMOKES = [f"3-2-03-030{n}/smoke" for n in (1, 2)]
RELEASE = {"release": {"table": "coil", "address": "0", "type": "bool", "writable": True}}


class TimedField(Field):
    """Says when each unit was written last, and takes as long as a serial line would."""

    def __init__(self, *units: int, takes_s: float = 0.0) -> None:
        super().__init__(*units)
        self.takes_s = takes_s
        self.written_s: list[float] = []

    async def async_setValues(  # noqa: N802
        self, device_id: int, func_code: int, address: int, values: list[int]
    ) -> ExcCodes | None:
        await asyncio.sleep(self.takes_s)
        answer = await super().async_setValues(device_id, func_code, address, values)
        self.written_s.append(asyncio.get_running_loop().time())
        return answer

    async def async_getValues(  # noqa: N802
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        if func_code != 5:  # the server looks at a coil that it has just written
            await asyncio.sleep(self.takes_s)
        return await super().async_getValues(device_id, func_code, address, count)


class HangingDisk:
    """The real journal behind a disk that can be made to hang."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.may_go = threading.Event()
        self.may_go.set()
        self.commits = 0

    def commit(self, batch: Batch) -> None:
        assert self.may_go.wait(30)
        self._journal.commit(batch)
        self.commits += 1

    def is_passing(self, error: BaseException) -> bool:
        return self._journal.is_passing(error)

    def trim(self, now: Now) -> Trimmed:
        return self._journal.trim(now)


class House:
    """One running gateway without its screens."""

    def __init__(self, of: Site, directory: Path) -> None:
        self.clock, self.counters = SystemClock(), Counters()
        self.site = of
        self.journal = Journal(str(directory), (), 10_000_000)
        self.disk = HangingDisk(self.journal)
        restored = self.journal.restore(self.clock.now())
        self.engine = Engine(of, counters=self.counters, policy=NoticePolicy(of))
        self.engine.restore(restored.alarms, restored.occurrences, restored.timers, self.clock.now())
        self.engine.restore_said(restored.said)
        self.engine.restore_outputs(restored.held)
        self.drivers: dict[str, Driver] = {
            bus.id: DRIVERS[bus.type].build(
                bus, [each for each in of.devices.values() if each.bus_id == bus.id], self.clock, self.counters
            )
            for bus in of.buses.values()
        }
        self.pipeline = Pipeline(
            self.engine,
            self.disk,
            self.clock,
            self.counters,
            executor=ThreadPoolExecutor(1),
            act=self._act,
            publish=self._publish,
        )
        writers = {
            point.id: self.drivers[each.bus_id].write
            for each in of.devices.values()
            if each.bus_id in self.drivers
            for point in each.points
            if point.is_writable
        }
        self.effects = Effects(writers, self._send, self._report, self.clock, self.counters)
        self.results: dict[str, CommandResult] = {}
        self.commands: dict[str, Command] = {}
        self.steps: list[Step] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[House]:
        async with asyncio.TaskGroup() as tasks:
            own = [tasks.create_task(self.pipeline.run())]
            own += [tasks.create_task(self._keep(name)) for name in self.drivers]
            try:
                yield self
            finally:
                self.disk.may_go.set()
                for each in own:
                    each.cancel()
                await self.effects.close()
        self.journal.close()

    async def connected(self, buses: Sequence[str]) -> None:
        await self.until(lambda: all(self.counters.gauges.get(("bus_up", (("bus", b),))) == 1 for b in buses))

    async def until(self, condition: object, within_s: float = 20.0) -> None:
        assert callable(condition)
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)

    def report(self, *point_ids: str) -> None:
        """Detectors report, each in its own message."""
        for each in point_ids:
            at = self.clock.now().utc
            self.pipeline.inbox.deliver(Arrival((Reading(each, True, at, at),)))

    def outcomes(self, ending: str) -> list[str]:
        """How the commands to points that end so have ended."""
        return [str(each.outcome) for key, each in self.results.items() if key.endswith(ending)]

    def _act(self, commands: Sequence[Command], decided: Now) -> None:
        self.commands.update({each.id: each for each in commands})
        self.effects.act(commands, decided)

    def _publish(self, step: Step) -> None:
        self.steps.append(step)
        self._act([each for each in step.commands if not each.is_safety], step.now)
        self.effects.tell(step.notices)

    def _report(self, item: Input) -> None:
        if isinstance(item, CommandResult):
            self.results[item.command_id] = item
        self.pipeline.inbox.put(item)

    async def _send(self, notice: Notice) -> NoticeResult:
        return NoticeResult(notice.key, is_accepted=True, at=self.clock.now().utc)

    async def _keep(self, name: str) -> None:
        run = self.drivers[name].run
        await keep_running(
            name, lambda: run(self.pipeline.inbox.deliver), self.counters, expected=DriverError, longest_pause_s=2.0
        )


def door(number: int, bus: str, unit: int = 1) -> Device:
    """A door controller of building 3 as unit ``unit`` of ``bus``."""
    made = make_device(unit, RELEASE, {"poll": "1s"}, bus)
    id_ = f"3-2-01-{number:04d}/door"
    points = tuple(replace(each, id=f"{id_}/{each.name}", device_id=id_) for each in made.points)
    return replace(made, id=id_, kind="door", points=points, place=place(id_.partition("/")[0], "east"))


def fire_site(
    doors: Sequence[Device], buses: Sequence[Bus], extra: Sequence[Device] = (), more: Sequence[Rule] = ()
) -> Site:
    """Two detectors of zone east; confirmed they release every door, and what does not obey is a fault."""
    detectors = [device(each, "smoke", {"alarm": "bool", "temp": "float"}, zone="east") for each in SMOKES]
    detectors = [replace(each, bus_id="") for each in detectors]  # the tests report for them
    outputs = [*doors, *extra]
    rules = [
        rule([f"{each}/alarm" for each in SMOKES], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True),
        rule(
            [],
            Condition("confirmed", same=Scope.ZONE),
            AlarmClass.FIRE,
            id="confirmed",
            latches=True,
            actions=(
                Action("door", "release", Scope.BUILDING, True, 10.0, True),
                Action("siren", "on", Scope.BUILDING, True, 3.0, True, "reset"),
            ),
        ),
        rule([f"{each.id}/responding" for each in outputs], Condition("equals", False), AlarmClass.FAULT, id="failed"),
        *more,
    ]
    return replace(site([*detectors, *outputs], rules), buses={each.id: each for each in buses})


def tcp_bus(name: str, port: int, kind: str = "modbus-tcp", timeout: str = "500ms") -> Bus:
    return Bus(
        name, kind, DRIVERS[kind].bus.model_validate({"host": "127.0.0.1", "port": str(port), "timeout": timeout})
    )


@asynccontextmanager
async def controllers(count: int, dead: int) -> AsyncIterator[tuple[list[TimedField], list[int]]]:
    """Door controllers, each on its own port, and ``dead`` more that take connections and never answer."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async with AsyncExitStack() as stack:
        fields = [TimedField(1) for _ in range(count)]
        for field in fields:  # locked: the coil is off until it is released
            field.memory[1, "coil", 0] = 0
        ports = [await stack.enter_async_context(serve(field)) for field in fields]
        ports += [await stack.enter_async_context(raw_server(silent)) for _ in range(dead)]
        yield fields, ports


@asynccontextmanager
async def gateways(count: int, units: int, takes_s: float) -> AsyncIterator[tuple[list[TimedField], list[int]]]:
    """TCP gateways with ``units`` doors each behind one serial line, where every exchange ``takes_s``."""
    async with AsyncExitStack() as stack:
        fields = [TimedField(*range(1, units + 1), takes_s=takes_s) for _ in range(count)]
        ports = [await stack.enter_async_context(serve(field, FramerType.RTU)) for field in fields]
        yield fields, ports
