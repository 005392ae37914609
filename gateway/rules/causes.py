"""Room: rules. Causes of a loss (uplinks, lines, cabinets), how old what was lost is, what was told just now.

What is gathered under a cause, and when, is `gateway.rules.grouping`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from gateway.model import Alarm, Device, Now, Step, TimerChange
from gateway.rules.gathered import CABINET, cabinets_of
from gateway.rules.timers import Timers

MOST_RECENT = 256  # lines of a rule told just now: more only where nobody hears the groups that would take them


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


class Recent:
    """The lines of each rule that were told just now, so that a group can still take them along. Kept by timers."""

    def __init__(self, timers: Timers, for_s: float) -> None:
        self._timers = timers
        self._for_s = for_s
        self._sources: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def of(self, rule_id: str) -> Collection[str]:
        """Their sources, the oldest first."""
        return self._sources[rule_id]

    def note(self, rule_id: str, source_id: str, step: Step) -> None:
        """One more."""
        sources = self._sources[rule_id]
        sources[source_id] = None
        step.timers.append(self._timers.start(_key(rule_id, source_id), self._for_s, step.now))
        if len(sources) > MOST_RECENT:
            oldest = next(iter(sources))
            del sources[oldest]
            change: TimerChange | None = self._timers.stop(_key(rule_id, oldest))
            if change is not None:
                step.timers.append(change)

    def ring(self, rest: str, _step: Step) -> None:
        """Its time is over."""
        rule_id, _, source_id = rest.partition("|")
        self._sources[rule_id].pop(source_id, None)

    def restore(self, rest: str) -> None:
        """It was told before a restart; its timer goes on."""
        rule_id, _, source_id = rest.partition("|")
        self._sources[rule_id][source_id] = None


def _key(rule_id: str, source_id: str) -> str:
    return f"group|recent|{rule_id}|{source_id}"
