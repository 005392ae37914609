"""ThingsBoard's remote calls to requests of the gateway, and answers back. Pure.

A method is a verb (``take``, ``verify``, ``close``, ``operate``, ...), its parameters an object::

    {"method": "operate", "params": {"point": "lock", "value": false, "user": "wang"}}
    {"method": "take", "params": {"alarm": "<alarm id>", "version": 3, "epoch": "<epoch>", "user": "wang"}}

Id, version and epoch of an alarm are those of its attribute. A call to a device reaches this device's points and
alarms only: who may call is granted per device there. A call to the gateway itself reaches all. ``timeout`` (ms) is the
deadline, counted from when the call is heard; ``expires_at`` an instant, whatever kept the call on its way. ``id``
makes a repeat harmless across sessions, without it a repeat is known within its session only (ThingsBoard counts calls
from 0 again in each).

What is decided about a request belongs to the gateway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from cloud_bridge.ask import Answer, Request
from cloud_bridge.requests import NoRequestError, left_s
from cloud_bridge.thingsboard_encode import LIMITS_METHOD, OWN_RPC_REQUEST, OWN_RPC_RESPONSE, RPC, Publication
from gateway.model import Now, Verb

MAX_BYTES = 65_536
_MAX_TEXT = 500
_MAX_ARGS = 16
_MAX_DIGITS = 20
_LONGEST_S = 120.0
_OURS = frozenset({"alarm", "version", "user", "timeout", "expires_at", "id", "epoch", "point", "value"})


class Call(NamedTuple):
    """A remote call as it came; ``device`` is its name there, "" for the gateway itself."""

    device: str
    id: str | int
    method: str
    params: Any


class Session(NamedTuple):
    """What makes the calls of one session others than those of the next."""

    name: str
    epoch: str  # of the outbox: alarms of another have other meanings


class WrongCallError(Exception):
    """The call can't be made a request; the text goes back as the error."""


def read(topic: str, payload: bytes) -> Call | None:
    """The call in a message, None where it is none or nobody could be answered."""
    try:
        told = orjson.loads(payload) if len(payload) <= MAX_BYTES else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict):
        return None
    return _of_device(told) if topic == RPC else _of_gateway(topic.removeprefix(OWN_RPC_REQUEST), told)


def _of_gateway(number: str, told: Mapping[str, Any]) -> Call | None:
    is_number = number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS
    is_ours = _method(told) == LIMITS_METHOD  # a plain broker hands our own question back
    return Call("", number, _method(told), told.get("params")) if is_number and not is_ours else None


def _of_device(told: Mapping[str, Any]) -> Call | None:
    device, data = told.get("device"), told.get("data")
    if not isinstance(device, str) or not device or not isinstance(data, dict):
        return None
    number = data.get("id")
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    return Call(device, number, _method(data), data.get("params"))


def _method(told: Mapping[str, Any]) -> str:
    method = told.get("method")
    return method[:_MAX_TEXT] if isinstance(method, str) else ""


def request(call: Call, device_id: str, session: Session, now: Now) -> Request:
    """What a call asks for; ``device_id`` is its device, "" for the gateway itself.

    Raises:
        WrongCallError: no such method, or its parameters can't be understood.
    """
    try:
        verb = Verb(call.method)
    except ValueError:
        raise WrongCallError(f"unknown method {call.method[:80]!r}") from None
    params = call.params
    if not isinstance(params, Mapping):
        raise WrongCallError("params must be an object")
    args = {key: _text(key, value) for key, value in params.items() if key not in _OURS}
    if len(args) > _MAX_ARGS:
        raise WrongCallError(f"more than {_MAX_ARGS} parameters")
    alarm_id = _word(params, "alarm")
    if verb is Verb.OPERATE:
        args |= {"point": _point(params, device_id), "value": _text("value", params.get("value"))}
    if verb.is_of_alarm and verb is not Verb.OPERATE and not alarm_id:
        raise WrongCallError("which alarm? write its id as alarm, its version as version")
    if device_id and not _is_of(device_id, verb, alarm_id):
        raise WrongCallError(f"not of this device: {alarm_id[:80] or verb.value}")
    if alarm_id and _word(params, "epoch") != session.epoch:
        raise WrongCallError("epoch: the alarm is of another, its id may mean something else by now")
    given = _word(params, "id")
    return Request(
        id=f"id/{given}" if given else f"{session.name}/{call.device}/{call.id}",
        verb=verb,
        alarm_id=alarm_id,
        version=_version(params.get("version")),
        args=args,
        user=_word(params, "user"),
        expires_in_s=_deadline_s(params, now),
    )


def reply(call: Call, answer: Mapping[str, Any]) -> Publication:
    """An answer on its way back."""
    if call.device:
        told = {"device": call.device, "id": call.id, "data": answer}
        return Publication(RPC, orjson.dumps(told, default=str, option=orjson.OPT_NON_STR_KEYS))
    return Publication(
        f"{OWN_RPC_RESPONSE}{call.id}", orjson.dumps(answer, default=str, option=orjson.OPT_NON_STR_KEYS)
    )


def words(answer: Answer) -> dict[str, Any]:
    """An answer of the gateway as it goes back."""
    told: dict[str, Any] = {"success": True} if answer.is_accepted else {"error": answer.code or "refused"}
    if answer.version:
        told["version"] = answer.version
    if answer.detail:
        told["detail"] = dict(answer.detail)
    return told


def _is_of(device_id: str, verb: Verb, alarm_id: str) -> bool:
    """Is it about this device?"""
    if not verb.is_of_alarm:
        return False  # a mark of a place reaches further
    source = alarm_id.partition(":")[2]
    return not alarm_id or source.startswith(f"{device_id}/")


def _point(params: Mapping[str, Any], device_id: str) -> str:
    point = _word(params, "point")
    if not point:
        raise WrongCallError("which point? write its name as point")
    if not device_id or point.startswith(f"{device_id}/"):
        return point
    if "/" in point:
        raise WrongCallError(f"not of this device: {point[:80]}")
    return f"{device_id}/{point}"


def _word(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key, "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise WrongCallError(f"{key} must be a text of at most {_MAX_TEXT} characters")
    return value


def _text(key: str, value: Any) -> str:
    """A value as the gateway's verbs have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        return value
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise WrongCallError(f"{str(key)[:80]} must be a text, a number, true or false")


def _version(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WrongCallError("version must be a whole number")
    return value


def _deadline_s(params: Mapping[str, Any], now: Now) -> float | None:
    """The earlier of the two; None where neither is written."""
    value, at = params.get("timeout"), _word(params, "expires_at")
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf
    ):
        raise WrongCallError("timeout must be milliseconds")
    try:
        left = [left_s(at, now)] if at else []
    except NoRequestError as error:
        raise WrongCallError(str(error)) from None
    return min([*left, *([] if value is None else [min(value / 1000, _LONGEST_S)])], default=None)
