"""What an agent and the platform say to each other: one exchange, repeated.

The agent speaks first. It says what it has accepted and what became of it; the answer brings new
offers, leave to start what was accepted, and wishes to end. Each part can be said twice without
harm: offers are known by their attempt, reports by their number, and both are repeated until the
other side has shown that it knows them.

    platform                            agent
      offer an attempt        ──>         keep it, and say: accepted
      claimed; go             ──>         start it, once
      (or: revoked)           ──>         drop it
      cancel                  ──>         end it
                              <──         report 1, 2, 3, ...
      heard up to 3           ──>         drop reports up to 3
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from haihe.compute.domain import EndReason, Usage

PROTOCOL = 1
LIST_LIMIT = 500
NODE_LIMIT = 10_000
LOG_PIECE_CHARS = 65_536
MOST = 2**53 - 1
EARLIER_S = 7 * 86_400  # samples are kept for a platform that is away for so long
# What the platform works out of a report itself.
RESERVED = frozenset({"cpu", "gpu", "memory", "nodes_up", "pending", "running"})

Word = Annotated[str, Field(max_length=400)]
Natural = Annotated[int, Field(ge=0, lt=2**63)]
# Sums of many such stay numbers; no figure of a pool is larger.
Figure = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]


def _measured(name: str) -> str:
    """Refuse a metric that the platform makes itself from the nodes and the queue."""
    if name in RESERVED:
        raise ValueError(f"{name} is not an agent's to say")
    return name


Metric = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40), AfterValidator(_measured)
]


class Message(BaseModel):
    """A part of an exchange: what is not named here is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileItem(Message):
    """An uploaded file of the job."""

    path: Word
    sha256: str


class SeatItem(Message):
    """Where on a node the attempt sits, in a pool that the platform packs."""

    node: Word
    gpus: list[int] = []
    gpu_milli_each: int = 0


class AccountItem(Message):
    """As whom the attempt runs."""

    user: Word
    account: Word = ""
    qos: Word = ""


class ElementItem(Message):
    """Which element of an array the attempt is."""

    array_id: Word
    index: int


class Order(Message):
    """One attempt at a job, whole: nothing more is needed to run it."""

    attempt_id: UUID
    job_id: UUID
    number: int
    pool: str
    partition: Annotated[str, Field(max_length=80)] = ""
    name: str
    command: list[str]
    environment: dict[str, str]
    cpu_milli: int
    cpu_limit_s: int
    memory_bytes: int
    wall_s: int
    output_bytes: int
    gpu_milli: int = 0
    gpu_model: str = ""
    nodes: int = 1
    seats: list[SeatItem] = []
    account: AccountItem | None = None
    element: ElementItem | None = None
    inputs: list[str] = []
    files: list[FileItem] = []


class UsageItem(Message):
    """Metered use."""

    cpu_ms: Natural
    gpu_milli_ms: Natural
    wall_ms: Natural
    peak_memory_bytes: Natural
    output_bytes: Natural

    def as_usage(self) -> Usage:
        """The same in the domain's words; what no evidence can hold is told as the most it can."""
        return Usage(**{name: min(value, MOST) for name, value in self.model_dump().items()})


class Report(Message):
    """What became of an attempt. Times are by the centre's clock."""

    number: Annotated[int, Field(ge=1)]
    attempt_id: UUID
    state: Literal["pending", "running", "ended", "lost"]
    reason: EndReason | None = None
    exit_code: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    message: Annotated[str, Field(max_length=2_000)] = ""
    usage: UsageItem | None = None
    measured_by: Annotated[str, Field(max_length=80)] = ""
    external_id: Annotated[str, Field(max_length=200)] = ""
    nodes: Annotated[list[Word], Field(max_length=1_000)] = []
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class LogPiece(Message):
    """What a running attempt printed since the last piece."""

    attempt_id: UUID
    offset: Natural
    content: Annotated[bytes, Field(max_length=LOG_PIECE_CHARS)]

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64"
    )


class NodeItem(Message):
    """One node of a pool."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    condition: Literal["up", "draining", "down"]
    cpu_milli: Natural
    memory_bytes: Natural
    gpus: Annotated[int, Field(ge=0, le=1_000)] = 0
    gpu_model: Annotated[str, Field(max_length=80)] = ""
    used_cpu_milli: Natural = 0
    used_memory_bytes: Natural = 0
    used_gpu_milli: Natural = 0
    reason: Word = ""


class PoolItem(Message):
    """A pool as its scheduler sees it. ``age_s`` is how old that was when the message was sent."""

    pool: Word
    age_s: Annotated[float, Field(ge=0)]
    version: Word = ""
    nodes: Annotated[list[NodeItem], Field(max_length=NODE_LIMIT)]
    pending: Natural
    running: Natural
    metrics: Annotated[dict[Metric, Figure], Field(max_length=64)] = {}


class SampleItem(Message):
    """What was measured of a pool ``age_s`` ago, while the platform could not be reached."""

    pool: Word
    age_s: Annotated[float, Field(ge=0, le=EARLIER_S)]
    metrics: Annotated[dict[Annotated[str, Field(max_length=40)], Figure], Field(max_length=80)]


class PoolFault(Message):
    """A pool whose scheduler does not answer."""

    pool: Word
    fault: Annotated[str, Field(max_length=2_000)]


class Exchange(Message):
    """What an agent says.

    ``epoch`` is 0 in the first one after a start, and ``number`` then grows from start to start;
    later ones carry the epoch that was answered, and are numbered from 1 within it.
    """

    protocol: int = PROTOCOL
    version: Annotated[str, Field(max_length=40)]
    epoch: Natural
    number: Natural
    sent_at: AwareDatetime
    accepted: Annotated[list[UUID], Field(max_length=LIST_LIMIT)] = []
    held: Annotated[list[UUID], Field(max_length=100_000)] | None = None
    reports: Annotated[list[Report], Field(max_length=LIST_LIMIT)] = []
    logs: Annotated[list[LogPiece], Field(max_length=LIST_LIMIT)] = []
    pools: Annotated[list[PoolItem], Field(max_length=100)] = []
    earlier: Annotated[list[SampleItem], Field(max_length=LIST_LIMIT)] = []
    faults: Annotated[list[PoolFault], Field(max_length=100)] = []


class Answer(Message):
    """What the platform answers.

    ``forgotten`` are attempts that the agent claimed, and does not know any more after a start:
    it is to look for them in its scheduler. ``pools`` are all that the centre has.
    """

    epoch: int
    answered_at: datetime
    heard: int
    offers: list[Order] = []
    go: list[UUID] = []
    revoked: list[UUID] = []
    cancel: list[UUID] = []
    forgotten: list[Order] = []
    pools: list[str] = []


def metrics_of(item: PoolItem) -> dict[str, float]:
    """The metrics of a report: shares in 0..1, counts, and what the agent measured besides."""
    cpu = sum(node.cpu_milli for node in item.nodes)
    memory = sum(node.memory_bytes for node in item.nodes)
    gpu = sum(node.gpus for node in item.nodes) * 1_000
    return {
        "cpu": sum(node.used_cpu_milli for node in item.nodes) / cpu if cpu else 0.0,
        "memory": sum(node.used_memory_bytes for node in item.nodes) / memory if memory else 0.0,
        "gpu": sum(node.used_gpu_milli for node in item.nodes) / gpu if gpu else 0.0,
        "nodes_up": float(sum(node.condition == "up" for node in item.nodes)),
        "pending": float(item.pending),
        "running": float(item.running),
        **item.metrics,
    }
