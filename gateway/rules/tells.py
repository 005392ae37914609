"""Room: rules. When people are told: at the event, and further up the longer nobody takes it. Said once per key.

Who is told what at which instant is the policy's (`gateway.rules.ports.NoticePolicy`); the events that follow are
written by `gateway.rules.escalation`. Of each alarm that waits one timer runs, to its next instant; every instant is
counted from what there was to tell, so that a late one does not make the following ones late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.model import Alarm, AlarmEvent, Handling, Notice, Now, Rule, Step, TimerChange
from gateway.rules.ports import NoticePolicy
from gateway.rules.timers import Timers
from gateway.rules.unverified import Unverified

Kept = Mapping[str, tuple[datetime, float]]
"""Timers of a former run by key: when they had started, and how long they were."""

_MADE_REAL = "unmarked"  # what was raised in a test is raised again without it: that event comes next, and is told
_JUST_BEFORE_S = 1e-3
_MISSED_S = 5.0  # a repeat that is so late was missed: the gateway was off, or stood still


class _Chain(NamedTuple):
    """The telling of one alarm for one reason, as far as it has got."""

    key: str  # of the timer to the next instant
    reason: str
    begun_mono_s: float  # the instants are counted from here


class Tells:
    """What has been said of each open alarm, and the next instant of what is still to be said."""

    def __init__(self, policy: NoticePolicy, timers: Timers) -> None:
        self._policy = policy
        self._timers = timers
        self._said: defaultdict[str, set[str]] = defaultdict(set)  # alarm id -> notice keys
        self._chains: dict[str, _Chain] = {}  # by alarm id
        self._muted: set[str] = set()  # alarms nobody was told of: when that ends, people are
        self.unverified = Unverified(timers)

    def restore_said(self, keys: Iterable[str], alarms: Container[str]) -> None:
        """Remember the keys ("<alarm id>/<reason>/<recipient>/<channel>") that belong to open alarms."""
        for key in keys:
            alarm_id = key.rsplit("/", 3)[0]
            if alarm_id in alarms:
                self._said[alarm_id].add(key)

    def resume(self, alarm: Alarm, rule: Rule, kept: Kept, step: Step) -> None:
        """Go on after a restart, by the rule as it is now. Call it after `restore_said`.

        ``kept``: the timers of this alarm that were running. An instant that the rule did not have before counts from
        the same start; one that is over comes at once, unless it was said then.
        """
        is_muted = self._policy.is_muted(alarm)
        if is_muted:
            self._muted.add(alarm.id)
        self.unverified.resume(alarm, kept, step, is_muted=is_muted)
        mine = {key: each for key, each in kept.items() if key.startswith("tell|")}
        if alarm.handling is Handling.NEW and not is_muted:
            self._resume_chain(alarm, rule, mine, step)
        step.timers += [TimerChange(key, None) for key in mine if key not in self._timers]

    def after(self, event: AlarmEvent, alarm: Alarm, rule: Rule, step: Step) -> None:
        """Tell those who must hear of ``event`` now, start or stop what is to be told later."""
        is_muted = self._policy.is_muted(alarm)
        was_muted = alarm.id in self._muted
        (self._muted.add if is_muted and alarm.is_open else self._muted.discard)(alarm.id)
        self.unverified.follow(alarm, step, is_muted=is_muted)
        if alarm.handling is not Handling.NEW or not alarm.is_open or is_muted:
            self.forget(alarm, step)
            return
        is_shown = was_muted and event.kind != _MADE_REAL
        reason = self._policy.reason(event) or (f"shown-{event.version}" if is_shown else "")
        if not reason:
            return
        self._stop(alarm, step)
        self._say(reason, alarm, rule, 0.0, step)
        self._go_on(reason, step.now.mono_s, alarm, rule, step, after_s=0.0)

    def ring(self, key: str, alarm: Alarm, rule: Rule, step: Step) -> tuple[float, list[Notice]]:
        """An instant has come and nobody has taken the alarm: how long that is, and who is told now."""
        chain = self._chains.pop(alarm.id)
        after_s = _after_of(key)
        said = self._say(chain.reason, alarm, rule, after_s, step)
        self._go_on(chain.reason, chain.begun_mono_s, alarm, rule, step, after_s=after_s)
        return after_s, said

    def stages(self, alarm: Alarm, rule: Rule) -> Sequence[float]:
        """The instants at which it goes one step further up."""
        return self._policy.stages(alarm, rule)

    def call_next(self, reason: str, alarm: Alarm, rule: Rule, step: Step) -> list[Notice]:
        """Tell those of the next stage that was not reached yet; all were: those of the last one once more."""
        stages = [each for each in self._policy.stages(alarm, rule) if self._policy.tells(alarm, rule, each)]
        unused = [each for each in stages if not self._has_said(alarm, f"+{each:g}s")]
        after_s = next(iter(unused), stages[-1] if stages else 0.0)
        return self._say(reason, alarm, rule, after_s, step)

    def say_instead(self, key: str, alarm: Alarm, rule: Rule, step: Step) -> None:
        """The notice ``key`` could not be delivered: tell the same people by another channel if need be."""
        said = self._said[alarm.id]
        if key in said:
            notices = self._policy.instead(key, alarm, rule, said, at=step.now.utc)
            said.update(each.key for each in notices)
            step.notices += notices

    def forget(self, alarm: Alarm, step: Step) -> None:
        """Somebody has taken it, or it has ended: stop its delays; after the end forget what was said."""
        self._stop(alarm, step)
        if not alarm.is_open:
            self._said.pop(alarm.id, None)
            self._muted.discard(alarm.id)
            self.unverified.stop(alarm, step)

    def _stop(self, alarm: Alarm, step: Step) -> None:
        chain = self._chains.pop(alarm.id, None)
        change = self._timers.stop(chain.key) if chain else None
        if change is not None:
            step.timers.append(change)

    def _go_on(self, reason: str, begun_mono_s: float, alarm: Alarm, rule: Rule, step: Step, *, after_s: float) -> None:
        """Wait for the next instant later than ``after_s``, if there is one. Repeats that were missed are left out."""
        due_s = self._policy.next_due(alarm, rule, after_s)
        while due_s is not None and begun_mono_s + due_s < step.now.mono_s - _MISSED_S:
            if not self._policy.is_repeat(alarm, rule, due_s):
                break
            due_s = self._policy.next_due(alarm, rule, due_s)
        if due_s is not None:
            self._wait(_Chain(_key(alarm, reason, due_s), reason, begun_mono_s), due_s, alarm, step)

    def _wait(self, chain: _Chain, due_s: float, alarm: Alarm, step: Step) -> None:
        self._chains[alarm.id] = chain
        left_s = max(0.0, chain.begun_mono_s + due_s - step.now.mono_s)
        step.timers.append(self._timers.start(chain.key, left_s, step.now))

    def _resume_chain(self, alarm: Alarm, rule: Rule, kept: Kept, step: Step) -> None:
        now = step.now
        key = min(kept, key=lambda each: (-_order(each.split("|")[2])[0], _after_of(each)), default="")
        if key:
            reason, waited_for = key.split("|")[2], _after_of(key)
            last_s = max(waited_for, *self._policy.stages(alarm, rule), 0.0)
            begun_mono_s = now.mono_s - min(_elapsed_s(waited_for, *kept[key], now), last_s)
            due_s = self._policy.next_due(alarm, rule, waited_for - _JUST_BEFORE_S)
        else:
            reason, waited_for = self._last_reason(alarm), float("inf")
            elapsed_s = max(0.0, (now.utc - alarm.raised_at).total_seconds())
            begun_mono_s = now.mono_s - elapsed_s
            due_s = self._policy.next_due(alarm, rule, elapsed_s)
        for stage_s in self._policy.stages(alarm, rule):
            if stage_s >= waited_for or (due_s is not None and stage_s >= due_s):
                break
            is_over = stage_s <= alarm.escalated_s or self._has_said(alarm, f"/{reason}+{stage_s:g}s/")
            if not is_over and self._policy.tells(alarm, rule, stage_s):
                due_s = stage_s
                break
        if due_s is None:
            return
        chain = _Chain(_key(alarm, reason, due_s), reason, begun_mono_s)
        if chain.key in kept:  # as it was: what is kept of it stays true however often the gateway restarts
            self._timers.restore(chain.key, *kept[chain.key], now, not_before=now.mono_s)
            self._chains[alarm.id] = chain
        else:
            self._wait(chain, due_s, alarm, step)

    def _has_said(self, alarm: Alarm, part: str) -> bool:
        """Was something said of the alarm with ``part`` in the reason of its key? ``+30s``: at that stage."""
        return any(part in each[len(alarm.id) :] for each in self._said[alarm.id])

    def _last_reason(self, alarm: Alarm) -> str:
        """The newest reason of which something was said."""
        reasons = {key.rsplit("/", 3)[1].partition("+")[0] for key in self._said[alarm.id]}
        return max(reasons, key=_order, default="raised")

    def _say(self, reason: str, alarm: Alarm, rule: Rule, after_s: float, step: Step) -> list[Notice]:
        said = self._said[alarm.id]
        notices = self._policy.notices(reason, alarm, rule, said, at=step.now.utc, after_s=after_s)
        said.update(each.key for each in notices)
        step.notices += notices
        return notices


def _key(alarm: Alarm, reason: str, after_s: float) -> str:
    return f"tell|{alarm.id}|{reason}|{after_s}"


def _after_of(key: str) -> float:
    return float(key.rpartition("|")[2])


def _order(reason: str) -> tuple[int, str]:
    """Reasons of one alarm carry the version of their event: ``raised`` is the first."""
    version = reason.rpartition("-")[2]
    return (int(version) if version.isdecimal() else 1), reason


def _elapsed_s(after_s: float, started_at: datetime, duration_s: float, now: Now) -> float:
    """How long ago the telling began whose timer to ``after_s`` is kept. Only the wall clock knows what passed since
    that timer started: of a clock that was set back it is believed that nothing did.
    """  # noqa: D205 - one paragraph
    return after_s - duration_s + max((now.utc - started_at).total_seconds(), 0.0)
