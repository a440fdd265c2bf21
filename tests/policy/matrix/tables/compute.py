"""Centres and pools, contracts, quotes, jobs."""

from __future__ import annotations

from tests.policy.matrix.rows import Upload, delete, get, post, put

_SEE = "centre.read on anything"
_CHANGE = (_SEE, "centre.update on centre")
_POOL = {"slug": "centre", "pool": "pool"}
_POOL_PAGE = {"slug": "centre", "pool_slug": "pool"}
_CENTRE = {"operator": "{party}", "slug": "new-centre", "name": "新中心"}
_NEW_POOL = {"slug": "new-pool", "cpu_milli": 1_000, "memory_bytes": 1 << 30}
_TERM = {"begins_on": "{day}", "ends_on": "2099-12-31"}
_CONTRACT = {"number": "K-NEW", "buyer": "{own}", "provider": "{party}", **_TERM}
_SIGN = ("contract.read on draft", "contract.sign on partner")
_JOB = "job.read on job"
_INSIDE = (_JOB, "job.read_log on job")
_WINDOW = {"begins_at": "2098-01-01T00:00Z", "ends_at": "2098-01-02T00:00Z", "reason": "work"}
_MAPPED = {"email": "{email}", "user": "someone"}
_ALLOTTED = {
    "organisation": "{own}",
    "begins_on": "2098-01-01",
    "ends_on": "2098-12-31",
    "cpu_hours": 1,
}
_ALLOT = (*_CHANGE, "organisation.read on own")
_SPEC = {"name": "work", "command": ["true"]}
_OUTPUT = {"job_id": "job", "path": "output"}

API = [
    get("api:list_centres", _SEE),
    post(
        "api:create_centre",
        "organisation.read on party",
        "centre.create on party",
        body=_CENTRE,
        then=201,
    ),
    get("api:read_centre", _SEE, slug="centre"),
    get("api:list_pools", _SEE, slug="centre"),
    post("api:create_pool", *_CHANGE, slug="centre", body=_NEW_POOL, then=201),
    get("api:read_pool", _SEE, **_POOL),
    post("api:open_pool", *_CHANGE, **_POOL),
    post("api:drain_pool", *_CHANGE, **_POOL),
    get("api:list_offers", _SEE, **_POOL),
    post("api:set_offer", *_CHANGE, body={"cpu_hour_micro": 1}, then=201, **_POOL),
    get("api:read_centre_terms", _SEE, slug="centre"),
    get("api:read_pool_terms", _SEE, **_POOL),
    put("api:update_centre", *_CHANGE, slug="centre", body={"region": "Tianjin"}),
    put("api:update_pool", *_CHANGE, body={"partition": "gpu"}, **_POOL),
    get("api:network_state", _SEE),
    get("api:pool_history", _SEE, **_POOL),
    get("api:list_maintenance", _SEE, **_POOL),
    post("api:plan_maintenance", *_CHANGE, body=_WINDOW, then=201, **_POOL),
    post("api:withdraw_maintenance", "centre.update on centre", window_id="window"),
    get("api:list_centre_accounts", _SEE, slug="centre"),
    put("api:set_centre_account", *_CHANGE, slug="centre", body=_MAPPED),
    delete("api:drop_centre_account", *_CHANGE, slug="centre", email="mapped"),
    get("api:list_allocations", _SEE, **_POOL),
    put("api:set_allocation", *_ALLOT, body=_ALLOTTED, **_POOL),
    get("api:read_agent", *_CHANGE, slug="centre"),
    post("api:invite_agent", *_CHANGE, slug="centre", then=201),
    post("api:revoke_agent", *_CHANGE, slug="centre"),
    post("api:give_up_attempts", *_CHANGE, slug="centre", then=409),
    get("api:list_contracts", "contract.read on list", shows="contract"),
    post(
        "api:create_contract",
        "organisation.read on own",
        "organisation.read on party",
        "contract.create on own",
        body={**_CONTRACT, "amount_micro": 9, "eligible_micro": 9},
        then=201,
    ),
    get("api:read_contract", "contract.read on contract", contract_id="contract"),
    post("api:sign_contract", *_SIGN, contract_id="draft"),
    post(
        "api:keep_file",
        "organisation.read on own",
        "quote.create on own",
        body={"organisation": "{own}", "file": Upload("run.py", b"print(1)")},
        then=201,
    ),
    post(
        "api:request_quote",
        "organisation.read on own",
        "quote.create on own",
        body={"organisation": "{own}", "spec": _SPEC},
        then=201,
    ),
    get("api:read_quote", "quote.read on quote", quote_id="quote"),
    post(
        "api:submit_job",
        "quote.read on quote",
        "job.submit on quote",
        body={"quote_id": "{quote}"},
        then=201,
    ),
    get("api:list_jobs", "job.read on list", shows="job"),
    get("api:read_job", _JOB, job_id="job"),
    post("api:cancel_job", _JOB, "job.cancel on job", job_id="job"),
    post("api:cancel_array", _JOB, "job.cancel on job", job_id="job"),
    get("api:read_job_log", *_INSIDE, job_id="job", shows="log"),
    get("api:explain_job", _JOB, "quote.read on quote", job_id="job"),
    get("api:list_job_files", *_INSIDE, job_id="job", shows="output-name"),
    get("api:download_job_file", *_INSIDE, shows="output", **_OUTPUT),
]

PAGES = [
    get("compute:network", _SEE),
    get("compute:centres", _SEE),
    get("compute:centre_new", "centre.create on mine"),
    post(
        "compute:centre_new",
        "centre.create on mine",
        "centre.create on party, offered",
        body=_CENTRE,
    ),
    get("compute:centre", _SEE, slug="centre"),
    get("compute:centre_by_id", _SEE, centre_id="centre-id", then=302),
    get("compute:pool_new", _SEE, slug="centre"),
    post(
        "compute:pool_new",
        *_CHANGE,
        slug="centre",
        body={
            "slug": "new-pool",
            "cpus": 1,
            "memory_gib": 1,
            "backend": "local",
            "pending_limit": 0,
        },
    ),
    get("compute:centre_terms", _SEE, slug="centre"),
    post("compute:centre_terms", *_CHANGE, slug="centre", body={"region": "north"}),
    get("compute:account_new", _SEE, slug="centre"),
    post("compute:account_new", *_CHANGE, slug="centre", body=_MAPPED),
    post("compute:account_drop", *_CHANGE, slug="centre", body={"email": "{mapped}"}),
    post("compute:agent_invite", *_CHANGE, slug="centre", then=200),
    post("compute:agent_revoke", *_CHANGE, slug="centre"),
    get("compute:pool", _SEE, **_POOL_PAGE),
    post("compute:pool", *_CHANGE, body={"cpu_hour_micro": "1"}, **_POOL_PAGE),
    post("compute:pool_open", *_CHANGE, **_POOL_PAGE),
    post("compute:pool_drain", *_CHANGE, **_POOL_PAGE),
    get("compute:pool_terms", _SEE, **_POOL_PAGE),
    post(
        "compute:pool_terms",
        *_CHANGE,
        body={"backend": "local", "pending_limit": 0},
        **_POOL_PAGE,
    ),
    get("compute:maintenance_new", _SEE, **_POOL_PAGE),
    post("compute:maintenance_new", *_CHANGE, body=_WINDOW, **_POOL_PAGE),
    post(
        "compute:maintenance_withdraw",
        "centre.update on centre",
        maintenance_id="window",
        **_POOL_PAGE,
    ),
    get("compute:allocation_new", _SEE, **_POOL_PAGE),
    post("compute:allocation_new", *_ALLOT, body={**_ALLOTTED, "gpu_hours": 0}, **_POOL_PAGE),
    get("compute:contracts", "contract.read on list", shows="contract"),
    get("compute:contract_new", "contract.create on mine"),
    post(
        "compute:contract_new",
        "contract.create on mine",
        "contract.create on own, offered",
        body={**_CONTRACT, "amount_micro": "9", "eligible_micro": "9"},
    ),
    get("compute:contract", "contract.read on contract", contract_id="contract"),
    post("compute:sign", *_SIGN, contract_id="draft"),
    get("compute:quote", "quote.read on quote", quote_id="quote"),
    post(
        "compute:quote",
        "quote.read on quote",
        "job.submit on quote",
        quote_id="quote",
        body={"accept": "yes"},
    ),
    get("compute:jobs", "job.read on list", shows="job"),
    get("compute:job_new", "quote.create on mine"),
    post(
        "compute:job_new",
        "quote.create on mine",
        "quote.create on own, offered",
        body={
            "organisation": "{own}",
            "name": "work",
            "command": "true",
            "cpus": 1,
            "memory_mib": 512,
            "wall_minutes": 1,
            "output_mib": 8,
            "objective": "balanced",
        },
    ),
    get("compute:job", _JOB, job_id="job", shows="log output-name"),
    post("compute:cancel", _JOB, "job.cancel on job", job_id="job"),
    post("compute:cancel_array", _JOB, "job.cancel on job", job_id="job"),
    get("compute:job_waiting", _JOB, "quote.read on quote", job_id="job"),
    get("compute:job_log", *_INSIDE, job_id="job", shows="log"),
    get("compute:job_file", *_INSIDE, shows="output", **_OUTPUT),
]
