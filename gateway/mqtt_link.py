"""One MQTT session on asyncio: paho-mqtt behind a buffered socket, acknowledged by hand.

As shipped, paho reads a message with four system calls and writes each acknowledgement with one. Here it is given a
socket object that reads and writes through buffers (its ``_create_socket`` is overridden: the one private method we
touch, pinned by version and held by ``tests/test_mqtt_link.py``), so that one system call serves a burst. The packets
that come and go by the thousand, PUBLISH and PUBACK, pass by paho (`mqtt_packets`, ADR 0004); paho sees whole packets.

One `MqttLink.run` is one session with one paho client: nothing is queued across sessions. Topics, payloads and
what to do after a lost session belong to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from gateway.mqtt_books import Books
from gateway.mqtt_client import connect, filters_of, new_client
from gateway.mqtt_options import (
    LinkError,
    LinkOptions,
    Message,
    PublishRefusedError,
    TlsOptions,
    UnansweredError,
    VersionRefusedError,
)
from gateway.mqtt_packets import Frame, MalformedPacketError, frame_at, puback, puback_in, publish_in, publish_of
from gateway.mqtt_socket import BufferedSocket, Paho

__all__ = ["LinkError", "LinkOptions", "Message", "MqttLink", "TlsOptions"]

_PACKETS_PER_TURN = 128  # then the loop gets its turn: an alarm must not wait behind a burst
_MAX_UNSENT_BYTES = 4_000_000
_MAX_PACKET_BYTES = 2_000_000
_MAX_STALL_S = 5.0
_LARGEST_PACKET = 268_435_460
_CONNACK = 2
_BAD_VERSION = 0x84
_TOO_LARGE = 0x95


def _future() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(_retrieve)
    return future


def _failed(why: str) -> asyncio.Future[None]:
    future = _future()
    future.set_exception(LinkError(why))
    return future


def _retrieve(future: asyncio.Future[None]) -> None:
    """A caller that no longer waits for its PUBACK has made up its mind already: not an error of the loop."""
    if not future.cancelled():
        future.exception()


class MqttLink:
    """A session at a time to one broker. All callbacks run on the event loop's thread and must not block."""

    def __init__(
        self,
        options: LinkOptions | Callable[[], LinkOptions],
        *,
        on_message: Callable[[Message], None] | None = None,
        on_up: Callable[[bool], None] | None = None,
        on_down: Callable[[str], None] | None = None,
    ) -> None:
        """``options`` may be a function: asked at each session, so that a renewed secret counts."""
        self._ask_options = options if callable(options) else lambda: options
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._client: Paho | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        self._books = Books(lambda _: None)
        self._is_v5 = False
        self._max_packet = _LARGEST_PACKET
        self._session = 0
        self._is_up = False
        self._is_flushing = False
        self._is_parsing = False  # packets are left in the buffer: `_parse` is due
        self._unsent_since_s: float | None = None
        self._has_writer = False

    @property
    def is_up(self) -> bool:
        """True between CONNACK and the end of the session."""
        return self._is_up

    @property
    def unsent(self) -> int:
        """Bytes that wait for the socket."""
        client = self._client
        return 0 if client is None or client.buffered is None else client.buffered.unsent

    async def run(self) -> None:
        """Open a session and serve it until cancelled.

        Raises:
            LinkError: the broker could not be reached or refused, or the session ended.
        """
        loop = asyncio.get_running_loop()
        self._loop, self._ended = loop, loop.create_future()
        self._session += 1
        self._is_parsing = False
        self._unsent_since_s = None
        self._options = self._ask_options()
        self._is_v5, self._max_packet = self._options.version == 5, _LARGEST_PACKET
        client = self._client = self._new_client()
        try:
            await loop.run_in_executor(None, connect, client, self._options)
            assert client.buffered is not None
            self._books = Books(client.buffered.send)
            client.buffered.on_close = self._unwatch
            loop.add_reader(client.buffered.fileno(), self._readable)
            self._flush_soon()
            async with asyncio.timeout(self._options.connect_timeout_s) as deadline:
                self._connected_deadline = deadline
                await self._keep_alive(client, self._ended)
        except TimeoutError:
            raise LinkError(f"no CONNACK within {self._options.connect_timeout_s:g} s") from None
        finally:
            self._close(client)

    @property
    def unheard(self) -> int:
        """PUBLISHes of this session that the broker took though nobody has subscribed to them (MQTT 5)."""
        return self._books.unheard

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 1,
        *,
        retain: bool = False,
        is_urgent: bool = False,
        properties: bytes = b"",
    ) -> asyncio.Future[None]:
        """Send one message; the future resolves at PUBACK (QoS 1) or at once (QoS 0), or fails with `LinkError`.

        ``is_urgent`` writes it to the socket before anything else happens, instead of with what else is due.
        ``properties`` (`mqtt_packets.json_properties`) go with it where MQTT 5 is spoken.
        """
        client = self._client
        if client is None or not self._is_up or client.buffered is None:
            return _failed("not connected")
        if client.buffered.unsent > _MAX_UNSENT_BYTES:
            return _failed("the broker does not read: too much is unsent")
        mid = self._books.next_mid() if qos else 0
        packet = publish_of(topic, payload, retain=retain, mid=mid, properties=properties if self._is_v5 else None)
        future = _future()
        if len(packet) > self._max_packet:
            future.set_exception(PublishRefusedError(_TOO_LARGE))
            return future
        if qos:
            self._books.publish(mid, packet, future, is_urgent=is_urgent)
        else:
            client.buffered.send(packet)
            future.set_result(None)
        if is_urgent:
            self._flush()
            os.sched_yield()  # woken on this core, the broker would wait until all that is left to do here is done
        else:
            self._flush_soon()
        return future

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> asyncio.Future[None]:
        """Subscribe to (topic filter, QoS) pairs; the future resolves at SUBACK or fails with `LinkError`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._client is None or not self._is_up:
            future.set_exception(LinkError("not connected"))
            return future
        code, mid = self._client.subscribe(filters_of(filters, self._options.version))
        if mid is None or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            future.set_exception(LinkError(str(code)))
        else:
            self._books.subscribe(mid, future)
        self._flush_soon()
        return future

    def ack(self, message: Message) -> None:
        """Send the PUBACK of a message of the running session; an older session's is not sent (it comes again)."""
        if message.qos and message.session == self._session and self._client is not None and self._is_up:
            buffered = self._client.buffered
            assert buffered is not None
            buffered.send(puback(message.mid))
            self._flush_soon()

    def _new_client(self) -> Paho:
        client = new_client(self._options)
        client.on_connect = self._connacked
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        return client

    async def _keep_alive(self, client: Paho, ended: asyncio.Future[None]) -> None:
        while not ended.done():
            await asyncio.wait([ended], timeout=1.0)
            if not ended.done():
                client.loop_misc()
                self._flush_soon()
                self._check_stall(client)
        ended.result()

    def _check_stall(self, client: Paho) -> None:
        """What cannot be sent now must not be sent much later: a command would arrive after its deadline."""
        assert self._loop is not None
        if client.buffered is None or not client.buffered.unsent:
            self._unsent_since_s = None
        elif self._unsent_since_s is None:
            self._unsent_since_s = self._loop.time()
        elif self._loop.time() - self._unsent_since_s > _MAX_STALL_S:
            client.buffered.forget()
            self.end("the broker does not read")

    def _connacked(self, client: Client, _data: object, flags: Any, code: Any, props: Any) -> None:
        assert self._loop is not None
        if code.is_failure:
            self.end(
                f"refused: {code}", VersionRefusedError if self._is_v5 and code.value == _BAD_VERSION else LinkError
            )
            return
        if self._is_v5:
            self._books.most = getattr(props, "ReceiveMaximum", self._books.most)
            self._max_packet = getattr(props, "MaximumPacketSize", self._max_packet)
        if client is self._client:
            self._is_up = True
            self._connected_deadline.reschedule(None)
            if self._on_up:
                self._on_up(bool(flags.session_present))

    def _disconnected(self, client: Client, _data: object, _flags: object, code: Any, _props: object) -> None:
        if client is self._client:
            self.end(str(code))

    def _subscribed(self, _client: Client, _data: object, mid: int, codes: Any, _props: object) -> None:
        refused = [str(each) for each in codes if each.is_failure]
        self._books.suback(mid, f"subscription refused: {refused[0]}" if refused else "")

    def _readable(self) -> None:
        client = self._client
        if client is None or client.buffered is None or self._is_parsing:
            return  # the selector tells us again when what is buffered has been dealt with
        try:
            is_alive = client.buffered.fill()
        except OSError as error:
            self.end(str(error))
            return
        self._parse(client)
        if not is_alive:
            is_unanswered = self._is_v5 and not self._is_up
            self.end("the broker closed the connection", UnansweredError if is_unanswered else LinkError)

    def _parse(self, client: Paho) -> None:
        """Let paho take packets from the buffer, a bounded number a turn."""
        assert self._loop is not None
        buffered = client.buffered
        if client is not self._client or buffered is None:
            return
        self._is_parsing = False
        is_more = True
        try:
            for _ in range(_PACKETS_PER_TURN):
                is_more = self._take_packet(client, buffered)
                if not is_more:
                    break
        except MalformedPacketError as error:
            self.end(str(error))
            return
        if is_more and client is self._client:
            self._is_parsing = True
            self._loop.call_soon(self._parse, client)
        elif buffered.tls_pending():
            self._loop.call_soon(self._readable)
        self._flush_soon()

    def _take_packet(self, client: Paho, buffered: BufferedSocket) -> bool:
        """Deal with the next packet in the buffer; False where there is none or the session has ended."""
        frame = frame_at(buffered.data, buffered.at) if buffered.pending() else None
        if frame is None:
            return False
        is_whole = frame.end <= len(buffered.data)
        if frame.is_publish and (is_whole or frame.end - buffered.at > _MAX_PACKET_BYTES):
            return self._take_publish(buffered, frame)
        if not is_whole:
            if frame.end - buffered.at > _MAX_PACKET_BYTES:
                raise MalformedPacketError("a packet that is too large and is no PUBLISH")
            return False
        return self._take_whole(client, buffered, frame)

    def _take_whole(self, client: Paho, buffered: BufferedSocket, frame: Frame) -> bool:
        if frame.is_puback:
            self._books.puback(puback_in(buffered.data, frame))
            buffered.at = frame.end
            return True
        if self._is_v5 and frame.head >> 4 == _CONNACK and frame.end - frame.start == 2:  # that of MQTT 3.1.1
            self.end("the broker does not speak MQTT 5", VersionRefusedError)
            return False
        buffered.until = frame.end
        while buffered.at < frame.end:
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client is None:
                self.end("protocol error")
                return False
        return True

    def _take_publish(self, buffered: BufferedSocket, frame: Frame) -> bool:
        if not self._is_up:
            raise MalformedPacketError("a PUBLISH before CONNACK")
        data = buffered.data
        publish = publish_in(data, frame, has_properties=self._is_v5)
        if publish is None:
            return False
        topic, mid, body = publish
        head = frame.head
        is_oversize = frame.end - buffered.at > _MAX_PACKET_BYTES
        payload = b"" if is_oversize else data[body : frame.end]
        if is_oversize:
            buffered.discard_to(frame.end)
        else:
            buffered.at = frame.end
        if self._on_message:
            self._on_message(
                Message(
                    topic,
                    payload,
                    head >> 1 & 3,
                    bool(head & 1),
                    bool(head & 8),
                    mid,
                    self._session,
                    is_oversize,
                )
            )
        return True

    def _flush_soon(self) -> None:
        if not self._is_flushing and self._loop is not None:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        assert self._loop is not None
        self._is_flushing = False
        client = self._client
        if client is None or client.buffered is None:
            return
        if client.want_write():
            client.loop_write()
        try:
            is_empty = client.buffered.flush()
        except OSError as error:
            self.end(str(error))
            return
        if is_empty and self._has_writer:
            self._loop.remove_writer(client.buffered.fileno())
            self._has_writer = False
        elif not is_empty and not self._has_writer:
            self._loop.add_writer(client.buffered.fileno(), self._flush)
            self._has_writer = True

    def end(self, reason: str, kind: type[LinkError] = LinkError) -> None:
        """End the session: `run` raises `LinkError` with this reason."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(kind(reason))
            if self._on_down:
                self._on_down(reason)

    def _unwatch(self, descriptor: int) -> None:
        assert self._loop is not None
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        self._has_writer = False

    def _close(self, client: Paho) -> None:
        was_up, self._is_up, self._client = self._is_up, False, None
        assert self._loop is not None
        if client.buffered is not None:
            if was_up and client.buffered.fileno() >= 0:
                with contextlib.suppress(OSError):
                    client.buffered.flush()
                    client.disconnect()
                    client.loop_write()
            client.buffered.close()
        if self._ended is not None and self._ended.done() and not self._ended.cancelled():
            self._ended.exception()  # retrieved: run() has raised it or was cancelled
        self._books.close("the session ended")
