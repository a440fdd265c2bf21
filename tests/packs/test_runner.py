"""A run from start to end, and the platform's judgement of what it left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from haihe.packs import (
    EvaluateContext,
    ExplainContext,
    Explanation,
    Manifest,
    PrepareContext,
    Reason,
    RunContext,
    Text,
)
from haihe.packs.discovery import PackSource
from haihe.packs.errors import (
    FoldsDiffer,
    InputNotPermitted,
    OutputMissing,
    OutputRefused,
    OutputTooLarge,
    PackFailed,
    PackWroteNothing,
    PredictionsMalformed,
    PredictionsMissing,
    PredictionsNotProbability,
    PreparedRowsDiffer,
)
from haihe.packs.evaluation import evaluate_outputs
from haihe.packs.runner import main, run_pack


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


@pytest.fixture(scope="module")
def finished(
    source: PackSource, cases: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a finished run; tests do not change it."""
    root = tmp_path_factory.mktemp("finished")
    cases.write_csv(root / "cases.csv")
    run_pack(source, inputs=root, out=root / "out", report=quiet, permutations=3)
    return root / "out"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may tamper with."""
    for path in finished.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_run_leaves_raw_predictions_and_no_truth(finished: Path, cases: pl.DataFrame) -> None:
    predictions = pl.read_parquet(finished / "predictions.parquet")
    assert predictions.columns == ["fold", "id", "score", "decision"]
    assert sorted(predictions["id"]) == sorted(cases["case_id"])
    permuted = pl.read_parquet(finished / "permuted.parquet")
    assert permuted.group_by("permutation").len().sort("permutation").rows() == [
        (1, 240),
        (2, 240),
        (3, 240),
    ]
    for path in finished.rglob("*"):
        if path.is_file():
            assert b"outcome" not in path.read_bytes(), path.name


def test_the_record_of_a_run_says_what_ran_on_what(
    finished: Path, source: PackSource, manifest: Manifest
) -> None:
    record = json.loads((finished / "run.json").read_text())
    assert record["pack"] == {
        "name": source.name,
        "version": manifest.version,
        "sha256": source.sha256(),
    }
    assert record["inputs"]["cases"]["rows"] == 240
    assert set(record["outputs"]) == {
        "baseline.parquet",
        "explanations.json",
        "permuted.parquet",
        "predictions.parquet",
        "report.json",
    }
    assert record["permutations"] == 3
    assert record["versions"]["polars"] == pl.__version__
    assert record["timing"]["wall_s"] > 0


def test_every_case_is_explained_and_the_packs_tables_are_marked_as_its_own(
    finished: Path, cases: pl.DataFrame
) -> None:
    explanations = json.loads((finished / "explanations.json").read_text())
    assert explanations["by"] == "pack"
    assert sorted(case["id"] for case in explanations["cases"]) == sorted(cases["case_id"])
    report = json.loads((finished / "report.json").read_text())
    assert report["by"] == "pack"
    assert report["tables"][0]["columns"][0]["title"]["zh"] == "病例数"


def test_the_platform_computes_every_figure_from_the_raw_predictions(
    finished: Path, copied: Path, manifest: Manifest, cases: pl.DataFrame
) -> None:
    found = evaluate_outputs(manifest, finished, cases)
    assert found.rows == 240
    assert found.primary.low > 0.7
    assert found.baseline.roc_auc_by_fold.values == (0.5,) * 5
    assert found.permuted is not None
    assert len(found.permuted.values) == 3
    assert json.loads(json.dumps(found.document()))["primary"]["value"] == found.primary.value

    for claim in ("run.json", "report.json", "explanations.json"):
        (copied / claim).write_text('{"roc_auc": 1.0}')
    assert evaluate_outputs(manifest, copied, cases) == found

    path = copied / "predictions.parquet"
    pl.read_parquet(path).with_columns(score=1 - pl.col("score")).write_parquet(path)
    turned = evaluate_outputs(manifest, copied, cases)
    assert turned.primary.value == pytest.approx(1 - found.primary.value)


def test_judgement_needs_no_more_than_id_group_and_label(
    finished: Path, manifest: Manifest, cases: pl.DataFrame
) -> None:
    labels = cases.select("case_id", "owner_id", "outcome").reverse()
    assert evaluate_outputs(manifest, finished, labels) == evaluate_outputs(
        manifest, finished, cases
    )


def test_predictions_of_another_split_are_refused(
    finished: Path, manifest: Manifest, cases: pl.DataFrame
) -> None:
    with pytest.raises(FoldsDiffer, match="seed 1"):
        evaluate_outputs(manifest, finished, cases, seed=1)


@pytest.mark.parametrize("file", ["predictions.parquet", "permuted.parquet", "baseline.parquet"])
def test_tampered_predictions_are_refused(
    copied: Path, manifest: Manifest, cases: pl.DataFrame, file: str
) -> None:
    path = copied / file
    good = pl.read_parquet(path)
    for change, error in (
        (good.head(len(good) - 1), PredictionsMissing),
        (good.with_columns(score=pl.col("score") + 1), PredictionsNotProbability),
        (good.with_columns(fold=pl.lit(1, pl.Int64)), FoldsDiffer),
        (good.drop("score"), OutputMissing),
        (pl.concat([good] * 101), OutputTooLarge),
    ):
        change.write_parquet(path)
        with pytest.raises(error):
            evaluate_outputs(manifest, copied, cases)
    path.write_bytes(b"no table")
    with pytest.raises(OutputMissing):
        evaluate_outputs(manifest, copied, cases)


def test_without_the_control_there_is_no_figure_for_it(
    copied: Path, manifest: Manifest, cases: pl.DataFrame
) -> None:
    (copied / "permuted.parquet").unlink()
    assert evaluate_outputs(manifest, copied, cases).permuted is None
    (copied / "predictions.parquet").unlink()
    with pytest.raises(OutputMissing):
        evaluate_outputs(manifest, copied, cases)


def test_the_command_runs_says_how_far_it_is_and_repeats_itself(
    pack_folder: Path, inputs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(out: str) -> dict[str, Any]:
        arguments = ["--pack", str(pack_folder), "--inputs", str(inputs_folder)]
        more = ["--out", str(tmp_path / out), "--seed", "3", "--permutations", "1"]
        assert main([*arguments, *more]) == 0
        return json.loads((tmp_path / out / "run.json").read_text())["outputs"]

    first = run("one")
    lines = capsys.readouterr().out.splitlines()
    shares = [float(line.split()[1]) for line in lines if line.startswith("progress ")]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert max(shares[:-1]) < 1
    assert run("two") == first, "the same seed gives the same files"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--pack": "no_such_pack"}, "packs.not_found"),
        ({"--inputs": "empty"}, "packs.input_missing"),
        ({"--out": "inputs"}, "packs.folder_not_empty"),
    ],
)
def test_what_cannot_be_run_ends_with_its_code(
    pack_folder: Path,
    inputs_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    code: str,
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = {"--pack": str(pack_folder), "--inputs": str(inputs_folder), "--out": "out"}
    arguments |= change
    for name in ("--inputs", "--out"):
        arguments[name] = str(tmp_path / arguments[name])
    assert main([word for pair in arguments.items() for word in pair]) == 2
    assert capsys.readouterr().err.startswith(code)


@pytest.mark.parametrize("option", [["--seed", "-1"], ["--permutations", "101"], ["--seed", "x"]])
def test_numbers_out_of_range_are_refused(option: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--pack", "p", "--inputs", "i", "--out", "o", *option])


def reason(contribution: float) -> Reason:
    return Reason(column="a", contribution=contribution, text=Text(zh="因", en="because"))


def crash(context: Any) -> None:
    raise KeyError("first_reading")


def write_nothing(context: Any) -> None:
    pass


def drop_a_row(context: PrepareContext) -> None:
    context.prepared("cases", context.input("cases").tail(-1))


def read_another(context: PrepareContext) -> None:
    context.input("payroll")


def write_another(context: PrepareContext) -> None:
    context.prepared("payroll", pl.DataFrame())


def predict_half(context: RunContext) -> None:
    cases = context.input("cases")
    frame = pl.DataFrame({"id": cases["case_id"], "score": 0.5})
    context.predictions(frame.head(len(cases) // 2))


def explain_one(context: ExplainContext) -> None:
    first = context.input("cases")["case_id"][0]
    context.explanations([Explanation(id=first, reasons=(reason(1.0),))])


def explain_without_reason(context: ExplainContext) -> None:
    context.explanations([Explanation(id=i, reasons=()) for i in context.input("cases")["case_id"]])


def explain_with_nan(context: ExplainContext) -> None:
    ids = context.input("cases")["case_id"]
    context.explanations([Explanation(id=i, reasons=(reason(float("nan")),)) for i in ids])


def explain_too_much(context: ExplainContext) -> None:
    ids = context.input("cases")["case_id"]
    context.explanations([Explanation(id=i, reasons=(reason(1.0),) * 41) for i in ids])


def explain_in_words(context: Any) -> None:
    context.explanations(["because"] * len(context.input("cases")))


def prepare_a_list(context: Any) -> None:
    context.prepared("cases", [1, 2])


def predict_a_list(context: Any) -> None:
    context.predictions([0.5])


def table_of_nothing(context: Any) -> None:
    context.table("t", None, title=TITLE, columns={})


TITLE = Text(zh="表", en="table")


def table_without_titles(context: EvaluateContext) -> None:
    context.table("t", pl.DataFrame({"a": [1]}), title=TITLE, columns={})


def table_with_nan(context: EvaluateContext) -> None:
    context.table("t", pl.DataFrame({"a": [float("nan")]}), title=TITLE, columns={"a": TITLE})


def table_of_lists(context: EvaluateContext) -> None:
    context.table("t", pl.DataFrame({"a": [[1]]}), title=TITLE, columns={"a": TITLE})


def table_with_a_title_in_one_language(context: Any) -> None:
    context.table("t", pl.DataFrame({"a": [1]}), title="table", columns={"a": TITLE})


def table_too_long(context: EvaluateContext) -> None:
    context.table("t", pl.DataFrame({"a": range(1_001)}), title=TITLE, columns={"a": TITLE})


@pytest.mark.parametrize(
    ("step", "method", "error"),
    [
        ("prepare", crash, PackFailed),
        ("fit", crash, PackFailed),
        ("run", crash, PackFailed),
        ("explain", crash, PackFailed),
        ("evaluate", crash, PackFailed),
        ("prepare", drop_a_row, PreparedRowsDiffer),
        ("prepare", read_another, InputNotPermitted),
        ("prepare", write_another, InputNotPermitted),
        ("run", write_nothing, PackWroteNothing),
        ("run", predict_half, PredictionsMissing),
        ("explain", write_nothing, PackWroteNothing),
        ("explain", explain_one, OutputRefused),
        ("explain", explain_without_reason, PackFailed),
        ("explain", explain_with_nan, PackFailed),
        ("explain", explain_too_much, PackFailed),
        ("explain", explain_in_words, OutputRefused),
        ("prepare", prepare_a_list, PreparedRowsDiffer),
        ("run", predict_a_list, PredictionsMalformed),
        ("evaluate", table_without_titles, OutputRefused),
        ("evaluate", table_with_nan, OutputRefused),
        ("evaluate", table_of_lists, OutputRefused),
        ("evaluate", table_of_nothing, OutputRefused),
        ("evaluate", table_with_a_title_in_one_language, PackFailed),
        ("evaluate", table_too_long, OutputTooLarge),
    ],
)
def test_a_step_that_goes_wrong_stops_the_run_by_name(
    honest: Any,
    bent: Callable[..., PackSource],
    inputs_folder: Path,
    tmp_path: Path,
    step: str,
    method: Callable[[Any], None],
    error: type[Exception],
) -> None:
    pack = type("Bent", (honest,), {step: lambda self, context: method(context)})
    with pytest.raises(error) as raised:
        run_pack(
            bent(pack), inputs=inputs_folder, out=tmp_path / "out", report=quiet, permutations=0
        )
    if error is PackFailed:
        assert str(raised.value).startswith(f"Pack scaffolded_example failed in its step {step}: ")
    assert not (tmp_path / "out" / "run.json").exists(), "no record of a run that failed"


def test_each_step_sees_what_it_may_and_no_more(
    honest: Any, bent: Callable[..., PackSource], inputs_folder: Path, tmp_path: Path
) -> None:
    seen: dict[str, list[pl.DataFrame]] = {}
    objects: list[int] = []

    class Watched(honest):  # type: ignore[misc]
        def __init__(self) -> None:
            self.memory: list[str] = []

        def _watch(self, step: str, context: Any) -> None:
            assert self.memory == [], "every step begins with a fresh object"
            self.memory.append(step)
            seen.setdefault(step, []).append(context.input("cases"))

        def prepare(self, context: Any) -> None:
            self._watch("prepare", context)
            super().prepare(context)

        def fit(self, context: Any) -> None:
            self._watch("fit", context)
            objects.append(int(context.rng().integers(2**32)))
            super().fit(context)

        def run(self, context: Any) -> None:
            self._watch("run", context)
            super().run(context)

        def explain(self, context: Any) -> None:
            self._watch("explain", context)
            super().explain(context)

        def evaluate(self, context: Any) -> None:
            self._watch("evaluate", context)
            assert context.scored.columns == ["id", "fold", "group", "truth", "score", "decision"]
            assert context.scores.rows == len(context.scored)

    run_pack(
        bent(Watched), inputs=inputs_folder, out=tmp_path / "out", report=quiet, permutations=1
    )
    for step in ("prepare", "run", "explain", "evaluate"):
        assert all("outcome" not in frame.columns for frame in seen[step])
    assert {str(frame["outcome"].dtype) for frame in seen["fit"]} == {"Boolean"}
    assert [len(seen[step]) for step in ("prepare", "fit", "run", "explain")] == [1, 10, 10, 5]
    for fitted, predicted in zip(seen["fit"], seen["run"], strict=True):
        assert set(fitted["owner_id"]).isdisjoint(predicted["owner_id"])
        assert len(fitted) + len(predicted) == 240
    assert len(set(objects)) == 5, "randomness differs by fold, and not by what the labels are"


def test_a_pack_that_does_not_learn_runs_without_the_control(
    honest: Any, bent: Callable[..., PackSource], inputs_folder: Path, tmp_path: Path
) -> None:
    class Rule:
        prepare, evaluate = honest.prepare, honest.evaluate

        def run(self, context: RunContext) -> None:
            cases = context.input("cases")
            score = (cases["first_reading"] > 0).cast(pl.Float64)
            context.predictions(pl.DataFrame({"id": cases["case_id"], "score": score}))

        def explain(self, context: ExplainContext) -> None:
            ids = context.input("cases")["case_id"]
            context.explanations([Explanation(id=i, reasons=(reason(1.0),)) for i in ids])

    out = tmp_path / "out"
    run_pack(bent(Rule), inputs=inputs_folder, out=out, report=quiet)
    assert not (out / "permuted.parquet").exists()
    assert json.loads((out / "run.json").read_text())["permutations"] == 0
