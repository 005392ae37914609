"""Room: rules. ``rises`` and ``falls``: by so much within a time.

A value is compared with the lowest (for ``falls``: the highest) of the window before it. Of a window at most
`_MOST` values are kept; where more come, the lowest of neighbours stands for both, so that no rise is missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from gateway.model import Now, Quality, Reading, Rule, Step, Value
from gateway.rules.absence import SHARE
from gateway.rules.conditions import NUMBERS
from gateway.rules.judge import Ground, Judge
from gateway.rules.points import PointState
from gateway.rules.watch import PointWatch, Watch

_MOST = 64


class Trend(Judge):
    """``within|<rule>|<point>|<value>``: a value of the window as it is written down.

    That is once in a tenth of the window, and when it has fallen by a tenth of the limit: across a restart a rise is
    judged as exactly as that.
    """

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        condition = rule.condition
        by = condition.value
        if condition.within_s <= 0 or isinstance(by, bool | str) or by <= 0:
            raise self.fail(f"{condition.kind} needs a number above 0 and within")
        if condition.clear is not None and condition.clear > by:
            raise self.fail(f"clear must not be more than {by:g}")
        self.by = float(by)
        self.clear = self.by if condition.clear is None else condition.clear
        self.sign = 1.0 if condition.kind == "rises" else -1.0
        self._lows: dict[str, _Lows] = {}
        for point_id in rule.points:
            state = self.state_of(point_id)
            if state.point.type not in NUMBERS:
                raise self.fail(f"{condition.kind} cannot be true of {point_id}, which is {state.point.type}")
            lows = _Lows(self, self.watch_at(state, lambda _value, _met: False))
            self._lows[point_id] = lows
            state.ears += (lows,)

    def watches(self) -> Iterable[Watch]:
        """One for each point."""
        return [each.watch for each in self._lows.values()]

    def resume(self, step: Step) -> None:
        """What was met is met until the point says otherwise."""
        for watch in self.watches():
            self.ground.delays.set(watch, step, raw=watch.raw or watch.met)

    def restore(self, key: str, started_at: datetime, duration_s: float, now: Now) -> bool:
        """A low of the window before the restart. The oldest comes first."""
        _, _, point_id, value = key.split("|")
        lows = self._lows.get(point_id)
        if lows is None:
            return False
        self.go_on(key, started_at, duration_s, now)
        left_s = self.ground.timers.left_s(key, now.mono_s)
        lows.add(float(value) * self.sign, now.mono_s + left_s - self.rule.condition.within_s)
        return True


class _Lows:
    """The lows of one point: each lower than all that came after it. For ``falls`` the sign is turned."""

    __slots__ = ("_entries", "_kept", "_kept_s", "_owner", "_watch")

    def __init__(self, owner: Trend, watch: PointWatch) -> None:
        self._owner = owner
        self._watch = watch
        self._entries: deque[tuple[float, float]] = deque()  # (instant, value), values growing
        self._kept_s = float("-inf")  # when a value was last written down ...
        self._kept = float("inf")  # ... and which

    @property
    def watch(self) -> Watch:
        """The point's."""
        return self._watch

    def hear(self, _state: PointState, _previous: Value | None, reading: Reading, step: Step) -> None:
        """By how much has it risen? A state that is only told again (retained) says nothing of when."""
        if reading.quality is not Quality.GOOD:
            return
        owner, now_s = self._owner, step.now.mono_s
        within_s = owner.rule.condition.within_s
        assert isinstance(reading.value, int | float)
        value = float(reading.value) * owner.sign
        while self._entries and self._entries[0][0] < now_s - within_s:
            self._entries.popleft()
        self.add(value, now_s)
        if now_s - self._kept_s >= SHARE * within_s or value <= self._kept - SHARE * owner.by:
            self._kept_s, self._kept = now_s, value
            owner.start(f"within|{owner.rule.id}|{self._watch.source_id}|{value * owner.sign!r}", within_s, step)
        risen = value - self._entries[0][1]
        owner.ground.delays.set(
            self._watch, step, reading, raw=risen >= owner.by or (self._watch.raw and risen > owner.clear)
        )

    def hear_late(self, _state: PointState, _reading: Reading, _step: Step) -> None:
        """Nobody knows how fast it was."""

    def add(self, value: float, at_s: float) -> None:
        """One more value; those that it is not above are lows no more."""
        entries = self._entries
        while entries and entries[-1][1] >= value:
            entries.pop()
        entries.append((at_s, value))
        if len(entries) > _MOST:
            pairs = list(entries)
            halved = [(newer[0], older[1]) for older, newer in zip(pairs[::2], pairs[1::2], strict=False)]
            self._entries = deque([*halved, *pairs[len(halved) * 2 :]])
