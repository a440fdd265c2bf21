"""Who is on which side of a split, what is hidden, and which predictions are taken."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.packs import Manifest
from haihe.packs.errors import (
    InputRefused,
    PredictionsDuplicated,
    PredictionsMalformed,
    PredictionsMissing,
    PredictionsNotProbability,
    PredictionsUnknown,
    PreparedRowsDiffer,
    SplitImpossible,
)
from haihe.packs.inputs import conform
from haihe.packs.protocol import (
    assign_folds,
    check_predictions,
    check_prepared,
    hide_label,
    permute_labels,
    prior_predictions,
    show_label,
    truth_of,
)


@st.composite
def truths(draw: st.DrawFn, *, one_label_each: bool = False) -> pl.DataFrame:
    """Cases of groups of one to four, with enough groups of each class for three folds."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=12, max_size=30))
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    if one_label_each:
        labels = [number % 3 == 0 for number, size in enumerate(sizes) for _ in range(size)]
    else:
        labels = [row % 2 == 0 for row in range(len(groups))]
    ids = draw(st.permutations([f"c{row:03d}" for row in range(len(groups))]))
    return pl.DataFrame({"id": ids, "group": groups, "truth": labels}).sort("id")


@settings(max_examples=60, deadline=None)
@given(truths(), st.integers(0, 2**32 - 1))
def test_a_group_is_never_on_two_sides_and_every_fold_has_both_classes(
    truth: pl.DataFrame, seed: int
) -> None:
    try:
        folds = assign_folds(truth, folds=3, seed=seed)
    except SplitImpossible:
        return  # a draw of groups so unequal that no fair split was found
    joined = truth.join(folds, on="id")
    assert joined["id"].to_list() == truth["id"].to_list()
    assert set(joined.group_by("group").agg(pl.col("fold").n_unique())["fold"]) == {1}
    assert joined.group_by("fold").agg(pl.col("truth").n_unique())["truth"].to_list() == [2] * 3


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows(
    manifest: Manifest, cases: pl.DataFrame
) -> None:
    truth = truth_of(manifest, cases)
    folds = assign_folds(truth, folds=5, seed=7)
    shuffled = truth_of(manifest, cases.sample(fraction=1, shuffle=True, seed=3))
    assert assign_folds(shuffled, folds=5, seed=7).equals(folds)
    assert not assign_folds(truth, folds=5, seed=8).equals(folds)
    shares = truth.join(folds, on="id").group_by("fold").agg(pl.col("truth").mean())["truth"]
    assert shares.max() - shares.min() < 0.1, "stratified"


def test_too_few_cases_of_a_class_are_refused() -> None:
    truth = pl.DataFrame(
        {"id": list("abcdef"), "group": list("uuvwxy"), "truth": [True, True] + 4 * [False]}
    )
    with pytest.raises(SplitImpossible):
        assign_folds(truth, folds=2, seed=0)
    with pytest.raises(SplitImpossible):
        assign_folds(truth.with_columns(truth=pl.lit(False)), folds=2, seed=0)


def test_the_label_is_hidden_and_shown_to_those_who_may_see_it(
    manifest: Manifest, cases: pl.DataFrame
) -> None:
    hidden = hide_label(manifest, cases)
    assert "outcome" not in hidden.columns
    assert hidden["case_id"].to_list() == sorted(cases["case_id"])
    truth = truth_of(manifest, cases)
    shown = show_label(manifest, hidden, truth.head(10))
    assert shown["case_id"].to_list() == truth["id"].head(10).to_list()
    assert shown["outcome"].to_list() == truth["truth"].head(10).to_list()
    both = cases.join(truth, left_on="case_id", right_on="id")
    assert ((both["outcome"] == "yes") == both["truth"]).all()


def test_a_third_label_or_a_repeated_id_is_refused(manifest: Manifest, cases: pl.DataFrame) -> None:
    third = cases.with_columns(outcome=pl.lit("maybe"))
    with pytest.raises(InputRefused, match="neither 'yes' nor 'no'"):
        truth_of(manifest, third)
    with pytest.raises(InputRefused, match="more than one row"):
        truth_of(manifest, pl.concat([cases, cases.head(1)]))


@pytest.mark.parametrize(
    ("kind", "positive", "negative"), [("integer", 1, 2), ("boolean", True, False)]
)
def test_labels_and_ids_may_be_numbers(
    manifest: Manifest, cases: pl.DataFrame, kind: str, positive: object, negative: object
) -> None:
    document = manifest.model_dump(mode="json")
    for column in document["inputs"][0]["columns"]:
        column["type"] = {"outcome": kind, "case_id": "integer"}.get(column["name"], column["type"])
    document["evaluation"] |= {"positive": positive, "negative": negative}
    told = Manifest.model_validate_json(json.dumps(document))
    numbered = conform(
        cases.with_columns(
            pl.int_range(pl.len()).alias("case_id"),
            pl.when(pl.col("outcome") == "yes").then(positive).otherwise(negative).alias("outcome"),
        ),
        told.cases,
    )
    truth = truth_of(told, numbered)
    assert truth["truth"].sum() == (cases["outcome"] == "yes").sum()
    shown = show_label(told, hide_label(told, numbered), truth.tail(3))
    assert shown["case_id"].cast(pl.String).to_list() == truth["id"].tail(3).to_list()
    assert shown["outcome"].to_list() == truth["truth"].tail(3).to_list()


@settings(max_examples=60, deadline=None)
@given(truths(one_label_each=True), st.integers(0, 1_000))
def test_shuffled_labels_move_between_whole_groups(truth: pl.DataFrame, seed: int) -> None:
    shuffled = permute_labels(truth, rng=np.random.default_rng(seed))
    assert shuffled.select("id", "group").sort("id").equals(truth.select("id", "group"))
    per_group = shuffled.group_by("group").agg(
        pl.col("truth").n_unique().alias("kinds"), pl.col("truth").first()
    )
    assert set(per_group["kinds"]) == {1}
    before = truth.group_by("group").agg(pl.col("truth").first())["truth"].sum()
    assert per_group["truth"].sum() == before, "as many positive groups as there were"


def test_shuffling_single_cases_is_a_permutation_that_forgets_the_truth() -> None:
    truth = pl.DataFrame(
        {
            "id": [f"{row:04d}" for row in range(1_000)],
            "group": [f"{row:04d}" for row in range(1_000)],
            "truth": [row < 300 for row in range(1_000)],
        }
    )
    shuffled = permute_labels(truth, rng=np.random.default_rng(0)).sort("id")
    assert shuffled["truth"].sum() == 300
    kept = (shuffled["truth"] & truth["truth"]).sum()
    assert 60 < kept < 120, "about 30 % of 300, as chance has it"


@settings(max_examples=40, deadline=None)
@given(truths(), st.integers(0, 100))
def test_the_baseline_scores_the_share_of_positives_on_the_training_side(
    truth: pl.DataFrame, seed: int
) -> None:
    fold = np.random.default_rng(seed).integers(1, 4, size=len(truth))
    fold[:3] = [1, 2, 3]
    folds = truth.select("id").with_columns(pl.Series("fold", fold))
    found = prior_predictions(truth, folds, threshold=0.5)
    assert sorted(found["id"]) == truth["id"].to_list()
    for number, case, score, decision in found.rows():
        share = truth["truth"].to_numpy()[fold != number].mean()
        assert score == pytest.approx(share)
        assert decision == (score >= 0.5)
        assert folds.filter(pl.col("id") == case)["fold"].item() == number


IDS = pl.Series("id", ["a", "b", "c"])
GOOD = pl.DataFrame({"id": ["c", "a", "b"], "score": [0.3, 0.1, 0.5]})


def test_predictions_come_back_by_id_and_the_threshold_decides_where_the_pack_does_not() -> None:
    found = check_predictions(GOOD, ids=IDS, threshold=0.4)
    assert found.rows() == [("a", 0.1, False), ("b", 0.5, True), ("c", 0.3, False)]
    own = GOOD.with_columns(pl.Series("decision", [True, None, False]))
    assert check_predictions(own, ids=IDS, threshold=0.4)["decision"].to_list() == [
        None,
        False,
        True,
    ]
    numbers = pl.DataFrame({"id": [2, 1], "score": [1, 0]})
    found = check_predictions(numbers, ids=pl.Series([1, 2]), threshold=0.5)
    assert found.rows() == [("1", 0.0, False), ("2", 1.0, True)]


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (GOOD.head(2), PredictionsMissing, "1 cases have no prediction, among them b"),
        (GOOD.clear(), PredictionsMissing, "3 cases"),
        (pl.concat([GOOD, GOOD.head(1)]), PredictionsDuplicated, "among them c"),
        (GOOD.with_columns(id=pl.lit("z") + pl.col("id")), PredictionsUnknown, "among them za"),
        (GOOD.with_columns(score=pl.lit(float("nan"))), PredictionsNotProbability, "3 scores"),
        (GOOD.with_columns(score=pl.lit(None, pl.Float64)), PredictionsNotProbability, "3 scores"),
        (GOOD.with_columns(score=pl.col("score") + 0.6), PredictionsNotProbability, "case b"),
        (GOOD.with_columns(score=-pl.col("score")), PredictionsNotProbability, "3 scores"),
        (GOOD.with_columns(score=pl.lit(float("inf"))), PredictionsNotProbability, "3 scores"),
        (GOOD.drop("score"), PredictionsMalformed, "these came: id"),
        (GOOD.with_columns(truth=pl.lit(True)), PredictionsMalformed, "truth"),
        (GOOD.with_columns(score=pl.lit("high")), PredictionsMalformed, "String"),
        (GOOD.with_columns(decision=pl.lit("yes")), PredictionsMalformed, "decision is of type"),
        (GOOD.with_columns(id=pl.lit(None, pl.String)), PredictionsMalformed, "an id is empty"),
        ([0.1, 0.2], PredictionsMalformed, "a list came"),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused_by_name(
    bad: object, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        check_predictions(bad, ids=IDS, threshold=0.5)


def test_cleaning_may_not_change_the_cases(manifest: Manifest, cases: pl.DataFrame) -> None:
    before = hide_label(manifest, cases)
    changed = before.with_columns(first_reading=pl.lit(0.0)).reverse()
    after = check_prepared(manifest, before, changed)
    assert after["case_id"].to_list() == before["case_id"].to_list()
    for bad in (
        before.head(5),
        pl.concat([before.head(1), before.tail(-1).head(len(before) - 2), before.head(1)]),
        before.drop("case_id"),
        before.with_columns(outcome=pl.lit("yes")),
    ):
        with pytest.raises(PreparedRowsDiffer):
            check_prepared(manifest, before, bad)
