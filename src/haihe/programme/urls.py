"""Addresses of the programme's pages. No slug contains ``-`` alone."""

from __future__ import annotations

from django.urls import URLPattern, path

from haihe.programme.views import plans, scenarios, schemes, vouchers

app_name = "programme"
urlpatterns: list[URLPattern] = [
    path("plans", plans.plans, name="plans"),
    path("plans/-/import", plans.plan_import, name="plan_import"),
    path("plans/by-id/<uuid:plan_id>", plans.plan_by_id, name="plan_by_id"),
    path("plans/<slug:slug>", plans.plan, name="plan"),
    path("plans/<slug:slug>/changes", plans.changes, name="changes"),
    path("plans/<slug:slug>/targets/<str:code>", plans.target, name="target"),
    path("indicators", plans.indicators, name="indicators"),
    path("schemes", schemes.schemes, name="schemes"),
    path("schemes/-/open", schemes.scheme_open, name="scheme_open"),
    path("schemes/by-id/<uuid:scheme_id>", schemes.scheme_by_id, name="scheme_by_id"),
    path("schemes/<slug:slug>", schemes.scheme, name="scheme"),
    path("schemes/<slug:slug>/fund", schemes.fund, name="fund"),
    path("schemes/<slug:slug>/payments", schemes.payments, name="payments"),
    path("schemes/<slug:slug>/apply", vouchers.apply, name="apply"),
    path("vouchers", vouchers.vouchers, name="vouchers"),
    path("vouchers/<slug:number>", vouchers.voucher, name="voucher"),
    path("scenarios", scenarios.scenarios, name="scenarios"),
    path("scenarios/-/propose", scenarios.propose, name="propose"),
    path("scenarios/<uuid:scenario_id>", scenarios.scenario, name="scenario"),
]
