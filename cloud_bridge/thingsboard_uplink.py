"""ThingsBoard's gateway API over MQTT: QoS 1, each row settled at the last PUBACK of its messages.

The session is `broker_session`; the messages are `thingsboard_encode`'s, calls `thingsboard_calls`', who is
connected `thingsboard_devices`', what the platform takes at once `thingsboard_outlet`'s.

Attributes that people set on the platform are taken, acknowledged and counted, and change nothing here: a wish that
stands there for days is no command of now. Commands are calls: they have a deadline and an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from cloud_bridge import thingsboard_encode as tb
from cloud_bridge import thingsboard_limits
from cloud_bridge.broker_session import BrokerSession
from cloud_bridge.encode import EncodeError
from cloud_bridge.thingsboard_calls import Calls
from cloud_bridge.thingsboard_devices import Devices
from cloud_bridge.thingsboard_outlet import Outlet
from cloud_bridge.thingsboard_reconcile import Reconcile
from cloud_bridge.thingsboard_rpc import Session
from cloud_bridge.thingsboard_settings import ThingsboardParams
from cloud_bridge.uplink import Context, Limits, UplinkError, UplinkKind, on_line
from gateway import __version__
from gateway.model import Delivery, Lane, OutboxEntry
from gateway.mqtt_link import LinkError, Message, MqttLink

_IN_FLIGHT_BYTES = 64_000  # of the outbox: some 8,000 readings, as many messages in the worst case
_ANSWER_S = 3_600.0  # of a row: each of its messages has its own deadline, a slow platform makes a row late
_LOOK_S = 0.5
_NEWEST_WAITING = 1_000  # messages: newest values are left out where so many wait for a slow line or platform
_FORGIVEN_AFTER = 1_000  # rows accepted until newest values are tried again


class ThingsboardUplink:
    """A ThingsBoard that this gateway is a gateway device of."""

    def __init__(self, context: Context, params: ThingsboardParams) -> None:
        self._params = params
        self._clock = context.clock
        self._epoch = context.epoch
        is_plain = params.numbers_in_text == "plain"
        self._encoder = tb.Encoder(
            context.site,
            context.epoch,
            context.selection,
            prefix=params.prefix,
            is_plain=is_plain,
            together=params.devices_per_message,
        )
        self._devices = Devices(self._encoder, context.site)
        self._reconcile = Reconcile(self._encoder, context.site, context.epoch)
        default_s = params.commands.answer if params.commands else 10.0
        self._calls = Calls(self._encoder, context.ask, self._reply, default_s, context.clock)
        self._limits = Limits(
            rows=1,
            in_flight=params.window,
            in_flight_bytes=_IN_FLIGHT_BYTES,
            answer_s=_ANSWER_S,
            telemetry_bytes=0,
            rate=params.rate,
        )
        self._attributes = 0
        self._accepted = 0
        self._withheld_until = 0  # newest values, once they may have ended a session
        self._withheld = 0
        self._session = BrokerSession(params, f"shouwang-{context.site.id}", on_message=self._take, on_down=self._note)
        self._outlet: Outlet | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._reset()

    def _reset(self) -> None:
        self._is_stalled = False
        self._is_blamed = False  # an introduction or a newest value, not a row, may have ended the session
        self._rows = 0  # on their way
        self._newest: set[asyncio.Future[None]] = set()
        self._name = ""  # of the session

    @property
    def limits(self) -> Limits:
        """As much telemetry in hand as the line takes in a few moments."""
        self._limits = on_line(self._limits, self._outlet.line if self._outlet else None)
        return self._limits

    @property
    def counts(self) -> Mapping[str, int]:
        """What did not go up, and what came down."""
        return {
            "without_value": self._encoder.without_value,
            "not_selected": self._encoder.not_selected,
            "devices_refused": self._devices.refused,
            "attributes_ignored": self._attributes,
            "newest_withheld": self._withheld,
            "ended_there": self._reconcile.ended,
            **self._calls.counts,
        }

    # The session

    async def open(self) -> None:
        """Connect, subscribe, and say who we are: the PUBACK of that shows that the platform takes messages."""
        self._reset()
        self._devices.begin()
        self._name = self._clock.now().utc.strftime("%Y%m%dT%H%M%S.%f")
        session = self._session
        link = await session.connect()
        await session.within(link.subscribe([(each, 1) for each in tb.SUBSCRIPTIONS]), "SUBSCRIBE")
        outlet = self._outlet = Outlet(
            lambda each: link.publish(each.topic, each.payload, 1), self._params.window, thingsboard_limits.Limits()
        )
        outlet.say(self._encoder.limits_request())
        await session.within(outlet.say(self._encoder.own(__version__)), "the gateway's own attributes")
        self._reconcile.begin(self._ask_back)
        self._beside = [
            asyncio.create_task(self._watch(outlet, link), name="thingsboard answers"),
            asyncio.create_task(
                self._devices.introduce(outlet.say, outlet.wait_s, lambda: not self._rows),
                name="thingsboard introductions",
            ),
        ]

    def _note(self) -> None:
        is_refusal = not self._is_stalled
        self._is_blamed = self._devices.end(is_refusal=is_refusal)
        if is_refusal and self._newest:
            self._is_blamed = True
            self._withheld_until = self._accepted + _FORGIVEN_AFTER

    async def _watch(self, outlet: Outlet, link: MqttLink) -> None:
        """End a session in which a message has been waiting for its PUBACK for too long."""
        left_s = self._params.answer
        while left_s >= 0:
            await asyncio.sleep(max(left_s, _LOOK_S))
            left_s = self._params.answer - outlet.oldest_s()
        self._is_stalled = True
        link.end(f"the platform has not answered within {self._params.answer:g} s")

    # Up

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        """Publish one row; it is accepted at the last PUBACK of its messages."""
        (entry,) = entries
        answer: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        try:
            parts = self._encoder.parts(entry)
        except EncodeError as error:
            answer.set_result(Delivery(rejected={entry.seq: str(error)}))
            return answer
        acks = [ack for part in parts for ack in self._say(part, is_urgent=entry.lane is Lane.ALARM)]
        waiting = len(acks)
        if not waiting:
            answer.set_result(Delivery(accepted=(entry.seq,)))
            return answer
        self._rows += 1

        def acknowledged(ack: asyncio.Future[None]) -> None:
            nonlocal waiting
            waiting -= 1
            error = ack.exception()
            if answer.done():
                return
            if error is not None:
                self._rows -= 1
                answer.set_exception(self._failure(error))
            elif not waiting:
                self._rows -= 1
                self._accepted += 1
                answer.set_result(Delivery(accepted=(entry.seq,)))

        for ack in acks:
            ack.add_done_callback(acknowledged)
        return answer

    def _say(self, part: tb.Part, *, is_urgent: bool) -> list[asyncio.Future[None]]:
        """Publish what a row says of one device; a device that is offline is disconnected after its last word."""
        outlet, device = self._outlet, part.device
        assert outlet is not None
        begin = partial(self._connect, outlet, (device, *part.also))
        told = [*part.messages]
        lost = [each for each in (device, *part.also) if each and self._devices.heard(each, is_online=part.is_online)]
        points = -(-part.points // max(len(told), 1))
        acks = []
        for key in part.alarms:
            self._reconcile.sent(device, key)
        for message in told:
            if is_urgent:
                begin()
                acks.append(outlet.say(message, points))
            else:
                acks.append(outlet.queue(begin, message, points))
        for each in lost:
            goodbye = self._encoder.disconnect(each)
            gone = partial(self._devices.gone, each)
            if is_urgent:
                gone()
                acks.append(outlet.say(goodbye))
            else:
                acks.append(outlet.queue(gone, goodbye, 0))
        return acks

    def _connect(self, outlet: Outlet, devices: Sequence[str]) -> None:
        for each in devices:
            self._devices.connect(each, outlet.say)

    def newest(self, readings: Sequence[Sequence[Any]], seq: int) -> None:  # noqa: ARG002 - no ids there: the same instant is the same value
        """Send the newest values ahead of the history, which brings them again: best effort, nothing is settled."""
        outlet = self._outlet
        if outlet is None or not self._session.is_up:
            return
        if self._accepted < self._withheld_until or outlet.waiting > _NEWEST_WAITING:
            self._withheld += len(readings)
            return
        with contextlib.suppress(KeyError, TypeError, ValueError, IndexError, AttributeError):
            for part in self._encoder.telemetry(readings, is_repeat=True):
                for message in part.messages:
                    begin = partial(self._connect, outlet, (part.device, *part.also))
                    ack = outlet.queue(begin, message, part.points)
                    self._newest.add(ack)
                    ack.add_done_callback(self._newest.discard)

    def _failure(self, error: BaseException) -> UplinkError:
        return self._session.failure(error, is_ours=self._is_stalled or self._is_blamed)

    # Down

    def _take(self, message: Message) -> None:
        """What the platform says. Acknowledged at once: it must not wait for an answer to take the next."""
        self._session.link.ack(message)
        topic = message.topic
        for beginning, take in self._takers:
            if topic.startswith(beginning):
                take(message)
                return

    @property
    def _takers(self) -> Sequence[tuple[str, Callable[[Message], None]]]:
        return (
            (tb.RPC, self._take_call),
            (tb.OWN_RPC_REQUEST, self._take_call),
            (tb.OWN_RPC_RESPONSE, self._take_limits),
            (tb.DISCONNECT, self._take_disconnect),
            (tb.ATTRIBUTES_RESPONSE, self._take_answer),
            (tb.OWN_ATTRIBUTES_RESPONSE, self._take_answer),
            (tb.ATTRIBUTES, self._take_attributes),
            (tb.OWN_ATTRIBUTES, self._take_attributes),
        )

    def _take_call(self, message: Message) -> None:
        session = Session(self._name, self._epoch)
        self._calls.take(message.topic, message.payload, session, is_retained=message.retain)

    def _take_limits(self, message: Message) -> None:
        limits = thingsboard_limits.read(_json(message))
        if limits.payload:
            self._encoder.limit(limits.split_at, limits.payload)
        if self._outlet is not None and limits != thingsboard_limits.Limits():
            self._outlet.limit(limits)

    def _take_disconnect(self, message: Message) -> None:
        told = _json(message)
        if isinstance(told, dict):
            self._devices.gone(str(told.get("device")))

    def _take_attributes(self, _: Message) -> None:
        self._attributes += 1

    def _take_answer(self, message: Message) -> None:
        self._reconcile.take(message.topic, _json(message))

    def _reply(self, message: tb.Publication) -> None:
        if self._outlet is not None:
            self._outlet.say(message)

    def _ask_back(self, device: str, message: tb.Publication) -> None:
        if self._outlet is not None:
            self._outlet.queue(partial(self._devices.connect, device, self._outlet.say), message, 0)

    # The end

    async def ended(self) -> UplinkError:
        """Wait for the end of the session."""
        return self._failure(await self._session.ended())

    async def close(self) -> None:
        """End the session; ThingsBoard takes its devices for disconnected then."""
        beside, self._beside = self._beside, []
        for task in beside:
            task.cancel()
        if beside:
            await asyncio.wait(beside)
        for task in beside:
            if not task.cancelled():
                task.exception()  # known already: it ended the session
        await self._session.close()
        await self._calls.close()
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.close(LinkError("the session ended"))


def _json(message: Message) -> Any:
    try:
        return orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return None


def _build(context: Context, params: Any) -> ThingsboardUplink:
    return ThingsboardUplink(context, params)


KIND = UplinkKind(ThingsboardParams, _build)
