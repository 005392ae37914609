"""Readings of one device to the arrays of ThingsBoard's telemetry, cut where ThingsBoard's own client cuts. Pure.

Their client (``tb-mqtt-client``) guesses a message's size from the printed length of its keys and values; the same
guess stands here, so that the same readings make the same messages. It knows nothing of bytes: a message that is too
large for the platform all the same is halved (`within`), which theirs is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

Chunk = dict[str, Any]  # {"ts": ms, "values": {...}}
_PAIR = 4  # what the guess adds to a key and its value
_CHUNK = 40  # ... and to the values of one instant


class Value(NamedTuple):
    """One value of one device."""

    ts: int
    key: str
    value: Any


def split(values: Iterable[Value], most: int) -> list[list[Chunk]]:
    """One array a message: values of one instant together, each message guessed at no more than ``most``."""
    cut = _Cut(most)
    for each in values:
        cut.add(each)
    return cut.end()


class _Cut:
    """Values gathered by instant, and the messages made of them so far."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._gathered: dict[int, tuple[dict[str, Any], int]] = {}  # by instant: values, their guessed size
        self._messages: list[list[Chunk]] = []
        self._message: list[Chunk] = []
        self._size = 0

    def add(self, value: Value) -> None:
        """One more."""
        size = len(value.key) + len(str(value.value)) + _PAIR
        values, before = self._gathered.get(value.ts, ({}, 0))
        if before + size > self._most:
            if value.ts in self._gathered:
                self._put(value.ts)
            values, before = {}, 0
        values[value.key] = value.value
        self._gathered[value.ts] = (values, before + size)

    def end(self) -> list[list[Chunk]]:
        """All messages."""
        for ts in tuple(self._gathered):
            self._put(ts)
        self._close()
        return self._messages

    def _put(self, ts: int) -> None:
        values, _ = self._gathered.pop(ts)
        size = sum(len(key) + len(str(value)) for key, value in values.items()) + len(str(ts)) + _CHUNK
        if self._size + size > self._most:
            self._close()
        self._message.append({"ts": ts, "values": values})
        self._size += size
        if size > self._most:
            self._close()

    def _close(self) -> None:
        if self._message:
            self._messages.append(self._message)
        self._message, self._size = [], 0


def within(device: str, chunks: list[Chunk], most_bytes: int) -> Iterator[bytes]:
    """The payloads of one message's array: one, or more where it is larger than the platform takes.

    ``device`` "" is the gateway itself, whose array stands alone. A single value that is too large is sent as it is:
    the platform says what it thinks of it.
    """
    payload = orjson.dumps({device: chunks} if device else chunks)
    if len(payload) <= most_bytes:
        yield payload
        return
    halves = _halves(chunks)
    if not halves:
        yield payload
    for half in halves:
        yield from within(device, half, most_bytes)


def _halves(chunks: list[Chunk]) -> list[list[Chunk]]:
    if len(chunks) > 1:
        middle = len(chunks) // 2
        return [chunks[:middle], chunks[middle:]]
    ts, values = chunks[0]["ts"], list(chunks[0]["values"].items())
    if len(values) <= 1:
        return []
    middle = len(values) // 2
    return [[{"ts": ts, "values": dict(part)}] for part in (values[:middle], values[middle:])]
