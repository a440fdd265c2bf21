"""Pages of compute contracts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.compute.forms import ContractForm
from haihe.compute.labels import CONTRACT_TONES
from haihe.compute.models import Contract
from haihe.compute.services import contracts as services
from haihe.compute.services.own import organisations_for
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.policy.domain import MANAGING
from haihe.policy.http import Request
from haihe.policy.services import is_allowed


@require_GET
def contracts(request: Request) -> HttpResponse:
    """Contracts of the caller's organisations."""
    rows = services.list_contracts(request.principal)
    if export_asked(request):
        return export_table(
            request,
            map(_plain_row, rows.order_by("-pk")[:EXPORT_ROWS]),
            columns=[
                "number", "buyer", "provider", "amount_micro", "eligible_micro",
                "begins_on", "ends_on", "state", "signed_on",
            ],
            name="contracts",
        )  # fmt: skip
    page = paginate(rows, cursor=request.GET.get("cursor"))
    return render(
        request,
        "compute/contracts.html",
        {
            "page": page,
            "rows": [{"contract": row, "tone": CONTRACT_TONES[row.state]} for row in page.items],
            "may_create": bool(request.principal.organisations(*MANAGING)),
            "as_of": now(),
        },
    )


@require_http_methods(["GET", "POST"])
def contract_new(request: Request) -> HttpResponse:
    """Draw up a contract."""
    buyers = organisations_for(request.principal, "contract.create", "Contract", *MANAGING)
    form = ContractForm(request.POST or None, buyers=buyers)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            created = services.create_contract(request.principal, **form.cleaned_data)
            messages.success(request, _("The contract is drawn up. Its provider signs next."))
            return redirect("compute:contract", created.pk)
    return render(request, "compute/contract_form.html", {"form": form}, status=form.status)


@require_GET
def contract(request: Request, contract_id: UUID) -> HttpResponse:
    """A contract and what is committed of it."""
    found = services.find_contract_by_id(request.principal, contract_id)
    committed = found.committed_micro()
    return render(
        request,
        "compute/contract.html",
        {
            "contract": found,
            "tone": CONTRACT_TONES[found.state],
            "committed_micro": committed,
            "left_micro": found.amount_micro - committed,
            "may_sign": found.state == Contract.State.DRAFT
            and is_allowed(request.principal, "contract.sign", found.resource_for_provider()),
            "as_of": now(),
        },
    )


@require_POST
def sign(request: Request, contract_id: UUID) -> HttpResponse:
    """Sign a contract for its provider."""
    found = services.find_contract_by_id(request.principal, contract_id)
    services.sign_contract(request.principal, found.number)
    messages.success(request, _("The contract is signed."))
    return redirect("compute:contract", contract_id)


def _plain_row(row: Contract) -> dict[str, Any]:
    return {**vars(row), "buyer": row.buyer.name, "provider": row.provider.name}
