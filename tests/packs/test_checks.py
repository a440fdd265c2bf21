"""Each conformance check passes an honest pack, and catches the one thing it is there for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from haihe.packs import Explanation, Manifest, Reason, RunContext, Text
from haihe.packs.checks import CHECKS, Report, Status, Subject, run_check, run_checks
from haihe.packs.discovery import PackSource, pack_in_folder
from haihe.packs.domain import TIERS, Tier

MakeSource = Callable[..., PackSource]


@pytest.fixture(scope="module")
def report(
    source: PackSource, cases: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    return run_checks(source, inputs={"cases": cases}, folder=tmp_path_factory.mktemp("checks"))


def test_the_scaffolded_pack_reaches_the_highest_tier(report: Report) -> None:
    bad = [result for result in report.results if result.status is not Status.PASSED]
    assert bad == []
    assert report.conforms
    assert report.tier is Tier.PLATINUM


def test_every_check_belongs_to_one_tier() -> None:
    placed = [name for needed in TIERS.values() for name in needed]
    assert sorted(placed) == sorted(CHECKS)


def outcome(
    check: str, source: PackSource, cases: pl.DataFrame | None, folder: Path
) -> tuple[Status, str]:
    inputs = None if cases is None else {"cases": cases}
    result = run_check(Subject(source, inputs=inputs, folder=folder), CHECKS[check])
    return result.status, result.reason


def scored(cases: pl.DataFrame, score: Any) -> pl.DataFrame:
    return pl.DataFrame({"id": cases["case_id"], "score": np.clip(score, 0, 1)})


class Remembers:
    """Knows the label of every case it was ever fitted on."""

    labels: ClassVar[dict[str, bool]] = {}

    def fit(self, context: Any) -> None:
        cases = context.input("cases")
        self.labels.update(zip(cases["case_id"], cases["outcome"], strict=True))

    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        context.predictions(scored(cases, [self.labels.get(i, 0.5) for i in cases["case_id"]]))


class Guesses:
    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        context.predictions(scored(cases, np.random.default_rng().random(len(cases))))


class Counts:
    """Scores a row by its place."""

    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        context.predictions(scored(cases, np.linspace(0, 1, len(cases))))


class Compares:
    """Scores a row by its rank among the rows that come with it."""

    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        context.predictions(scored(cases, cases["first_reading"].rank() / len(cases)))


class Standardises:
    def prepare(self, context: Any) -> None:
        cases = context.input("cases")
        reading = pl.col("first_reading")
        context.prepared("cases", cases.with_columns(reading - reading.mean()))


class SaysHalf:
    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        context.predictions(scored(cases, np.full(len(cases), 0.5)))


class KnowsBefore:
    """Does not learn from the labels it is given, and is good all the same."""

    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        context.predictions(scored(cases, 0.5 + cases["first_reading"].to_numpy() / 10))


class Exaggerates:
    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        score = 1 / (1 + np.exp(-10 * cases["first_reading"].to_numpy()))
        context.predictions(scored(cases, score))


class Overflows:
    """Has no answer to strange readings but one that is no number."""

    def prepare(self, context: Any) -> None:
        pass

    def run(self, context: RunContext) -> None:
        cases = context.input("cases")
        score = cases["first_reading"].to_numpy() / cases["first_reading"].to_numpy() / 2
        context.predictions(pl.DataFrame({"id": cases["case_id"], "score": score}))


class SpeaksEnglish:
    def explain(self, context: Any) -> None:
        because = Reason(column="a", contribution=1.0, text=Text(zh="because", en="because"))
        ids = context.input("cases")["case_id"]
        context.explanations([Explanation(id=case, reasons=(because,)) for case in ids])


class TitlesInEnglish:
    def evaluate(self, context: Any) -> None:
        title = Text(zh="table", en="table")
        context.table("t", pl.DataFrame({"a": [1]}), title=title, columns={"a": title})


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize(
    ("check", "fault", "match"),
    [
        ("run.no_label_leak", Remembers, "turning labels around changes"),
        ("run.deterministic", Guesses, "a second run changes"),
        ("run.row_order_invariant", Counts, "reversing the rows changes"),
        ("run.row_by_row", Compares, "predicting in two halves changes"),
        ("prepare.row_by_row", Standardises, "half of the rows is cleaned otherwise"),
        ("score.above_baseline", SaysHalf, "area 0.500"),
        ("score.permuted_at_chance", KnowsBefore, "mean area 0."),
        ("score.calibrated", Exaggerates, "slope 0."),
        ("input.rejects_bad", Overflows, "are no probability"),
        ("explain.complete", SpeaksEnglish, "reasons in one language"),
        ("report.valid", TitlesInEnglish, "not in both languages"),
    ],
)
def test_a_fault_is_caught_by_its_check(
    honest: Any,
    bent: MakeSource,
    cases: pl.DataFrame,
    tmp_path: Path,
    check: str,
    fault: type,
    match: str,
) -> None:
    pack = type("Bent", (fault, honest), {})
    status, reason = outcome(check, bent(pack), cases, tmp_path)
    assert status is Status.FAILED
    assert match in reason


def test_a_pack_that_raises_fails_the_check_and_not_the_checker(
    honest: Any, bent: MakeSource, cases: pl.DataFrame, tmp_path: Path
) -> None:
    pack = type("Bent", (honest,), {"run": lambda self, context: 1 / 0})
    status, reason = outcome("predictions.valid", bent(pack), cases, tmp_path)
    assert status is Status.FAILED
    assert "ZeroDivisionError" in reason


def test_without_cases_nothing_is_skipped_into_a_tier(source: PackSource, tmp_path: Path) -> None:
    report = run_checks(source, inputs=None, folder=tmp_path)
    statuses = {result.check: result.status for result in report.results}
    assert statuses["readme.present"] is Status.PASSED
    assert statuses["run.no_label_leak"] is Status.SKIPPED
    assert report.conforms
    assert report.tier is None


def test_an_excuse_that_nothing_needs_is_a_failure(
    honest: Any, bent: MakeSource, manifest: Manifest, cases: pl.DataFrame, tmp_path: Path
) -> None:
    told = manifest.model_copy(update={"expected_failed": {"readme.present": "to be written"}})
    report = run_checks(bent(honest, told), inputs={"cases": cases}, folder=tmp_path)
    found = {result.check: result for result in report.results}
    assert found["readme.present"].status is Status.FAILED
    assert "take it out of expected_failed" in found["readme.present"].reason
    assert not report.conforms


def test_an_expected_failure_is_excused_and_earns_nothing(
    honest: Any, bent: MakeSource, manifest: Manifest, cases: pl.DataFrame, tmp_path: Path
) -> None:
    pack = type("Bent", (SaysHalf, honest), {})
    told = manifest.model_copy(update={"expected_failed": {"score.above_baseline": "a dummy"}})
    report = run_checks(bent(pack, told), inputs={"cases": cases}, folder=tmp_path)
    found = {result.check: result for result in report.results}
    assert found["score.above_baseline"].status is Status.EXPECTED
    assert found["score.above_baseline"].reason.startswith("a dummy (area 0.500")
    assert found["score.calibrated"].status is Status.SKIPPED, "equal scores have no line"
    assert report.conforms
    assert report.tier is Tier.SILVER


@pytest.mark.parametrize(
    ("check", "change", "match"),
    [
        ("manifest.complete", {"expected_failed": {"no.such": "why"}}, "no.such"),
        ("manifest.translated", {"title": Text(zh="Example", en="Example")}, "manifest.title"),
        ("manifest.translated", {"limits": (Text(zh="限", en="限"),)}, "manifest.limits.0"),
        ("manifest.matches_distribution", {"version": "0.2.0"}, "version: '0.2.0' and '0.1.0'"),
        ("manifest.matches_distribution", {"licence": "MIT"}, "licence: 'MIT'"),
        ("manifest.matches_distribution", {"name": "another"}, "name (package)"),
    ],
)
def test_a_manifest_that_does_not_hold_is_caught(
    honest: Any,
    bent: MakeSource,
    manifest: Manifest,
    tmp_path: Path,
    check: str,
    change: dict[str, Any],
    match: str,
) -> None:
    told = manifest.model_copy(update=change)
    status, reason = outcome(check, bent(honest, told), None, tmp_path)
    assert status is Status.FAILED
    assert match in reason


def test_an_unreadable_manifest_fails_every_check_that_needs_it(
    pack_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(pack_folder, root)
    next(root.rglob("pack.toml")).write_text('colour = "red"')
    status, reason = outcome("manifest.complete", pack_in_folder(root), None, tmp_path)
    assert status is Status.FAILED
    assert "colour" in reason


def test_a_missing_readme_or_licence_is_caught(source: PackSource, tmp_path: Path) -> None:
    for check, without in (
        ("readme.present", replace(source, readme="# Title\n")),
        ("licence.present", replace(source, has_licence_file=False)),
    ):
        assert outcome(check, without, None, tmp_path)[0] is Status.FAILED
        assert outcome(check, source, None, tmp_path)[0] is Status.PASSED


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("import haihe.kernel.errors", True),
        ("from haihe.packs.trial import Trial", True),
        ("from haihe import kernel", True),
        ("import haihe", True),
        ("def f():\n    from haihe.data import models", True),
        ("import importlib\nimportlib.import_module('haihe.ledger.models')", True),
        ("__import__('haihe.ledger')", True),
        ("def broken(", True),
        ("from haihe.packs import Context", False),
        ("from haihe import packs", False),
        ("import haihe.packs", False),
        ("from .data import frame", False),
        ("import numpy, haihe_other", False),
    ],
)
def test_only_the_sdk_may_be_imported(
    pack_folder: Path, tmp_path: Path, line: str, caught: bool
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(pack_folder, root)
    (root / "scaffolded_example" / "more.py").write_text(line)
    status, _ = outcome("imports.only_sdk", pack_in_folder(root), None, tmp_path)
    assert status is (Status.FAILED if caught else Status.PASSED)
