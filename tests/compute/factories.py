"""Short ways to quote, submit and run jobs, through the services and on the real local back-end."""

from __future__ import annotations

import time
from itertools import count
from typing import Any
from uuid import UUID

from haihe.compute.domain import FINAL, spec_from
from haihe.compute.models import Job, Quote
from haihe.compute.services import jobs, quotes
from haihe.compute.tasks import Dispatcher
from haihe.kernel.ids import new_id
from haihe.kernel.money import MICRO
from haihe.ledger import services as ledger
from haihe.ledger.models import Account
from haihe.parties.models import Organisation
from haihe.policy.domain import Principal, system_principal

GIB = 1024**3
PATIENCE_S = 60.0
_numbers = count(1)


def cash_of(organisation: Organisation) -> Account:
    """An organisation's account in CNY, read afresh."""
    found = ledger.open_cash(organisation.pk, name=organisation.name)
    return Account.objects.get(pk=found.pk)


def give_cash(organisation: Organisation, amount_cny: int) -> None:
    """Money that reached an organisation from outside."""
    ledger.deposit(
        system_principal("test"),
        cash_of(organisation).pk,
        transfer_id=new_id(),
        amount_micro=amount_cny * MICRO,
        reference="test",
    )


def spec_data(*command: str, **fields: Any) -> dict[str, Any]:
    """A small job."""
    return {
        "name": f"job-{next(_numbers)}",
        "command": list(command) or ["true"],
        "memory_bytes": 512 * 1024**2,
        "wall_s": 60,
        "output_bytes": 8 * 1024**2,
        **fields,
    }


def make_quote(
    principal: Principal,
    *command: str,
    contract: str = "",
    organisation: str = "firm",
    **fields: Any,
) -> Quote:
    """A quote for a small job."""
    spec = spec_from(spec_data(*command, **fields))
    return quotes.request_quote(principal, spec, organisation=organisation, contract=contract)


def make_job(principal: Principal, *command: str, **fields: Any) -> Job:
    """A small job, submitted."""
    return jobs.submit_job(principal, make_quote(principal, *command, **fields).pk)


def run_jobs(dispatcher: Dispatcher | None = None) -> None:
    """Dispatch until no job waits or runs."""
    deadline = time.monotonic() + PATIENCE_S
    with dispatcher or Dispatcher() as worker:
        while Job.objects.exclude(state__in=FINAL).exists():
            assert time.monotonic() < deadline, "the jobs did not end"
            worker.tick()
            time.sleep(0.05)


def run_job(principal: Principal, *command: str, **fields: Any) -> Job:
    """A small job, run to its end."""
    job = make_job(principal, *command, **fields)
    run_jobs()
    return jobs.find_job(principal, job.pk)


def copy_job(job: Job) -> UUID:
    """Another job like ``job``, as a row alone: for lists."""
    quote = Quote.objects.get(pk=job.quote_id)
    quote.pk = new_id()
    quote.save(force_insert=True)
    job = Job.objects.get(pk=job.pk)
    job.pk, job.quote = new_id(), quote
    job.save(force_insert=True)
    return job.pk
