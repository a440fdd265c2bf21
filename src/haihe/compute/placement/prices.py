"""What it costs the pool to serve a request: prices from the dual of packing the typical mix.

A linear programme shares the pool out among the typical requests, in proportional fairness (Kelly,
1997): it maximises sum_m  share_m * size_m * log(served_m / share_m), where a request's size is
the part of the pool that it asks for, in GPUs. The logarithm is replaced by chords, so that HiGHS
can solve it. At the optimum, the dual of "no more is served of m than is placed" is the price of
m: what serving one more takes away from all others. It is high for what needs a scarce model, much
CPU or memory, or leaves a rest of a GPU that is of use to nobody.

The fair share-out, and not the largest, because requests come as they come: those that pack well
are not the only ones, and a mix of which one request cannot be served says nothing of the others.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from haihe.compute.placement.mix import Mix
from haihe.compute.placement.model import GPU_MILLI, Kind
from haihe.compute.placement.programme import PoolProgramme
from haihe.compute.placement.state import Floats, State
from haihe.kernel.errors import InvalidField

KINDS_LIMIT = 500
PATTERNS_LIMIT = 500
# Chords of the logarithm between these parts of a pool-full; below the first, twice its slope.
SERVED = 2.0 ** np.arange(-2, 4.25, 0.25)


def prices_of(state: State, mix: Mix) -> Floats:
    """The price of each typical request, in GPUs; (M,), 0 for one that no node can hold.

    Raises
    ------
    InvalidField
        If the nodes are of more than :data:`KINDS_LIMIT` kinds.
    """
    if len(state.kinds) > KINDS_LIMIT:
        rule = f"they may be of at most {KINDS_LIMIT} different sizes"
        raise InvalidField(field="nodes", value=len(state.kinds), rule=rule)
    kinds = Counter[Kind](state.kinds[number] for number in state.kind.tolist())
    programme = PoolProgramme(kinds, mix.requests, patterns_limit=PATTERNS_LIMIT)
    sizes = _sizes(state, mix)
    full = _pool_full(state, mix, sizes)
    rows = np.full(len(mix.share), -1)
    for m, request in enumerate(mix.requests):
        row = programme.row(0.0)
        if programme.place(request, gain=0.0, uses={row: -1.0}):
            rows[m] = row
            _add_chords(programme, row, float(sizes[m]), float(mix.share[m] * full))
    prices = np.zeros(len(mix.share))
    if (rows >= 0).any():
        prices[rows >= 0] = programme.solve().prices[rows[rows >= 0]]
    return np.maximum(prices, 0.0)


def _add_chords(programme: PoolProgramme, row: int, size: float, arrivals: float) -> None:
    """What serving a request is worth, the less the more of it is served."""
    slopes = np.diff(np.log(SERVED)) / np.diff(SERVED)
    widths = np.diff(SERVED, prepend=0.0)
    for slope, width in zip((2 / SERVED[0], *slopes), widths, strict=True):
        programme.column(slope * size, {row: 1.0}, most=width * arrivals)


def _sizes(state: State, mix: Mix) -> Floats:
    """The part of the pool that each request asks for, in GPUs: of its CPUs, if it needs no GPU."""
    gpus = state.gpu_total.sum() / GPU_MILLI
    by_cpu = mix.cpu_milli / state.cpu_total.sum() * gpus
    sizes: Floats = np.where(mix.gpus > 0, mix.gpus * mix.gpu_milli / GPU_MILLI, by_cpu)
    return sizes


def _pool_full(state: State, mix: Mix, sizes: Floats) -> float:
    """How many arrivals ask for all GPUs of the pool."""
    asked = float((mix.share * sizes)[mix.gpus > 0].sum())
    return float(state.gpu_total.sum()) / GPU_MILLI / asked if asked else 0.0
