"""The queue model: what it projects by hand, what it learns, and how it stands a back-test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.compute.simulation.back_test import PREDICTORS, back_test, pinball_s
from haihe.compute.simulation.network import machine
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.waiting import ENOUGH, Outlook, Projection, QueueModel, QueueState
from haihe.kernel.errors import InvalidField

Held = list[tuple[float, tuple[int, ...]]]


def projection(running: Held, ahead: Held, *, capacity: tuple[int, ...] = (8,)) -> Projection:
    """A pool of 8 with so much running and waiting."""
    return Projection(QueueState.of(capacity=capacity, running=running, ahead=ahead))


def test_an_empty_pool_starts_a_job_at_once() -> None:
    assert projection([], []).start_s((8,)) == 0


def test_a_job_waits_until_enough_has_ended() -> None:
    running: Held = [(300.0, (4,)), (100.0, (2,))]
    assert projection(running, []).start_s((2,)) == 0
    assert projection(running, []).start_s((4,)) == 100
    assert projection(running, []).start_s((5,)) == 300


def test_a_job_waits_until_the_work_ahead_is_absorbed() -> None:
    """2 are free for 100 s, then 8: work of 1,000 is absorbed after 100 s + 800 / 8."""
    assert projection([(100.0, (6,))], [(1_000.0, (1,))]).start_s((1,)) == 200


def test_each_resource_is_looked_at() -> None:
    found = projection([(50.0, (1, 4))], [], capacity=(8, 4))
    assert found.start_s((8, 0)) == 50
    assert found.start_s((1, 0)) == 0
    assert found.start_s((1, 1)) == 50


def test_a_job_put_in_line_is_ahead_of_the_next() -> None:
    one = projection([], [])
    one.put_in_line((8,), 100.0)
    assert one.start_s((8,)) == projection([], [(100.0, (8,))]).start_s((8,)) == 100


def test_what_overbooks_a_pool_leaves_nothing_free() -> None:
    assert projection([(10.0, (9,))], []).start_s((1,)) == 10


held = st.lists(
    st.tuples(st.floats(0, 1e6), st.tuples(st.integers(0, 8), st.integers(0, 8))), max_size=12
)


@settings(max_examples=100, deadline=None)
@given(running=held, ahead=held, need=st.tuples(st.integers(0, 8), st.integers(0, 8)))
def test_more_ahead_never_makes_a_start_earlier(
    running: Held, ahead: Held, need: tuple[int, int]
) -> None:
    less = projection(running, ahead, capacity=(8, 8)).start_s(need)
    more = projection(running, [*ahead, (60.0, (1, 1))], capacity=(8, 8)).start_s(need)
    assert 0 <= less <= more * (1 + 1e-9) + 1e-6
    assert np.isfinite(more)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InvalidField, match="free"):
        QueueState(
            capacity=np.array([8]),
            free=np.array([8, 8]),
            running_need=np.zeros((0, 1), dtype=np.int64),
            running_left_s=np.zeros(0),
            ahead_need=np.zeros((0, 1), dtype=np.int64),
            ahead_run_s=np.zeros(0),
        )


# --- learning ------------------------------------------------------------------------------------


def outlook() -> Outlook:
    """A job that has to wait."""
    return projection([(600.0, (8,))], []).outlook((4,), run_s=3_600)


def test_before_anything_was_learned_the_projection_is_the_answer() -> None:
    answer = QueueModel().corrected(outlook())
    assert answer.median_s == 600
    assert answer.p90_s > 600


def test_the_answer_follows_what_was_seen() -> None:
    model = QueueModel()
    for number in range(100):
        model.learn(outlook(), 100.0 + number)
    answer = model.corrected(outlook())
    assert answer.median_s == pytest.approx(150, abs=3)
    assert answer.p90_s == pytest.approx(189, abs=3)


def test_what_is_rare_is_judged_by_what_is_wider() -> None:
    model = QueueModel()
    for _ in range(ENOUGH):
        model.learn(outlook(), 60.0)
    other = projection([(600.0, (8,))], []).outlook((1,), run_s=60)
    assert other.kinds[0] != outlook().kinds[0]
    assert model.corrected(other).median_s == pytest.approx(60)


def test_a_model_goes_on_where_another_stopped() -> None:
    model = QueueModel()
    for number in range(300):
        model.learn(outlook(), float(number))
    kept = json.loads(json.dumps(model.as_dict()))
    assert QueueModel.from_dict(kept).corrected(outlook()) == model.corrected(outlook())


# --- back-test -----------------------------------------------------------------------------------


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    waits_s = np.arange(101.0)
    losses = [pinball_s(waits_s, np.full(101, guess), 0.9) for guess in (50.0, 90.0, 100.0)]
    assert min(losses) == losses[1]


@pytest.mark.parametrize("policy", ["easy", "haihe"])
def test_the_model_predicts_better_than_people_at_the_queue_would(policy: str) -> None:
    workload = make_synthetic(jobs=6_000, procs=256, load=0.8, seed=31)
    rows = {row["predictor"]: row for row in back_test(workload, machine(256), policy)}
    assert set(rows) == set(PREDICTORS)
    model = rows.pop("queue model")
    for row in rows.values():
        assert model["mean_absolute_error_s"] < row["mean_absolute_error_s"]
        assert model["median_absolute_error_s"] <= row["median_absolute_error_s"]
    assert 0.8 <= model["coverage_90"] <= 0.97
