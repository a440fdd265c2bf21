"""HTTP routes of packs and of what the platform found them to be worth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.compute.models import Quote
from haihe.kernel.api import CursorPage, PageQuery, as_page
from haihe.kernel.pagination import paginate
from haihe.packs import services
from haihe.packs.discovery import PackSource
from haihe.packs.models import Evaluation, PackCheck
from haihe.policy.http import Request

router = Router(tags=["packs"])


class BothLanguages(Schema):
    """One text in both languages of the platform."""

    zh: str
    en: str


class PackOut(Schema):
    """An installed pack. ``tier`` is what its checks earned it; null if they were not made."""

    name: str
    version: str
    title: BothLanguages
    summary: BothLanguages
    disclaimer: BothLanguages
    measure: str
    systems: list[str]
    licence: str
    tier: str | None
    checked_at: datetime | None


class PackDetail(PackOut):
    """An installed pack with its whole manifest and how each conformance check came out."""

    sha256: str = Field(description="Of the manifest and the code that are installed.")
    manifest: dict[str, Any]
    checks: list[dict[str, Any]]


class PackRunIn(Schema):
    """What a run of a pack is for and on."""

    organisation: str = Field(description="Slug of the organisation that runs and pays.")
    inputs: dict[str, str] = Field(
        description="A dataset version, `slug@version`, for each input of the manifest.",
        examples=[{"cases": "wdbc@1"}],
    )
    contract: str = Field("", description="Number of a compute contract to run under.")


class PackQuoteOut(Schema):
    """What a run would cost at most. Submit it as a job with its `id`."""

    id: UUID
    organisation: str
    pool: str
    contract: str | None
    lines: list[dict[str, Any]]
    shares: list[dict[str, Any]]
    reasons: list[str]
    amount_micro: int
    expires_at: datetime


class EvaluationOut(Schema):
    """The platform's figures for one run of a pack; none if the predictions were refused."""

    id: UUID
    organisation: str
    job_id: UUID
    pack: str
    pack_version: str
    inputs: dict[str, str]
    state: str
    metric: str
    score: float | None
    low: float | None = Field(description="Lower end of the 95 % interval.")
    high: float | None = Field(description="Upper end of the 95 % interval.")
    baseline: float | None = Field(description="The same of the prior alone.")
    permuted: float | None = Field(description="The same of learning from shuffled labels.")
    message: str
    is_public: bool
    created_at: datetime


class EvaluationDetail(EvaluationOut):
    """An evaluation with all its figures: pooled, fold by fold, and of both controls."""

    details: dict[str, Any]


class EvaluationQuery(PageQuery):
    """Which evaluations."""

    pack: str = Field("", description="Of one pack only.")
    state: str = Field("", description="`scored` or `refused` only.")


class CaseOut(Schema):
    """One case: its score, its decision (null: the pack abstained), and its reasons."""

    id: str
    fold: int
    score: float
    decision: bool | None
    reasons: list[dict[str, Any]]


class CasesOut(Schema):
    """Cases in the order of their ids; `counts` are of the whole evaluation."""

    items: list[CaseOut]
    counts: dict[str, int]
    next_cursor: str | None


class CaseQuery(PageQuery):
    """Which cases."""

    decision: str = Field("", description="`positive`, `negative` or `abstained` only.")


@router.get("/packs", response=list[PackOut])
def list_packs(request: Request) -> list[PackOut]:
    """The packs installed here."""
    sources = services.list_packs(request.principal)
    checks = services.checks_of(request.principal, sources)
    return [PackOut(**_pack(source, checks.get(source.name))) for source in sources]


@router.get("/packs/{name}", response=PackDetail)
def read_pack(request: Request, name: str) -> PackDetail:
    """What a pack says of itself, and how it came out of its checks."""
    source = services.read_pack(request.principal, name)
    check = services.checks_of(request.principal, [source]).get(name)
    return PackDetail(
        **_pack(source, check),
        sha256=source.sha256(),
        manifest=source.manifest().model_dump(mode="json"),
        checks=check.results if check else [],
    )


@router.post("/packs/{name}/quotes", response={201: PackQuoteOut})
def quote_pack(request: Request, name: str, body: PackRunIn) -> Status[PackQuoteOut]:
    """Price a run of a pack on dataset versions. Submit the quote as a job to run it."""
    return Status(201, _quote(services.quote_pack(request.principal, name, **body.dict())))


@router.get("/evaluations", response=CursorPage[EvaluationOut])
def list_evaluations(request: Request, query: Query[EvaluationQuery]) -> CursorPage[EvaluationOut]:
    """Evaluations that the caller may see: those of their organisations, and published ones."""
    rows = services.list_evaluations(request.principal, pack=query.pack, state=query.state)
    page = paginate(rows, cursor=query.cursor, limit=query.limit)
    return as_page(page, lambda row: EvaluationOut(**_evaluation(row)))


@router.get("/evaluations/{evaluation_id}", response=EvaluationDetail)
def read_evaluation(request: Request, evaluation_id: str) -> EvaluationDetail:
    """An evaluation with all its figures."""
    row = services.find_evaluation(request.principal, evaluation_id)
    return EvaluationDetail(**_evaluation(row), details=row.details)


@router.get("/evaluations/{evaluation_id}/explanations", response=CasesOut)
def list_explanations(request: Request, evaluation_id: str, query: Query[CaseQuery]) -> CasesOut:
    """Why each case came out as it did, for whoever may read the job's outputs."""
    page = services.list_cases(
        request.principal,
        evaluation_id,
        decision=query.decision,
        cursor=query.cursor,
        limit=query.limit,
    )
    return CasesOut(
        items=[CaseOut(**vars(case)) for case in page.items],
        counts=dict(page.counts),
        next_cursor=page.next_cursor,
    )


def _pack(source: PackSource, check: PackCheck | None) -> dict[str, Any]:
    manifest = source.manifest()
    texts = {name: _both(getattr(manifest, name)) for name in ("title", "summary", "disclaimer")}
    return {
        "name": source.name,
        "version": source.version,
        **texts,
        "measure": manifest.measure,
        "systems": list(manifest.systems),
        "licence": manifest.licence,
        "tier": (check.tier or None) if check else None,
        "checked_at": check.created_at if check else None,
    }


def _both(text: Any) -> Mapping[str, str]:
    return {"zh": text.zh, "en": text.en}


def _quote(row: Quote) -> PackQuoteOut:
    return PackQuoteOut(
        id=row.pk,
        organisation=row.organisation.slug,
        pool=str(row.pool),
        contract=row.contract.number if row.contract else None,
        lines=row.lines,
        shares=row.shares,
        reasons=row.reasons,
        amount_micro=row.amount_micro,
        expires_at=row.expires_at,
    )


def _evaluation(row: Evaluation) -> dict[str, Any]:
    names = (
        "job_id", "pack", "pack_version", "inputs", "state", "metric", "score", "low", "high",
        "baseline", "permuted", "message", "is_public", "created_at",
    )  # fmt: skip
    values = {name: getattr(row, name) for name in names}
    return {"id": row.pk, "organisation": row.organisation.slug, **values}
