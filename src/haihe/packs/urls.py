"""Addresses of the pages of packs and evaluations."""

from __future__ import annotations

from django.urls import URLPattern, path

from haihe.packs import views

app_name = "packs"
urlpatterns: list[URLPattern] = [
    path("packs", views.packs, name="packs"),
    path("packs/<slug:name>", views.pack, name="pack"),
    path("evaluations", views.evaluations, name="evaluations"),
    path("evaluations/<uuid:evaluation_id>", views.evaluation, name="evaluation"),
    path("evaluations/<uuid:evaluation_id>/cases", views.cases, name="cases"),
    path("evaluations/<uuid:evaluation_id>/cases/<path:case_id>", views.case, name="case"),
]
