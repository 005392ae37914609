"""A community with lines, cabinets and buildings, for tests of grouping; and what of it people would hear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.model import (
    Alarm,
    AlarmClass,
    Condition,
    Device,
    DeviceStatus,
    Input,
    Place,
    Site,
    Step,
    Tell,
)
from tests.support_rules import Player, device, rule, site

DUTY = (Tell("duty", ("apprise",)),)


def lamp(number: int, building: str, *, bus: str = "b1", tags: tuple[str, ...] = ()) -> Device:
    """One device on a bus, in a building."""
    made = device(f"{building}-1-01-{number:04d}/lamp", "lamp", {"lit": "bool"})
    return replace(made, bus_id=bus, tags=tags)


def built_in(kind: str, name: str) -> Device:
    """A line, an uplink or the box, as the configuration makes them."""
    points = {"time_ok": "bool", "disk_ok": "bool"} if kind == "gateway" else {}
    made = device(f"{kind}/{name}", kind, points)
    return replace(made, bus_id="", place=Place(f"线路 {name}"))


def community(devices: Sequence[Device], groups: tuple[str, ...] = ("line", "cabinet", "building")) -> Site:
    """These devices with a rule that tells of the lost ones, one for lines, one for fires in the lamps."""
    lines = [each.id for each in devices if each.kind == "line"]
    lamps = [each.id for each in devices if each.kind == "lamp"]
    is_off = Condition("equals", value=False)
    rules = [
        rule([f"{each}/online" for each in lamps], is_off, AlarmClass.FAULT, id="lost", groups=groups, tells=DUTY),
        rule([f"{each}/lit" for each in lamps], Condition("equals", value=True), AlarmClass.FIRE, id="fire",
             latches=True, groups=groups, tells=DUTY),
    ]  # fmt: skip
    if lines:
        rules.append(rule([f"{each}/online" for each in lines], is_off, AlarmClass.FAULT, id="line", tells=DUTY))
    return site(devices, rules)


class Flood(Player):
    """A player that loses and finds devices."""

    restarted_s = -1.0

    def lose(self, at_s: float, *device_ids: str) -> Step:
        """They are all lost at this instant, in one batch."""
        return self.step(at_s, *self._statuses(at_s, device_ids, is_online=False))

    def find(self, at_s: float, *device_ids: str) -> Step:
        """They are all back."""
        return self.step(at_s, *self._statuses(at_s, device_ids, is_online=True))

    def _statuses(self, at_s: float, ids: Iterable[str], *, is_online: bool) -> list[Input]:
        return [DeviceStatus(each, is_online, self.now(at_s).utc) for each in ids]

    def open(self) -> list[Alarm]:
        """Open alarms that are annunciated, oldest first."""
        return [each for each in self.engine.alarms.values() if not each.suppressed_by]

    def members(self, of: Alarm) -> list[str]:
        """Devices whose open alarms are listed under ``of``."""
        return [each.device_id for each in self.engine.alarms.values() if each.suppressed_by == of.id]

    def annunciated(self) -> int:
        """How many alarms were ever seen, heard or told: those not suppressed from birth."""
        return len({e.alarm_id for e in self.journal if e.kind == "raised" and not e.data.get("suppressed_by")})

    def told(self) -> set[str]:
        """Alarms of which somebody was told."""
        return {notice.alarm_id for step in self.steps for notice in step.notices}
