"""What the Slurm back-end makes of a queue and an accounting that do not agree yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from haihe.compute.backends import Handle, RunState, RunStatus
from haihe.compute.backends.slurm import SlurmBackend
from haihe.compute.backends.slurm.folder import Ticket, mark_cancelled, write_ticket
from haihe.compute.backends.slurm.outcome import UNNAMED
from haihe.compute.backends.slurm.records import JobRecord
from haihe.compute.domain import EndReason

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENDED = JobRecord(
    key="7", name="haihe-a", states=("COMPLETED",), nodes=("n1", "n2"), started_at=NOON,
    ended_at=NOON + timedelta(seconds=9), elapsed_s=9, exit_code=0, cpu_ms=5_000,
    allocated={"cpu": 2},
)  # fmt: skip


@dataclass
class Told:
    """A transport that says what it is given; nothing else is asked of it."""

    in_queue: Sequence[JobRecord]
    in_accounting: Sequence[JobRecord]

    def queue(self, _job_ids: Sequence[str]) -> Sequence[JobRecord]:
        return self.in_queue

    def accounting(self, _job_ids: Sequence[str]) -> Sequence[JobRecord]:
        return self.in_accounting


def status(
    folder: Path,
    queue: Sequence[JobRecord],
    accounting: Sequence[JobRecord],
    *,
    missing_since_s: float = 0,
) -> RunStatus:
    ticket = Ticket(name="haihe-a", asked_at_s=0, job="7", missing_since_s=missing_since_s)
    write_ticket(folder, ticket)
    backend = SlurmBackend(transport=Told(queue, accounting))  # type: ignore[arg-type]
    return backend.status([Handle(attempt_id="a", folder=folder)])["a"]


def test_a_short_job_is_metered_before_its_record_has_a_name(tmp_path: Path) -> None:
    unnamed = replace(ENDED, name=UNNAMED, nodes=("n1",))
    end = status(tmp_path, [ENDED], [unnamed])
    assert (end.state, end.exit_code, end.nodes) == (RunState.ENDED, 0, ("n1", "n2"))
    assert end.usage is not None
    assert (end.usage.wall_ms, end.usage.cpu_ms) == (9_000, 5_000)


@pytest.mark.parametrize(
    ("changes", "queue"),
    [
        ({"started_at": NOON + timedelta(seconds=1)}, [ENDED]),
        ({"ended_at": None}, [ENDED]),
        ({"allocated": {}}, [ENDED]),
        ({"name": "somebody-elses"}, [ENDED]),
        ({}, []),
        ({}, [replace(ENDED, name="somebody-elses")]),
    ],
)
def test_an_end_is_not_believed_until_both_parts_of_slurm_tell_the_same(
    tmp_path: Path, changes: dict[str, Any], queue: Sequence[JobRecord]
) -> None:
    unnamed = replace(ENDED, **{"name": UNNAMED, **changes})
    assert status(tmp_path, queue, [unnamed]).state is RunState.RUNNING
    (tmp_path / "slurm.json").unlink()
    assert status(tmp_path, queue, [ENDED]).state is RunState.ENDED


def test_what_never_ran_need_not_be_metered_and_what_ran_is_awaited(tmp_path: Path) -> None:
    a_minute_ago = time.time() - 60
    ran = replace(ENDED, states=("CANCELLED",))
    assert status(tmp_path, [ran], [], missing_since_s=a_minute_ago).state is RunState.RUNNING
    waited = replace(ran, nodes=(), started_at=None)
    assert status(tmp_path, [waited], []).state is RunState.RUNNING, "it may come yet"
    mark_cancelled(tmp_path)
    end = status(tmp_path, [waited], [], missing_since_s=a_minute_ago)
    assert (end.state, end.reason, end.usage) == (RunState.ENDED, EndReason.CANCELLED, None)
