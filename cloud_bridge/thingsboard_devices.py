"""Which devices the platform has been told of in this session, and the telling of all the others beside the work.

A device is connected before anything else is said of it, in every session anew (thingsboard#1144). Those that have
nothing to say are connected in the background, so that calls reach them: an alarm does not wait for 9,000 of them.
A device whose introduction ends the session again and again is left out, and no row is blamed for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from cloud_bridge.suspicion import Row, Suspicion
from cloud_bridge.thingsboard_encode import Encoder, Publication
from gateway.model import Lane, Site

_WINDOW = 20
_LOOK_S = 0.05

Send = Callable[[Publication], asyncio.Future[None]]


class Devices:
    """The devices of one gateway, by their names there."""

    def __init__(self, encoder: Encoder, site: Site) -> None:
        self._encoder = encoder
        self._ids = [each.id for each in site.devices.values() if encoder.name(each.id) and encoder.is_shown(each.id)]
        self._numbers = {encoder.name(each): number for number, each in enumerate(self._ids)}
        self._connected: set[str] = set()
        self._lost: set[str] = set()  # known to be offline: told as disconnected
        self._described: set[str] = set()
        self._introduced: dict[str, int] = {}  # in the background and without an answer: how many messages
        self._suspicion = Suspicion()
        self._refused: set[str] = set()
        self._is_overtaken = False  # an introduction was answered before one that still waits
        self._answered = asyncio.Event()

    @property
    def refused(self) -> int:
        """How many are left out because the platform ends the session at their introduction."""
        return len(self._refused)

    def begin(self) -> None:
        """A new session: the platform knows nobody."""
        self._connected.clear()
        self._introduced.clear()
        self._is_overtaken = False

    def connect(self, name: str, send: Send) -> None:
        """Tell the platform of a device, unless it knows."""
        if name and name not in self._connected:
            self._connected.add(name)
            send(self._encoder.connect(name)).add_done_callback(partial(self._proved, name))

    def heard(self, name: str, *, is_online: bool | None) -> bool:
        """Take in what is said of a device; True where it is offline and to be disconnected after that."""
        if is_online is not None:
            (self._lost.discard if is_online else self._lost.add)(name)
        return name in self._lost

    def gone(self, name: str) -> None:
        """It is disconnected, by us or by the platform."""
        self._connected.discard(name)

    def end(self, *, is_refusal: bool) -> bool:
        """The session has ended; True where an introduction may be why."""
        rows = [Row(Lane.TELEMETRY, self._numbers[name]) for name in self._introduced]
        self._introduced.clear()
        if not rows:
            return False
        if is_refusal:
            culprit = self._suspicion.refused(rows)
        else:
            culprit = self._suspicion.ignored(rows[0]) if self._is_overtaken else None
        if culprit is not None:
            self._refused.add(self._encoder.name(self._ids[culprit.seq]))
            self._suspicion.answered(culprit)
        return is_refusal

    async def introduce(self, send: Send, wait_s: Callable[[], float], is_quiet: Callable[[], bool]) -> None:
        """Connect and describe every device, a few at a time; ``wait_s`` is the platform's rate.

        Under suspicion one at a time, while no row is on its way: then whatever ends the session is known.
        """
        for device_id in self._ids:
            name = self._encoder.name(device_id)
            while not self._may(is_quiet) or wait_s() > 0:
                await self._wait(max(wait_s(), _LOOK_S))
            if name in self._lost or name in self._refused:
                continue
            if name not in self._connected:
                self._connected.add(name)
                self._watch(name, send(self._encoder.connect(name)))
            if name not in self._described:
                ack = send(self._encoder.description(device_id))
                self._watch(name, ack)
                ack.add_done_callback(partial(self._is_described, name))

    def _may(self, is_quiet: Callable[[], bool]) -> bool:
        if self._suspicion.is_careful:
            return not self._introduced and is_quiet()
        return len(self._introduced) < _WINDOW

    async def _wait(self, longest_s: float) -> None:
        self._answered.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._answered.wait()

    def _watch(self, name: str, ack: asyncio.Future[None]) -> None:
        self._introduced[name] = self._introduced.get(name, 0) + 1

        def done(ack: asyncio.Future[None]) -> None:
            left = self._introduced.get(name, 1) - 1
            if left:
                self._introduced[name] = left
            else:
                self._is_overtaken = next(iter(self._introduced), name) != name
                self._introduced.pop(name, None)
                self._proved(name, ack)
            self._answered.set()

        ack.add_done_callback(done)

    def _proved(self, name: str, ack: asyncio.Future[None]) -> None:
        if not ack.cancelled() and ack.exception() is None and name in self._numbers:
            self._suspicion.answered(Row(Lane.TELEMETRY, self._numbers[name]))

    def _is_described(self, name: str, ack: asyncio.Future[None]) -> None:
        if not ack.cancelled() and ack.exception() is None:
            self._described.add(name)
