"""Benchmarks of packs: figures and controls from raw predictions."""

from __future__ import annotations

import numpy as np
import pytest

from haihe.kernel.errors import InvalidField
from haihe.packs import RawPredictions, RawStream, Trial, judge, judge_streams

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
    assert (row["chance"], row["shuffled"], row["shufflings"]) == (0.5, 0.5, 2)
    assert row["shuffled_se"] == pytest.approx(0.5)


def test_a_method_that_learns_nothing_is_compared_with_shuffled_truths() -> None:
    row = judge(raw(shuffled=(), permuted_truth=[np.roll(TRUTH, 1)]))
    assert row["shuffled"] == 0.0
    assert row["shuffled_se"] is None


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


def stream(name: str = "run 1", **changes: object) -> RawStream:
    """A minute with two trials: the first is hit, the second missed, and one trigger is false."""
    given: dict[str, object] = {
        "name": name,
        "duration_s": 60.0,
        "truth": np.array(["rest", "left", "right", "rest"]),
        "predicted": np.array(["rest", "left", "rest", "rest"]),
        "trials": [
            Trial(begin_s=10.0, end_s=14.0, label="left"),
            Trial(begin_s=30.0, end_s=34.0, label="right"),
        ],
        "triggers": [(11.0, "left"), (13.0, "right"), (50.0, "left")],
        **changes,
    }
    return RawStream(**given)  # type: ignore[arg-type]


def test_a_trials_first_trigger_counts_and_one_at_rest_is_false() -> None:
    row = judge_streams([stream()])
    assert (row["hits"], row["wrong"], row["misses"], row["false_triggers"]) == (1, 0, 1, 1)
    assert row["false_per_min"] == pytest.approx(1 / (51 / 60))
    assert row["bit_per_min"] == 0.0, "one of the two choices was right"
    assert row["bit_per_min_of_trials"] == 0.0, "one of the two trials was hit"
    assert row["nmcc_sd"] is None


def test_a_trigger_late_by_the_grace_belongs_to_its_trial() -> None:
    late = [(14.4, "left"), (34.6, "right")]
    row = judge_streams([stream(triggers=late)], grace_s=0.5)
    assert (row["hits"], row["misses"], row["false_triggers"]) == (1, 1, 1)


def test_a_stream_that_was_read_without_error_has_all_its_information() -> None:
    triggers = [(11.0, "left"), (31.0, "right")]
    perfect = stream(predicted=stream().truth, triggers=triggers)
    row = judge_streams([perfect, stream()])
    assert row["runs"][0]["nmcc"] == 1.0
    assert row["runs"][0]["bit_per_min"] == pytest.approx(2.0)
    assert row["bit_per_min"] == pytest.approx(1.0)
    assert row["bit_per_min_of_trials"] == pytest.approx(1.0)
    assert row["nmcc_sd"] > 0.0
    assert row["trials"] == 4


def test_answering_rest_always_is_worth_no_more_than_guessing() -> None:
    said = stream(predicted=np.array(["rest"] * 4), triggers=[])
    assert judge_streams([said])["nmcc"] == 0.5


@pytest.mark.parametrize(
    "changes", [{"truth": np.array([])}, {"duration_s": 5.0}, {"trials": []}, {"predicted": ["x"]}]
)
def test_a_stream_that_cannot_be_judged_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidField):
        judge_streams([stream(**changes)])
    with pytest.raises(InvalidField):
        judge_streams([])


def test_a_miss_costs_time_and_is_an_error_only_among_trials() -> None:
    row = judge_streams([stream(triggers=[(11.0, "left")])])
    assert row["bit_per_min"] == pytest.approx(1.0)
    assert row["bit_per_min_of_trials"] == 0.0
