"""Pages of vouchers: the list, one with its verdicts and history, and the application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from haihe.evidence.labels import kind_label
from haihe.evidence.services import find as find_evidence
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.money import format_micro
from haihe.kernel.pagination import MAX_LIMIT, paginate
from haihe.kernel.texts import called
from haihe.policy.domain import Principal
from haihe.policy.http import Request
from haihe.policy.services import is_allowed
from haihe.programme import labels
from haihe.programme.domain.vouchers import Verdict
from haihe.programme.errors import VoucherRefused
from haihe.programme.forms import ApplicationForm, DecisionForm, VoucherFilter
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import choices
from haihe.programme.services import vouchers as services
from haihe.programme.services.books import (
    VoucherBalance,
    redemptions_of,
    voucher_balance,
    voucher_balances,
)

SHOWN_REDEMPTIONS = 50
VOUCHER_COLUMNS = (
    "number", "scheme", "organisation", "provider", "contract", "state", "amount_micro",
    "left_micro", "held_micro", "redeemed_micro", "returned_micro", "note", "created_at",
    "decided_at",
)  # fmt: skip
EVENT_ICONS: Mapping[str, str] = {
    "voucher.applied": "send",
    "voucher.reserved": "check",
    "voucher.refused": "x",
    "voucher.withdrawn": "arrow-left",
    "voucher.closed": "archive",
}
EVENT_TONES: Mapping[str, str] = {"voucher.reserved": "good", "voucher.refused": "bad"}

Decide = Callable[[Principal, str, str], Voucher]
DECISIONS: Mapping[str, tuple[Decide, str | Promise]] = {
    "approve": (
        lambda principal, number, note: services.approve_voucher(principal, number, note=note),
        gettext_lazy("The voucher is granted; its amount is reserved."),
    ),
    "refuse": (
        lambda principal, number, note: services.refuse_voucher(principal, number, note=note),
        gettext_lazy("The application is refused."),
    ),
    "withdraw": (
        lambda principal, number, note: services.withdraw_application(principal, number),
        gettext_lazy("The application is withdrawn."),
    ),
    "close": (
        lambda principal, number, note: services.close_voucher(principal, number),
        gettext_lazy("The voucher is closed; what was left is in the pool again."),
    ),
}


@require_GET
def vouchers(request: Request) -> HttpResponse:
    """Vouchers that the visitor may see, newest first."""
    schemes = services.list_schemes(request.principal)
    form = VoucherFilter(request.GET, schemes=[(row.slug, called(row)) for row in schemes])
    narrowed = form.cleaned_data if form.is_valid() else {}
    rows = services.list_vouchers(request.principal, **narrowed)
    if export_asked(request):
        listed = list(rows.order_by("-pk")[:EXPORT_ROWS])
        balances = voucher_balances(listed)
        exported = (_exported(row, balances[row.pk]) for row in listed)
        return export_table(request, exported, columns=VOUCHER_COLUMNS, name="vouchers")
    page = paginate(rows, cursor=request.GET.get("cursor"))
    balances = voucher_balances(page.items)
    context = {
        "form": form,
        "page": page,
        "rows": [
            {
                "voucher": row,
                "balance": balances[row.pk],
                "tone": labels.VOUCHER_TONES[row.state],
            }
            for row in page.items
        ],
        "is_narrowed": any(narrowed.values()),
        "as_of": now(),
    }
    return render(request, "programme/vouchers.html", context)


@require_http_methods(["GET", "POST"])
def voucher(request: Request, number: str) -> HttpResponse:
    """A voucher with its verdicts, balance and history; decide on it on POST."""
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        decide, done = DECISIONS.get(form.cleaned_data["decision"], (None, ""))
        if decide is None:
            form.add_error(None, _("There is no such decision."))
        else:
            with shown_on(form):
                decide(request.principal, number, form.cleaned_data["note"])
                messages.success(request, str(done))
                return redirect("programme:voucher", number)
    found = services.find_voucher(request.principal, number)
    subject = f"voucher:{number}"
    entries = find_evidence(request.principal, subject=subject, limit=MAX_LIMIT).items
    context = {
        "voucher": found,
        "tone": labels.VOUCHER_TONES[found.state],
        "balance": voucher_balance(found),
        "verdicts": labels.verdict_rows(
            found.scheme.rules, [Verdict(**verdict) for verdict in found.verdicts]
        ),
        "declared": [d for d in found.scheme.rules.declarations if d.code in found.declared],
        "events": [
            {
                "entry": entry,
                "title": kind_label(entry.kind),
                "icon": EVENT_ICONS.get(entry.kind, "point"),
                "tone": EVENT_TONES.get(entry.kind, "info"),
            }
            for entry in reversed(entries)
        ],
        "redemptions": redemptions_of(found, limit=SHOWN_REDEMPTIONS),
        "form": form,
        **_may(request.principal, found),
        "as_of": now(),
    }
    return render(request, "programme/voucher.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def apply(request: Request, slug: str) -> HttpResponse:
    """Apply for a voucher; the button "check" shows how it would come out, and does nothing."""
    scheme = services.find_scheme(request.principal, slug)
    contracts = choices.possible_contracts(request.principal)
    form = ApplicationForm(
        request.POST or None,
        contracts=[(c.number, f"{c.number} · {called(c.provider)}") for c in contracts],
        declarations=scheme.rules.declarations,
        initial=_first_offer(request, scheme),
    )
    check = None
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            if "check" in request.POST:
                check = services.check_application(request.principal, slug, **form.cleaned_data)
            else:
                applied = services.apply_for_voucher(request.principal, slug, **form.cleaned_data)
                messages.success(request, _("The application is in. Somebody else reviews it."))
                return redirect("programme:voucher", applied.number)
        if isinstance(form.refusal, VoucherRefused):
            check = services.check_application(request.principal, slug, **form.cleaned_data)
    context = {
        "scheme": scheme,
        "contracts": contracts,
        "form": form,
        "check": check,
        "verdicts": labels.verdict_rows(scheme.rules, list(check.verdicts)) if check else [],
        "as_of": now(),
    }
    return render(request, "programme/apply.html", context, status=form.status)


def _first_offer(request: Request, scheme: Scheme) -> dict[str, Any]:
    """For a contract that the address names: the most that could be granted on it."""
    contract = request.GET.get("contract")
    if request.method == "POST" or not contract:
        return {}
    found = services.check_application(
        request.principal, scheme.slug, contract=contract, amount_micro=1, declared=()
    )
    amount = format_micro(found.most_micro).partition(" ")[0].replace(",", "")
    return {"contract": contract, "amount_micro": amount}


def _may(principal: Principal, row: Voucher) -> dict[str, bool]:
    """Which buttons a page shows; the service decides anyway."""
    applied = row.state == Voucher.State.APPLIED
    over = row.contract.ends_on < local_day()
    closable = row.state == Voucher.State.RESERVED and over
    return {
        "may_review": applied and is_allowed(principal, "voucher.review", row.resource()),
        "may_withdraw": applied and is_allowed(principal, "voucher.withdraw", row.resource()),
        "may_close": closable and is_allowed(principal, "scheme.manage", row.scheme.resource()),
    }


def _exported(row: Voucher, balance: VoucherBalance) -> dict[str, Any]:
    return {
        **vars(row),
        **vars(balance),
        "scheme": row.scheme.slug,
        "organisation": row.organisation.slug,
        "provider": row.contract.provider.slug,
        "contract": row.contract.number,
    }
