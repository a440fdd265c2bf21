"""Pages of organisations: the directory, their cards, and who holds a share of whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.kernel.clock import now
from haihe.kernel.export import export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import Page, paginate
from haihe.parties import services
from haihe.parties.forms import DirectoryFilter, NamesForm, OrganisationForm, OwnershipForm
from haihe.parties.models import Organisation
from haihe.policy.domain import Resource
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

DIRECTORY_COLUMNS = (
    "slug", "name", "name_en", "kind", "credit_code", "verified_at", "created_at", "id",
)  # fmt: skip
HOLDING_COLUMNS = ("owner", "owned", "percent", "source", "created_at")


@dataclass(frozen=True)
class Tab:
    """One of the pages about an organisation."""

    label: str
    address: str
    is_current: bool


def may(request: Request, action: str, organisation: Organisation, kind: str = "") -> bool:
    """Whether to show what leads to ``action`` on something of the organisation's."""
    resource = organisation.resource(kind) if kind else organisation.resource()
    return is_allowed(request.principal, action, resource)


def tabs(request: Request, organisation: Organisation) -> list[Tab]:
    """The pages about an organisation that the visitor may see."""
    pages = [
        ("parties:organisation", _("Card"), "organisation.read"),
        ("parties:members", _("Members"), "organisation.read_members"),
        ("parties:invitations", _("Invitations"), "organisation.invite"),
        ("parties:ownership", _("Ownership"), "organisation.read"),
    ]
    return [
        Tab(label, address := reverse(name, args=[organisation.slug]), address == request.path)
        for name, label, action in pages
        if may(request, action, organisation)
    ]


@require_GET
def directory(request: Request) -> HttpResponse:
    """The directory of organisations."""
    form = DirectoryFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    rows = services.list_organisations(request.principal, **wanted)
    if export_asked(request):
        values = rows.order_by("-pk").values(*DIRECTORY_COLUMNS).iterator()
        return export_table(request, values, columns=DIRECTORY_COLUMNS, name="organisations")
    context = {
        "form": form,
        "page": paginate(rows, cursor=request.GET.get("cursor"))
        if form.is_valid()
        else Page([], None),
        "is_narrowed": any(wanted.values()),
        "may_create": is_allowed(
            request.principal, "organisation.create", Resource("Organisation")
        ),
        "as_of": now(),
    }
    status = 200 if form.is_valid() else 422
    return render(request, "parties/organisations.html", context, status=status)


@require_http_methods(["GET", "POST"])
def create(request: Request) -> HttpResponse:
    """Register an organisation."""
    services.check_may_create(request.principal)
    form = OrganisationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            created = services.create_organisation(request.principal, **form.cleaned_data)
            messages.success(
                request, _("%(name)s is registered; you own it.") % {"name": created.name}
            )
            return redirect("parties:organisation", created.slug)
    return render(request, "parties/new_organisation.html", {"form": form}, status=form.status)


@require_GET
def by_id(request: Request, organisation_id: UUID) -> HttpResponse:
    """Go to an organisation that a ledger or evidence row names by its id."""
    found = services.find_organisation_by_id(request.principal, organisation_id)
    return redirect("parties:organisation", found.slug)


@require_GET
def show(request: Request, slug: str) -> HttpResponse:
    """An organisation's card."""
    organisation = services.find_organisation(request.principal, slug)
    may_read_accounts = may(request, "account.read", organisation, "Account")
    may_deposit = may(request, "account.deposit", organisation, "Account")
    context = {
        "organisation": organisation,
        "tabs": tabs(request, organisation),
        "may_edit": may(request, "organisation.update", organisation),
        "may_verify": may(request, "organisation.verify", organisation),
        "may_open_accounts": may_read_accounts or may_deposit,
        "as_of": now(),
    }
    return render(request, "parties/organisation.html", context)


@require_http_methods(["GET", "POST"])
def edit(request: Request, slug: str) -> HttpResponse:
    """Change the names on an organisation's card."""
    organisation = services.find_organisation(request.principal, slug)
    initial = {"name": organisation.name, "name_en": organisation.name_en}
    form = NamesForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.update_organisation(request.principal, slug, **form.cleaned_data)
            messages.success(request, _("The card was changed."))
            return redirect("parties:organisation", slug)
    context = {
        "form": form,
        "organisation": organisation,
        "may_edit": may(request, "organisation.update", organisation),
    }
    return render(request, "parties/edit_organisation.html", context, status=form.status)


@require_POST
def verify(request: Request, slug: str) -> HttpResponse:
    """Confirm, as the operator, that the organisation is the one its credit code names."""
    verified = services.verify_organisation(request.principal, slug)
    messages.success(request, _("%(name)s is verified.") % {"name": verified.name})
    return redirect("parties:organisation", slug)


@require_http_methods(["GET", "POST"])
def ownership(request: Request, slug: str) -> HttpResponse:
    """Who holds a share of the organisation, and of whom it holds one."""
    organisation = services.find_organisation(request.principal, slug)
    form = OwnershipForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.record_ownership(request.principal, owned=slug, **form.cleaned_data)
            messages.success(request, _("The holding is recorded."))
            return redirect("parties:ownership", slug)
    rows = services.holdings_of(request.principal, slug)
    if export_asked(request):
        exported = map(_exported_holding, rows)
        return export_table(request, exported, columns=HOLDING_COLUMNS, name=f"ownership-{slug}")
    context = {
        "form": form,
        "organisation": organisation,
        "tabs": tabs(request, organisation),
        "page": paginate(rows, cursor=request.GET.get("cursor")),
        "may_record": may(request, "organisation.verify", organisation),
        "as_of": now(),
    }
    return render(request, "parties/ownership.html", context, status=form.status)


def _exported_holding(row: Any) -> dict[str, Any]:
    return {
        "owner": row.owner.slug,
        "owned": row.owned.slug,
        "percent": row.percent,
        "source": row.source,
        "created_at": row.created_at,
    }
