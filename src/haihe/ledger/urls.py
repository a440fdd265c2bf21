"""Addresses of the ledger's pages. ``accounts/`` at the root is where people sign in."""

from __future__ import annotations

from django.urls import URLPattern, path

from haihe.ledger import views

app_name = "ledger"
urlpatterns: list[URLPattern] = [
    path("ledger/accounts", views.accounts, name="accounts"),
    path("ledger/accounts/<uuid:account_id>", views.statement, name="statement"),
    path("ledger/accounts/<uuid:account_id>/deposit", views.deposit, name="deposit"),
    path("ledger/audit", views.audit, name="audit"),
]
