"""The report of a session, on a page and as a PDF."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from bci_rehab.clinic.report_plot import plot_of
from bci_rehab.clinic.report_tree import Chart
from bci_rehab.clinic.reporting import find_report, make_pdf
from haihe.packs.pages import Request, now


@require_GET
@never_cache
def report(request: Request, session_id: UUID) -> HttpResponse:
    """The report, to be read and printed."""
    session, made = find_report(request.principal, session_id)
    sections = [
        {
            "title": section.title,
            "blocks": [
                {"block": block, "plot": plot_of(block) if isinstance(block, Chart) else None}
                for block in section.blocks
            ],
        }
        for section in made.sections
    ]
    context = {
        "session": session,
        "patient": session.patient,
        "report": made,
        "sections": sections,
        "as_of": now(),
    }
    return render(request, "bci_rehab/report.html", context)


@require_GET
@never_cache
def report_pdf(request: Request, session_id: UUID) -> HttpResponse:
    """The report as a file, under the patient's pseudonym."""
    session, made = make_pdf(request.principal, session_id)
    name = f"{session.patient.pseudonym}-{session.number}.pdf"
    response = HttpResponse(made, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
