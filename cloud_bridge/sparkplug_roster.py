"""What the edge node has: devices and metrics with their aliases, and each one's state as the host last saw it. Pure.

Names, derived from the configuration alone: device ``3-2-03-0301/smoke`` is ``3-2-03-0301:smoke`` (a topic level
holds no slash), point ``power.3`` is the metric ``power/3``. Nothing here sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from cloud_bridge import sparkplug_payload as wire
from cloud_bridge.selection import Selection
from cloud_bridge.sparkplug_payload import DataType
from gateway.model import Point, Quality, Site, Value

ONLINE = "online"  # the implicit point of every device
_TYPES = {"bool": DataType.BOOLEAN, "int": DataType.INT64, "float": DataType.DOUBLE, "text": DataType.STRING}
_FIRST_ALIAS = 100  # smaller ones are the node's own
_MAX_STRAYS = 2_000  # metrics of points that are no longer configured; each costs some 500 bytes
_UNSAFE = {"%": "%25", "+": "%2B", "#": "%23", ":": "%3A", "/": ":"}


class TooManyStraysError(Exception):
    """There is no room for one more point that nobody has configured."""


@dataclass(slots=True)
class Metric:
    """One point, and what the host shows of it now."""

    point_id: str
    name: str
    alias: int
    kind: DataType
    unit: str = ""
    is_writable: bool = False
    value: Value | None = None
    at_ms: int = 0
    quality: Quality = Quality.STALE  # nothing known yet
    newest_seq: int = 0  # rows up to this one are older than what the host shows


@dataclass(slots=True)
class Entry:
    """One device."""

    name: str  # as topics have it
    properties: tuple[tuple[str, int, str], ...] = ()  # (metric, alias, text): what it is and where, told at birth
    metrics: dict[str, Metric] = field(default_factory=dict)  # by point id
    is_born: bool = False  # has the host a DBIRTH of it, with every metric as it is, and no DDEATH since?
    is_lost: bool = False  # the gateway has lost it, or it is no longer configured


class Roster:
    """Every device and metric of one site that this uplink forwards."""

    def __init__(self, site: Site, selection: Selection) -> None:
        self._devices: dict[str, Entry] = {}  # by device id
        self._by_name: dict[str, Entry] = {}
        self._strays = 0
        self._aliases = count(_FIRST_ALIAS)
        for device_id in sorted(site.devices):
            device = site.devices[device_id]
            entry = self._entry(device_id, device.kind, device.place.text)
            for point in (*device.points, Point(f"{device_id}/{ONLINE}", device_id, ONLINE, "bool")):
                if selection.keeps(point.id):
                    self._add(entry, point)
            if entry.metrics:
                self._devices[device_id] = self._by_name[entry.name] = entry

    def _entry(self, device_id: str, kind: str, place: str) -> Entry:
        texts = (("Properties/Kind", kind), ("Properties/Place", place))
        return Entry(topic_name(device_id), tuple((name, next(self._aliases), text) for name, text in texts if text))

    def _add(self, entry: Entry, point: Point) -> Metric:
        kind = _TYPES.get(point.type, DataType.STRING)
        name = point.name.replace(".", "/")
        metric = Metric(point.id, name, next(self._aliases), kind, point.unit, point.is_writable)
        entry.metrics[point.id] = metric
        return metric

    def __iter__(self) -> Iterator[Entry]:
        yield from self._devices.values()

    def knows(self, point_id: str) -> bool:
        """Is there a metric of this point?"""
        return self._get(point_id) is not None

    def _get(self, point_id: str) -> tuple[Entry, Metric] | None:
        entry = self._devices.get(point_id.rpartition("/")[0])
        metric = entry.metrics.get(point_id) if entry is not None else None
        return (entry, metric) if entry is not None and metric is not None else None

    def find(self, point_id: str, value: Value | None) -> tuple[Entry, Metric]:
        """Where a reading goes; its type is widened where the value does not fit, and then needs a new birth.

        Raises:
            TooManyStraysError: a point that is not configured, and no room for it.
        """
        entry, metric = self._get(point_id) or self._adopt(point_id, value)
        if value is not None:
            kind = wire.wider(metric.kind, wire.type_of(value))
            if kind is not metric.kind:
                metric.kind, entry.is_born = kind, False
                metric.value = wire.coerce(kind, metric.value)
        return entry, metric

    def _adopt(self, point_id: str, value: Value | None) -> tuple[Entry, Metric]:
        """Rows still wait of a point that has left the configuration: it is announced as what its values are."""
        if self._strays >= _MAX_STRAYS:
            raise TooManyStraysError(f"{point_id} is not configured, as are {_MAX_STRAYS} others that came before")
        self._strays += 1
        device_id, _, name = point_id.rpartition("/")
        entry = self._devices.get(device_id)
        if entry is None:
            entry = self._entry(device_id, device_id.rpartition("/")[2], "")
            entry.is_lost = True
            self._devices[device_id] = self._by_name[entry.name] = entry
        metric = self._add(entry, Point(point_id, device_id, name or "value", ""))
        metric.kind = wire.type_of(value)
        entry.is_born = False
        return entry, metric

    def asked(self, device: str, name: str, alias: int | None) -> Metric | None:
        """The metric a DCMD to ``device`` names; an alias of another device names none."""
        entry = self._by_name.get(device)
        if entry is None:
            return None
        metrics = entry.metrics.values()
        if alias is not None:
            return next((each for each in metrics if each.alias == alias), None)
        return next((each for each in metrics if each.name == name), None)

    def forget_births(self) -> None:
        """A new session, or a rebirth: the host knows nothing."""
        for entry in self._devices.values():
            entry.is_born = False


def topic_name(device_id: str) -> str:
    """The id of a device as one level of a topic; two devices never have the same."""
    return "".join(_UNSAFE.get(each, each) for each in device_id) or "%"
