"""Room: rules. One cause, one line, of stages: an alarm that a higher one has overtaken goes under it.

A rule names the rules that it yields to (`Rule.yields_to`): 60 °C yields to 70 °C. While an alarm of such a rule
speaks at the same spot (one socket of one device, or one group), the lower one is ``suppressed_by`` it: recorded and
listed under it, neither heard nor told by itself. Nothing is hidden that way:

- A higher alarm speaks while it is open and heard; not when it is shelved, out of service or a test, and not when
  people have closed it and its condition has gone. Then what is left of the lower ones is shown.
- What was shown in a drill speaks for nothing but that drill: a real warning does not go under it.
- Life safety never yields, and what somebody has in hand stays with them.
- What has been overtaken ends with its condition (`gateway.rules.alarm`), for people have answered the higher one;
  and if it is latched, with the reset of the higher one: an event for each, in the name of who did that.

All of it follows from the open alarms, so that a restart changes nothing. Causes of other devices are
`gateway.rules.grouping`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from gateway.model import SYSTEM, Actor, Alarm, AlarmCondition, AlarmEvent, Handling, Rule, Step
from gateway.rules.gathered import is_muted_anyway
from gateway.rules.watch import Watch


class Ledger(Protocol):
    """What is needed of the book of alarms."""

    alarms: dict[str, Alarm]

    def add(self, alarm: Alarm, kind: str, data: Mapping[str, Any], step: Step, *, actor: Actor = SYSTEM) -> Alarm:
        """One event of an open alarm."""
        ...

    def suppress(self, alarm: Alarm, by: str, step: Step) -> Alarm:
        """Mute ``alarm``, a consequence of the alarm ``by``."""
        ...

    def unsuppress(self, alarm: Alarm, step: Step) -> Alarm:
        """Let ``alarm`` be seen again."""
        ...


class Stages:
    """Who yields to whom, and the open alarms of those rules by spot. Free of cost where no rule yields."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._higher: dict[str, tuple[str, ...]] = {}  # of a rule that yields: those it yields to
        self._staged: frozenset[str] = frozenset()  # rules that yield or are yielded to
        self._open: defaultdict[str, dict[str, None]] = defaultdict(dict)  # spot -> ids of open alarms of such rules

    def add(self, rules: Sequence[Rule]) -> list[Rule]:
        """All rules of the site, the higher stages first: of one value that is both, the lower is born under it.

        Raises ValueError for one that must not yield.
        """
        known = {each.id: each for each in rules}
        self._higher = {each.id: each.yields_to for each in known.values() if each.yields_to}
        self._staged = frozenset(self._higher).union(*self._higher.values())
        for rule_id, higher in self._higher.items():
            rule = known[rule_id]
            if missing := [each for each in higher if each not in known]:
                raise ValueError(f"rule {rule_id}: yields to {missing[0]}, which is not there")
            if rule.alarm_class.is_life_safety:
                raise ValueError(f"rule {rule_id}: an alarm of class {rule.alarm_class} never yields to another")
            if rule.groups:
                raise ValueError(f"rule {rule_id}: has both yields_to and group")
            if rule_id in above(rule_id, self._higher):
                raise ValueError(f"rule {rule_id}: yields to itself in the end")
        return sorted(rules, key=lambda each: len(above(each.id, self._higher)))

    def yields(self, alarm: Alarm) -> bool:
        """Is it of a rule that yields? Then no other cause gathers it."""
        return alarm.rule_id in self._higher

    def in_order(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """The higher stages first: what ends the muting of several must not tell the lower one before the higher."""
        return sorted(alarms, key=lambda each: len(above(each.rule_id, self._higher)))

    def overtaker(self, watch: Watch, marks: Iterable[str]) -> str:
        """The alarm that a new one of ``watch``, with these marks, goes under; "" for none."""
        higher = self._higher.get(watch.rule.id)
        return self._speaking(higher, spot_of(watch.source_id), marks) if higher else ""

    def follow(self, alarm: Alarm, event: AlarmEvent, step: Step) -> None:
        """``event`` has made ``alarm`` what it is."""
        if alarm.rule_id not in self._staged:
            return
        spot = spot_of(alarm.point_id)
        self._note(alarm, spot)
        for alarm_id in list(self._open.get(spot, ())):
            lower = self._ledger.alarms.get(alarm_id)
            if lower is None or alarm.rule_id not in self._higher.get(lower.rule_id, ()) or lower.id == alarm.id:
                continue
            if lower.suppressed_by == alarm.id:
                if not _covers(alarm, lower):
                    self._release(lower, alarm, event, step)
            elif _speaks(alarm) and _is_as_real(alarm, lower.marks) and lower.handling is Handling.NEW:
                self._ledger.suppress(lower, alarm.id, step)
        if alarm.is_open and alarm.condition is AlarmCondition.ACTIVE and not self._is_right(alarm):
            self._show(alarm, step)

    def resume(self, step: Step) -> None:
        """After a restart, perhaps with other rules: everything is where it belongs."""
        if not self._staged:
            return
        mine = [each for each in self._ledger.alarms.values() if each.rule_id in self._staged]
        for alarm in mine:
            self._note(alarm, spot_of(alarm.point_id))
        for alarm in mine:
            if not self._is_right(alarm):
                self._show(alarm, step)

    def _note(self, alarm: Alarm, spot: str) -> None:
        if alarm.is_open:
            self._open[spot][alarm.id] = None
            return
        self._open[spot].pop(alarm.id, None)
        if not self._open[spot]:
            del self._open[spot]

    def _is_right(self, alarm: Alarm) -> bool:
        """Is it shown, or under one that covers it?"""
        higher = self._higher.get(alarm.rule_id)
        if not alarm.suppressed_by or higher is None:
            return True
        cause = self._ledger.alarms.get(alarm.suppressed_by)
        return cause is not None and cause.rule_id in higher and _covers(cause, alarm)

    def _speaking(self, higher: tuple[str, ...], spot: str, marks: Iterable[str]) -> str:
        there = [self._ledger.alarms[each] for each in self._open.get(spot, ())]
        found = [each for each in there if each.rule_id in higher and _speaks(each) and _is_as_real(each, marks)]
        return next((each.id for each in found if not each.suppressed_by), found[0].id if found else "")

    def _release(self, lower: Alarm, higher: Alarm, event: AlarmEvent, step: Step) -> None:
        """The higher one says nothing any more: its reset was that of the lower, or it is shown."""
        is_over = lower.condition is AlarmCondition.RETURNED and lower.is_latched and lower.handling is Handling.NEW
        if event.kind != "reset" or not is_over:
            self._show(lower, step)
            return
        closing = {"outcome": higher.outcome, "cause": higher.cause, "because": higher.id}
        for kind, data in (("taken", {}), ("closed", closing), ("reset", {})):
            lower = self._ledger.add(lower, kind, data, step, actor=event.actor)

    def _show(self, lower: Alarm, step: Step) -> None:
        by = self._speaking(self._higher.get(lower.rule_id, ()), spot_of(lower.point_id), lower.marks)
        if by:
            self._ledger.suppress(lower, by, step)
        else:
            self._ledger.unsuppress(lower, step)


def spot_of(source_id: str) -> str:
    """``power.3`` and ``temp.3`` of one device are one spot; so are all points of one that has no numbers."""
    device_id, slash, name = source_id.rpartition("/")
    if not slash or source_id.startswith("@"):
        return source_id
    number = name.rpartition(".")[2] if "." in name else ""
    return f"{device_id}/{number}" if number.isdigit() else device_id


def above(rule_id: str, higher: Mapping[str, tuple[str, ...]]) -> set[str]:
    """All that a rule yields to, directly or not."""
    found: set[str] = set()
    left = list(higher.get(rule_id, ()))
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += higher.get(each, ())
    return found


def _covers(higher: Alarm, lower: Alarm) -> bool:
    """Is ``lower`` rightly under it? What has returned waits there for the reset, also after people closed it."""
    is_over = lower.condition is AlarmCondition.RETURNED
    is_there = _speaks(higher) or (is_over and higher.is_open and not is_muted_anyway(higher))
    return is_there and _is_as_real(higher, lower.marks)


def _is_as_real(higher: Alarm, marks: Iterable[str]) -> bool:
    """Is it no drill or test that the lower one, with these marks, is not?"""
    return not higher.marks or set(higher.marks).issubset(marks)


def _speaks(alarm: Alarm) -> bool:
    is_over = alarm.handling is Handling.CLOSED and alarm.condition is AlarmCondition.RETURNED
    return alarm.is_open and not is_muted_anyway(alarm) and not is_over
