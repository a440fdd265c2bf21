"""Policies by hand: small cases whose starts anybody can work out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from haihe.compute.simulation.engine import replay
from haihe.compute.simulation.figures import figures_of
from haihe.compute.simulation.network import machine
from haihe.compute.simulation.policies import FAIR_S, WORK_S
from haihe.compute.simulation.prediction import RunTimePredictor, corrected_end_s
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.workload import MILLI, Workload, make_workload

HOUR_S = 3_600
Job = tuple[float, float, float, int]  # submitted, run, requested, processors


def log_of(*jobs: Job) -> Workload:
    """A log of a few jobs."""
    submit, run, requested, size = np.array(jobs, dtype=float).T
    return make_workload(
        name="by hand",
        submit_s=submit,
        run_s=run,
        requested_s=requested,
        cpu_milli=(size * MILLI).astype(int),
    )


def starts(policy: str, procs: int, *jobs: Job) -> list[float]:
    """When each job starts."""
    found: list[float] = replay(log_of(*jobs), machine(procs), policy).start_s.tolist()
    return found


def test_easy_fills_a_hole_with_what_ends_before_the_head_starts() -> None:
    jobs = [(0, 100, 100, 6), (1, 50, 50, 8), (2, 90, 90, 2)]
    assert starts("fcfs", 8, *jobs) == [0, 100, 150]
    assert starts("easy", 8, *jobs) == [0, 100, 2]


def test_easy_lets_pass_what_fits_beside_the_head() -> None:
    """At 100 the head takes 5 of 8; of the 3 beside it a long job may take 2 and not 4."""
    running, head = (0, 100, 100, 6), (1, 50, 50, 5)
    assert starts("easy", 8, running, head, (2, 500, 500, 2))[2] == 2
    assert starts("easy", 10, running, head, (2, 500, 500, 4))[2] == 2
    assert starts("easy", 8, running, head, (2, 500, 500, 4))[2] == 150


def test_easy_takes_back_a_spare_that_was_used() -> None:
    """Two long jobs of 2 would fit beside the head one by one, and not both."""
    found = starts("easy", 8, (0, 100, 100, 4), (1, 50, 50, 5), (2, 500, 500, 2), (3, 500, 500, 2))
    assert found == [0, 100, 2, 150]


def test_easy_goes_by_requested_time_and_not_by_run_time() -> None:
    """The third job would end in time, and asks for longer."""
    assert starts("easy", 8, (0, 100, 100, 6), (1, 50, 50, 8), (2, 90, 99, 2))[2] == 150


def test_easy_uses_the_time_that_an_early_end_gives_back() -> None:
    assert starts("easy", 8, (0, 30, 100, 6), (1, 50, 50, 8), (2, 10, 10, 2)) == [0, 30, 2]


def test_what_ends_and_what_is_submitted_at_one_instant_meet() -> None:
    assert starts("fcfs", 8, (0, 100, 100, 8), (100, 10, 10, 8)) == [0, 100]


def test_haihe_serves_the_shorter_of_two_first() -> None:
    found = starts(
        "haihe", 8, (0, HOUR_S, HOUR_S, 8), (1, 4 * HOUR_S, 4 * HOUR_S, 8), (2, 60, 60, 8)
    )
    assert found == [0, HOUR_S + 60, HOUR_S]


def test_haihe_lets_organisations_take_turns() -> None:
    """Four jobs of one, and one of another a second later: each has its own part of two."""
    jobs = [(0, HOUR_S, HOUR_S, 8)] * 4 + [(1, HOUR_S, HOUR_S, 8)]
    columns = {**log_of(*jobs).columns, "organisation": np.array([0, 0, 0, 0, 1])}
    done = replay(make_workload(name="two", **columns), machine(8), "haihe")
    assert np.argsort(done.start_s).tolist() == [0, 1, 4, 2, 3]


def test_a_turn_is_never_later_than_was_promised() -> None:
    """The longest job of the greediest organisation, behind an endless stream of short ones."""
    days = 12
    stream_s = np.arange(0, days * 24 * HOUR_S, 600.0)
    log = make_workload(
        name="stream",
        submit_s=[0, 1, *stream_s],
        run_s=[600, 48 * HOUR_S, *np.full(stream_s.size, 600)],
        cpu_milli=8 * MILLI,
        organisation=[0, 0, *np.full(stream_s.size, 1)],
    )
    long = int(np.argmax(log.run_s))
    done = replay(log, machine(8), "haihe")
    waited_s = done.start_s[long] - log.submit_s[long]
    assert 24 * HOUR_S < waited_s <= WORK_S + FAIR_S + 1_200


@pytest.mark.parametrize(("procs", "load", "seed"), [(128, 0.9, 21), (512, 0.8, 22)])
def test_haihe_is_better_than_easy_where_it_matters_and_level_elsewhere(
    procs: int, load: float, seed: int
) -> None:
    workload = make_synthetic(jobs=8_000, procs=procs, load=load, seed=seed)
    easy, haihe = (figures_of(replay(workload, machine(procs), p)) for p in ("easy", "haihe"))
    assert haihe["bounded_slowdown"] < 0.8 * easy["bounded_slowdown"]
    assert haihe["utilisation"] > 0.97 * easy["utilisation"]
    assert haihe["max_wait_s"] < easy["max_wait_s"] + WORK_S + FAIR_S


# --- what is learned of run times ----------------------------------------------------------------


def test_people_are_believed_until_they_were_seen() -> None:
    assert RunTimePredictor().predict_s(1, 1, 7_200, "small") == 7_200


def test_a_regular_is_judged_by_what_the_same_job_did() -> None:
    predictor = RunTimePredictor()
    for _ in range(20):
        predictor.learn(1, 1, 7_200, "small", run_s=720)
        predictor.learn(2, 1, 7_200, "small", run_s=7_200)
    assert predictor.predict_s(1, 1, 7_200, "small") == pytest.approx(720, rel=0.5)
    assert predictor.predict_s(2, 1, 7_200, "small") == pytest.approx(7_200, rel=0.2)
    newcomer_s = predictor.predict_s(3, 1, 7_200, "small")
    assert 720 < newcomer_s < 7_200


def test_a_job_that_overruns_is_planned_twice_as_long_up_to_its_limit() -> None:
    assert corrected_end_s(start_s=100, planned_end_s=200, requested_s=1_000) == 300
    assert corrected_end_s(start_s=100, planned_end_s=900, requested_s=1_000) == 1_100
