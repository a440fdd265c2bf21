"""Benchmarks of packs: the pack hands in raw predictions, the platform gives the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from haihe.kernel.errors import InvalidField

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from haihe.packs.scoring import Estimate


@dataclass(frozen=True, kw_only=True)
class RawPredictions:
    """What one method said of cases whose truth was kept from it.

    Attributes
    ----------
    metric : str
        ``accuracy``: ``predicted`` are classes. ``roc_auc``: ``truth`` is true or false, and
        ``predicted`` grows with the belief that it is true.
    groups : array of shape (cases,)
        Cases of one group are not independent: windows of a trial, trials of a person.
    shuffled : sequence of arrays of shape (cases,)
        What the same method said after learning from labels that were shuffled; empty, if it
        learns from none. Then ``permuted_truth`` holds shuffled truths to compare with instead.
    """

    task: str
    method: str
    ours: bool
    metric: Literal["accuracy", "roc_auc"]
    truth: ArrayLike
    predicted: ArrayLike
    groups: ArrayLike
    shuffled: Sequence[ArrayLike] = ()
    permuted_truth: Sequence[ArrayLike] = ()


def judge(raw: RawPredictions) -> dict[str, Any]:
    """The row of a method: its score, the standard error, and the mean score of its controls.

    Raises
    ------
    InvalidField
        If lengths differ, there is no case, or there is no control.
    """
    cases = len(raw.truth)  # type: ignore[arg-type]
    columns = [raw.predicted, raw.groups, *raw.shuffled, *raw.permuted_truth]
    lengths = {len(column) for column in columns}  # type: ignore[arg-type]
    if lengths != {cases} or not cases:
        raise InvalidField(
            field=f"{raw.task} {raw.method}", value=cases, rule="give each case one prediction"
        )
    controls = [_figure(raw.metric, raw.truth, said, raw.groups) for said in raw.shuffled]
    controls += [
        _figure(raw.metric, true, raw.predicted, raw.groups) for true in raw.permuted_truth
    ]
    if not controls:
        raise InvalidField(
            field=f"{raw.task} {raw.method}",
            value="no control",
            rule="shuffle labels at least once",
        )
    found = _figure(raw.metric, raw.truth, raw.predicted, raw.groups)
    return {
        "task": raw.task,
        "method": raw.method,
        "ours": raw.ours,
        "metric": raw.metric,
        "cases": cases,
        "score": found.value,
        "se": found.error,
        "shuffled": sum(control.value for control in controls) / len(controls),
        "shufflings": len(controls),
    }


def _figure(metric: str, truth: ArrayLike, said: ArrayLike, groups: ArrayLike) -> Estimate:
    import numpy as np

    from haihe.packs.scoring import accuracy, area

    if metric == "roc_auc":
        return area(
            np.asarray(truth, dtype=bool), np.asarray(said, np.float64), groups=np.asarray(groups)
        )
    return accuracy(np.asarray(truth), np.asarray(said), groups=np.asarray(groups))
