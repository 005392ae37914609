"""What the benchmarks print: the machine, spreads of several runs, and one row per figure beside floor and peer."""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.harness import CACHE, find_mosquitto

QUIET_LOAD = 0.7
BUSY = " (BUSY: these figures are not comparable)"
LIBRARIES = ("paho-mqtt", "pymodbus", "apsw", "orjson", "uvloop")


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` (0–1) of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Spread:
    """One figure of one system over several runs."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle run."""
        return statistics.median(self.runs)

    def text(self, form: str) -> str:
        """``median (min–max)``."""
        if len(self.runs) == 1:
            return format(self.runs[0], form)
        return f"{self.median:{form}} ({min(self.runs):{form}}–{max(self.runs):{form}})"


@dataclass(frozen=True)
class Figure:
    """One row: ours beside the floor and the peer of the same run. ``holds`` judges ours (None: no target)."""

    name: str
    unit: str
    target: str
    ours: Spread | None
    floor: Spread | None = None
    peer: Spread | None = None
    holds: Callable[[Figure], bool] | None = None
    form: str = ".2f"

    @property
    def verdict(self) -> str:
        """Met, missed, or nothing to say."""
        if self.ours is None or self.holds is None:
            return "–"
        return "met" if self.holds(self) else "MISSED"

    def cells(self) -> list[str]:
        """The row as text."""
        return [
            f"{self.name} [{self.unit}]" if self.unit else self.name,
            self.target or "–",
            *(each.text(self.form) if each else "–" for each in (self.ours, self.floor, self.peer)),
            self._ratio(self.floor),
            self._ratio(self.peer),
            self.verdict,
        ]

    def _ratio(self, other: Spread | None) -> str:
        if not self.ours or not other or not other.median:
            return "–"
        return f"{self.ours.median / other.median:.2f}×"


@dataclass
class Report:
    """The figures of one benchmark and what has to be known to read them."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


HEADS = ["figure", "target", "ours: median (min–max)", "floor", "peer", "ours/floor", "ours/peer", "verdict"]


def _width(text: str) -> int:
    return sum(2 if ord(each) > 0x2E7F else 1 for each in text)


def table(figures: Sequence[Figure]) -> str:
    """Plain text in columns."""
    rows = [HEADS, *(each.cells() for each in figures)]
    widths = [max(_width(row[i]) for row in rows) for i in range(len(HEADS))]
    lines = ["  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "-" * _width(lines[0]), *lines[1:]])


def markdown(reports: Sequence[Report], title: str, place: Sequence[str]) -> str:
    """The same as a Markdown document; ``place`` is what `machine` said before the first run."""
    out = [f"# {title}", "", *(f"- {line}" for line in place), ""]
    for report in reports:
        out += [f"## {report.title}", "", "| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
        out += ["| " + " | ".join(each.cells()) + " |" for each in report.figures]
        out += ["", *(f"- {note}" for note in report.notes), ""]
    return "\n".join(out)


def show(report: Report) -> None:
    """Print one report."""
    print(f"\n== {report.title}\n")
    if report.figures:
        print(table(report.figures))
    for note in report.notes:
        print(f"   · {note}")
    sys.stdout.flush()


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "missing"
    return (done.stdout + done.stderr).strip().splitlines()[0] if done.stdout or done.stderr else "?"


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} missing"


def node_red_version() -> str:
    """The version of the peer in the cache, or what is missing."""
    path = CACHE / "node-red" / "node_modules" / "node-red" / "package.json"
    found = re.search(r'"version": *"([^"]+)"', path.read_text()) if path.exists() else None
    return f"node-red {found[1]}" if found else "node-red not installed"


def _sync_ms() -> float:
    """Median of appending 4 kB and fsync, in milliseconds: what a commit waits for on this disk."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "fsync-probe"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return statistics.median(taken)


def machine() -> list[str]:
    """CPU, kernel, disk, load and the versions of everything that takes part."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    return [
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores; Linux {platform.release()}; "
        f"load before the first run {load}" + (BUSY if os.getloadavg()[0] > QUIET_LOAD else ""),
        f"{_said('findmnt', '-no', 'FSTYPE', '-T', str(CACHE))}, fsync of 4 kB {_sync_ms():.2f} ms (median)",
        f"Python {platform.python_version()}; " + ", ".join(map(_library, LIBRARIES)),
        f"{_said(find_mosquitto(), '-h')}; node {_said('node', '--version')}; {node_red_version()}",
    ]
