"""The pack does what its README says, and passes the platform's checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from tumour_triage.model import MAX_ERROR, Model, fit_model, undecided_band
from tumour_triage.pack import COLUMNS

from haihe.packs import InputRefused
from haihe.packs.checks import CHECKS, Status, Subject, run_check
from haihe.packs.discovery import pack_in_folder
from haihe.packs.evaluation import Evaluation, evaluate_outputs
from haihe.packs.runner import run_pack
from tumour_triage import data, tables

FOLDER = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def cases() -> pl.DataFrame:
    return data.frame()


@pytest.fixture(scope="session")
def subject(cases: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(
        pack_in_folder(FOLDER),
        inputs={"cases": cases},
        folder=tmp_path_factory.mktemp("trials"),
    )


@pytest.fixture(scope="session")
def evaluation(subject: Subject) -> Evaluation:
    return subject.evaluation


@pytest.fixture(scope="session")
def model(cases: pl.DataFrame) -> Model:
    return fit_model(
        COLUMNS,
        cases.select(COLUMNS).to_numpy(),
        (cases["diagnosis"] == "malignant").to_numpy(),
        cases["patient_id"].to_list(),
        rng=np.random.default_rng(0),
    )


@pytest.mark.parametrize("name", CHECKS)
def test_the_pack_passes(name: str, subject: Subject) -> None:
    result = run_check(subject, CHECKS[name])
    assert result.status is Status.PASSED, result.reason


def test_the_data_are_the_569_cases_of_wisconsin(cases: pl.DataFrame) -> None:
    assert cases.shape == (569, 32)
    assert (cases["diagnosis"] == "malignant").sum() == 212
    assert cases["patient_id"].n_unique() == 569
    assert cases["patient_id"][0] == "wdbc-001"
    assert cases.filter(pl.col("patient_id") == "wdbc-001")["mean_radius"].item() == 17.99


def test_it_tells_malignant_from_benign_and_learns_it_from_the_labels(
    evaluation: Evaluation,
) -> None:
    assert evaluation.primary.value >= 0.98
    assert evaluation.permuted is not None
    assert abs(evaluation.permuted.mean - 0.5) <= 0.1


def test_abstaining_makes_the_rest_safer(evaluation: Evaluation) -> None:
    pooled = evaluation.model.pooled
    forced = 1 - (pooled.at_threshold.accuracy.value or 0)
    assert (pooled.decisions.coverage.value or 0) > 0.9
    assert (pooled.decisions.error.value or 1) < forced


def test_the_readme_says_what_the_code_gives(evaluation: Evaluation) -> None:
    pooled, permuted = evaluation.model.pooled, evaluation.permuted
    assert permuted is not None
    area, done = pooled.roc_auc, pooled.decisions
    rows = {
        "area under the ROC curve (95 % interval)": (
            f"{area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
        ),
        "the same after learning from shuffled labels (10 times)": f"{permuted.mean:.3f}",
        "calibration slope, expected error": (
            f"{pooled.calibration.slope:.2f}, {pooled.calibration.expected_error:.3f}"
        ),
        "cases decided": f"{done.coverage.count} of {done.coverage.total}",
        "wrong among those decided": f"{done.error.count}",
        "malignant among those called benign": (
            f"{done.false_omission.count} of {done.false_omission.total}"
        ),
        "benign among those called malignant": (
            f"{done.false_discovery.count} of {done.false_discovery.total}"
        ),
    }
    text = (FOLDER / "README.md").read_text("utf-8")
    wrong = [f"| {name} | {value} |" for name, value in rows.items()]
    assert [row for row in wrong if row not in text] == []


def test_a_run_from_a_file_is_judged_like_the_trial(
    evaluation: Evaluation, subject: Subject, cases: pl.DataFrame, tmp_path: Path
) -> None:
    cases.write_csv(tmp_path / "cases.csv")
    run_pack(
        subject.source,
        inputs=tmp_path,
        out=tmp_path / "out",
        report=lambda share, text: None,
        permutations=0,
    )
    found = evaluate_outputs(subject.manifest, tmp_path / "out", cases)
    assert found.primary.value == pytest.approx(evaluation.primary.value, abs=1e-9)


def test_the_reasons_add_up_to_the_probability(model: Model, cases: pl.DataFrame) -> None:
    values = cases.select(COLUMNS).to_numpy()[::20]
    sums = model.intercept + model.contributions(values).sum(axis=1)
    probability = model.probabilities(values)
    inner = (probability > 1e-6) & (probability < 1 - 1e-6)
    assert inner.sum() > 5
    assert logit(probability[inner]) == pytest.approx(sums[inner], abs=1e-6)


def test_a_model_survives_being_stored(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert Model.load(tmp_path) == model


def test_a_measurement_far_beyond_what_was_learned_is_left_to_a_specialist(
    model: Model, cases: pl.DataFrame
) -> None:
    values = cases.select(COLUMNS).to_numpy()
    clear = values[model.decided(values)][:1]
    assert model.decided(clear).all()
    for factor, decided in ((1.9, True), (2.1, False)):
        slipped = clear.copy()
        slipped[0, COLUMNS.index("worst_area")] = 4254 * factor
        assert model.decided(slipped).item() is decided


def test_cases_inside_the_band_are_not_decided(model: Model, cases: pl.DataFrame) -> None:
    values = cases.select(COLUMNS).to_numpy()
    probability, decided = model.probabilities(values), model.decided(values)
    assert not decided[(probability >= model.low) & (probability <= model.high)].any()
    assert decided[(probability < model.low) | (probability > model.high)].all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 99)), min_size=2, max_size=60))
def test_outside_the_band_both_sides_keep_their_promise(rows: list[tuple[bool, int]]) -> None:
    malignant = np.array([truth for truth, _ in rows])
    probability = np.array([score / 100 for _, score in rows])
    low, high = undecided_band(malignant, probability)
    assert 0 <= low <= high <= 1
    below, above = malignant[probability < low], malignant[probability > high]
    assert len(below) == 0 or below.mean() <= MAX_ERROR
    assert len(above) == 0 or 1 - above.mean() <= MAX_ERROR
    wider = probability <= probability[probability > low].min(initial=1.0)
    if 0 < low < high and not wider.all():
        assert malignant[wider].mean() > MAX_ERROR, "a narrower band would break it"


def test_two_sides_that_are_wide_apart_need_no_band() -> None:
    malignant = np.array([False] * 5 + [True] * 5)
    low, high = undecided_band(malignant, np.array([0.1] * 5 + [0.9] * 5))
    assert low == high == 0.5


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"mean_radius": -1.0}, "below zero"),
        ({"worst_radius": 1.0}, "worst_radius is below mean_radius in 569 rows"),
    ],
)
def test_measurements_that_no_nucleus_has_are_refused(
    subject: Subject, change: dict[str, float], match: str
) -> None:
    trial = subject.first
    broken = trial.visible["cases"].with_columns(**{k: pl.lit(v) for k, v in change.items()})
    with pytest.raises(InputRefused, match=match):
        trial.prepare({"cases": broken})


def test_the_tables_count_every_case_once(subject: Subject, evaluation: Evaluation) -> None:
    scored = pl.DataFrame(
        {
            "truth": [True, False, True, False, True],
            "score": [0.95, 0.4, 0.04, 0.01, 0.6],
            "decision": [True, None, False, False, None],
        }
    )
    assert tables.triage(scored).row(0) == (2, 1, 2, 1, 1, 0)
    found = tables.operating_points(scored)
    assert found.filter(pl.col("limit") == 0.5).row(0) == (0.5, 2, 1, 0)
    assert (found["found"] + found["missed"] == 3).all()
