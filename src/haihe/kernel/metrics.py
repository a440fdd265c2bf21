"""Prometheus metrics. Counts of rows are read from the database when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import prometheus_client
import structlog
from django.db import DatabaseError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
log = structlog.get_logger(__name__)

_REQUESTS = (
    "haihe_http_request_seconds",
    "Time to answer an HTTP request.",
    ("method", "route", "status"),
)
_requests = prometheus_client.Histogram(
    *_REQUESTS,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request; what is no method of HTTP shares one label."""
    method = method if method in METHODS else "other"
    _requests.labels(method, route, str(status)).observe(seconds)


class _Gauges(Collector):
    """Gauges whose values are asked for at each scrape."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[str, str, Callable[[], Mapping[str, float]]]] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, (text, label, read) in self.sources.items():
            family = GaugeMetricFamily(name, text, labels=[label])
            try:
                values = read()
            except DatabaseError as error:
                # The others, and those of the process, are wanted most when the database is away.
                log.warning("metrics.failed", metric=name, error=str(error))
                continue
            for value, count in values.items():
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


def described() -> list[tuple[str, str, Sequence[str]]]:
    """Our own metrics: the name, text and labels of each, for the reference page."""
    return [
        _REQUESTS,
        *((name, text, [label]) for name, (text, label, _) in _gauges.sources.items()),
    ]
