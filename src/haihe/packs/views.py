"""Pages of packs, evaluations, and the reasons behind single cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, every_item, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.kernel.texts import called, spoken
from haihe.packs import labels, services
from haihe.packs.discovery import PackSource
from haihe.packs.domain import Manifest
from haihe.packs.forms import CaseFilter, EvaluationFilter, RunForm
from haihe.packs.models import Evaluation, PackCheck
from haihe.policy.domain import Principal, Resource
from haihe.policy.http import Request
from haihe.policy.services import authorize, is_allowed

PACK_COLUMNS = ("name", "version", "title", "title_en", "measure", "licence", "tier")
EVALUATION_COLUMNS = (
    "id", "created_at", "pack", "pack_version", "organisation", "inputs", "state", "metric",
    "score", "low", "high", "baseline", "permuted", "job", "is_public", "message",
)  # fmt: skip
CASE_COLUMNS = ("id", "fold", "score", "decision", "reasons")
CHART = 100


@dataclass(frozen=True)
class _PackRow:
    """An installed pack, and how it came out of its checks if these were made."""

    source: PackSource
    manifest: Manifest
    check: PackCheck | None


@require_GET
def packs(request: Request) -> HttpResponse:
    """The packs installed here."""
    sources = services.list_packs(request.principal)
    checks = services.checks_of(request.principal, sources)
    rows = [_PackRow(source, source.manifest(), checks.get(source.name)) for source in sources]
    if export_asked(request):
        return export_table(request, map(_exported_pack, rows), columns=PACK_COLUMNS, name="packs")
    context = {"rows": rows, "as_of": now()}
    return render(request, "packs/packs.html", context)


@require_http_methods(["GET", "POST"])
def pack(request: Request, name: str) -> HttpResponse:
    """What a pack does, needs and must not be used for; ask for a quote on POST."""
    source = services.read_pack(request.principal, name)
    form = _run_form(request, source)
    if request.method == "POST" and form is None:
        authorize(request.principal, "pack.run", Resource("Pack", name))
    if request.method == "POST" and form is not None and form.is_valid():
        with shown_on(form):
            quote = services.quote_pack(
                request.principal,
                name,
                organisation=form.cleaned_data["organisation"],
                contract=form.cleaned_data["contract"],
                inputs=form.inputs(),
            )
            return redirect("compute:quote", quote.pk)
    check = services.checks_of(request.principal, [source]).get(name)
    manifest = source.manifest()
    context = {
        "source": source,
        "manifest": manifest,
        "facts": labels.manifest_facts(manifest),
        "sha256": source.sha256(),
        "check": check,
        "newest": services.list_evaluations(request.principal, pack=name).order_by("-pk")[:5],
        "form": form,
        "as_of": now(),
    }
    return render(request, "packs/pack.html", context, status=form.status if form else 200)


@require_GET
def evaluations(request: Request) -> HttpResponse:
    """Evaluations that the visitor may see, newest first."""
    names = [source.name for source in services.list_packs(request.principal)]
    form = EvaluationFilter(request.GET, packs=names)
    narrowed = form.cleaned_data if form.is_valid() else {}
    rows = services.list_evaluations(request.principal, **narrowed)
    if export_asked(request):
        exported = (_exported(row) for row in rows.order_by("-pk")[:EXPORT_ROWS])
        return export_table(request, exported, columns=EVALUATION_COLUMNS, name="evaluations")
    page = paginate(rows, cursor=request.GET.get("cursor"))
    context = {
        "form": form,
        "page": page,
        "is_narrowed": any(narrowed.values()),
        "as_of": now(),
    }
    return render(request, "packs/evaluations.html", context)


@require_GET
def evaluation(request: Request, evaluation_id: UUID) -> HttpResponse:
    """What a run was found to be worth, with both controls beside it."""
    found = services.find_evaluation(request.principal, evaluation_id)
    sees_cases = services.may_see_cases(request.principal, found)
    context = {
        "evaluation": found,
        "manifest": _manifest_of(request.principal, found),
        "figures": _figures(found) if found.details else None,
        "inputs": [_input(name, version) for name, version in found.inputs.items()],
        "sees_cases": sees_cases,
        "tables": services.pack_tables(request.principal, evaluation_id)
        if sees_cases and found.details
        else [],
        "may_propose": is_allowed(
            request.principal, "scenario.propose", found.organisation.resource("Scenario")
        ),
        "as_of": found.created_at,
    }
    return render(request, "packs/evaluation.html", context)


@require_GET
def cases(request: Request, evaluation_id: UUID) -> HttpResponse:
    """Why each case came out as it did."""
    found = services.find_evaluation(request.principal, evaluation_id)
    form = CaseFilter(request.GET)
    decision = form.cleaned_data["decision"] if form.is_valid() else ""
    read = partial(services.list_cases, request.principal, evaluation_id, decision=decision)
    if export_asked(request):
        rows = map(_exported_case, every_item(read))
        return export_table(request, rows, columns=CASE_COLUMNS, name=f"cases-{evaluation_id}")
    page = read(cursor=request.GET.get("cursor"))
    context = {
        "evaluation": found,
        "manifest": _manifest_of(request.principal, found),
        "form": form,
        "decision": decision,
        "decisions": [
            {
                "name": name,
                "label": labels.DECISIONS[name],
                "count": page.counts[name],
                "current": name == decision,
            }
            for name in services.DECISIONS
        ],
        "total": sum(page.counts.values()),
        "page": page,
        "as_of": found.created_at,
    }
    return render(request, "packs/cases.html", context)


@require_GET
def case(request: Request, evaluation_id: UUID, case_id: str) -> HttpResponse:
    """One case with all its reasons."""
    found = services.find_evaluation(request.principal, evaluation_id)
    shown = services.find_case(request.principal, evaluation_id, case_id)
    manifest = _manifest_of(request.principal, found)
    context = {
        "evaluation": found,
        "manifest": manifest,
        "case": shown,
        "reasons": _reasons(shown.reasons, manifest),
        "as_of": found.created_at,
    }
    return render(request, "packs/case.html", context)


def _run_form(request: Request, source: PackSource) -> RunForm | None:
    """The form to run a pack, for whoever works in an organisation."""
    offered = services.run_choices(request.principal)
    if not offered.organisations:
        return None
    return RunForm(
        request.POST or None,
        manifest=source.manifest(),
        organisations=[(row.slug, called(row)) for row in offered.organisations],
        contracts=[
            (row.number, f"{row.number} · {called(row.provider)}") for row in offered.contracts
        ],
        versions=[(str(row), f"{row} · {called(row.dataset)}") for row in offered.versions],
    )


def _manifest_of(principal: Principal, row: Evaluation) -> Manifest | None:
    """The manifest of an evaluation's pack, if that is still installed."""
    sources = {source.name: source for source in services.list_packs(principal)}
    return sources[row.pack].manifest() if row.pack in sources else None


def _figures(row: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation, arranged for the page's tables and charts."""
    details: Mapping[str, Any] = row.details
    pooled = details["model"]["pooled"]
    return {
        **{name: details[name] for name in ("rows", "groups", "positives", "seed")},
        "pooled": pooled,
        "comparison": _comparison(row),
        "by_fold": [
            {
                "label": _("Fold %(number)s") % {"number": number},
                "value": part["roc_auc"]["value"],
                "text": _interval(part["roc_auc"]),
            }
            for number, part in enumerate(details["model"]["by_fold"], start=1)
        ],
        "bins": [_bin(item) for item in pooled["calibration"]["bins"]],
        "proportions": [
            (_("Right at the threshold (accuracy)"), pooled["at_threshold"]["accuracy"]),
            (_("Positives found (sensitivity)"), pooled["at_threshold"]["sensitivity"]),
            (_("Negatives recognised (specificity)"), pooled["at_threshold"]["specificity"]),
        ],
        "decided": [
            (_("Cases decided (coverage)"), pooled["decisions"]["coverage"]),
            (_("Wrong among those decided"), pooled["decisions"]["error"]),
            (_("Positive among those called negative"), pooled["decisions"]["false_omission"]),
            (_("Negative among those called positive"), pooled["decisions"]["false_discovery"]),
        ],
        "abstained": pooled["decisions"]["coverage"]["total"]
        - pooled["decisions"]["coverage"]["count"],
        "permuted": details["permuted"],
    }


def _input(name: str, version: str) -> dict[str, str]:
    slug, _at, number = version.partition("@")
    return {"name": name, "slug": slug, "number": number}


def _comparison(row: Evaluation) -> list[dict[str, Any]]:
    """The pack beside its two controls, on one scale."""
    details: Mapping[str, Any] = row.details
    rows = [
        {
            "label": _("This pack"),
            "value": details["primary"]["value"],
            "text": _interval(details["primary"]),
            "tone": "good",
        },
        {
            "label": _("Baseline: the prior alone"),
            "value": row.baseline,
            "text": f"{row.baseline:.3f}",
            "tone": "idle",
        },
    ]
    permuted = details["permuted"]
    if permuted is not None:
        low, high = min(permuted["values"]), max(permuted["values"])
        rows.append(
            {
                "label": _("Control: labels shuffled"),
                "value": permuted["mean"],
                "text": f"{permuted['mean']:.3f} {_range(low, high)}",
                "tone": "idle",
            }
        )
    return rows


def _interval(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.3f} {_range(figure['low'], figure['high'])}"


def _range(low: float, high: float) -> str:
    """Two ends in brackets, which no line break parts."""
    return f"({low:.3f}\u2060–\u2060{high:.3f})"


def _bin(item: Mapping[str, Any]) -> dict[str, Any]:
    """A bin of the calibration, with its place in a square chart whose origin is at the bottom."""
    return {
        **item,
        "x": f"{item['mean_score'] * CHART:.2f}",
        "y": f"{(1 - item['positive_share']) * CHART:.2f}",
        "r": f"{min(1.5 + item['rows'] ** 0.5 / 4, 6):.2f}",
    }


def _reasons(
    reasons: Sequence[Mapping[str, Any]], manifest: Manifest | None
) -> list[dict[str, Any]]:
    """Reasons as bars to both sides of a middle line, on the scale of the weightiest."""
    most = max((abs(reason["contribution"]) for reason in reasons), default=0.0)
    shown = []
    for reason in reasons:
        width = abs(reason["contribution"]) / most * CHART / 2 if most else 0.0
        speaks_for = reason["contribution"] > 0
        column = manifest.cases.column(reason["column"]) if manifest else None
        shown.append(
            {
                **reason,
                "label": spoken(column.title) if column else reason["column"],
                "tone": "warn" if speaks_for else "info",
                "speaks_for": speaks_for,
                "x": f"{CHART / 2 if speaks_for else CHART / 2 - width:.2f}",
                "width": f"{width:.2f}",
            }
        )
    return shown


def _exported_pack(row: _PackRow) -> dict[str, Any]:
    return {
        "name": row.source.name,
        "version": row.source.version,
        "title": row.manifest.title.zh,
        "title_en": row.manifest.title.en,
        "measure": row.manifest.measure,
        "licence": row.manifest.licence,
        "tier": row.check.tier if row.check else None,
    }


def _exported(row: Evaluation) -> dict[str, Any]:
    return {
        **{name: getattr(row, name, None) for name in EVALUATION_COLUMNS},
        "organisation": row.organisation.slug,
        "inputs": ", ".join(f"{name}={version}" for name, version in row.inputs.items()),
        "job": str(row.job_id),
    }


def _exported_case(row: services.Case) -> dict[str, Any]:
    return {**vars(row), "reasons": "; ".join(spoken(reason["text"]) for reason in row.reasons)}
