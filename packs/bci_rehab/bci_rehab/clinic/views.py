"""Pages of the clinic: patients, and what is done with each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from bci_rehab.clinic import services
from bci_rehab.clinic.domain import QUESTIONS, Modality, Side
from bci_rehab.clinic.forms import (
    ConsentForm,
    EnrolForm,
    IntakeForm,
    NoteForm,
    OutcomeForm,
    PatientSearch,
    PrescriptionForm,
    StrikeForm,
)
from bci_rehab.clinic.models import Outcome
from bci_rehab.clinic.session_views import training_of
from haihe.packs.pages import (
    Refusable,
    Request,
    export_asked,
    export_table,
    is_allowed,
    now,
    paginate,
    shown_on,
)

COLUMNS = (
    "organisation", "pseudonym", "affected_side", "birth_year", "onset_on", "diagnosis",
    "created_at", "closed_at", "id",
)  # fmt: skip
OUTCOMES = (
    "organisation", "pseudonym", "affected_side", "birth_year", "scale", "value", "measured_on",
    "rater",
)  # fmt: skip


@require_GET
def patients(request: Request) -> HttpResponse:
    """The patients whom the visitor attends."""
    form = PatientSearch(request.GET)
    narrowed = form.cleaned_data if form.is_valid() else {}
    text = str(narrowed.get("text", ""))
    rows = services.list_patients(request.principal)
    if text:
        rows = rows.filter(pseudonym__icontains=text)
    if not narrowed.get("closed"):
        rows = rows.filter(closed_at=None)
    if export_asked(request):
        exported = ({name: getattr(row, name) for name in COLUMNS} for row in rows)
        return export_table(request, exported, columns=COLUMNS, name="patients")
    context = {
        "form": form,
        "is_narrowed": bool(text),
        "page": paginate(rows, cursor=request.GET.get("cursor")),
        "may_enrol": bool(services.clinics_of(request.principal, services.THERAPIST)),
        "as_of": now(),
    }
    return render(request, "bci_rehab/patients.html", context)


@require_GET
def outcomes(request: Request) -> HttpResponse:
    """The scores of those who consented to research, by pseudonym."""
    rows = services.research_outcomes(request.principal)
    if export_asked(request):
        return export_table(request, map(_outcome, rows), columns=OUTCOMES, name="outcomes")
    page = paginate(rows, cursor=request.GET.get("cursor"))
    return render(request, "bci_rehab/outcomes.html", {"page": page, "as_of": now()})


@require_http_methods(["GET", "POST"])
def patient_new(request: Request) -> HttpResponse:
    """Take a patient in."""
    clinics = services.clinics_of(request.principal, services.THERAPIST)
    services.check_may_enrol(request.principal, clinics)
    form = EnrolForm(request.POST or None, clinics=clinics)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        with shown_on(form):
            patient = services.enrol(
                request.principal,
                organisation=given["organisation"],
                identity=form.identity(),
                affected_side=Side(given["affected_side"]),
                birth_year=given["birth_year"],
                onset_on=given["onset_on"],
                diagnosis=given["diagnosis"],
            )
            messages.success(request, _("%(patient)s is taken in.") % {"patient": patient})
            return redirect("bci_rehab:patient", patient.pk)
    return render(request, "bci_rehab/patient_form.html", {"form": form}, status=form.status)


@require_GET
@never_cache
def patient(request: Request, patient_id: UUID) -> HttpResponse:
    """A patient's record."""
    found = services.find_patient(request.principal, patient_id)
    intake = found.intakes.select_related("recorded_by").order_by("-pk").first()
    context = {
        "patient": found,
        "consents": found.consents.select_related("recorded_by").order_by("-pk"),
        "intake": intake,
        "noted": [q.text for q in QUESTIONS if intake and intake.answers.get(q.code)],
        "active": found.prescriptions.filter(state="active").first(),
        "past": found.prescriptions.filter(state="ended").order_by("-pk"),
        "courses": [_drawn(course) for course in services.courses_of(found)],
        "struck": found.outcomes.exclude(struck_at=None).order_by("-measured_on"),
        "notes": paginate(found.notes.select_related("author"), cursor=request.GET.get("cursor")),
        "may_treat": is_allowed(request.principal, "bci_rehab.treat", found.resource()),
        **training_of(found),
        "as_of": now(),
    }
    return render(request, "bci_rehab/patient.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
def identity(request: Request, patient_id: UUID) -> HttpResponse:
    """Who a patient is: shown once for each time that it is asked for, and logged."""
    found = services.find_patient(request.principal, patient_id)
    form = Refusable(request.POST or None)
    shown = None
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            shown = services.read_identity(request.principal, patient_id)
    context = {"patient": found, "form": form, "identity": shown}
    return render(request, "bci_rehab/identity.html", context, status=form.status)


@require_POST
def close(request: Request, patient_id: UUID) -> HttpResponse:
    """Close a record, or open it again."""
    found = services.find_patient(request.principal, patient_id)
    services.close_patient(request.principal, patient_id, is_closed=found.closed_at is None)
    return redirect("bci_rehab:patient", patient_id)


def _step(
    request: Request,
    patient_id: UUID,
    form: Refusable,
    *,
    title: str,
    lead: str,
    act: Callable[[dict[str, Any]], object],
    done: str,
) -> HttpResponse:
    """A page with one form about a patient; what it did is said on the patient's page."""
    found = services.treated(request.principal, patient_id)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            act(form.cleaned_data)
            messages.success(request, done)
            return redirect("bci_rehab:patient", patient_id)
    context = {"patient": found, "form": form, "title": title, "lead": lead}
    return render(request, "bci_rehab/step.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def consent_new(request: Request, patient_id: UUID) -> HttpResponse:
    """Record a consent."""
    return _step(
        request,
        patient_id,
        ConsentForm(request.POST or None),
        title=_("Record a consent"),
        lead=_("What the patient signed. It can be taken back at any time, without a reason."),
        act=lambda given: services.give_consent(request.principal, patient_id, **given),
        done=_("The consent is recorded."),
    )


@require_POST
def withdraw(request: Request, patient_id: UUID) -> HttpResponse:
    """Record that a consent was taken back."""
    purpose = request.POST.get("purpose", "")
    services.withdraw_consent(request.principal, patient_id, purpose=purpose)
    messages.success(request, _("The consent is withdrawn."))
    return redirect("bci_rehab:patient", patient_id)


@require_http_methods(["GET", "POST"])
def intake_new(request: Request, patient_id: UUID) -> HttpResponse:
    """Fill in the checklist of contraindications."""
    form = IntakeForm(request.POST or None)
    return _step(
        request,
        patient_id,
        form,
        title=_("Intake"),
        lead=_("Ask each question. A yes keeps the patient from the training that it forbids."),
        act=lambda given: services.fill_intake(request.principal, patient_id, form.answers()),
        done=_("The intake is recorded."),
    )


@require_http_methods(["GET", "POST"])
def prescribe(request: Request, patient_id: UUID) -> HttpResponse:
    """Prescribe training."""

    def act(given: dict[str, Any]) -> None:
        chosen = {"modality": Modality(given["modality"]), "side": Side(given["side"])}
        services.prescribe(request.principal, patient_id, **{**given, **chosen})

    return _step(
        request,
        patient_id,
        PrescriptionForm(request.POST or None),
        title=_("Prescribe training"),
        lead=_("Needs consent in force and an intake that does not speak against it."),
        act=act,
        done=_("The training is prescribed."),
    )


@require_POST
def end_prescription(request: Request, patient_id: UUID) -> HttpResponse:
    """End the active prescription."""
    services.end_prescription(request.principal, patient_id)
    messages.success(request, _("The prescription is ended."))
    return redirect("bci_rehab:patient", patient_id)


@require_http_methods(["GET", "POST"])
def outcome_new(request: Request, patient_id: UUID) -> HttpResponse:
    """Enter a score."""
    return _step(
        request,
        patient_id,
        OutcomeForm(request.POST or None),
        title=_("Enter a score"),
        lead=_("A score that was wrong is struck out later, never changed."),
        act=lambda given: services.add_outcome(request.principal, patient_id, **given),
        done=_("The score is entered."),
    )


@require_http_methods(["GET", "POST"])
def strike(request: Request, patient_id: UUID, outcome_id: UUID) -> HttpResponse:
    """Strike a wrong score out."""
    return _step(
        request,
        patient_id,
        StrikeForm(request.POST or None),
        title=_("Strike a score out"),
        lead=_("It stays to be seen, with the reason, and counts no more."),
        act=lambda given: services.strike_outcome(
            request.principal, patient_id, outcome_id, **given
        ),
        done=_("The score is struck out."),
    )


@require_http_methods(["GET", "POST"])
def note_new(request: Request, patient_id: UUID) -> HttpResponse:
    """Write a note."""
    found = services.find_patient(request.principal, patient_id)
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.write_note(request.principal, patient_id, form.cleaned_data["text"])
            return redirect("bci_rehab:patient", patient_id)
    context = {
        "patient": found,
        "form": form,
        "title": _("Write a note"),
        "lead": _("Signed with your name and the time; it is not changed later."),
    }
    return render(request, "bci_rehab/step.html", context, status=form.status)


def _outcome(row: Outcome) -> dict[str, Any]:
    return {
        "organisation": row.patient.organisation.slug,
        "pseudonym": row.patient.pseudonym,
        "affected_side": row.patient.affected_side,
        "birth_year": row.patient.birth_year,
        **{name: getattr(row, name) for name in ("scale", "value", "measured_on", "rater")},
    }


def _drawn(course: services.Course) -> dict[str, Any]:
    """A course as the page draws it: the scores, and the level that would matter."""
    points = [(_noon(outcome.measured_on), outcome.value) for outcome in course.outcomes]
    first, level = points[0], course.outcomes[0].value + course.scale.mcid
    goal = [(first[0], level), (points[-1][0], level)]
    return {
        "course": course,
        "series": [
            {"label": course.scale.code, "points": points},
            {"label": _("Change that matters"), "points": goal},
        ],
        "begins": first[0],
        "ends": points[-1][0],
        "is_drawn": len(points) > 1,
    }


def _noon(day: Any) -> datetime:
    return datetime.combine(day, time(12), tzinfo=UTC)
