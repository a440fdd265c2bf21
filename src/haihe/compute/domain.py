"""Rules of compute: what a job asks for, what it may cost, and which states it passes through.

States of a job::

    queued ──> starting ──> running ──> succeeded
      ^           │            ├──────> failed
      └── lost ───┴────────────┤
      │                        └──────> cancelled
      └───────────────────────────────> cancelled

A job is queued only when its funds and its capacity are held. ``lost`` is the attempt's state, not
the job's: the job goes back to the queue until its attempts are used up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from haihe.compute.errors import BadJobSpec, JobTooLarge
from haihe.kernel.errors import gettext_noop
from haihe.kernel.money import FEN_MICRO, round_to_fen, share_out

HOUR_MS = 3_600_000
MILLI = 1_000
GIB = 1024**3
MAX_ATTEMPTS = 3
COMMAND_LIMIT = 64
ARGUMENT_LENGTH = 8_192
INPUT_LIMIT = 16
LABEL_LIMIT = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.CANCELLED, JobState.FAILED}),
    JobState.STARTING: frozenset(
        {JobState.RUNNING, JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class AttemptState(StrEnum):
    """Where one try at a job stands."""

    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class EndReason(StrEnum):
    """Why an attempt ended."""

    EXITED = "exited"
    CPU_LIMIT = "cpu-limit"
    MEMORY_LIMIT = "memory-limit"
    WALL_LIMIT = "wall-limit"
    OUTPUT_LIMIT = "output-limit"
    CANCELLED = "cancelled"
    LOST = "lost"
    NOT_STARTED = "not-started"
    NODE_FAILED = "node-failed"
    ENDED_BY_CENTRE = "ended-by-centre"


@dataclass(frozen=True, kw_only=True)
class InputRef:
    """One dataset version that a job reads, under the name of its folder in the job."""

    name: str
    dataset: str
    version: int


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a job runs and what it may use at most.

    ``command`` is an argument list, never a shell line. Amounts are milli-CPUs, bytes, seconds and
    milli-GPUs; ``cpu_s`` defaults to all CPUs for the whole of ``wall_s``.
    """

    name: str
    command: Sequence[str]
    cpu_milli: int = 1_000
    memory_bytes: int = 1 * GIB
    gpu_milli: int = 0
    wall_s: int = 3_600
    cpu_s: int = 0
    output_bytes: int = 1 * GIB
    inputs: Sequence[InputRef] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def cpu_limit_s(self) -> int:
        """The CPU seconds after which the job is ended."""
        return self.cpu_s or -(-self.cpu_milli * self.wall_s // MILLI)

    def as_dict(self) -> dict[str, Any]:
        """The spec as JSON."""
        data = asdict(self)
        data["command"] = list(self.command)
        data["inputs"] = [asdict(item) for item in self.inputs]
        return data


def spec_from(data: Mapping[str, Any]) -> JobSpec:
    """Read a spec from JSON, TOML or a form, and check every field.

    Raises
    ------
    BadJobSpec
        If a field is unknown, missing, of a wrong type or out of its range; the error names it.
    """
    unknown = sorted(set(data) - set(JobSpec.__dataclass_fields__))
    if unknown:
        raise BadJobSpec(field=unknown[0], rule="is not a field of a job")
    for required in ("name", "command"):
        if required not in data:
            raise BadJobSpec(field=required, rule="is missing")
    for name in ("command", "inputs"):
        if not isinstance(data.get(name, []), list | tuple):
            raise BadJobSpec(field=name, rule="must be a list")
    for name in ("environment", "labels"):
        if not isinstance(data.get(name, {}), Mapping):
            raise BadJobSpec(field=name, rule="must give values to names")
    inputs = tuple(_input_from(item) for item in data.get("inputs", ()))
    spec = JobSpec(**{**data, "command": tuple(data["command"]), "inputs": inputs})
    _check_words(spec)
    _check_environment(spec)
    _check_amounts(spec)
    return spec


def parse_input(text: str) -> InputRef:
    """Read an input as people write it: ``name=dataset@version``."""
    name, equals, wanted = text.strip().partition("=")
    dataset, at, version = wanted.rpartition("@")
    if not (name and equals and dataset and at and version.isdecimal() and len(version) < 10):
        raise BadJobSpec(field=f"input {text[:80]!r}", rule="must read name=dataset@version")
    return _input_from({"name": name, "dataset": dataset, "version": int(version)})


def _input_from(item: Any) -> InputRef:
    try:
        ref = item if isinstance(item, InputRef) else InputRef(**item)
    except TypeError:
        raise BadJobSpec(field="inputs", rule="needs name, dataset and version each") from None
    if not isinstance(ref.name, str) or not _NAME.fullmatch(ref.name):
        raise BadJobSpec(
            field=f"inputs.{ref.name}", rule="must be a plain file name, with no path in it"
        )
    if not isinstance(ref.dataset, str):
        raise BadJobSpec(field=f"inputs.{ref.name}.dataset", rule="must be a dataset's slug")
    if isinstance(ref.version, bool) or not isinstance(ref.version, int) or ref.version < 1:
        raise BadJobSpec(field=f"inputs.{ref.name}.version", rule="must be 1 or more")
    return ref


def _check_words(spec: JobSpec) -> None:
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise BadJobSpec(
            field="name", rule="must be 1 to 64 lower-case letters, digits, '.', '_' or '-'"
        )
    words = spec.command
    if not 1 <= len(words) <= COMMAND_LIMIT:
        raise BadJobSpec(field="command", rule=f"must have 1 to {COMMAND_LIMIT} words")
    if any(not isinstance(w, str) or len(w) > ARGUMENT_LENGTH or "\0" in w for w in words):
        raise BadJobSpec(field="command", rule="must be a list of plain strings")
    if len(spec.inputs) > INPUT_LIMIT:
        raise BadJobSpec(field="inputs", rule=f"may be at most {INPUT_LIMIT}")
    if len({item.name for item in spec.inputs}) != len(spec.inputs):
        raise BadJobSpec(field="inputs", rule="must have different names")
    if len({(item.dataset, item.version) for item in spec.inputs}) != len(spec.inputs):
        raise BadJobSpec(field="inputs", rule="may name each dataset version once")


def _check_environment(spec: JobSpec) -> None:
    for name, value in spec.environment.items():
        good = isinstance(name, str) and _VARIABLE.fullmatch(name) and isinstance(value, str)
        if not good or "\0" in value:
            raise BadJobSpec(
                field=f"environment.{name}", rule="must be an upper-case name and a string"
            )
        if name.startswith(("HAIHE_", "LD_")):
            raise BadJobSpec(field=f"environment.{name}", rule="is reserved")
    if len(spec.labels) > LABEL_LIMIT:
        raise BadJobSpec(field="labels", rule=f"may be at most {LABEL_LIMIT}")
    if any(not isinstance(word, str) for pair in spec.labels.items() for word in pair):
        raise BadJobSpec(field="labels", rule="must be strings")


_RANGES: Mapping[str, tuple[int, int]] = {
    "cpu_milli": (1, 10_000_000),
    "memory_bytes": (16 * 1024**2, 1024**5),
    "gpu_milli": (0, 10_000_000),
    "wall_s": (1, 30 * 86_400),
    "cpu_s": (0, 10_000_000_000),
    "output_bytes": (0, 1024**5),
}


def _check_amounts(spec: JobSpec) -> None:
    for name, (low, high) in _RANGES.items():
        value = getattr(spec, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadJobSpec(field=name, rule=f"is {value!r}; give a whole number {low} to {high}")


# --- fit and price -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Capacity:
    """An amount of schedulable resources."""

    cpu_milli: int
    memory_bytes: int
    gpu_milli: int

    def minus(self, other: Capacity) -> Capacity:
        """What is left of this when ``other`` is taken."""
        return Capacity(
            self.cpu_milli - other.cpu_milli,
            self.memory_bytes - other.memory_bytes,
            self.gpu_milli - other.gpu_milli,
        )

    def shortfall(self, need: Capacity) -> list[tuple[str, int, int]]:
        """Each resource of which ``need`` asks more than there is: name, needed, there."""
        names = ("cpu_milli", "memory_bytes", "gpu_milli")
        pairs = [(name, getattr(need, name), getattr(self, name)) for name in names]
        return [pair for pair in pairs if pair[1] > pair[2]]


def need_of(spec: JobSpec) -> Capacity:
    """The capacity that a job occupies while it runs."""
    return Capacity(spec.cpu_milli, spec.memory_bytes, spec.gpu_milli)


def check_fits(spec: JobSpec, pool: str, whole: Capacity) -> None:
    """Refuse a job that is larger than the whole, empty pool."""
    missing = whole.shortfall(need_of(spec))
    if missing:
        resource, needed, there = missing[0]
        raise JobTooLarge(job=spec.name, pool=pool, resource=resource, needed=needed, there=there)


@dataclass(frozen=True)
class Price:
    """An offer's prices, in micro-units of CNY."""

    cpu_hour_micro: int
    gpu_hour_micro: int
    minimum_micro: int


@dataclass(frozen=True)
class Usage:
    """Metered use of one attempt (after OGF GFD.204)."""

    cpu_ms: int
    gpu_milli_ms: int
    wall_ms: int
    peak_memory_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class BillLine:
    """One line of a quote or bill. ``quantity`` is in milli-units of ``unit``."""

    item: str
    quantity_milli: int
    unit: str
    price_micro: int
    amount_micro: int
    why: str


def price_usage(usage: Usage, price: Price) -> list[BillLine]:
    """What ``usage`` costs, line by line, exactly: nothing is rounded to fen here.

    CPU is billed by the CPU time measured, GPUs by the share held times wall time. If that is less
    than the offer's minimum charge, a last line makes up the difference.
    """
    cpu = BillLine(
        item="cpu",
        quantity_milli=usage.cpu_ms * MILLI // HOUR_MS,
        unit="CPU-hour",
        price_micro=price.cpu_hour_micro,
        amount_micro=usage.cpu_ms * price.cpu_hour_micro // HOUR_MS,
        why=gettext_noop("measured CPU time"),
    )
    gpu = BillLine(
        item="gpu",
        quantity_milli=usage.gpu_milli_ms // HOUR_MS,
        unit="GPU-hour",
        price_micro=price.gpu_hour_micro,
        amount_micro=usage.gpu_milli_ms * price.gpu_hour_micro // (HOUR_MS * MILLI),
        why=gettext_noop("share of GPUs held, times wall time"),
    )
    lines = [cpu, gpu] if usage.gpu_milli_ms else [cpu]
    missing = price.minimum_micro - sum(line.amount_micro for line in lines)
    if missing > 0:
        lines.append(
            BillLine(
                item="minimum",
                quantity_milli=MILLI,
                unit="job",
                price_micro=price.minimum_micro,
                amount_micro=missing,
                why=gettext_noop("up to minimum charge"),
            )
        )
    return lines


def most_usage(spec: JobSpec) -> Usage:
    """The use at which every limit of the job is reached: what a quote prices."""
    return Usage(
        cpu_ms=spec.cpu_limit_s * MILLI,
        gpu_milli_ms=spec.gpu_milli * spec.wall_s * MILLI,
        wall_ms=spec.wall_s * MILLI,
        peak_memory_bytes=spec.memory_bytes,
        output_bytes=spec.output_bytes,
    )


def within_limits(usage: Usage, spec: JobSpec) -> Usage:
    """Usage as it may be billed: a limit is enforced by sampling, and nobody pays the overshoot."""
    most = most_usage(spec)
    return Usage(
        cpu_ms=min(usage.cpu_ms, most.cpu_ms),
        gpu_milli_ms=min(usage.gpu_milli_ms, most.gpu_milli_ms),
        wall_ms=usage.wall_ms,
        peak_memory_bytes=usage.peak_memory_bytes,
        output_bytes=usage.output_bytes,
    )


def total_micro(lines: Sequence[BillLine]) -> int:
    """The exact sum of the lines."""
    return sum(line.amount_micro for line in lines)


def round_lines(lines: Sequence[BillLine]) -> list[BillLine]:
    """The lines in whole fen, adding up to the rounded total (largest remainder)."""
    amounts = share_out(round_to_fen(total_micro(lines)), [line.amount_micro for line in lines])
    return [replace(line, amount_micro=amount) for line, amount in zip(lines, amounts, strict=True)]


# --- who pays ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subsidy:
    """What a voucher may pay of a bill: a ratio of the eligible cost, up to what is left of it."""

    payer: str
    account_id: str
    asset: str
    ratio_percent: int
    left_micro: int


@dataclass(frozen=True)
class Share:
    """One payer's part of a bill."""

    payer: str
    account_id: str
    asset: str
    amount_micro: int


def split_bill(amount_micro: int, subsidy: Subsidy | None, firm: Share) -> list[Share]:
    """Divide a bill of whole fen between voucher and firm.

    The voucher pays its ratio of the bill rounded *down* to fen, so that it never exceeds what its
    scheme allows, and never more than is left of it. The firm pays the rest.
    """
    assert amount_micro >= 0
    assert amount_micro % FEN_MICRO == 0
    shares = []
    if subsidy is not None:
        part = min(amount_micro * subsidy.ratio_percent // 100, subsidy.left_micro)
        part -= part % FEN_MICRO
        shares.append(Share(subsidy.payer, subsidy.account_id, subsidy.asset, part))
        amount_micro -= part
    shares.append(Share(firm.payer, firm.account_id, firm.asset, amount_micro))
    return [share for share in shares if share.amount_micro > 0]
