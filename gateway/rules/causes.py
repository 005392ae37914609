"""Room: rules. Which devices can be the cause of a loss: uplinks, lines, cabinets; and how old what was lost is.

What is gathered under a cause, and when, is `gateway.rules.grouping`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.model import Alarm, Device, Now
from gateway.rules.gathered import CABINET, cabinets_of


class Causes:
    """The devices whose loss explains that of others, found once for each device."""

    def __init__(self, devices: Mapping[str, Device]) -> None:
        self._devices = devices
        self._found: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
        self._uplinks = tuple(each.id for each in devices.values() if each.kind == "uplink")
        self._cabinets = cabinets_of(devices.values())

    def of(self, device: Device, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Devices whose loss explains that of ``device``, the widest first."""
        key = device.id, groups
        found = self._found.get(key)
        if found is None:
            causes = list(self._uplinks) if "uplink" in groups else []
            if "line" in groups and f"line/{device.bus_id}" in self._devices:
                causes.append(f"line/{device.bus_id}")
            if CABINET in groups:
                causes += self._cabinets.get(device.place.text, ())
            found = self._found[key] = tuple(each for each in causes if each != device.id)
        return found


class Ages:
    """How long ago open alarms were raised, on the monotonic clock. After a restart only the wall clock knows that;
    from then on setting it changes nothing.
    """  # noqa: D205 - one paragraph

    def __init__(self) -> None:
        self._raised_s: dict[str, float] = {}

    def note(self, alarm: Alarm, now: Now) -> None:
        """Call it at every change of ``alarm``."""
        if not alarm.is_open:
            self._raised_s.pop(alarm.id, None)
        elif alarm.id not in self._raised_s:
            self._raised_s[alarm.id] = now.mono_s - max(0.0, (now.utc - alarm.raised_at).total_seconds())

    def of(self, alarm: Alarm, now: Now) -> float:
        """Seconds since it was raised; infinity where that is not known."""
        return now.mono_s - self._raised_s.get(alarm.id, float("-inf"))
