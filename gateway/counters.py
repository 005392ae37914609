"""Counts of what happened, by reason: plain integers, cheap on the hot path, exported by `gateway.web.metrics`.

A label's value must come from a closed set (a reason, a bus id): never from a message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

Labels = tuple[tuple[str, str], ...]


class Counters:
    """Counters and gauges by name and labels. One thread writes; a reader may see a count one behind."""

    def __init__(self) -> None:
        self.counts: defaultdict[tuple[str, Labels], int] = defaultdict(int)
        self.gauges: dict[tuple[str, Labels], float] = {}

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add ``by`` to the counter ``name`` with these labels."""
        self.counts[name, tuple(sorted(labels.items()))] += by

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set the gauge ``name`` with these labels."""
        self.gauges[name, tuple(sorted(labels.items()))] = value

    def total(self, name: str, **labels: str) -> int:
        """Sum of the counters ``name`` whose labels include these."""
        wanted = set(labels.items())
        return sum(n for (each, has), n in self.counts.items() if each == name and wanted <= set(has))

    def __iter__(self) -> Iterator[tuple[str, str, Labels, float]]:
        """Every (kind, name, labels, value); kind is counter or gauge."""
        for (name, labels), n in sorted(self.counts.items()):
            yield "counter", name, labels, n
        for (name, labels), value in sorted(self.gauges.items()):
            yield "gauge", name, labels, value
