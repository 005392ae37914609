"""A time-series server in an outage test: the witness of InfluxDB v2 writes, and the server that is asked back.

The server is Debian's InfluxDB 1.x behind `Rename`, killed with -9: what it answered for is in its log.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.outage_heard import Heard, Telling, telling
from benchmarks.witness import Record

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENT = re.compile(r' id="([^"]*)",kind="([^"]*)",version=(\d+)i,')
_END = b"\r\n\r\n"
_NS_PER_MS = 1_000_000
_STATUS = len(b"HTTP/1.1 204")


class HttpEar:
    """Listens to one connection with one request on it; 2xx acknowledges."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._number = record.connect()
        self._out = self._in = b""
        self._place: int | None = None

    def hear_out(self, data: bytes) -> None:
        """Bytes of the request."""
        self._out += data
        head, end, body = self._out.partition(_END)
        size = _LENGTH.search(head)
        if self._place is None and end and size and len(body) >= int(size[1]):
            is_packed = b"gzip" in head.lower().partition(b"content-encoding:")[2].partition(b"\r\n")[0]
            told = gzip.decompress(body) if is_packed else body
            self._place = self._record.publish(self._number, ("write", told))

    def hear_in(self, data: bytes) -> None:
        """Bytes of the answer."""
        before, self._in = self._in, self._in + data
        if len(before) < _STATUS <= len(self._in) and self._in[9:10] == b"2" and self._place is not None:
            self._record.sessions += 1
            self._record.tell(self._place)


def read(record: Record) -> Heard:
    """Everything that was acknowledged."""
    heard = Heard(messages=len(set(record.told)))
    for _, body in record.told:
        for each in _items(body):
            (heard.readings if isinstance(each, Telling) else heard.events).append(each)  # type: ignore[arg-type]
    heard.sent = sum(1 for _, body in record.published for _ in _items(body))
    return heard


def _items(body: bytes) -> Iterator[Telling | dict[str, Any]]:
    for line in body.decode().splitlines():
        if line.startswith("env,"):
            _, fields, at_ns = line.rsplit(" ", 2)
            if fields.startswith("v="):
                yield telling(float(fields[2:]), int(at_ns) // _NS_PER_MS)
        elif line.startswith("alarm_event,") and (found := _EVENT.search(line)):
            alarm_id = found[1].rpartition("#")[0]
            yield {"id": found[1], "event": {"alarm_id": alarm_id, "kind": found[2], "version": int(found[3])}}
