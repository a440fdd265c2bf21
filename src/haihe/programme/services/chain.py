"""What a figure rests on: from an indicator down to the scenario, its evaluation, the job that was
scored, what was paid for it and by which voucher, each with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from haihe.compute.models import Job, Settlement
from haihe.evidence.models import EvidenceEntry
from haihe.evidence.services import find
from haihe.kernel.ids import parse_id
from haihe.kernel.pagination import MAX_LIMIT
from haihe.policy.domain import Principal
from haihe.policy.services import is_allowed
from haihe.programme.domain.indicators import Fact
from haihe.programme.models import Scenario, Voucher

SCENARIO = "scenario:"
GRANTED = (Voucher.State.RESERVED, Voucher.State.CLOSED)


@dataclass(frozen=True)
class Link:
    """One counted fact and what it rests on.

    ``job``, ``settlement`` and ``voucher`` are None for whoever may not read them; that the fact is
    logged, and what it is about, is everybody's to check.
    """

    fact: Fact
    scenario: Scenario | None
    job: Job | None
    settlement: Settlement | None
    voucher: Voucher | None


def links_of(principal: Principal, facts: Sequence[Fact]) -> list[Link]:
    """What each of the facts rests on, as far as the caller may see."""
    ids = [_scenario_id(fact) for fact in facts]
    scenarios = _with_their_jobs(Scenario.objects.all()).in_bulk([pk for pk in ids if pk])
    vouchers = _vouchers_of(scenarios.values())
    return [
        _link(principal, fact, scenarios.get(pk) if pk else None, vouchers)
        for fact, pk in zip(facts, ids, strict=True)
    ]


def link_of(principal: Principal, scenario: Scenario) -> Link:
    """What one scenario rests on, as far as the caller may see."""
    found = _with_their_jobs(Scenario.objects.all()).get(pk=scenario.pk)
    return _link(principal, _newest_fact(scenario), found, _vouchers_of([found]))


def trail_of(principal: Principal, link: Link) -> list[EvidenceEntry]:
    """Every logged step from the application for the voucher to the decision on the scenario that
    the caller may read, in the order of the log."""
    scenario = link.scenario
    assert scenario is not None, "a trail leads to a scenario"
    evaluation = scenario.evaluation
    contract = evaluation.job.quote.contract
    subjects = [scenario.subject, f"evaluation:{evaluation.pk}", f"job:{evaluation.job_id}"]
    if contract is not None:
        subjects.append(f"contract:{contract.pk}")
    if link.voucher is not None:
        subjects.append(f"voucher:{link.voucher.number}")
    entries = [
        entry
        for subject in subjects
        for entry in find(principal, subject=subject, limit=MAX_LIMIT).items
    ]
    return sorted(entries, key=lambda entry: entry.index)


def _newest_fact(scenario: Scenario) -> Fact:
    """The last logged step of a scenario: what it is now follows from it."""
    row = EvidenceEntry.objects.filter(subject=scenario.subject).order_by("-index")[0]
    return Fact(str(row.id), row.at, row.kind, row.subject)


def _with_their_jobs(scenarios: QuerySet[Scenario]) -> QuerySet[Scenario]:
    return scenarios.select_related(
        "organisation",
        "evaluation__job__settlement",
        "evaluation__job__quote__contract",
        "evaluation__job__pool__centre",
    )


def _vouchers_of(scenarios: Iterable[Scenario]) -> dict[UUID, Voucher]:
    """The granted vouchers of the scenarios' contracts, by contract."""
    contracts = [scenario.evaluation.job.quote.contract_id for scenario in scenarios]
    granted = Voucher.objects.select_related("contract", "scheme").filter(
        contract__in=[contract for contract in contracts if contract], state__in=GRANTED
    )
    return {voucher.contract_id: voucher for voucher in granted}


def _link(
    principal: Principal, fact: Fact, scenario: Scenario | None, vouchers: dict[UUID, Voucher]
) -> Link:
    if scenario is None:
        return Link(fact, None, None, None, None)
    job = scenario.evaluation.job
    voucher = vouchers.get(job.quote.contract_id) if job.quote.contract_id else None
    sees_job = is_allowed(principal, "job.read", job.resource())
    if voucher is not None and not is_allowed(principal, "voucher.read", voucher.resource()):
        voucher = None
    settlement = getattr(job, "settlement", None) if sees_job else None
    return Link(fact, scenario, job if sees_job else None, settlement, voucher)


def _scenario_id(fact: Fact) -> UUID | None:
    if not fact.subject.startswith(SCENARIO):
        return None
    return parse_id(fact.subject.removeprefix(SCENARIO), kind="scenario")
