"""Room: rules. When people are told: at the event, or later unless somebody has taken the alarm. Said once per key.

Who is told what is the policy's (`gateway.rules.ports.NoticePolicy`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from datetime import datetime

from gateway.model import Alarm, AlarmEvent, Handling, Notice, Rule, Step, TimerChange
from gateway.rules.ports import NoticePolicy
from gateway.rules.timers import Timers


class Tells:
    """What has been said of each open alarm, and the delays of what is still to be said."""

    def __init__(self, policy: NoticePolicy, timers: Timers) -> None:
        self._policy = policy
        self._timers = timers
        self._said: defaultdict[str, set[str]] = defaultdict(set)  # alarm id -> notice keys
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)  # alarm id -> keys of running timers

    def restore_said(self, keys: Iterable[str], alarms: Container[str]) -> None:
        """Remember the keys ("<alarm id>/<reason>/<recipient>/<channel>") that belong to open alarms."""
        for key in keys:
            alarm_id = key.rsplit("/", 3)[0]
            if alarm_id in alarms:
                self._said[alarm_id].add(key)

    def resume(self, alarm: Alarm, rule: Rule, kept: Mapping[str, datetime], step: Step) -> None:
        """Go on telling of a ``NEW`` alarm after a restart, by the rule as it is now. Call it after `restore_said`.

        ``kept``: when its delays that were running had started, by key. A delay that the rule did not have before
        counts from the same start; one that has ended long ago rings at once, unless all was said.
        """
        if kept:
            last = max(kept, key=lambda each: (kept[each], each))
            reason, started_at = last.split("|")[2], kept[last]
        else:
            reason, started_at = self._last_reason(alarm), alarm.raised_at
        for after_s in _delays(rule):
            key = _key(alarm, reason, after_s)
            said = self._said[alarm.id]
            if not self._policy.notices(reason, alarm, rule, said, after_s=after_s):
                continue
            begun_at = kept.get(key, started_at)
            self._timers.restore(key, begun_at, after_s, step.now, not_before=step.now.mono_s)
            self._waiting[alarm.id].add(key)
            if key not in kept:
                step.timers.append(TimerChange(key, begun_at, after_s))
        step.timers += [TimerChange(key, None) for key in kept if key not in self._timers]

    def after(self, event: AlarmEvent, alarm: Alarm, rule: Rule, step: Step) -> None:
        """Tell those who must hear of ``event`` now, start the delays of the others."""
        if alarm.handling is not Handling.NEW or not alarm.is_open or alarm.is_muted:
            self.forget(alarm, step)
            return
        reason = self._policy.reason(event)
        if not reason:
            return
        step.notices += self._say(reason, alarm, rule, 0.0)
        for after_s in _delays(rule):
            key = _key(alarm, reason, after_s)
            step.timers.append(self._timers.start(key, after_s, step.now))
            self._waiting[alarm.id].add(key)

    def ring(self, key: str, alarm: Alarm, rule: Rule) -> list[Notice]:
        """A delay has ended and nobody has taken the alarm."""
        self._waiting[alarm.id].discard(key)
        _, _, reason, after_s = key.split("|")
        return self._say(reason, alarm, rule, float(after_s))

    def forget(self, alarm: Alarm, step: Step) -> None:
        """Somebody has taken it, or it has ended: stop its delays; after the end forget what was said."""
        for key in sorted(self._waiting.pop(alarm.id, ())):
            change = self._timers.stop(key)
            if change is not None:
                step.timers.append(change)
        if not alarm.is_open:
            self._said.pop(alarm.id, None)

    def _last_reason(self, alarm: Alarm) -> str:
        """The newest reason of which something was said: reasons of one alarm carry growing versions."""
        reasons = {key.rsplit("/", 3)[1].partition("+")[0] for key in self._said[alarm.id]}
        return max(reasons, key=lambda each: (len(each), each), default="raised")

    def _say(self, reason: str, alarm: Alarm, rule: Rule, after_s: float) -> list[Notice]:
        said = self._said[alarm.id]
        notices = self._policy.notices(reason, alarm, rule, said, after_s=after_s)
        said.update(each.key for each in notices)
        return notices


def _delays(rule: Rule) -> list[float]:
    return sorted({tell.after_s for tell in rule.tells if tell.after_s > 0})


def _key(alarm: Alarm, reason: str, after_s: float) -> str:
    return f"tell|{alarm.id}|{reason}|{after_s}"
