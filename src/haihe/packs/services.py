"""Packs on the platform: run as jobs, judged by the platform from their raw predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from haihe.compute.domain import InputRef, JobSpec, JobState, spec_from
from haihe.compute.models import Job, Quote
from haihe.compute.services.jobs import attempt_folder
from haihe.compute.services.quotes import request_quote
from haihe.data.services import find_version, read_frame
from haihe.evidence.services import record
from haihe.kernel.errors import HaiheError, MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.outbox import emit
from haihe.kernel.work import unit_of_work
from haihe.packs.discovery import PackSource, find_pack, installed_packs
from haihe.packs.domain import Manifest
from haihe.packs.errors import DatasetMissing
from haihe.packs.evaluation import Evaluation as Judgement
from haihe.packs.evaluation import evaluate_outputs
from haihe.packs.models import Evaluation
from haihe.parties.services import find_organisation
from haihe.policy.domain import PlatformRole, Principal, Resource, system_principal
from haihe.policy.services import authorize

SEED = 0
PACK_LABEL = "pack"
EVALUATOR = system_principal("evaluator")


def list_packs(principal: Principal) -> list[PackSource]:
    """The packs installed here, by name."""
    authorize(principal, "pack.read", Resource("Pack"))
    return installed_packs()


def read_pack(principal: Principal, name: str) -> PackSource:
    """An installed pack."""
    authorize(principal, "pack.read", Resource("Pack", name))
    return find_pack(name)


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
    refs = []
    for declared in manifest.inputs:
        if declared.name not in inputs:
            raise DatasetMissing(pack=manifest.name, input=declared.name)
        slug, _, number = inputs[declared.name].partition("@")
        refs.append(InputRef(name=declared.name, dataset=slug, version=int(number or 0)))
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


def evaluate_job(job_id: UUID) -> Evaluation | None:
    """Score a finished pack job from its raw predictions and the data the platform holds.

    Called when a job has ended; None for a job that is no pack's or did not succeed. Called again,
    it returns what was recorded the first time.
    """
    job = Job.objects.select_related("quote", "organisation", "created_by").get(pk=job_id)
    name = job.quote.spec.labels.get(PACK_LABEL)
    if name is None or job.state != JobState.SUCCEEDED:
        return None
    done = Evaluation.objects.filter(job=job).first()
    if done is not None:
        return done
    authorize(EVALUATOR, "evaluation.record", job.resource())
    manifest = find_pack(name).manifest()
    newest = job.attempts.order_by("-number")[0]
    folder = attempt_folder(job.pk, newest.number) / "outputs"
    try:
        fields = _scored(_judge(manifest, job, folder), manifest)
    except HaiheError as error:
        fields = {"state": Evaluation.State.REFUSED, "message": str(error), "details": {}}
    return _record(job, manifest, folder, fields)


def list_evaluations(principal: Principal) -> QuerySet[Evaluation]:
    """Evaluations that the caller may see."""
    rows = Evaluation.objects.select_related("organisation", "job")
    if principal.platform_roles & {PlatformRole.OFFICER, PlatformRole.AUDITOR}:
        return rows
    mine = rows.filter(organisation__in=principal.organisations())
    return mine | rows.filter(is_public=True)


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


def explanations_of(evaluation: Evaluation) -> Path:
    """Where the pack's reasons per case lie; the caller has read the evaluation."""
    newest = evaluation.job.attempts.order_by("-number")[0]
    return attempt_folder(evaluation.job_id, newest.number) / "outputs" / "explanations.json"


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
        "baseline": judgement.baseline.pooled.roc_auc.value,
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
