"""The page of the whole network: every centre and pool as it is, and a week behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from haihe.compute.forms import NetworkFilter
from haihe.compute.labels import POOL_STATES, POOL_TONES, WATTS
from haihe.compute.quantities import duration, percent, power, quantity, size
from haihe.compute.services import network as services
from haihe.compute.services.network import CentreCondition, Network, PoolCondition, PoolState
from haihe.kernel.export import export_asked, export_table
from haihe.policy.domain import MANAGING
from haihe.policy.http import Request

WEEK = timedelta(days=7)
PERCENT = 100


@require_GET
def network(request: Request) -> HttpResponse:
    """All centres, or those of a region or state; htmx asks for the part that changes."""
    found = services.look_at_network(request.principal)
    form = NetworkFilter(request.GET, regions={one.centre.region for one in found.centres})
    shown = _chosen(found, form)
    pools = [pool for one in shown for pool in one.pools]
    if export_asked(request):
        return export_table(request, map(_exported, pools), columns=_COLUMNS, name="network")
    context = {
        "centres": [_centre_row(one) for one in shown],
        "totals": _totals(shown, pools),
        "is_empty": not found.centres,
        "may_create": bool(request.principal.organisations(*MANAGING)),
        "as_of": found.at,
    }
    if getattr(request, "htmx", False):
        return render(request, "compute/network_now.html", context)
    history = services.network_history(request.principal, [one.pool for one in pools], last=WEEK)
    return render(
        request,
        "compute/network.html",
        {**context, **charts(history), "form": form, "begins": found.at - WEEK},
    )


def charts(history: Mapping[str, Sequence[tuple[Any, float]]]) -> dict[str, Any]:
    """Use in percent and the scheduler's queue, for two charts."""
    shares = (("cpu", _("CPU")), ("memory", _("Memory")), ("gpu", _("GPU")))
    counts = (("running", _("Running")), ("pending", _("Waiting in the scheduler")))
    return {
        "used": [
            {"label": label, "points": [(at, v * PERCENT) for at, v in history.get(name, ())]}
            for name, label in shares
        ],
        "queue": [{"label": label, "points": history.get(name, ())} for name, label in counts],
    }


def pool_row(one: PoolCondition) -> dict[str, Any]:
    """A pool's condition in words and units."""
    pool = one.pool
    whole = {
        "cpu": quantity(pool.cpu_milli),
        "memory": size(pool.memory_bytes),
        "gpu": quantity(pool.gpu_milli),
    }
    return {
        "one": one,
        "pool": pool,
        "state": POOL_STATES[one.state],
        "tone": POOL_TONES[one.state],
        "used": [_used(name, one.used.get(name), whole[name]) for name in whole],
        "offer": one.offer,
        "watts": "" if one.watts is None else power(one.watts),
        "watts_source": WATTS[one.watts_source] if one.watts_source else "",
        "age": "" if one.age_s is None else _("%(time)s ago") % {"time": duration(one.age_s)},
    }


def _used(name: str, share: float | None, whole: str) -> dict[str, Any]:
    return {
        "name": name,
        "share": share,
        "percent": 0.0 if share is None else share * PERCENT,
        "text": ""
        if share is None
        else _("%(share)s of %(whole)s") % {"share": percent(share), "whole": whole},
    }


# --- helpers -------------------------------------------------------------------------------------

_COLUMNS = (
    "centre", "region", "operator", "pool", "backend", "state", "cpu_milli", "memory_bytes",
    "gpu_milli", "gpu_model", "normalised_cards", "used_cpu", "used_memory", "used_gpu",
    "waiting", "pending", "running", "cpu_hour_micro", "gpu_hour_micro", "watts",
    "watts_source", "carbon_g_per_kwh", "age_s", "is_stale",
)  # fmt: skip


def _chosen(found: Network, form: NetworkFilter) -> list[CentreCondition]:
    """The centres and pools that the filter asks for; a wish that cannot be is left out."""
    wanted = form.cleaned_data if form.is_valid() else {}
    region, state = wanted.get("region", ""), wanted.get("state", "")
    shown = []
    for one in found.centres:
        pools = [pool for pool in one.pools if not state or pool.state == state]
        if (not region or one.centre.region == region) and (pools or not state):
            shown.append(replace(one, pools=pools))
    return shown


def _totals(centres: Sequence[CentreCondition], pools: Sequence[PoolCondition]) -> dict[str, Any]:
    """The sums of what is shown."""
    drawn = [one.watts for one in pools if one.watts is not None]
    return {
        "centres": len(centres),
        "regions": len({one.centre.region for one in centres if one.centre.region}),
        "pools": len(pools),
        "open": sum(one.state == PoolState.OPEN for one in pools),
        "stale": sum(one.is_stale for one in pools),
        "cards": f"{sum(one.cards for one in pools):,.1f}",
        "gpus": quantity(sum(one.pool.gpu_milli for one in pools)),
        "waiting": sum(one.waiting for one in pools),
        "pending": sum(one.pool.pending for one in pools),
        "running": sum(one.pool.running for one in pools),
        "watts": power(sum(drawn)) if drawn else "",
    }


def _centre_row(one: CentreCondition) -> dict[str, Any]:
    return {
        "one": one,
        "centre": one.centre,
        "seen": "" if one.seen_s is None else _("%(time)s ago") % {"time": duration(one.seen_s)},
        "pools": [pool_row(pool) for pool in one.pools],
    }


def _exported(one: PoolCondition) -> dict[str, Any]:
    pool, offer = one.pool, one.offer
    return {
        **vars(pool),
        "centre": pool.centre.slug,
        "region": pool.centre.region,
        "operator": pool.centre.operator.slug,
        "pool": pool.slug,
        "state": one.state,
        "normalised_cards": round(one.cards, 3),
        **{f"used_{name}": round(share, 4) for name, share in one.used.items()},
        "waiting": one.waiting,
        "cpu_hour_micro": offer.cpu_hour_micro if offer else None,
        "gpu_hour_micro": offer.gpu_hour_micro if offer else None,
        "watts": one.watts,
        "watts_source": one.watts_source,
        "carbon_g_per_kwh": pool.centre.carbon_g_per_kwh,
        "age_s": one.age_s,
        "is_stale": one.is_stale,
    }
