"""The typical mix: what history says the next requests will look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from haihe.compute.placement.model import Request
from haihe.compute.placement.state import Flags, Floats, Ints
from haihe.kernel.errors import InvalidField

TYPICAL_SHARE = 0.95
TYPICAL_LIMIT = 400

History = Mapping[Request, int]


@dataclass(frozen=True, kw_only=True)
class Mix:
    """M typical requests and how often each comes.

    Attributes
    ----------
    requests : the M requests.
    cpu_milli, memory_mib, gpus, gpu_milli : (M,) what each asks for; ``gpu_milli`` per GPU.
    open_to : (M, models) whether a GPU model will do for it.
    share : (M,) its share of arrivals; sums to one.
    """

    requests: tuple[Request, ...]
    cpu_milli: Ints
    memory_mib: Ints
    gpus: Ints
    gpu_milli: Ints
    open_to: Flags
    share: Floats


def typical(history: History, models: tuple[str, ...], *, with_memory: bool = True) -> Mix:
    """The most frequent requests that together make up :data:`TYPICAL_SHARE` of history.

    Parameters
    ----------
    history : how often each request was made.
    models : the GPU models of the pool.
    with_memory : whether requests that differ in memory alone are different.

    Raises
    ------
    InvalidField
        If the history is empty.
    """
    counts: Counter[Request] = Counter()
    for request, count in history.items():
        counts[request if with_memory else _without_memory(request)] += count
    total = counts.total()
    if total <= 0:
        raise InvalidField(field="history", value=total, rule="give at least one past request")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], _order(item[0])))
    chosen: list[tuple[Request, int]] = []
    covered = 0
    for request, count in ranked[:TYPICAL_LIMIT]:
        if covered >= TYPICAL_SHARE * total:
            break
        chosen.append((request, count))
        covered += count
    requests = [request for request, _ in chosen]
    return Mix(
        requests=tuple(requests),
        cpu_milli=np.array([request.cpu_milli for request in requests]),
        memory_mib=np.array([request.memory_mib for request in requests]),
        gpus=np.array([request.gpus for request in requests]),
        gpu_milli=np.array([request.gpu_milli for request in requests]),
        open_to=np.array(
            [[not r.models or model in r.models for model in models] for r in requests]
        ),
        share=np.array([count / covered for _, count in chosen]),
    )


def _without_memory(request: Request) -> Request:
    return Request(
        cpu_milli=request.cpu_milli,
        memory_mib=0,
        gpus=request.gpus,
        gpu_milli=request.gpu_milli,
        models=request.models,
    )


def _order(request: Request) -> tuple[object, ...]:
    """An order among equally frequent requests: the largest first, as the artifact has it."""
    return (
        -request.cpu_milli,
        -request.gpu_milli,
        -request.gpus,
        -request.memory_mib,
        sorted(request.models),
    )
