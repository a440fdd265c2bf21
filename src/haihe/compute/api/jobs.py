"""HTTP routes of quotes and jobs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import StreamingHttpResponse
from ninja import File, Form, Query, Router, Schema, Status, UploadedFile
from pydantic import Field

from haihe.compute.domain import GIB, Objective, spec_from
from haihe.compute.models import Attempt, Job, Quote, Settlement
from haihe.compute.services import explain, files, jobs, quotes
from haihe.kernel.api import CursorPage, PageQuery, Whole, as_page
from haihe.kernel.files import FILE_ANSWER, stream_file
from haihe.policy.http import Request

LOG_LIMIT_BYTES = 1 << 40

router = Router()


class InputSchema(Schema):
    """One dataset version that a job reads."""

    name: str = Field(description="What the file is called in the job's input folder.")
    dataset: str
    version: Whole


class FileSchema(Schema):
    """One uploaded file that a job finds in its working folder."""

    path: str
    sha256: str


class JobSpecSchema(Schema):
    """What a job runs and what it may use at most, on each of its nodes."""

    name: str
    command: list[str] = Field(description="Program and arguments; no shell runs them.")
    cpu_milli: Whole = 1_000
    memory_bytes: Whole = GIB
    gpu_milli: Whole = 0
    wall_s: Whole = 3_600
    cpu_s: Whole = Field(0, description="Over all nodes; 0: all CPUs for all of `wall_s`.")
    output_bytes: Whole = GIB
    nodes: Whole = Field(1, description="Nodes that start together.")
    array: Whole = Field(1, description="Like jobs; each finds its number in the environment.")
    accelerator: str = Field("", description="A model, a maker or a class; empty for any.")
    software: list[str] = []
    centres: list[str] = Field([], description="Slugs; empty for any.")
    objective: Objective = Objective.BALANCED
    deadline: str = Field("", description="An instant in ISO 8601; empty for none.")
    inputs: list[InputSchema] = []
    files: list[FileSchema] = []
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}


class JobFileOut(Schema):
    """A kept file."""

    sha256: str
    bytes: int


class LineOut(Schema):
    """One line of a quote or bill."""

    item: str
    quantity_milli: int = Field(description="In thousandths of `unit`.")
    unit: str
    price_micro: int
    amount_micro: int
    why: str


class ShareOut(Schema):
    """One payer's part."""

    payer: str
    account_id: UUID
    asset: str
    amount_micro: int


class PoolCheckOut(Schema):
    """One filter: whether the pool passes it, and if not, what was asked and what is there."""

    name: str
    passed: bool
    asked: str
    there: str


class TermOut(Schema):
    """One part of a score: the value it is from, what it scores (0 to 1), and its weight."""

    name: str
    value: float | None
    unit: str
    score: float
    weight: float


class PoolVerdictOut(Schema):
    """What was found of one pool: terms and a score too, if it would do now or at another hour."""

    pool: str
    checks: list[PoolCheckOut]
    terms: list[TermOut]
    score: float | None


class ChoiceOut(Schema):
    """Every pool with every term, and the one that was chosen."""

    objective: str
    weights: dict[str, float]
    verdicts: list[PoolVerdictOut]
    chosen: str | None


class PlacedOut(Schema):
    """Why a pool was chosen. `is_replayed`: the kept facts lead to the same choice again."""

    at: datetime
    occasion: str = Field(description="`quoted`, `placed`, `moved` or `again`.")
    choice: ChoiceOut
    is_replayed: bool


class ExplanationOut(Schema):
    """Why a job is where it is, or why it waits."""

    job: UUID
    state: str
    pool: str
    waits_for: str = Field(
        description="`pool`, `room`, `agent`, `scheduler`, or `nothing` where it does not wait."
    )
    sentence: str
    ahead: int = Field(description="Waiting jobs that could use the same pools and come first.")
    quoted: PlacedOut | None = Field(description="Null for quotes older than comparisons are.")
    placements: list[PlacedOut]
    present: ChoiceOut | None = Field(description="What a dispatch round would find now.")


class QuoteIn(Schema):
    """A job to price."""

    organisation: str = Field(description="Slug of the organisation that will pay.")
    contract: str = Field("", description="Number of a signed contract; empty for none.")
    spec: JobSpecSchema


class QuoteOut(Schema):
    """A priced, explained answer for one job: what it costs at most, where, and why."""

    id: UUID
    organisation: str
    pool: str
    contract: str
    spec: JobSpecSchema
    lines: list[LineOut]
    shares: list[ShareOut]
    reasons: list[str]
    comparison: ChoiceOut | None = Field(description="Null for quotes of before it was kept.")
    amount_micro: int
    expires_at: datetime
    created_at: datetime


class JobIn(Schema):
    """A quote that is accepted."""

    quote_id: UUID
    priority: Whole = Field(0, ge=-100, le=100, description="Higher goes first.")


class JobOut(Schema):
    """A job."""

    id: UUID
    name: str
    array_index: int = Field(description="Its number in its array; 0 if it is of none.")
    organisation: str
    provider: str
    pool: str
    state: str
    priority: int
    created_at: datetime
    finished_at: datetime | None
    end_reason: str
    exit_code: int | None
    message: str
    amount_micro: int | None = Field(description="What it cost; null until it is settled.")


class JobsQuery(PageQuery):
    """Which jobs."""

    quote: UUID | None = Field(None, description="Those of one quote: the jobs of an array.")


class ArrayOut(Schema):
    """What became of the jobs of an array."""

    cancelled: int = Field(description="How many were asked to end; the others had ended.")


class UsageOut(Schema):
    """Metered use of one attempt (after OGF GFD.204)."""

    cpu_ms: int
    gpu_milli_ms: int
    wall_ms: int
    peak_memory_bytes: int
    output_bytes: int
    measured_by: str
    doubts: list[str] = Field(description="What in it cannot be, and was not billed.")


class AttemptOut(Schema):
    """One try at a job."""

    number: int
    pool: str
    state: str
    external_id: str = Field(description="The scheduler's own number for it.")
    nodes: list[str]
    claimed_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    end_reason: str
    exit_code: int | None
    message: str
    usage: UsageOut | None


class SettlementOut(Schema):
    """What a job cost, line by line, and who paid which part."""

    amount_micro: int
    lines: list[LineOut]
    shares: list[ShareOut]
    evidence_id: UUID
    created_at: datetime


class JobDetail(JobOut):
    """A job with its attempts, its usage and its bill."""

    quote_id: UUID
    cancel_requested_at: datetime | None
    attempts: list[AttemptOut]
    settlement: SettlementOut | None


class LogQuery(Schema):
    """Where in a log to read."""

    offset: int = Field(
        0,
        ge=-LOG_LIMIT_BYTES,
        le=LOG_LIMIT_BYTES,
        description="First byte; negative: so many bytes from the end.",
    )


class LogOut(Schema):
    """A piece of a log."""

    text: str
    next_offset: int = Field(description="Give it as `offset` to read on.")


class FileOut(Schema):
    """A file that a job wrote."""

    path: str
    bytes: int


@router.post("/files", response={201: JobFileOut})
def keep_file(
    request: Request, file: File[UploadedFile], organisation: Form[str]
) -> Status[JobFileOut]:
    """Keep a file for an organisation's jobs: name it in a spec by its content."""
    row = files.keep_file(request.principal, file.chunks(), organisation=organisation)
    return Status(201, JobFileOut(sha256=row.sha256, bytes=row.bytes))


@router.post("/quotes", response={201: QuoteOut})
def request_quote(request: Request, body: QuoteIn) -> Status[QuoteOut]:
    """Price a job at its limits on every pool, and choose one. Nothing is held yet."""
    quote = quotes.request_quote(
        request.principal,
        spec_from(body.spec.dict()),
        organisation=body.organisation,
        contract=body.contract,
    )
    return Status(201, _quote(quote))


@router.get("/quotes/{quote_id}", response=QuoteOut)
def read_quote(request: Request, quote_id: str) -> QuoteOut:
    """A quote, for its organisation."""
    return _quote(quotes.find_quote(request.principal, quote_id))


@router.post("/jobs", response={201: JobOut})
def submit_job(request: Request, body: JobIn) -> Status[JobOut]:
    """Accept a quote: its funds are held, its inputs granted, and the job is queued."""
    job = jobs.submit_job(request.principal, body.quote_id, priority=body.priority)
    return Status(201, _job(job))


@router.get("/jobs", response=CursorPage[JobOut])
def list_jobs(request: Request, page: Query[JobsQuery]) -> CursorPage[JobOut]:
    """Jobs that one of the caller's organisations submitted or ran."""
    found = jobs.list_jobs(
        request.principal, quote=page.quote, cursor=page.cursor, limit=page.limit
    )
    return as_page(found, _job)


@router.get("/jobs/{job_id}", response=JobDetail)
def read_job(request: Request, job_id: str) -> JobDetail:
    """A job with its attempts, its usage and its itemised bill."""
    job = jobs.find_job(request.principal, job_id)
    settlement = getattr(job, "settlement", None)
    return JobDetail(
        **_job(job).dict(),
        quote_id=job.quote_id,
        cancel_requested_at=job.cancel_requested_at,
        attempts=[_attempt(attempt) for attempt in job.tries()],
        settlement=_settlement(settlement) if settlement else None,
    )


@router.get("/jobs/{job_id}/explanation", response=ExplanationOut)
def explain_job(request: Request, job_id: str) -> ExplanationOut:
    """Why a job is where it is, or why it waits: every centre with every term."""
    return ExplanationOut(**explain.explain_job(request.principal, job_id).as_dict())


@router.post("/jobs/{job_id}/cancel", response=JobOut)
def cancel_job(request: Request, job_id: str) -> JobOut:
    """Ask for a job's end. What it used until then is paid; the rest of its funds is free."""
    return _job(jobs.cancel_job(request.principal, job_id))


@router.post("/jobs/{job_id}/cancel-array", response=ArrayOut)
def cancel_array(request: Request, job_id: str) -> ArrayOut:
    """Ask for the end of all jobs of the array that a job is of."""
    return ArrayOut(cancelled=jobs.cancel_array(request.principal, job_id))


@router.get("/jobs/{job_id}/log", response=LogOut)
def read_job_log(request: Request, job_id: str, where: Query[LogQuery]) -> LogOut:
    """What the newest attempt printed, from a byte on."""
    chunk = jobs.read_log(request.principal, job_id, offset=where.offset)
    return LogOut(text=chunk.text, next_offset=chunk.next_offset)


@router.get("/jobs/{job_id}/files", response=list[FileOut])
def list_job_files(request: Request, job_id: str) -> list[FileOut]:
    """The files that the newest attempt wrote."""
    found = jobs.list_outputs(request.principal, job_id)
    return [FileOut(path=file.path, bytes=file.bytes) for file in found]


@router.get("/jobs/{job_id}/files/{path:path}", response={200: None}, openapi_extra=FILE_ANSWER)
def download_job_file(request: Request, job_id: str, path: str) -> StreamingHttpResponse:
    """The content of one file that the newest attempt wrote."""
    file = jobs.open_output(request.principal, job_id, path)
    return stream_file(request, file, name=path.rpartition("/")[2])


def _quote(row: Quote) -> QuoteOut:
    return QuoteOut(
        id=row.pk,
        organisation=row.organisation.slug,
        pool=str(row.pool),
        contract=row.contract.number if row.contract else "",
        spec=JobSpecSchema(**row.spec_data),
        lines=[LineOut(**line) for line in row.lines],
        shares=[_share(share) for share in row.shares],
        reasons=row.reasons,
        comparison=ChoiceOut(**row.comparison["result"]) if row.comparison else None,
        amount_micro=row.amount_micro,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )


def _share(share: dict[str, object]) -> ShareOut:
    return ShareOut.model_validate(share)


def _job(row: Job) -> JobOut:
    settlement = getattr(row, "settlement", None)
    return JobOut(
        id=row.pk,
        name=row.name,
        array_index=row.array_index,
        organisation=row.organisation.slug,
        provider=row.provider.slug,
        pool=str(row.pool),
        state=row.state,
        priority=row.priority,
        created_at=row.created_at,
        finished_at=row.finished_at,
        end_reason=row.end_reason,
        exit_code=row.exit_code,
        message=row.message,
        amount_micro=settlement.amount_micro if settlement else None,
    )


def _attempt(row: Attempt) -> AttemptOut:
    usage = getattr(row, "usage", None)
    return AttemptOut(
        number=row.number,
        pool=str(row.pool),
        state=row.state,
        external_id=row.external_id,
        nodes=row.nodes,
        claimed_at=row.claimed_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        end_reason=row.end_reason,
        exit_code=row.exit_code,
        message=row.message,
        usage=UsageOut.from_orm(usage) if usage else None,
    )


def _settlement(row: Settlement) -> SettlementOut:
    return SettlementOut(
        amount_micro=row.amount_micro,
        lines=[LineOut(**line) for line in row.lines],
        shares=[_share(share) for share in row.shares],
        evidence_id=row.evidence_id,
        created_at=row.created_at,
    )
