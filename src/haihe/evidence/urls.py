"""Addresses of the evidence pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from haihe.evidence import views

app_name = "evidence"
urlpatterns: list[URLPattern] = [
    path("evidence", views.log, name="log"),
    path("evidence/entries/<uuid:entry_id>", views.entry, name="entry"),
    path("evidence/entries/<uuid:entry_id>/proof.json", views.proof, name="proof"),
    path("evidence/subjects/<path:subject>", views.subject, name="subject"),
    path("evidence/checkpoints", views.checkpoints, name="checkpoints"),
    path("evidence/keys/rotate", views.rotate_key, name="rotate_key"),
    path("evidence/verify", views.verify, name="verify"),
]
