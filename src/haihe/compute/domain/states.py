"""Which states a job and its attempts pass through.

States of a job::

    queued ──> starting ──> running ──> succeeded
      ^           │            ├──────> failed
      ├── again ──┴────────────┤
      │                        └──────> cancelled
      └───────────────────────────────> cancelled

A job is queued only when its funds are held. It is ``starting`` while it is at a centre and does
not run there yet: offered to the centre's agent, or in its scheduler's own queue. It goes back to
the queue if its attempt was lost, failed for a reason that was not the job's, or was withdrawn in
favour of another centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

MAX_ATTEMPTS = 3


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
    """Where one try at a job stands. A withdrawn one never ran, and does not count as a try."""

    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


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
    WITHDRAWN = "withdrawn"
    DEADLINE = "deadline"


class Withdrawal(StrEnum):
    """Why the platform asked for an attempt back before it started."""

    MOVE = "move"  # another pool is better for the job
    CLOSED = "closed"  # the pool takes no jobs any more
    LATE = "late"  # it could not end by its deadline any more
    SILENT = "silent"  # the centre's agent was not heard of


NOT_THE_JOBS_FAULT = (EndReason.LOST, EndReason.NODE_FAILED, EndReason.ENDED_BY_CENTRE)
