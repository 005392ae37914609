"""The simulated community under the shipped rules, in virtual time: quiet by itself, and the loops close.

Plant and engine meet here without sockets: what devices tell becomes readings, what the engine commands is written.
"""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.model import AlarmClass, Reading, Site, Step
from simulators.plant import Plant
from simulators.site import load
from tests.support_packs import SHIPPED, shipped
from tests.support_rules import Player

POLL_S = 5.0  # Modbus devices are read this often: enough for every delay of the rules in hours


class Community:
    """The demo site, played."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.plant = Plant(load(SHIPPED), seed=seed)
        self.player = Player(site)
        self.player.restart(0.0)
        self.polled = [device for device in site.devices.values() if site.buses.get(device.bus_id) is not None]
        self.polled = [each for each in self.polled if site.buses[each.bus_id].type != "mqtt"]
        self.alarms: Counter[tuple[str, AlarmClass]] = Counter()
        self.commands: list[str] = []
        self._shown: dict[str, object] = {}
        self._looked = 0

    def run(self, hours: float) -> None:
        """Let so much time pass."""
        ends_s = self.plant.now_s + hours * 3600
        while self.plant.now_s < ends_s:
            self.tick()

    def tick(self) -> None:
        """One round of polling, and what devices told meanwhile."""
        events = self.plant.advance(self.plant.now_s + POLL_S)
        at_s = self.plant.now_s
        at = self.player.now(at_s).utc
        readings = [
            Reading(f"{event.device_id}/{name}", value, at, at)
            for event in events
            if self.site.buses[self.site.devices[event.device_id].bus_id].type == "mqtt"
            for name, value in event.values.items()
            if value != ""
        ]
        for device in self.polled:
            for name, value in self.plant.values(device.id).items():
                point_id = f"{device.id}/{name}"
                if self._shown.get(point_id) != value:
                    self._shown[point_id] = value
                    readings.append(Reading(point_id, value, at, at))
        self.player.step(at_s, *readings)
        for step in self.player.steps[self._looked :]:
            self._obey(step)
        self.player.steps.clear()
        self._looked = 0

    def _obey(self, step: Step) -> None:
        for event in step.events:
            if event.kind in {"raised", "reraised"}:
                alarm = step.alarms[event.alarm_id]
                self.alarms[alarm.rule_id, alarm.alarm_class] += 1
        for command in step.commands:
            self.commands.append(f"{command.point_id}={command.value}")
            device_id, _, point = command.point_id.rpartition("/")
            self.plant.write(device_id, point, command.value)


@pytest.mark.slow
def test_the_demo_is_quiet_by_itself() -> None:
    """Three hours without a poke: nothing that anybody would hear; full batteries are cut and on the work list."""
    community = Community(shipped(), seed=1)
    community.run(3)
    heard = {key: count for key, count in community.alarms.items() if key[1] is not AlarmClass.MAINTENANCE}
    assert heard == {}
    assert community.alarms["session-full", AlarmClass.MAINTENANCE] > 0
    assert all(each.endswith("=False") and "/on." in each for each in community.commands)


def test_a_cut_socket_draws_nothing_and_a_welded_one_loses_its_supply() -> None:
    """Overload, cut, and the current is gone; with a welded relay the main switch of the shed opens as well."""
    community = Community(shipped(), 1)
    cabinet = "3-1-B1-CP02/ebike-charger"
    community.run(0.01)
    community.plant.set(cabinet, {"plugged.3": True, "power.3": 1500.0, "welded.3": True})
    community.run(0.02)
    assert f"{cabinet}/on.3=False" in community.commands
    assert "3-1-B1-SHED/main-switch/closed=False" in community.commands
    assert community.plant.values(cabinet)["current.3"] == 0.0
    assert {"socket-overload", "socket-welded"} <= {rule for rule, _ in community.alarms}


def test_a_second_charge_without_a_replug_is_cut_again() -> None:
    """Somebody pays again for the battery that is full: power is gone within seconds."""
    community = Community(shipped(), 1)
    cabinet = "3-1-B1-CP02/ebike-charger"
    community.plant.set(cabinet, {"plugged.4": True, "power.4": 200.0})
    community.run(0.01)
    community.plant.write(cabinet, "on.4", False)
    community.run(0.01)
    community.plant.write(cabinet, "on.4", True)
    community.run(0.01)
    assert community.plant.values(cabinet)["on.4"] is False
    assert {rule for rule, _ in community.alarms} >= {"session-again"}
