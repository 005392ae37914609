"""Reads what the gateway has committed for the clouds: telemetry rows and alarm events, from its database."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import orjson

from gateway.model import Lane
from gateway.store.database import BRIDGE_FILE, number, open_reader
from gateway.store.outbox import OutboxReader


def rows(directory: Path, lane: Lane) -> Iterator[Any]:
    """Every row of a lane in order, decoded; ``directory`` is the gateway's data directory."""
    reader = OutboxReader(str(directory))
    after = 0
    while found := reader.take(lane, after):
        for entry in found:
            body = zlib.decompress(entry.body) if lane is Lane.TELEMETRY else entry.body
            yield orjson.loads(body)
        after = found[-1].seq
    reader.close()


def readings(directory: Path) -> Iterator[list[Any]]:
    """Every reading in the order of its commit: point id, value, at, received at, quality."""
    for row in rows(directory, Lane.TELEMETRY):
        yield from row["r"]


def last_seq(directory: Path) -> int:
    """Newest row of both lanes together: grows with everything that is stored for the clouds."""
    reader = OutboxReader(str(directory))
    try:
        return sum(reader.last_seq(lane) for lane in Lane)
    finally:
        reader.close()


def cursors(directory: Path) -> dict[tuple[str, str], int]:
    """How far each platform has settled each lane; nothing while the bridge has no books yet."""
    if not (directory / BRIDGE_FILE).exists():
        return {}
    bridge = open_reader(str(directory), BRIDGE_FILE)
    try:
        return {
            (str(who), str(lane)): int(str(seq))
            for who, lane, seq in bridge.execute("SELECT uplink, lane, seq FROM cursors")
        }
    finally:
        bridge.close()


def is_settled(directory: Path, uplink: str) -> bool:
    """Has this platform acknowledged everything that the outbox holds?"""
    reader = OutboxReader(str(directory))
    bridge = open_reader(str(directory), BRIDGE_FILE)
    query = "SELECT seq FROM cursors WHERE uplink = ? AND lane = ?"
    try:
        return all(number(bridge, query, uplink, lane.value) >= reader.last_seq(lane) for lane in Lane)
    finally:
        reader.close()
        bridge.close()


def count(directory: Path, points: Collection[str]) -> int:
    """How many readings of points with one of these endings (``/name``) it holds."""
    wanted = tuple(points)
    return sum(1 for each in readings(directory) if each[0].endswith(wanted))
