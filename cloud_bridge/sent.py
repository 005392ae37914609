"""One delivery from its beginning to its end, whatever the uplink's code does with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from cloud_bridge.uplink import Uplink, UplinkError
from gateway.model import Delivery, Lane, OutboxEntry

_log = structlog.get_logger(__name__)


class Sent(NamedTuple):
    """A delivery without an answer."""

    lane: Lane
    entries: Sequence[OutboxEntry]
    future: asyncio.Future[Delivery]
    at_s: float
    number: int  # in this session
    is_own: bool  # answered by the uplink itself: that says nothing of the platform


def begin(uplink: Uplink, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
    """Deliver these rows; where the uplink's code fails at them, the future says so."""
    try:
        return uplink.deliver(entries)
    except Exception as error:  # noqa: BLE001 - a row that our own code does not bear must not stop those behind it
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        return future


def failure_of(future: asyncio.Future[Delivery]) -> UplinkError | None:
    """Why a delivery that is done has failed.

    A fault of our own counts as a refusal by name: of this row, and believed no sooner than one of the platform.
    """
    if future.cancelled():
        return UplinkError("the session ended before it went")
    error = future.exception()
    if error is None or isinstance(error, UplinkError):
        return error
    if not isinstance(error, Exception):
        raise error
    _log.error("a row that the bridge itself does not bear", exc_info=error)
    return UplinkError(f"the bridge itself: {error!r}", is_refusal=True, is_explicit=True)
