"""The workload of the comparison: devices that send until they are acknowledged, and a platform that counts.

Every reading carries a number of its own. What the field broker acknowledged is what must reach the platform. No peer
is known here but by the shape of its messages.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from benchmarks import site, wire
from benchmarks.harness import BenchError

SCALE = 1_000_000  # a reading's value is its number / SCALE
DEVICES = 300
_RETRY_S = 0.2
_WINDOW = 1_000  # messages without a PUBACK: beyond it the devices wait


class Field(threading.Thread):
    """Publishes at a steady rate; connects again and sends again what was not acknowledged."""

    def __init__(self, port: int, rate: float) -> None:
        super().__init__(name="field", daemon=True)
        self._port = port
        self._rate = rate
        self._over = threading.Event()
        self._open: dict[int, int] = {}  # message id to number
        self.acknowledged: set[int] = set()
        self.sessions = 0
        self.next = 0  # the next number

    def run(self) -> None:
        """The thread."""
        while not self._is_done():
            with contextlib.suppress(OSError):
                self._session()
            time.sleep(_RETRY_S)

    def finish(self, within_s: float = 30) -> None:
        """Publish no more, and wait for the PUBACKs."""
        self._over.set()
        self.join(within_s)
        if self.is_alive():
            raise BenchError(f"the field broker left {len(self._open)} messages without PUBACK")

    def _is_done(self) -> bool:
        return self._over.is_set() and not self._open

    def _session(self) -> None:
        link, _ = wire.connect(self._port, "devices", timeout_s=2)
        self.sessions += 1
        splitter = wire.Splitter()
        with contextlib.closing(link):
            for mid, number in list(self._open.items()):
                link.sendall(self._packet(number, mid))
            due = time.perf_counter()
            while not self._is_done():
                due = max(due + 1 / self._rate, time.perf_counter() - 1)
                while (left_s := due - time.perf_counter()) > 0 or len(self._open) >= _WINDOW:
                    self._take(link, splitter, max(left_s, 0.01))
                if not self._over.is_set():
                    mid = self.next % 65_535 + 1
                    self._open[mid] = number = self.next
                    self.next += 1
                    link.sendall(self._packet(number, mid))  # where that fails it is sent again in the next session

    def _take(self, link: Any, splitter: wire.Splitter, within_s: float) -> None:
        if not select.select([link], [], [], within_s)[0]:
            return
        data = link.recv(65_536)
        if not data:
            raise ConnectionError("the field broker closed the connection")
        for packet in splitter.feed(data):
            if packet.kind == wire.PUBACK:
                number = self._open.pop(int.from_bytes(packet.body[:2], "big"), None)
                if number is not None:
                    self.acknowledged.add(number)

    def _packet(self, number: int, mid: int) -> bytes:
        topic = site.env_topic(site.address(number % DEVICES))
        payload = b'{"v":%.6f,"ts":%d}' % (number / SCALE, time.time_ns() // 1_000_000)
        return wire.encode_publish(topic, payload, mid)


class Platform(threading.Thread):
    """Subscribes to everything on the platform's broker, and counts each number once a message id."""

    def __init__(self, port: int) -> None:
        super().__init__(name="platform", daemon=True)
        self._link, _ = wire.connect(port, "platform", clean=False)
        self._link.sendall(wire.encode_subscribe(1, [("#", 1)]))
        self._over = threading.Event()
        self._ids: set[str] = set()
        self.seen: Counter[int] = Counter()
        self.order: list[int] = []
        self.last_s = time.perf_counter()

    def run(self) -> None:
        """The thread."""
        splitter = wire.Splitter()
        while not self._over.is_set():
            if select.select([self._link], [], [], 0.2)[0]:
                for packet in splitter.feed(self._link.recv(1 << 18)):
                    if packet.kind == wire.PUBLISH:
                        self._keep(wire.decode_publish(packet))
        self._link.close()

    def finish(self) -> None:
        """Stop."""
        self._over.set()
        self.join(10)

    def _keep(self, message: wire.Published) -> None:
        if message.mid:
            self._link.sendall(wire.encode_puback(message.mid))
        if message.topic == SESSION_LIMITS:  # what a ThingsBoard answers
            self._link.sendall(wire.encode_publish(SESSION_LIMITS.replace("request", "response"), LIMITS))
            return
        with contextlib.suppress(orjson.JSONDecodeError):
            body = orjson.loads(message.payload)
            if isinstance(body, dict) and not self._is_repeat(body):
                found = list(numbers(body))
                self.seen.update(found)
                self.order += found
                self.last_s = time.perf_counter()

    def _is_repeat(self, body: dict[str, Any]) -> bool:
        """Only this project's messages carry an id that makes a repeat harmless."""
        name = body.get("id")
        if not isinstance(name, str):
            return False
        is_repeat = name in self._ids
        self._ids.add(name)
        return is_repeat


SESSION_LIMITS = "v1/devices/me/rpc/request/1"
LIMITS = orjson.dumps({"maxPayloadSize": 65_536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}})


def numbers(body: dict[str, Any]) -> Iterator[int]:
    """The numbers of the readings in a message: raw, this project's, or in ThingsBoard's shape."""
    if "r" in body:
        values: Iterable[Any] = [row[1] for row in body["r"] if str(row[0]).endswith("/env/v")]
    elif "v" in body and "ts" in body:
        values = [body["v"]]
    else:
        values = [
            entry["values"]["v"]
            for entries in body.values()
            if isinstance(entries, list)
            for entry in entries
            if isinstance(entry, dict) and "v" in entry.get("values", ())
        ]
    for value in values:
        yield round(float(value) * SCALE)


def disordered(order: Iterable[int]) -> int:
    """How many came after a later one of their device, repeats left aside."""
    newest: dict[int, int] = {}
    seen: set[int] = set()
    count = 0
    for number in order:
        count += number not in seen and number < newest.get(number % DEVICES, -1)
        seen.add(number)
        newest[number % DEVICES] = max(number, newest.get(number % DEVICES, -1))
    return count
