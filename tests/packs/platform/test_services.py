"""Packs on the platform: priced, run as jobs, scored by the platform, explained to who may see."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from haihe.compute.domain import EndReason, JobState
from haihe.compute.models import Job, Quote
from haihe.compute.services.jobs import attempt_folder, submit_job
from haihe.evidence.models import EvidenceEntry
from haihe.kernel.errors import Invalid, InvalidField, MissingRecord, StorageUnavailable
from haihe.packs import services
from haihe.packs.checks import Report, Result, Status
from haihe.packs.discovery import PackSource
from haihe.packs.domain import Manifest, Tier
from haihe.packs.errors import DatasetMissing, OutputMissing, PackNotFound
from haihe.packs.evaluation import evaluate_outputs
from haihe.packs.models import Evaluation, PackCheck
from haihe.policy.domain import ANONYMOUS, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from tests.packs.conftest import NAME
from tests.packs.platform.conftest import Lab
from tests.programme.factories import settle

pytestmark = pytest.mark.django_db
CONSOLE = system_principal("console")
INPUTS = {"cases": "cases@1"}


# --- find and price ------------------------------------------------------------------------------


def test_everybody_reads_packs_by_their_name_only(lab: Lab) -> None:
    assert [source.name for source in services.list_packs(ANONYMOUS)] == [NAME]
    assert services.read_pack(ANONYMOUS, NAME).name == NAME
    for name in ("other", "..", ".", "/etc"):
        with pytest.raises(PackNotFound):
            services.read_pack(ANONYMOUS, name)


def test_only_who_works_for_the_organisation_asks_for_a_quote(lab: Lab) -> None:
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (lab.stranger, NotAllowed),
        (lab.reader, NotAllowed),
        (lab.officer, NotAllowed),
    ):
        with pytest.raises(error):
            services.quote_pack(caller, NAME, organisation="firm", inputs=INPUTS)
    quote = services.quote_pack(lab.member, NAME, organisation="firm", inputs=INPUTS)
    assert quote.spec.labels == {"pack": NAME}
    assert quote.spec.inputs[0].dataset == "cases"


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ({}, DatasetMissing),
        ({"cases": "cases"}, Invalid),
        ({"cases": "cases@"}, Invalid),
        ({"cases": "cases@one"}, Invalid),
        ({"cases": "cases@0"}, Invalid),
        ({"cases": "cases@-1"}, Invalid),
        ({"cases": "@1"}, Invalid),
        ({"cases": "cases@99999999999"}, Invalid),
        ({"cases": "cases@2"}, MissingRecord),
        ({"cases": "nothing@1"}, MissingRecord),
        ({**INPUTS, "more": "cases@1"}, InvalidField),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(
    inputs: dict[str, str], error: type[Exception], lab: Lab
) -> None:
    with pytest.raises(error):
        services.quote_pack(lab.member, NAME, organisation="firm", inputs=inputs)


def test_a_form_offers_what_the_caller_has(lab: Lab) -> None:
    offered = services.run_choices(lab.member)
    assert [row.slug for row in offered.organisations] == ["firm"]
    assert [str(row) for row in offered.versions] == ["cases@1"]
    assert offered.contracts == []
    nothing = services.run_choices(lab.reader)
    assert not any((nothing.organisations, nothing.contracts, nothing.versions))
    assert services.run_choices(ANONYMOUS).organisations == ()


# --- score ---------------------------------------------------------------------------------------


def test_a_finished_run_is_scored_once_from_its_raw_predictions(
    lab: Lab, finished: Callable[..., Job]
) -> None:
    job = finished()
    evaluation = services.evaluate_job(job.pk)
    assert evaluation is not None
    assert evaluation.state == "scored"
    assert evaluation.score is not None
    assert evaluation.baseline is not None
    assert evaluation.score > 0.75 > evaluation.baseline
    assert evaluation.low is not None
    assert evaluation.low < evaluation.score
    assert evaluation.permuted == pytest.approx(0.5, abs=0.1)
    assert evaluation.inputs == INPUTS
    assert services.evaluate_job(job.pk) == evaluation
    entry = EvidenceEntry.objects.get(kind="evaluation.recorded")
    assert entry.data["score"] == f"{evaluation.score:.6f}"
    assert len(entry.data["predictions_sha256"]) == 64
    assert entry.parties == (lab.firm.pk,)


def flatter(folder: Path) -> None:
    """Predictions as if the pack had known the truth of the first cases by twice their number."""
    found = pl.read_parquet(folder / "predictions.parquet")
    pl.concat([found, found.head(3)]).write_parquet(folder / "predictions.parquet")


def claim(folder: Path) -> None:
    """A report in which the pack praises itself."""
    (folder / "run.json").write_text('{"score": 1.0}')
    (folder / "report.json").write_text('{"by": "pack", "tables": [], "score": 1.0}')


@pytest.mark.parametrize(
    ("bend", "says"),
    [
        (flatter, ""),
        (lambda folder: (folder / "predictions.parquet").unlink(), "predictions.parquet"),
        (lambda folder: (folder / "predictions.parquet").write_bytes(b"x"), "predictions.parquet"),
        (lambda folder: (folder / "baseline.parquet").unlink(), "baseline.parquet"),
    ],
)
def test_outputs_that_cannot_be_scored_are_refused_with_the_reason(
    bend: Callable[[Path], Any], says: str, finished: Callable[..., Job]
) -> None:
    evaluation = services.evaluate_job(finished(bend).pk)
    assert evaluation is not None
    assert (evaluation.state, evaluation.score, evaluation.details) == ("refused", None, {})
    assert says in evaluation.message
    assert evaluation.message


def test_trouble_of_the_machine_is_no_word_on_the_pack(
    finished: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation that is refused stays refused: what passes by itself is tried again."""
    job = finished()
    folder = services.attempt_folder(job.pk, 1) / "outputs"
    folder.rename(folder.with_name("away"))
    with pytest.raises(StorageUnavailable):
        services.evaluate_job(job.pk)
    folder.with_name("away").rename(folder)

    def no_more_files(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(services, "read_frame", no_more_files)
        with pytest.raises(OSError, match="Too many"):
            services.evaluate_job(job.pk)
    assert not Evaluation.objects.exists()
    evaluation = services.evaluate_job(job.pk)
    assert evaluation is not None
    assert evaluation.state == "scored"


def test_a_run_is_judged_while_others_write(finished: Callable[..., Job]) -> None:
    job = finished()
    record = services.judge_job(job.pk)
    assert not Evaluation.objects.exists()
    evaluation = record()
    assert evaluation is not None
    assert record() == evaluation, "what was judged twice is recorded once"
    assert EvidenceEntry.objects.filter(kind="evaluation.recorded").count() == 1


def test_what_a_pack_says_of_itself_enters_no_score(
    finished: Callable[..., Job], evaluation_score: float
) -> None:
    evaluation = services.evaluate_job(finished(claim).pk)
    assert evaluation is not None
    assert evaluation.score == evaluation_score


@pytest.fixture
def evaluation_score(manifest: Manifest, outputs: Path, cases: pl.DataFrame) -> float:
    """The score of the pack's predictions, computed without the platform."""
    return evaluate_outputs(manifest, outputs, cases).primary.value


def test_a_job_that_failed_or_is_no_packs_has_no_evaluation(lab: Lab, quote: Quote) -> None:
    job = settle(submit_job(lab.member, quote.pk), hours=0, state=JobState.FAILED)
    assert job.end_reason == EndReason.EXITED
    assert services.evaluate_job(job.pk) is None
    assert not Evaluation.objects.exists()


# --- who sees what -------------------------------------------------------------------------------


def test_an_evaluation_is_seen_by_its_organisation_the_office_and_the_auditor(
    lab: Lab, evaluation: Evaluation
) -> None:
    for caller in (lab.member, lab.reader, lab.officer, lab.auditor, CONSOLE):
        assert list(services.list_evaluations(caller)) == [evaluation]
        assert services.find_evaluation(caller, evaluation.pk) == evaluation
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (lab.stranger, NotAllowed),
        (lab.provider, NotAllowed),
    ):
        assert not services.list_evaluations(caller).exists()
        with pytest.raises(error):
            services.find_evaluation(caller, evaluation.pk)
    with pytest.raises(MissingRecord):
        services.find_evaluation(lab.member, uuid4())
    with pytest.raises(MissingRecord):
        services.find_evaluation(lab.member, "not an id")


def test_a_published_evaluation_is_everybodys_and_its_cases_are_not(
    lab: Lab, evaluation: Evaluation
) -> None:
    Evaluation.objects.update(is_public=True)
    assert list(services.list_evaluations(ANONYMOUS)) == [evaluation]
    assert services.find_evaluation(ANONYMOUS, evaluation.pk) == evaluation
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (lab.stranger, NotAllowed),
        (lab.provider, NotAllowed),
        (lab.officer, NotAllowed),
        (lab.auditor, NotAllowed),
        (lab.reader, NotAllowed),
    ):
        with pytest.raises(error):
            services.list_cases(caller, evaluation.pk)
        with pytest.raises(error):
            services.find_case(caller, evaluation.pk, "c0001")
        with pytest.raises(error):
            services.pack_tables(caller, evaluation.pk)
        assert not services.may_see_cases(caller, evaluation)
    assert services.may_see_cases(lab.member, evaluation)


def test_lists_are_narrowed_by_pack_and_state(lab: Lab, evaluation: Evaluation) -> None:
    assert services.list_evaluations(lab.member, pack=NAME, state="scored").count() == 1
    assert not services.list_evaluations(lab.member, pack="other").exists()
    assert not services.list_evaluations(lab.member, state="refused").exists()
    with pytest.raises(InvalidField):
        services.list_evaluations(lab.member, state="lost")
    narrow = Principal(id=lab.member.id, scopes=frozenset({"packs"}))
    with pytest.raises(ScopeMissing):
        services.list_evaluations(narrow)


def test_the_evaluation_of_a_job_is_found_by_the_job(
    lab: Lab, evaluation: Evaluation, quote: Quote
) -> None:
    assert services.evaluation_of_job(lab.member, evaluation.job_id) == evaluation
    with pytest.raises(NotAllowed):
        services.evaluation_of_job(lab.stranger, evaluation.job_id)
    with pytest.raises(NotAllowed):  # the provider sees the job, and not what it is worth
        services.evaluation_of_job(lab.provider, evaluation.job_id)


# --- cases ---------------------------------------------------------------------------------------


def test_all_cases_are_read_page_by_page_each_once(
    lab: Lab, evaluation: Evaluation, cases: pl.DataFrame
) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        page = services.list_cases(lab.member, evaluation.pk, cursor=cursor, limit=100)
        seen += [case.id for case in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(cases["case_id"].to_list())
    assert sum(page.counts.values()) == len(seen)


@pytest.mark.parametrize(("decision", "value"), [("positive", True), ("negative", False)])
def test_cases_are_narrowed_by_their_decision(
    decision: str, value: bool, lab: Lab, evaluation: Evaluation
) -> None:
    page = services.list_cases(lab.member, evaluation.pk, decision=decision, limit=500)
    assert len(page.items) == page.counts[decision] > 0
    assert {case.decision for case in page.items} == {value}
    assert all(case.reasons for case in page.items)


def test_one_case_has_its_reasons(lab: Lab, evaluation: Evaluation) -> None:
    case = services.find_case(lab.member, evaluation.pk, "c0007")
    assert case.id == "c0007"
    assert {"column", "contribution", "text"} <= set(case.reasons[0])
    with pytest.raises(MissingRecord, match="'none'"):
        services.find_case(lab.member, evaluation.pk, "none")


def test_bad_questions_about_cases_are_refused(lab: Lab, evaluation: Evaluation) -> None:
    with pytest.raises(InvalidField):
        services.list_cases(lab.member, evaluation.pk, decision="maybe")
    for limit in (0, 501):
        with pytest.raises(InvalidField):
            services.list_cases(lab.member, evaluation.pk, limit=limit)


def test_outputs_that_are_gone_are_named(lab: Lab, evaluation: Evaluation) -> None:
    (attempt_folder(evaluation.job_id, 1) / "outputs" / "explanations.json").unlink()
    with pytest.raises(OutputMissing, match=r"explanations\.json"):
        services.list_cases(lab.member, evaluation.pk)


# --- conformance ---------------------------------------------------------------------------------


def report(tier: Tier | None = Tier.GOLD) -> Report:
    results = (
        Result(check="manifest.complete", title="t", status=Status.PASSED, reason=""),
        Result(check="score.calibrated", title="t", status=Status.FAILED, reason="slope 2"),
    )
    return Report(pack=NAME, results=results, tier=tier)


def test_only_the_operator_or_the_machine_keeps_a_tier(lab: Lab, source: PackSource) -> None:
    for caller, error in (
        (ANONYMOUS, NotSignedIn), (lab.manager, NotAllowed), (lab.officer, NotAllowed),
    ):  # fmt: skip
        with pytest.raises(error):
            services.record_check(caller, source, report())
    assert services.checks_of(ANONYMOUS, [source]) == {}
    kept = services.record_check(CONSOLE, source, report())
    assert services.checks_of(ANONYMOUS, [source]) == {NAME: kept}
    assert (kept.tier, kept.results[1]["reason"]) == ("gold", "slope 2")
    entry = EvidenceEntry.objects.get(kind="pack.checked")
    assert (entry.data["tier"], entry.data["failed"]) == ("gold", ["score.calibrated"])


def test_the_newest_checks_count_and_those_of_other_code_do_not(
    lab: Lab, source: PackSource
) -> None:
    services.record_check(CONSOLE, source, report())
    newest = services.record_check(CONSOLE, source, report(None))
    assert services.checks_of(ANONYMOUS, [source]) == {NAME: newest}
    assert newest.tier == ""
    PackCheck.objects.update(sha256="0" * 64)
    assert services.checks_of(ANONYMOUS, [source]) == {}
