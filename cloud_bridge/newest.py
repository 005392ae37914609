"""The newest value of each point, told at once while history fills in from the oldest (ADR 0020).

Found from the tail of the outbox, in a thread, and handed out in slices; nothing of it is ever settled: history
brings the same readings again. When rows are sent is `sending`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from cloud_bridge.encode import EncodeError, readings
from gateway.model import Lane
from gateway.store.database import StoreError
from gateway.store.outbox import OutboxReader

_EVERY_S = 5.0
_BACKLOG = 64  # rows that are not yet on their way: fewer will have arrived in a moment
_MAX_BYTES = 1_000_000  # of the tail, as it lies in the outbox: what is older comes with the history
_MAX_POINTS = 50_000
_SLICE = 400  # readings handed out at a time: between two slices an alarm can go
_STRIKES = 3  # sessions that end soon after newest values: perhaps because of one of them
_SOON_S = 5.0
_HUSH_S = 600.0


class Latest(NamedTuple):
    """``[point_id, value, at_ms, received_at_ms, quality]``, one per point, of the rows up to ``seq``."""

    readings: Sequence[Sequence[Any]]
    seq: int


def latest(directory: str, after: int) -> Latest:
    """The newest reading of each point in the rows behind ``after``, as many as fit (blocking).

    Raises:
        StoreError, apsw.Error: the outbox can't be read.
    """
    found: dict[str, Sequence[Any]] = {}
    reader = OutboxReader(directory)
    try:
        rows = reader.tail(Lane.TELEMETRY, after, _MAX_BYTES)
    finally:
        reader.close()
    for entry in rows:
        try:
            for row in reversed(readings(entry.body)):
                found.setdefault(row[0], row)
        except (EncodeError, KeyError, IndexError, TypeError):
            continue  # it is put aside when its turn comes
        if len(found) >= _MAX_POINTS:
            break
    return Latest(tuple(found.values())[:_MAX_POINTS], rows[0].seq if rows else after)


class Newest:
    """When the newest values are due, and which are still to be handed out."""

    def __init__(self, reader: OutboxReader, bell: asyncio.Event) -> None:
        """``bell`` is rung when there is something to hand out."""
        self._reader = reader
        self._bell = bell
        self._strikes = 0
        self._hushed_until_s = 0.0
        self._search: asyncio.Task[Latest] | None = None
        self._begin()

    def _begin(self) -> None:
        self._told = 0  # up to this row of the outbox, in this session
        self._due_s = 0.0
        self._began_s = 0.0
        self._said_s: float | None = None  # when a slice was last handed out
        self._slices: deque[Latest] = deque()

    @property
    def is_waiting(self) -> bool:
        """Is there a slice to hand out?"""
        return bool(self._slices)

    def look(self, now_s: float, sent: int) -> None:
        """Begin to search where it is due; ``sent`` is the last row of the history on its way."""
        if self._said_s is not None and now_s > self._said_s + _SOON_S:
            self._strikes = 0  # the platform has borne it
        if self._search is not None:
            self._take_found(now_s)
        elif now_s >= max(self._due_s, self._hushed_until_s) and not self._slices:
            self._due_s = now_s + _EVERY_S
            last = self._reader.last_seq(Lane.TELEMETRY)
            if last - sent > _BACKLOG and last > self._told:
                self._began_s = now_s
                after = max(sent, self._told)
                self._search = asyncio.create_task(
                    asyncio.to_thread(latest, self._reader.directory, after), name="newest values"
                )
                self._search.add_done_callback(lambda _: self._bell.set())

    def _take_found(self, now_s: float) -> None:
        search = self._search
        if search is None or not search.done():
            return
        self._search = None
        if search.cancelled() or isinstance(search.exception(), StoreError | apsw.Error):
            return  # the pump will find the same trouble, and say so
        found = search.result()
        self._told = found.seq
        self._slices.extend(
            Latest(found.readings[start : start + _SLICE], found.seq) for start in range(0, len(found.readings), _SLICE)
        )
        self._due_s = max(self._due_s, now_s)

    def next(self, now_s: float) -> Latest:
        """The next slice, to be sent now; only while one is waiting."""
        slice_ = self._slices.popleft()
        self._said_s = now_s
        if not self._slices:  # a narrow line is shared: as long again for the history
            self._due_s = max(self._due_s, now_s + (now_s - self._began_s))
        return slice_

    def end(self, now_s: float, *, is_refusal: bool) -> None:
        """The session has ended. A platform that can't bear a value must not lose every session by it."""
        if self._search is not None:
            self._search.cancel()
            self._search = None
        if is_refusal and self._said_s is not None and now_s <= self._said_s + _SOON_S:
            self._strikes += 1
            if self._strikes >= _STRIKES:
                self._strikes, self._hushed_until_s = 0, now_s + _HUSH_S
        self._begin()
