"""Configuration: the buses of site.yaml, and what their drivers say about all devices on one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gateway.config.desk import Desk, device_subject
from gateway.config.findings import Say, perhaps
from gateway.config.outside import check_references
from gateway.config.shapes import SiteFile
from gateway.config.shaping import Part, keys_of, known_keys, shape
from gateway.config.tree import Entry
from gateway.model import Bus, Device


def read_buses(desk: Desk, file: SiteFile, entry: Entry) -> None:
    """Add the buses of site.yaml to the desk."""
    for name, raw in (file.buses or {}).items():
        part = Part(entry, ("buses", name), Say(f"总线 {name}", f"bus {name}"))
        desk.bus_spots[name] = entry.key("buses", name)
        bus = _bus(desk, name, raw, part)
        if bus is None:
            desk.unread_buses.add(name)
        else:
            desk.buses[name] = bus
            check_references(desk.findings, raw, part)


class _BusType(BaseModel):
    type: str


def _bus(desk: Desk, name: str, raw: Any, part: Part) -> Bus | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        every = dict.fromkeys(key for each in desk.drivers.values() for key in keys_of(each.bus))
        raw = known_keys(desk.findings, part, raw, ("type", *every)) if isinstance(raw, dict) else raw
        if shape(desk.findings, _BusType, raw, part) is None:
            return None
    driver = desk.drivers.get(raw["type"])
    if driver is None:
        desk.findings.add(
            "E203",
            part.entry.at(*part.path, "type"),
            Say(f'不认识的总线类型 "{raw["type"]}"', f'unknown type of bus "{raw["type"]}"'),
            subject=part.subject,
            fix=perhaps(raw["type"], desk.drivers, Say("从可用的类型里选一个", "choose one of the known ones")),
            options=sorted(desk.drivers),
        )
        return None
    plain = known_keys(desk.findings, part, raw, ("type", *(k for k in keys_of(driver.bus) if k != "type")))
    params = shape(desk.findings, driver.bus, {k: v for k, v in plain.items() if k != "type"}, part)
    return None if params is None else Bus(name, raw["type"], params)


def check_buses(desk: Desk) -> None:
    """Let each driver look at all its devices together."""
    on_bus: dict[str, list[Device]] = {name: [] for name in desk.buses}
    for device in desk.devices.values():
        on_bus[device.bus_id].append(device)
    for name, bus in desk.buses.items():
        for device, problem in desk.drivers[bus.type].check_devices(bus, on_bus[name]):
            entry = desk.origins[device.id]
            if problem.where[:1] == ("points",):
                entry = desk.profiles[device.profile].entry
            desk.findings.add(
                problem.code,
                entry.at(*problem.where),
                Say(problem.zh, problem.en),
                subject=device_subject(device.place.text),
                fix=Say(problem.fix_zh, problem.fix_en),
            )
