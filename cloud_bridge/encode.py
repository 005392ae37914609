"""Outbox bodies to the project's own versioned messages (JSON Schema in ``docs/schema``). Pure.

Topics, with the prefix ``shouwang``:

- ``shouwang/<gateway>/alarm``: one event a message, id = event id, unique within ``epoch``
- ``shouwang/<gateway>/telemetry``: readings of one outbox row, in chunks, id = ``<gateway>/<epoch>/<seq>/<chunk>``
- ``shouwang/<gateway>/newest``: the newest values while older rows still wait, each of which comes again with the
  history; id = ``<gateway>/<epoch>/newest/<seq>/<chunk>``
- ``shouwang/<gateway>/state``: retained, ``online`` while a session is open, else ``offline`` (the will)

Ids come from the outbox and are equal at every repeat: a platform drops what it has seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from cloud_bridge.selection import Selection
from gateway.model import Lane, OutboxEntry

VERSION = 1
_MAX_BODY_BYTES = 16_000_000  # decompressed: a damaged row must not fill the memory
_TELEMETRY_START = b'{"r":['
_ALARM_START = b'{"id":'
_UNSAFE_IN_TOPIC = frozenset("+#/\0")


class EncodeError(Exception):
    """The row's body can't be read: it will never be accepted and must be put aside."""


class Publication(NamedTuple):
    """One message of a topic; its id stands in the payload, too."""

    topic: str
    payload: bytes
    id: str


def telemetry_json(body: bytes) -> bytes:
    """The JSON text of a telemetry row.

    Raises:
        EncodeError: damaged, or larger than any row the gateway writes.
    """
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(body, _MAX_BODY_BYTES)
    except zlib.error as error:
        raise EncodeError(f"the row is damaged: {error}") from error
    if not stream.eof:
        raise EncodeError("the row is cut short or larger than 16 MB")
    if not raw.startswith(_TELEMETRY_START):
        raise EncodeError("the row is not telemetry")
    return raw


def readings(body: bytes) -> list[list[Any]]:
    """``[[point_id, value, at_ms, received_at_ms, quality], ...]`` of a telemetry row.

    Raises:
        EncodeError: damaged.
    """
    rows: list[list[Any]] = _load(telemetry_json(body))["r"]
    return rows


def alarm(body: bytes) -> dict[str, Any]:
    """``{"id", "event", "alarm"}`` of an alarm row.

    Raises:
        EncodeError: damaged.
    """
    if not body.startswith(_ALARM_START):
        raise EncodeError("the row is not an alarm event")
    return _load(body)


def chosen_alarm(told: dict[str, Any], selection: Selection) -> dict[str, Any] | None:
    """An alarm row as it may go to this platform, or None.

    Raises:
        EncodeError: it has not the parts of an alarm event; it stays, since what is personal in it can't be told.
    """
    try:
        return selection.alarm(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EncodeError(f"the row is no alarm event: {error!r}") from error


def _load(text: bytes) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise EncodeError(f"the row is damaged: {error}") from error
    return loaded


class Encoder:
    """Makes the messages of one gateway."""

    def __init__(
        self, gateway_id: str, epoch: str, prefix: str, max_bytes: int, selection: Selection | None = None
    ) -> None:
        """``max_bytes`` bounds a telemetry message, as long as one reading fits into it; None selects everything."""
        self._selection = selection
        if not gateway_id or _UNSAFE_IN_TOPIC & set(gateway_id):
            raise ValueError(f"the gateway's id {gateway_id!r} goes into topics: leave out + # /")
        self._id = gateway_id
        self._epoch = epoch
        self._alarm_head = b'{"v":%d,"gateway":%b,"epoch":%b,' % (
            VERSION,
            orjson.dumps(gateway_id),
            orjson.dumps(epoch),
        )
        self._max_bytes = max_bytes
        self.state_topic = f"{prefix}/{gateway_id}/state"
        self._newest_topic = f"{prefix}/{gateway_id}/newest"
        self._newest_at = (0, 0)  # row and chunk of the next message
        self._topics = {each: f"{prefix}/{gateway_id}/{each.value}" for each in Lane}

    def state(self, *, is_online: bool) -> bytes:
        """The retained word about the session."""
        return orjson.dumps({"v": VERSION, "gateway": self._id, "state": "online" if is_online else "offline"})

    def messages(self, entry: OutboxEntry) -> list[Publication]:
        """The messages of one row, in order; none where nothing of it is for this platform.

        Raises:
            EncodeError: the row can't be read.
        """
        topic = self._topics[entry.lane]
        chosen = self._selection
        if entry.lane is Lane.ALARM:
            whole = alarm(entry.body)
            message_id = str(whole["id"])
            if chosen is None or chosen.is_whole:
                return [Publication(topic, self._alarm_head + entry.body[1:], message_id)]
            told = chosen_alarm(whole, chosen)
            return [] if told is None else [Publication(topic, self._alarm_head + orjson.dumps(told)[1:], message_id)]
        raw = telemetry_json(entry.body)
        if chosen is not None and not chosen.keeps_every_point:
            rows = chosen.readings(_load(raw)["r"])
            if not rows:
                return []
            raw = orjson.dumps({"r": rows})
        if len(raw) + 120 + len(self._id) <= self._max_bytes:  # the usual case: nothing is parsed
            return [self._publication(topic, entry.seq, 0, raw[1:])]
        chunks = self._chunks(_load(raw)["r"])
        return [self._publication(topic, entry.seq, chunk, body) for chunk, body in enumerate(chunks)]

    def newest(self, rows: Iterable[Sequence[Any]], seq: int) -> list[Publication]:
        """The messages of newest values of the rows up to ``seq``; more of them for one ``seq`` are counted on."""
        chunk = self._newest_at[1] if self._newest_at[0] == seq else 0
        found = [
            self._publication(self._newest_topic, f"newest/{seq}", chunk + n, body)
            for n, body in enumerate(self._chunks(rows))
        ]
        self._newest_at = (seq, chunk + len(found))
        return found

    def _publication(self, topic: str, of: int | str, chunk: int, rest: bytes) -> Publication:
        message_id = f"{self._id}/{self._epoch}/{of}/{chunk}"
        return Publication(topic, b'{"v":%d,"id":%b,%b' % (VERSION, orjson.dumps(message_id), rest), message_id)

    def _chunks(self, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
        texts: list[bytes] = []
        room = self._max_bytes - 120 - len(self._id)
        size = 0
        for row in rows:
            text = orjson.dumps(row)
            if texts and size + len(text) + 1 > room:
                yield b'"r":[' + b",".join(texts) + b"]}"
                texts, size = [], 0
            texts.append(text)
            size += len(text) + 1
        if texts:
            yield b'"r":[' + b",".join(texts) + b"]}"
