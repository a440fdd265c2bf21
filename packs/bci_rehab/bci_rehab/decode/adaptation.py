"""Whether a change of a decoder is kept: only if it does better on held data, by a paired test.

A mean that follows the signal may follow an artefact, and what helped in earlier sessions may not
help today. Neither may reach the patient's hand on trust.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bci_rehab.decode.covariance import Floats, Labels
from bci_rehab.errors import TooLittleToLearn

EXACT_GROUPS = 12
SIGN_FLIPS = 4096


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a changed decoder takes the place of the one in use, and why.

    ``improvement`` is the mean fall of log-loss per trial; ``p_value`` how often chance alone gives
    as much; accuracies are per trial.
    """

    kept: bool
    improvement: float
    p_value: float
    accuracy_before: float
    accuracy_after: float
    trials: int


def judge(
    before: Floats,
    after: Floats,
    labels: ArrayLike,
    trials: ArrayLike,
    *,
    classes: ArrayLike,
    level: float = 0.05,
    seed: int = 0,
) -> Verdict:
    """Hold a changed decoder against the one in use, on trials that neither learned from.

    ``before`` and ``after`` are log-probabilities, shape (windows, classes). Log-losses are
    averaged within trials, since windows of a trial are no independent witnesses, and the signs of
    the differences between the two are flipped: all ways for up to :data:`EXACT_GROUPS` trials,
    :data:`SIGN_FLIPS` seeded ones for more.
    """
    names = np.asarray(trials)
    columns = np.searchsorted(np.asarray(classes), np.asarray(labels))
    losses_before, right_before = _by_trial(before, columns, names)
    losses_after, right_after = _by_trial(after, columns, names)
    gains = losses_before - losses_after
    p_value = sign_flip_p(gains, seed=seed)
    accuracy_before, accuracy_after = float(right_before.mean()), float(right_after.mean())
    return Verdict(
        kept=bool(p_value <= level and accuracy_after >= accuracy_before),
        improvement=float(gains.mean()),
        p_value=p_value,
        accuracy_before=accuracy_before,
        accuracy_after=accuracy_after,
        trials=len(gains),
    )


def sign_flip_p(gains: Floats, *, seed: int = 0) -> float:
    """One-sided: the share of sign patterns whose mean gain is at least the one observed."""
    if not len(gains):
        raise TooLittleToLearn(what="whether it helps", found="no trial", needed="held trials")
    count = len(gains)
    if count <= EXACT_GROUPS:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float(np.mean((2 * patterns - 1) @ gains >= gains.sum() - 1e-12))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(SIGN_FLIPS, count))
    reached = int(np.sum(signs @ gains >= gains.sum() - 1e-12))
    return (reached + 1) / (SIGN_FLIPS + 1)


def _by_trial(said: Floats, columns: Labels, names: Labels) -> tuple[Floats, Floats]:
    """Mean log-loss of each trial, and whether its mean log-probability names its class."""
    logarithms = np.clip(said, np.log(1e-12), 0.0)
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse)
    losses = np.bincount(inverse, weights=-logarithms[np.arange(len(columns)), columns]) / sizes
    sums = np.zeros((len(first), logarithms.shape[1]))
    np.add.at(sums, inverse, logarithms)
    right = (sums.argmax(axis=1) == columns[first]).astype(np.float64)
    return losses, right
