"""Outbox rows, births and deaths as Sparkplug messages, without their sequence number. Pure.

A value is live where it is the newest the host has of its metric, else it is flagged ``is_historical``. What had
waited for the session is historical even when nothing newer is known; then `catch_up` tells it once more as live, so
that the host shows it. When a message goes out belongs to `sparkplug_session`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from cloud_bridge import encode
from cloud_bridge import sparkplug_payload as wire
from cloud_bridge.ask import Answer, Request
from cloud_bridge.sparkplug_payload import DataType
from cloud_bridge.sparkplug_roster import ONLINE, Entry, Metric, Roster
from gateway.model import Quality, Value

REBIRTH, REQUEST = "Node Control/Rebirth", "Node Control/Request"
_STRING, _INT64, _BOOLEAN = DataType.STRING, DataType.INT64, DataType.BOOLEAN
_NODE: Mapping[str, tuple[int, DataType]] = {  # metrics of the node itself; Rebirth and bdSeq have no alias
    "Alarm/Id": (1, _STRING),
    "Alarm/Alarm": (2, _STRING),
    "Alarm/Version": (3, _INT64),
    "Alarm/Event": (4, _STRING),
    "Alarm/Class": (5, _STRING),
    "Alarm/State": (6, _STRING),
    "Alarm/Title": (7, _STRING),
    "Alarm/Place": (8, _STRING),
    "Alarm/Json": (9, _STRING),
    "Command/Id": (20, _STRING),
    "Command/What": (21, _STRING),
    "Command/Accepted": (22, _BOOLEAN),
    "Command/Outcome": (23, _STRING),
    "Command/Version": (24, _INT64),
    "Command/Words": (25, _STRING),
    REQUEST: (30, _STRING),
}
REQUEST_ALIAS = _NODE[REQUEST][0]
_METRIC_BYTES = 32  # of a metric without its text: enough for aliases below 2**28
_UNIT_TYPE = 12
_LAST_MS = 2**63 - 1
_QUALITIES: Mapping[Any, Quality] = {each.value: each for each in Quality}


class Seen(NamedTuple):
    """A reading that can be sent."""

    point_id: str
    value: Value | None
    at_ms: int
    quality: Quality


class Row(NamedTuple):
    """Readings of an outbox row, and whether they had to wait for the session."""

    seq: int
    readings: Sequence[Seen]
    has_waited: bool
    job: Any = None  # whoever is to hear of the acknowledgement


class Message(NamedTuple):
    """One message; ``jobs`` have something in it."""

    verb: str
    device: str  # "" for the node's own
    payload: Any
    jobs: tuple[Any, ...] = ()


class _Told(NamedTuple):
    """A reading on its way into a message."""

    metric: Metric
    value: Value | None
    at_ms: int
    quality: Quality
    row: Row


class Composer:
    """Makes the messages of one edge node."""

    def __init__(self, roster: Roster, gateway_id: str, epoch: str, max_bytes: int, counts: dict[str, int]) -> None:
        """``max_bytes`` bounds a DDATA, as long as one metric fits; ``counts["historical"]`` is counted up."""
        self._roster = roster
        self._id = {"v": encode.VERSION, "gateway": gateway_id, "epoch": epoch}
        self._max_bytes = max_bytes
        self._behind: dict[str, _Told] = {}  # by point: newer than what the host shows, but told as historical
        self._node: dict[str, tuple[Value | None, int]] = {}
        self._counts = counts

    @property
    def is_behind(self) -> bool:
        """Is there something for `catch_up` to tell?"""
        return bool(self._behind)

    # Births and deaths

    def node_birth(self, bd_seq: int, now_ms: int) -> Message:
        """NBIRTH: from now on the host knows no device."""
        self._roster.forget_births()
        payload = wire.payload()
        _named(payload, "bdSeq", DataType.INT64, bd_seq, now_ms)
        _named(payload, REBIRTH, DataType.BOOLEAN, False, now_ms)
        for name, (alias, kind) in _NODE.items():
            value, at_ms = self._node.get(name, (None, now_ms))
            _named(payload, name, kind, value, at_ms).alias = alias
        return Message("NBIRTH", "", payload)

    def births(self, now_ms: int) -> Iterator[Message]:
        """DBIRTH of every device that the host does not have yet and that is not lost."""
        for entry in tuple(self._roster):
            if not (entry.is_born or entry.is_lost):
                yield self._birth(entry, now_ms)

    def _birth(self, entry: Entry, now_ms: int) -> Message:
        entry.is_born = True
        payload = wire.payload()
        for name, alias, text in entry.properties:
            _named(payload, name, DataType.STRING, text, now_ms).alias = alias
        for each in entry.metrics.values():
            metric = wire.put(payload, each.alias, each.kind, each.value, each.at_ms or now_ms, quality=each.quality)
            metric.name, metric.datatype = each.name, each.kind
            if each.unit:
                wire.add_property(metric, "engUnit", _UNIT_TYPE).string_value = each.unit
        return Message("DBIRTH", entry.name, payload)

    # Readings

    def rows(self, rows: Sequence[Row], now_ms: int) -> Iterator[Message]:
        """DDATA of these rows, one message a device where it is not too large; order is kept per device.

        Raises:
            TooManyStraysError: at the first `next`, before anything is told.
        """
        told: dict[str, tuple[Entry, list[_Told]]] = {}
        for row in rows:
            for point_id, value, at_ms, quality in row.readings:
                entry, metric = self._roster.find(point_id, value)
                item = _Told(metric, value, at_ms, quality, row)
                told.setdefault(entry.name, (entry, []))[1].append(item)
        for entry, items in told.values():
            yield from self._device(entry, items, now_ms)

    def newest(self, readings: Sequence[Seen], seq: int, now_ms: int) -> Iterator[Message]:
        """The newest values while older ones still wait; rows up to ``seq`` are history from now on."""
        known = [each for each in readings if self._roster.knows(each.point_id)]
        yield from self.rows((Row(seq, known, has_waited=False),), now_ms)
        for each in known:
            metric = self._roster.find(each.point_id, None)[1]
            metric.newest_seq = max(metric.newest_seq, seq)
            self._behind.pop(each.point_id, None)

    def catch_up(self, now_ms: int) -> Iterator[Message]:
        """What was told as historical and turned out to be the newest, now as live."""
        behind, self._behind = self._behind, {}
        by_device: dict[str, tuple[Entry, list[_Told]]] = {}
        for point_id, item in behind.items():
            if item.row.seq > item.metric.newest_seq:
                entry, metric = self._roster.find(point_id, item.value)
                live = item._replace(metric=metric, row=item.row._replace(has_waited=False, job=None))
                by_device.setdefault(entry.name, (entry, []))[1].append(live)
        for entry, items in by_device.values():
            yield from self._device(entry, items, now_ms)

    def _device(self, entry: Entry, items: Sequence[_Told], now_ms: int) -> Iterator[Message]:
        for part in self._parts(items):
            while not entry.is_born:  # again where the host asked for a rebirth meanwhile
                yield self._birth(entry, now_ms)
            payload = wire.payload()
            for item in part:
                self._put(payload, entry, item)
            yield Message("DDATA", entry.name, payload, _jobs(part))
        if entry.is_lost and entry.is_born:
            entry.is_born = False
            yield Message("DDEATH", entry.name, wire.payload())

    def _parts(self, items: Sequence[_Told]) -> Iterator[Sequence[_Told]]:
        start = size = 0
        for at, item in enumerate(items):
            more = _METRIC_BYTES + (3 * len(item.value) if isinstance(item.value, str) else 0)
            if at > start and size + more > self._max_bytes:
                yield items[start:at]
                start, size = at, 0
            size += more
        yield items[start:]

    def _put(self, payload: Any, entry: Entry, item: _Told) -> None:
        metric, row = item.metric, item.row
        is_old = row.seq <= metric.newest_seq
        is_historical = is_old or row.has_waited
        self._counts["historical"] += is_historical
        value = wire.coerce(metric.kind, item.value)
        wire.put(
            payload, metric.alias, metric.kind, value, item.at_ms, quality=item.quality, is_historical=is_historical
        )
        if is_historical:
            if not is_old:
                self._behind[metric.point_id] = item
            return
        self._behind.pop(metric.point_id, None)
        metric.newest_seq = max(metric.newest_seq, row.seq - 1)  # a row may hold several values of one metric
        metric.value, metric.at_ms, metric.quality = value, item.at_ms, item.quality
        if metric.name == ONLINE and value is not None:
            entry.is_lost = not value

    # The node's own metrics

    def alarm(self, told: Mapping[str, Any], at_ms: int, job: Any) -> Message:
        """NDATA of one event. Never historical: a host must act on it however late it comes, its time is with it."""
        event, alarm = told["event"], told["alarm"]
        texts = {
            "Alarm/Id": told["id"],
            "Alarm/Alarm": event["alarm_id"],
            "Alarm/Event": event["kind"],
            "Alarm/Class": alarm.get("alarm_class"),
            "Alarm/State": alarm.get("isa_state"),
            "Alarm/Title": alarm.get("title"),
            "Alarm/Place": alarm.get("place"),
        }
        values: dict[str, Value | None] = {name: None if text is None else str(text) for name, text in texts.items()}
        values["Alarm/Version"] = int(event["version"])
        values["Alarm/Json"] = orjson.dumps({**self._id, **told}).decode()
        return self._data(values, at_ms, (job,))

    def answer(self, request: Request, answer: Answer, now_ms: int) -> Message:
        """NDATA of what became of a command."""
        outcome = str(answer.detail.get("outcome") or "done") if answer.is_accepted else f"refused: {answer.code}"
        words = answer.detail.get("words")
        what = request.args.get("point", "") or request.alarm_id
        values: dict[str, Value | None] = {
            "Command/Id": request.id,
            "Command/What": f"{request.verb.value} {what}".strip(),
            "Command/Accepted": answer.is_accepted,
            "Command/Outcome": outcome,
            "Command/Version": answer.version,
            "Command/Words": str(words.get("zh", "")) if isinstance(words, Mapping) else None,
        }
        return self._data(values, now_ms, ())

    def _data(self, values: Mapping[str, Value | None], at_ms: int, jobs: tuple[Any, ...]) -> Message:
        payload = wire.payload()
        for name, value in values.items():
            alias, kind = _NODE[name]
            wire.put(payload, alias, kind, value, at_ms)
            self._node[name] = value, at_ms
        return Message("NDATA", "", payload, jobs)


def seen(raw: Sequence[Any]) -> Seen:
    """A reading as it lies in the outbox: ``[point_id, value, at_ms, received_at_ms, quality]``.

    Raises:
        ValueError: it is none.
    """
    point_id, value, at_ms, _, quality = raw
    known = _QUALITIES.get(quality)
    is_value = value is None or isinstance(value, bool | int | float | str)
    if known is None or not is_value or not isinstance(point_id, str) or not isinstance(at_ms, int):
        raise ValueError(f"no reading: {raw!r:.100}")
    return Seen(point_id, value, min(at_ms, _LAST_MS), known)


def death(bd_seq: int, now_ms: int) -> bytes:
    """NDEATH, for the will and for a farewell: the bdSeq and nothing else."""
    payload = wire.payload()
    payload.timestamp = now_ms
    _named(payload, "bdSeq", DataType.INT64, bd_seq, now_ms)
    body: bytes = payload.SerializeToString()
    return body


def _named(payload: Any, name: str, kind: DataType, value: Value | None, at_ms: int) -> Any:
    metric = wire.put(payload, 0, kind, value, at_ms)
    metric.ClearField("alias")
    metric.name, metric.datatype = name, kind
    return metric


def _jobs(items: Sequence[_Told]) -> tuple[Any, ...]:
    return tuple({id(each.row.job): each.row.job for each in items if each.row.job is not None}.values())
