"""Pages of scenarios: the list, one with the chain it rests on, and the proposal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from haihe.evidence.labels import kind_label
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.kernel.texts import spoken
from haihe.packs.models import Evaluation
from haihe.packs.services import list_packs
from haihe.policy.domain import Principal
from haihe.policy.http import Request
from haihe.policy.services import is_allowed
from haihe.programme import labels
from haihe.programme.forms import DecisionForm, ProposalForm, ScenarioFilter
from haihe.programme.models import Scenario
from haihe.programme.services import choices
from haihe.programme.services import scenarios as services
from haihe.programme.services.chain import link_of, trail_of

SCENARIO_COLUMNS = (
    "id", "title", "title_en", "state", "organisation", "plan", "measure_id", "evaluation",
    "pack", "score", "created_at", "decided_at", "note",
)  # fmt: skip
# The first word of a kind of evidence says which step of the chain it belongs to.
STEP_ICONS: Mapping[str, str] = {
    "contract": "contract",
    "voucher": "ticket",
    "job": "player-play",
    "evaluation": "scale",
    "scenario": "bulb",
}

Decide = Callable[[Principal, UUID, str], Scenario]
DECISIONS: Mapping[str, tuple[Decide, str | Promise]] = {
    "accept": (
        lambda principal, pk, note: services.accept_scenario(principal, pk, note=note),
        gettext_lazy("The scenario is accepted; the indicator counts it."),
    ),
    "decline": (
        lambda principal, pk, note: services.decline_scenario(principal, pk, note=note),
        gettext_lazy("The scenario is declined."),
    ),
    "revoke": (
        lambda principal, pk, note: services.revoke_scenario(principal, pk, note=note),
        gettext_lazy("The acceptance is revoked; the indicator counts the scenario no more."),
    ),
}


@require_GET
def scenarios(request: Request) -> HttpResponse:
    """Accepted scenarios, and the proposals that the visitor may see, newest first."""
    form = ScenarioFilter(request.GET)
    narrowed = form.cleaned_data if form.is_valid() else {}
    rows = services.list_scenarios(request.principal, **narrowed)
    if export_asked(request):
        exported = (_exported(row) for row in rows.order_by("-pk")[:EXPORT_ROWS])
        return export_table(request, exported, columns=SCENARIO_COLUMNS, name="scenarios")
    page = paginate(rows, cursor=request.GET.get("cursor"))
    context = {
        "form": form,
        "page": page,
        "rows": [
            {
                "scenario": row,
                "tone": labels.SCENARIO_TONES[row.state],
                "measure": _measure_title(row),
            }
            for row in page.items
        ],
        "is_narrowed": any(narrowed.values()),
        "as_of": now(),
    }
    return render(request, "programme/scenarios.html", context)


@require_http_methods(["GET", "POST"])
def propose(request: Request) -> HttpResponse:
    """Propose what a pack achieved as a scenario of a plan's measure."""
    evaluation = choices.proposable(request.principal, request.GET.get("evaluation", ""))
    form = ProposalForm(
        request.POST or None,
        measures=[
            (f"{plan.slug}/{measure.id}", f"{measure.id} {spoken(measure.title)}")
            for plan, measures in choices.possible_measures(request.principal)
            for measure in measures
        ],
        initial=_suggested(request.principal, evaluation),
    )
    if request.method == "POST" and form.is_valid():
        plan, _slash, measure = form.cleaned_data["measure"].partition("/")
        with shown_on(form):
            proposed = services.propose_scenario(
                request.principal,
                evaluation=evaluation.pk,
                plan=plan,
                measure=measure,
                title=form.cleaned_data["title"],
                title_en=form.cleaned_data["title_en"],
            )
            messages.success(request, _("The scenario is proposed. The programme office decides."))
            return redirect("programme:scenario", proposed.pk)
    context = {"evaluation": evaluation, "form": form, "as_of": now()}
    return render(request, "programme/propose.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def scenario(request: Request, scenario_id: UUID) -> HttpResponse:
    """A scenario with the chain that it rests on; decide on it on POST."""
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        decide, done = DECISIONS.get(form.cleaned_data["decision"], (None, ""))
        if decide is None:
            form.add_error(None, _("There is no such decision."))
        else:
            with shown_on(form):
                decide(request.principal, scenario_id, form.cleaned_data["note"])
                messages.success(request, str(done))
                return redirect("programme:scenario", scenario_id)
    found = services.find_scenario(request.principal, scenario_id)
    link = link_of(request.principal, found)
    context = {
        "scenario": found,
        "alike": [
            {"scenario": other, "same_inputs": services.has_same_inputs(found, other)}
            for other in services.accepted_like(request.principal, found)
        ],
        "tone": labels.SCENARIO_TONES[found.state],
        "measure": _measure_title(found),
        "rests_on": [link],
        "trail": [
            {
                "entry": entry,
                "title": kind_label(entry.kind),
                "icon": STEP_ICONS.get(entry.kind.partition(".")[0], "point"),
                "tone": "good" if entry.kind == services.ACCEPTED else "info",
            }
            for entry in trail_of(request.principal, link)
        ],
        "form": form,
        **_may(request.principal, found),
        "as_of": now(),
    }
    return render(request, "programme/scenario.html", context, status=form.status)


def _may(principal: Principal, row: Scenario) -> dict[str, bool]:
    """Which buttons a page shows; the service decides anyway."""
    decides = is_allowed(principal, "scenario.accept", row.resource())
    return {
        "may_decide": decides and row.state == Scenario.State.PROPOSED,
        "may_revoke": decides and row.state == Scenario.State.ACCEPTED,
    }


def _measure_title(row: Scenario) -> str:
    measure = row.plan.document.measure(row.measure_id)
    return f"{row.measure_id} {spoken(measure.title)}" if measure else row.measure_id


def _suggested(principal: Principal, evaluation: Evaluation) -> dict[str, str]:
    """What the pack's manifest says: its titles, and the measure it serves."""
    source = next((s for s in list_packs(principal) if s.name == evaluation.pack), None)
    if source is None:
        return {}
    manifest = source.manifest()
    plans = [plan.slug for plan, _measures in choices.possible_measures(principal)]
    return {
        "title": manifest.title.zh,
        "title_en": manifest.title.en,
        "measure": f"{plans[0]}/{manifest.measure}" if plans else "",
    }


def _exported(row: Scenario) -> dict[str, Any]:
    return {
        **vars(row),
        "id": str(row.pk),
        "organisation": row.organisation.slug,
        "plan": str(row.plan),
        "evaluation": str(row.evaluation_id),
        "pack": row.evaluation.pack,
        "score": row.evaluation.score,
    }
