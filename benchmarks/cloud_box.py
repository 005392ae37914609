"""A gateway's directory with a backlog for the clouds, and a bridge that works on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import site, systems
from benchmarks.harness import BenchError, Child, Lab, free_port, is_listening, wait_until
from gateway.model import Reading
from gateway.store import outbox
from gateway.store.database import open_gateway

START = datetime(2026, 1, 1, tzinfo=UTC)
_PER_COMMIT = 2_000  # rows


def configure(lab: Lab, uplinks: Mapping[str, str], plan: site.Plan | None = None) -> Path:
    """A configuration with these uplinks (id to its YAML); the directory."""
    small = plan or site.Plan(site.DISCARD, free_port(), env_buildings=2)
    config = site.write(lab.dir, small)
    file = config / "gateway.yaml"
    head = file.read_text().partition("  uplinks:\n")[0]
    file.write_text(head + "  uplinks:\n" + "".join(f"    {name}: {said}\n" for name, said in uplinks.items()))
    return config


def readings(first: int, count: int, buildings: int = 2) -> Sequence[Reading]:
    """``count`` readings of a thousand points a building, a millisecond apart, numbered on from ``first``."""
    found = []
    for number in range(first, first + count):
        at = START + timedelta(milliseconds=number)
        room = site.address(number % site.ROOMS_PER_BUILDING, 1 + number // site.ROOMS_PER_BUILDING % buildings)
        found.append(Reading(f"{room}/env/v", 20 + number % 100 / 10, at, at))
    return found


def fill(lab: Lab, rows: int, each: int) -> Path:
    """An outbox of ``rows`` rows with ``each`` readings in the data directory of `configure`."""
    data = lab.dir / "data"
    db = open_gateway(str(data))
    for start in range(0, rows, _PER_COMMIT):
        with db:
            for row in range(start, min(rows, start + _PER_COMMIT)):
                outbox.append(db, 0, readings(row * each, each), ())
    db.close()
    return data


def start_bridge(lab: Lab, config: Path) -> Child:
    """``shouwang bridge`` alone, once its first session is open."""
    bridge = lab.spawn("bridge", [systems.shouwang(), "bridge", "--config", str(config)])
    wait_until(lambda: bridge.has_said("uplink up"), 30, "the bridge's session", every_s=0.02)
    return bridge


def start_victoria(lab: Lab) -> str:
    """Debian's victoria-metrics; its address."""
    program = shutil.which("victoria-metrics", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin")
    if not program:
        raise BenchError("victoria-metrics is missing: apt-get install victoria-metrics")
    port = free_port()
    lab.spawn(
        "victoria-metrics",
        [
            program,
            f"-storageDataPath={lab.dir}/victoria",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-memory.allowedPercent=10",
        ],
    )
    wait_until(lambda: is_listening(port), 15, "victoria-metrics listens")
    return f"http://127.0.0.1:{port}"
