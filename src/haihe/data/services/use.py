"""Use of content: a job's permission to read, the delivery to it, and the log of all reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from haihe.data.domain import grant_expiry
from haihe.data.errors import BlobCorrupt, GrantExpired
from haihe.data.models import Dataset, Grant
from haihe.data.services.agreements import agreement_for
from haihe.data.services.catalogue import find_dataset
from haihe.data.services.versions import blob_store, find_version, record_read
from haihe.evidence.models import EvidenceEntry
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.pagination import DEFAULT_LIMIT
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.policy.domain import Principal
from haihe.policy.services import authorize

GRANT_LIFE = timedelta(days=31)


@dataclass(frozen=True)
class Read:
    """One read of a dataset's content, as evidence has it."""

    at: datetime
    version: int
    reader: Organisation
    via: str
    actor: str
    evidence_id: UUID


@dataclass(frozen=True)
class UsageLog:
    """A page of reads, newest first, and the cursor of the next page if there is one."""

    items: Sequence[Read]
    next_cursor: str | None


def usage_of(
    principal: Principal, slug: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> UsageLog:
    """Who read a dataset's content, which version, when and how: for its holder."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.read_usage", dataset.resource())
    subjects = [version.subject for version in dataset.versions.only("pk")]
    entries = EvidenceEntry.objects.filter(kind="dataset.read", subject__in=subjects)
    page = entries.page(cursor, limit)
    readers = Organisation.objects.in_bulk({p for entry in page.items for p in entry.parties})
    return UsageLog([_read(entry, dataset, readers) for entry in page.items], page.next_cursor)


def grant_read(
    principal: Principal, organisation: Organisation, slug: str, number: int, *, job_id: UUID
) -> Grant:
    """In the open unit of work: let a job read a version under the agreement in force now."""
    version = find_version(principal, slug, number)
    agreement = agreement_for(organisation, version.dataset, at=now())
    ends = agreement.expires_at if agreement else None
    grant = Grant.objects.create(
        job_id=job_id,
        version=version,
        organisation=organisation,
        agreement=agreement,
        expires_at=grant_expiry(now(), agreement_ends=ends, job_limit=GRANT_LIFE),
    )
    record(
        "dataset.granted",
        subject=version.subject,
        actor=principal,
        data={
            "job": str(job_id),
            "agreement": str(agreement.pk) if agreement else "",
            "expires_at": grant.expires_at.isoformat(),
        },
        parties={version.dataset.organisation_id, organisation.pk},
    )
    return grant


def deliver_to_job(
    principal: Principal, *, job_id: UUID, slug: str, number: int, folder: Path, name: str
) -> Path:
    """Copy a granted version into a job's folder, checked against its hash; the read is logged.

    Raises
    ------
    GrantExpired
        If the grant has run out or its agreement was ended.
    BlobCorrupt
        If the stored content is not what was registered.
    """
    grant = (
        Grant.objects.select_related("version__dataset__organisation", "organisation")
        .filter(job_id=job_id, version__dataset__slug=slug, version__number=number)
        .first()
    )
    if grant is None:
        raise MissingRecord(kind="grant", id=f"{slug}@{number}")
    if grant.expires_at <= now():
        raise GrantExpired(job=str(job_id), dataset=slug, expired_at=grant.expires_at.isoformat())
    version = grant.version
    with unit_of_work():
        record_read(principal, version, reader=grant.organisation, via=f"job:{job_id}")
    target = folder / f"{name}.{version.format}"
    found = blob_store().copy_out(version.sha256, target)
    if found != version.sha256:
        target.unlink()
        raise BlobCorrupt(
            dataset=slug,
            version=version.number,
            expected=version.sha256,
            found=found,
            path=str(blob_store().path(version.sha256)),
        )
    return target


def _read(entry: EvidenceEntry, dataset: Dataset, readers: dict[UUID, Organisation]) -> Read:
    """The reader is the party beside the holder; a holder who reads is the only party."""
    others = [party for party in entry.parties if party != dataset.organisation_id]
    return Read(
        at=entry.at,
        version=entry.data["version"],
        reader=readers[others[0] if others else dataset.organisation_id],
        via=entry.data["via"],
        actor=entry.actor,
        evidence_id=entry.id,
    )
