"""Talk to Slurm through slurmrestd, and through its commands while that is away.

Both speak with the same slurmctld and accounting, so that either may answer any question. Only a
submission that cannot have reached slurmrestd is made with the commands: any other may have been
taken, and is looked for by its name first.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog

from haihe.compute.backends.slurm.records import (
    JobRecord,
    NodeRecord,
    NotSent,
    Submission,
    Transport,
)
from haihe.compute.errors import BackendUnavailable

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FallbackTransport:
    """``first`` while it answers, else ``second``; if neither does, what the first one said."""

    first: Transport
    second: Transport

    def submit(self, submission: Submission) -> str:
        """Hand it over by the second way, if the first has certainly not taken it."""
        try:
            return self.first.submit(submission)
        except NotSent:
            if not _may_act_as(submission.user):
                raise
        return self.second.submit(submission)

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        """Jobs by name."""
        return self._ask(lambda way: way.find(names, since=since))

    def queue(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Jobs by number, in the queue."""
        return self._ask(lambda way: way.queue(job_ids))

    def accounting(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Jobs by number, in the accounting."""
        return self._ask(lambda way: way.accounting(job_ids))

    def cancel(self, keys: Sequence[str]) -> None:
        """End jobs and elements."""
        self._ask(lambda way: way.cancel(keys))

    def nodes(self) -> list[NodeRecord]:
        """All nodes."""
        return self._ask(lambda way: way.nodes())

    def depth(self, partition: str) -> tuple[int, int]:
        """How many jobs wait and run."""
        return self._ask(lambda way: way.depth(partition))

    def version(self) -> str:
        """Slurm's version."""
        return self._ask(lambda way: way.version())

    def _ask(self, question: Callable[[Transport], Answer]) -> Answer:
        try:
            return question(self.first)
        except BackendUnavailable as away:
            try:
                answer = question(self.second)
            except BackendUnavailable:
                raise away from None
            log.warning("slurm.by_commands", reason=away.reason)
            return answer


def _may_act_as(user: str) -> bool:
    """Whether Slurm's commands let this process submit as ``user``: root may as everybody."""
    return os.geteuid() == 0 or user in ("", getpass.getuser())
