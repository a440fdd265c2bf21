"""Evidence: no decision from a single window, none without cause, and the same bits live."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bci_rehab.decode import evidence
from bci_rehab.errors import TooLittleToLearn
from hypothesis import given
from hypothesis import strategies as st

RULE = evidence.Rule(classes=("fists", "feet"), threshold=5.0, half_life_s=1.0, refractory_s=2.0)
rows = st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), max_size=120)


def _times(count: int) -> list[float]:
    return [0.1 * index for index in range(count)]


@given(rows, st.integers(0, 120))
def test_a_stream_stopped_anywhere_and_resumed_decides_as_the_recording_does(
    odds: list[tuple[float, float]], stop: int
) -> None:
    state, live = evidence.begin(RULE), []
    times = _times(len(odds))
    for part in (range(min(stop, len(odds))), range(min(stop, len(odds)), len(odds))):
        for index in part:
            state, decision = evidence.step(RULE, state, odds[index], times[index])
            live += [decision] if decision else []
    assert live == evidence.run(RULE, odds, times)


@given(rows)
def test_no_two_decisions_fall_within_the_refractory_time(odds: list[tuple[float, float]]) -> None:
    decided = [decision.at_s for decision in evidence.run(RULE, odds, _times(len(odds)))]
    assert all(b - a >= RULE.refractory_s for a, b in zip(decided, decided[1:], strict=False))


@given(rows)
def test_a_higher_threshold_is_never_the_first_to_decide(odds: list[tuple[float, float]]) -> None:
    times = _times(len(odds))
    low, high = (
        evidence.run(RULE, odds, times),
        evidence.run(replace(RULE, threshold=8.0), odds, times),
    )
    assert not high or low[0].at_s <= high[0].at_s


def test_one_window_never_decides_above_the_limit_however_sure() -> None:
    assert not evidence.run(RULE, [(1e9, -1e9)], [0.0])
    decisions = evidence.run(RULE, [(1e9, -1e9)] * 2, [0.0, 0.1])
    assert [decision.label for decision in decisions] == ["fists"]


def test_evidence_halves_in_its_half_life() -> None:
    rule = replace(RULE, gap_s=2.0)
    state, _ = evidence.step(rule, evidence.begin(rule), (2.0, 0.0), 0.0)
    state, _ = evidence.step(rule, state, (0.0, 0.0), 1.0)
    assert state.log_odds == (1.0, 0.0)


def test_a_gap_or_an_unusable_window_adds_nothing() -> None:
    state, _ = evidence.step(RULE, evidence.begin(RULE), (4.0, 0.0), 0.0)
    after_gap, _ = evidence.step(RULE, state, (1.0, 0.0), 0.6)
    assert after_gap.log_odds == (1.0, 0.0)
    unusable, decision = evidence.step(RULE, state, (float("nan"), 9.0), 0.1, usable=False)
    assert decision is None
    assert unusable.log_odds[0] < 4.0
    assert unusable.log_odds[1] == 0.0


def test_time_that_runs_backwards_and_values_that_are_no_numbers_are_refused() -> None:
    state, _ = evidence.step(RULE, evidence.begin(RULE), (0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="after one at"):
        evidence.step(RULE, state, (0.0, 0.0), 0.9)
    with pytest.raises(ValueError, match="not a number"):
        evidence.step(RULE, state, (float("nan"), 0.0), 1.1)


def test_the_calibrated_threshold_keeps_new_rest_below_the_wanted_rate() -> None:
    rng = np.random.default_rng(7)

    def rest(minutes: int) -> tuple[list[list[float]], list[float]]:
        count = minutes * 600
        values = rng.normal(-0.5, 2.0, (count, 2)).tolist()
        return values, _times(count)

    found = evidence.calibrate(RULE, [rest(10)], wanted_per_min=1.0)
    assert found.upper_per_min <= 1.0
    fresh, times = rest(30)
    assert len(evidence.run(found.rule, fresh, times)) / 30.0 <= 1.0
    lower = replace(found.rule, threshold=0.5 * found.rule.threshold)
    assert len(evidence.run(lower, fresh, times)) / 30.0 > 1.0


def test_too_little_rest_is_said_with_the_minutes_needed() -> None:
    idle = ([[0.0, 0.0]] * 600, _times(600))
    with pytest.raises(TooLittleToLearn) as caught:
        evidence.calibrate(RULE, [idle], wanted_per_min=0.5)
    assert "6.0 min" in str(caught.value)


def test_the_upper_bound_is_garwoods() -> None:
    assert evidence.upper_rate(0, 1.0) == pytest.approx(2.9957, abs=1e-3)
    assert evidence.upper_rate(3, 10.0) == pytest.approx(0.7754, abs=1e-3)


def test_log_odds_leave_rest_out() -> None:
    odds = evidence.log_odds_of([[0.8, 0.15, 0.05]], ["rest", "feet", "fists"], rest="rest")
    assert odds.shape == (1, 2)
    assert odds[0, 0] == pytest.approx(np.log(0.15 / 0.85))
