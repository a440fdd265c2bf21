"""Composition: which implementation fills which slot, who hears which event, what beats."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from haihe.compute.domain import InputRef
from haihe.compute.models import Job
from haihe.compute.protocols import FUNDING, INPUTS, InputCard
from haihe.compute.services.files import forget_files
from haihe.compute.services.network import pool_gauges
from haihe.compute.services.settlement import DISPATCHER
from haihe.compute.services.telemetry import thin_out
from haihe.data import services as data
from haihe.data.tasks import forget_drafts
from haihe.evidence.inspection import verify_entries
from haihe.evidence.labels import BROUGHT_KINDS
from haihe.evidence.services import record, verify_log
from haihe.kernel import beats, health, tasks
from haihe.kernel.logs import log_context
from haihe.kernel.metrics import register_gauge
from haihe.kernel.outbox import Event, Write, backlog, subscribe_prepared
from haihe.ledger.protocols import NOTE_DEPOSIT, Deposit
from haihe.ledger.services import expire_due
from haihe.packs.portals import brought_kinds, make_known
from haihe.packs.services import judge_job
from haihe.packs.supervision import ServiceState, installed_services, status_of
from haihe.parties.models import Organisation
from haihe.parties.services import principal_of_email
from haihe.parties.tasks import forget_expired
from haihe.policy.cli import SIGN_IN
from haihe.policy.domain import Principal
from haihe.policy.names import ORGANISATIONS
from haihe.programme.services.funding import VoucherFunding

EXPIRY_EVERY = timedelta(seconds=30)
VERIFY_EVERY = timedelta(minutes=10)
VERIFY_ENTRIES_EVERY = timedelta(days=1)
HOUSEKEEPING_EVERY = timedelta(hours=1)
# A dispatcher is silent for the length of a step, as when it copies large inputs.
DISPATCHER_SILENCE = timedelta(seconds=60)
VERIFY = "evidence.verify"
VERIFY_ENTRIES = "evidence.verify_entries"
_POOL_FIGURES = {
    "cpu": "Used share of a pool's CPUs, 0 to 1, where the figure is fresh.",
    "memory": "Used share of a pool's memory, 0 to 1.",
    "gpu": "Used share of a pool's accelerators, 0 to 1.",
    "waiting": "Jobs that wait for a pool.",
    "watts": "Power of a pool, measured or modelled.",
}


class DataInputs:
    """Datasets as inputs of jobs, under their agreements."""

    def describe(
        self, principal: Principal, organisation_id: UUID, ref: InputRef, *, at: datetime
    ) -> InputCard:
        """The version, and the agreement under which the organisation may use it."""
        version = data.find_version(principal, ref.dataset, ref.version)
        organisation = Organisation.objects.get(pk=organisation_id)
        agreement = data.agreement_for(organisation, version.dataset, at=at)
        under = (
            f"agreement {agreement.pk} until {agreement.expires_at:%Y-%m-%d}"
            if (agreement and agreement.expires_at)
            else "own data"
        )
        return InputCard(
            name=ref.name,
            dataset=ref.dataset,
            version=version.number,
            bytes=version.bytes,
            under=under,
            centres=agreement.policy.centres if agreement else (),
        )

    def grant(
        self, principal: Principal, organisation_id: UUID, ref: InputRef, *, job_id: UUID
    ) -> None:
        """Let the job read the version until the grant expires."""
        organisation = Organisation.objects.get(pk=organisation_id)
        data.grant_read(principal, organisation, ref.dataset, ref.version, job_id=job_id)

    def deliver(self, job_id: UUID, ref: InputRef, target: Path) -> None:
        """Copy the version into the job's folder; the read is logged."""
        data.deliver_to_job(
            DISPATCHER,
            job_id=job_id,
            slug=ref.dataset,
            number=ref.version,
            folder=target,
            name=ref.name,
        )


def _note_deposit(principal: Principal, deposit: Deposit) -> None:
    """Nobody else sees a deposit come about: what it rests on is the word of who recorded it."""
    record(
        "account.deposited",
        subject=f"account:{deposit.account_id}",
        actor=principal,
        data={
            "transfer": str(deposit.transfer_id),
            "asset": deposit.asset,
            "amount_micro": deposit.amount_micro,
            "reference": deposit.reference,
        },
        parties=[deposit.owner_id] if deposit.owner_id else [],
    )


def _evaluate_finished_job(event: Event) -> Write:
    job_id = event.payload["job"]
    with log_context(job_id=job_id):
        keep = judge_job(UUID(job_id))

    def write() -> None:
        keep()

    return write


def wire() -> None:
    """Connect the floors. Called once, when Django is ready."""
    INPUTS.fill(DataInputs())
    FUNDING.fill(VoucherFunding())
    NOTE_DEPOSIT.fill(_note_deposit)
    SIGN_IN.fill(principal_of_email)
    ORGANISATIONS.fill(Organisation.objects.in_bulk)
    make_known()
    BROUGHT_KINDS.update(brought_kinds())
    subscribe_prepared("job.finished", "packs.evaluate", _evaluate_finished_job)
    register_gauge("haihe_outbox_deliveries", "Deliveries by state.", label="state", read=backlog)
    register_gauge(
        "haihe_beat_age_seconds",
        "Time since a worker was at work, or since periodic work was last begun.",
        label="beat",
        read=beats.ages,
    )
    for figure in ("cpu", "memory", "gpu", "waiting", "watts"):
        register_gauge(
            f"haihe_pool_{figure}",
            _POOL_FIGURES[figure],
            label="pool",
            read=partial(pool_gauges, figure),
        )
    register_gauge(
        "haihe_jobs", "Unfinished jobs by state.", label="state", read=Job.objects.count_unfinished
    )
    _set_beats()
    _set_checks()


def _set_beats() -> None:
    """What is done periodically, by whichever process of the installation comes first."""
    beats.every(EXPIRY_EVERY, "ledger.expire", _expire)
    beats.every(VERIFY_EVERY, VERIFY, _verify)
    beats.every(VERIFY_ENTRIES_EVERY, VERIFY_ENTRIES, _verify_entries)
    for name, work in {
        "kernel.forget": tasks.forget_old_rows,
        "parties.forget": forget_expired,
        "data.forget": forget_drafts,
        "compute.thin_out": thin_out,
        "compute.forget": forget_files,
    }.items():
        beats.every(HOUSEKEEPING_EVERY, name, work)


def _set_checks() -> None:
    """What must hold beside database, migrations and disk."""
    health.register_check("events", _events)
    health.register_check("evidence", partial(health.of_beat, VERIFY, interval=VERIFY_EVERY))
    health.register_check(
        "entries", partial(health.of_beat, VERIFY_ENTRIES, interval=VERIFY_ENTRIES_EVERY)
    )
    health.register_check("dispatcher", _dispatcher)
    health.register_check("services", _services)


def _expire(at: datetime) -> str:
    return f"{expire_due(at)} holds released"


def _verify(at: datetime) -> str:
    head = verify_log()
    return f"agrees with its witness at {head.size} entries" if head else "has no entry yet"


def _verify_entries(at: datetime) -> str:
    head = verify_entries()
    return f"are as they were logged, all {head.size}" if head else "are none yet"


def _events() -> health.Line:
    figures = backlog()
    if figures["dead"]:
        return health.Line(health.State.WARNING, "were given up; see: haihe events list", figures)
    return health.Line(health.State.OK, "are delivered", figures)


def _dispatcher() -> health.Line:
    return health.of_worker("dispatcher", silence=DISPATCHER_SILENCE)


def _services() -> health.Line:
    """One that is not installed was left out on purpose; one that stopped should be looked at."""
    states = {one.label: status_of(one).state for one in installed_services()}
    figures = {"services": {label: state.value for label, state in states.items()}}
    if ServiceState.STOPPED in states.values():
        text = "are not all running; haihe up starts them, and its log says why one ended"
        return health.Line(health.State.WARNING, text, figures)
    return health.Line(health.State.OK, "run, those that are installed", figures)
