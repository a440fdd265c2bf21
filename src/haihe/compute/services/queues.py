"""When a job would start in each pool: the queue model, fed with what waits and what has started.

What a job was told when it was submitted is kept with it. When it starts, how long it waited
becomes one record more, and the next answers of that pool are corrected by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, FloatField, Sum
from django.db.models.functions import Cast

from haihe.compute.domain import Capacity
from haihe.compute.models import Job, Pool, Reservation, StartRecord
from haihe.compute.services.facts import PoolNow
from haihe.compute.simulation.waiting import (
    ExpectedStart,
    Outlook,
    Projection,
    QueueModel,
    QueueState,
)

REMEMBERED = 2_000
MIB = 1 << 20
Amounts = tuple[int, int, int]  # milli-CPUs, MiB, milli-GPUs


def outlooks(
    seen: Sequence[PoolNow], need: Capacity, run_s: float
) -> Mapping[UUID, tuple[Outlook, ExpectedStart]]:
    """For each pool, by its id: what is projected for a job, and what the past makes of it."""
    ahead = _work_ahead([one.pool for one in seen])
    models = _models([one.pool for one in seen])
    found = {}
    for one in seen:
        state = QueueState.of(
            capacity=_amounts(one.pool.capacity),
            running=[(left_s, _amounts(held)) for left_s, held in one.running],
            ahead=[(1.0, ahead[one.pool.pk])] if one.pool.pk in ahead else [],
        )
        outlook = Projection(state).outlook(_amounts(need), run_s=run_s)
        model = models.get(one.pool.pk)
        found[one.pool.pk] = (outlook, (model or QueueModel()).corrected(outlook))
    return found


def outlook_as_dict(pool: Pool, outlook: Outlook) -> dict[str, Any]:
    """What a job keeps of what it was told."""
    return {
        "pool": str(pool.pk),
        "projected_s": outlook.projected_s,
        "kinds": [list(kind) for kind in outlook.kinds],
    }


def learn_start(job: Job, pool_id: UUID, started_at: datetime) -> None:
    """In the open unit of work: a job has started where it was told it would."""
    told = job.outlook
    if told is None or told["pool"] != str(pool_id):
        return
    waited_s = max(0.0, (started_at - job.created_at).total_seconds())
    StartRecord.objects.create(
        pool_id=pool_id, projected_s=told["projected_s"], kinds=told["kinds"], waited_s=waited_s
    )


def _models(pools: Sequence[Pool]) -> dict[UUID, QueueModel]:
    """A model for each pool, of its last starts."""
    models: dict[UUID, QueueModel] = defaultdict(QueueModel)
    for pool in pools:
        rows = StartRecord.objects.filter(pool=pool).order_by("-pk")[:REMEMBERED]
        for row in reversed(rows):
            kinds = tuple(tuple(kind) for kind in row.kinds)
            models[pool.pk].learn(Outlook(projected_s=row.projected_s, kinds=kinds), row.waited_s)
    return models


def _work_ahead(pools: Sequence[Pool]) -> dict[UUID, Amounts]:
    """What waits for each pool, in amounts times seconds: all that a projection asks of it."""
    waiting = Reservation.objects.filter(pool__in=pools, placed_at=None, released_at=None)

    def work(name: str) -> Sum:
        return Sum(Cast(F(name), FloatField()) * F("wall_s"))

    rows = waiting.values("pool").annotate(
        cpu=work("cpu_milli"), memory=work("memory_bytes"), gpu=work("gpu_milli")
    )
    return {
        row["pool"]: (round(row["cpu"]), round(row["memory"] / MIB), round(row["gpu"]))
        for row in rows
    }


def _amounts(capacity: Capacity) -> Amounts:
    return capacity.cpu_milli, -(-capacity.memory_bytes // MIB), capacity.gpu_milli
