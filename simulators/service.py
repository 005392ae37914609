"""Simulators: `sim serve`: one plant, its MQTT fleets and Modbus lines, driven by the wall clock."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import structlog

from simulators import charging, profiles
from simulators.modbus_devices import ModbusLine
from simulators.mqtt_devices import Fleet
from simulators.names import find_device, find_point
from simulators.plant import ONLINE, Plant
from simulators.processes import PortTaken
from simulators.spec import SimDevice, SimError, SimSite, Value

_log = structlog.get_logger(__name__)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_NAP_S = 0.5
_MODBUS = ("modbus-tcp", "modbus-rtu-over-tcp")


class SimService:
    """Plays a site until cancelled; people poke it through `handle`."""

    def __init__(self, site: SimSite, *, seed: int = 1, pace: float = 1.0) -> None:
        """Needs a running event loop.

        Raises:
            SimError: a bus leads off this machine, or a device cannot be played.
        """
        self.site = site
        self.seed = seed
        self.plant = Plant(site, seed=seed, pace=pace)
        self.not_played: list[str] = []
        self.fleets: dict[str, Fleet] = {}
        self.lines: dict[str, ModbusLine] = {}
        self._wake = asyncio.Event()
        self._cuts: dict[str, asyncio.Task[None]] = {}  # lines that are cut for a while; at most one of each
        for bus in site.buses.values():
            devices = site.on_bus(bus.id)
            if not devices:
                continue
            if bus.type not in ("mqtt", *_MODBUS):
                self.not_played.append(bus.id)
                continue
            if bus.host not in _LOOPBACK:
                raise SimError(
                    f"总线 {bus.id} 指向 {bus.host}:模拟器只在本机运行,不会冒充现场设备",
                    f"bus {bus.id} leads to {bus.host}: the simulator stays on this machine",
                )
            if bus.type == "mqtt":
                self.fleets[bus.id] = Fleet(bus, devices, self._written)
            else:
                self.lines[bus.id] = ModbusLine(bus, devices, self.plant, self._written)

    @property
    def is_up(self) -> bool:
        """Do all lines listen, and have all fleets found their broker?"""
        return all(line.is_up for line in self.lines.values()) and all(fleet.is_up for fleet in self.fleets.values())

    async def run(self) -> None:
        """Open the sockets and play until cancelled.

        Raises:
            PortTaken: a Modbus port is in use.
        """
        try:
            for line in self.lines.values():
                await line.start()
            for fleet in self.fleets.values():
                fleet.start()
            await self._play()
        finally:
            for cut in self._cuts.values():
                cut.cancel()
            await asyncio.gather(*self._cuts.values(), return_exceptions=True)
            await asyncio.gather(*(fleet.stop() for fleet in self.fleets.values()))
            await asyncio.gather(*(line.stop() for line in self.lines.values()))

    async def _play(self) -> None:
        started = time.perf_counter()
        while True:
            for event in self.plant.advance(time.perf_counter() - started):
                fleet = self.fleets.get(self.site.devices[event.device_id].bus)
                if fleet:
                    fleet.tell(event, time.time_ns() // 1_000_000)
            self._wake.clear()
            nap_s = self.plant.next_due_s() - (time.perf_counter() - started)
            try:
                async with asyncio.timeout(min(_MAX_NAP_S, max(0.0, nap_s))):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _written(self, device_id: str, point: str, value: Value) -> None:
        """The gateway commanded a point."""
        _log.info("sim.commanded", device=device_id, point=point, value=value)
        self.plant.write(device_id, point, value)
        self._wake.set()

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request of the control socket; see `control` for the shapes.

        Raises:
            SimError: a name or a value is wrong.
        """
        verb = request.get("do")
        if verb == "status":
            return self._status()
        if verb == "list":
            return {"devices": [self._line(each) for each in self.site.devices.values()]}
        if verb == "report":
            self.plant.report_all()
            self._wake.set()
            return {"devices": len(self.site.devices)}
        if verb == "cut":
            return self._cut(str(request["line"]), float(request["for_s"]))
        device, point = find_device(self.site, str(request.get("device", "")))
        answer = self._poke(str(verb), device, point, request)
        self._wake.set()
        return {"device": device.id, "title": device.title, **answer}

    def _cut(self, name: str, for_s: float) -> dict[str, Any]:
        line = self.lines.get(name)
        if line is None:
            raise SimError(f"没有 Modbus 线路 {name}", f"there is no Modbus line {name}")
        if name in self._cuts:
            raise SimError(f"线路 {name} 已经断着", f"line {name} is cut already")
        self._cuts[name] = asyncio.ensure_future(self._cut_for(name, line, for_s))
        return {"line": name}

    async def _cut_for(self, name: str, line: ModbusLine, for_s: float) -> None:
        """Nobody listens there for so long."""
        try:
            await line.stop()
            _log.warning("sim.line_cut", bus=name, for_s=for_s)
            await asyncio.sleep(for_s)
            while not line.is_up:
                try:
                    await line.start()
                except PortTaken as error:  # whoever it is may go
                    _log.warning("sim.line_port_taken", bus=name, error=error.en)
                    await asyncio.sleep(1.0)
        finally:
            del self._cuts[name]

    def _poke(self, verb: str, device: SimDevice, point: str, request: dict[str, Any]) -> dict[str, Any]:
        if verb == "press":
            return {"point": self.plant.press(device.id, point)}
        if verb == "set":
            wanted = {name: profiles.convert(text, _type_of(device, name)) for name, text in request["values"].items()}
            self.plant.set(device.id, wanted)
            return {"values": wanted}
        if verb == "ramp":
            found = find_point(device, str(request["point"]))
            if found.type not in ("int", "float"):
                raise SimError(f"{found.name} 不是数值,不能 ramp", f"{found.name} is not a number: cannot ramp")
            first, last, over_s = (float(request[key]) for key in ("first", "last", "over_s"))
            self.plant.ramp(device.id, found.name, first, last, over_s)
            return {"point": found.name}
        if verb == "show":
            return {"values": dict(self.plant.values(device.id)), "online": self.plant.is_online(device.id)}
        raise SimError(f"不认识的请求 {verb}", f"unknown request {verb}")

    def _line(self, device: SimDevice) -> dict[str, Any]:
        return {"id": device.id, "title": device.title, "bus": device.bus, "points": len(device.points)}

    def _status(self) -> dict[str, Any]:
        counts: Counter[str] = Counter()
        for counted in [each.counts for each in self.fleets.values()] + [each.counts for each in self.lines.values()]:
            counts.update(counted)
        return {
            "site": self.site.title,
            "seed": self.seed,
            "devices": len(self.site.devices),
            "connected": self.is_up,
            "counts": dict(counts),
            "not_played": self.not_played,
        }


def _type_of(device: SimDevice, name: str) -> str:
    """The type of what a person sets: a point, or a state that no point shows."""
    return "bool" if name == ONLINE or charging.is_hidden(device, name) else find_point(device, name).type
