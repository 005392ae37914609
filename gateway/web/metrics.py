"""Web: Prometheus exposition of the counters, the live view and the process. Nothing is counted here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.counters import Counters
from gateway.web.live import LiveView

PREFIX = "shouwang_"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")


class GatewayCollector(Collector):
    """Reads the counters and the live view at each scrape, on the event loop: nothing changes meanwhile."""

    def __init__(self, counters: Counters, live: LiveView) -> None:
        self._counters = counters
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """One metric per name, with a sample per set of labels."""
        families: dict[str, Metric] = {}
        for kind, raw, labels, value in self._counters:
            name = PREFIX + _NOT_IN_NAMES.sub("_", raw.lower()).removesuffix("_total")
            family = families.setdefault(f"{kind} {name}", Metric(name, raw.replace("_", " "), kind))
            family.add_sample(name + ("_total" if kind == "counter" else ""), dict(labels), value)
        yield from families.values()
        yield from self._seen()

    def _seen(self) -> Iterator[Metric]:
        counts = self._live.counts()
        alarms = Metric(PREFIX + "alarms_open", "open alarms by class", "gauge")
        for each, n in counts["by_class"].items():
            alarms.add_sample(alarms.name, {"class": each}, n)
        devices = Metric(PREFIX + "devices", "devices by state", "gauge")
        for state in ("online", "offline", "unknown"):
            devices.add_sample(devices.name, {"state": state}, counts["devices"][state])
        yield alarms
        yield devices
        for name, help_text, value in (
            ("alarms_untaken", "open alarms that nobody has taken", counts["untaken"]),
            ("alarms_shelved", "open alarms that are shelved", counts["shelved"]),
            ("alarms_out_of_service", "open alarms whose point is out of service", counts["out_of_service"]),
            ("marks", "marks of places and points that are set", counts["marks"]),
            ("alarms_suppressed", "open alarms that are consequences of another one", counts["suppressed"]),
            ("alarms_stale", "open alarms that have been active for more than 24 hours", counts["stale"]),
            ("consoles", "consoles that listen", self._live.subscribers),
            ("revision", "changes since the start", self._live.revision),
        ):
            metric = Metric(PREFIX + name, help_text, "gauge")
            metric.add_sample(metric.name, {}, value)
            yield metric


class Exposition:
    """What /metrics answers."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, counters: Counters, live: LiveView) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(GatewayCollector(counters, live))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self._registry)
