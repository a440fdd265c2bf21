"""Pages of centres, their pools, and the prices of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.compute.forms import CentreForm, OfferForm, PoolForm
from haihe.compute.labels import quantity
from haihe.compute.models import Centre, Offer
from haihe.compute.services import centres as services
from haihe.compute.services.centres import PoolCard
from haihe.compute.services.own import organisations_for
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.money import MICRO
from haihe.kernel.pagination import paginate
from haihe.policy.domain import MANAGING
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

SPARK_POINTS = 60


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
    """A centre: its pools, what is free of them, what they cost."""
    found = services.find_centre(request.principal, slug)
    cards = services.pool_cards(request.principal, found.pools.all())
    return render(
        request,
        "compute/centre.html",
        {
            "centre": found,
            "pools": [_pool_row(card) for card in cards],
            "may_update": is_allowed(request.principal, "centre.update", found.resource()),
            "as_of": now(),
        },
    )


@require_GET
def centre_by_id(request: Request, centre_id: UUID) -> HttpResponse:
    """Go to a centre that evidence names by its id."""
    return redirect("compute:centre", services.find_centre_by_id(request.principal, centre_id).slug)


@require_http_methods(["GET", "POST"])
def pool_new(request: Request, slug: str) -> HttpResponse:
    """Add a pool to a centre."""
    found = services.find_centre(request.principal, slug)
    form = PoolForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.create_pool(
                request.principal, slug, slug=form.cleaned_data["slug"], **form.capacity()
            )
            messages.success(request, _("The pool is added. Give it a price, and jobs can come."))
            return redirect("compute:pool", slug, form.cleaned_data["slug"])
    context = {"form": form, "centre": found}
    return render(request, "compute/pool_form.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def pool(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """A pool: capacity, price history, and for its operator new prices."""
    found = services.find_pool(request.principal, f"{slug}/{pool_slug}")
    offers = services.offers_of(request.principal, str(found))
    if export_asked(request):
        return export_table(
            request,
            map(vars, offers[:EXPORT_ROWS]),
            columns=["begins_at", "ends_at", "cpu_hour_micro", "gpu_hour_micro", "minimum_micro"],
            name=f"{slug}-{pool_slug}-offers",
        )
    form = OfferForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.set_offer(request.principal, str(found), **form.cleaned_data)
            messages.success(request, _("The price holds from now on; open quotes keep theirs."))
            return redirect("compute:pool", slug, pool_slug)
    [card] = services.pool_cards(request.principal, [found])
    page = paginate(offers, cursor=request.GET.get("cursor"))
    return render(
        request,
        "compute/pool.html",
        {
            **_pool_row(card),
            "centre": found.centre,
            "page": page,
            "prices": _prices(offers),
            "form": form,
            "may_update": is_allowed(request.principal, "centre.update", found.centre.resource()),
            "as_of": now(),
        },
        status=form.status,
    )


@require_POST
def pool_open(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Let a pool take new jobs."""
    services.set_pool_open(request.principal, f"{slug}/{pool_slug}", is_open=True)
    messages.success(request, _("The pool takes new jobs."))
    return redirect("compute:pool", slug, pool_slug)


@require_POST
def pool_drain(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Let a pool take no new jobs."""
    services.set_pool_open(request.principal, f"{slug}/{pool_slug}", is_open=False)
    messages.success(request, _("The pool takes no new jobs; those queued still run."))
    return redirect("compute:pool", slug, pool_slug)


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


def _pool_row(card: PoolCard) -> dict[str, Any]:
    pool, held = card.pool, card.held
    return {
        "pool": pool,
        "offer": card.offer,
        "held": held,
        "cpu": _("%(held)s of %(all)s") % _amounts(held.cpu_milli, pool.cpu_milli),
        "gpu": _("%(held)s of %(all)s") % _amounts(held.gpu_milli, pool.gpu_milli),
    }


def _amounts(held_milli: int, all_milli: int) -> dict[str, str]:
    return {"held": quantity(held_milli), "all": quantity(all_milli)}


def _prices(offers: Any) -> list[tuple[str, float]]:
    """The newest prices per CPU-hour in CNY, oldest first, for a small line."""
    newest: list[Offer] = list(offers[:SPARK_POINTS])
    return [
        (f"{offer.begins_at:%Y-%m-%d %H:%M}", offer.cpu_hour_micro / MICRO)
        for offer in reversed(newest)
    ]
