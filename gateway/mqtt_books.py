"""What waits for the broker's answer in one session: PUBLISHes of QoS 1 and SUBSCRIBEs. No socket here.

A broker of MQTT 5 says how many PUBLISHes of QoS 1 it takes at once (Receive Maximum, 3.3.4); the others are held
here, urgent ones apart. How many there may be in all is the caller's window.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.mqtt_options import LinkError, PublishRefusedError
from gateway.mqtt_packets import Receipt

_FIRST_MID = 4096  # below it: paho's own, for SUBSCRIBE
_LAST_MID = 65_535
_UNHEARD = 0x10  # taken, and nobody has subscribed to it
_REFUSED = 0x80


class Books:
    """Futures by packet identifier; every one of them ends with the session at the latest."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        """``send`` gets the packets that may go."""
        self.most = _LAST_MID  # PUBLISHes of QoS 1 that the broker takes at once
        self.unheard = 0
        self._send = send
        self._mid = _LAST_MID
        self._sent = 0
        self._publishes: dict[int, asyncio.Future[None]] = {}
        self._subscribes: dict[int, asyncio.Future[None]] = {}
        self._held: deque[bytes] = deque()
        self._held_urgent: deque[bytes] = deque()

    def next_mid(self) -> int:
        """A packet identifier that nobody uses."""
        for _ in range(_LAST_MID - _FIRST_MID + 1):
            self._mid = self._mid + 1 if self._mid < _LAST_MID else _FIRST_MID
            if self._mid not in self._publishes:
                return self._mid
        raise LinkError("too many messages without an acknowledgement")

    def publish(self, mid: int, packet: bytes, future: asyncio.Future[None], *, is_urgent: bool) -> None:
        """Send this PUBLISH of QoS 1 as soon as the broker takes one more; its PUBACK ends ``future``."""
        self._publishes[mid] = future
        if self._sent < self.most:
            self._sent += 1
            self._send(packet)
        else:
            (self._held_urgent if is_urgent else self._held).append(packet)

    def puback(self, receipt: Receipt) -> None:
        """The broker has answered a PUBLISH."""
        future = self._publishes.pop(receipt.mid, None)
        if future is None:
            return
        self._sent -= 1
        if self._held_urgent or self._held:
            self._sent += 1
            self._send((self._held_urgent or self._held).popleft())
        if future.done():
            return
        if receipt.reason >= _REFUSED:
            future.set_exception(PublishRefusedError(receipt.reason))
        else:
            self.unheard += receipt.reason == _UNHEARD
            future.set_result(None)

    def subscribe(self, mid: int, future: asyncio.Future[None]) -> None:
        """Its SUBACK ends ``future``."""
        self._subscribes[mid] = future

    def suback(self, mid: int, error: str) -> None:
        """The broker has answered a SUBSCRIBE; ``error`` "" where it grants it."""
        future = self._subscribes.pop(mid, None)
        if future is not None and not future.done():
            if error:
                future.set_exception(LinkError(error))
            else:
                future.set_result(None)

    def close(self, why: str) -> None:
        """Nothing will be answered any more."""
        self._held.clear()
        self._held_urgent.clear()
        for future in (*self._publishes.values(), *self._subscribes.values()):
            if not future.done():
                future.set_exception(LinkError(why))
        self._publishes.clear()
        self._subscribes.clear()
