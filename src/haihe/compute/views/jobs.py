"""Pages of quotes and jobs."""

from __future__ import annotations

import shlex
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HTMX_STOP_POLLING, HttpResponseClientRefresh

from haihe.compute.domain import FINAL, JobState, spec_from
from haihe.compute.forms import JobForm
from haihe.compute.labels import REASONS, STATES, TONES, bill_rows, quantity, share_rows
from haihe.compute.models import Attempt, Job, Quote
from haihe.compute.services import jobs as services
from haihe.compute.services.contracts import usable_contracts
from haihe.compute.services.own import organisations_for
from haihe.compute.services.quotes import find_quote, request_quote
from haihe.evidence import services as evidence
from haihe.evidence.labels import kind_label
from haihe.kernel.clock import now
from haihe.kernel.export import every_item, export_asked, export_table
from haihe.kernel.files import stream_file
from haihe.kernel.forms import Refusable, shown_on
from haihe.kernel.phrases import translated
from haihe.kernel.texts import with_currency
from haihe.policy.domain import WORKING
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

SHOWN_LOG_BYTES = 64_000
SHOWN_EVIDENCE = 100
CONTRACT_CHOICES = 100


@require_GET
def jobs(request: Request) -> HttpResponse:
    """The newest jobs of the caller's organisations."""
    if export_asked(request):
        return export_table(
            request,
            map(_exported, every_item(partial(services.list_jobs, request.principal))),
            columns=[
                "id", "name", "organisation", "provider", "pool", "state", "end_reason",
                "created_at", "finished_at", "amount_micro",
            ],
            name="jobs",
        )  # fmt: skip
    page = services.list_jobs(request.principal, cursor=request.GET.get("cursor"))
    return render(
        request,
        "compute/jobs.html",
        {"page": page, "rows": [_job_row(row) for row in page.items], "as_of": now()},
    )


@require_http_methods(["GET", "POST"])
def job_new(request: Request) -> HttpResponse:
    """Describe a command job and ask what it costs."""
    organisations = organisations_for(request.principal, "quote.create", "Quote", *WORKING)
    contracts = usable_contracts(request.principal).order_by("-pk")[:CONTRACT_CHOICES]
    asked = request.GET.get("input", "")
    form = JobForm(
        request.POST or None,
        organisations=organisations,
        contracts=[contract.number for contract in contracts],
        initial={"inputs": f"data={asked}" if asked else ""},
    )
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            quote = request_quote(
                request.principal,
                spec_from(form.spec_data()),
                organisation=form.cleaned_data["organisation"],
                contract=form.cleaned_data["contract"],
            )
            return redirect("compute:quote", quote.pk)
    return render(request, "compute/job_form.html", {"form": form}, status=form.status)


@require_http_methods(["GET", "POST"])
def quote(request: Request, quote_id: UUID) -> HttpResponse:
    """A quote: what the job costs at most, why, who pays; posting accepts it."""
    found = find_quote(request.principal, quote_id)
    form = Refusable(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            job = services.submit_job(request.principal, quote_id)
            messages.success(request, _("The job is submitted; its funds are held."))
            return redirect("compute:job", job.pk)
    used = found.jobs.order_by("array_index").first()
    is_open = used is None and found.expires_at > now()
    return render(
        request,
        "compute/quote.html",
        {
            "quote": found,
            "form": form,
            "spec": _spec_facts(found),
            "lines": bill_rows(found.lines),
            "shares": share_rows(found.shares, found.organisation),
            "reasons": [with_currency(translated(reason)) for reason in found.reasons],
            "job": used,
            "expired": used is None and not is_open,
            "may_submit": is_open and is_allowed(request.principal, "job.submit", found.resource()),
            "as_of": found.created_at,
        },
        status=form.status,
    )


@require_GET
def job(request: Request, job_id: UUID) -> HttpResponse:
    """A job: state, timeline, log, attempts, usage, bill, files."""
    found = services.find_job(request.principal, job_id)
    attempts = list(found.tries())
    settlement = getattr(found, "settlement", None)
    is_final = found.state in FINAL
    context = {
        **_job_row(found),
        "is_final": is_final,
        "failed": found.state == JobState.FAILED,
        "spec": _spec_facts(found.quote),
        "attempts": [_attempt_row(attempt) for attempt in attempts],
        "events": _events(request, found, attempts),
        "settlement": settlement,
        "lines": bill_rows(settlement.lines) if settlement else [],
        "shares": share_rows(settlement.shares, found.organisation) if settlement else [],
        "may_cancel": not is_final
        and found.cancel_requested_at is None
        and is_allowed(request.principal, "job.cancel", found.resource()),
        "may_read_quote": is_allowed(request.principal, "quote.read", found.quote.resource()),
        "may_read_log": is_allowed(request.principal, "job.read_log", found.resource()),
        "as_of": now(),
    }
    if context["may_read_log"]:
        context["log"] = _log_end(request, job_id)
        context["files"] = services.list_outputs(request.principal, job_id)
    return render(request, "compute/job.html", context)


@require_GET
def job_log(request: Request, job_id: UUID) -> HttpResponse:
    """The end of a job's log: plain for a browser, a fragment for the page that shows it live.

    When the job's state is no longer the one that the page shows, the page is loaded anew.
    """
    text = _log_end(request, job_id)
    if not getattr(request, "htmx", False):
        return HttpResponse(text, content_type="text/plain; charset=utf-8")
    state = services.find_job(request.principal, job_id).state
    if state in FINAL or state != request.GET.get("state", state):
        refresh = HttpResponseClientRefresh()
        refresh.status_code = HTMX_STOP_POLLING
        return refresh
    return HttpResponse(escape(text))


@require_GET
def job_file(request: Request, job_id: UUID, path: str) -> HttpResponseBase:
    """One output file as a download."""
    file = services.open_output(request.principal, job_id, path)
    return stream_file(request, file, name=path.rpartition("/")[2])


@require_POST
def cancel(request: Request, job_id: UUID) -> HttpResponse:
    """Ask for a job's end."""
    services.cancel_job(request.principal, job_id)
    messages.success(request, _("The job is asked to end. What it used until then is paid."))
    return redirect("compute:job", job_id)


# --- helpers -------------------------------------------------------------------------------------


def _job_row(row: Job) -> dict[str, Any]:
    settlement = getattr(row, "settlement", None)
    return {
        "job": row,
        "state": STATES[row.state],
        "tone": TONES[row.state],
        "reason": REASONS.get(row.end_reason, ""),
        "amount_micro": settlement.amount_micro if settlement else None,
    }


def _attempt_row(row: Attempt) -> dict[str, Any]:
    usage = getattr(row, "usage", None)
    return {
        "attempt": row,
        "state": STATES[row.state],
        "tone": TONES[row.state],
        "reason": REASONS.get(row.end_reason, ""),
        "usage": usage,
        "cpu_s": quantity(usage.cpu_ms) if usage else "",
        "wall_s": quantity(usage.wall_ms) if usage else "",
    }


def _spec_facts(row: Quote) -> dict[str, Any]:
    """A job's spec in words and units of people."""
    spec = row.spec
    return {
        "command": shlex.join(spec.command),
        "inputs": spec.inputs,
        "cpus": quantity(spec.cpu_milli),
        "gpus": quantity(spec.gpu_milli),
        "memory_bytes": spec.memory_bytes,
        "output_bytes": spec.output_bytes,
        "minutes": quantity(spec.wall_s * 1_000 // 60),
        "cpu_limit_s": spec.cpu_limit_s,
    }


def _events(request: Request, job: Job, attempts: list[Attempt]) -> list[dict[str, Any]]:
    """What happened to a job, the first thing first: evidence, and the attempts between it."""
    entries = evidence.find(request.principal, subject=f"job:{job.pk}", limit=SHOWN_EVIDENCE)
    events = [
        _event(entry.at, kind_label(entry.kind), "info", "fingerprint", _entry_address(entry.id))
        for entry in reversed(entries.items)
    ]
    for attempt in attempts:
        number = {"number": attempt.number}
        if attempt.started_at:
            started = _("Attempt %(number)s started") % number
            events.append(_event(attempt.started_at, started, "busy", "player-play"))
        if attempt.finished_at:
            ended = _("Attempt %(number)s ended") % number
            tone = TONES[attempt.state]
            events.append(_event(attempt.finished_at, ended, tone, "player-stop"))
    return sorted(events, key=lambda event: event["time"])


def _event(time: datetime, title: object, tone: str, icon: str, href: str = "") -> dict[str, Any]:
    return {"time": time, "title": title, "tone": tone, "icon": icon, "href": href}


def _entry_address(entry_id: UUID) -> str:
    try:
        return reverse("evidence:entry", args=[entry_id])
    except NoReverseMatch:
        return ""


def _log_end(request: Request, job_id: UUID) -> str:
    """The last lines of a job's log; a first line that is cut off is left out."""
    chunk = services.read_log(request.principal, job_id, offset=-SHOWN_LOG_BYTES)
    if chunk.next_offset > SHOWN_LOG_BYTES:
        return chunk.text.partition("\n")[2]
    return chunk.text


def _exported(row: Job) -> dict[str, Any]:
    return {
        **vars(row),
        "organisation": row.organisation.name,
        "provider": row.provider.name,
        "pool": str(row.pool),
        "amount_micro": _job_row(row)["amount_micro"],
    }
