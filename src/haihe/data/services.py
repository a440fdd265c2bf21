"""Use cases of datasets: register, describe, share, grant, deliver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
from django.db.models import QuerySet

from haihe.data.blobs import BlobStore, pieces_of
from haihe.data.domain import UsagePolicy, check_terms, grant_expiry, policy_from
from haihe.data.errors import (
    BlobCorrupt,
    GrantExpired,
    NoAgreement,
    SameContent,
    SlugTaken,
    UnreadableFile,
)
from haihe.data.models import Agreement, Dataset, DatasetVersion, Grant
from haihe.data.tables import format_of, read_table, scan_table
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import check_slug, parse_id
from haihe.kernel.outbox import emit
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize

GRANT_LIFE = timedelta(days=31)


# --- datasets ------------------------------------------------------------------------------------


def create_dataset(
    principal: Principal,
    *,
    organisation: str,
    slug: str,
    title: str,
    policy: UsagePolicy,
    title_en: str = "",
    description: str = "",
    licence: str = "",
) -> Dataset:
    """Register a dataset of an organisation, so far without content."""
    holder = find_organisation(principal, organisation)
    authorize(principal, "dataset.create", holder.resource("Dataset"))
    check_slug(slug, field="slug")
    if not title.strip():
        raise InvalidField(field="title", value=title, rule="give 1 to 200 characters")
    if Dataset.objects.filter(slug=slug).exists():
        raise SlugTaken(slug=slug)
    with unit_of_work():
        dataset = Dataset.objects.create(
            organisation=holder,
            slug=slug,
            title=title,
            title_en=title_en,
            description=description,
            licence=licence,
            policy_data=policy.as_dict(),
            created_by_id=principal.person_id,
        )
        _record(
            "dataset.registered",
            principal,
            dataset,
            {"slug": slug, "title": title, "licence": licence, "policy": policy.as_dict()},
        )
    return dataset


def publish_dataset(principal: Principal, slug: str, *, published: bool = True) -> Dataset:
    """List a dataset in the public catalogue, or take it out; agreements in force stay."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.update", dataset.resource())
    with unit_of_work():
        dataset.is_published = published
        dataset.save(update_fields=["is_published"])
        kind = "dataset.published" if published else "dataset.withdrawn"
        _record(kind, principal, dataset, {"slug": slug})
    return dataset


def set_policy(principal: Principal, slug: str, data: Mapping[str, Any]) -> Dataset:
    """Change the terms for new agreements; agreements in force keep theirs."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.update", dataset.resource())
    policy = policy_from(data)
    with unit_of_work():
        dataset.policy_data = policy.as_dict()
        dataset.save(update_fields=["policy_data"])
        _record("dataset.policy_changed", principal, dataset, {"policy": policy.as_dict()})
    return dataset


def list_datasets(principal: Principal) -> QuerySet[Dataset]:
    """The catalogue as the caller may see it; the platform's own processes see all."""
    rows = Dataset.objects.select_related("organisation")
    return rows if principal.system else rows.visible_to(principal.organisations())


def find_dataset(principal: Principal, slug: str) -> Dataset:
    """A dataset's card; one that the caller may not know of reads as missing."""
    dataset = list_datasets(principal).filter(slug=slug).first()
    if dataset is None:
        raise MissingRecord(kind="dataset", id=slug)
    consumers = frozenset(dataset.agreements.values_list("consumer_id", flat=True))
    authorize(principal, "dataset.read", dataset.resource(parties=consumers))
    return dataset


# --- versions ------------------------------------------------------------------------------------


def add_version_from_path(
    principal: Principal, slug: str, path: Path, *, source: str = ""
) -> DatasetVersion:
    """Register a file on this machine as the dataset's next version."""
    if not path.is_file():
        raise UnreadableFile(name=str(path), reason="there is no such file")
    return add_version(principal, slug, name=path.name, pieces=pieces_of(path), source=source)


def add_version(
    principal: Principal, slug: str, *, name: str, pieces: Iterable[bytes], source: str = ""
) -> DatasetVersion:
    """Register a file as the dataset's next version: received, hashed, read whole, described.

    Raises
    ------
    UnreadableFile, RaggedRows, WrongEncoding, FileTooLarge
        If the content is not a table in the format that the file's name says.
    SameContent
        If the newest version has the same content.
    """
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.add_version", dataset.resource())
    file_format = format_of(name)
    store = blob_store()
    draft = store.receive(pieces, name=name, limit_bytes=load_settings().upload_limit_bytes)
    try:
        rows, columns = read_table(draft.path, name=name, file_format=file_format)
        store.keep(draft)
    except BaseException:
        draft.path.unlink(missing_ok=True)
        raise
    with unit_of_work():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        newest = dataset.versions.order_by("-number").first()
        if newest is not None and newest.sha256 == draft.sha256:
            raise SameContent(dataset=slug, version=newest.number)
        version = DatasetVersion.objects.create(
            dataset=dataset,
            number=newest.number + 1 if newest else 1,
            sha256=draft.sha256,
            bytes=draft.bytes,
            format=file_format,
            rows=rows,
            columns=columns,
            source=source,
            created_by_id=principal.person_id,
        )
        record(
            "dataset.version_registered",
            subject=version.subject,
            actor=principal,
            data={
                "dataset": slug,
                "version": version.number,
                "sha256": version.sha256,
                "bytes": version.bytes,
                "rows": rows,
                "columns": [column["name"] for column in columns],
                "source": source,
            },
            parties=[dataset.organisation_id],
        )
    return version


def find_version(principal: Principal, slug: str, number: int | None = None) -> DatasetVersion:
    """A version of a dataset; the newest if no number is given."""
    dataset = find_dataset(principal, slug)
    versions = dataset.versions.order_by("-number")
    version = (versions.filter(number=number) if number else versions).first()
    if version is None:
        raise MissingRecord(kind="dataset version", id=f"{slug}@{number or 'latest'}")
    return version


def versions_of(principal: Principal, slug: str) -> QuerySet[DatasetVersion]:
    """All versions of a dataset, the newest first."""
    return find_dataset(principal, slug).versions.order_by("-number")


def preview(principal: Principal, slug: str, number: int, *, rows: int = 10) -> pl.DataFrame:
    """The first rows of a version, for those who may read its content."""
    version = find_version(principal, slug, number)
    authorize(principal, "dataset.download", version.dataset.resource())
    return scan_table(blob_store().path(version.sha256), version.format).head(rows).collect()


def download_path(principal: Principal, slug: str, number: int) -> Path:
    """Where the content of one's own version lies; the read is logged."""
    version = find_version(principal, slug, number)
    authorize(principal, "dataset.download", version.dataset.resource())
    with unit_of_work():
        _record_read(principal, version, reader=version.dataset.organisation, via="download")
    return blob_store().path(version.sha256)


# --- agreements ----------------------------------------------------------------------------------


def propose_agreement(
    principal: Principal, slug: str, *, consumer: str, purpose: str, days: int
) -> Agreement:
    """Offer, for the holder, terms of use to an organisation."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "agreement.propose", dataset.resource())
    check_terms(dataset.policy, dataset=slug, purpose=purpose, days=days)
    partner = find_organisation(principal, consumer)
    if partner.pk == dataset.organisation_id:
        raise InvalidField(field="consumer", value=consumer, rule="give another organisation")
    with unit_of_work():
        agreement = _insert_agreement(principal, dataset, partner, purpose=purpose, days=days)
        emit("agreement.proposed", {"agreement": str(agreement.pk)})
    return agreement


def accept_agreement(principal: Principal, agreement_id: str | UUID) -> Agreement:
    """Accept, for the consumer, the terms that were offered."""
    agreement = find_agreement(principal, agreement_id)
    authorize(principal, "agreement.accept", _for_consumer(agreement.consumer, agreement.pk))
    with unit_of_work():
        return _accept(principal, agreement)


def accept_terms(
    principal: Principal, slug: str, *, organisation: str, purpose: str, days: int
) -> Agreement:
    """Accept a published dataset's standing terms for an organisation, without asking first."""
    dataset = find_dataset(principal, slug)
    consumer = find_organisation(principal, organisation)
    authorize(principal, "agreement.accept", _for_consumer(consumer, slug))
    if not (dataset.policy.standing and dataset.is_published):
        raise NoAgreement(organisation=consumer.name, dataset=slug)
    check_terms(dataset.policy, dataset=slug, purpose=purpose, days=days)
    with unit_of_work():
        agreement = _insert_agreement(principal, dataset, consumer, purpose=purpose, days=days)
        return _accept(principal, agreement)


def end_agreement(principal: Principal, agreement_id: str | UUID) -> Agreement:
    """End an agreement, for either side: its grants end at once."""
    agreement = find_agreement(principal, agreement_id)
    authorize(principal, "agreement.end", agreement.resource())
    at = now()
    with unit_of_work():
        ended = (
            Agreement.objects.filter(pk=agreement.pk)
            .exclude(state=Agreement.State.ENDED)
            .update(state=Agreement.State.ENDED, ended_at=at)
        )
        if ended:
            Grant.objects.filter(agreement=agreement, expires_at__gt=at).update(expires_at=at)
            _record_agreement("agreement.ended", principal, agreement)
    agreement.refresh_from_db()
    return agreement


def list_agreements(principal: Principal) -> QuerySet[Agreement]:
    """Agreements of the caller's organisations."""
    return Agreement.objects.visible_to(principal.organisations()).select_related(
        "dataset", "provider", "consumer"
    )


def find_agreement(principal: Principal, agreement_id: str | UUID) -> Agreement:
    """An agreement, for its parties and the auditor."""
    pk = parse_id(agreement_id, kind="agreement")
    agreement = (
        Agreement.objects.select_related("dataset", "provider", "consumer").filter(pk=pk).first()
    )
    if agreement is None:
        raise MissingRecord(kind="agreement", id=str(pk))
    authorize(principal, "agreement.read", agreement.resource())
    return agreement


# --- use in jobs ---------------------------------------------------------------------------------


def agreement_for(
    organisation: Organisation, dataset: Dataset, *, at: datetime
) -> Agreement | None:
    """The agreement under which an organisation may use a dataset; None for its own data.

    Raises
    ------
    NoAgreement
        If the data is somebody else's and no agreement is in force.
    """
    if dataset.organisation_id == organisation.pk:
        return None
    found = (
        Agreement.objects.in_force(at)
        .filter(dataset=dataset, consumer=organisation)
        .order_by("-expires_at")
        .first()
    )
    if found is None:
        raise NoAgreement(organisation=organisation.name, dataset=dataset.slug)
    return found


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
        _record_read(principal, version, reader=grant.organisation, via=f"job:{job_id}")
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


def read_frame(version: DatasetVersion) -> pl.DataFrame:
    """The whole content of a version, for the platform's own scoring."""
    return scan_table(blob_store().path(version.sha256), version.format).collect()


def blob_store() -> BlobStore:
    """The installation's store."""
    return BlobStore(load_settings().home.resolve() / "blobs")


# --- helpers -------------------------------------------------------------------------------------


def _insert_agreement(
    principal: Principal, dataset: Dataset, consumer: Organisation, *, purpose: str, days: int
) -> Agreement:
    agreement = Agreement.objects.create(
        dataset=dataset,
        provider=dataset.organisation,
        consumer=consumer,
        purpose=purpose,
        days=days,
        policy_data=dataset.policy_data,
        proposed_by_id=principal.person_id,
    )
    _record_agreement("agreement.proposed", principal, agreement)
    return agreement


def _accept(principal: Principal, agreement: Agreement) -> Agreement:
    at = now()
    accepted = Agreement.objects.filter(pk=agreement.pk, state=Agreement.State.PROPOSED).update(
        state=Agreement.State.ACCEPTED,
        accepted_by_id=principal.person_id,
        accepted_at=at,
        expires_at=at + timedelta(days=agreement.days),
    )
    if not accepted:
        raise WrongState(
            kind="agreement", id=str(agreement.pk), state=agreement.state, needed="proposed"
        )
    agreement.refresh_from_db()
    _record_agreement("agreement.accepted", principal, agreement)
    return agreement


def _for_consumer(consumer: Organisation, identity: object) -> Resource:
    """Only the consumer's managers accept; the holder, who offered, does not."""
    return Resource("Agreement", str(identity), parties=frozenset({consumer.pk}))


def _record(kind: str, principal: Principal, dataset: Dataset, data: dict[str, Any]) -> None:
    record(
        kind,
        subject=f"dataset:{dataset.pk}",
        actor=principal,
        data=data,
        parties=[dataset.organisation_id],
    )


def _record_agreement(kind: str, principal: Principal, agreement: Agreement) -> None:
    record(
        kind,
        subject=f"agreement:{agreement.pk}",
        actor=principal,
        data={
            "dataset": agreement.dataset.slug,
            "purpose": agreement.purpose,
            "days": agreement.days,
            "policy": agreement.policy_data,
            "expires_at": agreement.expires_at.isoformat() if agreement.expires_at else "",
        },
        parties=[agreement.provider_id, agreement.consumer_id],
    )


def _record_read(
    principal: Principal, version: DatasetVersion, *, reader: Organisation, via: str
) -> None:
    record(
        "dataset.read",
        subject=version.subject,
        actor=principal,
        data={"dataset": version.dataset.slug, "version": version.number, "via": via},
        parties={version.dataset.organisation_id, reader.pk},
    )
