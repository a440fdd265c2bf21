"""What a centre's report of use can be, and what it cannot."""

from __future__ import annotations

from enum import StrEnum

from haihe.compute.domain.prices import Capacity, Usage

SLACK_MS = 120_000  # a clock that is a little off, and rounding to seconds in accounting
CPU_SLACK_PERCENT = 102


class Doubt(StrEnum):
    """Why a report of use cannot be true."""

    WALL_TOO_LONG = "wall-too-long"
    CPU_BEYOND_POOL = "cpu-beyond-pool"
    MEMORY_BEYOND_POOL = "memory-beyond-pool"
    GPU_BEYOND_SHARE = "gpu-beyond-share"


def doubts_of(usage: Usage, *, capacity: Capacity, elapsed_ms: int) -> list[Doubt]:
    """What in ``usage`` cannot be, of an attempt that ran ``elapsed_ms`` at most, not negative.

    ``capacity`` is what it could reach: the CPUs and memory of the pool, the cards it held. With
    nothing to doubt, :func:`believable` returns the usage as it is.
    """
    checks = {
        Doubt.WALL_TOO_LONG: usage.wall_ms > elapsed_ms + SLACK_MS,
        Doubt.CPU_BEYOND_POOL: usage.cpu_ms > _most_cpu_ms(usage.wall_ms, capacity),
        Doubt.MEMORY_BEYOND_POOL: usage.peak_memory_bytes > capacity.memory_bytes,
        Doubt.GPU_BEYOND_SHARE: usage.gpu_milli_ms > _most_gpu_ms(usage.wall_ms, capacity),
    }
    return [doubt for doubt, is_so in checks.items() if is_so]


def believable(usage: Usage, *, capacity: Capacity, elapsed_ms: int) -> Usage:
    """The part of ``usage`` that may be billed: cut to what can be."""
    wall_ms = min(usage.wall_ms, elapsed_ms + SLACK_MS)
    return Usage(
        cpu_ms=min(usage.cpu_ms, _most_cpu_ms(wall_ms, capacity)),
        gpu_milli_ms=min(usage.gpu_milli_ms, _most_gpu_ms(wall_ms, capacity)),
        wall_ms=wall_ms,
        peak_memory_bytes=min(usage.peak_memory_bytes, capacity.memory_bytes),
        output_bytes=usage.output_bytes,
    )


def _most_cpu_ms(wall_ms: int, capacity: Capacity) -> int:
    return (wall_ms + SLACK_MS) * capacity.cpu_milli * CPU_SLACK_PERCENT // 100_000


def _most_gpu_ms(wall_ms: int, capacity: Capacity) -> int:
    return (wall_ms + SLACK_MS) * capacity.gpu_milli
