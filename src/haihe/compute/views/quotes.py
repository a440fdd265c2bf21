"""Pages on which a job is described, priced on every pool, and accepted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from haihe.compute.comparison import comparison
from haihe.compute.domain import FileRef, spec_from
from haihe.compute.domain.choice import choice_from
from haihe.compute.forms import JobForm
from haihe.compute.labels import bill_rows, share_rows, spec_facts
from haihe.compute.models import Quote
from haihe.compute.services import centres, jobs
from haihe.compute.services.contracts import usable_contracts
from haihe.compute.services.files import keep_file
from haihe.compute.services.own import organisations_for
from haihe.compute.services.quotes import find_quote, request_quote
from haihe.kernel.clock import now
from haihe.kernel.forms import Refusable, moved, redrawn, shown_on
from haihe.kernel.phrases import translated
from haihe.kernel.texts import with_currency
from haihe.policy.domain import WORKING
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

CONTRACT_CHOICES = 100
FORM = "#job-form"


@require_http_methods(["GET", "POST"])
def job_new(request: Request) -> HttpResponse:
    """Describe a command job and ask what it costs."""
    organisations = organisations_for(request.principal, "quote.create", "Quote", *WORKING)
    contracts = usable_contracts(request.principal).order_by("-pk")[:CONTRACT_CHOICES]
    asked = request.GET.get("input", "")
    form = JobForm(
        request.POST or None,
        request.FILES or None,
        organisations=organisations,
        contracts=[contract.number for contract in contracts],
        centres=centres.list_centres(request.principal).order_by("slug"),
        initial={"inputs": f"data={asked}" if asked else ""},
    )
    if request.method == "POST":
        is_valid = form.is_valid()
        with shown_on(form):
            _keep_files(request, form)
            if is_valid:
                quote = request_quote(
                    request.principal,
                    spec_from(form.spec_data()),
                    organisation=form.cleaned_data["organisation"],
                    contract=form.cleaned_data["contract"],
                )
                return moved(request, redirect("compute:quote", quote.pk))
    shown = render(request, "compute/job_form.html", {"form": form}, status=form.status)
    return redrawn(request, shown, FORM)


def _keep_files(request: Request, form: JobForm) -> None:
    """Keep the files that came, whatever else is wrong: a browser does not send them twice."""
    payer, files = (form.cleaned_data.get(name) for name in ("organisation", "uploads"))
    if payer and files:
        form.keep(
            FileRef(
                path=file.name,
                sha256=keep_file(request.principal, file.chunks(), organisation=payer).sha256,
            )
            for file in files
        )


@require_http_methods(["GET", "POST"])
def quote(request: Request, quote_id: UUID) -> HttpResponse:
    """A quote: what the job costs at most, why there, who pays; posting accepts it."""
    found = find_quote(request.principal, quote_id)
    form = Refusable(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            job = jobs.submit_job(request.principal, quote_id)
            messages.success(request, _("The job is submitted; its funds are held."))
            return redirect("compute:job", job.pk)
    used = found.jobs.order_by("array_index").first()
    is_open = used is None and found.expires_at > now()
    context = {
        "quote": found,
        "form": form,
        "spec": spec_facts(found.spec),
        "lines": bill_rows(found.lines),
        "shares": share_rows(found.shares, found.organisation),
        **_why(found),
        "job": used,
        "expired": used is None and not is_open,
        "may_submit": is_open and is_allowed(request.principal, "job.submit", found.resource()),
        "as_of": found.created_at,
    }
    return render(request, "compute/quote.html", context, status=form.status)


def _why(found: Quote) -> dict[str, Any]:
    """The comparison, and the reasons that it does not say already: those of payers and inputs.

    A quote from before centres were compared has its reasons alone.
    """
    reasons = [with_currency(translated(reason)) for reason in found.reasons]
    if not found.comparison:
        return {"compared": None, "reasons": reasons}
    choice = choice_from(found.comparison["result"])
    # One sentence on each pool and one on the choice come first.
    return {
        "compared": comparison(choice, found.comparison["facts"]),
        "reasons": reasons[len(choice.verdicts) + 1 :],
    }
