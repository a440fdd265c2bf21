"""Errors of compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
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
class NoPool(Refused):
    """No pool may have the job; the nearest miss."""

    code: ClassVar[str] = "compute.no_pool"
    template: ClassVar[str] = gettext_noop("No pool may run job {job}. The nearest is {reason}.")

    job: str
    pool: str
    reason: str


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
class BackendUnavailable(Unavailable):
    """A scheduler does not answer, or answers what cannot be understood. Nothing is concluded."""

    code: ClassVar[str] = "compute.backend_unavailable"
    template: ClassVar[str] = gettext_noop(
        "The scheduler {backend} does not answer ({reason}). It is asked again; running jobs go on."
    )

    backend: str
    reason: str


@dataclass(kw_only=True, eq=False)
class LinkDown(Unavailable):
    """The platform cannot be reached from an agent."""

    code: ClassVar[str] = "compute.link_down"
    template: ClassVar[str] = gettext_noop(
        "The platform cannot be reached ({reason}). The agent goes on and reports later."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class PlatformRefused(Refused):
    """The platform answers an agent with a no that repeating will not change."""

    code: ClassVar[str] = "compute.platform_refused"
    template: ClassVar[str] = gettext_noop("The platform refused: {reason}")

    reason: str


@dataclass(kw_only=True, eq=False)
class AgentStopped(Denied):
    """The platform hears this agent no more."""

    code: ClassVar[str] = "compute.agent_stopped"
    template: ClassVar[str] = gettext_noop(
        "The platform hears this agent no more ({reason}) What runs goes on."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class AgentRunsAlready(Conflict):
    """Two agents on one folder."""

    code: ClassVar[str] = "compute.agent_runs_already"
    template: ClassVar[str] = gettext_noop(
        "An agent runs in {folder} already. End it first, or give this one a folder of its own."
    )

    folder: str


@dataclass(kw_only=True, eq=False)
class BadAgentConfig(Invalid):
    """An agent's file that cannot be used."""

    code: ClassVar[str] = "compute.bad_agent_config"
    template: ClassVar[str] = gettext_noop(
        "The agent cannot be set up from {path}: {reason}. Enrol first, or correct the file."
    )

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class AgentUnknown(Unauthenticated):
    """A request that no agent in force has signed."""

    code: ClassVar[str] = "compute.agent_unknown"
    template: ClassVar[str] = gettext_noop(
        "No agent in force has signed this request. Enrol again: haihe agent enrol."
    )


@dataclass(kw_only=True, eq=False)
class EnrolmentRefused(Denied):
    """An agent that may not join."""

    code: ClassVar[str] = "compute.enrolment_refused"
    template: ClassVar[str] = gettext_noop(
        "The agent cannot join: {reason}. Make a new token: haihe agent invite."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class CentreBusy(Conflict):
    """A change that would leave running work without anyone to look after it."""

    code: ClassVar[str] = "compute.centre_busy"
    template: ClassVar[str] = gettext_noop(
        "Centre {centre} has {unfinished} unfinished attempts. Close its pools and wait for them."
    )

    centre: str
    unfinished: int


@dataclass(kw_only=True, eq=False)
class BadParcel(Invalid):
    """A file that an agent sends and that cannot be kept."""

    code: ClassVar[str] = "compute.bad_parcel"
    template: ClassVar[str] = gettext_noop("File {path!r} cannot be kept: {reason}.")

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class AgentSuperseded(Conflict):
    """An agent that is not the latest to have started with its key."""

    code: ClassVar[str] = "compute.agent_superseded"
    template: ClassVar[str] = gettext_noop(
        "Another agent of centre {centre} has started after this one (epoch {epoch}, now "
        "{present}). Only the latest is heard; end the others."
    )

    centre: str
    epoch: int
    present: int


@dataclass(kw_only=True, eq=False)
class ExchangeRepeated(Conflict):
    """A message that was said before: late, doubled, or recorded and played again."""

    code: ClassVar[str] = "compute.exchange_repeated"
    template: ClassVar[str] = gettext_noop(
        "Exchange {number} with centre {centre} was heard before; the latest is {present}."
    )

    centre: str
    number: int
    present: int


@dataclass(kw_only=True, eq=False)
class FileCorrupt(Corrupt):
    """A kept file that is not what was uploaded."""

    code: ClassVar[str] = "compute.file_corrupt"
    template: ClassVar[str] = gettext_noop(
        "File {path} was uploaded as {expected} and is {found} now. Upload it again."
    )

    path: str
    expected: str
    found: str


@dataclass(kw_only=True, eq=False)
class NoSuchFile(NotFound):
    """A path that leads to no file of the job's outputs."""

    code: ClassVar[str] = "compute.no_such_file"
    template: ClassVar[str] = gettext_noop("Job {job} has no output file {path!r}.")

    job: str
    path: str
