"""What else is measured of a pool: Prometheus exporters of its machines, and this machine's cards.

The operator names exporters of the pool's machines in agent.toml::

    [exporters]
    gpu = ["http://10.0.0.7:9400/metrics", "http://10.0.0.7:9100/metrics"]

DCGM's exporter tells of cards, the node exporter of processors, memory and power. One that does not
answer leaves its figures out: no figure is better than an old one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import structlog
from prometheus_client.parser import text_string_to_metric_families

from haihe.compute.backends import nvml

TIMEOUT_S = 5.0
PERCENT = 100.0
# Gauges that are watts, and counters that are joules, of one machine or card each.
_WATTS = ("DCGM_FI_DEV_POWER_USAGE", "node_hwmon_power_average_watt")
_JOULES = ("node_rapl_package_joules_total", "node_rapl_dram_joules_total")
_CPU = "node_cpu_seconds_total"

log = structlog.get_logger(__name__)
Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]


@dataclass
class Exporters:
    """The exporters of one pool. Counters become rates between two looks."""

    urls: Sequence[str]
    _before: dict[str, tuple[float, dict[str, float]]] = field(default_factory=dict)

    def measure(self) -> dict[str, float]:
        """What all exporters that answer say together: watts, and busy shares in 0..1."""
        watts: list[float] = []
        shares: dict[str, list[float]] = defaultdict(list)
        for url in self.urls:
            samples = self._read(url)
            if samples is None:
                continue
            rates = self._rates(url, counters_of(samples))
            watts += [value for name in _WATTS for _, value in samples.get(name, ())]
            watts += [rates[name] for name in _JOULES if name in rates]
            for name, share in {**shares_of(samples), **cpu_share_of(rates)}.items():
                shares[name].append(share)
        found = {name: sum(values) / len(values) for name, values in shares.items()}
        return {**found, "watts": sum(watts)} if watts else found

    def _read(self, url: str) -> Samples | None:
        try:
            answer = httpx.get(url, timeout=TIMEOUT_S)
            answer.raise_for_status()
            return samples_of(answer.text)
        except (httpx.HTTPError, ValueError) as error:
            log.warning("exporter.failed", url=url, error=str(error) or type(error).__name__)
            return None

    def _rates(self, url: str, counters: dict[str, float]) -> dict[str, float]:
        """Growth per second since the last look; nothing at the first, or after a restart."""
        at = time.monotonic()
        before_at, before = self._before.get(url, (at, {}))
        self._before[url] = (at, counters)
        if at <= before_at:
            return {}
        return {
            name: (value - before[name]) / (at - before_at)
            for name, value in counters.items()
            if name in before and value >= before[name]
        }


def samples_of(text: str) -> Samples:
    """An exposition, by the names of its samples.

    Raises
    ------
    ValueError
        If it is none.
    """
    found: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def counters_of(samples: Samples) -> dict[str, float]:
    """The counters whose rates are wanted, summed over a machine."""
    found = {name: _sum(samples[name]) for name in _JOULES if name in samples}
    for labels, value in samples.get(_CPU, ()):
        kind = "idle" if labels.get("mode") in ("idle", "iowait") else "busy"
        found[kind] = found.get(kind, 0.0) + value
    return found


def cpu_share_of(rates: Mapping[str, float]) -> dict[str, float]:
    """How busy a machine's processors were since the last look."""
    whole = rates.get("busy", 0.0) + rates.get("idle", 0.0)
    return {"cpu_busy": rates.get("busy", 0.0) / whole} if whole > 0 else {}


def shares_of(samples: Samples) -> dict[str, float]:
    """What gauges tell at once: how busy cards are, and how full memories."""
    found = {}
    cards = [value for _, value in samples.get("DCGM_FI_DEV_GPU_UTIL", ())]
    if cards:
        found["gpu_busy"] = sum(cards) / len(cards) / PERCENT
    used = _sum(samples.get("DCGM_FI_DEV_FB_USED", ()))
    free = _sum(samples.get("DCGM_FI_DEV_FB_FREE", ()))
    if used + free:
        found["gpu_memory"] = used / (used + free)
    whole = _sum(samples.get("node_memory_MemTotal_bytes", ()))
    if whole:
        found["memory_busy"] = 1 - _sum(samples.get("node_memory_MemAvailable_bytes", ())) / whole
    return found


def measure_machine() -> dict[str, float]:
    """What this machine's cards draw, and how busy they are."""
    cards = nvml.cards()
    if not cards:
        return {}
    return {
        "watts": sum(card.watts for card in cards),
        "gpu_busy": sum(card.busy for card in cards) / len(cards),
        "gpu_memory": sum(c.used_memory_bytes for c in cards) / sum(c.memory_bytes for c in cards),
    }


def _sum(samples: Iterable[tuple[Mapping[str, str], float]]) -> float:
    return sum(value for _, value in samples)
