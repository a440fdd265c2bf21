"""Read what Slurm's commands print. Pure: text in, records out; tolerant of versions 20 to 25."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, product

from haihe.compute.backends.slurm.records import Gres, JobRecord, NodeRecord

QUEUE_FORMAT = "%i|%j|%T|%M|%S|%e|%u|%N|%r"
ACCOUNTING_FIELDS = (
    "JobID", "JobName", "State", "ExitCode", "Start", "End", "ElapsedRaw", "TotalCPU", "MaxRSS",
    "AllocTRES", "User", "NodeList",
)  # fmt: skip
HOSTS_LIMIT = 100_000
# Slurm marks an end by the out-of-memory killer with a signal that does not exist.
_OOM_SIGNAL = 125
_NOTHING = frozenset({"", "(null)", "N/A", "NONE", "None", "None assigned", "Unknown", "n/a"})
_SUFFIXES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)[nc]?")
_DURATION = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.(\d+))?")
_HOSTS = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")


def parse_queue(text: str) -> list[JobRecord]:
    """Read ``squeue --array --format=QUEUE_FORMAT``."""
    records = []
    for line in text.splitlines():
        words = line.split("|", 8)
        if len(words) < 9:
            continue
        key, name, state, elapsed, start, end, user, nodes, reason = words
        is_pending = state == "PENDING"
        records.append(
            JobRecord(
                key=key,
                name=name,
                states=(state,),
                nodes=hosts(nodes),
                reason=reason.strip("()"),
                user=user,
                # Slurm shows a guess while a job waits, and while it runs for its end.
                started_at=None if is_pending else moment(start),
                ended_at=moment(end),
                elapsed_s=duration_ms(elapsed) // 1_000,
            )
        )
    return records


def parse_accounting(text: str) -> list[JobRecord]:
    """Read ``sacct --parsable2 --noheader --format=ACCOUNTING_FIELDS``: jobs, with their steps."""
    jobs: dict[str, JobRecord] = {}
    for line in text.splitlines():
        words = line.split("|")
        if len(words) != len(ACCOUNTING_FIELDS) or "[" in words[0]:
            continue
        key, _, step = words[0].partition(".")
        record = _accounting_row(key, words)
        if not step:
            jobs[key] = record
        elif key in jobs:
            jobs[key] = with_step(jobs[key], record)
    return list(jobs.values())


def with_step(job: JobRecord, step: JobRecord) -> JobRecord:
    """The job, with what one of its steps used.

    A job's own row has the sum of its steps' CPU time where a version adds it up: that sum comes
    first, so that the larger of both is what was used.
    """
    return replace(
        job,
        peak_memory_bytes=max(job.peak_memory_bytes, step.peak_memory_bytes),
        is_step_out_of_memory=job.is_step_out_of_memory or "OUT_OF_MEMORY" in step.states,
    )


def _accounting_row(key: str, words: Sequence[str]) -> JobRecord:
    _, name, state, code, start, end, elapsed, cpu, memory, tres, user, nodes = words
    base, _, by = state.partition(" by ")
    return JobRecord(
        key=key,
        name=name,
        states=(base.split(" ")[0],),
        nodes=hosts(nodes),
        user=user,
        started_at=moment(start),
        ended_at=moment(end),
        elapsed_s=int(elapsed) if elapsed.isdecimal() else 0,
        exit_code=exit_code(code),
        cpu_ms=duration_ms(cpu),
        peak_memory_bytes=size(memory),
        allocated=counts(tres),
        cancelled_by=by,
    )


def parse_nodes(text: str) -> list[NodeRecord]:
    """Read ``scontrol --details --oneliner show node``."""
    nodes = []
    for line in text.splitlines():
        fields = dict(
            word.split("=", 1)
            for word in re.split(r"\s+(?=[A-Z]\w*=)", line.strip())
            if "=" in word
        )
        if "NodeName" not in fields:
            continue
        cpus = fields.get("CPUEfctv") or fields.get("CPUTot", "0")
        nodes.append(
            NodeRecord(
                name=fields["NodeName"],
                states=node_states(fields.get("State", "")),
                cpus=int(cpus),
                memory_mib=int(fields.get("RealMemory", "0")),
                used_cpus=int(fields.get("CPUAlloc", "0")),
                used_memory_mib=int(fields.get("AllocMem", "0")),
                gres=gres(fields.get("Gres", "")),
                used_gres=used_gres(fields.get("GresUsed", ""), fields.get("AllocTRES", "")),
                partitions=_names(fields.get("Partitions", "")),
                reason=_given(fields.get("Reason", "")),
            )
        )
    return nodes


def parse_version(text: str) -> str:
    """Read ``scontrol show config``."""
    found = re.search(r"^SLURM_VERSION\s*=\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def parse_depth(text: str, partition: str) -> tuple[int, int]:
    """Count lines ``STATE|PARTITION,PARTITION``: waiting and running."""
    waiting = running = 0
    for line in text.splitlines():
        state, _, partitions = line.partition("|")
        if partition and partition not in partitions.split(","):
            continue
        waiting += state == "PENDING"
        running += state == "RUNNING"
    return waiting, running


# --- words that several answers share ---


def exit_code(text: str) -> int | None:
    """``3:0`` is exit code 3; ``0:15`` an end by signal 15, told as -15."""
    code, _, signal = text.partition(":")
    if not code.isdecimal():
        return None
    return exit_code_of(int(code), int(signal) if signal.isdecimal() else 0)


def exit_code_of(code: int, signal: int) -> int | None:
    """An exit code as Haihe tells it; None where Slurm's signal is no signal."""
    if signal == 0:
        return code
    return None if signal == _OOM_SIGNAL else -signal


def moment(text: str) -> datetime | None:
    """A time that Slurm printed in UTC; None for its words for no time."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def duration_ms(text: str) -> int:
    """``1-02:03:04``, ``02:03:04``, ``03:04`` or ``03:04.567`` in milliseconds; 0 if unknown."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return 0
    days, hours, minutes, seconds = (int(word or 0) for word in match.groups()[:4])
    fraction = int((match[5] or "0")[:3].ljust(3, "0"))
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000 + fraction


def size(text: str) -> int:
    """``152828K``, ``1.50G`` or ``1024`` in bytes; 0 if unknown."""
    match = _SIZE.fullmatch(text.strip())
    return round(float(match[1]) * _SUFFIXES[match[2]]) if match else 0


def counts(text: str) -> dict[str, int]:
    """``cpu=4,mem=1G,gres/gpu:h200=2`` as numbers by name; memory in bytes."""
    pairs = (word.split("=", 1) for word in text.split(",") if "=" in word)
    return {name: size(amount) for name, amount in pairs}


def gres(text: str) -> tuple[Gres, ...]:
    """``gpu:h200:2(S:0-1),shard:16`` and what versions write beside it."""
    found = []
    for word in re.sub(r"\([^)]*\)", "", text).split(","):
        parts = word.removeprefix("gres:").removeprefix("gres/").split(":")
        amount = _SIZE.fullmatch(parts[-1])
        if len(parts) < 2 or amount is None:
            continue
        kind = parts[1] if len(parts) > 2 else ""
        found.append(Gres(parts[0], kind, size(parts[-1])))
    return tuple(found)


def used_gres(shown: str, allocated: str) -> tuple[Gres, ...]:
    """What is in use of a node, from two accounts of it.

    ``AllocTRES`` has only what the accounting tracks, and version 22.05 shows one shard for any
    number in ``GresUsed``: of each resource the larger number is the true one.
    """
    totals: dict[str, int] = {}
    for item in gres(shown):
        totals[item.name] = totals.get(item.name, 0) + item.count
    for name, count in counts(allocated).items():
        kind, _, rest = name.partition("/")
        if kind == "gres" and ":" not in rest:
            totals[rest] = max(totals.get(rest, 0), count)
    return tuple(Gres(name, "", count) for name, count in totals.items())


def node_states(text: str) -> tuple[str, ...]:
    """``IDLE+DRAIN``, ``DOWN*`` (not responding) and other marks, as words."""
    words = text.upper().split("+")
    marked = [word.rstrip("*~#!%$@^-") for word in words]
    silent = ["NOT_RESPONDING"] if any(word.endswith("*") for word in words) else []
    return tuple(word for word in [*marked, *silent] if word)


def hosts(text: str) -> tuple[str, ...]:
    """``n[1-2,07],m3`` as names, at most ``HOSTS_LIMIT`` of them."""
    if text in _NOTHING:
        return ()
    return tuple(islice(_each_host(text), HOSTS_LIMIT))


def elements(text: str) -> tuple[str, ...] | None:
    """``3-5,9%2`` as numbers; None where Slurm cut the list short."""
    if "..." in text or text.startswith("0x"):
        return None
    return tuple(islice(_range(text.partition("%")[0]), HOSTS_LIMIT))


def _each_host(text: str) -> Iterable[str]:
    for word in _HOSTS.findall(text):
        pieces = re.split(r"\[([^\]]*)\]", word)
        # Pieces alternate: plain text, the inside of a bracket, plain text, ...
        choices = [_range(piece) if i % 2 else [piece] for i, piece in enumerate(pieces)]
        for chosen in product(*choices):
            yield "".join(chosen)


def _range(text: str) -> list[str]:
    numbers: list[str] = []
    for word in text.split(","):
        first, _, last = word.partition("-")
        last, _, step = (last or first).partition(":")
        if not (first.isdecimal() and last.isdecimal()):
            continue
        width = len(first)
        every = int(step) if step.isdecimal() and int(step) else 1
        stop = min(int(last), int(first) + HOSTS_LIMIT)
        numbers += [str(number).zfill(width) for number in range(int(first), stop + 1, every)]
    return numbers


def _names(text: str) -> tuple[str, ...]:
    return () if text in _NOTHING else tuple(text.split(","))


def _given(text: str) -> str:
    return "" if text in _NOTHING else text
