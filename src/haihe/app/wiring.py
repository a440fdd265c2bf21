"""Composition: which implementation fills which slot, which handler hears which event."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import UUID

from haihe.compute.domain import InputRef
from haihe.compute.protocols import FUNDING, INPUTS, InputCard
from haihe.compute.services.settlement import DISPATCHER
from haihe.data import services as data
from haihe.kernel.metrics import register_gauge
from haihe.kernel.outbox import Event, backlog, subscribe
from haihe.packs.services import evaluate_job
from haihe.parties.models import Organisation
from haihe.parties.services import principal_of_email
from haihe.policy.cli import SIGN_IN
from haihe.policy.domain import Principal
from haihe.programme.services.vouchers import VoucherFunding


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


def _evaluate_finished_job(event: Event) -> None:
    evaluate_job(UUID(event.payload["job"]))


def wire() -> None:
    """Connect the floors. Called once, when Django is ready."""
    INPUTS.fill(DataInputs())
    FUNDING.fill(VoucherFunding())
    SIGN_IN.fill(principal_of_email)
    subscribe("job.finished", "packs.evaluate", _evaluate_finished_job)
    register_gauge("haihe_outbox_deliveries", "Deliveries by state.", label="state", read=backlog)
