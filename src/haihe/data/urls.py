"""Addresses of the pages of datasets and agreements. No slug contains ``-`` alone."""

from __future__ import annotations

from django.urls import path

from haihe.data import views

app_name = "data"
urlpatterns = [
    path("datasets", views.datasets, name="datasets"),
    path("datasets/-/new", views.dataset_new, name="dataset_new"),
    path("datasets/by-id/<uuid:dataset_id>", views.dataset_by_id, name="dataset_by_id"),
    path("datasets/versions/<uuid:version_id>", views.version_by_id, name="version_by_id"),
    path("datasets/<slug:slug>", views.dataset, name="dataset"),
    path("datasets/<slug:slug>/edit", views.dataset_edit, name="dataset_edit"),
    path("datasets/<slug:slug>/publish", views.publish, name="publish"),
    path("datasets/<slug:slug>/withdraw", views.withdraw, name="withdraw"),
    path("datasets/<slug:slug>/usage", views.usage, name="usage"),
    path("datasets/<slug:slug>/propose", views.propose, name="propose"),
    path("datasets/<slug:slug>/terms", views.terms, name="terms"),
    path("datasets/<slug:slug>/versions/-/new", views.version_new, name="version_new"),
    path("datasets/<slug:slug>/versions/<int:number>", views.version, name="version"),
    path("datasets/<slug:slug>/versions/<int:number>/content", views.content, name="content"),
    path("agreements", views.agreements, name="agreements"),
    path("agreements/<uuid:agreement_id>", views.agreement, name="agreement"),
    path("agreements/<uuid:agreement_id>/accept", views.accept, name="accept"),
    path("agreements/<uuid:agreement_id>/end", views.end, name="end"),
]
