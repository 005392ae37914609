"""Web: the live view. Follows every committed step and tells the consoles; it decides nothing and stores nothing.

One frame is built per change and shared by all clients. A frame carries the revision it leads to, and every
heartbeat repeats the revision and the counts: a screen that has missed something sees that it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from gateway.counters import Counters
from gateway.model import Alarm, AlarmClass, DeviceStatus, Handling, MarkChange, Now, Quality, Reading, Site, Step
from gateway.web.ports import Health
from gateway.web.views import View, alarm_view, in_duty_order, is_stale, mark_view

BEAT_S = 2.0
QUEUE_FRAMES = 128  # a client this far behind is dropped: it reconnects and loads a snapshot
MAX_SUBSCRIBERS = 64
MAX_ALARMS_PER_FRAME = 200  # a larger change is told as "load again": the snapshot is built once for all


def frame(event: str, body: Mapping[str, Any]) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so one data line holds it."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(body))


class Subscriber:
    """One console that listens. ``closed`` is set when it must go: too slow, logged out, or the gateway stops."""

    def __init__(self, session: str, expires_at: datetime, *, is_desk: bool) -> None:
        self.session = session
        self.expires_at = expires_at
        self.is_desk = is_desk  # of somebody who handles alarms: an installer's page is nobody's desk
        self.frames: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_FRAMES)
        self.closed = asyncio.Event()
        self.sent = -1  # the number of the last frame it was sent; -1: none


class LiveView:
    """Open alarms and device states as of the last commit. Everything runs on the event loop."""

    def __init__(self, counters: Counters) -> None:
        self.revision = 0
        self.alarms: dict[str, Alarm] = {}
        self.marks: dict[tuple[str, str, str], MarkChange] = {}  # as many as the gateway allows
        self._counters = counters
        self._known: frozenset[str] = frozenset()
        self._unknown: set[str] = set()
        self._offline: dict[str, DeviceStatus] = {}
        self._by_class: Counter[AlarmClass] = Counter()
        self._subscribers: set[Subscriber] = set()
        self._snapshot: bytes = b""
        self._site: Callable[[], Site] | None = None
        self._built_in: frozenset[str] = frozenset()  # lines, uplinks, channels, the box: not counted as devices
        self._now: datetime | None = None  # of the last step or beat
        self._frames = 0  # published so far: their numbers
        self._waiting: dict[asyncio.Future[None], int] = {}  # those who ask when a page has a frame

    def speak_of(self, site: Callable[[], Site]) -> None:
        """Call points and rules by the words of this site from now on."""
        self._site = site
        self._snapshot = b""

    def load(
        self,
        devices: Iterable[str],
        alarms: Iterable[Alarm] = (),
        marks: Iterable[MarkChange] = (),
        *,
        built_in: Iterable[str] = (),
    ) -> None:
        """Start, or start again after a reload: these devices (unknown until heard), open alarms and marks.

        What is already known of a device that stays is kept. Those that are ``built_in`` are not counted.
        """
        before = self._known
        self._known = frozenset(devices)
        self._built_in = frozenset(built_in)
        self._unknown = (self._unknown & self._known) | (self._known - before)
        self._offline = {key: each for key, each in self._offline.items() if key in self._known}
        for alarm in alarms:
            self._put(alarm)
        for change in marks:
            self._mark(change)
        self._changed(frame("reload", {"revision": self.revision + 1}))

    def apply(self, step: Step) -> None:
        """Follow one committed step; cheap, never raises, never waits."""
        self._now = step.now.utc
        if self._unknown:
            self._hear(step.readings)
        for status in step.statuses:
            self._status(status)
        if not step.alarms and not step.marks:
            return
        for alarm in step.alarms.values():
            self._put(alarm)
        for change in step.marks:
            self._mark(change)
        if len(step.alarms) > MAX_ALARMS_PER_FRAME:
            self._changed(frame("reload", {"revision": self.revision + 1}))
        else:
            views = [self._view(each) for each in step.alarms.values()]
            marks = [{**mark_view(each), "is_set": each.is_set} for each in step.marks]
            body = {"revision": self.revision + 1, "at": step.now.utc, "alarms": views, "marks": marks}
            self._changed(frame("change", body))

    def counts(self) -> View:
        """Alarms by class and by what is left to do; devices by whether they can be heard."""
        open_alarms = self.alarms.values()
        total = len(self._known - self._built_in)
        offline = len(self._offline.keys() - self._built_in)
        unknown = len(self._unknown - self._built_in)
        return {
            "by_class": {each.value: self._by_class[each] for each in AlarmClass},
            "untaken": sum(each.handling is Handling.NEW and not each.is_muted for each in open_alarms),
            "unconfirmed": sum(each.is_unconfirmed for each in open_alarms),
            "shelved": sum(each.shelved_until_at is not None for each in open_alarms),
            "out_of_service": sum(each.is_out_of_service for each in open_alarms),
            "marks": len(self.marks),
            "suppressed": sum(each.suppressed_by != "" for each in open_alarms),
            "stale": sum(is_stale(each, self._now) for each in open_alarms),
            "devices": {
                "total": total,
                "online": total - unknown - offline,
                "offline": offline,
                "unknown": unknown,
            },
        }

    def device_state(self, device_id: str) -> tuple[str, datetime | None, str]:
        """(online | offline | unknown, since when, why)."""
        if device_id in self._offline:
            status = self._offline[device_id]
            return "offline", status.at, status.reason
        return ("unknown" if device_id in self._unknown else "online"), None, ""

    def snapshot(self) -> bytes:
        """Everything that is open, as one frame; built once per revision."""
        if not self._snapshot:
            alarms = [self._view(each) for each in in_duty_order(list(self.alarms.values()))]
            marks = [mark_view(each) for each in self.marks.values()]
            body = {"revision": self.revision, "counts": self.counts(), "alarms": alarms, "marks": marks}
            self._snapshot = frame("snapshot", body)
        return self._snapshot

    def beat(self, now: Now, health: Health) -> None:
        """Tell every console that the gateway lives, what revision it is at and how many of each there are."""
        for each in [each for each in self._subscribers if each.expires_at <= now.utc]:
            self._drop(each)
        self._now = now.utc
        up = sum(is_up is True for is_up in health.buses.values())
        body = {
            "revision": self.revision,
            "at": now.utc,
            "counts": self.counts(),
            "reasons": health.reasons,
            "notes": health.notes,
            "lines": {"up": up, "total": len(health.buses)},
            "uplinks": {key: each._asdict() for key, each in health.uplinks.items()},
        }
        self._publish(frame("beat", body))

    def has_sent(self, subscriber: Subscriber) -> None:
        """One more frame has left for this console."""
        subscriber.sent = self._frames - subscriber.frames.qsize()
        if not subscriber.is_desk:
            return
        for each in [each for each, number in self._waiting.items() if number <= subscriber.sent and not each.done()]:
            each.set_result(None)

    async def caught_up(self) -> None:
        """Return when a console of the desk has been sent everything published by now; it may come only later."""
        number = self._frames
        if any(each.is_desk and each.sent >= number for each in self._subscribers):
            return
        found = asyncio.get_running_loop().create_future()
        self._waiting[found] = number
        try:
            await found
        finally:
            del self._waiting[found]

    @property
    def subscribers(self) -> int:
        """How many consoles listen."""
        return len(self._subscribers)

    def subscribe(self, session: str, expires_at: datetime, *, is_desk: bool = True) -> Subscriber | None:
        """A console joins and gets the snapshot first; None when there are too many.

        ``is_desk``: it is of somebody who handles alarms.
        """
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            self._counters.count("web_streams_refused", reason="too_many")
            return None
        subscriber = Subscriber(session, expires_at, is_desk=is_desk)
        subscriber.frames.put_nowait(self.snapshot())
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The console has gone."""
        self._subscribers.discard(subscriber)

    def close(self, session: str | None = None) -> None:
        """End the streams of one session (logged out), or all (the gateway stops)."""
        for each in [each for each in self._subscribers if session in (None, each.session)]:
            self._drop(each)

    def _view(self, alarm: Alarm) -> View:
        return alarm_view(alarm, self._site() if self._site else None, self._now)

    def _put(self, alarm: Alarm) -> None:
        was_open = self.alarms.pop(alarm.id, None)
        if was_open is not None:
            self._by_class[was_open.alarm_class] -= 1
        if alarm.is_open:
            self.alarms[alarm.id] = alarm
            self._by_class[alarm.alarm_class] += 1

    def _mark(self, change: MarkChange) -> None:
        key = (change.mark, change.scope, change.key)
        self.marks.pop(key, None)
        if change.is_set:
            self.marks[key] = change

    def _hear(self, readings: Iterable[Reading]) -> None:
        """A good reading proves that its device lives; a retained one only that the broker remembers it."""
        unknown = self._unknown
        for reading in readings:
            device_id = reading.point_id.rpartition("/")[0]
            if device_id in unknown and reading.quality is Quality.GOOD:
                unknown.discard(device_id)

    def _status(self, status: DeviceStatus) -> None:
        if status.device_id not in self._known:
            return
        self._unknown.discard(status.device_id)
        if status.is_online:
            self._offline.pop(status.device_id, None)
        else:
            self._offline[status.device_id] = status

    def _changed(self, change: bytes) -> None:
        self.revision += 1
        self._snapshot = b""
        self._publish(change)

    def _publish(self, data: bytes) -> None:
        self._frames += 1
        slow = []
        for each in self._subscribers:
            try:
                each.frames.put_nowait(data)
            except asyncio.QueueFull:
                slow.append(each)
        for each in slow:
            self._counters.count("web_streams_dropped", reason="slow")
            self._drop(each)

    def _drop(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)
        subscriber.closed.set()
