"""Deliveries of a session without an answer, and which of them the platform has passed over. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cloud_bridge.suspicion import Row, Suspicion
from gateway.model import Delivery, Lane, OutboxEntry


class Sent(NamedTuple):
    """A delivery without an answer."""

    lane: Lane
    entries: Sequence[OutboxEntry]
    future: asyncio.Future[Delivery]
    at_s: float
    number: int  # in this session
    is_own: bool  # answered by the uplink itself: that says nothing of the platform


def passed_over(
    waiting: Mapping[Lane, Sequence[Sent]], answered: Mapping[Lane, int], suspicion: Suspicion
) -> Row | None:
    """The first row without an answer, where a later delivery of its lane was answered.

    Of any lane where that has happened to this row before: behind it there may be no other of its own.
    """
    for lane, sent in waiting.items():
        if sent:
            row = Row(lane, sent[0].entries[0].seq)
            last = max(answered.values()) if suspicion.is_passed(row) else answered[lane]
            if sent[0].number < last:
                return row
    return None
