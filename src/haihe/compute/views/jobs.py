"""Pages of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HTMX_STOP_POLLING, HttpResponseClientRefresh

from haihe.compute.comparison import comparison
from haihe.compute.domain import FINAL, JobState
from haihe.compute.labels import (
    DOUBTS,
    OCCASIONS,
    REASONS,
    STATES,
    TONES,
    bill_rows,
    share_rows,
    spec_facts,
)
from haihe.compute.models import Attempt, Job
from haihe.compute.quantities import quantity
from haihe.compute.services import jobs as services
from haihe.compute.services.explain import Explanation, Placed, Waits, explain_job
from haihe.evidence import services as evidence
from haihe.evidence.labels import kind_label
from haihe.kernel.clock import now
from haihe.kernel.export import every_item, export_asked, export_table
from haihe.kernel.files import stream_file
from haihe.kernel.phrases import translated
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

SHOWN_LOG_BYTES = 64_000
SHOWN_EVIDENCE = 100
SHOWN_SIBLINGS = 100


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


@require_GET
def job(request: Request, job_id: UUID) -> HttpResponse:
    """A job: state, why it is there or waits, timeline, log, attempts, usage, bill, files."""
    found = services.find_job(request.principal, job_id)
    attempts = list(found.tries())
    settlement = getattr(found, "settlement", None)
    is_final = found.state in FINAL
    sees_quote = is_allowed(request.principal, "quote.read", found.quote.resource())
    context = {
        **_job_row(found),
        "is_final": is_final,
        "failed": found.state == JobState.FAILED,
        "spec": spec_facts(found.quote.spec),
        "attempts": [_attempt_row(attempt) for attempt in attempts],
        "events": _events(request, found, attempts, sees_quote=sees_quote),
        "settlement": settlement,
        "lines": bill_rows(settlement.lines) if settlement else [],
        "shares": share_rows(settlement.shares, found.organisation) if settlement else [],
        "may_cancel": not is_final
        and found.cancel_requested_at is None
        and is_allowed(request.principal, "job.cancel", found.resource()),
        "may_read_quote": sees_quote,
        "may_read_log": is_allowed(request.principal, "job.read_log", found.resource()),
        "as_of": now(),
    }
    if sees_quote and found.quote.comparison:
        context.update(_explained(explain_job(request.principal, job_id)))
    if found.quote.spec.array > 1:
        context["siblings"] = _siblings(found)
        context["may_cancel_array"] = not context["siblings"]["is_over"] and is_allowed(
            request.principal, "job.cancel", found.resource()
        )
    if context["may_read_log"]:
        context["log"] = _log_end(request, job_id)
        context["files"] = services.list_outputs(request.principal, job_id)
    return render(request, "compute/job.html", context)


@require_GET
def job_waiting(request: Request, job_id: UUID) -> HttpResponse:
    """For what a job waits: a fragment for the page that shows it live.

    When the job's state is no longer the one that the page shows, the page is loaded anew.
    """
    found = explain_job(request.principal, job_id)
    if found.job.state != request.GET.get("state", found.job.state):
        refresh = HttpResponseClientRefresh()
        refresh.status_code = HTMX_STOP_POLLING
        return refresh
    context = {**_explained(found), "job": found.job}
    return render(request, "compute/waiting.html", context)


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
def cancel_array(request: Request, job_id: UUID) -> HttpResponse:
    """Ask for the end of all jobs of an array."""
    services.cancel_array(request.principal, job_id)
    messages.success(request, _("The jobs of the array are asked to end."))
    return redirect("compute:job", job_id)


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
        "doubts": [DOUBTS[doubt] for doubt in usage.doubts] if usage else [],
        "cpu_s": quantity(usage.cpu_ms) if usage else "",
        "wall_s": quantity(usage.wall_ms) if usage else "",
    }


def _explained(found: Explanation) -> dict[str, Any]:
    """Why a job is where it is, and for what it waits: the newest placement first."""
    placements = [*reversed(found.placements), *filter(None, [found.quoted])]
    return {
        "waits": found.waits_for != Waits.NOTHING,
        "sentence": translated(found.sentence),
        "ahead": found.ahead,
        "present": comparison(found.present) if found.present else None,
        "placements": [_placed(one) for one in placements],
    }


def _placed(one: Placed) -> dict[str, Any]:
    return {
        "at": one.at,
        "occasion": OCCASIONS[one.occasion],
        "chosen": one.choice.chosen,
        "is_replayed": one.is_replayed,
        "compared": comparison(one.choice),
    }


def _siblings(job: Job) -> dict[str, Any]:
    """The jobs of an array: how many are in which state, and the first of them."""
    rows = list(job.quote.jobs.order_by("array_index"))
    counts = Counter(row.state for row in rows)
    return {
        "all": len(rows),
        "counts": [
            {"state": STATES[state], "tone": TONES[state], "count": counts[state]}
            for state in JobState
            if counts[state]
        ],
        "rows": [
            {"job": row, "state": STATES[row.state], "tone": TONES[row.state]}
            for row in rows[:SHOWN_SIBLINGS]
        ],
        "left_out": max(0, len(rows) - SHOWN_SIBLINGS),
        "is_over": all(row.state in FINAL for row in rows),
    }


def _events(
    request: Request, job: Job, attempts: list[Attempt], *, sees_quote: bool
) -> list[dict[str, Any]]:
    """What happened to a job, the first thing first: its quote, evidence, and attempts."""
    entries = evidence.find(request.principal, subject=f"job:{job.pk}", limit=SHOWN_EVIDENCE)
    events = [
        _event(entry.at, kind_label(entry.kind), "info", "fingerprint", _entry_address(entry.id))
        for entry in reversed(entries.items)
    ]
    if sees_quote:
        address = reverse("compute:quote", args=[job.quote_id])
        events.append(_event(job.quote.created_at, _("Quoted"), "idle", "receipt", address))
    for attempt in attempts:
        events += _events_of(attempt, is_last=attempt is attempts[-1], is_over=job.state in FINAL)
    return sorted(events, key=lambda event: event["time"])


def _events_of(attempt: Attempt, *, is_last: bool, is_over: bool) -> Iterator[dict[str, Any]]:
    """One attempt: offered to a centre, taken by its agent, started, ended, and back in line."""
    named = {"number": attempt.number, "pool": attempt.pool}
    offered = _("Attempt %(number)s offered to %(pool)s") % named
    yield _event(attempt.created_at, offered, "info", "send")
    if attempt.claimed_at:
        claimed = _("Attempt %(number)s taken by the agent") % named
        yield _event(attempt.claimed_at, claimed, "info", "plug", detail=attempt.external_id)
    if attempt.started_at:
        started = _("Attempt %(number)s started") % named
        nodes = ", ".join(attempt.nodes)
        yield _event(attempt.started_at, started, "busy", "player-play", detail=nodes)
    if attempt.finished_at:
        ended = _("Attempt %(number)s ended") % named
        reason = REASONS.get(attempt.end_reason, "")
        tone = TONES[attempt.state]
        yield _event(attempt.finished_at, ended, tone, "player-stop", detail=reason)
        if not is_last or not is_over:
            yield _event(attempt.finished_at, _("Back in the queue"), "warn", "refresh")


def _event(
    time: datetime, title: object, tone: str, icon: str, href: str = "", detail: object = ""
) -> dict[str, Any]:
    return {
        "time": time,
        "title": title,
        "tone": tone,
        "icon": icon,
        "href": href,
        "detail": detail,
    }


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
