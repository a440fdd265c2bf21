"""Pages of centres: what they have, what speaks for them, and who is known there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.compute.agent.config import FILE as AGENT_FILE
from haihe.compute.forms import AccountForm, CentreForm, CentreTermsForm
from haihe.compute.models import Agent, Centre
from haihe.compute.quantities import duration, quantity, rate
from haihe.compute.services import accounts, agents
from haihe.compute.services import centres as services
from haihe.compute.services.centres import PoolCard
from haihe.compute.services.facts import SILENT_AFTER
from haihe.compute.services.network import look_at_network
from haihe.compute.services.own import organisations_for
from haihe.compute.views.network import pool_row
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.kernel.settings import load_settings
from haihe.policy.domain import MANAGING
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

ACCOUNTS_SHOWN = 500
CLOCK_TOLERANCE_S = 60
AGENT_FOLDER = "haihe-agent"


@require_GET
def centres(request: Request) -> HttpResponse:
    """All centres with what they have and ask."""
    rows = services.list_centres(request.principal)
    if export_asked(request):
        listed = _centre_rows(request, list(rows.order_by("-pk")[:EXPORT_ROWS]))
        return export_table(
            request,
            listed,
            columns=[
                "slug", "centre", "operator", "pools",
                "cpu_milli", "held_cpu_milli", "gpu_milli", "held_gpu_milli", "from_micro",
            ],
            name="centres",
        )  # fmt: skip
    page = paginate(rows, cursor=request.GET.get("cursor"))
    return render(
        request,
        "compute/centres.html",
        {
            "page": page,
            "rows": _centre_rows(request, page.items),
            "may_create": bool(request.principal.organisations(*MANAGING)),
            "as_of": now(),
        },
    )


@require_http_methods(["GET", "POST"])
def centre_new(request: Request) -> HttpResponse:
    """Connect a centre."""
    operators = organisations_for(request.principal, "centre.create", "Centre", *MANAGING)
    form = CentreForm(request.POST or None, operators=operators)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            created = services.create_centre(request.principal, **form.cleaned_data)
            messages.success(request, _("The centre is connected. Add its first pool."))
            return redirect("compute:pool_new", created.slug)
    return render(request, "compute/centre_form.html", {"form": form}, status=form.status)


@require_GET
def centre(request: Request, slug: str) -> HttpResponse:
    """A centre: its pools as they are, what speaks for it, its terms, and who is known there."""
    return _centre_page(request, slug, {})


@require_GET
def centre_by_id(request: Request, centre_id: UUID) -> HttpResponse:
    """Go to a centre that evidence names by its id."""
    return redirect("compute:centre", services.find_centre_by_id(request.principal, centre_id).slug)


@require_http_methods(["GET", "POST"])
def centre_terms(request: Request, slug: str) -> HttpResponse:
    """Say anew where a centre is, how clean its power is, how fast data gets there."""
    found = services.find_centre(request.principal, slug)
    form = CentreTermsForm(request.POST or None, initial=CentreTermsForm.initial_of(found))
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.update_centre(request.principal, slug, form.terms())
            messages.success(request, _("The terms of the centre are changed."))
            return redirect("compute:centre", slug)
    context = {"form": form, "centre": found}
    return render(request, "compute/centre_terms.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def account_new(request: Request, slug: str) -> HttpResponse:
    """Say who a person is at a centre."""
    found = services.find_centre(request.principal, slug)
    form = AccountForm(request.POST or None, initial={"email": request.GET.get("email", "")})
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            accounts.set_account(request.principal, slug, **form.cleaned_data)
            messages.success(request, _("The person is known at the centre."))
            return redirect("compute:centre", slug)
    context = {"form": form, "centre": found}
    return render(request, "compute/account_form.html", context, status=form.status)


@require_POST
def account_drop(request: Request, slug: str) -> HttpResponse:
    """Forget who a person is at a centre."""
    accounts.drop_account(request.principal, slug, email=request.POST.get("email", ""))
    messages.success(request, _("The person is known at the centre no more. Their jobs go on."))
    return redirect("compute:centre", slug)


@never_cache
@require_POST
def agent_invite(request: Request, slug: str) -> HttpResponse:
    """Make a one-time token for an agent. It is in the answer and kept nowhere."""
    made = agents.invite_agent(request.principal, slug)
    return _centre_page(request, slug, {"invited": made, **_commands(made)})


@require_POST
def agent_revoke(request: Request, slug: str) -> HttpResponse:
    """Hear a centre's agent no more."""
    agents.revoke_agent(request.principal, slug)
    messages.success(request, _("The agent is not heard any more. What it looks after goes on."))
    return redirect("compute:centre", slug)


# --- helpers -------------------------------------------------------------------------------------


def _centre_page(request: Request, slug: str, more: Mapping[str, Any]) -> HttpResponse:
    found = services.find_centre(request.principal, slug)
    may_update = is_allowed(request.principal, "centre.update", found.resource())
    [one] = look_at_network(request.principal, centre=slug).centres
    at = now()
    context = {
        "centre": found,
        "one": one,
        "pools": [pool_row(pool) for pool in one.pools],
        "agent": one.agent,
        "clock": _clock(one.agent) if may_update and not one.is_embedded else None,
        "is_silent": one.seen_s is None or one.seen_s > SILENT_AFTER.total_seconds(),
        "link": rate(found.link_bytes_per_s) if found.link_bytes_per_s else "",
        "accounts": accounts.accounts_at(request.principal, slug)[:ACCOUNTS_SHOWN],
        "may_update": may_update,
        "as_of": at,
        **more,
    }
    return render(request, "compute/centre.html", context)


def _clock(agent: Agent | None) -> dict[str, Any] | None:
    """By how much the agent's clock differs from the platform's."""
    if agent is None or agent.seen_at is None:
        return None
    ahead_s = agent.clock_ahead_ms / 1_000
    text = _("%(time)s ahead") if ahead_s >= 0 else _("%(time)s behind")
    return {
        "text": text % {"time": duration(abs(ahead_s))},
        "is_off": abs(ahead_s) > CLOCK_TOLERANCE_S,
    }


def _commands(made: agents.NewEnrolment) -> dict[str, str]:
    """What the operator runs beside the scheduler, with the token in it."""
    pools = list(made.centre.pools.all())
    url = load_settings().public_url.rstrip("/")
    kinds = {pool.backend for pool in pools}
    run, file = f"haihe agent run --folder {AGENT_FOLDER}", ""
    if len(kinds) == 1:
        run += "".join([f" --backend {kinds.pop()}", *(f" --pool {pool.slug}" for pool in pools)])
    else:
        file = "\n\n".join(f'[pools.{pool.slug}]\nbackend = "{pool.backend}"' for pool in pools)
    return {
        "enrol": f"haihe agent enrol --url {url} --folder {AGENT_FOLDER} --token {made.token}",
        "run": run,
        "file": file,
        "file_name": f"{AGENT_FOLDER}/{AGENT_FILE}",
    }


def _centre_rows(request: Request, rows: Sequence[Centre]) -> list[dict[str, Any]]:
    """Centres with the sums over their pools, in as many queries for many as for one."""
    pools = [pool for centre in rows for pool in centre.pools.all()]
    cards = {card.pool.pk: card for card in services.pool_cards(request.principal, pools)}
    return [_centre_row(row, [cards[pool.pk] for pool in row.pools.all()]) for row in rows]


def _centre_row(row: Centre, cards: Sequence[PoolCard]) -> dict[str, Any]:
    prices = [card.offer.cpu_hour_micro for card in cards if card.offer and card.pool.is_open]
    total_cpu = sum(card.pool.cpu_milli for card in cards)
    total_gpu = sum(card.pool.gpu_milli for card in cards)
    held_cpu = sum(card.held.cpu_milli for card in cards)
    held_gpu = sum(card.held.gpu_milli for card in cards)
    return {
        "slug": row.slug,
        "centre": row,
        "operator": row.operator,
        "pools": len(cards),
        "cpu_milli": total_cpu,
        "held_cpu_milli": held_cpu,
        "gpu_milli": total_gpu,
        "held_gpu_milli": held_gpu,
        "from_micro": min(prices, default=None),
        "cpu": f"{quantity(held_cpu)} / {quantity(total_cpu)}",
        "gpu": f"{quantity(held_gpu)} / {quantity(total_gpu)}",
    }
