"""Reader of the Standard Workload Format, in which the archives publish logs of machines.

Version 2.2 of the format (D. Feitelson's Parallel Workloads Archive): one job per line, 18 numbers
separated by blanks, a missing value is -1, a line that begins with ``;`` is a comment, and comments
at the top name the machine (``; MaxProcs: 1024``). Times may have fractions. The file may be
compressed with gzip.

What a replay makes of the odd cases, each counted in the workload's ``notes``:

``partial``           status 2, 3 or 4: a piece of a job that another line sums up; left out
``never_ran``         a run time below 0, or cancelled (status 5) with one of 0: left out, for it
                      never held a processor. A job cancelled while it ran stays, as it ran.
``no_size``           neither allocated nor requested processors: left out
``no_submission``     a submit time below 0: left out
``zero_run``          a run time of 0: stays, and holds its processors for no time
``no_request``        no requested time: the run time takes its place, as is usual; the schedulers
                      then know the run time exactly
``raised_request``    requested less time than it used (the machine was lenient): the run time takes
                      its place, so that the same work is done and a promise made by it holds
``out_of_order``      submitted before the line above: sorted
``no_user``           no user: such jobs count as one person's, of an organisation without a name

A job's size is the larger of allocated and requested processors: what it kept from others.
The organisation is the group (column 13), or the user where the log has no groups.
"""

from __future__ import annotations

import gzip
import re
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from haihe.compute.simulation.errors import BadTrace, NoTrace, TraceTooLarge
from haihe.compute.simulation.workload import (
    MAX_JOBS,
    MILLI,
    UNKNOWN,
    Floats,
    Workload,
    make_workload,
)

COLUMNS = 18
MAX_LINE_BYTES = 10_000
MAX_HEADER_LINES = 10_000
MAX_PROCS = 1_000_000_000
MAX_VALUE = 1e12
PARTIAL_STATUSES = (2, 3, 4)
CANCELLED = 5
_GZIP = b"\x1f\x8b"
_HEADER = re.compile(rb";\s*(\w+)\s*:\s*(\d+)")
# Columns of the format that a replay needs, counted from 0.
NUMBER, SUBMIT, WAIT, RUN, ALLOCATED, REQUESTED_PROCS, REQUESTED_TIME = 0, 1, 2, 3, 4, 7, 8
STATUS, USER, GROUP = 10, 11, 12


@dataclass(frozen=True, kw_only=True)
class SwfLog:
    """A log: its jobs, the size of its machine, and how that size was found."""

    workload: Workload
    procs: int
    procs_from: str
    header: Mapping[str, int]


def read_swf(path: Path) -> SwfLog:
    """Read a log, plain or compressed.

    Raises
    ------
    NoTrace
        If the file cannot be opened or is no whole gzip file.
    BadTrace
        If a line is not 18 numbers; the error has its number. Also if there is no job at all.
    TraceTooLarge
        If there are more than :data:`~haihe.compute.simulation.workload.MAX_JOBS` jobs.
    """
    values, lines, header = array("d"), array("q"), dict[str, int]()
    for number, line in _lines(path):
        fields = line.split()
        if not fields:
            continue
        if fields[0].startswith(b";"):
            found = _HEADER.match(line.strip()) if len(header) < MAX_HEADER_LINES else None
            if found:
                header.setdefault(found[1].decode(), int(found[2]))
            continue
        if len(fields) != COLUMNS:
            rule = f"has {len(fields)} columns; the format has {COLUMNS}"
            raise BadTrace(path=str(path), line=number, rule=rule)
        try:
            values.extend(map(float, fields))
        except ValueError:
            raise BadTrace(path=str(path), line=number, rule=_not_a_number(fields)) from None
        lines.append(number)
        if len(lines) > MAX_JOBS:
            raise TraceTooLarge(path=str(path), limit=MAX_JOBS, unit="jobs")
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, COLUMNS)
    bad = np.flatnonzero(~(np.abs(table) <= MAX_VALUE).all(axis=1))
    if bad.size:
        rule = f"has a value that is not finite, or beyond {MAX_VALUE:g}"
        raise BadTrace(path=str(path), line=lines[int(bad[0])], rule=rule)
    workload = _workload(path, table)
    if not len(workload):
        rule = f"is the last one, and none of {len(lines)} jobs can be replayed"
        raise BadTrace(path=str(path), line=lines[-1] if lines else 1, rule=rule)
    procs, procs_from = _machine(workload, header)
    return SwfLog(workload=workload, procs=procs, procs_from=procs_from, header=header)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with _opened(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                rule = f"is longer than {MAX_LINE_BYTES} bytes; is this a text file?"
                raise BadTrace(path=str(path), line=number, rule=rule)
            yield number, line


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as plain:
            packed = plain.peek(2).startswith(_GZIP)
            if not packed:
                yield plain
                return
            with gzip.open(plain) as unpacked:
                yield cast(BinaryIO, unpacked)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NoTrace(path=str(path), reason=reason) from None


def _not_a_number(fields: list[bytes]) -> str:
    for column, field in enumerate(fields, start=1):
        try:
            float(field)
        except ValueError:
            return f"has {field[:20].decode('utf-8', 'replace')!r} in column {column}, no number"
    raise AssertionError("called for a line whose fields are numbers")


def _workload(path: Path, table: Floats) -> Workload:
    run, status = table[:, RUN], table[:, STATUS]
    procs = np.maximum(table[:, ALLOCATED], table[:, REQUESTED_PROCS])
    partial = np.isin(status, PARTIAL_STATUSES)
    never_ran = ~partial & ((run < 0) | ((status == CANCELLED) & (run == 0)))
    no_size = ~partial & ~never_ran & ((procs < 1) | (procs > MAX_PROCS))
    no_submission = ~partial & ~never_ran & ~no_size & (table[:, SUBMIT] < 0)
    kept = table[~(partial | never_ran | no_size | no_submission)]
    run, requested = kept[:, RUN], kept[:, REQUESTED_TIME]
    user, group = (_codes(kept[:, column]) for column in (USER, GROUP))
    notes = {
        "partial": partial.sum(),
        "never_ran": never_ran.sum(),
        "no_size": no_size.sum(),
        "no_submission": no_submission.sum(),
        "zero_run": (run == 0).sum(),
        "no_request": (requested <= 0).sum(),
        "raised_request": ((requested > 0) & (requested < run)).sum(),
        "out_of_order": (np.diff(kept[:, SUBMIT]) < 0).sum(),
        "no_user": (user == UNKNOWN).sum(),
    }
    size = np.maximum(kept[:, ALLOCATED], kept[:, REQUESTED_PROCS])
    return make_workload(
        name=path.name,
        submit_s=kept[:, SUBMIT],
        run_s=run,
        requested_s=requested,
        cpu_milli=size.astype(np.int64) * MILLI,
        user=user,
        organisation=group if (group != UNKNOWN).any() else user,
        observed_wait_s=np.where(kept[:, WAIT] >= 0, kept[:, WAIT], np.nan),
        label=kept[:, NUMBER].astype(np.int64),
        notes={name: int(count) for name, count in notes.items() if count},
    )


def _codes(column: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.where(column >= 0, column, UNKNOWN).astype(np.int64)


def _machine(workload: Workload, header: Mapping[str, int]) -> tuple[int, str]:
    """The processors of the machine, from the best of what the log tells."""
    size = workload.cpu_milli // MILLI
    if 0 < header.get("MaxProcs", 0) <= MAX_PROCS:
        return header["MaxProcs"], "header MaxProcs"
    # Nodes are processors only where no job is larger than the number of nodes.
    if size.max() <= header.get("MaxNodes", 0) <= MAX_PROCS:
        return header["MaxNodes"], "header MaxNodes"
    known = ~np.isnan(workload.observed_wait_s)
    if known.all():
        return max(_peak(workload, size), int(size.max())), "most in use at once in the log"
    return int(size.max()), "largest job of the log"


def _peak(workload: Workload, size: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int:
    start_s = workload.submit_s + workload.observed_wait_s
    at_s = np.concatenate([start_s, start_s + workload.run_s])
    change = np.concatenate([size, -size])
    order = np.lexsort((change, at_s))  # ends before starts at the same second
    return int(np.cumsum(change[order]).max(initial=0))
