"""Addresses of the clinic, below ``/bci-rehab/``."""

from __future__ import annotations

from django.urls import URLPattern, path

from bci_rehab.clinic import views

app_name = "bci_rehab"
urlpatterns: list[URLPattern] = [
    path("patients", views.patients, name="patients"),
    path("outcomes", views.outcomes, name="outcomes"),
    path("patients/-/new", views.patient_new, name="patient_new"),
    path("patients/<uuid:patient_id>", views.patient, name="patient"),
    path("patients/<uuid:patient_id>/identity", views.identity, name="identity"),
    path("patients/<uuid:patient_id>/close", views.close, name="close"),
    path("patients/<uuid:patient_id>/consents/-/new", views.consent_new, name="consent_new"),
    path("patients/<uuid:patient_id>/consents/-/withdraw", views.withdraw, name="withdraw"),
    path("patients/<uuid:patient_id>/intakes/-/new", views.intake_new, name="intake_new"),
    path("patients/<uuid:patient_id>/prescriptions/-/new", views.prescribe, name="prescribe"),
    path("patients/<uuid:patient_id>/prescriptions/-/end", views.end_prescription, name="end"),
    path("patients/<uuid:patient_id>/outcomes/-/new", views.outcome_new, name="outcome_new"),
    path(
        "patients/<uuid:patient_id>/outcomes/<uuid:outcome_id>/strike", views.strike, name="strike"
    ),
    path("patients/<uuid:patient_id>/notes/-/new", views.note_new, name="note_new"),
]
