"""What is packed, and into what: nodes, requests, and where a request was put.

Units: CPUs and GPUs in thousandths, memory in MiB. A request asks either for no GPU, for a share
of one GPU, or for one or more whole GPUs; a share never spans two GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from haihe.kernel.errors import InvalidField

GPU_MILLI = 1_000
GPUS_PER_NODE_LIMIT = 64
CPU_MILLI_LIMIT = 10_000_000
MEMORY_MIB_LIMIT = 1 << 30


class Shape(NamedTuple):
    """The part of a request that is about amounts: requests of one shape score alike."""

    cpu_milli: int
    memory_mib: int
    gpus: int
    gpu_milli: int

    @property
    def is_shared(self) -> bool:
        """Whether it asks for a share of one GPU."""
        return 0 < self.gpu_milli < GPU_MILLI

    @property
    def total_gpu_milli(self) -> int:
        """All that it takes of the node's GPUs."""
        return self.gpus * self.gpu_milli


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one job asks of one node.

    ``gpu_milli`` is per GPU. ``models`` names the GPU models that will do; empty means any.
    ``shape`` is its amounts alone.

    Raises
    ------
    InvalidField
        If an amount is out of its range, if shares are asked of several GPUs, or if a model is
        named where no GPU is asked for.
    """

    cpu_milli: int
    memory_mib: int
    gpus: int = 0
    gpu_milli: int = 0
    models: frozenset[str] = frozenset()
    shape: Shape = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check("cpu_milli", self.cpu_milli, 0, CPU_MILLI_LIMIT)
        _check("memory_mib", self.memory_mib, 0, MEMORY_MIB_LIMIT)
        _check("gpus", self.gpus, 0, GPUS_PER_NODE_LIMIT)
        least, most = (0, 0) if self.gpus == 0 else (1 if self.gpus == 1 else GPU_MILLI, GPU_MILLI)
        _check("gpu_milli", self.gpu_milli, least, most)
        if self.models and not self.gpus:
            raise InvalidField(
                field="models", value=sorted(self.models), rule="ask for a GPU to name its model"
            )
        shape = Shape(self.cpu_milli, self.memory_mib, self.gpus, self.gpu_milli)
        object.__setattr__(self, "shape", shape)


class Kind(NamedTuple):
    """What a node is made of: nodes of one kind can stand in for one another."""

    cpu_milli: int
    memory_mib: int
    gpus: int
    gpu_model: str

    def can_hold(self, request: Request) -> bool:
        """Whether the request fits on a node of this kind when nothing else runs there."""
        return (
            request.cpu_milli <= self.cpu_milli
            and request.memory_mib <= self.memory_mib
            and request.gpus <= self.gpus
            and (not request.models or self.gpu_model in request.models)
        )


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine of a pool, when nothing runs on it.

    One that is not open keeps what runs on it and is given nothing more.

    Raises
    ------
    InvalidField
        If an amount is out of its range.
    """

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int = 0
    gpu_model: str = ""
    is_open: bool = True

    def __post_init__(self) -> None:
        _check("cpu_milli", self.cpu_milli, 1, CPU_MILLI_LIMIT)
        _check("memory_mib", self.memory_mib, 0, MEMORY_MIB_LIMIT)
        _check("gpus", self.gpus, 0, GPUS_PER_NODE_LIMIT)

    @property
    def kind(self) -> Kind:
        """What it is made of."""
        return Kind(self.cpu_milli, self.memory_mib, self.gpus, self.gpu_model)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a request was put: the node's name, and the GPUs it took there by their numbers."""

    node: str
    gpus: tuple[int, ...]
    request: Request


def _check(field: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        rule = f"give a whole number from {least:,} to {most:,}"
        raise InvalidField(field=field, value=value, rule=rule)
