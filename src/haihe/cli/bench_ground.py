"""What benchmarks of the tables stand on: quotes and jobs as rows, without the services' work."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from haihe.compute.domain import JobSpec
from haihe.compute.models import Job, Offer, Quote
from haihe.kernel.money import MICRO
from haihe.parties.models import Organisation, Person


def quote_row(
    spec: JobSpec, *, organisation: Organisation, offer: Offer, person: Person, expires_at: datetime
) -> Quote:
    """A quote for ``spec`` on the offer's pool, not yet in the database."""
    return Quote(
        organisation=organisation,
        pool=offer.pool,
        offer=offer,
        spec_data=spec.as_dict(),
        lines=[],
        shares=[],
        reasons=[],
        amount_micro=MICRO,
        expires_at=expires_at,
        created_by=person,
    )


def job_row(quote: Quote, organisation: Organisation, **fields: Any) -> Job:
    """A job of a quote, not yet in the database: every column that a job must have is set here."""
    return Job(
        organisation=organisation,
        provider=quote.pool.centre.operator,
        quote=quote,
        pool=quote.pool,
        offer=quote.offer,
        name="bench",
        amount_micro=quote.amount_micro,
        created_by=quote.created_by,
        **fields,
    )
