"""HTTP routes of plans, their targets, and the indicators computed from evidence."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import AwareDatetime, Field

from haihe.kernel.api import CursorPage, PageQuery, as_page
from haihe.kernel.pagination import paginate
from haihe.packs.api import BothLanguages
from haihe.policy.http import Request
from haihe.programme.domain.plans import Measure, PlanDocument, System, Target
from haihe.programme.models import Plan
from haihe.programme.services import overview, plans
from haihe.programme.services.chain import Link, links_of

router = Router(tags=["programme"])


class PlanOut(Schema):
    """One version of a plan. `status` is what its source says of itself."""

    slug: str
    version: int
    status: str
    title: BothLanguages
    begins: date
    ends: date
    source: BothLanguages
    targets: int
    measures: int
    sha256: str
    imported_at: datetime
    superseded_at: datetime | None


class TargetOut(Schema):
    """A value to reach, its statistical definition, and who is responsible."""

    code: str
    title: BothLanguages
    comparison: str
    value: int | None = Field(description="Null for a target that cannot be measured as written.")
    upper: int | None
    unit: BothLanguages
    scope: BothLanguages
    definition: BothLanguages
    measures: list[str]
    responsible_units: list[BothLanguages]
    counts: str | None = Field(description="Kind of evidence that is counted; null without a rule.")
    less: str | None = Field(description="Kind of evidence that takes a count back.")


class MeasureOut(Schema):
    """A task of the plan; the first unit leads by convention."""

    id: str
    group: BothLanguages
    title: BothLanguages
    units: list[BothLanguages]


class SystemOut(Schema):
    """A system, platform or mechanism that the plan names."""

    id: str
    measure: str
    role: str
    title: BothLanguages


class PlanDetail(PlanOut):
    """A version of a plan with all that it says."""

    notes: list[BothLanguages]
    all_targets: list[TargetOut]
    all_measures: list[MeasureOut]
    all_systems: list[SystemOut]


class PlanIn(Schema):
    """A plan file."""

    toml: str = Field(description="The content of the plan's TOML file.")


class ChangeOut(Schema):
    """One difference between two versions of a plan."""

    part: str
    key: str
    kind: str
    field: str
    before: Any
    after: Any


class ImportedPlan(Schema):
    """A plan as it was brought in, and what it changed in the version before."""

    plan: PlanOut
    changes: list[ChangeOut]


class PlanVersionQuery(Schema):
    """Which version of a plan."""

    version: int | None = Field(None, ge=1, description="The current one if not given.")


class VersionsQuery(Schema):
    """Which versions of a plan to compare."""

    old: int = Field(ge=1)
    new: int = Field(ge=1)


class AsOfQuery(Schema):
    """Of when."""

    as_of: AwareDatetime | None = Field(None, description="An instant in the past; now if absent.")


class IndicatorOut(Schema):
    """A target with its measured value; null if the plan gives no rule to compute it by."""

    plan: str
    plan_version: int
    target: TargetOut
    value: int | None
    is_reached: bool
    as_of: datetime | None


class IndicatorsOut(Schema):
    """All targets of the current plans, with their values at one instant."""

    as_of: datetime
    items: list[IndicatorOut]


class FactOut(Schema):
    """A logged fact that is counted, and what it rests on as far as the caller may see."""

    evidence_id: UUID
    at: datetime
    kind: str
    subject: str
    title: str | None
    evaluation_id: UUID | None
    job_id: UUID | None
    settlement_evidence_id: UUID | None
    amount_micro: int | None
    voucher: str | None


class PointOut(Schema):
    """The value from an instant on."""

    at: datetime
    value: int


class IndicatorDetail(IndicatorOut):
    """A target's value, every fact that makes it up, and every value it had."""

    facts: list[FactOut]
    history: list[PointOut]


class OverviewOut(Schema):
    """How much of each step of the chain there is."""

    as_of: datetime
    counts: dict[str, int]


@router.get("/overview", response=OverviewOut)
def read_overview(request: Request) -> OverviewOut:
    """How much of each step of the chain there is, from a plan's targets to accepted scenarios."""
    found = overview.read_overview(request.principal)
    return OverviewOut(as_of=found.as_of, counts=found.counts)


@router.get("/plans", response=CursorPage[PlanOut])
def list_plans(request: Request, page: Query[PageQuery]) -> CursorPage[PlanOut]:
    """The current version of each plan."""
    rows = paginate(plans.list_plans(request.principal), cursor=page.cursor, limit=page.limit)
    return as_page(rows, lambda row: PlanOut(**_plan(row)))


@router.post("/plans", response={201: ImportedPlan})
def import_plan(request: Request, body: PlanIn) -> Status[ImportedPlan]:
    """Bring in a plan, or a higher version of one; the version before stays readable."""
    plan, changes = plans.import_plan(request.principal, body.toml.encode())
    return Status(
        201,
        ImportedPlan(
            plan=PlanOut(**_plan(plan)), changes=[ChangeOut(**asdict(item)) for item in changes]
        ),
    )


@router.get("/plans/{slug}", response=PlanDetail)
def read_plan(request: Request, slug: str, query: Query[PlanVersionQuery]) -> PlanDetail:
    """A plan with its targets, measures, units and systems."""
    plan = plans.find_plan(request.principal, slug, query.version)
    document = plan.document
    return PlanDetail(
        **_plan(plan),
        notes=[BothLanguages(**note) for note in document.notes],
        all_targets=[_target(document, target) for target in document.targets],
        all_measures=[_measure(measure) for measure in document.measures],
        all_systems=[_system(system) for system in document.systems],
    )


@router.get("/plans/{slug}/versions", response=list[PlanOut])
def list_plan_versions(request: Request, slug: str) -> list[PlanOut]:
    """All versions of a plan, the newest first."""
    return [PlanOut(**_plan(row)) for row in plans.versions_of(request.principal, slug)]


@router.get("/plans/{slug}/changes", response=list[ChangeOut])
def compare_plan_versions(
    request: Request, slug: str, query: Query[VersionsQuery]
) -> list[ChangeOut]:
    """What one version of a plan changed in another."""
    changes = plans.compare_versions(request.principal, slug, old=query.old, new=query.new)
    return [ChangeOut(**asdict(item)) for item in changes]


@router.get("/plans/{slug}/targets/{code}", response=TargetOut)
def read_target(request: Request, slug: str, code: str) -> TargetOut:
    """A target of the current version of a plan."""
    plan = plans.find_plan(request.principal, slug)
    return _target(plan.document, plans.find_target(request.principal, slug, code))


@router.get("/indicators", response=IndicatorsOut)
def list_indicators(request: Request, query: Query[AsOfQuery]) -> IndicatorsOut:
    """Every target of every current plan with its value, or null where the plan gives no rule."""
    as_of = plans.past(query.as_of)
    found = plans.list_indicators(request.principal, as_of=as_of)
    return IndicatorsOut(as_of=as_of, items=[IndicatorOut(**_indicator(item)) for item in found])


@router.get("/plans/{slug}/indicators/{code}", response=IndicatorDetail)
def read_indicator(
    request: Request, slug: str, code: str, query: Query[AsOfQuery]
) -> IndicatorDetail:
    """A target's value at an instant, with the evidence of every fact that makes it up."""
    found = plans.find_indicator(request.principal, slug, code, as_of=query.as_of)
    facts = found.observation.facts if found.observation else ()
    points = plans.indicator_history(request.principal, slug, code, as_of=query.as_of)
    return IndicatorDetail(
        **_indicator(found),
        facts=[_fact(link) for link in links_of(request.principal, facts)],
        history=[PointOut(at=point.at, value=point.value) for point in points],
    )


def _plan(row: Plan) -> dict[str, Any]:
    document = row.document
    return {
        "slug": row.slug,
        "version": row.version,
        "status": document.status,
        "title": document.title,
        "begins": document.begins,
        "ends": document.ends,
        "source": document.source,
        "targets": len(document.targets),
        "measures": len(document.measures),
        "sha256": row.sha256,
        "imported_at": row.created_at,
        "superseded_at": row.superseded_at,
    }


def _target(document: PlanDocument, target: Target) -> TargetOut:
    rule = target.indicator
    values = {name: getattr(target, name) for name in ("code", "comparison", "value", "upper")}
    texts = {name: getattr(target, name) for name in ("title", "unit", "scope", "definition")}
    return TargetOut(
        **values,
        **texts,
        measures=list(target.measures),
        responsible_units=[BothLanguages(**unit) for unit in document.responsible_units(target)],
        counts=rule.counts if rule else None,
        less=(rule.less or None) if rule else None,
    )


def _measure(measure: Measure) -> MeasureOut:
    return MeasureOut.model_validate(asdict(measure))


def _system(system: System) -> SystemOut:
    return SystemOut.model_validate(asdict(system))


def _indicator(found: plans.Indicator) -> dict[str, Any]:
    return {
        "plan": found.plan.slug,
        "plan_version": found.plan.version,
        "target": _target(found.document, found.target),
        "value": found.observation.value if found.observation else None,
        "is_reached": found.is_reached,
        "as_of": found.observation.as_of if found.observation else None,
    }


def _fact(link: Link) -> FactOut:
    return FactOut(
        evidence_id=UUID(link.fact.entry_id),
        at=link.fact.at,
        kind=link.fact.kind,
        subject=link.fact.subject,
        title=link.scenario.title if link.scenario else None,
        evaluation_id=link.scenario.evaluation_id if link.scenario else None,
        job_id=link.job.pk if link.job else None,
        settlement_evidence_id=link.settlement.evidence_id if link.settlement else None,
        amount_micro=link.settlement.amount_micro if link.settlement else None,
        voucher=link.voucher.number if link.voucher else None,
    )
