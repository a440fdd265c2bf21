"""HTTP routes of scenarios: what the programme recognises on the evidence of an evaluation."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.kernel.api import CursorPage, PageQuery, as_page
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request
from haihe.programme.api.vouchers import NoteIn, ReasonIn
from haihe.programme.models import Scenario
from haihe.programme.services import scenarios

router = Router(tags=["programme"])


class ScenarioOut(Schema):
    """A scenario with the score that it was proposed on."""

    id: UUID
    title: str
    title_en: str
    state: str
    organisation: str
    plan: str
    plan_version: int
    measure: str
    evaluation_id: UUID
    pack: str
    metric: str
    score: float | None
    note: str
    proposed_at: datetime
    decided_at: datetime | None


class ScenarioIn(Schema):
    """What is proposed as a scenario, and under which measure of which plan."""

    evaluation: str = Field(description="Id of a scored evaluation.")
    plan: str
    measure: str
    title: str = Field(max_length=200)
    title_en: str = Field("", max_length=200)


class ScenarioQuery(PageQuery):
    """Which scenarios."""

    state: str = Field("", description="One state only.")
    measure: str = Field("", description="Of one measure only.")


@router.get("/scenarios", response=CursorPage[ScenarioOut])
def list_scenarios(request: Request, query: Query[ScenarioQuery]) -> CursorPage[ScenarioOut]:
    """Accepted scenarios, and the proposals that the caller may see."""
    rows = scenarios.list_scenarios(request.principal, state=query.state, measure=query.measure)
    return as_page(paginate(rows, cursor=query.cursor, limit=query.limit), _scenario)


@router.post("/scenarios", response={201: ScenarioOut})
def propose_scenario(request: Request, body: ScenarioIn) -> Status[ScenarioOut]:
    """Propose what a pack achieved as a scenario of a plan's measure."""
    return Status(201, _scenario(scenarios.propose_scenario(request.principal, **body.dict())))


@router.get("/scenarios/{scenario_id}", response=ScenarioOut)
def read_scenario(request: Request, scenario_id: str) -> ScenarioOut:
    """A scenario."""
    return _scenario(scenarios.find_scenario(request.principal, scenario_id))


@router.post("/scenarios/{scenario_id}/accept", response=ScenarioOut)
def accept_scenario(request: Request, scenario_id: str, body: NoteIn) -> ScenarioOut:
    """Recognise a proposed scenario: the indicator that counts it goes up by one."""
    return _scenario(scenarios.accept_scenario(request.principal, scenario_id, note=body.note))


@router.post("/scenarios/{scenario_id}/decline", response=ScenarioOut)
def decline_scenario(request: Request, scenario_id: str, body: ReasonIn) -> ScenarioOut:
    """Decline a proposed scenario, with the reason."""
    return _scenario(scenarios.decline_scenario(request.principal, scenario_id, note=body.note))


@router.post("/scenarios/{scenario_id}/revoke", response=ScenarioOut)
def revoke_scenario(request: Request, scenario_id: str, body: ReasonIn) -> ScenarioOut:
    """Take back a recognition, with the reason: the indicator goes down by one from now on."""
    return _scenario(scenarios.revoke_scenario(request.principal, scenario_id, note=body.note))


def _scenario(row: Scenario) -> ScenarioOut:
    return ScenarioOut(
        id=row.pk,
        title=row.title,
        title_en=row.title_en,
        state=row.state,
        organisation=row.organisation.slug,
        plan=row.plan.slug,
        plan_version=row.plan.version,
        measure=row.measure_id,
        evaluation_id=row.evaluation_id,
        pack=row.evaluation.pack,
        metric=row.evaluation.metric,
        score=row.evaluation.score,
        note=row.note,
        proposed_at=row.created_at,
        decided_at=row.decided_at,
    )
