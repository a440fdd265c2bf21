"""The chain at a glance: how much of each step there is, and what somebody does next.

Counting rows costs as much as there are rows, and a front page is asked for all the time. Rows of
the tables counted here are only ever added, and their ids rise with time, so what lies before an
instant well in the past is counted once and remembered; only what came after is counted each time.
The figures are exact at the instant that stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import Count

from haihe.compute.models import Centre, Contract, Job, Quote, Settlement, UsageRecord
from haihe.data.models import Agreement, Dataset
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.models import Entity
from haihe.packs.models import Evaluation
from haihe.parties.models import Organisation
from haihe.policy.domain import MANAGING, WORKING, PlatformRole, Principal, Resource
from haihe.policy.services import authorize
from haihe.programme.models import Plan, Scenario, Scheme, Voucher

# No transaction lasts so long: a row with an older id is committed, or never will be.
SETTLED_AGE = timedelta(hours=1)
# With fewer rows than this after the remembered instant, a later one is not worth a write.
REMEMBER_FROM = 2_000
REMEMBER_S = 24 * 3_600

HOLDERS = {Organisation.Kind.HOSPITAL, Organisation.Kind.AGENCY, Organisation.Kind.UNIVERSITY}
COUNTED: dict[str, type[Entity]] = {
    "datasets": Dataset,
    "agreements": Agreement,
    "quotes": Quote,
    "jobs": Job,
    "usage": UsageRecord,
    "settlements": Settlement,
    "evaluations": Evaluation,
}


@dataclass(frozen=True)
class Overview:
    """How much of each step of the chain there is at ``as_of``."""

    as_of: datetime
    counts: dict[str, int]


def read_overview(principal: Principal) -> Overview:
    """The chain's counts, for everybody: how many, and of nobody in particular."""
    authorize(principal, "indicator.read", Resource("Indicator"))
    as_of = now()
    vouchers = dict(Voucher.objects.order_by().values_list("state").annotate(Count("pk")))
    documents = [plan.document for plan in Plan.objects.current()]
    counts = {
        "targets": sum(len(document.targets) for document in documents),
        "schemes": Scheme.objects.count(),
        "applications": sum(vouchers.values()),
        "vouchers": sum(
            vouchers.get(state, 0) for state in (Voucher.State.RESERVED, Voucher.State.CLOSED)
        ),
        **{name: _count(name, model, as_of) for name, model in COUNTED.items()},
        "scenarios": Scenario.objects.filter(state=Scenario.State.ACCEPTED).count(),
    }
    return Overview(as_of, counts)


def _count(name: str, model: type[Entity], at: datetime) -> int:
    """The exact number of rows of a table that only grows."""
    key = f"overview:{name}"
    rows: Any = model._default_manager.order_by()
    remembered: tuple[UUID, int] | None = cache.get(key)
    since, before = remembered or (UUID(int=0), 0)
    after: int = rows.filter(pk__gte=since).count()
    if after >= REMEMBER_FROM:
        settled = _first_id_at(at - SETTLED_AGE)
        earlier = before + rows.filter(pk__gte=since, pk__lt=settled).count()
        if earlier - before >= REMEMBER_FROM:
            cache.set(key, (settled, earlier), REMEMBER_S)
    return before + after


def _first_id_at(at: datetime) -> UUID:
    """The least UUIDv7 (RFC 9562) of an instant: its milliseconds, then zeros."""
    return UUID(int=int(at.timestamp() * 1_000) << 80)


# --- what to do next -----------------------------------------------------------------------------


@dataclass(frozen=True)
class NextStep:
    """Something that waits for the caller; ``count`` is how many, where that says something."""

    code: str
    count: int = 0


def next_steps(principal: Principal) -> list[NextStep]:
    """What waits for the caller, or would take them further; the most pressing first."""
    if principal.id is None:
        return [NextStep("sign-in")]
    steps = [*_for_the_platform(principal), *_for_organisations(principal)]
    return steps or [NextStep("look-at-plan")]


def _for_the_platform(principal: Principal) -> list[NextStep]:
    if PlatformRole.OFFICER not in principal.platform_roles:
        return []
    if not Plan.objects.exists():
        return [NextStep("import-plan")]
    if not Scheme.objects.exists():
        return [NextStep("open-scheme")]
    applied = Voucher.objects.filter(state=Voucher.State.APPLIED).count()
    proposed = Scenario.objects.filter(state=Scenario.State.PROPOSED).count()
    return [
        step
        for step in (NextStep("review-vouchers", applied), NextStep("decide-scenarios", proposed))
        if step.count
    ]


def _for_organisations(principal: Principal) -> list[NextStep]:
    if not principal.memberships:
        # Who looks after the platform needs no organisation.
        return [] if principal.platform_roles else [NextStep("register-organisation")]
    managed, works_in = principal.organisations(*MANAGING), principal.organisations(*WORKING)
    drafts = Contract.objects.filter(provider__in=managed, state=Contract.State.DRAFT)
    offered = Agreement.objects.filter(consumer__in=managed, state=Agreement.State.PROPOSED)
    unproposed = Evaluation.objects.filter(
        organisation__in=works_in, state=Evaluation.State.SCORED, scenario=None
    )
    waiting = [
        NextStep("sign-contracts", drafts.count()),
        NextStep("accept-agreements", offered.count()),
        NextStep("apply-for-voucher", _without_voucher(managed)),
        NextStep("propose-scenario", unproposed.count()),
    ]
    kinds = set(Organisation.objects.filter(pk__in=works_in).values_list("kind", flat=True))
    return [*(step for step in waiting if step.count), *_first_steps(kinds, managed, works_in)]


def _first_steps(
    kinds: set[str], managed: frozenset[UUID], works_in: frozenset[UUID]
) -> list[NextStep]:
    """How organisations of these kinds begin, as far as they have not begun."""
    steps = []
    if Organisation.Kind.CENTRE_OPERATOR in kinds:
        begun = Centre.objects.filter(operator__in=works_in).exists()
        steps += [] if begun else [NextStep("connect-centre")]
    if kinds & HOLDERS:
        begun = Dataset.objects.filter(organisation__in=works_in).exists()
        steps += [] if begun else [NextStep("register-dataset")]
    if Organisation.Kind.ENTERPRISE in kinds:
        contracted = Contract.objects.filter(buyer__in=works_in).exists()
        steps += [NextStep("draw-up-contract")] if managed and not contracted else []
        worked = Job.objects.filter(organisation__in=works_in).exists()
        steps += [] if worked else [NextStep("run-pack")]
    return steps


def _without_voucher(managed: frozenset[UUID]) -> int:
    """How many signed contracts could still have a voucher under a scheme that is open today."""
    today = local_day()
    if not Scheme.objects.filter(opens_on__lte=today, closes_on__gte=today).exists():
        return 0
    used = Voucher.objects.filter(organisation__in=managed).standing().values("contract")
    signed = Contract.objects.filter(buyer__in=managed, state=Contract.State.SIGNED)
    return signed.filter(ends_on__gte=today).exclude(pk__in=used).count()
