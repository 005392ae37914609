"""Room: rules. One cause, one line: which alarms are consequences of another one (alarms.md section 3, flood).

A rule may name what gathers its alarms (`Rule.groups`); only faults and maintenance are ever gathered. A new alarm of
such a rule belongs, in this order,

- to the open alarm ``<cause>/online`` of its uplink, of its line (``line/<bus>``), or of its cabinet: a device with
  the tag ``cabinet`` at the same address;
- to the group alarm of its building (source ``@building:3``) or of the site (``@site:``), raised by the same rule,
  while that still grows: it took a member within `JOIN_S`;
- to a new group alarm, when it is the `BUILDING_LEAST`-th of its building within `TOGETHER_S`, or when `SITE_LEAST`
  lines of the rule (groups among them, and what they have gathered since) would have been told within `TOGETHER_S`:
  what came before it is gathered too. The group of the site takes the place of those of buildings just made.

It is then recorded as ever, but born ``suppressed_by`` its cause: nobody is told, nothing sounds. A cause that comes
after its consequences gathers those that nobody has taken. When a cause has gone, its members have `SETTLE_S` to come
back; what has not is looked at again: gathered by what is there then, else shown one by one, or by building where
there are many. A group alarm ends with its last member.

Nobody is spared a consequence whose cause they cannot hear: a cause that is shelved, out of service or in a test
gathers nothing and lets go at once what it had; a group alarm that is muted takes nobody any more.

Of very many `PIECE` are gathered or shown in one step, the others shortly afterwards: a fire does not wait for them.

Everything here follows from the open alarms and running timers, so that a restart changes nothing. Which rules see
which points, and what is told, is not decided here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gateway.model import Alarm, AlarmCondition, Device, Now, Rule, Step, TimerChange
from gateway.rules.causes import Ages, Causes, Recent
from gateway.rules.gathered import (
    GATHERED_CLASSES,
    SITE_SOURCE,
    Gathered,
    Ledger,
    building_source,
    is_alone,
    is_free,
    is_muted_anyway,
    lets_go,
)
from gateway.rules.points import ONLINE
from gateway.rules.timers import Timers
from gateway.rules.watch import Watch

# Lost within this: one cause. Silence is how a loss is seen: devices that report every two minutes are lost over two.
TOGETHER_S = 300.0
BUILDING_LEAST = 5
SITE_LEAST = 7  # so that at most 7 lines of a rule, and the causes themselves, are annunciated of one flood
JOIN_S = 600.0  # a group that took nobody for so long takes nobody any more
SETTLE_S = 120.0  # after a cause has gone, until what is still lost is shown
PIECE = 256
_SOON_S = 0.02
RECENT_S = 600.0  # a cause gathers alarms at most this much older than itself


class Grouping:
    """Causes and their members. Empty, and free of cost, where no rule has ``groups``."""

    def __init__(self, devices: Mapping[str, Device], timers: Timers, book: Ledger) -> None:
        self._devices = devices
        self._timers = timers
        self._book = book
        self._rules: set[str] = set()
        self._explain = Causes(devices)
        self._ages = Ages()
        self._cause_ids: set[str] = set()  # devices whose `online` can be a cause
        self._causes: dict[str, str] = {}  # device id -> its open, active alarm `online`
        self._members: defaultdict[str, dict[str, None]] = defaultdict(dict)  # cause -> active members, in order
        self._recent = Recent(timers, TOGETHER_S)
        self._rings: dict[str, Callable[[str, Step], None]] = {
            "recent": self._recent.ring,
            "join": self._nothing,
            "settle": self._settle,
            "adopt": self._adopt_more,
        }

    def add(self, rule: Rule) -> None:
        """Let the alarms of ``rule`` be gathered; makes the sources of its group alarms."""
        if not rule.groups or rule.alarm_class not in GATHERED_CLASSES or rule.latches:
            return
        self._rules.add(rule.id)
        self._book.cause_of, self._book.after = self.cause_of, self.after
        plain = replace(rule, points=(), actions=(), groups=())
        buildings: set[str] = set()
        for point_id in rule.points:
            device = self._devices[point_id.rpartition("/")[0]]
            self._cause_ids.update(self._explain.of(device, rule.groups))
            if "building" in rule.groups and device.place.building and device.bus_id:
                buildings.add(device.place.building)
        places = [
            (SITE_SOURCE, "全小区"),
            *((building_source(each), f"{each} 栋") for each in sorted(buildings)),
        ]
        for source, place in places:
            self._book.watches[rule.id, source] = Gathered(plain, source, place)

    # What the book asks and tells ------------------------------------------------------------------------------

    def cause_of(self, watch: Watch, step: Step, is_muted: bool) -> str:  # noqa: FBT001 - a port of the book
        """The id of the alarm that gathers the alarm ``watch`` is about to raise; "" for none.

        One that nobody would hear of anyway (shelved, out of service, a test) makes no group, and joins none.
        """
        rule = watch.rule
        if rule.id not in self._rules or watch.device_id not in self._devices:
            return ""
        return self._present_cause(watch) or ("" if is_muted else self._group(watch, step))

    def after(self, alarm: Alarm, step: Step) -> None:
        """``alarm`` has changed: it may be a cause that came or went, or a member that is gone."""
        is_there = alarm.is_open and alarm.condition is AlarmCondition.ACTIVE
        if alarm.rule_id in self._rules:
            self._ages.note(alarm, step.now)
        if alarm.suppressed_by:
            self._count_member(alarm, step, is_there=is_there)
        if alarm.device_id in self._cause_ids and alarm.point_id.endswith(f"/{ONLINE}"):
            self._follow_cause(alarm, step, speaks=is_there and not is_muted_anyway(alarm))
        if alarm.id not in self._members:
            return
        if not is_there:
            self._let_settle(alarm.id, step)
        elif lets_go(alarm):
            self._settle(alarm.id, step)

    def _follow_cause(self, alarm: Alarm, step: Step, *, speaks: bool) -> None:
        if speaks and self._causes.get(alarm.device_id) != alarm.id:
            self._causes[alarm.device_id] = alarm.id
            self._adopt(alarm, step)
        elif not speaks and self._causes.get(alarm.device_id) == alarm.id:
            del self._causes[alarm.device_id]

    def ring(self, key: str, step: Step) -> None:
        """A window has ended."""
        self._rings[key.split("|", 2)[1]](key.split("|", 2)[2], step)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """Go on with a window after a restart, when it still concerns anything."""
        what, _, rest = key.partition("|")[2].partition("|")
        if what not in self._rings:
            return False
        if what == "recent":
            rule_id, _, source_id = rest.partition("|")
            watch = self._book.watches.get((rule_id, source_id))
            if rule_id not in self._rules or watch is None:
                return False
            self._recent.restore(rest)
        self._timers.restore(key, started_at, duration_s, now, not_before=now.mono_s)
        return True

    def resume(self, step: Step) -> None:
        """After a restart: who belongs to whom follows from the open alarms. Where no rule groups, all are shown."""
        for alarm in list(self._book.alarms.values()):
            if self._book.stages.yields(alarm):
                continue
            if not self._rules:
                self._book.unsuppress(alarm, step)
                continue
            self._ages.note(alarm, step.now)
            is_there = alarm.is_open and alarm.condition is AlarmCondition.ACTIVE
            if is_there and alarm.suppressed_by:
                self._members[alarm.suppressed_by][alarm.id] = None
            speaks = is_there and not is_muted_anyway(alarm)
            if speaks and alarm.device_id in self._cause_ids and alarm.point_id.endswith(f"/{ONLINE}"):
                self._causes[alarm.device_id] = alarm.id
            watch = self._book.watch_of(alarm)
            if isinstance(watch, Gathered):
                self._book.confirm(watch, step)
        for cause in list(self._members):
            found = self._book.alarms.get(cause)
            if found is None or found.condition is not AlarmCondition.ACTIVE or lets_go(found):
                self._let_settle(cause, step)

    # Causes that are there -------------------------------------------------------------------------------------

    def _present_cause(self, watch: Watch) -> str:
        for each in self._explain.of(self._devices[watch.device_id], watch.rule.groups):
            root = self._root(self._causes[each]) if each in self._causes else ""
            if root and not self._is_unheard(root):
                return root
        return ""

    def _is_unheard(self, alarm_id: str) -> bool:
        alarm = self._book.alarms.get(alarm_id)
        return alarm is not None and is_muted_anyway(alarm)

    def _root(self, alarm_id: str) -> str:
        """A cause may itself be gathered: by the site, or by its line, while that is there."""
        alarm = self._book.alarms.get(alarm_id)
        over = self._book.alarms.get(alarm.suppressed_by) if alarm is not None else None
        return over.id if over is not None and over.condition is AlarmCondition.ACTIVE else alarm_id

    def _adopt(self, cause: Alarm, step: Step) -> None:
        """A cause that is seen after its consequences: gather those that nobody has in hand."""
        by, count = self._root(cause.id), 0
        if self._is_unheard(by):
            return
        for alarm in list(self._book.alarms.values()):
            if alarm.rule_id not in self._rules or alarm.id == cause.id or not is_free(alarm):
                continue
            device = self._devices.get(alarm.device_id)
            watch = self._book.watch_of(alarm)
            if device is None or watch is None or self._ages.of(alarm, step.now) > RECENT_S:
                continue
            if cause.device_id in self._explain.of(device, watch.rule.groups):
                if count == PIECE:
                    self._go_on("adopt", cause.id, step)
                    return
                self._gather(alarm, by, step)
                count += 1

    def _adopt_more(self, alarm_id: str, step: Step) -> None:
        alarm = self._book.alarms.get(alarm_id)
        if alarm is not None and self._causes.get(alarm.device_id) == alarm_id:
            self._adopt(alarm, step)

    def _go_on(self, what: str, alarm_id: str, step: Step) -> None:
        step.timers.append(self._timers.start(f"group|{what}|{alarm_id}", _SOON_S, step.now))

    # Groups by number ------------------------------------------------------------------------------------------

    def _group(self, watch: Watch, step: Step) -> str:
        """The group that the new alarm of ``watch`` belongs to, or makes; remembers it when there is none."""
        rule = watch.rule
        building = self._building_of(watch)
        growing = self._growing(rule.id, building)
        if growing is not None:
            return self._join(growing, step)
        recent = self._recent.of(rule.id)
        alone = [w for each in recent if (w := self._book.watches.get((rule.id, each))) is not None and is_alone(w)]
        near = [w for w in alone if building and not isinstance(w, Gathered) and self._building_of(w) == building]
        # For the site counts what was told, gathered since or not: a flood that goes from building to building would
        # else be told building by building.
        is_site = len(recent) + 1 >= SITE_LEAST
        for source, before, is_many in (
            (SITE_SOURCE, alone, is_site),
            (building, near, len(near) + 1 >= BUILDING_LEAST),
        ):
            if source and is_many:
                group = self._raise_group(rule.id, source, step)
                if group is None:
                    continue
                for each in before:
                    self._gather_all(each, group.id, step)
                self._recent.note(rule.id, source, step)
                return self._join(group, step)
        self._recent.note(rule.id, watch.source_id, step)
        return ""

    def _growing(self, rule_id: str, building: str) -> Alarm | None:
        """The group of the site or the building that still takes members."""
        for source in (SITE_SOURCE, building):
            group = self._open(rule_id, source) if source else None
            if group is not None and _join_key(rule_id, source) in self._timers:
                return group
        return None

    def _gather_all(self, watch: Watch, by: str, step: Step) -> None:
        """Gather the alarm of ``watch``; of a group its members, which ends it."""
        alarm = watch.alarm
        assert alarm is not None, "only what is open is gathered"
        if not isinstance(watch, Gathered):
            self._gather(alarm, by, step)
            return
        for each in self._members.pop(alarm.id, {}):
            self._gather(self._book.alarms[each], by, step)
        self._end_group(watch, "gathered by the site", step)

    def _end_group(self, watch: Gathered, because: str, step: Step) -> None:
        watch.met = False
        self._stop(_join_key(watch.rule.id, watch.source_id), step)
        self._book.write(watch, "returned", {"because": because}, step)

    def _raise_group(self, rule_id: str, source: str, step: Step) -> Alarm | None:
        """None where nobody would hear of it: then there is no group, and its members stand for themselves."""
        watch = self._book.watches[rule_id, source]
        if watch.is_active or self._book.is_mute(watch):
            return self._open(rule_id, source)
        watch.met = True
        self._book.activate(watch, step, None)
        return watch.alarm

    def _join(self, group: Alarm, step: Step) -> str:
        step.timers.append(self._timers.start(_join_key(group.rule_id, group.point_id), JOIN_S, step.now))
        return group.id

    def _gather(self, alarm: Alarm, by: str, step: Step) -> None:
        if alarm.suppressed_by != by:
            self._members.get(alarm.suppressed_by, {}).pop(alarm.id, None)
            self._book.suppress(alarm, by, step)

    def _count_member(self, alarm: Alarm, step: Step, *, is_there: bool) -> None:
        if is_there:
            self._members[alarm.suppressed_by][alarm.id] = None
            return
        members = self._members.get(alarm.suppressed_by, {})
        members.pop(alarm.id, None)
        if members:
            return
        self._members.pop(alarm.suppressed_by, None)
        cause = self._book.alarms.get(alarm.suppressed_by)
        watch = self._book.watch_of(cause) if cause is not None else None
        if isinstance(watch, Gathered) and watch.is_active:
            self._end_group(watch, "no member left", step)

    # The end of a cause ----------------------------------------------------------------------------------------

    def _let_settle(self, cause: str, step: Step) -> None:
        """A cause has gone; what it explained has a while to come back."""
        key = f"group|settle|{cause}"
        if self._members.get(cause) and key not in self._timers:
            step.timers.append(self._timers.start(key, SETTLE_S, step.now))

    def _settle(self, cause: str, step: Step) -> None:
        """What has not come back is gathered by what is there now, or shown."""
        found = self._book.alarms.get(cause)
        if found is not None and found.condition is AlarmCondition.ACTIVE and not lets_go(found):
            return
        members = self._members.get(cause, {})
        plan = self._plan([self._book.alarms[each] for each in members if each in self._book.alarms], step)
        for alarm, by in plan[:PIECE]:
            members.pop(alarm.id, None)
            if by:
                self._gather(alarm, by, step)
            else:
                self._book.unsuppress(alarm, step)
        if len(plan) > PIECE:
            self._go_on("settle", cause, step)
            return
        self._members.pop(cause, None)

    def _plan(self, left: Sequence[Alarm], step: Step) -> list[tuple[Alarm, str]]:
        """Which of them goes under what; "": it is shown."""
        plan: list[tuple[Alarm, str]] = []
        by_rule: defaultdict[str, list[Alarm]] = defaultdict(list)
        for alarm in left:
            watch = self._book.watch_of(alarm)
            if watch is None or alarm.rule_id not in self._rules or isinstance(watch, Gathered):
                plan.append((alarm, ""))
            elif (by := self._present_cause(watch)) or is_muted_anyway(alarm):
                plan.append((alarm, by))
            else:
                by_rule[alarm.rule_id].append(alarm)
        for rule_id, alarms in by_rule.items():
            plan += self._show(rule_id, alarms, step)
        return plan

    def _show(self, rule_id: str, alarms: Sequence[Alarm], step: Step) -> list[tuple[Alarm, str]]:
        """Show what is left of a rule's members: alone, by building where there are many, else as one."""
        by_building: defaultdict[str, list[Alarm]] = defaultdict(list)
        for alarm in alarms:
            by_building[self._building_of(self._book.watches[rule_id, alarm.point_id])].append(alarm)
        plan: list[tuple[Alarm, str]] = []
        for key in list(by_building):
            growing = self._growing(rule_id, key)
            if growing is not None:
                by = self._join(growing, step)
                plan += [(alarm, by) for alarm in by_building.pop(key)]
        groups = {key: each for key, each in by_building.items() if key and len(each) >= BUILDING_LEAST}
        alone = [each for key, some in by_building.items() if key not in groups for each in some]
        if len(groups) + len(alone) >= SITE_LEAST:
            groups, alone = {SITE_SOURCE: [each for some in by_building.values() for each in some]}, []
        for source, some in groups.items():
            group = self._raise_group(rule_id, source, step)
            if group is None:
                alone += some
            else:
                by = self._join(group, step)
                plan += [(alarm, by) for alarm in some]
        return plan + [(alarm, "") for alarm in alone]

    def _building_of(self, watch: Watch) -> str:
        """The source of the group of its building; "" where the rule has none for it."""
        source = building_source(self._devices[watch.device_id].place.building)
        return source if (watch.rule.id, source) in self._book.watches else ""

    def _open(self, rule_id: str, source: str) -> Alarm | None:
        """The group's alarm, if it is there and heard."""
        watch = self._book.watches.get((rule_id, source))
        alarm = watch.alarm if watch is not None and watch.is_active else None
        return None if alarm is None or is_muted_anyway(alarm) else alarm

    def _stop(self, key: str, step: Step) -> None:
        change: TimerChange | None = self._timers.stop(key)
        if change is not None:
            step.timers.append(change)

    def _nothing(self, _rest: str, _step: Step) -> None:
        """A group takes nobody any more: that the timer no longer runs says so."""


def _join_key(rule_id: str, source: str) -> str:
    return f"group|join|{rule_id}|{source}"
