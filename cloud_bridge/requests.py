"""Requests in the project's own JSON (``docs/schema/request.v1.json``, ``response.v1.json``) over an MQTT session.

Topics, with the prefix ``shouwang``:

- ``shouwang/<gateway>/request``: the platform asks, QoS 1, not retained
- ``shouwang/<gateway>/response/<id>``: what became of it, once, QoS 1, not retained

A request carries the instant after which it must not be carried out, by the platform's clock: whatever keeps it on the
way (a broker's queue, a line that is down) cannot make it late. What is allowed is decided by the gateway.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, MutableMapping
from datetime import datetime
from typing import Any

import orjson
import structlog

from cloud_bridge.ask import LONGEST_S, MAX_OPEN, PER_S, Answer, Code, Request, not_done
from cloud_bridge.pace import RateLimit
from cloud_bridge.uplink import Context
from gateway.model import Now, Verb
from gateway.mqtt_link import LinkError, Message, MqttLink

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # it is a level of a topic
_FIELDS = frozenset({"v", "id", "epoch", "verb", "alarm", "version", "args", "user", "expires_at"})
_VERSION = 1
_MAX_BYTES = 16_384
_SUBACK_S = 15.0
_MOST_WAITING = 2 * MAX_OPEN  # those beyond what is carried are refused one by one; beyond this they are dropped

COUNTS = ("requests", "requests_refused", "requests_dropped", "requests_unheard", "is_listening")

_log = structlog.get_logger(__name__)


class NoRequestError(Exception):
    """It cannot be carried; the text says why."""


class Requests:
    """What one uplink's platform asks, and the answers to it."""

    def __init__(self, context: Context, prefix: str, counts: MutableMapping[str, int]) -> None:
        """``counts`` of the uplink: these are `COUNTS`."""
        self._context = context
        self._base = f"{prefix}/{context.site.id}"
        self._counts = counts
        counts.update(dict.fromkeys(COUNTS, 0))
        self._pace = RateLimit(2 * PER_S, context.clock.now().mono_s)
        self._link: MqttLink | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def topic(self) -> str:
        """Where the platform asks."""
        return f"{self._base}/request"

    def listen(self, link: MqttLink) -> None:
        """Subscribe in a session that is up. A platform that does not allow it gets its alarms all the same."""
        self._link = link
        self._start(self._subscribe(link))

    async def _subscribe(self, link: MqttLink) -> None:
        try:
            async with asyncio.timeout(_SUBACK_S):
                await link.subscribe([(self.topic, 1)])
            self._counts["is_listening"] = 1
        except (LinkError, TimeoutError) as error:
            self._counts["requests_unheard"] += 1
            _log.warning("requests unheard", topic=self.topic, reason=str(error) or "no SUBACK")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="request of a platform")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def hear(self, message: Message) -> None:
        """One message of the session. It is acknowledged at once: a request is settled by its response."""
        if self._link is not None:
            self._link.ack(message)
        if message.topic != self.topic:
            return
        self._counts["requests"] += 1
        now_s = self._context.clock.now().mono_s
        if len(self._tasks) >= _MOST_WAITING or not self._pace.allowance(now_s, 1):
            self._counts["requests_dropped"] += 1
            return
        self._pace.spend(1)
        self._start(self._answer(message))

    def stop(self) -> None:
        """The session is over. What was asked goes on in the gateway: the same id asked again gets its answer."""
        self._link = None
        self._counts["is_listening"] = 0
        for task in self._tasks:
            task.cancel()

    async def _answer(self, message: Message) -> None:
        body = _object(message)
        name = body.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            self._counts["requests_dropped"] += 1
            return
        answer = await self._ask(body, is_retained=message.retain)
        if not answer.is_accepted:
            self._counts["requests_refused"] += 1
        if self._link is not None:
            self._link.publish(f"{self._base}/response/{name}", self._response(name, answer), 1)

    async def _ask(self, body: dict[str, Any], *, is_retained: bool) -> Answer:
        if is_retained:
            return not_done(Code.INVALID, why="retained: it would be told again at every session")
        try:
            request = request_of(body, self._context.epoch, self._context.clock.now())
        except NoRequestError as error:
            return not_done(Code.INVALID, why=str(error))
        return await self._context.ask(request)

    def _response(self, name: str, answer: Answer) -> bytes:
        body = {
            "v": _VERSION,
            "id": name,
            "gateway": self._context.site.id,
            "epoch": self._context.epoch,
            "is_accepted": answer.is_accepted,
            "code": answer.code,
            "version": answer.version,
            "detail": dict(answer.detail),
        }
        return orjson.dumps(body, default=str)


def _object(message: Message) -> dict[str, Any]:
    if message.is_oversize or len(message.payload) > _MAX_BYTES:
        return {}
    try:
        body = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def request_of(body: dict[str, Any], epoch: str, now: Now) -> Request:
    """The request that ``body`` is, in the present ``epoch``.

    Raises:
        NoRequestError: it is none.
    """
    if body.get("v") != _VERSION:
        raise NoRequestError(f"v is not {_VERSION}")
    strange = sorted(map(str, body.keys() - _FIELDS))
    if strange:
        raise NoRequestError(f"unknown: {', '.join(strange)[:100]}")
    if _text(body, "verb") not in set(Verb):
        raise NoRequestError("verb: there is no such")
    alarm_id = _text(body, "alarm", "")
    if alarm_id and _text(body, "epoch", "") != epoch:
        raise NoRequestError("epoch: the alarm is of another, its id may mean something else by now")
    version = body.get("version", 0)
    if not isinstance(version, int) or isinstance(version, bool):
        raise NoRequestError("version: not a whole number")
    args = body.get("args", {})
    if not isinstance(args, dict) or not all(isinstance(each, str) for each in args.values()):
        raise NoRequestError("args: not an object of texts")
    expires_in_s = left_s(_text(body, "expires_at"), now)
    return Request(body["id"], Verb(body["verb"]), alarm_id, version, args, _text(body, "user", ""), expires_in_s)


def _text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise NoRequestError(f"{name}: not a text")
    return value


def left_s(text: str, now: Now) -> float:
    """Seconds until ``expires_at``. Far ahead means that the two clocks differ: nobody knows how old the request is.

    Raises:
        NoRequestError: no instant, or far ahead.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise NoRequestError("expires_at: not an instant with its time zone")
    found_s = (at - now.utc).total_seconds()
    if found_s > LONGEST_S:
        raise NoRequestError(f"expires_at: more than {LONGEST_S:g} s ahead; the gateway's clock says {now.utc:%FT%TZ}")
    return found_s
