"""Addresses of the clinic, below ``/bci-rehab/``."""

from __future__ import annotations

from django.urls import URLPattern, path

from bci_rehab.clinic import live_views, report_views, session_views, views

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
    path(
        "patients/<uuid:patient_id>/sessions/-/new", session_views.session_new, name="session_new"
    ),
    path("research/sessions", session_views.research, name="sessions"),
    path("sessions/<uuid:session_id>", session_views.session, name="session"),
    path("sessions/<uuid:session_id>/open", session_views.session_open, name="session_open"),
    path("sessions/<uuid:session_id>/close", session_views.session_close, name="session_close"),
    path("sessions/<uuid:session_id>/cancel", session_views.session_cancel, name="session_cancel"),
    path("sessions/<uuid:session_id>/export", session_views.session_export, name="session_export"),
    path("sessions/<uuid:session_id>/report", report_views.report, name="report"),
    path("sessions/<uuid:session_id>/report.pdf", report_views.report_pdf, name="report_pdf"),
    path("sessions/<uuid:session_id>/live", live_views.live, name="live"),
    path("sessions/<uuid:session_id>/screen", live_views.screen, name="screen"),
    path("sessions/<uuid:session_id>/ticket", live_views.ticket, name="ticket"),
    path("sessions/<uuid:session_id>/fit", live_views.fit, name="fit"),
    path("sessions/<uuid:session_id>/fit/accept", live_views.fit_accept, name="fit_accept"),
    path("decoders/<uuid:decoder_id>/accept", session_views.decoder_accept, name="decoder_accept"),
    path("decoders/<uuid:decoder_id>/reject", session_views.decoder_reject, name="decoder_reject"),
]
