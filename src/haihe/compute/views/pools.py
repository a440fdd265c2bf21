"""Pages of pools: nodes, history, prices, maintenance, allocations and terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from haihe.compute.domain import HOUR_MS, MILLI
from haihe.compute.forms import (
    AllocationForm,
    MaintenanceForm,
    OfferForm,
    PoolForm,
    PoolTermsForm,
)
from haihe.compute.labels import NODE_TONES, Label
from haihe.compute.models import Node, Offer, Pool
from haihe.compute.quantities import duration, power, quantity, size
from haihe.compute.services import allocations, centres, maintenance, network
from haihe.compute.services.allocations import AllocationCard
from haihe.compute.services.network import PoolCondition
from haihe.compute.views.network import charts, pool_row
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import Refusable, shown_on
from haihe.kernel.money import MICRO
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

SPARK_POINTS = 60
NODES_SHOWN = 20
PERIODS: Mapping[str, tuple[Label, timedelta]] = {
    "day": (gettext_lazy("Day"), timedelta(days=1)),
    "week": (gettext_lazy("Week"), timedelta(days=7)),
    "month": (gettext_lazy("Month"), timedelta(days=31)),
}
NODE_COLUMNS = (
    "name", "condition", "reason", "cpu_milli", "used_cpu_milli", "memory_bytes",
    "used_memory_bytes", "gpus", "used_gpu_milli", "gpu_model", "reported_at",
)  # fmt: skip
OFFER_COLUMNS = ("begins_at", "ends_at", "cpu_hour_micro", "gpu_hour_micro", "minimum_micro")


@require_http_methods(["GET", "POST"])
def pool_new(request: Request, slug: str) -> HttpResponse:
    """Add a pool to a centre."""
    found = centres.find_centre(request.principal, slug)
    form = PoolForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            centres.create_pool(
                request.principal,
                slug,
                slug=form.cleaned_data["slug"],
                **form.capacity(),
                terms=form.terms(),
            )
            messages.success(request, _("The pool is added. Give it a price, and jobs can come."))
            return redirect("compute:pool", slug, form.cleaned_data["slug"])
    context = {"form": form, "centre": found}
    return render(request, "compute/pool_form.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def pool(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """A pool: its nodes and history, prices, maintenance, allocations, terms."""
    found = centres.find_pool(request.principal, f"{slug}/{pool_slug}")
    offers = centres.offers_of(request.principal, str(found))
    nodes = network.nodes_of(request.principal, str(found))
    if export_asked(request):
        name = f"{slug}-{pool_slug}"
        if request.GET.get("table") == "nodes":
            shown = map(vars, nodes[:EXPORT_ROWS])
            return export_table(request, shown, columns=NODE_COLUMNS, name=f"{name}-nodes")
        rows = map(vars, offers[:EXPORT_ROWS])
        return export_table(request, rows, columns=OFFER_COLUMNS, name=f"{name}-offers")
    form = OfferForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            centres.set_offer(request.principal, str(found), **form.cleaned_data)
            messages.success(request, _("The price holds from now on; open quotes keep theirs."))
            return redirect("compute:pool", slug, pool_slug)
    condition = _condition(request, found)
    context = {
        **pool_row(condition),
        **_held(condition),
        **_history(request, found),
        "centre": found.centre,
        "nodes": [_node_row(node) for node in nodes[:NODES_SHOWN]],
        "node_count": sum(condition.nodes.values()),
        "page": paginate(offers, cursor=request.GET.get("cursor")),
        "prices": _prices(offers),
        "maintenance": maintenance.maintenance_of(request.principal, str(found)),
        "allocations": [
            _allocation_row(card)
            for card in allocations.allocations_of(request.principal, str(found))
        ],
        "watts_idle": _power(found.watts_idle),
        "watts_busy": _power(found.watts_busy),
        "form": form,
        "may_update": is_allowed(request.principal, "centre.update", found.centre.resource()),
        "as_of": now(),
    }
    return render(request, "compute/pool.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def pool_terms(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Say anew how a pool is reached, what it has, whom it takes."""
    found = centres.find_pool(request.principal, f"{slug}/{pool_slug}")
    form = PoolTermsForm(request.POST or None, initial=PoolTermsForm.initial_of(found))
    return _edit(
        request,
        found,
        form,
        lambda: centres.update_pool(request.principal, str(found), form.terms()),
        template="compute/pool_terms.html",
        done=_("The terms of the pool are changed. What runs there goes on."),
    )


@require_http_methods(["GET", "POST"])
def maintenance_new(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Plan a time in which a pool takes no jobs."""
    found = centres.find_pool(request.principal, f"{slug}/{pool_slug}")
    form = MaintenanceForm(request.POST or None)
    return _edit(
        request,
        found,
        form,
        lambda: maintenance.plan_maintenance(request.principal, str(found), **form.cleaned_data),
        template="compute/maintenance_form.html",
        done=_("The maintenance is planned: no job that would still run then goes there."),
    )


@require_POST
def maintenance_withdraw(
    request: Request, slug: str, pool_slug: str, maintenance_id: UUID
) -> HttpResponse:
    """Call a maintenance off."""
    maintenance.withdraw_maintenance(request.principal, maintenance_id)
    messages.success(request, _("The maintenance is called off."))
    return redirect("compute:pool", slug, pool_slug)


@require_http_methods(["GET", "POST"])
def allocation_new(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Let an organisation use so much of a pool in a period."""
    found = centres.find_pool(request.principal, f"{slug}/{pool_slug}")
    form = AllocationForm(request.POST or None)
    return _edit(
        request,
        found,
        form,
        lambda: allocations.set_allocation(request.principal, str(found), **form.cleaned_data),
        template="compute/allocation_form.html",
        done=_("The allocation holds."),
    )


@require_POST
def pool_open(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Let a pool take new jobs."""
    centres.set_pool_open(request.principal, f"{slug}/{pool_slug}", is_open=True)
    messages.success(request, _("The pool takes new jobs."))
    return redirect("compute:pool", slug, pool_slug)


@require_POST
def pool_drain(request: Request, slug: str, pool_slug: str) -> HttpResponse:
    """Let a pool take no new jobs."""
    centres.set_pool_open(request.principal, f"{slug}/{pool_slug}", is_open=False)
    messages.success(request, _("The pool takes no new jobs; what runs there ends there."))
    return redirect("compute:pool", slug, pool_slug)


# --- helpers -------------------------------------------------------------------------------------


def _edit(
    request: Request,
    found: Pool,
    form: Refusable,
    act: Callable[[], object],
    *,
    template: str,
    done: str,
) -> HttpResponse:
    """A form about a pool on a page of its own, which leads back to the pool."""
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            act()
            messages.success(request, done)
            return redirect("compute:pool", found.centre.slug, found.slug)
    context = {"form": form, "pool": found, "centre": found.centre}
    return render(request, template, context, status=form.status)


def _condition(request: Request, found: Pool) -> PoolCondition:
    [one] = network.look_at_network(request.principal, centre=found.centre.slug).centres
    return next(condition for condition in one.pools if condition.pool.pk == found.pk)


def _held(condition: PoolCondition) -> dict[str, Any]:
    """What Haihe's own jobs hold, beside what is in use by whomever."""
    pool, held = condition.pool, condition.held
    text = _("%(held)s of %(all)s")
    return {
        "held": held,
        "cpu": text % _amounts(held.cpu_milli, pool.cpu_milli),
        "gpu": text % _amounts(held.gpu_milli, pool.gpu_milli),
    }


def _amounts(held_milli: int, all_milli: int) -> dict[str, str]:
    return {"held": quantity(held_milli), "all": quantity(all_milli)}


def _history(request: Request, found: Pool) -> dict[str, Any]:
    """Charts over the period that the address asks for, a week without."""
    asked = request.GET.get("last", "")
    chosen = asked if asked in PERIODS else "week"
    last = PERIODS[chosen][1]
    history = {
        metric: [(point.at, point.mean) for point in points]
        for metric, points in network.pool_history(request.principal, str(found), last=last).items()
    }
    watts = history.get("watts", [])
    drawn = charts(history)
    return {
        # A pool without cards has no line for their use.
        "used_over_time": drawn["used"] if found.gpu_milli else drawn["used"][:2],
        "queue_over_time": drawn["queue"],
        "power": [{"label": _("Power"), "points": [(at, v / MILLI) for at, v in watts]}],
        "has_power": bool(watts),
        "begins": now() - last,
        "periods": [
            {"name": name, "label": label, "is_shown": name == chosen}
            for name, (label, _last) in PERIODS.items()
        ],
    }


def _node_row(node: Node) -> dict[str, Any]:
    age_s = (now() - node.reported_at).total_seconds()
    return {
        "node": node,
        "condition": node.get_condition_display(),
        "tone": NODE_TONES[node.condition],
        "cpu": _of(node.used_cpu_milli, node.cpu_milli),
        "memory": f"{size(node.used_memory_bytes)} / {size(node.memory_bytes)}",
        "gpu": _of(node.used_gpu_milli, node.gpus * MILLI) if node.gpus else "",
        "age": _("%(time)s ago") % {"time": duration(age_s)},
        "is_stale": age_s > network.FRESH_FOR.total_seconds(),
    }


def _of(used_milli: int, whole_milli: int) -> str:
    """Units in use, to a tenth, of all."""
    return f"{used_milli / MILLI:,.1f} / {whole_milli / MILLI:,.0f}"


def _allocation_row(card: AllocationCard) -> dict[str, Any]:
    row, used, pending = card.allocation, card.used, card.pending
    return {
        "row": row,
        "cpu": _share(used.cpu_ms, pending.cpu_ms, row.cpu_ms, HOUR_MS),
        "gpu": _share(used.gpu_milli_ms, pending.gpu_milli_ms, row.gpu_milli_ms, HOUR_MS * MILLI),
    }


def _share(used: int, pending: int, whole: int, unit: int) -> dict[str, Any]:
    """Hours used, held by unfinished jobs, left, and how full the bar is."""
    left = max(0, whole - used - pending)
    hours = {
        name: f"{value / unit:,.1f}"
        for name, value in (("used", used), ("pending", pending), ("left", left), ("whole", whole))
    }
    return {**hours, "is_set": bool(whole), "value": used + pending, "max": whole}


def _power(watts: int | None) -> str:
    return "" if watts is None else power(watts)


def _prices(offers: Any) -> list[tuple[str, float]]:
    """The newest prices per CPU-hour in CNY, oldest first, for a small line."""
    newest: list[Offer] = list(offers[:SPARK_POINTS])
    return [
        (f"{offer.begins_at:%Y-%m-%d %H:%M}", offer.cpu_hour_micro / MICRO)
        for offer in reversed(newest)
    ]
