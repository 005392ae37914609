"""Room: rules. The end of what alarms have switched on: sirens until reset, buzzers until silenced.

Nothing is remembered from one step to the next: which alarm holds which point on follows from the open alarms and
their rules alone, so that a restart changes nothing. Switching on is `gateway.rules.linkage`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from gateway.model import SYSTEM, Action, Alarm, AlarmEvent, Command, Handling, Now
from gateway.rules.table import SOUNDLESS
from gateway.rules.watch import Watch


class Releases:
    """The points that events of one step have let go; decided at its end, when it is known who else holds them."""

    def __init__(self) -> None:
        self._let_go: dict[str, tuple[AlarmEvent, Action]] = {}  # by point id; the last event of the step counts

    @property
    def has_any(self) -> bool:
        """Has anything been let go in this step?"""
        return bool(self._let_go)

    def note(self, event: AlarmEvent, before: Alarm, after: Alarm, watch: Watch) -> None:
        """``event`` made ``after`` of ``before``: remember what the alarm held on and holds no more."""
        for action, targets in watch.outputs:
            if action.until and holds(before, action) and not holds(after, action):
                for target in targets:
                    self._let_go.pop(target.id, None)
                    self._let_go[target.id] = event, action

    def commands(self, open_alarms: Iterable[tuple[Alarm, Watch]], now: Now) -> list[Command]:
        """Set false what was let go and none of the open alarms holds on. Forgets the step."""
        left, self._let_go = self._let_go, {}
        for alarm, watch in open_alarms:
            if not left:
                break
            for action, targets in watch.outputs:
                if holds(alarm, action):
                    for target in targets:
                        left.pop(target.id, None)
        return [
            Command(
                id=f"{event.id}/{point_id}",
                point_id=point_id,
                value=False,
                by=SYSTEM,
                because=event.alarm_id,
                expires_at=now.utc + timedelta(seconds=action.expires_s),
            )
            for point_id, (event, action) in left.items()
        ]


def holds(alarm: Alarm, action: Action) -> bool:
    """Does ``alarm`` want on what ``action`` of its rule has switched on? Without an end: as long as it is open.

    A latch is opened by ``reset`` when nothing else is missing, so the end of an alarm is its reset, or the end of
    one that does not latch.
    """
    if action.value is not True or not alarm.is_open:
        return False
    if action.until != "silenced":
        return True
    is_untouched = alarm.alarm_class in SOUNDLESS and alarm.handling is Handling.NEW
    return alarm.is_sounding or is_untouched
