"""MQTT payloads to values: topic templates, JSON paths, types, device times. Pure; the session is in `mqtt.py`.

Every function here takes what a stranger sent: it answers a value, `MISSING`, or raises `BadPayload` with a reason
from a closed set, and never anything else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import orjson

from gateway.model import Value

_STEP = re.compile(r"\.([^.\[\]$]+)|\[(\d{1,6})\]|\['([^']+)'\]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OLDEST = datetime(2020, 1, 1, tzinfo=UTC)  # before the first gateway: such a clock was never set
_AHEAD = timedelta(days=1)
_WORDS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


class _Missing:
    """The path leads nowhere in this message; null counts as nowhere."""


MISSING: Final = _Missing()

Getter = Callable[[Any], Any]
Convert = Callable[[Any], Value]


class BadPayload(Exception):  # noqa: N818 - a reason, not a failure of ours
    """A payload or a part of it cannot be used; ``reason`` is one word for the counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def compile_path(path: str) -> Getter:
    """A getter for ``$``, ``$.a.b``, ``$.list[0]``, ``$['a key']``: the value there, or `MISSING`.

    Raises:
        ValueError: the path is not of this form.
    """
    if not path.startswith("$"):
        raise ValueError("a path starts with $")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError(f"cannot read the path from position {at + 1}: {path[at:]!r}")
        key, index, quoted = found.groups()
        steps.append(int(index) if index is not None else (key or quoted))
        at = found.end()
    if len(steps) == 1 and isinstance(steps[0], str):
        return _one_key(steps[0])
    return _walk(tuple(steps))


def _one_key(key: str) -> Getter:
    def get(body: Any) -> Any:
        if type(body) is dict:
            value = body.get(key, MISSING)
            return MISSING if value is None else value
        return MISSING

    return get


def _walk(steps: tuple[str | int, ...]) -> Getter:
    def get(body: Any) -> Any:
        for step in steps:
            if isinstance(step, str):
                if type(body) is not dict or step not in body:
                    return MISSING
                body = body[step]
            else:
                if type(body) is not list or step >= len(body):
                    return MISSING
                body = body[step]
        return MISSING if body is None else body

    return get


def parse(payload: bytes, *, is_text: bool) -> Any:
    """The message's body: JSON, or the text itself.

    Raises:
        BadPayload: ``encoding`` (not UTF-8) or ``malformed`` (not JSON).
    """
    if is_text:
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise BadPayload("encoding") from None
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _parse_leniently(payload)


def _parse_leniently(payload: bytes) -> Any:
    """NaN and Infinity are no JSON, but a fire that comes beside one is a fire: only that value is bad."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise BadPayload("encoding") from None
    if "NaN" not in text and "Infinity" not in text:
        raise BadPayload("malformed")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadPayload("malformed") from None


def converter(
    value_type: str,
    *,
    words: dict[str, Value] | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    is_inverted: bool = False,
    is_text: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Convert:
    """A function from what stood at the path to the point's value.

    ``words`` maps words of the device to values ("ON" to true). ``is_text``: the body is plain text, so numbers and
    booleans come as words. ``low`` and ``high`` bound what the device can physically measure, after scaling.
    The function raises `BadPayload` with ``type``, ``word``, ``not_finite`` or ``range``.
    """
    plain: Convert = {"bool": _bool, "int": _int, "float": _float, "text": _text}[value_type]
    if is_text:
        plain = _from_text(plain, value_type)
    if value_type in ("int", "float") and (scale != 1.0 or offset != 0.0):
        plain = _scaled(plain, scale, offset)
    if words is not None:
        plain = _worded(plain, words)
    if value_type in ("int", "float") and (low is not None or high is not None):
        plain = _ranged(plain, -math.inf if low is None else low, math.inf if high is None else high)
    if is_inverted and value_type == "bool":
        return _inverted(plain)
    return plain


def _inverted(plain: Convert) -> Convert:
    return lambda raw: not plain(raw)


def _ranged(plain: Convert, low: float, high: float) -> Convert:
    def convert(raw: Any) -> Value:
        value = plain(raw)
        if low <= value <= high:  # type: ignore[operator] # a number: the caller checked the type
            return value
        raise BadPayload("range")

    return convert


def _bool(raw: Any) -> Value:
    if raw is True or raw is False:
        return bool(raw)
    if type(raw) is int and raw in (0, 1):
        return raw == 1
    if type(raw) is str and raw.strip().lower() in _WORDS:
        return _WORDS[raw.strip().lower()]
    raise BadPayload("type")


def _int(raw: Any) -> Value:
    if type(raw) is int:
        if -(2**63) <= raw < 2**64:
            return raw
        raise BadPayload("not_finite")
    if type(raw) is float and raw.is_integer():
        return int(raw)
    raise BadPayload("type")


def _float(raw: Any) -> Value:
    if type(raw) is float:
        if math.isfinite(raw):
            return raw
        raise BadPayload("not_finite")
    if type(raw) is int:
        return float(raw)
    raise BadPayload("type")


def _text(raw: Any) -> Value:
    if type(raw) is str and len(raw) <= 256:
        return raw
    raise BadPayload("type")


def _from_text(plain: Convert, value_type: str) -> Convert:
    def convert(raw: Any) -> Value:
        if type(raw) is not str:
            return plain(raw)
        word = raw.strip()
        if value_type == "bool":
            if word.lower() not in _WORDS:
                raise BadPayload("word")
            return _WORDS[word.lower()]
        if value_type == "text":
            return plain(word)
        try:
            return plain(float(word))
        except (ValueError, OverflowError):
            raise BadPayload("type") from None

    return convert


def _scaled(plain: Convert, scale: float, offset: float) -> Convert:
    def convert(raw: Any) -> Value:
        value = float(plain(raw)) * scale + offset
        if not math.isfinite(value):
            raise BadPayload("not_finite")
        return value

    return convert


def _worded(plain: Convert, words: dict[str, Value]) -> Convert:
    def convert(raw: Any) -> Value:
        if type(raw) is str:
            if raw not in words:
                raise BadPayload("word")
            return words[raw]
        return plain(raw)

    return convert


def device_time(raw: Any, received_at: datetime, zone: tzinfo) -> datetime:
    """The device's own instant: seconds or milliseconds since 1970, or ISO 8601 (without an offset: in ``zone``).

    Raises:
        BadPayload: ``time`` where it is no instant, is before 2020 or more than a day ahead of ``received_at``.
    """
    try:
        if isinstance(raw, str):
            at = datetime.fromisoformat(raw)
            at = at.replace(tzinfo=zone) if at.tzinfo is None else at
        elif isinstance(raw, int | float) and not isinstance(raw, bool):
            ms = raw if abs(raw) >= 100_000_000_000 else raw * 1000  # 1e11 s is the year 5138, 1e11 ms is 1973
            at = _EPOCH + timedelta(milliseconds=ms)
        else:
            raise BadPayload("time")
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadPayload("time") from None
    if not _OLDEST <= at <= received_at + _AHEAD:
        raise BadPayload("time")
    return at


def topic_filter(template: str) -> str:
    """The MQTT topic filter of a template: ``smoke/{serial}/up`` subscribes ``smoke/+/up``."""
    return "/".join("+" if "{" in level else level for level in template.split("/"))


def fill(template: Any, **words: Any) -> Any:
    """A payload template with its placeholders filled; text that is only ``{name}`` becomes the value itself."""
    if isinstance(template, str):
        for name, value in words.items():
            if template == f"{{{name}}}":
                return value
            template = template.replace(f"{{{name}}}", str(value))
        return template
    if isinstance(template, dict):
        return {key: fill(value, **words) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, **words) for value in template]
    return template
