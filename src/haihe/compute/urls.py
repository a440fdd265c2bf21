"""Addresses of the pages of compute. No slug contains ``-`` alone."""

from __future__ import annotations

from django.urls import path

from haihe.compute.views import centres, contracts, exchange, jobs, network, pools, quotes

app_name = "compute"
urlpatterns = [
    path("network", network.network, name="network"),
    path("centres", centres.centres, name="centres"),
    path("centres/-/new", centres.centre_new, name="centre_new"),
    path("centres/by-id/<uuid:centre_id>", centres.centre_by_id, name="centre_by_id"),
    path("centres/<slug:slug>", centres.centre, name="centre"),
    path("centres/<slug:slug>/terms", centres.centre_terms, name="centre_terms"),
    path("centres/<slug:slug>/agent/invite", centres.agent_invite, name="agent_invite"),
    path("centres/<slug:slug>/agent/revoke", centres.agent_revoke, name="agent_revoke"),
    path("centres/<slug:slug>/accounts/-/new", centres.account_new, name="account_new"),
    path("centres/<slug:slug>/accounts/-/drop", centres.account_drop, name="account_drop"),
    path("centres/<slug:slug>/pools/-/new", pools.pool_new, name="pool_new"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>", pools.pool, name="pool"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>/open", pools.pool_open, name="pool_open"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>/drain", pools.pool_drain, name="pool_drain"),
    path("centres/<slug:slug>/pools/<slug:pool_slug>/terms", pools.pool_terms, name="pool_terms"),
    path(
        "centres/<slug:slug>/pools/<slug:pool_slug>/maintenance/-/new",
        pools.maintenance_new,
        name="maintenance_new",
    ),
    path(
        "centres/<slug:slug>/pools/<slug:pool_slug>/maintenance/<uuid:maintenance_id>/withdraw",
        pools.maintenance_withdraw,
        name="maintenance_withdraw",
    ),
    path(
        "centres/<slug:slug>/pools/<slug:pool_slug>/allocations/-/new",
        pools.allocation_new,
        name="allocation_new",
    ),
    path("agent/v1/enrol", exchange.enrol, name="agent_enrol"),
    path("agent/v1/exchange", exchange.exchange, name="agent_exchange"),
    path(
        "agent/v1/attempts/<uuid:attempt_id>/inputs/<str:name>",
        exchange.read_input,
        name="agent_input",
    ),
    path(
        "agent/v1/attempts/<uuid:attempt_id>/files/<str:sha256>",
        exchange.read_file,
        name="agent_file",
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
    path("quotes/<uuid:quote_id>", quotes.quote, name="quote"),
    path("jobs", jobs.jobs, name="jobs"),
    path("jobs/-/new", quotes.job_new, name="job_new"),
    path("jobs/<uuid:job_id>", jobs.job, name="job"),
    path("jobs/<uuid:job_id>/cancel", jobs.cancel, name="cancel"),
    path("jobs/<uuid:job_id>/cancel-array", jobs.cancel_array, name="cancel_array"),
    path("jobs/<uuid:job_id>/waiting", jobs.job_waiting, name="job_waiting"),
    path("jobs/<uuid:job_id>/log", jobs.job_log, name="job_log"),
    path("jobs/<uuid:job_id>/files/<path:path>", jobs.job_file, name="job_file"),
]
