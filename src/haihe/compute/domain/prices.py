"""What a job occupies, what its use costs, and who pays which part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from haihe.compute.domain.spec import MILLI, JobSpec
from haihe.compute.errors import JobTooLarge
from haihe.kernel.errors import gettext_noop
from haihe.kernel.money import FEN_MICRO, round_to_fen, share_out

HOUR_MS = 3_600_000


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

    def plus(self, other: Capacity) -> Capacity:
        """This and ``other`` together."""
        return Capacity(
            self.cpu_milli + other.cpu_milli,
            self.memory_bytes + other.memory_bytes,
            self.gpu_milli + other.gpu_milli,
        )

    def times(self, count: int) -> Capacity:
        """So many of this."""
        return Capacity(self.cpu_milli * count, self.memory_bytes * count, self.gpu_milli * count)

    def lack(self, need: Capacity) -> float:
        """The largest part of ``need`` that is missing, 0 to 1: what a near miss is told by."""
        return max((1.0 - there / needed for _, needed, there in self.shortfall(need)), default=0.0)

    def shortfall(self, need: Capacity) -> list[tuple[str, int, int]]:
        """Each resource of which ``need`` asks more than there is: name, needed, there."""
        names = ("cpu_milli", "memory_bytes", "gpu_milli")
        pairs = [(name, getattr(need, name), getattr(self, name)) for name in names]
        return [pair for pair in pairs if pair[1] > pair[2]]


def need_of(spec: JobSpec) -> Capacity:
    """The capacity that a job occupies while it runs, over all its nodes."""
    return Capacity(spec.cpu_milli, spec.memory_bytes, spec.gpu_milli).times(spec.nodes)


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
        gpu_milli_ms=spec.gpu_milli * spec.nodes * spec.wall_s * MILLI,
        wall_ms=spec.wall_s * MILLI,
        peak_memory_bytes=spec.memory_bytes * spec.nodes,
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
