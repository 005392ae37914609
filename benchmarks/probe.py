"""The independent observer: plays one smoke detector at a time and times the siren command that answers it.

One blocking socket, one alarm outstanding: the time between the publish leaving and the command arriving is read in
one process, whatever is measured. The siren answers with its new state, as a real one does.
"""

from __future__ import annotations

import select
import time

from benchmarks import site, wire
from benchmarks.harness import BenchError


class Probe:
    """Publishes as a device, listens as a siren."""

    def __init__(self, port: int) -> None:
        self._link, _ = wire.connect(port, "probe")
        self._splitter = wire.Splitter()
        self._mid = 0
        self.commands = 0  # all that were seen, also late and repeated ones
        self._link.sendall(wire.encode_subscribe(1, [("siren/+/set", 1)]))
        self._wait_for(wire.SUBACK)

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def fileno(self) -> int:
        """For select."""
        return self._link.fileno()

    def publish(self, topic: str, payload: bytes) -> None:
        """At QoS 1, without waiting for the PUBACK."""
        self._mid = self._mid % 65535 + 1
        self._link.sendall(wire.encode_publish(topic, payload, self._mid))

    def alarm(self, at: str, within_s: float = 5.0) -> float | None:
        """Light a fire in room ``at``: milliseconds until its siren was commanded, None when it never was."""
        payload = site.smoke_payload(at, time.time_ns() // 1_000_000)
        began = time.perf_counter()
        self.publish(site.smoke_topic(at), payload)
        while (left_s := began + within_s - time.perf_counter()) > 0:
            for found in self.take(left_s):
                if is_for(found, at):
                    return (self._seen_at - began) * 1000
        return None

    def take(self, within_s: float) -> list[wire.Published]:
        """Commands that arrive at once or within the time: acknowledged, and answered by their siren."""
        if not select.select([self._link], [], [], max(0.0, within_s))[0]:
            return []
        data = self._link.recv(65536)
        self._seen_at = time.perf_counter()
        if not data:
            raise BenchError("the broker closed the probe's connection")
        found = [wire.decode_publish(p) for p in self._splitter.feed(data) if p.kind == wire.PUBLISH]
        for each in found:
            self._link.sendall(wire.encode_puback(each.mid) if each.mid else b"")
            self.publish(each.topic.removesuffix("set") + "up", b'{"on":true}')
        self.commands += len(found)
        return found

    def settle(self, for_s: float) -> None:
        """Go on answering for a while."""
        until = time.perf_counter() + for_s
        while (left_s := until - time.perf_counter()) > 0:
            self.take(left_s)

    def wait_ready(self, within_s: float, every_s: float = 0.25) -> int:
        """Light fires from the last room downwards until one is answered: how many rooms that took."""
        until = time.perf_counter() + within_s
        for used in range(1, site.ROOMS_PER_BUILDING):
            if self.alarm(site.address(site.ROOMS_PER_BUILDING - used), every_s) is not None:
                return used
            if time.perf_counter() > until:
                break
        raise BenchError(f"nothing answered an alarm within {within_s:g} s")

    def _wait_for(self, kind: int) -> None:
        self._link.settimeout(10)
        try:
            while data := self._link.recv(65536):
                if any(packet.kind == kind for packet in self._splitter.feed(data)):
                    break
            else:
                raise BenchError("the broker closed the probe's connection")
        except TimeoutError as error:
            raise BenchError("the broker did not answer the probe within 10 s") from error
        self._link.settimeout(None)


def is_for(command: wire.Published, at: str) -> bool:
    """Does the command answer the alarm of this room (by its topic, or by the alarm it repeats)?"""
    return at in command.topic or at.encode() in command.payload
