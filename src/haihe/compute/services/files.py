"""Files that people bring to their jobs: kept by their content, for one organisation alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from haihe.compute.domain import FileRef
from haihe.compute.errors import FileCorrupt
from haihe.compute.models import Job, JobFile
from haihe.kernel.blobs import BlobStore
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.settings import load_settings
from haihe.kernel.tasks import remove
from haihe.kernel.work import unit_of_work
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal
from haihe.policy.services import authorize

KEPT_FOR = timedelta(days=30)
DRAFT_LIFE = timedelta(days=1)
PIECE_BYTES = 1 << 20


def keep_file(principal: Principal, pieces: Iterable[bytes], *, organisation: str) -> JobFile:
    """Keep a file for an organisation's jobs; the same content is kept once.

    Raises
    ------
    FileTooLarge
        If it has more bytes than the installation takes.
    """
    owner = find_organisation(principal, organisation)
    authorize(principal, "quote.create", owner.resource("Quote"))
    store, limit = file_store(), load_settings().upload_limit_bytes
    draft = store.receive(pieces, name="file", limit_bytes=limit)
    store.keep(draft)
    with unit_of_work():
        row, _ = JobFile.objects.update_or_create(
            organisation=owner,
            sha256=draft.sha256,
            defaults={"bytes": draft.bytes, "used_at": now()},
        )
    return row


def files_of(organisation_id: UUID, refs: Sequence[FileRef]) -> Mapping[str, JobFile]:
    """The files that a job names, by content, all of them its organisation's own.

    Raises
    ------
    MissingRecord
        If one was not uploaded, or by another organisation, or was forgotten since.
    """
    wanted = {ref.sha256: ref.path for ref in refs}
    rows = JobFile.objects.filter(organisation=organisation_id, sha256__in=list(wanted))
    found = {row.sha256: row for row in rows}
    for sha256, path in wanted.items():
        if sha256 not in found:
            raise MissingRecord(kind="file", id=f"{path} ({sha256})")
    return found


def touch_files(organisation_id: UUID, refs: Sequence[FileRef]) -> None:
    """In the open unit of work: a job is going to read these, so that they are not forgotten."""
    files_of(organisation_id, refs)
    JobFile.objects.filter(
        organisation=organisation_id, sha256__in=[ref.sha256 for ref in refs]
    ).update(used_at=now())


def deliver_files(refs: Sequence[FileRef], folder: Path) -> None:
    """Copy files to where a job works, checked against their hashes.

    Raises
    ------
    FileCorrupt
        If what is kept is not what was uploaded.
    """
    store = file_store()
    for ref in refs:
        target = folder / ref.path
        target.parent.mkdir(parents=True, exist_ok=True)
        found = store.copy_out(ref.sha256, target)
        if found != ref.sha256:
            target.unlink()
            raise FileCorrupt(path=ref.path, expected=ref.sha256, found=found)


@contextmanager
def opened(ref: FileRef) -> Iterator[BinaryIO]:
    """A kept file, open and checked."""
    with file_store().path(ref.sha256).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != ref.sha256:
            raise FileCorrupt(path=ref.path, expected=ref.sha256, found=found)
        file.seek(0)
        yield file


def forget_files(at: datetime) -> str:
    """Remove files that no job used for a month and none is going to read."""
    waiting = Job.objects.filter(finished_at=None).select_related("quote")
    wanted = {ref.sha256 for job in waiting.iterator() for ref in job.quote.spec.files}
    old = JobFile.objects.filter(used_at__lt=at - KEPT_FOR).exclude(sha256__in=wanted)
    gone = set(old.values_list("sha256", flat=True))
    removed = remove(old)
    gone -= set(JobFile.objects.filter(sha256__in=gone).values_list("sha256", flat=True))
    for sha256 in gone:
        file_store().path(sha256).unlink(missing_ok=True)
    drafts = file_store().remove_drafts(before=at - DRAFT_LIFE)
    return f"{removed} files, {drafts} drafts removed"


def file_store() -> BlobStore:
    """Where they are. Datasets have a store of their own: one forgets nothing of the other's."""
    return BlobStore(load_settings().home.resolve() / "files")
