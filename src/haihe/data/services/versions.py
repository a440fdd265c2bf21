"""Versions of datasets: receive, read whole, keep, show, hand out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import polars as pl
from django.db.models import QuerySet

from haihe.data.errors import SameContent, UnreadableFile
from haihe.data.models import Agreement, Dataset, DatasetVersion
from haihe.data.services.catalogue import find_dataset, list_datasets
from haihe.data.tables import format_of, read_table, scan_table
from haihe.evidence.services import record
from haihe.kernel.blobs import BlobStore, pieces_of
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord, StorageUnavailable
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.policy.domain import WORKING, Principal
from haihe.policy.services import authorize, is_allowed

PREVIEW_ROWS = 10
PREVIEW_ROWS_LIMIT = 100
NAME_LENGTH = 200
COLUMNS_LOGGED_BYTES = 32_768


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

    ``name`` says the format and is shown in errors; the content is kept under its hash, so that no
    name ever becomes a path.

    Raises
    ------
    UnreadableFile, RaggedRows, WrongEncoding, FileTooLarge
        If the content is not a table in the format that the file's name says.
    SameContent
        If the newest version has the same content.
    """
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.add_version", dataset.resource())
    name = Path(name).name[-NAME_LENGTH:]
    file_format = format_of(name)
    store = blob_store()
    draft = store.receive(pieces, name=name, limit_bytes=load_settings().upload_limit_bytes)
    try:
        rows, columns = read_table(draft.path, name=name, file_format=file_format)
        version = DatasetVersion(
            dataset=dataset,
            sha256=draft.sha256,
            bytes=draft.bytes,
            format=file_format,
            rows=rows,
            columns=columns,
            source=source,
            created_by_id=principal.person_id,
        )
        with unit_of_work():
            _register(principal, version)
            # Last, so that what is refused leaves no content behind; nobody sees the version yet.
            store.keep(draft)
    except BaseException:
        draft.path.unlink(missing_ok=True)
        raise
    return version


def find_version(principal: Principal, slug: str, number: int | None = None) -> DatasetVersion:
    """A version of a dataset; the newest if no number is given."""
    dataset = find_dataset(principal, slug)
    versions = dataset.versions.order_by("-number")
    version = (versions.filter(number=number) if number is not None else versions).first()
    if version is None:
        raise MissingRecord(
            kind="dataset version", id=f"{slug}@{'latest' if number is None else number}"
        )
    return version


def find_version_by_id(principal: Principal, version_id: UUID) -> DatasetVersion:
    """A version by the id that evidence names it by, for who may know its dataset."""
    rows = DatasetVersion.objects.select_related("dataset")
    version = rows.filter(pk=version_id, dataset__in=list_datasets(principal).values("pk")).first()
    if version is None:
        raise MissingRecord(kind="dataset version", id=str(version_id))
    find_dataset(principal, version.dataset.slug)
    return version


def versions_of(principal: Principal, slug: str) -> QuerySet[DatasetVersion]:
    """All versions of a dataset, the newest first."""
    return find_dataset(principal, slug).versions.order_by("-number")


def preview(
    principal: Principal, slug: str, number: int, *, rows: int = PREVIEW_ROWS
) -> pl.DataFrame:
    """The first rows of a version, for those who may read its content; the read is logged."""
    if not 1 <= rows <= PREVIEW_ROWS_LIMIT:
        raise InvalidField(field="rows", value=rows, rule=f"give 1 to {PREVIEW_ROWS_LIMIT}")
    version = _read_by(principal, slug, number, via="preview")
    path = blob_store().path(version.sha256)
    return scan_table(path, version.format, version.columns).head(rows).collect()


def open_content(principal: Principal, slug: str, number: int) -> tuple[DatasetVersion, BinaryIO]:
    """A version's content, open for reading, for those who may download it; the read is logged."""
    version = _read_by(principal, slug, number, via="download")
    path = blob_store().path(version.sha256)
    try:
        return version, path.open("rb")
    except OSError as error:
        raise StorageUnavailable(place=str(path), reason=str(error)) from error


def may_read_content(principal: Principal, dataset: Dataset) -> bool:
    """Whether the caller may see rows and download: for pages that show or hide a button."""
    reader = _reader(principal, dataset)
    return is_allowed(principal, "dataset.download", reader.resource("Dataset"))


def read_frame(version: DatasetVersion) -> pl.DataFrame:
    """The whole content of a version, for the platform's own scoring.

    Raises
    ------
    StorageUnavailable
        If it is not there, or cannot be read now.
    """
    path = blob_store().path(version.sha256)
    try:
        return scan_table(path, version.format, version.columns).collect()
    except OSError as error:
        raise StorageUnavailable(place=str(path), reason=str(error)) from error


def blob_store() -> BlobStore:
    """The installation's store."""
    return BlobStore(load_settings().home.resolve() / "blobs")


def record_read(
    principal: Principal, version: DatasetVersion, *, reader: Organisation, via: str
) -> None:
    """In the open unit of work: log that an organisation read a version's content."""
    record(
        "dataset.read",
        subject=version.subject,
        actor=principal,
        data={"dataset": version.dataset.slug, "version": version.number, "via": via},
        parties={version.dataset.organisation_id, reader.pk},
    )


def _register(principal: Principal, version: DatasetVersion) -> None:
    """In the open unit of work: give a version its number, and log it."""
    dataset = version.dataset
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    newest = dataset.versions.order_by("-number").first()
    if newest is not None and newest.sha256 == version.sha256:
        raise SameContent(dataset=dataset.slug, version=newest.number)
    version.number = newest.number + 1 if newest else 1
    version.save(force_insert=True)
    record(
        "dataset.version_registered",
        subject=version.subject,
        actor=principal,
        data={
            "dataset": dataset.slug,
            "version": version.number,
            "sha256": version.sha256,
            "bytes": version.bytes,
            "rows": version.rows,
            **_column_facts([column["name"] for column in version.columns]),
            "source": version.source,
        },
        parties=[dataset.organisation_id],
    )


def _column_facts(names: list[str]) -> dict[str, object]:
    """What the log says of columns: their names, or of very many a hash of their names."""
    text = json.dumps(names, ensure_ascii=False)
    if len(text.encode()) <= COLUMNS_LOGGED_BYTES:
        return {"columns": names}
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"column_count": len(names), "columns_sha256": digest}


def _read_by(principal: Principal, slug: str, number: int, *, via: str) -> DatasetVersion:
    """A version whose content the caller may see as rows or file, with the read logged.

    The holder's people may. Others may under an agreement in force whose terms let the content
    leave the platform.
    """
    version = find_version(principal, slug, number)
    reader = _reader(principal, version.dataset)
    authorize(principal, "dataset.download", reader.resource("Dataset"))
    with unit_of_work():
        record_read(principal, version, reader=reader, via=via)
    return version


def _reader(principal: Principal, dataset: Dataset) -> Organisation:
    """In whose name the caller reads: the holder's, or that of a consumer who may download."""
    own = principal.organisations(*WORKING)
    if dataset.organisation_id not in own:
        agreements = Agreement.objects.in_force(now()).filter(dataset=dataset, consumer__in=own)
        for agreement in agreements.select_related("consumer"):
            if agreement.policy.download:
                return agreement.consumer
    return dataset.organisation
