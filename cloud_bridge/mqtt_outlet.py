"""Messages of one MQTT session in their turn: urgent ones at once, the others as many as the line takes (`narrow`).

What a message is, and what its answer means, belongs to the uplink.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cloud_bridge.encode import Publication
from cloud_bridge.narrow import Sent, Window
from gateway.mqtt_link import MqttLink
from gateway.mqtt_packets import json_properties

_MOST_BYTES = 4_000_000  # on the way on the best of lines: more than the uplink's own limits let through
_OVERHEAD = 40  # of a PUBLISH, beside its topic and payload

Then = Callable[[asyncio.Future[None]], None]


class _Held(NamedTuple):
    message: Publication
    size: int
    then: Then


class Outlet:
    """One session's messages; each of them hears of its PUBACK or of the session's end."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link
        self._time = asyncio.get_running_loop().time
        self._held: deque[_Held] = deque()
        self.window = Window(_MOST_BYTES)
        self.waiting_bytes = 0  # of the messages whose turn has not come

    def urgent(self, message: Publication, then: Then) -> None:
        """Send now, before all that waits."""
        self._send(message, len(message.topic) + len(message.payload) + _OVERHEAD, then, is_urgent=True)

    def queue(self, message: Publication, then: Then) -> None:
        """Send in its turn."""
        size = len(message.topic) + len(message.payload) + _OVERHEAD
        if self._held or self.window.is_full:
            self._held.append(_Held(message, size, then))
            self.waiting_bytes += size
        else:
            self._send(message, size, then)

    def _send(self, message: Publication, size: int, then: Then, *, is_urgent: bool = False) -> None:
        sent = self.window.send(size, self._time())
        properties = json_properties(message.id)
        ack = self._link.publish(message.topic, message.payload, 1, is_urgent=is_urgent, properties=properties)
        ack.add_done_callback(partial(self._answered, sent, then))

    def _answered(self, sent: Sent, then: Then, ack: asyncio.Future[None]) -> None:
        self.window.answered(sent, self._time())
        then(ack)
        while self._held and not self.window.is_full:
            message, size, held_then = self._held.popleft()
            self.waiting_bytes -= size
            self._send(message, size, held_then)  # after the session's end it fails, and hears of it
