"""Scenarios: what the programme recognises on the evidence of an evaluation."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import parse_id
from haihe.kernel.outbox import emit
from haihe.kernel.work import unit_of_work
from haihe.packs.models import Evaluation
from haihe.packs.services import find_evaluation
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize, is_allowed
from haihe.programme.domain.scenarios import judge_evaluation
from haihe.programme.errors import AlreadyProposed, ScenarioRefused
from haihe.programme.models import Scenario
from haihe.programme.services.plans import find_plan

ACCEPTED = "scenario.accepted"
TITLE_LENGTH = 200
ALIKE_SHOWN = 20


def propose_scenario(
    principal: Principal,
    *,
    evaluation: str | UUID,
    plan: str,
    measure: str,
    title: str,
    title_en: str = "",
) -> Scenario:
    """Propose what a pack achieved as a scenario of a plan's measure.

    Raises
    ------
    ScenarioRefused
        If the score is not above its baseline, or the permuted-label control is not at chance.
    """
    scored = find_evaluation(principal, evaluation)
    authorize(principal, "scenario.propose", scored.organisation.resource("Scenario"))
    carried = find_plan(principal, plan)
    if carried.document.measure(measure) is None:
        raise MissingRecord(kind="measure", id=f"{plan}/{measure}")
    for field, text in (("title", title), ("title_en", title_en or title)):
        if not text.strip() or len(text) > TITLE_LENGTH:
            raise InvalidField(
                field=field, value=text[:40], rule=f"give 1 to {TITLE_LENGTH} characters"
            )
    _refuse_unconvincing(scored)
    with unit_of_work():
        before = Scenario.objects.filter(evaluation=scored).values_list("pk", flat=True).first()
        if before is not None:
            raise AlreadyProposed(evaluation=str(scored.pk), scenario=str(before))
        scenario = Scenario.objects.create(
            plan=carried,
            measure_id=measure,
            organisation=scored.organisation,
            evaluation=scored,
            title=title,
            title_en=title_en,
            proposed_by_id=principal.person_id,
        )
        _record("scenario.proposed", principal, scenario)
        emit("scenario.proposed", {"scenario": str(scenario.pk)})
    return scenario


def accept_scenario(principal: Principal, scenario_id: str | UUID, *, note: str = "") -> Scenario:
    """Recognise a proposed scenario, as somebody outside the proposing organisation."""
    return _decide(
        principal, scenario_id, Scenario.State.ACCEPTED, ACCEPTED, note,
        needed=Scenario.State.PROPOSED,
    )  # fmt: skip


def decline_scenario(principal: Principal, scenario_id: str | UUID, *, note: str) -> Scenario:
    """Decline a proposed scenario, with the reason."""
    _needs_note(note)
    return _decide(
        principal, scenario_id, Scenario.State.DECLINED, "scenario.declined", note,
        needed=Scenario.State.PROPOSED,
    )  # fmt: skip


def revoke_scenario(principal: Principal, scenario_id: str | UUID, *, note: str) -> Scenario:
    """Take back a recognition, with the reason: the indicator goes down by one from now on."""
    _needs_note(note)
    return _decide(
        principal, scenario_id, Scenario.State.REVOKED, "scenario.revoked", note,
        needed=Scenario.State.ACCEPTED,
    )  # fmt: skip


def list_scenarios(
    principal: Principal, *, state: str = "", measure: str = ""
) -> QuerySet[Scenario]:
    """Accepted scenarios, and the proposals that the caller may see."""
    authorize(principal, "scenario.read", Resource("Scenario", public=True))
    if state and state not in Scenario.State.values:
        raise InvalidField(
            field="state",
            value=state[:20],
            rule="choose from " + ", ".join(Scenario.State.values),
        )
    rows = Scenario.objects.visible_to(
        principal.organisations(),
        all_of_them=is_allowed(principal, "scenario.read", Resource("Scenario")),
    )
    # One plan for all its rows, and no evaluation's figures: both are large.
    rows = rows.select_related("organisation", "evaluation").defer("evaluation__details")
    rows = rows.prefetch_related("plan")
    rows = rows.filter(state=state) if state else rows
    return rows.filter(measure_id=measure) if measure else rows


def find_scenario(principal: Principal, scenario_id: str | UUID) -> Scenario:
    """A scenario with its evaluation."""
    pk = parse_id(scenario_id, kind="scenario")
    scenario = (
        Scenario.objects.select_related(
            "organisation", "plan", "evaluation__job", "proposed_by", "decided_by"
        )
        .filter(pk=pk)
        .first()
    )
    if scenario is None:
        raise MissingRecord(kind="scenario", id=str(pk))
    authorize(principal, "scenario.read", scenario.resource())
    return scenario


def accepted_like(principal: Principal, scenario: Scenario) -> list[Scenario]:
    """Accepted scenarios of the same pack, organisation and measure, the newest first.

    Who decides should see them: one application, run once more, is no further one.
    """
    rows = list_scenarios(principal, state=Scenario.State.ACCEPTED, measure=scenario.measure_id)
    alike = rows.filter(
        organisation=scenario.organisation_id,
        plan__slug=scenario.plan.slug,
        evaluation__pack=scenario.evaluation.pack,
    )
    return list(alike.exclude(pk=scenario.pk).order_by("-pk")[:ALIKE_SHOWN])


def has_same_inputs(scenario: Scenario, other: Scenario) -> bool:
    """Whether two scenarios rest on the very same versions of the same data."""
    return bool(scenario.evaluation.inputs == other.evaluation.inputs)


def _refuse_unconvincing(evaluation: Evaluation) -> None:
    score, baseline, permuted = evaluation.score, evaluation.baseline, evaluation.permuted
    if score is None or baseline is None or permuted is None:
        raise ScenarioRefused(
            condition="state", value=evaluation.state, threshold="scored, with both controls"
        )
    verdicts = judge_evaluation(score=score, baseline=baseline, permuted=permuted)
    unmet = next((verdict for verdict in verdicts if not verdict.met), None)
    if unmet is not None:
        raise ScenarioRefused(
            condition=unmet.condition, value=unmet.value, threshold=unmet.threshold
        )


def _needs_note(note: str) -> None:
    if not note.strip():
        raise InvalidField(field="note", value="", rule="say why")


def _decide(
    principal: Principal,
    scenario_id: str | UUID,
    state: str,
    kind: str,
    note: str,
    *,
    needed: str,
) -> Scenario:
    scenario = find_scenario(principal, scenario_id)
    authorize(principal, "scenario.accept", scenario.resource())
    with unit_of_work():
        moved = Scenario.objects.filter(pk=scenario.pk, state=needed).update(
            state=state, decided_by_id=principal.person_id, decided_at=now(), note=note
        )
        if not moved:
            scenario.refresh_from_db(fields=["state"])
            raise WrongState(
                kind="scenario", id=str(scenario.pk), state=scenario.state, needed=needed
            )
        scenario.refresh_from_db()
        Evaluation.objects.filter(pk=scenario.evaluation_id).update(
            is_public=state == Scenario.State.ACCEPTED
        )
        _record(kind, principal, scenario)
        emit(kind, {"scenario": str(scenario.pk)})
    return scenario


def _record(kind: str, principal: Principal, scenario: Scenario) -> None:
    """Log a step. The target is the one of the plan that counts scenarios of the measure."""
    evaluation = scenario.evaluation
    target = scenario.plan.document.target_counting(ACCEPTED, measure=scenario.measure_id)
    record(
        kind,
        subject=scenario.subject,
        actor=principal,
        data={
            "plan": scenario.plan.slug,
            "plan_version": scenario.plan.version,
            "target": target.code if target else "",
            "measure": scenario.measure_id,
            "title": scenario.title,
            "evaluation": str(evaluation.pk),
            "job": str(evaluation.job_id),
            "metric": evaluation.metric,
            "score": f"{evaluation.score:.6f}",
            "note": scenario.note,
        },
        parties=[scenario.organisation_id],
    )
