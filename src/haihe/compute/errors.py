"""Errors of compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import (
    Conflict,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
    gettext_noop,
)


@dataclass(kw_only=True, eq=False)
class BadJobSpec(Invalid):
    """A field of a job's spec is wrong."""

    code: ClassVar[str] = "compute.bad_job_spec"
    template: ClassVar[str] = gettext_noop("The job's {field} {rule}.")

    field: str
    rule: str


@dataclass(kw_only=True, eq=False)
class JobTooLarge(Refused):
    """No pool can ever run the job; the error names the nearest miss."""

    code: ClassVar[str] = "compute.job_too_large"
    template: ClassVar[str] = gettext_noop(
        "Job {job} needs {needed} {resource}; pool {pool} has {there} in all. Ask for less, or for "
        "another pool."
    )

    job: str
    pool: str
    resource: str
    needed: int
    there: int


@dataclass(kw_only=True, eq=False)
class TooCostly(Refused):
    """A job that could cost more at its limits than an amount may be."""

    code: ClassVar[str] = "compute.too_costly"
    template: ClassVar[str] = gettext_noop(
        "At its limits job {job} may cost {amount}; an amount is at most {most}. Lower its limits."
    )

    job: str
    amount: str
    most: str


@dataclass(kw_only=True, eq=False)
class NoOffer(Unavailable):
    """No open pool has an offer that holds now."""

    code: ClassVar[str] = "compute.no_offer"
    template: ClassVar[str] = gettext_noop(
        "No open pool of {provider} has an offer now. Look at the centres, or ask an operator."
    )

    provider: str


@dataclass(kw_only=True, eq=False)
class QuoteExpired(Refused):
    """A quote's price holds for a stated time."""

    code: ClassVar[str] = "compute.quote_expired"
    template: ClassVar[str] = gettext_noop(
        "Quote {quote} expired at {expires_at}. Ask for a new one."
    )

    quote: str
    expires_at: str


@dataclass(kw_only=True, eq=False)
class QuoteUsed(Conflict):
    """A quote makes one job."""

    code: ClassVar[str] = "compute.quote_used"
    template: ClassVar[str] = gettext_noop("Quote {quote} became job {job}. Ask for a new one.")

    quote: str
    job: str


@dataclass(kw_only=True, eq=False)
class ContractLimit(Refused):
    """A contract's amount is used up, or its term does not cover today."""

    code: ClassVar[str] = "compute.contract_limit"
    template: ClassVar[str] = gettext_noop("Contract {number}: {reason}.")

    number: str
    reason: str


@dataclass(kw_only=True, eq=False)
class NotVerified(Refused):
    """Only an organisation whose credit code the operator confirmed may do this."""

    code: ClassVar[str] = "compute.not_verified"
    template: ClassVar[str] = gettext_noop(
        "{organisation} is not verified. Ask the platform's operator to confirm its credit code."
    )

    organisation: str


@dataclass(kw_only=True, eq=False)
class Taken(Conflict):
    """A name that must be unique is in use."""

    code: ClassVar[str] = "compute.taken"
    template: ClassVar[str] = gettext_noop("{kind} {name!r} exists. Choose another name.")

    kind: str
    name: str


@dataclass(kw_only=True, eq=False)
class NoIsolation(Unavailable):
    """The machine cannot keep jobs apart, and the settings require it."""

    code: ClassVar[str] = "compute.no_isolation"
    template: ClassVar[str] = gettext_noop(
        "This machine cannot isolate jobs ({reason}). Use Linux 5.13 or newer, or set "
        "job_isolation to 'off' where all who submit jobs trust each other."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class NoSuchFile(NotFound):
    """A path that leads to no file of the job's outputs."""

    code: ClassVar[str] = "compute.no_such_file"
    template: ClassVar[str] = gettext_noop("Job {job} has no output file {path!r}.")

    job: str
    path: str
