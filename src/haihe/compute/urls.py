"""Addresses of the pages of compute. No slug contains ``-`` alone."""

from __future__ import annotations

from django.urls import path

from haihe.compute.views import centres, contracts, exchange, jobs

app_name = "compute"
urlpatterns = [
    path("centres", centres.centres, name="centres"),
    path("centres/-/new", centres.centre_new, name="centre_new"),
    path("centres/by-id/<uuid:centre_id>", centres.centre_by_id, name="centre_by_id"),
    path("centres/<slug:slug>", centres.centre, name="centre"),
    path("centres/<slug:slug>/pools/-/new", centres.pool_new, name="pool_new"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>", centres.pool, name="pool"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>/open", centres.pool_open, name="pool_open"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>/drain", centres.pool_drain, name="pool_drain"),
    path("agent/v1/enrol", exchange.enrol, name="agent_enrol"),
    path("agent/v1/exchange", exchange.exchange, name="agent_exchange"),
    path(
        "agent/v1/attempts/<uuid:attempt_id>/inputs/<str:name>",
        exchange.read_input,
        name="agent_input",
    ),
    path(
        "agent/v1/attempts/<uuid:attempt_id>/outputs/<path:path>",
        exchange.write_output,
        name="agent_output",
    ),
    path("agent/v1/attempts/<uuid:attempt_id>/log", exchange.write_log, name="agent_log"),
    path("contracts", contracts.contracts, name="contracts"),
    path("contracts/-/new", contracts.contract_new, name="contract_new"),
    path("contracts/<uuid:contract_id>", contracts.contract, name="contract"),
    path("contracts/<uuid:contract_id>/sign", contracts.sign, name="sign"),
    path("quotes/<uuid:quote_id>", jobs.quote, name="quote"),
    path("jobs", jobs.jobs, name="jobs"),
    path("jobs/-/new", jobs.job_new, name="job_new"),
    path("jobs/<uuid:job_id>", jobs.job, name="job"),
    path("jobs/<uuid:job_id>/cancel", jobs.cancel, name="cancel"),
    path("jobs/<uuid:job_id>/log", jobs.job_log, name="job_log"),
    path("jobs/<uuid:job_id>/files/<path:path>", jobs.job_file, name="job_file"),
]
