"""Choosing a centre: filters and scores, and that room changes no score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.compute.domain import Capacity, Objective
from haihe.compute.domain.choice import (
    MOVE_MARGIN,
    WEIGHTS,
    PoolFacts,
    Wish,
    choose,
    facts_as_dict,
    facts_from,
    replay,
    should_move,
)

WHOLE = Capacity(64_000, 1 << 38, 8_000)


def wish(**fields: Any) -> Wish:
    asked: dict[str, Any] = {
        "objective": "balanced", "cpu_milli": 1_000, "memory_bytes": 1 << 30, "gpu_milli": 0,
        "nodes": 1, "wall_s": 3_600,
    }  # fmt: skip
    return Wish(**{**asked, **fields})


def pool(name: str, price: int | None = 10, **fields: Any) -> PoolFacts:
    known: dict[str, Any] = {
        "whole": WHOLE, "free": WHOLE, "largest": WHOLE, "fitting_nodes": 1,
        "amount_micro": price, "payable_micro": price,
    }  # fmt: skip
    return PoolFacts(pool=name, **{**known, **fields})


def scores(asked: Wish, *pools: PoolFacts) -> dict[str, float | None]:
    return {verdict.pool: verdict.score for verdict in choose(asked, pools).verdicts}


pools_of_any_kind = st.lists(
    st.builds(
        pool,
        st.just("x"),
        st.none() | st.integers(0, 10**9),
        is_open=st.booleans(),
        start_s=st.floats(0, 1e6),
        bytes_to_move=st.integers(0, 10**12),
        link_bytes_per_s=st.none() | st.integers(1, 10**9),
        energy_wh=st.none() | st.floats(0, 1e6),
        carbon_g=st.none() | st.floats(0, 1e6),
        reliability=st.floats(0, 1),
        has_room=st.booleans(),
    ),
    max_size=6,
).map(lambda found: [replace(one, pool=f"c{n}/p") for n, one in enumerate(found)])
wishes = st.builds(
    wish,
    objective=st.sampled_from(list(Objective)),
    wall_s=st.integers(1, 10**6),
    deadline_in_s=st.none() | st.floats(0, 1e7),
)


@given(wishes, pools_of_any_kind, st.randoms())
def test_who_has_room_or_is_in_time_changes_no_score_and_no_order(
    asked: Wish, pools: list[PoolFacts], rng: Any
) -> None:
    before = choose(asked, [replace(one, has_room=True) for one in pools])
    order = sorted(
        (v for v in before.verdicts if v.score is not None), key=lambda v: (-(v.score or 0), v.pool)
    )
    changed = [replace(one, has_room=rng.random() < 0.5) for one in pools]
    after = choose(asked, changed)
    assert {v.pool: v.score for v in before.verdicts} == {v.pool: v.score for v in after.verdicts}
    able = {verdict.pool for verdict in after.verdicts if verdict.passed}
    assert after.chosen == next((verdict.pool for verdict in order if verdict.pool in able), None)
    in_time = choose(replace(asked, deadline_in_s=None), pools)
    assert {v.pool: v.score for v in in_time.verdicts} == {v.pool: v.score for v in after.verdicts}


@given(wishes, pools_of_any_kind)
def test_a_score_is_the_weighted_sum_of_terms_between_0_and_1(
    asked: Wish, pools: list[PoolFacts]
) -> None:
    choice = choose(asked, pools)
    for verdict in choice.verdicts:
        assert (verdict.score is None) == (not verdict.is_scored)
        assert all(0 <= term.score <= 1 for term in verdict.terms)
        if verdict.score is not None:
            whole = sum(term.score * term.weight for term in verdict.terms)
            assert verdict.score == pytest.approx(whole, abs=1e-6)
    assert replay(facts_as_dict(asked, pools)).as_dict() == choice.as_dict()


def test_the_weights_of_each_objective_add_up_to_one() -> None:
    for weights in WEIGHTS.values():
        assert sum(weights.values()) == pytest.approx(1.0)


def test_a_pool_that_others_could_never_use_instead_sets_no_scale() -> None:
    cheap_and_closed = pool("a/p", 1, is_open=False)
    assert (
        scores(wish(), cheap_and_closed, pool("b/p", 10))["b/p"]
        == scores(wish(), pool("b/p", 10))["b/p"]
    )


@pytest.mark.parametrize(
    ("objective", "best"),
    [("cheapest", "cheap/p"), ("soonest", "soon/p"), ("greenest", "green/p")],
)
def test_each_objective_takes_what_it_is_named_for(objective: str, best: str) -> None:
    found = choose(
        wish(objective=objective),
        [
            pool("cheap/p", 10, start_s=7_200, carbon_g=500.0, energy_wh=1_000.0),
            pool("green/p", 40, start_s=7_200, carbon_g=50.0, energy_wh=1_000.0),
            pool("soon/p", 40, start_s=0, carbon_g=500.0, energy_wh=1_000.0),
        ],
    )
    assert found.chosen == best


def test_the_greenest_takes_the_least_energy_where_nobody_tells_the_carbon() -> None:
    found = choose(
        wish(objective="greenest"), [pool("a/p", energy_wh=100_000.0), pool("b/p", energy_wh=10.0)]
    )
    assert found.chosen == "b/p"


def test_equal_scores_go_to_the_name_that_comes_first() -> None:
    assert choose(wish(), [pool("b/p"), pool("a/p")]).chosen == "a/p"


def test_reliability_is_worth_its_weight() -> None:
    found = scores(wish(), pool("a/p", reliability=0.5), pool("b/p", reliability=1.0))
    assert found["b/p"] == pytest.approx(
        (found["a/p"] or 0) + 0.5 * WEIGHTS[Objective.BALANCED]["reliability"]
    )


def test_a_job_moves_for_the_margin_and_not_for_less() -> None:
    def moves(difference: float) -> bool:
        # Reliability alone differs, so that the scores do by its weight.
        weight = WEIGHTS[Objective.BALANCED]["reliability"]
        here = pool("a/p", reliability=1.0 - difference / weight)
        return should_move(choose(wish(), [here, pool("b/p")]), "a/p")

    assert moves(MOVE_MARGIN + 1e-5)
    assert not moves(MOVE_MARGIN - 1e-5)


def test_a_job_moves_from_where_it_may_not_stay_whatever_the_score() -> None:
    closed = pool("a/p", 1, is_open=False)
    assert should_move(choose(wish(), [closed, pool("b/p", 100)]), "a/p")
    assert not should_move(choose(wish(), [closed]), "a/p"), "there is nowhere to go"
    full = pool("b/p", has_room=False)
    assert not should_move(choose(wish(), [pool("a/p", 10**6), full]), "a/p")


def test_facts_that_are_no_more_are_left_out_when_they_are_read() -> None:
    kept = facts_as_dict(wish(), [pool("a/p")])["pools"][0]
    assert facts_from({**kept, "voucher_reason": ""}) == pool("a/p")
