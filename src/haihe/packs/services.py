"""Packs on the platform: run as jobs, judged by the platform from their raw predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
from django.db.models import QuerySet

from haihe.compute.domain import JobSpec, JobState, parse_input, spec_from
from haihe.compute.models import Contract, Job, Quote
from haihe.compute.services.contracts import list_contracts
from haihe.compute.services.jobs import attempt_folder, find_job
from haihe.compute.services.quotes import request_quote
from haihe.data.models import DatasetVersion
from haihe.data.services import find_version, list_datasets, read_frame
from haihe.evidence.services import record
from haihe.kernel.errors import (
    HaiheError,
    InvalidField,
    MissingRecord,
    StorageUnavailable,
    Unavailable,
)
from haihe.kernel.ids import parse_id
from haihe.kernel.outbox import emit
from haihe.kernel.pagination import DEFAULT_LIMIT, MAX_LIMIT
from haihe.kernel.work import unit_of_work
from haihe.packs.checks import Report, Status
from haihe.packs.discovery import PackSource, find_pack, installed_packs
from haihe.packs.domain import Manifest
from haihe.packs.errors import DatasetMissing, OutputMissing, PackNotFound
from haihe.packs.evaluation import Evaluation as Judgement
from haihe.packs.evaluation import evaluate_outputs
from haihe.packs.models import Evaluation, PackCheck
from haihe.packs.outputs import (
    EXPLANATIONS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    read_predictions,
)
from haihe.packs.protocol import DECISION, FOLD, ID, SCORE
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation, organisations_of
from haihe.policy.domain import WORKING, Principal, Resource, system_principal
from haihe.policy.services import authorize, is_allowed

SEED = 0
PACK_LABEL = "pack"
EVALUATOR = system_principal("evaluator")
CHOICES = 100


def list_packs(principal: Principal) -> list[PackSource]:
    """The packs installed here, by name."""
    authorize(principal, "pack.read", Resource("Pack"))
    return installed_packs()


def read_pack(principal: Principal, name: str) -> PackSource:
    """An installed pack, by its name and never by the path of a folder.

    Raises
    ------
    PackNotFound
        If no installed distribution offers it.
    """
    authorize(principal, "pack.read", Resource("Pack", name))
    found = next((source for source in installed_packs() if source.name == name), None)
    if found is None:
        raise PackNotFound(name=name)
    return found


def quote_pack(
    principal: Principal,
    name: str,
    *,
    organisation: str,
    inputs: Mapping[str, str],
    contract: str = "",
) -> Quote:
    """Price a run of a pack on dataset versions, given as ``slug@version`` per input.

    Raises
    ------
    DatasetMissing
        If the manifest names an input for which no dataset is given.
    """
    source = read_pack(principal, name)
    buyer = find_organisation(principal, organisation)
    authorize(principal, "pack.run", buyer.resource("Pack"))
    spec = pack_job(source.manifest(), inputs)
    return request_quote(principal, spec, organisation=organisation, contract=contract)


def pack_job(manifest: Manifest, inputs: Mapping[str, str]) -> JobSpec:
    """The job that takes a pack through the protocol."""
    names = [declared.name for declared in manifest.inputs]
    missing = next((name for name in names if name not in inputs), None)
    if missing is not None:
        raise DatasetMissing(pack=manifest.name, input=missing)
    unknown = next((name for name in inputs if name not in names), None)
    if unknown is not None:
        raise InvalidField(
            field="inputs", value=unknown[:60], rule="choose from " + ", ".join(names)
        )
    refs = [parse_input(f"{name}={inputs[name]}") for name in names]
    return spec_from(
        {
            "name": f"pack-{manifest.name.replace('_', '-')}",
            "command": [
                "python", "-m", "haihe.packs.runner", "--pack", manifest.name,
                "--inputs", "../inputs", "--out", "../outputs", "--seed", str(SEED),
            ],
            "cpu_milli": manifest.resources.cpu_milli,
            "memory_bytes": manifest.resources.memory_bytes,
            "wall_s": manifest.resources.wall_s,
            "inputs": refs,
            "labels": {PACK_LABEL: manifest.name},
        }
    )  # fmt: skip


@dataclass(frozen=True)
class RunChoices:
    """What a form to run a pack offers; the quote decides what goes together."""

    organisations: Sequence[Organisation]
    contracts: Sequence[Contract]
    versions: Sequence[DatasetVersion]


def run_choices(principal: Principal) -> RunChoices:
    """The organisations the caller may run packs for, their signed contracts, and newest data."""
    organisations = organisations_of(principal, *WORKING)
    if not organisations:
        return RunChoices((), (), ())
    signed = list_contracts(principal).filter(buyer__in=organisations, state=Contract.State.SIGNED)
    datasets = list_datasets(principal).values("pk")
    versions = DatasetVersion.objects.filter(dataset__in=datasets).select_related("dataset")
    return RunChoices(
        organisations,
        list(signed.order_by("-pk")[:CHOICES]),
        list(versions.order_by("-pk")[:CHOICES]),
    )


def evaluate_job(job_id: UUID) -> Evaluation | None:
    """Score a finished pack job from its raw predictions and the data the platform holds.

    Called when a job has ended; None for a job that is no pack's or did not succeed. Called again,
    it returns what was recorded the first time.
    """
    return judge_job(job_id)()


def judge_job(job_id: UUID) -> Callable[[], Evaluation | None]:
    """Do what takes time of :func:`evaluate_job`; what is returned records the outcome.

    Raises
    ------
    Unavailable
        If data or outputs cannot be read now. That is no word on the pack: it may be tried again.
    """
    job = Job.objects.select_related("quote", "organisation", "created_by").get(pk=job_id)
    name = job.quote.spec.labels.get(PACK_LABEL)
    if name is None or job.state != JobState.SUCCEEDED:
        return lambda: None
    done = Evaluation.objects.filter(job=job).first()
    if done is not None:
        return lambda: done
    authorize(EVALUATOR, "evaluation.record", job.resource())
    manifest = find_pack(name).manifest()
    newest = job.attempts.order_by("-number")[0]
    folder = attempt_folder(job.pk, newest.number) / "outputs"
    _check_readable(folder)
    try:
        fields = _scored(_judge(manifest, job, folder), manifest)
    except Unavailable:
        raise
    except HaiheError as error:
        fields = {"state": Evaluation.State.REFUSED, "message": str(error), "details": {}}
    return partial(_record, job, manifest, folder, fields)


def list_evaluations(
    principal: Principal, *, pack: str = "", state: str = ""
) -> QuerySet[Evaluation]:
    """Evaluations that the caller may see: public ones, and those of their organisations."""
    authorize(principal, "evaluation.read", Resource("Evaluation", public=True))
    if state and state not in Evaluation.State.values:
        raise InvalidField(
            field="state",
            value=state[:20],
            rule="choose from " + ", ".join(Evaluation.State.values),
        )
    rows = Evaluation.objects.select_related("organisation", "job").defer("details")
    if not is_allowed(principal, "evaluation.read", Resource("Evaluation")):
        rows = rows.visible_to(principal.organisations())
    rows = rows.filter(pack=pack) if pack else rows
    return rows.filter(state=state) if state else rows


def find_evaluation(principal: Principal, evaluation_id: str | UUID) -> Evaluation:
    """An evaluation with its job."""
    pk = parse_id(evaluation_id, kind="evaluation")
    evaluation = (
        Evaluation.objects.select_related("organisation", "job__quote").filter(pk=pk).first()
    )
    if evaluation is None:
        raise MissingRecord(kind="evaluation", id=str(pk))
    authorize(principal, "evaluation.read", evaluation.resource())
    return evaluation


def evaluation_of_job(principal: Principal, job_id: str | UUID) -> Evaluation | None:
    """The evaluation of a job; None as long as there is none."""
    job = find_job(principal, job_id)
    found = Evaluation.objects.select_related("organisation", "job").filter(job=job).first()
    if found is not None:
        authorize(principal, "evaluation.read", found.resource())
    return found


# --- cases ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case as the pack saw it: its score, its decision (None: it abstained), its reasons.

    Beyond a limit of cases a run keeps reasons of the first only; then there are none here.
    """

    id: str
    fold: int
    score: float
    decision: bool | None
    reasons: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CasePage:
    """Cases in the order of their ids, and how many there are of each decision."""

    items: Sequence[Case]
    next_cursor: str | None
    counts: Mapping[str, int]


DECISIONS: Mapping[str, bool | None] = {"positive": True, "negative": False, "abstained": None}


def list_cases(
    principal: Principal,
    evaluation_id: str | UUID,
    *,
    decision: str = "",
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> CasePage:
    """The cases of an evaluation with the reasons for each, for whoever may read its job's outputs.

    A published score is everybody's; what it says of single cases stays with the organisation that
    may use the data. ``cursor`` is the id of the last case of the page before.
    """
    evaluation = _readable_inside(principal, evaluation_id)
    if decision and decision not in DECISIONS:
        raise InvalidField(
            field="decision", value=decision[:20], rule="choose from " + ", ".join(DECISIONS)
        )
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidField(field="limit", value=limit, rule=f"give 1 to {MAX_LIMIT}")
    folder = _outputs_of(evaluation)
    found = _predictions(evaluation, folder)
    counts = {name: len(_decided(found, value)) for name, value in DECISIONS.items()}
    if decision:
        found = _decided(found, DECISIONS[decision])
    if cursor:
        found = found.filter(pl.col(ID) > cursor)
    shown = found.head(limit)
    last = shown[ID][-1] if len(found) > limit else None
    return CasePage(_cases(shown, folder), last, counts)


def find_case(principal: Principal, evaluation_id: str | UUID, case_id: str) -> Case:
    """One case with all its reasons."""
    evaluation = _readable_inside(principal, evaluation_id)
    folder = _outputs_of(evaluation)
    found = _predictions(evaluation, folder).filter(pl.col(ID) == case_id)
    if found.is_empty():
        raise MissingRecord(kind="case", id=case_id[:80])
    return _cases(found, folder)[0]


def pack_tables(principal: Principal, evaluation_id: str | UUID) -> list[dict[str, Any]]:
    """The tables that the pack itself made of its scores; shown as its own, never a score."""
    folder = _outputs_of(_readable_inside(principal, evaluation_id))
    tables: list[dict[str, Any]] = _document(folder, REPORT_FILE)["tables"]
    return tables


def may_see_cases(principal: Principal, evaluation: Evaluation) -> bool:
    """Whether a page shows the way to an evaluation's cases."""
    return is_allowed(principal, "job.read_log", evaluation.job.resource())


# --- conformance ---------------------------------------------------------------------------------


def record_check(principal: Principal, source: PackSource, report: Report) -> PackCheck:
    """Keep how an installed pack came out of its checks, so that pages can show its tier."""
    authorize(principal, "system.manage", Resource("Platform", "platform"))
    digest = source.sha256()
    with unit_of_work():
        check = PackCheck.objects.create(
            pack=source.name,
            pack_version=source.version,
            sha256=digest,
            tier=str(report.tier or ""),
            results=[asdict(result) for result in report.results],
        )
        record(
            "pack.checked",
            subject=f"pack:{source.name}",
            actor=principal,
            data={
                "pack_version": source.version,
                "sha256": digest,
                "tier": check.tier,
                "failed": [r.check for r in report.results if r.status is Status.FAILED],
            },
        )
    return check


def checks_of(principal: Principal, sources: Iterable[PackSource]) -> dict[str, PackCheck]:
    """The newest checks of these packs, where they are of the code that is installed now."""
    authorize(principal, "pack.read", Resource("Pack"))
    by_name = {source.name: source for source in sources}
    newest = PackCheck.objects.newest_of(by_name)
    return {name: check for name, check in newest.items() if check.sha256 == by_name[name].sha256()}


# --- helpers -------------------------------------------------------------------------------------


def _readable_inside(principal: Principal, evaluation_id: str | UUID) -> Evaluation:
    evaluation = find_evaluation(principal, evaluation_id)
    authorize(principal, "job.read_log", evaluation.job.resource())
    return evaluation


def _outputs_of(evaluation: Evaluation) -> Path:
    newest = evaluation.job.attempts.order_by("-number")[0]
    return attempt_folder(evaluation.job_id, newest.number) / "outputs"


def _predictions(evaluation: Evaluation, folder: Path) -> pl.DataFrame:
    rows = evaluation.details.get("rows", 0)
    return read_predictions(folder, PREDICTIONS_FILE, pack=evaluation.pack, max_rows=rows).sort(ID)


def _decided(found: pl.DataFrame, decision: bool | None) -> pl.DataFrame:
    return found.filter(pl.col(DECISION).eq_missing(pl.lit(decision, dtype=pl.Boolean)))


def _document(folder: Path, file: str) -> dict[str, Any]:
    """A document that a run left."""
    try:
        document: dict[str, Any] = json.loads((folder / file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OutputMissing(file=file, place=str(folder), reason=str(error)) from error
    return document


def _cases(found: pl.DataFrame, folder: Path) -> list[Case]:
    told = _document(folder, EXPLANATIONS_FILE)["cases"]
    reasons = {item["id"]: item["reasons"] for item in told}
    return [
        Case(
            id=row[ID],
            fold=row[FOLD],
            score=row[SCORE],
            decision=row[DECISION],
            reasons=reasons.get(row[ID], ()),
        )
        for row in found.iter_rows(named=True)
    ]


def _check_readable(folder: Path) -> None:
    """Let trouble of this machine through: where a table is read, it looks like a wrong file."""
    try:
        for path in folder.iterdir():
            if path.is_file():
                path.open("rb").close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageUnavailable(place=str(folder), reason=reason) from error


def _judge(manifest: Manifest, job: Job, folder: Path) -> Judgement:
    cases = next(ref for ref in job.quote.spec.inputs if ref.name == manifest.cases.name)
    version = find_version(EVALUATOR, cases.dataset, cases.version)
    return evaluate_outputs(manifest, folder, read_frame(version), seed=SEED)


def _scored(judgement: Judgement, manifest: Manifest) -> dict[str, Any]:
    primary = judgement.primary
    return {
        "state": Evaluation.State.SCORED,
        "score": primary.value,
        "low": primary.low,
        "high": primary.high,
        "baseline": judgement.baseline.roc_auc_by_fold.mean,
        "permuted": judgement.permuted.mean if judgement.permuted else None,
        "details": judgement.document(),
    }


def _record(job: Job, manifest: Manifest, folder: Path, fields: Mapping[str, Any]) -> Evaluation:
    inputs = {ref.name: f"{ref.dataset}@{ref.version}" for ref in job.quote.spec.inputs}
    with unit_of_work():
        evaluation, fresh = Evaluation.objects.get_or_create(
            job=job,
            defaults={
                "organisation": job.organisation,
                "pack": manifest.name,
                "pack_version": manifest.version,
                "inputs": inputs,
                "metric": str(manifest.primary_metric),
                **fields,
            },
        )
        if fresh:
            record(
                "evaluation.recorded",
                subject=f"evaluation:{evaluation.pk}",
                actor=EVALUATOR,
                data={
                    "job": str(job.pk),
                    "pack": manifest.name,
                    "pack_version": manifest.version,
                    "inputs": inputs,
                    "state": str(evaluation.state),
                    "metric": evaluation.metric,
                    "score": _text(evaluation.score),
                    "baseline": _text(evaluation.baseline),
                    "permuted": _text(evaluation.permuted),
                    "predictions_sha256": _sha256(folder / "predictions.parquet"),
                },
                parties=[job.organisation_id],
            )
            emit("evaluation.recorded", {"evaluation": str(evaluation.pk)})
    return evaluation


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
