"""What a Sparkplug host may ask: NCMD and DCMD as `Request`s. Pure; carrying them out belongs to the gateway.

A command has no id on this wire. Its id here is what it says and when the host says it said so: a message that comes
twice is one request, and a second press is another, because its time is another.
"""

from __future__ import annotations

import orjson

from cloud_bridge.ask import Request
from cloud_bridge.requests import NoRequestError, request_of
from cloud_bridge.sparkplug_messages import REBIRTH, REQUEST, REQUEST_ALIAS
from cloud_bridge.sparkplug_payload import Asked, PayloadError, Told
from cloud_bridge.sparkplug_roster import Roster
from gateway.model import Now, Value, Verb

_MAX_TEXT = 256  # of a value
_MAX_ID = 64


def is_rebirth(told: Told) -> bool:
    """Does the host ask for every birth anew?"""
    return any(each.name == REBIRTH and each.value is True for each in told.metrics)


def of_node(told: Told, epoch: str, now: Now) -> list[Request]:
    """The requests of an NCMD: texts of ``request.v1.json`` in the metric ``Node Control/Request``.

    Raises:
        PayloadError: one can't be read.
    """
    texts = [each.value for each in told.metrics if each.name == REQUEST or each.alias == REQUEST_ALIAS]
    return [_request(text, epoch, now) for text in texts]


def of_device(told: Told, device: str, roster: Roster, age_s: float, answer_s: float) -> list[Request]:
    """The requests of a DCMD: one for each metric, to set its point.

    Raises:
        PayloadError: a metric that is not of this device, no value, no time, or its time has passed.
    """
    left_s = _left_s(told, age_s, answer_s)
    return [_operate(each, device, roster, told.timestamp_ms or 0, left_s) for each in told.metrics]


def _left_s(told: Told, age_s: float, answer_s: float) -> float:
    """How long it may still be carried out; a command without its time could be of last year."""
    if told.timestamp_ms is None:
        raise PayloadError("a command without a timestamp (tck-id-topics-dcmd-timestamp)")
    if age_s >= answer_s or age_s <= -answer_s:
        raise PayloadError(f"its time is {age_s:.0f} s from now: too late, or one of the two clocks is wrong")
    return answer_s - max(0.0, age_s)


def _operate(asked: Asked, device: str, roster: Roster, at_ms: int, left_s: float) -> Request:
    metric = roster.asked(device, asked.name, asked.alias)
    if metric is None:
        raise PayloadError(f"{device[:100]} has no metric {asked.name[:100]!r} (alias {asked.alias})")
    if asked.value is None:
        raise PayloadError(f"{metric.point_id}: no value")
    text = _text(asked.value)
    if len(text) > _MAX_TEXT:
        raise PayloadError(f"{metric.point_id}: a value of more than {_MAX_TEXT} characters")
    request_id = f"{metric.point_id}@{at_ms}={text}"
    return Request(request_id, Verb.OPERATE, args={"point": metric.point_id, "value": text}, expires_in_s=left_s)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _request(text: Value | None, epoch: str, now: Now) -> Request:
    try:
        body = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError as error:
        raise PayloadError(f"{REQUEST}: no JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("id"), str) or not 0 < len(body["id"]) <= _MAX_ID:
        raise PayloadError(f"{REQUEST}: an object of request.v1.json with an id of at most {_MAX_ID} characters")
    try:
        return request_of(body, epoch, now)
    except NoRequestError as error:
        raise PayloadError(f"{REQUEST} {body['id']}: {error}") from error
