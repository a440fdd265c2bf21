"""Pages of voucher schemes: their rules, their pools, and payments to providers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from haihe.kernel.clock import now
from haihe.kernel.export import export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.money import format_micro
from haihe.kernel.pagination import paginate
from haihe.kernel.texts import called, with_currency
from haihe.policy.domain import MANAGING
from haihe.policy.http import Request
from haihe.policy.services import authorize, is_allowed
from haihe.programme import labels
from haihe.programme.forms import FundForm, PaymentForm, SchemeForm
from haihe.programme.models import Scheme
from haihe.programme.services import choices
from haihe.programme.services import payments as payment_services
from haihe.programme.services import vouchers as services
from haihe.programme.services.books import SchemeBalance, scheme_balance

SCHEME_COLUMNS = (
    "slug", "title", "title_en", "office", "rules", "opens_on", "closes_on", "pool_micro",
    "granted_micro", "redeemed_micro", "paid_micro",
)  # fmt: skip


@require_GET
def schemes(request: Request) -> HttpResponse:
    """All voucher schemes."""
    rows = services.list_schemes(request.principal)
    if export_asked(request):
        exported = (_exported(row, scheme_balance(row)) for row in rows)
        return export_table(request, exported, columns=SCHEME_COLUMNS, name="schemes")
    page = paginate(rows, cursor=request.GET.get("cursor"))
    context = {
        "page": page,
        "rows": [{"scheme": row, "balance": scheme_balance(row)} for row in page.items],
        "may_open": choices.may_open_schemes(request.principal),
        "as_of": now(),
    }
    return render(request, "programme/schemes.html", context)


@require_http_methods(["GET", "POST"])
def scheme_open(request: Request) -> HttpResponse:
    """Open a scheme under a rule set."""
    offices = choices.possible_offices(request.principal)
    form = SchemeForm(
        request.POST or None,
        request.FILES or None,
        offices=[(office.slug, called(office)) for office in offices],
    )
    if request.method == "POST" and form.is_valid():
        fields = dict(form.cleaned_data)
        with shown_on(form):
            opened = services.open_scheme(
                request.principal, rules_file=fields.pop("rules"), **fields
            )
            messages.success(request, _("The scheme is open. Fund its pool next."))
            return redirect("programme:fund", opened.slug)
    return render(request, "programme/scheme_form.html", {"form": form}, status=form.status)


@require_GET
def scheme(request: Request, slug: str) -> HttpResponse:
    """A scheme: its rules with the status of each source, and where its vouchers are."""
    found = services.find_scheme(request.principal, slug)
    manages = is_allowed(request.principal, "scheme.manage", found.resource())
    context = {
        "scheme": found,
        "rules": found.rules,
        "rules_status": labels.source_status(found.rules.status),
        "conditions": labels.clause_rows(found.rules.conditions),
        "declarations": labels.clause_rows(found.rules.declarations),
        "remarks": labels.clause_rows(found.rules.remarks),
        "balance": scheme_balance(found),
        "manages": manages,
        "pays": is_allowed(request.principal, "voucher.pay", found.resource()),
        "may_apply": bool(request.principal.organisations(*MANAGING)),
        "as_of": now(),
    }
    return render(request, "programme/scheme.html", context)


@require_GET
def scheme_by_id(request: Request, scheme_id: UUID) -> HttpResponse:
    """Go to a scheme that evidence names by its id."""
    found = services.find_scheme_by_id(request.principal, scheme_id)
    return redirect("programme:scheme", found.slug)


@require_http_methods(["GET", "POST"])
def fund(request: Request, slug: str) -> HttpResponse:
    """Put vouchers into a scheme's pool."""
    found = services.find_scheme(request.principal, slug)
    authorize(request.principal, "scheme.manage", found.resource())
    form = FundForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.fund_scheme(request.principal, slug, **form.cleaned_data)
            amount = with_currency(format_micro(form.cleaned_data["amount_micro"]))
            messages.success(request, _("%(amount)s are in the pool.") % {"amount": amount})
            return redirect("programme:scheme", slug)
    context = {"scheme": found, "form": form, "balance": scheme_balance(found), "as_of": now()}
    return render(request, "programme/fund.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def payments(request: Request, slug: str) -> HttpResponse:
    """The providers that wait for payment; pay one on POST."""
    found = services.find_scheme(request.principal, slug)
    form = PaymentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            amount = payment_services.pay_provider(
                request.principal, slug, provider=form.cleaned_data["provider"]
            )
            messages.success(
                request, _("%(amount)s are paid.") % {"amount": with_currency(format_micro(amount))}
            )
            return redirect("programme:payments", slug)
    claims = payment_services.open_claims(request.principal, slug)
    if export_asked(request):
        rows = [{"provider": c.provider.slug, "amount_micro": c.amount_micro} for c in claims]
        columns = ["provider", "amount_micro"]
        return export_table(request, rows, columns=columns, name=f"claims-{slug}")
    context = {
        "scheme": found,
        "form": form,
        "claims": claims,
        "balance": scheme_balance(found),
        "as_of": now(),
    }
    return render(request, "programme/payments.html", context, status=form.status)


def _exported(row: Scheme, balance: SchemeBalance) -> dict[str, Any]:
    amounts = ("pool_micro", "granted_micro", "redeemed_micro", "paid_micro")
    return {
        "slug": row.slug,
        "title": row.title,
        "title_en": row.title_en,
        "office": row.office.slug,
        "rules": row.rules.slug,
        "opens_on": row.opens_on,
        "closes_on": row.closes_on,
        **{name: getattr(balance, name) for name in amounts},
    }
