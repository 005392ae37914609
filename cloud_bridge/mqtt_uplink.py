"""The project's own messages to a platform's MQTT broker: TLS, QoS 1, each row settled at its last PUBACK.

The session is `broker_session`; what the messages look like is `encode`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from cloud_bridge.broker import BrokerParams
from cloud_bridge.broker_session import BrokerSession, Will
from cloud_bridge.encode import EncodeError, Encoder
from cloud_bridge.mqtt_outlet import Outlet
from cloud_bridge.places import Prefix
from cloud_bridge.requests import Requests
from cloud_bridge.uplink import Context, Limits, UplinkError, UplinkKind, on_line
from gateway.model import Delivery, Lane, OutboxEntry
from gateway.mqtt_packets import json_properties

_NEWEST_WAITING_BYTES = 64_000  # newest values are left out where so much waits for a slow line
_IN_FLIGHT_BYTES = 400_000  # as in the outbox


class MqttParams(BrokerParams):
    """``type: mqtt`` of an uplink."""

    prefix: Prefix = "shouwang"
    window: int = Field(default=100, ge=20, le=1000)  # messages without a PUBACK
    max_message: int = Field(default=8_192, ge=8_192, le=61_440)  # bytes of a telemetry message: an alarm waits for one


class MqttUplink:
    """A platform's broker."""

    def __init__(self, context: Context, params: MqttParams) -> None:
        gateway_id = context.site.id
        self._encoder = Encoder(gateway_id, context.epoch, params.prefix, params.max_message, context.selection)
        self._limits = Limits(
            rows=1,
            in_flight=params.window,
            in_flight_bytes=_IN_FLIGHT_BYTES,
            answer_s=params.answer,
            telemetry_bytes=0,
            rate=params.rate,
        )
        self._selection = context.selection
        self.counts = {"not_selected": 0, "newest": 0, "newest_left_out": 0, "unheard": 0}
        self._requests = Requests(context, params.prefix, self.counts) if params.commands else None
        hear = None if self._requests is None else self._requests.hear
        self._session = BrokerSession(params, f"shouwang-{gateway_id}", on_message=hear)
        self._outlet: Outlet | None = None
        self._unheard = 0  # of the sessions before this one

    @property
    def limits(self) -> Limits:
        """As much telemetry in hand as the line takes in a few moments."""
        self._limits = on_line(self._limits, self._outlet.window if self._outlet else None)
        return self._limits

    async def open(self) -> None:
        """Connect, and say that the gateway is online: the PUBACK of that shows that the broker takes messages."""
        self._unheard = self.counts["unheard"]
        encoder = self._encoder
        link = await self._session.connect(Will(encoder.state_topic, encoder.state(is_online=False)))
        self._outlet = Outlet(link)
        await self._session.within(self._say(is_online=True), "the state of the gateway")
        if self._requests is not None:
            self._requests.listen(link)

    def _say(self, *, is_online: bool) -> asyncio.Future[None]:
        state = self._encoder.state(is_online=is_online)
        properties = json_properties()
        return self._session.link.publish(self._encoder.state_topic, state, 1, retain=True, properties=properties)

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        """Publish one row; it is accepted at the last PUBACK of its messages."""
        assert self._outlet is not None
        (entry,) = entries
        answer: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        try:
            messages = self._encoder.messages(entry)
        except EncodeError as error:
            answer.set_result(Delivery(rejected={entry.seq: str(error)}))
            return answer
        if not messages:
            self.counts["not_selected"] += 1
            answer.set_result(Delivery(accepted=(entry.seq,)))
            return answer
        waiting, link = len(messages), self._session.link

        def acknowledged(ack: asyncio.Future[None]) -> None:
            nonlocal waiting
            waiting -= 1
            error = ack.exception()
            self.counts["unheard"] = self._unheard + link.unheard
            if answer.done():
                return
            if error is not None:
                answer.set_exception(self._session.failure(error))
            elif not waiting:
                answer.set_result(Delivery(accepted=(entry.seq,)))

        send = self._outlet.urgent if entry.lane is Lane.ALARM else self._outlet.queue
        for message in messages:
            send(message, acknowledged)
        return answer

    def newest(self, readings: Sequence[Sequence[Any]], seq: int) -> None:
        """Publish the newest values: nobody waits for them, but what is on the line is counted by its answers."""
        chosen = self._selection.readings(readings)
        if self._outlet is None or self._outlet.waiting_bytes > _NEWEST_WAITING_BYTES:
            self.counts["newest_left_out"] += len(chosen)
            return
        for message in self._encoder.newest(chosen, seq):
            self._outlet.queue(message, _nobody)
        self.counts["newest"] += len(chosen)

    async def ended(self) -> UplinkError:
        """Wait for the end of the session."""
        return self._session.failure(await self._session.ended())

    async def close(self) -> None:
        """Say offline where that still works, and disconnect."""
        if self._requests is not None:
            self._requests.stop()
        await self._session.close(lambda: self._say(is_online=False))


def _nobody(_: asyncio.Future[None]) -> None:
    """A newest value that was not taken comes again with the history."""


def _build(context: Context, params: Any) -> MqttUplink:
    return MqttUplink(context, params)


KIND = UplinkKind(MqttParams, _build)
