"""What else is measured of a pool: Prometheus exporters of its machines, and this machine's cards.

The operator names exporters of the pool's machines in agent.toml::

    [exporters]
    gpu = ["http://10.0.0.7:9400/metrics", "http://10.0.0.7:9100/metrics"]

DCGM's exporter tells of cards, the node exporter of processors, memory and power. They are read
beside the agent's work, all at once, so that one that hangs holds nothing up. One that does not
answer leaves its figures out: no figure is better than an old one, and no sum of the pool's power
better than one that lacks a machine.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from math import isfinite
from urllib.parse import urlsplit

import httpx
import structlog
from prometheus_client.parser import text_string_to_metric_families

from haihe.compute.backends import nvml

TIMEOUT_S = 5.0  # of one exporter
BUDGET_S = 2.0  # of all that an agent waits for; who is slower is heard at the next look
FRESH_S = 60.0  # a reading counts for so long
AT_ONCE = 32
ANSWER_BYTES = 16 * 1024**2
PERCENT = 100.0
# Gauges that are watts, of a card each; counters that are joules; and what a machine's own power
# meter says, which has the cards and processors in it.
_CARD_WATTS = "DCGM_FI_DEV_POWER_USAGE"
_METER_WATTS = "node_hwmon_power_average_watt"
_JOULES = ("node_rapl_package_joules_total", "node_rapl_dram_joules_total")
_CPU = "node_cpu_seconds_total"

log = structlog.get_logger(__name__)
Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]


@dataclass(frozen=True)
class Reading:
    """What one exporter told, and how fast its counters grew since the reading before."""

    at_s: float
    samples: Samples
    counters: Mapping[str, float]
    rates: Mapping[str, float]


@dataclass
class Exporters:
    """The exporters of one pool. Counters become rates between two looks."""

    urls: Sequence[str]
    budget_s: float = BUDGET_S
    _asked: dict[str, Future[Samples | None]] = field(default_factory=dict)
    _read: dict[str, Reading] = field(default_factory=dict)
    _threads: ThreadPoolExecutor | None = None

    def measure(self) -> dict[str, float]:
        """What all exporters that answer say together: watts, and busy shares in 0..1."""
        self._ask()
        wait(self._asked.values(), timeout=self.budget_s)
        for url in [url for url, asked in self._asked.items() if asked.done()]:
            samples = self._asked.pop(url).result()
            if samples is not None:
                self._keep(url, samples)
        fresh_since = time.monotonic() - FRESH_S
        fresh = {url: one for url, one in self._read.items() if one.at_s >= fresh_since}
        found = _weighted(share for one in fresh.values() for share in _shares(one))
        watts = self._watts(fresh)
        if watts is not None:
            found["watts"] = watts
        return {name: value for name, value in found.items() if isfinite(value)}

    def _ask(self) -> None:
        """Ask each exporter that is not being asked already."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(min(AT_ONCE, max(1, len(self.urls))))
        for url in self.urls:
            if url not in self._asked:
                self._asked[url] = self._threads.submit(read, url)

    def _keep(self, url: str, samples: Samples) -> None:
        """A reading; without rates at the first, or after a restart of the exporter."""
        at_s, counters, before = time.monotonic(), counters_of(samples), self._read.get(url)
        rates = {}
        if before is not None and at_s > before.at_s:
            rates = {
                name: (value - before.counters[name]) / (at_s - before.at_s)
                for name, value in counters.items()
                if name in before.counters and value >= before.counters[name]
            }
        self._read[url] = Reading(at_s, samples, counters, rates)

    def _watts(self, fresh: Mapping[str, Reading]) -> float | None:
        """The pool's power; None where none is told, or one that told of it tells no more.

        A machine's meter, and its cards and processors, are two accounts of the same power: the
        larger one counts.
        """
        metered: dict[str, float] = defaultdict(float)
        parts: dict[str, float] = defaultdict(float)
        for url, one in self._read.items():
            machine, has_watts = urlsplit(url).hostname or url, False
            for amounts, told in ((metered, _meter_watts(one)), (parts, _part_watts(one))):
                amounts[machine] += sum(told)
                has_watts = has_watts or bool(told)
            if has_watts and url not in fresh:
                return None
        machines = {*metered, *parts}
        whole = sum(max(metered[machine], parts[machine]) for machine in machines)
        return (
            whole if any(_meter_watts(one) + _part_watts(one) for one in fresh.values()) else None
        )


def read(url: str) -> Samples | None:
    """What one exporter tells; None if it does not answer in time, or with an exposition."""
    try:
        return samples_of(_text(url))
    except (httpx.HTTPError, ValueError) as error:
        log.warning("exporter.failed", url=url, error=str(error) or type(error).__name__)
        return None


def _text(url: str) -> str:
    deadline = time.monotonic() + TIMEOUT_S
    content = b""
    with httpx.stream("GET", url, timeout=TIMEOUT_S) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > ANSWER_BYTES:
                raise ValueError(f"it tells more than {ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ValueError(f"it takes longer than {TIMEOUT_S:g} s")
    return content.decode("utf-8")


def _meter_watts(one: Reading) -> list[float]:
    return [value for _, value in one.samples.get(_METER_WATTS, ())]


def _part_watts(one: Reading) -> list[float]:
    cards = [value for _, value in one.samples.get(_CARD_WATTS, ())]
    return cards + [one.rates[name] for name in _JOULES if name in one.rates]


Share = tuple[str, float, float]  # its name, how large it is, and of how much


def _shares(one: Reading) -> Iterator[Share]:
    yield from shares_of(one.samples)
    yield from cpu_share_of(one.rates)


def _weighted(shares: Iterable[Share]) -> dict[str, float]:
    """The mean of each share over machines, each by how much it has."""
    parts: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, value, weight in shares:
        parts[name].append((value, weight))
    return {
        name: sum(value * weight for value, weight in told) / sum(weight for _, weight in told)
        for name, told in parts.items()
    }


def samples_of(text: str) -> Samples:
    """An exposition, by the names of its samples; a gauge that cannot be read says NaN.

    Raises
    ------
    ValueError
        If it is none.
    """
    found: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if isfinite(sample.value):
                found[sample.name].append((sample.labels, sample.value))
    return found


def counters_of(samples: Samples) -> dict[str, float]:
    """The counters whose rates are wanted, summed over a machine."""
    found = {name: _sum(samples[name]) for name in _JOULES if name in samples}
    for labels, value in samples.get(_CPU, ()):
        kind = "idle" if labels.get("mode") in ("idle", "iowait") else "busy"
        found[kind] = found.get(kind, 0.0) + value
    return found


def cpu_share_of(rates: Mapping[str, float]) -> list[Share]:
    """How busy a machine's processors were since the last look."""
    whole = rates.get("busy", 0.0) + rates.get("idle", 0.0)
    return [("cpu_busy", rates.get("busy", 0.0) / whole, whole)] if whole > 0 else []


def shares_of(samples: Samples) -> list[Share]:
    """What gauges tell at once: how busy cards are, and how full memories."""
    found = []
    cards = [value for _, value in samples.get("DCGM_FI_DEV_GPU_UTIL", ())]
    if cards:
        found.append(("gpu_busy", sum(cards) / len(cards) / PERCENT, float(len(cards))))
    used = _sum(samples.get("DCGM_FI_DEV_FB_USED", ()))
    cards_memory = used + _sum(samples.get("DCGM_FI_DEV_FB_FREE", ()))
    if cards_memory > 0:
        found.append(("gpu_memory", used / cards_memory, cards_memory))
    whole = _sum(samples.get("node_memory_MemTotal_bytes", ()))
    if whole > 0:
        free = _sum(samples.get("node_memory_MemAvailable_bytes", ()))
        found.append(("memory_busy", 1 - free / whole, whole))
    return found


def measure_machine() -> dict[str, float]:
    """What this machine's cards draw, and how busy they are, as far as they can tell."""
    cards = nvml.cards()
    watts = [card.watts for card in cards if card.watts is not None]
    busy = [card.busy for card in cards if card.busy is not None]
    memory = [
        (card.used_memory_bytes, card.memory_bytes)
        for card in cards
        if card.used_memory_bytes is not None and card.memory_bytes
    ]
    found = {}
    if watts and len(watts) == len(cards):
        found["watts"] = sum(watts)
    if busy:
        found["gpu_busy"] = sum(busy) / len(busy)
    if memory:
        found["gpu_memory"] = sum(used for used, _ in memory) / sum(whole for _, whole in memory)
    return found


def _sum(samples: Iterable[tuple[Mapping[str, str], float]]) -> float:
    return sum(value for _, value in samples)
