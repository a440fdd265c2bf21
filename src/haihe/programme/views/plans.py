"""Pages of plans, of their targets, and of what is measured."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from haihe.evidence.labels import kind_label
from haihe.kernel.clock import now
from haihe.kernel.export import export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.kernel.texts import spoken
from haihe.policy.domain import Principal, Resource
from haihe.policy.http import Request
from haihe.policy.services import authorize, is_allowed
from haihe.programme import labels
from haihe.programme.domain.indicators import Point, sampled
from haihe.programme.domain.plans import PlanDocument, Target
from haihe.programme.forms import AsOfForm, PlanForm
from haihe.programme.models import Plan
from haihe.programme.services import plans as services
from haihe.programme.services.chain import Link, links_of

CHART_STEPS = 48
SHOWN_FACTS = 200
INDICATOR_COLUMNS = (
    "plan", "target", "title", "title_en", "value", "comparison", "wanted", "unit", "definition",
    "responsible_units", "as_of",
)  # fmt: skip
FACT_COLUMNS = (
    "evidence_id", "at", "kind", "subject", "scenario", "organisation", "evaluation", "score",
    "job", "amount_micro", "voucher",
)  # fmt: skip


@require_GET
def plans(request: Request) -> HttpResponse:
    """The current version of each plan."""
    page = paginate(services.list_plans(request.principal), cursor=request.GET.get("cursor"))
    if export_asked(request):
        rows = map(_exported_plan, services.list_plans(request.principal))
        columns = ["slug", "version", "status", "title", "title_en", "begins", "ends", "targets"]
        return export_table(request, rows, columns=columns, name="plans")
    context = {
        "page": page,
        "rows": [_plan_card(row) for row in page.items],
        "may_import": _may_import(request.principal),
        "as_of": now(),
    }
    return render(request, "programme/plans.html", context)


@require_http_methods(["GET", "POST"])
def plan_import(request: Request) -> HttpResponse:
    """Bring in a plan, or a higher version of one."""
    authorize(request.principal, "plan.import", Resource("Plan"))
    form = PlanForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            plan, _changes = services.import_plan(request.principal, form.cleaned_data["file"])
            messages.success(
                request, _("%(plan)s is imported.") % {"plan": spoken(plan.document.title)}
            )
            return redirect("programme:plan", plan.slug)
    return render(request, "programme/plan_import.html", {"form": form}, status=form.status)


@require_GET
def plan(request: Request, slug: str) -> HttpResponse:
    """A plan: its targets with what is measured, its measures with their units, its systems."""
    version = _version(request.GET.get("version"))
    found = services.find_plan(request.principal, slug, version)
    measured = services.plan_indicators(request.principal, found)
    if export_asked(request):
        rows = map(_exported_indicator, measured)
        return export_table(request, rows, columns=INDICATOR_COLUMNS, name=f"targets-{slug}")
    document = found.document
    context = {
        **_plan_card(found),
        "targets": [labels.target_row(item) for item in measured],
        "groups": _grouped(document),
        "systems": [{"system": item, "role": labels.ROLES[item.role]} for item in document.systems],
        "versions": list(services.versions_of(request.principal, slug)),
        "may_import": _may_import(request.principal),
        "as_of": now(),
    }
    return render(request, "programme/plan.html", context)


@require_GET
def plan_by_id(request: Request, plan_id: UUID) -> HttpResponse:
    """Go to the version of a plan that evidence names by its id."""
    found = services.find_plan_by_id(request.principal, plan_id)
    address = reverse("programme:plan", args=[found.slug])
    return redirect(f"{address}?version={found.version}")


@require_GET
def changes(request: Request, slug: str) -> HttpResponse:
    """What one version of a plan changed in the version before."""
    versions = list(services.versions_of(request.principal, slug))
    current = services.find_plan(request.principal, slug)
    new = _version(request.GET.get("new")) or current.version
    before = [row.version for row in versions if row.version < new]
    old = _version(request.GET.get("old")) or (before[0] if before else new)
    found = services.compare_versions(request.principal, slug, old=old, new=new)
    rows = labels.change_rows(found)
    if export_asked(request):
        columns = ["part", "key", "kind", "field", "before", "after"]
        return export_table(request, rows, columns=columns, name=f"changes-{slug}")
    context = {
        **_plan_card(current),
        "rows": rows,
        "old": old,
        "new": new,
        "versions": versions,
        "as_of": now(),
    }
    return render(request, "programme/changes.html", context)


@require_GET
def target(request: Request, slug: str, code: str) -> HttpResponse:
    """One target: its value at an instant, and every fact that makes it up."""
    form = AsOfForm(request.GET)
    as_of = form.instant()
    found = services.find_indicator(request.principal, slug, code, as_of=as_of)
    facts = found.observation.facts if found.observation else ()
    if export_asked(request):
        rows = map(_exported_fact, links_of(request.principal, facts))
        return export_table(request, rows, columns=FACT_COLUMNS, name=f"{slug}-{code}")
    at = as_of or now()
    points = services.indicator_history(request.principal, slug, code, as_of=as_of)
    served = [m for m in found.document.measures if m.id in found.target.measures]
    context = {
        "indicator": found,
        "document": found.document,
        "target": found.target,
        "row": labels.target_row(found),
        "form": form,
        "as_of": at,
        "is_past": as_of is not None,
        "links": links_of(request.principal, facts[-SHOWN_FACTS:])[::-1],
        "not_shown": max(0, len(facts) - SHOWN_FACTS),
        "history": _chart(found.document, points, at),
        "measures": served,
        **_rule(found.target),
    }
    return render(request, "programme/target.html", context)


@require_GET
def indicators(request: Request) -> HttpResponse:
    """Every target of the current plans, with what is measured."""
    form = AsOfForm(request.GET)
    as_of = form.instant()
    found = services.list_indicators(request.principal, as_of=as_of)
    if export_asked(request):
        rows = map(_exported_indicator, found)
        return export_table(request, rows, columns=INDICATOR_COLUMNS, name="indicators")
    by_plan: dict[str, list[services.Indicator]] = {}
    for item in found:
        by_plan.setdefault(item.plan.slug, []).append(item)
    context = {
        "form": form,
        "plans": [
            {
                "plan": items[0].plan,
                "document": items[0].document,
                "rows": [labels.target_row(item) for item in items],
                "measured": sum(item.observation is not None for item in items),
            }
            for items in by_plan.values()
        ],
        "as_of": as_of or now(),
    }
    return render(request, "programme/indicators.html", context)


def _may_import(principal: Principal) -> bool:
    return is_allowed(principal, "plan.import", Resource("Plan"))


def _version(text: str | None) -> int | None:
    """A version from an address; whatever is no number is no version that there is."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _plan_card(row: Plan) -> dict[str, Any]:
    document = row.document
    return {
        "plan": row,
        "document": document,
        "status": labels.PLAN_STATUS.get(document.status, document.status),
        "status_tone": "good" if document.status == "adopted" else "info",
    }


def _rule(target: Target) -> dict[str, Any]:
    """Which entries of the log are counted, in words."""
    rule = target.indicator
    if rule is None:
        return {"source": ""}
    return {
        "source": _("Evidence log"),
        "counts": kind_label(rule.counts),
        "less": kind_label(rule.less) if rule.less else "",
    }


def _grouped(document: PlanDocument) -> list[dict[str, Any]]:
    """The measures under the headings of the plan, in its order."""
    groups: dict[str, dict[str, Any]] = {}
    for measure in document.measures:
        group = groups.setdefault(measure.group["zh"], {"title": measure.group, "measures": []})
        group["measures"].append(measure)
    return list(groups.values())


def _chart(document: PlanDocument, points: list[Point], at: datetime) -> list[tuple[str, int]]:
    """The values from the plan's first day to ``at``, evenly spaced in time."""
    begins = timezone.make_aware(datetime.combine(document.begins, time.min))
    samples = sampled(points, begins=begins, ends=at, steps=CHART_STEPS)
    return [(timezone.localtime(sample.at).date().isoformat(), sample.value) for sample in samples]


def _exported_plan(row: Plan) -> dict[str, Any]:
    document = row.document
    return {
        "slug": row.slug,
        "version": row.version,
        "status": document.status,
        "title": document.title["zh"],
        "title_en": document.title["en"],
        "begins": document.begins,
        "ends": document.ends,
        "targets": len(document.targets),
    }


def _exported_indicator(item: services.Indicator) -> dict[str, Any]:
    return {
        "plan": item.plan.slug,
        "target": item.target.code,
        "title": item.target.title["zh"],
        "title_en": item.target.title["en"],
        "value": item.observation.value if item.observation else None,
        "comparison": item.target.comparison,
        "wanted": item.target.value,
        "unit": spoken(item.target.unit),
        "definition": spoken(item.target.definition),
        "responsible_units": _names(item.document.responsible_units(item.target)),
        "as_of": item.observation.as_of if item.observation else None,
    }


def _exported_fact(link: Link) -> dict[str, Any]:
    scenario = link.scenario
    return {
        "evidence_id": link.fact.entry_id,
        "at": link.fact.at,
        "kind": link.fact.kind,
        "subject": link.fact.subject,
        "scenario": scenario.title if scenario else None,
        "organisation": scenario.organisation.slug if scenario else None,
        "evaluation": str(scenario.evaluation_id) if scenario else None,
        "score": scenario.evaluation.score if scenario else None,
        "job": str(link.job.pk) if link.job else None,
        "amount_micro": link.settlement.amount_micro if link.settlement else None,
        "voucher": link.voucher.number if link.voucher else None,
    }


def _names(units: Iterable[Any]) -> str:
    return ", ".join(spoken(unit) for unit in units)
