"""Many small telemetry rows as one: how the outbox keeps days of an outage in little room. Pure; no SQL.

A gateway at 200 readings/s commits nearly each reading alone, and a blob of one reading hardly shrinks. Rows that have
waited are therefore written again, a few hundred in one body. Nothing of them changes: each comes out with its own
number, instant and JSON text, so that ids, cursors and repeats never notice.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

_MARK = b"P"  # zlib streams, the bodies of single rows, begin with 0x78
_LEVEL = 6  # 17 bytes a reading where level 1 takes 21, at 0.6 ms for 256 of them
_HEAD, _TAIL = b'{"r":[', b"]}"  # of a row's text
_MOST_BYTES = 64_000_000  # unpacked: a damaged body must not fill the memory


class Packed(NamedTuple):
    """One row as it was committed; ``body`` is zlib again."""

    seq: int
    at_ms: int
    body: bytes


class PackError(Exception):
    """The body is damaged."""


def is_pack(body: bytes) -> bool:
    """Does this body (or its first byte) hold many rows?"""
    return body[:1] == _MARK


def pack(rows: Sequence[Packed]) -> bytes:
    """One body of these rows, ascending.

    Raises:
        PackError: one of them is damaged; it must stay alone.
    """
    try:
        lines = [b"%d %d %b" % (seq, at_ms, zlib.decompress(body)) for seq, at_ms, body in rows]
    except zlib.error as error:
        raise PackError(str(error)) from error
    if any(b"\n" in line for line in lines):  # the gateway writes JSON without line ends
        raise PackError("a row of several lines")
    return _MARK + zlib.compress(b"\n".join(lines), _LEVEL)


def unpack(body: bytes) -> list[Packed]:
    """The rows of a pack, as they were but for how hard they are compressed.

    Raises:
        PackError: damaged.
    """
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(memoryview(body)[1:], _MOST_BYTES)
        if not stream.eof:
            raise PackError("cut short, or larger than any the gateway writes")
        return [_row(line) for line in text.split(b"\n")]
    except (zlib.error, ValueError) as error:
        raise PackError(str(error)) from error


def as_one(rows: Sequence[Packed], seq: int) -> Packed:
    """All readings of a pack as a single row of this number: where it was carried into another database."""
    inner = b",".join(zlib.decompress(body)[len(_HEAD) : -len(_TAIL)] for _, _, body in rows)
    return Packed(seq, rows[-1].at_ms, zlib.compress(_HEAD + inner + _TAIL, 1))


def _row(line: bytes) -> Packed:
    seq, at_ms, text = line.split(b" ", 2)
    return Packed(int(seq), int(at_ms), zlib.compress(text, 0))
