"""Room: notify. Who is told what, by which channel, when and how often, and never twice. Pure.

When an instant has come is the engine's (`gateway.rules`), which calls this; sending is `gateway.notify.channels`'.

- The instants of a rule are counted from what there is to tell: ``Tell.after_s``, and every ``Tell.every_s`` after it.
- A group with ``members`` is told through its own address where it has one, else its members are: those on duty
  (nobody is: all of them, and that is counted). ``console`` is the desk's screen, not a person's.
- The members of a family are called in order, one after another, not all at once.
- In a drill only the property's own people are told; in a walk test or commissioning nobody is.
- A notice about lives that did not get through goes out by another channel of the same people, of another kind first.
- Of a channel that failed nobody is told by that channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.counters import Counters
from gateway.model import Alarm, AlarmClass, AlarmEvent, Handling, Mark, Notice, Rule, Site, Tell
from gateway.notify.text import after_of, notice_text

BUZZER = "buzzer"  # sounded by the rule's actions, with a readback: no message
CONSOLE = "console"
PROPERTY, FAMILY = "property", "family"
OUTSIDE = frozenset({"grid", FAMILY, "street"})  # who does not know the community by heart
ORDERED_EVERY_S = 30.0  # between two members of a family, where the rule does not say
MOST_REPEATS = 500  # of one notice; then nobody listens
CALL_STAGES_S = (60.0, 180.0)  # alarms.md section 5: what a call for help is measured by, whomever its rule tells

_NO_MESSAGE = frozenset({BUZZER})
_UNTOLD = frozenset({str(Mark.WALK_TEST), str(Mark.COMMISSIONING)})
_SLACK_S = 1e-6
_PATHS = {CONSOLE: "screen", "modem": "gsm", "voice": "sound"}  # all others: "internet"
_CHANNEL = "channel/"  # begins the ids of the devices that stand for channels: "channel/<recipient>.<channel>"
_IN_HAND = frozenset({Handling.TAKEN, Handling.VERIFYING})


class NoticePolicy:
    """The notices of one site. Holds no state: what has been said is an argument."""

    def __init__(self, site: Site, counters: Counters | None = None) -> None:
        """Raises zoneinfo.ZoneInfoNotFoundError for a time zone nobody knows."""
        self._site = site
        self._zone = ZoneInfo(site.timezone)
        self._counters = counters or Counters()

    def reason(self, event: AlarmEvent) -> str:
        """Why people must be told of this event; "" when they need not be.

        An alarm that is raised again while people have it in hand is no news to them. One that had been closed is.
        """
        if event.kind == "raised":
            return "raised"
        if event.kind == "reraised" and event.data.get("reopens"):
            return f"reopened-{event.version}"
        return ""

    def is_muted(self, alarm: Alarm) -> bool:
        """Is nobody to be told of it for now? Fire, gas and calls are never hidden behind their cause."""
        return (
            alarm.shelved_until_at is not None
            or alarm.is_out_of_service
            or (alarm.suppressed_by != "" and not alarm.alarm_class.is_life_safety)
            or not _UNTOLD.isdisjoint(alarm.marks)
        )

    def still_tells(self, reason: str, alarm: Alarm) -> bool:
        """Is it still right to say now what was decided a while ago? Nobody is called to what others have in hand."""
        if not alarm.is_open or alarm.handling is Handling.CLOSED or alarm.is_real is False or self.is_muted(alarm):
            return False
        if reason.startswith("unverified-"):
            return alarm.handling in _IN_HAND
        return after_of(reason) == 0 or alarm.handling is Handling.NEW

    def instead(self, key: str, alarm: Alarm, rule: Rule, said: AbstractSet[str], *, at: datetime) -> list[Notice]:
        """The notices that take the place of ``key``, which could not be delivered; each key once, none of ``said``.

        The same people, by the first channel that was not tried yet; of a group that has none its members on duty
        (nobody is: all of them). Only for what is about lives and nobody has in hand yet.
        """
        reason, name, channel = key[len(alarm.id) + 1 :].split("/", 2)
        is_new = alarm.handling is Handling.NEW or reason.startswith("unverified-")
        if not (alarm.alarm_class.is_life_safety and is_new and self.still_tells(reason, alarm)):
            return []
        people = [name]
        if not self._others(alarm, reason, name, channel, said):
            members = [
                each for each in self._members(name, at, (name,)) if self._others(alarm, reason, each[0], channel, said)
            ]
            people = [each for each, is_on_duty in members if is_on_duty] or [each for each, _ in members]
        found: dict[str, Notice] = {}
        for person in people:
            for other in self._others(alarm, reason, person, channel, said)[:1]:
                new = _key(alarm, reason, person, other)
                found[new] = Notice(new, alarm.id, reason, other, person, self._text(reason, alarm, rule, name, at))
        return list(found.values())

    def _others(self, alarm: Alarm, reason: str, name: str, channel: str, said: AbstractSet[str]) -> list[str]:
        """The other channels of a recipient that were not used for this reason, those of another kind first."""
        recipient = self._site.recipients.get(name)
        mine = recipient.addresses if recipient else ()
        unused = [each for each in mine if each not in {channel, CONSOLE, BUZZER}]
        unused = [each for each in unused if _key(alarm, reason, name, each) not in said]
        return sorted(unused, key=lambda each: _path(each) == _path(channel))

    def stages(self, alarm: Alarm, rule: Rule) -> list[float]:
        """The instants after 0 at which nobody having taken it goes one step further up."""
        mine = CALL_STAGES_S if alarm.alarm_class is AlarmClass.SOS else ()
        return sorted({*mine, *(tell.after_s for tell in rule.tells if tell.after_s > 0)})

    def next_due(self, alarm: Alarm, rule: Rule, after_s: float) -> float | None:
        """The first instant later than ``after_s`` at which somebody is told or a stage is reached."""
        found = [each for each in self.stages(alarm, rule) if each > after_s + _SLACK_S]
        found += [each for tell in rule.tells if (each := self._next_turn(tell, after_s)) is not None]
        return min(found, default=None)

    def is_repeat(self, alarm: Alarm, rule: Rule, after_s: float) -> bool:
        """Is at this instant only said again what was said before to the same people?"""
        if after_s in self.stages(alarm, rule):
            return False
        turns = [(tell, self._turn(tell, after_s)) for tell in rule.tells]
        once = {tell: len(self._everybody(tell.to)) if self._is_ordered(tell.to) else 1 for tell in rule.tells}
        return all(turn >= once[tell] for tell, turn in turns if turn is not None)

    def tells(self, alarm: Alarm, rule: Rule, after_s: float) -> bool:
        """Is there anybody to tell at this instant?"""
        return any(
            self._turn(tell, after_s) is not None
            and self._is_meant(alarm, tell.to)
            and not _NO_MESSAGE.issuperset(tell.by)
            for tell in rule.tells
        )

    def notices(
        self,
        reason: str,
        alarm: Alarm,
        rule: Rule,
        said: AbstractSet[str],
        *,
        at: datetime,
        after_s: float = 0.0,
    ) -> list[Notice]:
        """The notices due ``after_s`` seconds after what there is to tell; each key once, and none of ``said``.

        Nobody having taken it for so long is a reason of its own: a recipient named again later is told again.
        A recipient who is not known, or has no address for the channel, gets a notice too: it will fail, and be
        seen to fail.
        """
        if self.is_muted(alarm):
            return []
        found: dict[str, Notice] = {}
        full = f"{reason}+{after_s:g}s" if after_s > 0 else reason
        for tell in rule.tells:
            turn = self._turn(tell, after_s)
            if turn is None or not self._is_meant(alarm, tell.to):
                continue
            for channel in tell.by:
                for person in self._people(tell, channel, turn, at):
                    way = self._way(alarm, person, channel)
                    key = _key(alarm, full, person, way)
                    if way and key not in said and key not in found:
                        text = self._text(full, alarm, rule, tell.to, at)
                        found[key] = Notice(key, alarm.id, full, way, person, text)
        return list(found.values())

    # Instants ---------------------------------------------------------------------------------------------------

    def _every_s(self, tell: Tell) -> float | None:
        if tell.every_s is not None and tell.every_s > 0:
            return tell.every_s
        return ORDERED_EVERY_S if self._is_ordered(tell.to) else None

    def _last_turn(self, tell: Tell) -> int:
        """Turn 0 is the first time. A family whose rule does not repeat is called through once."""
        if tell.every_s is not None and tell.every_s > 0:
            return MOST_REPEATS
        return len(self._everybody(tell.to)) - 1 if self._is_ordered(tell.to) else 0

    def _turn(self, tell: Tell, after_s: float) -> int | None:
        """The how-manieth time it is for ``tell`` at that instant; None: it is not its time."""
        every_s = self._every_s(tell)
        turn = 0 if every_s is None else round((after_s - tell.after_s) / every_s)
        is_now = abs(tell.after_s + turn * (every_s or 0.0) - after_s) < _SLACK_S
        return turn if is_now and 0 <= turn <= self._last_turn(tell) else None

    def _next_turn(self, tell: Tell, after_s: float) -> float | None:
        if tell.after_s > after_s + _SLACK_S:
            return tell.after_s
        every_s = self._every_s(tell)
        if every_s is None:
            return None
        turn = math.floor((after_s - tell.after_s + _SLACK_S) / every_s) + 1
        return tell.after_s + turn * every_s if turn <= self._last_turn(tell) else None

    # People -----------------------------------------------------------------------------------------------------

    def _is_ordered(self, name: str) -> bool:
        recipient = self._site.recipients.get(name)
        return recipient is not None and recipient.group == FAMILY and bool(recipient.members)

    def _is_meant(self, alarm: Alarm, name: str) -> bool:
        if Mark.DRILL not in alarm.marks:
            return True
        recipient = self._site.recipients.get(name)
        return recipient is not None and recipient.group == PROPERTY

    def _everybody(self, name: str) -> list[str]:
        """The people of a group and of the groups in it, each once, in the order they are written."""
        return list(dict.fromkeys(person for person, _ in self._members(name, None, (name,))))

    def _members(self, name: str, at: datetime | None, above: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
        """(person, are they on duty): on duty is who is so with every group above them."""
        recipient = self._site.recipients.get(name)
        for each in recipient.members if recipient else ():
            if each in above:  # a group within itself: the check of the configuration refuses it
                continue
            is_there = self._is_on_duty(each, at)
            member = self._site.recipients.get(each)
            if member is None or not member.members:
                yield each, is_there
            else:
                for person, is_on_duty in self._members(each, at, (*above, each)):
                    yield person, is_there and is_on_duty

    def _is_on_duty(self, name: str, at: datetime | None) -> bool:
        recipient = self._site.recipients.get(name)
        calendar = self._site.calendars.get(recipient.on_duty) if recipient and recipient.on_duty else None
        return at is None or calendar is None or calendar.covers(at, self._zone)

    def _people(self, tell: Tell, channel: str, turn: int, at: datetime) -> list[str]:
        """Who hears of it by ``channel`` this time."""
        if channel in _NO_MESSAGE:
            return []
        group = self._site.recipients.get(tell.to)
        if group is None or not group.members or channel == CONSOLE or channel in group.addresses:
            return [tell.to] if turn == 0 or tell.every_s else []
        members = [each for each in self._members(tell.to, at, (tell.to,)) if self._has(each[0], channel)]
        if not members:
            return [tell.to] if turn == 0 or tell.every_s else []  # fails, and is seen to fail
        everybody = list(dict.fromkeys(person for person, _ in members))
        there = list(dict.fromkeys(person for person, is_on_duty in members if is_on_duty))
        if not there:
            self._counters.count("shifts_empty", recipient=tell.to)
            there = everybody
        if not self._is_ordered(tell.to):
            return there
        order = self._everybody(tell.to)
        called = order[turn % len(order)]
        return [called] if called in there else []

    def _way(self, alarm: Alarm, name: str, channel: str) -> str:
        """``channel``, unless the alarm says that it has failed: then another one of theirs; "" when there is none."""
        if alarm.device_id != f"{_CHANNEL}{name}.{channel}":
            return channel
        return next(iter(self._others(alarm, "", name, channel, frozenset())), "")

    def _has(self, name: str, channel: str) -> bool:
        recipient = self._site.recipients.get(name)
        return recipient is not None and channel in recipient.addresses

    def _text(self, reason: str, alarm: Alarm, rule: Rule, to: str, at: datetime) -> str:
        groups = (each for each in self._site.recipients.values() if each.id == to or to in each.members)
        is_outside = any(each.group in OUTSIDE for each in groups)
        device = self._site.devices.get(alarm.device_id)
        return notice_text(
            alarm, rule, reason=reason, at=at, zone=self._zone, language=self._site.language,
            site=self._site.title if is_outside else "", kind=device.kind if device else "",
            title=device.title if device else "",
        )  # fmt: skip


def _key(alarm: Alarm, reason: str, name: str, channel: str) -> str:
    return f"{alarm.id}/{reason}/{name}/{channel}"


def _path(channel: str) -> str:
    """What a channel needs to work: several robots all end when the internet does."""
    return _PATHS.get(channel, "internet")
