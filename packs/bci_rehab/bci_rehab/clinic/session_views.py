"""Pages of sessions: plan, open, close, and what each came to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from bci_rehab.clinic import decoders, exporting, sessions, station
from bci_rehab.clinic.errors import DecoderNotAccepted
from bci_rehab.clinic.exporting import Format
from bci_rehab.clinic.models import DecoderVersion, Patient, TrainingSession
from bci_rehab.clinic.planning import longest_s
from bci_rehab.clinic.results import results_of
from bci_rehab.clinic.session_forms import (
    OpenForm,
    PlanForm,
    RejectForm,
    actuator_words,
    source_words,
)
from bci_rehab.session.plan import SessionPlan
from haihe.packs.pages import (
    Request,
    ServiceUnavailable,
    export_asked,
    export_table,
    now,
    paginate,
    shown_on,
)

RESEARCH = ("organisation", "pseudonym", "session", "date", "accuracy", "minutes", "stops")
CHART_SESSIONS = 200


@require_GET
def research(request: Request) -> HttpResponse:
    """Ended sessions of those who consented to research, by pseudonym."""
    rows = sessions.research_sessions(request.principal)
    if export_asked(request):
        return export_table(request, map(_researched, rows), columns=RESEARCH, name="sessions")
    page = paginate(rows, cursor=request.GET.get("cursor"))
    shown = [{"session": row, "results": results_of(row.summary)} for row in page.items]
    context = {"page": page, "shown": shown, "as_of": now()}
    return render(request, "bci_rehab/sessions.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
def session_new(request: Request, patient_id: UUID) -> HttpResponse:
    """Plan the next session."""
    patient = sessions.planned_for(request.principal, patient_id)
    accepted = _accepted(patient)
    form = PlanForm(request.POST or None, accepted=accepted)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            planned = sessions.plan_session(
                request.principal, patient_id, calibrate=form.calibrates
            )
            return redirect("bci_rehab:session_open", planned.pk)
    active = patient.prescriptions.filter(state="active").first()
    context = {"patient": patient, "form": form, "active": active, "accepted": accepted}
    return render(request, "bci_rehab/session_form.html", context, status=form.status)


@require_GET
@never_cache
def session(request: Request, session_id: UUID) -> HttpResponse:
    """A session: its plan, where it stands, and what it came to."""
    found = sessions.find_session(request.principal, session_id)
    plan = SessionPlan.from_json(found.plan)
    context = {
        "session": found,
        "patient": found.patient,
        "plan": plan,
        "trials": plan.trials_per_side * len(plan.sides),
        "longest_min": longest_s(plan) / 60,
        "source": source_words(found.source) if found.source else "",
        "actuator": actuator_words(found.actuator) if found.actuator else "",
        "results": results_of(found.summary),
        "may_run": sessions.may_run(request.principal, found.patient),
        "may_export": exporting.may_export(request.principal, found),
        "as_of": now(),
    }
    return render(request, "bci_rehab/session.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
def session_open(request: Request, session_id: UUID) -> HttpResponse:
    """Choose source and actuator, and open the session at the station."""
    found = sessions.checked(request.principal, session_id)
    sessions.check_open(found)
    may_run = sessions.may_run(request.principal, found.patient)
    try:
        offers, is_up = station.offers(), True
    except ServiceUnavailable:
        offers, is_up = {"sources": [], "actuators": []}, False
    form = OpenForm(request.POST or None, offers=offers, may_run=may_run)
    if request.method == "POST" and is_up and form.is_valid():
        with shown_on(form):
            sessions.open_session(request.principal, session_id, form.setting())
            return redirect("bci_rehab:live", session_id)
    context = {
        "session": found,
        "patient": found.patient,
        "form": form,
        "sources": offers["sources"],
        "is_up": is_up,
        "may_run": may_run,
    }
    status = form.status if is_up or request.method == "GET" else 503
    return render(request, "bci_rehab/session_open.html", context, status=status)


@require_POST
def session_close(request: Request, session_id: UUID) -> HttpResponse:
    """End a session, and take what it came to into the record."""
    sessions.close_session(request.principal, session_id)
    messages.success(request, _("The session is closed, and its results are in the record."))
    return redirect("bci_rehab:session", session_id)


@require_POST
def session_cancel(request: Request, session_id: UUID) -> HttpResponse:
    """Give a session up; its number is had again."""
    sessions.cancel_session(request.principal, session_id)
    messages.success(request, _("The session is cancelled. Its number can be planned again."))
    return redirect("bci_rehab:session", session_id)


@require_POST
def session_export(request: Request, session_id: UUID) -> FileResponse:
    """The recording as a file: BIDS in a ZIP, or EDF+."""
    form = Format.EDF if request.POST.get("format") == Format.EDF else Format.BIDS
    found, file = exporting.export(request.principal, session_id, form)
    suffix = "edf" if form is Format.EDF else "zip"
    name = f"{found.patient.pseudonym}-{found.number:02d}.{suffix}"
    return FileResponse(file, as_attachment=True, filename=name)


@require_POST
def decoder_accept(request: Request, decoder_id: UUID) -> HttpResponse:
    """Let a decoder drive."""
    found = decoders.accept(request.principal, decoder_id)
    messages.success(request, _("Decoder %(decoder)s is accepted.") % {"decoder": found})
    return redirect("bci_rehab:patient", found.patient_id)


@require_http_methods(["GET", "POST"])
def decoder_reject(request: Request, decoder_id: UUID) -> HttpResponse:
    """Reject a decoder, with the reason."""
    found = decoders.find_decoder(request.principal, decoder_id)
    form = RejectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            decoders.reject(request.principal, decoder_id, form.cleaned_data["reason"])
            said = _("Decoder %(decoder)s is rejected, and drives nothing.") % {"decoder": found}
            messages.success(request, said)
            return redirect("bci_rehab:patient", found.patient_id)
    context = {
        "patient": found.patient,
        "form": form,
        "title": _("Reject decoder %(decoder)s") % {"decoder": found},
        "lead": _("It drives nothing from then on, and cannot be accepted again."),
    }
    return render(request, "bci_rehab/step.html", context, status=form.status)


def training_of(patient: Patient) -> dict[str, Any]:
    """What the patient's page shows of sessions and decoders."""
    found = list(sessions.sessions_of(patient)[:CHART_SESSIONS])
    results = [results_of(row.summary) for row in found]
    points = [
        (row.started_at, round(result.accuracy * 100, 1))
        for row, result in zip(reversed(found), reversed(results), strict=True)
        if result is not None and result.accuracy is not None
    ]
    return {
        "sessions": [
            {"session": row, "results": result} for row, result in zip(found, results, strict=True)
        ],
        "is_session_open": any(row.is_open for row in found),
        "decoders": patient.decoders.select_related("accepted_by", "rejected_by").order_by(
            "-version"
        ),
        "accuracy": [{"label": _("Right in feedback trials"), "points": points}],
        "accuracy_begins": points[0][0] if points else None,
        "accuracy_ends": points[-1][0] if points else None,
        "is_accuracy_drawn": len(points) > 1,
    }


def _accepted(patient: Patient) -> DecoderVersion | None:
    try:
        return sessions.decoder_of(patient)
    except DecoderNotAccepted:
        return None


def _researched(row: TrainingSession) -> dict[str, Any]:
    results = results_of(row.summary)
    accuracy = results.accuracy if results else None
    return {
        "organisation": row.patient.organisation.slug,
        "pseudonym": row.patient.pseudonym,
        "session": row.number,
        "date": row.started_at.date() if row.started_at else None,
        "accuracy": None if accuracy is None else round(accuracy, 4),
        "minutes": results.minutes if results else None,
        "stops": len(results.stops) if results else None,
    }
