"""What the programme's forms offer to choose from; the services decide what goes together."""

from __future__ import annotations

from django.db.models import QuerySet

from haihe.compute.models import Contract
from haihe.compute.services.contracts import list_contracts
from haihe.kernel.days import local_day
from haihe.packs.models import Evaluation
from haihe.packs.services import find_evaluation
from haihe.parties.models import Organisation
from haihe.policy.domain import MANAGING, Principal, Resource
from haihe.policy.services import authorize, is_allowed
from haihe.programme.domain.plans import Measure
from haihe.programme.models import Plan
from haihe.programme.services.plans import list_plans

CHOICES = 200


def may_open_schemes(principal: Principal) -> bool:
    """Whether a page shows the way to opening a scheme."""
    return is_allowed(principal, "scheme.manage", Resource("Scheme"))


def possible_offices(principal: Principal) -> QuerySet[Organisation]:
    """The programme offices that could pay for a scheme."""
    authorize(principal, "scheme.manage", Resource("Scheme"))
    return Organisation.objects.filter(kind=Organisation.Kind.PROGRAMME_OFFICE).order_by("slug")


def possible_contracts(principal: Principal) -> list[Contract]:
    """The signed contracts, not over yet, on which the caller could apply for a voucher.

    Whoever could apply for nobody is told so before filling in a form.
    """
    managed = principal.organisations(*MANAGING)
    own = min(managed, default=None)
    authorize(principal, "voucher.apply", Resource("Voucher", organisation=own))
    signed = list_contracts(principal).filter(
        buyer__in=managed,
        state=Contract.State.SIGNED,
        ends_on__gte=local_day(),
    )
    return list(signed.order_by("-pk")[:CHOICES])


def possible_measures(principal: Principal) -> list[tuple[Plan, list[Measure]]]:
    """The measures of the current plans."""
    return [(plan, list(plan.document.measures)) for plan in list_plans(principal)]


def proposable(principal: Principal, evaluation_id: str) -> Evaluation:
    """The evaluation that the caller wants to propose, if they may."""
    found = find_evaluation(principal, evaluation_id)
    authorize(principal, "scenario.propose", found.organisation.resource("Scenario"))
    return found
