"""Sessions with a platform's MQTT broker, one after another: how one begins, what its end means, how we leave.

The link itself is `gateway.mqtt_link`; what goes over it belongs to the uplinks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, NamedTuple

from cloud_bridge.broker import BrokerParams
from cloud_bridge.uplink import UplinkError
from gateway.mqtt_link import LinkError, LinkOptions, Message, MqttLink
from gateway.mqtt_options import PublishRefusedError, UnansweredError, VersionRefusedError

_OPEN_S = 15.0  # for TCP, TLS and CONNACK; and again for each further step until the session stands
_GOODBYE_S = 1.0
_REFUSES_ALL = frozenset({0x87, 0x97})  # not authorized, quota exceeded: no row is to blame
_REFUSED_ALL_S = 10.0


class Will(NamedTuple):
    """What the broker says for us once we are gone."""

    topic: str
    payload: bytes
    is_retained: bool = True


class BrokerSession:
    """The session that is, or was last."""

    def __init__(
        self,
        params: BrokerParams,
        client_id: str,
        *,
        on_message: Callable[[Message], None] | None = None,
        on_down: Callable[[], None] | None = None,
    ) -> None:
        """``client_id`` where ``params`` name none. ``on_down``: it ended by itself, `reason` says why."""
        self._params = params
        self._client_id = client_id
        self._on_message = on_message
        self._on_down = on_down
        self._is_v5 = params.version != "3.1.1"
        self._link: MqttLink | None = None
        self._task: asyncio.Task[None] | None = None
        self.reason = ""  # why it ended, where it did so by itself

    @property
    def link(self) -> MqttLink:
        """The link of the session."""
        assert self._link is not None, "a session has begun"
        return self._link

    @property
    def is_up(self) -> bool:
        """Is there a session that can carry messages?"""
        return self._link is not None and self._link.is_up

    async def connect(self, will: Will | None = None) -> MqttLink:
        """Begin a session, with MQTT 5 where the broker speaks it.

        Raises:
            UplinkError: the broker could not be reached or refused.
        """
        try:
            return await self._connect(5 if self._is_v5 else 4, will)
        except UplinkError as error:
            if self._params.version != "auto" or not isinstance(error.__cause__, VersionRefusedError):
                raise
            await self.close()
            self._is_v5 = isinstance(error.__cause__, UnansweredError)  # then it is asked again next time
            return await self._connect(4, will)

    async def _connect(self, version: Literal[4, 5], will: Will | None) -> MqttLink:
        self.reason = ""
        up = asyncio.Event()
        link = self._link = MqttLink(
            self._options(version, will), on_message=self._on_message, on_up=lambda _: up.set(), on_down=self._note
        )
        self._task = asyncio.create_task(link.run(), name="platform session")
        await self.within(up.wait(), "connecting")
        return link

    def _options(self, version: Literal[4, 5], will: Will | None) -> LinkOptions:
        options = self._params.link(self._client_id, version)
        if will is None:
            return options
        return replace(options, will=(will.topic, will.payload), is_will_retained=will.is_retained)

    def _note(self, reason: str) -> None:
        self.reason = reason
        if self._on_down is not None:
            self._on_down()

    async def within(self, what: Awaitable[object], step: str, seconds: float = 0.0) -> None:
        """Wait for a ``step`` of the beginning, not beyond the session's end; 0 ``seconds`` are the usual time.

        Raises:
            UplinkError: it failed, took too long, or the session ended.
        """
        assert self._task is not None
        waiter, longest_s = asyncio.ensure_future(what), seconds or _OPEN_S
        try:
            await asyncio.wait([waiter, self._task], timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
            if waiter.done():
                waiter.result()
                return
            if self._task.done():
                self._task.result()
            raise UplinkError(f"the platform has not answered within {longest_s:g} s: {step}")
        except (LinkError, OSError) as error:
            raise UplinkError(self.reason or str(error)) from error
        finally:
            waiter.cancel()

    async def ended(self) -> Exception:
        """Wait for the end of the session; what ended it."""
        assert self._task is not None
        await asyncio.wait([self._task])
        error = None if self._task.cancelled() else self._task.exception()
        if error is None:
            return LinkError("the session ended")
        if not isinstance(error, LinkError | OSError):
            raise error
        return error

    def failure(self, error: BaseException, *, is_ours: bool = False) -> UplinkError:
        """What it means that a message was not taken, or the session ended.

        A session that the broker ended after it had worked may have ended because of a row; not where it ``is_ours``.
        """
        if isinstance(error, PublishRefusedError):
            is_all = error.reason in _REFUSES_ALL
            return UplinkError(
                f"the platform refuses a message: {error}",
                retry_after_s=_REFUSED_ALL_S if is_all else 0.0,
                is_refusal=not is_all,
                is_explicit=True,
            )
        return UplinkError(self.reason or str(error), is_refusal=bool(self.reason) and not is_ours)

    async def close(self, say: Callable[[], Awaitable[object]] | None = None) -> None:
        """Disconnect, after the last word where it can still be said; safe to call at any time."""
        task, self._task = self._task, None
        if task is None:
            return
        if say is not None and not task.done():
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await say()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # known already: it ended the session
