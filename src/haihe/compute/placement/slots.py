"""What a piece of a GPU is worth: the dual prices of cutting GPUs into the shares asked for.

Shares of a GPU are a cutting-stock problem (Gilmore and Gomory, 1961): cut as few GPUs as possible
into pieces of the sizes that the typical mix asks for. The dual of its linear programme prices each
size in GPUs: where two fit, a half; where one fits and the rest is of no use to anybody, a whole.
A piece with room r is worth the best that can be cut from it,

    worth(r) = max  sum_s n_s * price_s   subject to   sum_s n_s * s <= r,

and putting a share of size s there costs worth(r) - worth(r - s). The price of s is the least that
this can be; anything above it is waste, and this says so before the waste is there.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from haihe.compute.placement.mix import Mix
from haihe.compute.placement.model import GPU_MILLI
from haihe.compute.placement.state import Floats, Ints

STEPS_PER_GPU = 1_000_000
PAIRS_LIMIT = 20_000  # of a room and a size that fits there
GRIDS_MILLI = (1, 10, 20, 50)


def worth_of_pieces(mix: Mix) -> Ints:
    """The worth of a GPU with so much room, in millionths of a GPU; (1001,), never falling."""
    shared = (mix.gpus == 1) & (mix.gpu_milli < GPU_MILLI)
    worth = np.zeros(GPU_MILLI + 1)
    if shared.any():
        sizes, which = np.unique(_on_grid(mix.gpu_milli[shared]), return_inverse=True)
        demand = np.bincount(which, weights=mix.share[shared]).astype(np.float64)
        prices = cutting_prices(sizes, demand)
        for room in range(1, GPU_MILLI + 1):
            small = sizes <= room
            best = (worth[room - sizes[small]] + prices[small]).max(initial=0.0)
            worth[room] = max(worth[room - 1], best)
    worth[GPU_MILLI] = 1.0
    return np.rint(worth * STEPS_PER_GPU).astype(np.int64)


def _on_grid(sizes: Ints) -> Ints:
    """Sizes rounded up to the finest grid on which they make a small enough programme."""
    for grid in GRIDS_MILLI:
        rounded: Ints = -(-sizes // grid) * grid
        different = np.unique(rounded)
        unit = gcd(GPU_MILLI, *different.tolist())
        if len(different) * (GPU_MILLI // unit) <= PAIRS_LIMIT:
            break
    return rounded


def cutting_prices(sizes: Ints, demand: Floats) -> Floats:
    """The price of each size in GPUs, such that no way of cutting one GPU is worth more than one.

    The dual is solved as it stands, over the worth of every room instead of over all ways of
    cutting: maximise sum_s demand_s * price_s subject to worth(r) >= worth(r - s) + price_s and
    worth(GPU) <= 1, with rooms in units of the greatest common divisor of the sizes.

    Parameters
    ----------
    sizes : (S,) different sizes, in milli-GPUs, below one GPU.
    demand : (S,) how often each is asked for.
    """
    import scipy.sparse as sparse  # seconds, which only who solves should pay
    from scipy.optimize import linprog

    unit = gcd(GPU_MILLI, *sizes.tolist())
    rooms, steps = GPU_MILLI // unit, sizes // unit
    price_at = rooms + 1 + np.arange(len(sizes))
    pairs = [(room, index) for index, step in enumerate(steps) for room in range(step, rooms + 1)]
    room, index = np.array(pairs).T
    row = np.arange(len(pairs))
    ones = np.ones(len(pairs))
    constraints = sparse.csr_matrix(
        (
            np.concatenate([ones, ones, -ones]),
            (np.tile(row, 3), np.concatenate([room - steps[index], price_at[index], room])),
        ),
        shape=(len(pairs), rooms + 1 + len(sizes)),
    )
    most = np.ones(rooms + 1 + len(sizes))
    most[0] = 0.0
    answer = linprog(
        np.concatenate([np.zeros(rooms + 1), -demand]),
        A_ub=constraints,
        b_ub=np.zeros(len(pairs)),
        bounds=np.column_stack([np.zeros_like(most), most]),
        method="highs",
    )
    if answer.x is None:
        raise RuntimeError(answer.message)
    prices: Floats = np.maximum(answer.x[price_at], 0.0)
    return prices
