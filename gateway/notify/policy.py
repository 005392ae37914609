"""Room: notify. Who is told what, by which channel, and never twice. Pure.

When a delay has ended is the engine's (`gateway.rules`), which calls this; sending is `gateway.notify.channels`'.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from zoneinfo import ZoneInfo

from gateway.model import Alarm, AlarmEvent, Notice, Rule, Site
from gateway.notify.text import notice_text

BUZZER = "buzzer"  # sounded by the rule's actions, with a readback: no message
_NO_MESSAGE = frozenset({BUZZER})
_SHOWN = frozenset({"unshelved", "unsuppressed", "in_service"})  # nobody was told meanwhile


class NoticePolicy:
    """The notices of one site. Holds no state: what has been said is an argument."""

    def __init__(self, site: Site) -> None:
        """Raises zoneinfo.ZoneInfoNotFoundError for a time zone nobody knows."""
        self._zone = ZoneInfo(site.timezone)
        self._language = site.language

    def reason(self, event: AlarmEvent) -> str:
        """Why people must be told of this event; "" when they need not be.

        An alarm that is raised again while people have it in hand is no news to them. One that had been closed is.
        """
        if event.kind == "raised":
            return "raised"
        if event.kind == "reraised" and event.data.get("reopens"):
            return f"reopened-{event.version}"
        if event.kind in _SHOWN:
            return f"shown-{event.version}"
        return ""

    def notices(
        self,
        reason: str,
        alarm: Alarm,
        rule: Rule,
        said: AbstractSet[str],
        *,
        after_s: float = 0.0,
    ) -> list[Notice]:
        """The notices due ``after_s`` seconds after the event, each key once and none of ``said``.

        Nobody having taken it for so long is a reason of its own: a recipient named again later is told again.
        A recipient who is not known, or has no address for the channel, gets a notice too: it will fail, and be
        seen to fail.
        """
        found: dict[str, Notice] = {}
        if after_s > 0:
            reason = f"{reason}+{after_s:g}s"
        for tell in rule.tells:
            if tell.after_s != after_s:
                continue
            for channel in tell.by:
                key = f"{alarm.id}/{reason}/{tell.to}/{channel}"
                if channel in _NO_MESSAGE or key in said or key in found:
                    continue
                text = notice_text(alarm, rule, zone=self._zone, language=self._language, after_s=after_s)
                found[key] = Notice(key, alarm.id, reason, channel, tell.to, text)
        return list(found.values())
