"""Back-ends: what runs a job's attempt. One protocol; local processes are the embedded default.

Nothing here knows Django: a back-end is given an order and answers what became of it. Its own
records (a folder, a scheduler's accounting) are the truth about a run; Haihe's database is the
truth about everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from haihe.compute.domain import EndReason, Usage


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """One attempt, ready to run: its folder holds ``inputs`` and receives ``outputs``."""

    attempt_id: str
    job_id: str
    folder: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    cpu_milli: int
    cpu_limit_s: int
    memory_bytes: int
    wall_s: int
    output_bytes: int


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What the back-end knows of an attempt.

    ``state`` is ``running``, ``ended`` (then ``reason``, ``exit_code`` and ``usage`` are there) or
    ``lost``: it was started, has no result, and nothing of it runs any more.
    """

    state: str
    reason: EndReason | None = None
    exit_code: int | None = None
    usage: Usage | None = None
    message: str = ""


@dataclass(frozen=True)
class LogChunk:
    """A piece of a log and the byte offset at which the next one begins."""

    text: str
    next_offset: int


class Backend(Protocol):
    """What every kind of pool can do. All calls may be repeated without harm."""

    def submit(self, order: WorkOrder) -> None:
        """Start the attempt, unless it was started before: then do nothing."""

    def status(self, folder: Path) -> RunStatus:
        """What became of the attempt."""

    def cancel(self, folder: Path) -> None:
        """Ask for the attempt's end; it comes as status ``ended`` with reason ``cancelled``."""

    def log(self, folder: Path, *, offset: int, limit: int) -> LogChunk:
        """What the attempt printed, from byte ``offset`` on; from the end, if it is negative.

        A character of which only the first bytes are there yet is left for the next call.
        """
