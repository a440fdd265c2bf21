"""The NVIDIA cards of this machine, as its driver tells of them; none where there is no driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card. ``busy`` is the share of the last second in which it computed, 0 to 1.

    A virtual card, or a part of one (MIG), lacks some sensors: None.
    """

    model: str
    memory_bytes: int | None
    used_memory_bytes: int | None
    busy: float | None
    watts: float | None


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
    memory = _sensed(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _sensed(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = _sensed(pynvml.nvmlDeviceGetPowerUsage, handle)
    return Card(
        model=_plain(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(memory.total) if memory else None,
        used_memory_bytes=int(memory.used) if memory else None,
        busy=rates.gpu / 100 if rates else None,
        watts=None if power is None else power / 1_000,
    )


def _sensed(sensor: Callable[[Any], Any], handle: Any) -> Any:
    """What a sensor says; None where the card, or a part of one, does not have it."""
    try:
        return sensor(handle)
    except pynvml.NVMLError_NotSupported:
        return None


def _plain(name: str | bytes) -> str:
    """The model without the maker's name, as price lists write it: ``NVIDIA H200`` is ``H200``."""
    text = name.decode() if isinstance(name, bytes) else name
    return text.removeprefix("NVIDIA ").removeprefix("Tesla ").strip()
