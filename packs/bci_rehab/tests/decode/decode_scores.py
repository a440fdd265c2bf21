"""The tests' own scorer of raw predictions; run as a script, it prints the table."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
from bci_rehab.decode.tasks import TASKS, Predictions, RawPredictions, run_tasks
from sklearn.metrics import roc_auc_score


def scored(raw: RawPredictions) -> tuple[float, float, float]:
    """Score, its standard error, and the mean score of the shuffled controls."""
    score, error = _score(raw, raw.predictions)
    turns = np.unique(raw.shuffled.permutation)
    controls = [_score(raw, _turn(raw.shuffled, turn))[0] for turn in turns]
    return score, error, float(np.mean(controls)) if controls else float("nan")


def _score(raw: RawPredictions, table: Predictions) -> tuple[float, float]:
    """Mean over subjects; for one subject, binomial error, or the spread over folds of the AUC."""
    truth = np.array([raw.truth[str(row)] for row in table.ids])
    if raw.metric == "auc":
        values = table.scores[:, -1] - table.scores[:, 0]
        by_fold = [
            roc_auc_score(truth[kept] == raw.classes[-1], values[kept])
            for kept in (table.folds == fold for fold in np.unique(table.folds))
        ]
        return float(np.mean(by_fold)), float(np.std(by_fold, ddof=1) / np.sqrt(len(by_fold)))
    right = truth == table.predicted
    shares = [right[table.groups == group].mean() for group in np.unique(table.groups)]
    score = float(np.mean(shares))
    if len(shares) > 1:
        return score, float(np.std(shares, ddof=1) / np.sqrt(len(shares)))
    trials = len(
        {
            row if raw.task != "fists_feet_causal_window" else row.rsplit("/", 1)[0]
            for row in map(str, table.ids)
        }
    )
    return score, float(np.sqrt(score * (1.0 - score) / trials))


def _turn(table: Predictions, turn: int) -> Predictions:
    kept = table.permutation == turn
    return Predictions(
        ids=table.ids[kept],
        groups=table.groups[kept],
        folds=table.folds[kept],
        permutation=table.permutation[kept],
        predicted=table.predicted[kept],
        scores=table.scores[kept],
    )


if __name__ == "__main__":
    shared = Path(os.environ.get("HAIHE_SHARED", Path(__file__).parents[5] / "shared"))
    for task_name in sys.argv[1:] or list(TASKS):
        begun = time.monotonic()
        folder = shared / "data" / "bci" / TASKS[task_name].folder
        for raw in run_tasks((task_name,), folder):
            numbers = "  ".join(f"{value:.3f}" for value in scored(raw))
            print(
                f"{task_name:26} {numbers}  {time.monotonic() - begun:5.1f} s  "
                f"{'ours ' if raw.ours else 'plain'} {raw.method}",
                flush=True,
            )
            begun = time.monotonic()
