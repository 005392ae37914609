"""Background load in a process of its own: ``python -m benchmarks.background PORT RATE TOPICS`` until it is stopped.

QoS 1, evenly spaced, round robin over the temperature sensors of buildings 2 and up; PUBACKs are read and counted.
"""

from __future__ import annotations

import itertools
import select
import sys
import time

from benchmarks import site, wire


def main(port: int, rate: float, topics: int) -> None:
    """Publish for ever, ``rate`` messages a second; ends with its parent."""
    link, _ = wire.connect(port, "background")
    places = [site.address(n, 2 + n // site.ROOMS_PER_BUILDING) for n in range(topics)]
    due = time.perf_counter()
    for n in itertools.count():
        due += 1 / rate
        while (left_s := due - time.perf_counter()) > 0:
            if select.select([link], [], [], left_s)[0]:
                link.recv(65536)
        payload = site.env_payload(20 + n % 1000 / 100, time.time_ns() // 1_000_000)
        link.sendall(wire.encode_publish(site.env_topic(places[n % topics]), payload, n % 65535 + 1))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
