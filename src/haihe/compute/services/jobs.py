"""Jobs: submit, watch, cancel, and read what they printed and wrote."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from haihe.compute.backends import LogChunk
from haihe.compute.backends import read_log as read_log_file
from haihe.compute.domain import FINAL, need_of
from haihe.compute.errors import NoPool, NoSuchFile, QuoteExpired, QuoteUsed
from haihe.compute.models import Contract, Job, Pool, Quote, Reservation
from haihe.compute.protocols import INPUTS
from haihe.compute.services.allocations import locked_allocation_reason
from haihe.compute.services.contracts import check_within_contract
from haihe.compute.services.facts import look_at_pools
from haihe.compute.services.files import touch_files
from haihe.compute.services.holds import hold_funds
from haihe.compute.services.kinds import kind_of_quote
from haihe.compute.services.own import listed_organisations
from haihe.compute.services.queues import outlook_as_dict, outlooks
from haihe.compute.services.quotes import find_quote
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import parse_id
from haihe.kernel.outbox import emit
from haihe.kernel.pagination import DEFAULT_LIMIT, Page, paginate, paginate_list
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize, is_allowed

LOG_PIECE_BYTES = 256_000
OUTPUT_DEPTH_LIMIT = 64
OUTPUT_FILES_LIMIT = 1_000


def submit_job(principal: Principal, quote_id: str | UUID, *, priority: int = 0) -> Job:
    """Accept a quote: hold its funds from every payer, grant its inputs, and queue the job.

    All of it or nothing: without the funds there is no job, and without the job nothing is held.
    Of an array every element is a job of its own; the first one is returned.

    Raises
    ------
    QuoteExpired, QuoteUsed, ContractLimit, InsufficientFunds, NoAgreement
    NoPool
        If the organisation's allocation was used up since the quote.
    """
    quote = find_quote(principal, quote_id)
    authorize(principal, "job.submit", quote.resource())
    if not -100 <= priority <= 100:
        raise InvalidField(field="priority", value=priority, rule="give -100 to 100")
    with unit_of_work():
        Quote.objects.select_for_update().get(pk=quote.pk)
        _check_quote(quote)
        spec = quote.spec
        kind = kind_of_quote(quote, _pools_by_name())
        outlook = _outlook_of(quote) if spec.array == 1 else None
        jobs = Job.objects.bulk_create(
            [
                Job(
                    organisation=quote.organisation,
                    provider=quote.pool.centre.operator,
                    quote=quote,
                    array_index=index,
                    pool=quote.pool,
                    offer=quote.offer,
                    kind=kind,
                    name=spec.name,
                    amount_micro=quote.amount_micro // spec.array,
                    priority=priority,
                    deadline_at=spec.deadline_at,
                    outlook=outlook,
                    created_by_id=principal.person_id,
                )
                for index in range(spec.array)
            ]
        )
        touch_files(quote.organisation_id, spec.files)
        holds = hold_funds(jobs, quote)
        need = asdict(need_of(spec))
        Reservation.objects.bulk_create(
            Reservation(job=job, pool=quote.pool, holds=holds[job.pk], wall_s=spec.wall_s, **need)
            for job in jobs
        )
        for job in jobs:
            for ref in spec.inputs:
                INPUTS.get().grant(principal, quote.organisation_id, ref, job_id=job.pk)
            _record_submission(principal, job, quote)
            emit("job.submitted", {"job": str(job.pk)})
    return jobs[0]


def _outlook_of(quote: Quote) -> dict[str, Any]:
    """What is projected for the job where it is to go, to be compared with what comes."""
    seen = look_at_pools([quote.pool], now())
    outlook, _ = outlooks(seen, need_of(quote.spec), quote.spec.wall_s)[quote.pool_id]
    return outlook_as_dict(quote.pool, outlook)


def cancel_job(principal: Principal, job_id: str | UUID) -> Job:
    """Ask for a job's end. One that has not started ends at once, and its funds are free."""
    job = find_job(principal, job_id)
    authorize(principal, "job.cancel", job.resource())
    with unit_of_work():
        Job.objects.select_for_update().get(pk=job.pk)
        job.refresh_from_db(fields=["state", "cancel_requested_at"])
        if job.state in FINAL:
            raise WrongState(
                kind="job", id=str(job.pk), state=job.state, needed="queued or running"
            )
        _request_end(principal, job)
    return job


def cancel_array(principal: Principal, job_id: str | UUID) -> int:
    """Ask for the end of all jobs of the array that a job is of; of how many there was need to."""
    job = find_job(principal, job_id)
    authorize(principal, "job.cancel", job.resource())
    with unit_of_work():
        unfinished = Job.objects.filter(
            quote=job.quote_id, finished_at=None, cancel_requested_at=None
        )
        rows = list(unfinished.select_for_update().order_by("pk"))
        for row in rows:
            authorize(principal, "job.cancel", row.resource())
            _request_end(principal, row)
    return len(rows)


def _request_end(principal: Principal, job: Job) -> None:
    if job.cancel_requested_at is not None:
        return
    job.cancel_requested_at = now()
    job.save(update_fields=["cancel_requested_at"])
    record(
        "job.cancel_requested",
        subject=f"job:{job.pk}",
        actor=principal,
        data={"state": job.state},
        parties=[job.organisation_id, job.provider_id],
    )


def find_job(principal: Principal, job_id: str | UUID) -> Job:
    """A job with its quote and pool, for those who submitted or ran it."""
    pk = parse_id(job_id, kind="job")
    job = (
        Job.objects.select_related(
            "organisation", "provider", "quote__contract", "quote__offer", "pool__centre",
            "settlement", "reservation", "created_by",
        )
        .filter(pk=pk)
        .first()
    )  # fmt: skip
    if job is None:
        raise MissingRecord(kind="job", id=str(pk))
    authorize(principal, "job.read", job.resource())
    return job


def list_jobs(
    principal: Principal,
    *,
    quote: str | UUID | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Job]:
    """The newest jobs that the caller may see: of their organisations, or, for an auditor, all.

    Of one quote, if it is given: those are the jobs of an array.
    """
    jobs = Job.objects.select_related("organisation", "provider", "pool__centre", "settlement")
    if quote is not None:
        jobs = jobs.filter(quote=parse_id(quote, kind="quote"))
    if is_allowed(principal, "job.read", Resource("Job")):
        return paginate(jobs, cursor=cursor, limit=limit)
    mine = listed_organisations(principal, "job.read", "Job")
    return paginate_list(
        lambda before, size: jobs.newest_of(mine, before=before, limit=size),
        cursor=cursor,
        limit=limit,
    )


def read_log(principal: Principal, job_id: str | UUID, *, offset: int = 0) -> LogChunk:
    """What the newest attempt printed, from byte ``offset`` on; from the end, if it is negative."""
    job = find_job(principal, job_id)
    authorize(principal, "job.read_log", job.resource())
    newest = job.attempts.order_by("-number").first()
    if newest is None:
        return LogChunk("", 0)
    path = attempt_folder(job.pk, newest.number) / "log.txt"
    return read_log_file(path, offset=offset, limit=LOG_PIECE_BYTES)


@dataclass(frozen=True)
class OutputFile:
    """A file that a job wrote."""

    path: str
    bytes: int


def list_outputs(principal: Principal, job_id: str | UUID) -> list[OutputFile]:
    """The files that the newest attempt wrote to its outputs, up to a limit.

    Links are left out, and files whose name is no UTF-8: no address could name them.
    """
    return list(islice(_files_below(_outputs(principal, job_id)), OUTPUT_FILES_LIMIT))


def open_output(principal: Principal, job_id: str | UUID, path: str) -> BinaryIO:
    """One output file, open for reading.

    The job may still run and change its folder meanwhile. So each part of the path is opened below
    the one before, and a link is never followed: what is read lies in the job's outputs.
    """
    folder = _outputs(principal, job_id)
    parts = path.split("/")
    missing = NoSuchFile(job=str(job_id), path=path)
    if len(parts) > OUTPUT_DEPTH_LIMIT or any(part in ("", ".", "..") for part in parts):
        raise missing
    try:
        handle = _open_below(folder, parts)
    except (OSError, ValueError):
        raise missing from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise missing
    return os.fdopen(handle, "rb")


def attempt_folder(job_id: UUID, number: int) -> Path:
    """The folder of one attempt."""
    return load_settings().home.resolve() / "jobs" / str(job_id) / str(number)


def _outputs(principal: Principal, job_id: str | UUID) -> Path:
    job = find_job(principal, job_id)
    authorize(principal, "job.read_log", job.resource())
    newest = job.attempts.order_by("-number").first()
    return attempt_folder(job.pk, newest.number if newest else 0) / "outputs"


def _files_below(folder: Path) -> Iterator[OutputFile]:
    """Regular files; those of a folder before those of its subfolders, each in order of name."""
    for root, folders, names in os.walk(os.fsencode(folder)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(root, name)  # noqa: PTH118 (names are bytes)
            with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode):
                    shown = os.path.relpath(path, os.fsencode(folder)).decode("utf-8")
                    yield OutputFile(shown, found.st_size)


def _open_below(folder: Path, parts: Sequence[str]) -> int:
    """A handle on the file at ``parts`` below ``folder``; a pipe does not block the reader."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(folder, flags | os.O_DIRECTORY)
    for number, part in enumerate(parts, start=1):
        kind = 0 if number == len(parts) else os.O_DIRECTORY
        try:
            below = os.open(part, flags | kind, dir_fd=handle)
        finally:
            os.close(handle)
        handle = below
    return handle


def _check_quote(quote: Quote) -> None:
    used = Job.objects.filter(quote=quote).values_list("pk", flat=True).first()
    if used is not None:
        raise QuoteUsed(quote=str(quote.pk), job=str(used))
    if quote.expires_at <= now():
        raise QuoteExpired(quote=str(quote.pk), expires_at=quote.expires_at.isoformat())
    if quote.contract is not None:
        Contract.objects.select_for_update().get(pk=quote.contract.pk)
        check_within_contract(quote.contract, quote.amount_micro)
    spec = quote.spec
    reason = locked_allocation_reason(
        spec, quote.organisation_id, quote.pool, now(), jobs=spec.array
    )
    if reason:
        raise NoPool(job=spec.name, pool=str(quote.pool), reason=f"{quote.pool}: {reason}")


def _pools_by_name() -> dict[str, UUID]:
    pools = Pool.objects.values_list("centre__slug", "slug", "pk")
    return {f"{centre}/{pool}": pk for centre, pool, pk in pools}


def _record_submission(principal: Principal, job: Job, quote: Quote) -> None:
    record(
        "job.submitted",
        subject=f"job:{job.pk}",
        actor=principal,
        data={
            "quote": str(quote.pk),
            "contract": quote.contract.number if quote.contract else "",
            "pool": str(quote.pool),
            "amount_micro": job.amount_micro,
            "inputs": [f"{ref.dataset}@{ref.version}" for ref in quote.spec.inputs],
        },
        parties=[job.organisation_id, job.provider_id],
    )
