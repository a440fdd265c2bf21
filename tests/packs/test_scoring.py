"""The figures, against definitions written out the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from haihe.packs.scoring import (
    accuracy,
    area,
    at_threshold,
    calibration,
    decisions,
    information_rate,
    normalised_matthews,
    proportion,
    roc_auc,
)

Z = stats.norm.ppf(0.975)
# Few distinct scores, so that ties are common.
samples = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=6, max_size=40).filter(
    lambda rows: 2 <= sum(truth for truth, _ in rows) <= len(rows) - 2
)


def arrays(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([truth for truth, _ in rows]), np.array([score / 6 for _, score in rows])


def simulated(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = expit(rng.normal(scale=2, size=rows))
    return rng.random(rows) < score, score


def delong_by_definition(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Area and variance from every pair (DeLong, DeLong, Clarke-Pearson 1988)."""
    positives, negatives = score[truth], score[~truth]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    variance = wins.mean(axis=1).var(ddof=1) / len(positives)
    variance += wins.mean(axis=0).var(ddof=1) / len(negatives)
    return wins.mean(), variance


@settings(max_examples=300, deadline=None)
@given(samples)
def test_the_area_and_its_interval_are_delongs(rows: list[tuple[bool, int]]) -> None:
    truth, score = arrays(rows)
    found = roc_auc(truth, score, groups=np.arange(len(truth)))
    area, variance = delong_by_definition(truth, score)
    assert found.value == pytest.approx(area, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert found.low == pytest.approx(max(0, area - Z * variance**0.5), abs=1e-7)
    assert found.high == pytest.approx(min(1, area + Z * variance**0.5), abs=1e-7)


def test_the_standard_error_of_an_area_is_what_it_spreads_by() -> None:
    found = [area(*simulated(200, seed), groups=np.arange(200)) for seed in range(300)]
    spread = np.std([one.value for one in found], ddof=1)
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=40), st.integers(0, 9), st.data())
def test_accuracy_counts_classes_and_clusters(
    truth: list[str], seed: int, data: st.DataObject
) -> None:
    predicted = data.draw(
        st.lists(st.sampled_from("abc"), min_size=len(truth), max_size=len(truth))
    )
    known, said = np.array(truth), np.array(predicted)
    one = accuracy(known, said, groups=np.arange(len(truth)))
    assert one.value == np.mean([a == b for a, b in zip(truth, predicted, strict=True)])
    assert one.error == pytest.approx(
        (one.value * (1 - one.value) / (len(truth) - 1)) ** 0.5, abs=1e-12
    )
    twice = accuracy(np.tile(known, 2), np.tile(said, 2), groups=np.tile(np.arange(len(truth)), 2))
    assert twice.value == pytest.approx(one.value)
    assert twice.error == pytest.approx(one.error), "saying a thing twice makes it no surer"
    assert accuracy(known, said, groups=np.zeros(len(truth))).error is None


@settings(max_examples=100, deadline=None)
@given(samples, st.integers(2, 4))
def test_repeating_a_patients_rows_does_not_narrow_the_interval(
    rows: list[tuple[bool, int]], times: int
) -> None:
    truth, score = arrays(rows)
    once = roc_auc(truth, score, groups=np.arange(len(truth)))
    groups = np.tile(np.arange(len(truth)), times)
    often = roc_auc(np.tile(truth, times), np.tile(score, times), groups=groups)
    assert [often.value, often.low, often.high] == pytest.approx(
        [once.value, once.low, once.high], abs=1e-7
    )


@pytest.mark.parametrize("clustered", [False, True])
def test_the_interval_agrees_with_a_bootstrap_of_patients(clustered: bool) -> None:
    rng = np.random.default_rng(1)
    patients = 150
    rows = np.repeat(np.arange(patients), 3) if clustered else np.arange(patients)
    own = rng.normal(size=patients)[rows]
    truth = rng.random(len(rows)) < expit(own)
    score = expit(own + rng.normal(size=patients)[rows] + 0.3 * rng.normal(size=len(rows)))
    found = roc_auc(truth, score, groups=rows)

    members = [np.flatnonzero(rows == patient) for patient in range(patients)]
    areas = []
    for _ in range(1_500):
        drawn = np.concatenate([members[p] for p in rng.integers(patients, size=patients)])
        areas.append(roc_auc_score(truth[drawn], score[drawn]))
    assert (found.high - found.low) / 2 / Z == pytest.approx(np.std(areas), rel=0.1)


def test_perfect_separation_and_a_single_patient_say_what_little_they_show() -> None:
    truth, score = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.8, 0.9])
    perfect = roc_auc(truth, score, groups=np.arange(4))
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    one_patient = roc_auc(truth, score, groups=np.array([1, 2, 3, 3]))
    assert (one_patient.value, one_patient.low, one_patient.high) == (1, 0, 1)


def test_scores_that_are_the_true_probabilities_are_calibrated() -> None:
    truth, score = simulated(20_000)
    found = calibration(truth, score)
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.intercept == pytest.approx(0, abs=0.05)
    assert found.expected_error < 0.015


def test_doubling_the_log_odds_halves_the_slope() -> None:
    truth, score = simulated(400)
    before = calibration(truth, score)
    after = calibration(truth, expit(2 * logit(score)))
    assert after.slope == pytest.approx(before.slope / 2, rel=1e-4)
    assert after.intercept == pytest.approx(before.intercept, abs=1e-4)


@pytest.mark.parametrize(
    "score",
    [[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.1, 0.5, 0.5, 0.9], [0.3, 0.3, 0.3, 0.3]],
)
def test_where_no_line_fits_there_is_none(score: list[float]) -> None:
    found = calibration(np.array([False, False, True, True]), np.array(score))
    assert (found.slope, found.intercept) == (None, None)


def test_the_expected_error_is_the_weighted_distance_of_bins() -> None:
    truth = np.array([True, False, True, True])
    found = calibration(truth, np.array([0.05, 0.05, 0.95, 1.0]))
    assert [(part.rows, part.low, part.high) for part in found.bins] == [(2, 0, 0.1), (2, 0.9, 1)]
    assert found.expected_error == pytest.approx((2 * abs(0.05 - 0.5) + 2 * abs(0.975 - 1)) / 4)


def test_scores_of_zero_and_one_are_taken() -> None:
    truth = np.array([False, True, False, True, True])
    found = calibration(truth, np.array([0.0, 1.0, 1.0, 0.0, 0.5]))
    assert found.slope is not None


@pytest.mark.parametrize(
    ("count", "total", "low", "high"), [(285, 300, 0.919, 0.972), (900, 1000, 0.880, 0.918)]
)
def test_a_proportion_has_its_exact_interval(
    count: int, total: int, low: float, high: float
) -> None:
    found = proportion(count, total)
    assert found.value == count / total
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_a_proportion_of_nothing_has_no_value() -> None:
    assert proportion(0, 0).value is None


def test_sensitivity_and_specificity_count_the_right_cases() -> None:
    truth = np.array([True, True, True, False, False])
    found = at_threshold(truth, np.array([0.5, 0.9, 0.4, 0.6, 0.1]), threshold=0.5)
    assert (found.sensitivity.count, found.sensitivity.total) == (2, 3)
    assert (found.specificity.count, found.specificity.total) == (1, 2)
    assert (found.accuracy.count, found.accuracy.total) == (3, 5)


def test_errors_are_counted_among_decided_cases_only() -> None:
    truth = np.array([True, True, False, False, False, True])
    decided = np.array([True, True, True, True, False, False])
    positive = np.array([True, False, True, False, True, False])
    found = decisions(truth, decided=decided, positive=positive)
    assert (found.coverage.count, found.coverage.total) == (4, 6)
    assert (found.error.count, found.error.total) == (2, 4)
    assert (found.false_omission.count, found.false_omission.total) == (1, 2)
    assert (found.false_discovery.count, found.false_discovery.total) == (1, 2)


def test_the_information_rate_is_wolpaws_and_nothing_at_chance() -> None:
    assert information_rate(1.0, classes=4, choices_per_min=10.0) == pytest.approx(20.0)
    assert information_rate(0.9, classes=4, choices_per_min=1.0) == pytest.approx(1.3725, abs=1e-4)
    assert information_rate(0.5, classes=2, choices_per_min=10.0) == 0.0
    assert information_rate(0.2, classes=2, choices_per_min=10.0) == 0.0


def test_the_normalised_correlation_is_half_for_a_guesser_and_one_for_the_truth() -> None:
    truth = np.array(["rest"] * 6 + ["left", "right"])
    assert normalised_matthews(truth, truth) == 1.0
    assert normalised_matthews(truth, np.full(8, "rest")) == 0.5
