"""The project's own messages to a platform's MQTT broker: TLS, QoS 1, each row settled at its last PUBACK.

The session itself is `gateway.mqtt_link`; what the messages look like is `encode`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from cloud_bridge.encode import EncodeError, Encoder
from cloud_bridge.mqtt_outlet import Outlet
from cloud_bridge.places import Host, Prefix
from cloud_bridge.requests import Requests
from cloud_bridge.settings import Common, Seconds, Tls, is_loopback, wrong
from cloud_bridge.uplink import Context, Limits, UplinkError, UplinkKind
from gateway.model import Delivery, Lane, OutboxEntry
from gateway.mqtt_link import LinkError, LinkOptions, MqttLink, TlsOptions
from gateway.mqtt_options import PublishRefusedError, UnansweredError, VersionRefusedError
from gateway.mqtt_packets import json_properties
from gateway.secret import SecretError, SecretRef

_OPEN_S = 15.0  # for TCP, TLS, CONNACK and the PUBACK of the state
_GOODBYE_S = 1.0
_NEWEST_WAITING_BYTES = 64_000  # newest values are left out where so much waits for a slow line
_REFUSES_ALL = frozenset({0x87, 0x97})  # not authorized, quota exceeded: no row is to blame
_REFUSED_ALL_S = 10.0
_IN_FLIGHT_BYTES = 400_000  # as in the outbox


class MqttParams(Common):
    """``type: mqtt`` of an uplink."""

    host: Host
    port: int | None = Field(default=None, ge=1, le=65_535)  # None: 8883, or 1883 in plaintext
    client_id: str = ""  # "" means shouwang-<gateway id>
    username: str = ""
    password: SecretRef | None = None
    tls: Tls | None = None  # None: verified by the system's roots, plaintext only to this machine itself
    insecure: bool = False  # plaintext over a network: everything can be read and forged on the way
    prefix: Prefix = "shouwang"
    window: int = Field(default=100, ge=20, le=1000)  # messages without a PUBACK
    max_message: int = Field(default=8_192, ge=8_192, le=61_440)  # bytes of a telemetry message: an alarm waits for one
    answer: Seconds = Field(default=20.0, ge=2, le=300)  # without a PUBACK for so long, the session is given up
    keepalive: Seconds = Field(default=30.0, ge=5, le=600)
    version: Literal["auto", "5", "3.1.1"] = "auto"  # auto: MQTT 5, or 3.1.1 where the broker does not speak it

    @model_validator(mode="after")
    def _one_way(self) -> MqttParams:
        if self.insecure and self.tls is not None:
            raise wrong(
                "E403", "tls 与 insecure 不能同时写", "tls and insecure together", "删去 insecure", "remove insecure"
            )
        if self.password is not None and not self.username:
            raise wrong(
                "E404", "有密码却没有用户名", "a password without a user name", "加一行 username:", "add username:"
            )
        return self

    @property
    def is_plaintext(self) -> bool:
        """Does the session go without TLS?"""
        return self.tls is None and (self.insecure or is_loopback(self.host))


class MqttUplink:
    """A platform's broker."""

    def __init__(self, context: Context, params: MqttParams) -> None:
        self._params = params
        gateway_id = context.site.id
        self._client_id = params.client_id or f"shouwang-{gateway_id}"
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
        self._link: MqttLink | None = None
        self._outlet: Outlet | None = None
        self._session: asyncio.Task[None] | None = None
        self._is_open = False
        self._reason = ""  # why the session ended
        self._is_v5 = self._speaks_v5 = params.version != "3.1.1"
        self._unheard = 0  # of the sessions before this one

    @property
    def limits(self) -> Limits:
        """As much telemetry in hand as the line takes in a few moments."""
        size = 0 if self._outlet is None else self._outlet.window.size // 2
        if size != self._limits.telemetry_bytes:
            self._limits = replace(self._limits, telemetry_bytes=size)
        return self._limits

    async def open(self) -> None:
        """Connect, and say that the gateway is online: the PUBACK of that shows that the broker takes messages."""
        self._is_v5 = self._speaks_v5
        try:
            await self._open()
        except UplinkError as error:
            if self._params.version != "auto" or not isinstance(error.__cause__, VersionRefusedError):
                raise
            await self.close()
            self._is_v5 = False
            self._speaks_v5 = isinstance(error.__cause__, UnansweredError)  # then it is asked again next time
            await self._open()

    async def _open(self) -> None:
        up = asyncio.Event()
        self._unheard = self.counts["unheard"]
        self._is_open, self._reason = False, ""
        hear = None if self._requests is None else self._requests.hear
        self._link = MqttLink(self._options(), on_message=hear, on_up=lambda _: up.set(), on_down=self._note)
        self._outlet = Outlet(self._link)
        self._session = asyncio.create_task(self._link.run(), name="platform session")
        try:
            async with asyncio.timeout(_OPEN_S):
                waiter = asyncio.create_task(up.wait())
                await asyncio.wait([waiter, self._session], return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                if self._session.done():
                    self._session.result()
                await self._say(is_online=True)
        except TimeoutError:
            raise UplinkError(f"the platform has not answered within {_OPEN_S:g} s of connecting") from None
        except (LinkError, OSError) as error:
            raise UplinkError(self._reason or str(error)) from error
        self._is_open = True
        if self._requests is not None:
            self._requests.listen(self._link)

    def _options(self) -> LinkOptions:
        params, tls = self._params, None
        try:
            password = params.password.read() if params.password else ""
            if not params.is_plaintext:
                files = params.tls or Tls()
                tls = TlsOptions(files.ca or None, files.cert or None, files.key or None)
        except SecretError as error:
            raise UplinkError(str(error)) from error
        return LinkOptions(
            host=params.host,
            port=params.port or (1883 if params.is_plaintext else 8883),
            client_id=self._client_id,
            username=params.username,
            password=password,
            tls=tls,
            keepalive_s=int(params.keepalive),
            version=5 if self._is_v5 else 4,
            will=(self._encoder.state_topic, self._encoder.state(is_online=False)),
        )

    def _note(self, reason: str) -> None:
        self._reason = reason

    async def _say(self, *, is_online: bool) -> None:
        assert self._link is not None
        state = self._encoder.state(is_online=is_online)
        await self._link.publish(self._encoder.state_topic, state, 1, retain=True, properties=json_properties())

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        """Publish one row; it is accepted at the last PUBACK of its messages."""
        assert self._outlet is not None
        assert self._link is not None
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
        waiting, link = len(messages), self._link

        def acknowledged(ack: asyncio.Future[None]) -> None:
            nonlocal waiting
            waiting -= 1
            error = ack.exception()
            self.counts["unheard"] = self._unheard + link.unheard
            if answer.done():
                return
            if error is not None:
                answer.set_exception(self._failure(error))
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

    def _failure(self, error: BaseException | str) -> UplinkError:
        """A session that the broker ended after it had worked may have ended because of a row."""
        if isinstance(error, PublishRefusedError):
            return UplinkError(
                f"the platform refuses a message: {error}",
                retry_after_s=_REFUSED_ALL_S if error.reason in _REFUSES_ALL else 0.0,
                is_refusal=error.reason not in _REFUSES_ALL,
                is_explicit=True,
            )
        return UplinkError(self._reason or str(error), is_refusal=bool(self._reason))

    async def ended(self) -> UplinkError:
        """Wait for the end of the session."""
        assert self._session is not None
        await asyncio.wait([self._session])
        error = None if self._session.cancelled() else self._session.exception()
        if error is not None and not isinstance(error, LinkError | OSError):
            raise error
        return self._failure(str(error))

    async def close(self) -> None:
        """Say offline where that still works, and disconnect."""
        session, self._session = self._session, None
        if self._requests is not None:
            self._requests.stop()
        if session is None:
            return
        if self._is_open and not session.done():
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._say(is_online=False)
        self._is_open = False
        session.cancel()
        await asyncio.wait([session])
        if not session.cancelled():
            session.exception()  # known already: it ended the session


def _nobody(_: asyncio.Future[None]) -> None:
    """A newest value that was not taken comes again with the history."""


def _build(context: Context, params: Any) -> MqttUplink:
    return MqttUplink(context, params)


KIND = UplinkKind(MqttParams, _build)
