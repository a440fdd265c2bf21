"""Benchmarks of packs: figures and controls from raw predictions."""

from __future__ import annotations

import numpy as np
import pytest

from haihe.kernel.errors import InvalidField
from haihe.packs import RawPredictions, judge

TRUTH = np.array(["left", "right"] * 50)


def raw(**changes: object) -> RawPredictions:
    given = {
        "task": "left_right",
        "method": "plain",
        "ours": False,
        "metric": "accuracy",
        "truth": TRUTH,
        "predicted": TRUTH,
        "groups": np.arange(100),
        "shuffled": [np.roll(TRUTH, 1), TRUTH],
        **changes,
    }
    return RawPredictions(**given)  # type: ignore[arg-type]


def test_a_method_is_judged_beside_its_controls() -> None:
    row = judge(raw())
    assert (row["score"], row["se"], row["cases"]) == (1.0, 0.0, 100)
    assert (row["shuffled"], row["shufflings"]) == (0.5, 2)


def test_a_method_that_learns_nothing_is_compared_with_shuffled_truths() -> None:
    row = judge(raw(shuffled=(), permuted_truth=[np.roll(TRUTH, 1)]))
    assert row["shuffled"] == 0.0


def test_a_belief_is_judged_by_the_area() -> None:
    truth = TRUTH == "left"
    belief = truth * 0.5 + np.linspace(0, 0.9, 100)
    row = judge(raw(metric="roc_auc", truth=truth, predicted=belief, shuffled=[belief[::-1]]))
    assert 0.5 < row["score"] < 1
    assert row["se"] > 0
    assert row["shuffled"] != row["score"]


@pytest.mark.parametrize(
    "changes",
    [
        {"predicted": TRUTH[:-1]},
        {"shuffled": []},
        {"shuffled": [TRUTH[:3]]},
        {"truth": [], "predicted": [], "groups": [], "shuffled": [[]]},
    ],
)
def test_what_cannot_be_judged_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidField, match="left_right plain"):
        judge(raw(**changes))
