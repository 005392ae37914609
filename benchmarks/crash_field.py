"""The field of the crash test: devices that publish what can be counted afterwards, and sirens that answer.

Every reading carries a number of its own, growing per device; every alarm is another smoke detector's. What the
field broker acknowledged (PUBACK) is what must not be lost.
"""

from __future__ import annotations

import select
import threading
import time

from benchmarks import site, wire
from benchmarks.harness import STILL_S, BenchError

SCALE = 1_000_000  # a reading's value is its number / SCALE: below every threshold
DEVICES = 300
MAX_ALARMS = 1800  # of buildings 1 and 2 in turn; the last rooms are the probe's


class Field(threading.Thread):
    """Publishes at a steady rate until `finish`; every message is remembered until its PUBACK."""

    def __init__(self, port: int, rate: float, alarms_per_s: float, smoke_buildings: int = 2) -> None:
        super().__init__(name="field", daemon=True)
        self._smoke_buildings = smoke_buildings
        self._link, _ = wire.connect(port, "field")
        self._splitter = wire.Splitter()
        self._rate = rate
        self._every = max(1, round(rate / alarms_per_s)) if alarms_per_s else 0
        self._over = threading.Event()
        self._mid = 0
        self._open: dict[int, tuple[str, int]] = {}
        self.readings: set[int] = set()  # acknowledged numbers; the device is number modulo DEVICES
        self.stamps: dict[int, int] = {}  # the instant (ms) that each number was published with
        self.alarms: set[str] = set()  # rooms whose acknowledged smoke alarm must arrive
        self.commands = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """The thread."""
        try:
            self._link.sendall(wire.encode_subscribe(1, [("siren/+/set", 1)]))
            self._publish_all()
            self._wait_acknowledged()
        except (OSError, BenchError) as error:
            self.error = error
        finally:
            self._link.close()

    def finish(self) -> None:
        """Stop publishing and wait for the PUBACKs; raises what went wrong."""
        self._over.set()
        self.join()
        if self.error:
            raise BenchError(f"the field failed: {self.error}") from self.error

    def _publish_all(self) -> None:
        due = time.perf_counter()
        number = alarms = 0
        while not self._over.is_set():
            due += 1 / self._rate
            while (left_s := due - time.perf_counter()) > 0:
                self._serve(left_s)
            now_ms = time.time_ns() // 1_000_000
            if self._every and number % self._every == 0 and alarms < MAX_ALARMS:
                building, room = alarms % self._smoke_buildings, alarms // self._smoke_buildings
                at = site.address(room, 1 + building)
                self._send(site.smoke_topic(at), site.smoke_payload(at, now_ms), (at, -1))
                alarms += 1
            self.stamps[number] = now_ms
            self._send(
                site.env_topic(site.address(number % DEVICES)),
                b'{"v":%.6f,"ts":%d}' % (number / SCALE, now_ms),
                ("", number),
            )
            number += 1

    def _wait_acknowledged(self) -> None:
        count, since = len(self._open), time.perf_counter()
        while self._open:
            self._serve(0.1)
            if len(self._open) != count:
                count, since = len(self._open), time.perf_counter()
            if time.perf_counter() - since > STILL_S:
                raise BenchError(f"the field broker left {len(self._open)} messages without PUBACK")

    def _send(self, topic: str, payload: bytes, what: tuple[str, int] | None) -> None:
        if len(self._open) > 60_000:
            raise BenchError("the field broker does not acknowledge")
        self._mid = self._mid % 65_535 + 1
        while self._mid in self._open:
            self._mid = self._mid % 65_535 + 1
        self._open[self._mid] = what or ("", -1)
        self._link.sendall(wire.encode_publish(topic, payload, self._mid))

    def _serve(self, within_s: float) -> None:
        if not select.select([self._link], [], [], within_s)[0]:
            return
        data = self._link.recv(65_536)
        if not data:
            raise BenchError("the field broker closed the connection")
        for packet in self._splitter.feed(data):
            if packet.kind == wire.PUBACK:
                at, number = self._open.pop(int.from_bytes(packet.body[:2], "big"))
                if at:
                    self.alarms.add(at)
                elif number >= 0:
                    self.readings.add(number)
            elif packet.kind == wire.PUBLISH:
                self._answer(wire.decode_publish(packet))

    def _answer(self, command: wire.Published) -> None:
        self.commands += 1
        if command.mid:
            self._link.sendall(wire.encode_puback(command.mid))
        self._send(command.topic.removesuffix("set") + "up", b'{"on":true}', None)
