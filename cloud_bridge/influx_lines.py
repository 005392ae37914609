r"""InfluxDB line protocol: one line a reading, the timestamp in nanoseconds of its first observation. Pure.

Escaping as InfluxDB's reference "Line protocol" gives it: ``,`` and space in measurements; ``,`` ``=`` and space in
tag keys, tag values and field keys; ``"`` and ``\`` in text values. A line break or a trailing ``\`` can't be
written in a name at all: both are replaced, so that no content can become a second line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloud_bridge.series import Describe

_NS_PER_MS = 1_000_000
_INT64 = 2**63
_MAX_TEXT = 4_096
_MAX_KNOWN = 100_000  # points whose beginnings of lines are kept
_BREAKS = str.maketrans(dict.fromkeys("\r\n\t\0", "_"))
_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ "})
_NAME = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_TEXT = str.maketrans({'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\0": ""})


def name(text: str) -> str:
    """A tag key, tag value or field key; never empty."""
    return _safe(text).translate(_NAME)


def measurement(text: str) -> str:
    """A measurement; never empty."""
    return _safe(text).translate(_MEASUREMENT)


def _safe(text: str) -> str:
    text = text.translate(_BREAKS)
    if text.endswith("\\"):  # would escape the separator after it
        text = text[:-1] + "/"
    if text.startswith(("#", "_")):  # a comment; names with a leading _ belong to the system
        text = "." + text
    return text or "-"


def text_value(text: str) -> str:
    """A text field's value, cut where it is longer than any device's word should be."""
    return '"' + text[:_MAX_TEXT].translate(_TEXT) + '"'


def _head(of: str, tags: Mapping[str, str]) -> str:
    return ",".join([measurement(of), *(f"{name(key)}={name(tags[key])}" for key in sorted(tags) if tags[key])])


class Lines:
    """Writes readings and alarm events of one site as lines."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._known: dict[str, tuple[str, str]] = {}  # point id to (beginning of its line, type)
        self.without_value = 0  # readings that carry none: bad ones, and numbers that are not finite

    def reading(self, row: Sequence[Any]) -> bytes | None:
        """The line of ``[point_id, value, at_ms, received_at_ms, quality]``; None where there is no value."""
        point_id, value, at_ms = row[0], row[1], row[2]
        known = self._known.get(point_id)
        if known is None:
            known = self._learn(point_id)
        start, kind = known
        text = _value(value, kind)
        if text is None:
            self.without_value += 1
            return None
        at_ns = at_ms * _NS_PER_MS
        if not -_INT64 < at_ns < _INT64:  # a device's clock in a far century
            at_ns = row[3] * _NS_PER_MS
        return f"{start}{text} {at_ns}".encode()

    def _learn(self, point_id: str) -> tuple[str, str]:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        series = self._describe(point_id)
        field = "time_" if series.field == "time" else series.field  # InfluxDB reserves the name
        start = f"{_head(series.measurement, series.tags)} {name(field)}"
        known = self._known[point_id] = (start, series.type)
        return known


def _value(value: Any, kind: str) -> str | None:
    """``=value``; a value of another type than the point's goes into a field of its own: types never mix in one."""
    if isinstance(value, bool):
        return ("=true" if value else "=false") if kind in ("bool", "") else f"_bool={'true' if value else 'false'}"
    if isinstance(value, str):
        return ("=" if kind in ("text", "") else "_text=") + text_value(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if isinstance(value, float) or kind == "float" or not -_INT64 <= value < _INT64:
        return f"{'=' if kind in ('float', '') else '_float='}{float(value)!r}"
    return f"{'=' if kind in ('int', '') else '_int='}{value}i"


def alarm_event(site_id: str, body: Mapping[str, Any]) -> bytes:
    """The line of one alarm event; the version is added as nanoseconds, so that events of one instant stay apart.

    Raises:
        KeyError, TypeError, ValueError: the row is no alarm event.
    """
    event, alarm = body["event"], body["alarm"]
    version = int(event["version"])
    tags = {
        "site": site_id,
        "class": str(alarm["alarm_class"]),
        "rule": str(alarm["rule_id"]),
        "device": str(alarm["device_id"]),
        "point": str(alarm["point_id"]),
    }
    fields = (
        f"id={text_value(str(body['id']))},kind={text_value(str(event['kind']))},version={version}i,"
        f"actor={text_value(str(event['actor']['name']))},open={'true' if alarm['is_open'] else 'false'}"
    )
    at_us = _microseconds(datetime.fromisoformat(event["at"]))
    return f"{_head('alarm_event', tags)} {fields} {at_us * 1000 + version % 1000}".encode()


def _microseconds(at: datetime) -> int:
    offset = at.utcoffset()
    if offset is None:
        raise ValueError("an instant without its offset")
    days = at.toordinal() - 719_163  # 1970-01-01
    seconds = days * 86_400 + at.hour * 3600 + at.minute * 60 + at.second - round(offset.total_seconds())
    return seconds * 1_000_000 + at.microsecond
