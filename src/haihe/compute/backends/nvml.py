"""The NVIDIA cards of this machine, as its driver tells of them; none where there is no driver."""

from __future__ import annotations

from dataclasses import dataclass

import pynvml

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card. ``busy`` is the share of the last second in which it computed, 0 to 1."""

    model: str
    memory_bytes: int
    used_memory_bytes: int
    busy: float
    watts: float


def cards() -> list[Card]:
    """All cards, in the driver's order, which is that of their numbers."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_card(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []  # the driver went away in between; the next look finds it again
    finally:
        pynvml.nvmlShutdown()


def _card(number: int) -> Card:
    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Card(
        model=_plain(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(memory.total),
        used_memory_bytes=int(memory.used),
        busy=pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        watts=pynvml.nvmlDeviceGetPowerUsage(handle) / 1_000,
    )


def _plain(name: str | bytes) -> str:
    """The model without the maker's name, as price lists write it: ``NVIDIA H200`` is ``H200``."""
    text = name.decode() if isinstance(name, bytes) else name
    return text.removeprefix("NVIDIA ").removeprefix("Tesla ").strip()
