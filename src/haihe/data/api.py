"""HTTP routes of datasets, their versions, and the agreements on them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import StreamingHttpResponse
from ninja import File, Form, Query, Router, Schema, Status, UploadedFile
from pydantic import Field

from haihe.data import services
from haihe.data.domain import MAX_DAYS, PURPOSES, UsagePolicy, policy_from
from haihe.data.models import Agreement, Dataset, DatasetVersion
from haihe.kernel.api import CursorPage, PageQuery, Whole, as_page
from haihe.kernel.files import FILE_ANSWER, stream_file
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request

router = Router(tags=["data"])


class PolicySchema(Schema):
    """On which terms a holder lets others use a dataset."""

    purposes: list[str] = Field(description="Of " + ", ".join(PURPOSES) + ".")
    days: Whole = Field(365, ge=1, le=MAX_DAYS, description="How long one agreement lasts at most.")
    download: bool = Field(False, description="Whether the content may leave the platform.")
    standing: bool = Field(
        False, description="Whether an organisation may accept the terms without asking."
    )
    centres: list[str] = Field([], description="Where jobs may take it; anywhere, if empty.")


class DatasetChange(Schema):
    """A dataset's card and its terms for new agreements."""

    title: str = Field(max_length=200)
    title_en: str = Field("", max_length=200)
    description: str = Field("", max_length=10_000)
    licence: str = Field("", max_length=200)
    policy: PolicySchema


class DatasetIn(DatasetChange):
    """A new dataset, so far without content."""

    organisation: str = Field(description="Slug of the holder.")
    slug: str = Field(max_length=80)


class DatasetOut(Schema):
    """A dataset's card."""

    id: UUID
    slug: str
    organisation: str = Field(description="Slug of the holder.")
    title: str
    title_en: str
    description: str
    licence: str
    policy: PolicySchema
    is_published: bool
    newest_version: int | None = Field(description="null while there is no content.")
    created_at: datetime


class ColumnOut(Schema):
    """A column of a version."""

    name: str
    type: str
    nulls: int


class VersionOut(Schema):
    """An immutable version of a dataset."""

    id: UUID
    number: int
    sha256: str
    bytes: int
    format: str
    rows: int
    columns: list[ColumnOut]
    source: str
    created_at: datetime


class ReadOut(Schema):
    """One read of a dataset's content."""

    at: datetime
    version: int
    reader: str = Field(description="Slug of the organisation that read.")
    via: str = Field(description="`download`, `preview` or `job:<id>`.")
    actor: str
    evidence_id: UUID


class ProposalIn(Schema):
    """Terms of use that a holder offers."""

    consumer: str = Field(description="Slug of the organisation that may accept.")
    purpose: str
    days: Whole


class TermsIn(Schema):
    """Standing terms that an organisation accepts."""

    organisation: str
    purpose: str
    days: Whole


class AgreementOut(Schema):
    """A contract on the use of a dataset, with the terms as they were then."""

    id: UUID
    dataset: str
    provider: str
    consumer: str
    purpose: str
    days: int
    policy: PolicySchema
    state: str
    created_at: datetime
    accepted_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None


@router.get("/datasets", response=CursorPage[DatasetOut])
def list_datasets(
    request: Request, page: Query[PageQuery], text: str = ""
) -> CursorPage[DatasetOut]:
    """The catalogue: published datasets, one's own, and those one has an agreement on."""
    rows = services.list_datasets(request.principal, text=text)
    return as_page(paginate(rows, cursor=page.cursor, limit=page.limit), _dataset)


@router.post("/datasets", response={201: DatasetOut})
def create_dataset(request: Request, body: DatasetIn) -> Status[DatasetOut]:
    """Register a dataset of an organisation, so far without content."""
    fields = {**body.dict(), "policy": _policy(body.policy)}
    created = services.create_dataset(request.principal, **fields)
    return Status(201, _dataset(created))


@router.get("/datasets/{slug}", response=DatasetOut)
def read_dataset(request: Request, slug: str) -> DatasetOut:
    """A dataset's card."""
    return _dataset(services.find_dataset(request.principal, slug))


@router.put("/datasets/{slug}", response=DatasetOut)
def update_dataset(request: Request, slug: str, body: DatasetChange) -> DatasetOut:
    """Change a dataset's card and its terms for new agreements; those in force keep theirs."""
    fields = {**body.dict(), "policy": _policy(body.policy)}
    return _dataset(services.update_dataset(request.principal, slug, **fields))


@router.post("/datasets/{slug}/publish", response=DatasetOut)
def publish_dataset(request: Request, slug: str) -> DatasetOut:
    """List a dataset in the public catalogue."""
    return _dataset(services.publish_dataset(request.principal, slug))


@router.post("/datasets/{slug}/withdraw", response=DatasetOut)
def withdraw_dataset(request: Request, slug: str) -> DatasetOut:
    """Take a dataset out of the public catalogue; agreements in force stay."""
    return _dataset(services.publish_dataset(request.principal, slug, published=False))


@router.get("/datasets/{slug}/versions", response=CursorPage[VersionOut])
def list_dataset_versions(
    request: Request, slug: str, page: Query[PageQuery]
) -> CursorPage[VersionOut]:
    """A dataset's versions."""
    rows = services.versions_of(request.principal, slug)
    return as_page(paginate(rows, cursor=page.cursor, limit=page.limit), _version)


@router.post("/datasets/{slug}/versions", response={201: VersionOut})
def add_dataset_version(
    request: Request, slug: str, file: File[UploadedFile], source: Form[str] = ""
) -> Status[VersionOut]:
    """Register a CSV (UTF-8) or Parquet file as the dataset's next version.

    The file is read to its end first: a file with a ragged row, a wrong encoding or damage is
    refused, and the answer says where.
    """
    version = services.add_version(
        request.principal, slug, name=file.name or "", pieces=file.chunks(), source=source
    )
    return Status(201, _version(version))


@router.get("/datasets/{slug}/versions/{int:number}", response=VersionOut)
def read_dataset_version(request: Request, slug: str, number: int) -> VersionOut:
    """A version: its hash, size and schema."""
    return _version(services.find_version(request.principal, slug, number))


@router.get(
    "/datasets/{slug}/versions/{int:number}/content",
    response={200: None},
    openapi_extra=FILE_ANSWER,
)
def download_dataset_version(request: Request, slug: str, number: int) -> StreamingHttpResponse:
    """A version's content, for its holder and for consumers whose terms let it leave.

    Each download is logged for the holder.
    """
    version, file = services.open_content(request.principal, slug, number)
    return stream_file(request, file, name=version.file_name)


@router.get("/datasets/{slug}/usage", response=CursorPage[ReadOut])
def list_dataset_usage(request: Request, slug: str, page: Query[PageQuery]) -> CursorPage[ReadOut]:
    """Who read the dataset's content, which version, when and how: for its holder."""
    usage = services.usage_of(request.principal, slug, cursor=page.cursor, limit=page.limit)
    return CursorPage[ReadOut](
        items=[_read(read) for read in usage.items], next_cursor=usage.next_cursor
    )


@router.post("/datasets/{slug}/agreements", response={201: AgreementOut})
def propose_agreement(request: Request, slug: str, body: ProposalIn) -> Status[AgreementOut]:
    """Offer terms of use to an organisation, for the holder."""
    proposed = services.propose_agreement(request.principal, slug, **body.dict())
    return Status(201, _agreement(proposed))


@router.post("/datasets/{slug}/accept-terms", response={201: AgreementOut})
def accept_terms(request: Request, slug: str, body: TermsIn) -> Status[AgreementOut]:
    """Accept a published dataset's standing terms for an organisation."""
    accepted = services.accept_terms(request.principal, slug, **body.dict())
    return Status(201, _agreement(accepted))


@router.get("/agreements", response=CursorPage[AgreementOut])
def list_agreements(
    request: Request, page: Query[PageQuery], dataset: str = ""
) -> CursorPage[AgreementOut]:
    """Agreements of the caller's organisations, optionally those on one dataset."""
    rows = services.list_agreements(request.principal, dataset=dataset)
    return as_page(paginate(rows, cursor=page.cursor, limit=page.limit), _agreement)


@router.get("/agreements/{agreement_id}", response=AgreementOut)
def read_agreement(request: Request, agreement_id: str) -> AgreementOut:
    """An agreement, for its parties."""
    return _agreement(services.find_agreement(request.principal, agreement_id))


@router.post("/agreements/{agreement_id}/accept", response=AgreementOut)
def accept_agreement(request: Request, agreement_id: str) -> AgreementOut:
    """Accept the terms that were offered, for the consumer."""
    return _agreement(services.accept_agreement(request.principal, agreement_id))


@router.post("/agreements/{agreement_id}/end", response=AgreementOut)
def end_agreement(request: Request, agreement_id: str) -> AgreementOut:
    """End an agreement, for either side: no job may read under it any more."""
    return _agreement(services.end_agreement(request.principal, agreement_id))


def _policy(body: PolicySchema) -> UsagePolicy:
    return policy_from(body.dict())


def _dataset(row: Dataset) -> DatasetOut:
    return DatasetOut(
        id=row.pk,
        slug=row.slug,
        organisation=row.organisation.slug,
        title=row.title,
        title_en=row.title_en,
        description=row.description,
        licence=row.licence,
        policy=_terms(row.policy),
        is_published=row.is_published,
        newest_version=row.newest_number,
        created_at=row.created_at,
    )


def _terms(policy: UsagePolicy) -> PolicySchema:
    return PolicySchema(**policy.as_dict())


def _version(row: DatasetVersion) -> VersionOut:
    return VersionOut.from_orm(row)


def _read(read: services.Read) -> ReadOut:
    return ReadOut(
        at=read.at,
        version=read.version,
        reader=read.reader.slug,
        via=read.via,
        actor=read.actor,
        evidence_id=read.evidence_id,
    )


def _agreement(row: Agreement) -> AgreementOut:
    return AgreementOut(
        id=row.pk,
        dataset=row.dataset.slug,
        provider=row.provider.slug,
        consumer=row.consumer.slug,
        purpose=row.purpose,
        days=row.days,
        policy=_terms(row.policy),
        state=row.state,
        created_at=row.created_at,
        accepted_at=row.accepted_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )
