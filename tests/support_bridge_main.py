"""The bridge and a writer of its outbox as processes of their own, to be killed by tests."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from cloud_bridge.run import run_bridge
from gateway.model import Uplink
from tests.support_bridge import Box, event, site


def bridge(directory: str, port: str) -> None:
    """Forward to the broker at ``port`` until standard input ends."""
    uplink = Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": port})
    asyncio.run(run_bridge(site(Path(directory), uplink), directory, wake_fd=0))


def write(directory: str, rows: str, per_s: str) -> None:
    """Commit ``rows`` rows of one reading, every twentieth with an alarm event."""
    box = Box(Path(directory))
    start_s = time.monotonic()
    for number in range(int(rows)):
        box.append([box.reading(number)], [event(number)] if number % 20 == 0 else [])
        time.sleep(max(0.0, start_s + number / float(per_s) - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[1] == "bridge":
        bridge(*sys.argv[2:])
    else:
        write(*sys.argv[2:])
