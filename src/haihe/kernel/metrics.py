"""Prometheus metrics. Counts of rows are read from the database when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_requests = prometheus_client.Histogram(
    "haihe_http_request_seconds",
    "Time to answer an HTTP request.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    _requests.labels(method, route, str(status)).observe(seconds)


class _Gauges(Collector):
    """Gauges whose values are asked for at each scrape."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[str, str, Callable[[], Mapping[str, float]]]] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, (text, label, read) in self.sources.items():
            family = GaugeMetricFamily(name, text, labels=[label])
            for value, count in read().items():
                family.add_metric([value], count)
            yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []


_gauges = _Gauges()
prometheus_client.REGISTRY.register(_gauges)


def register_gauge(
    name: str, text: str, *, label: str, read: Callable[[], Mapping[str, float]]
) -> None:
    """Expose ``read()``, a value per label value, as gauge ``name``."""
    _gauges.sources[name] = (text, label, read)
