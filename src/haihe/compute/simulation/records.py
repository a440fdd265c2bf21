"""The platform's own records as a workload and as a network: the one file here that knows Django.

Who may run what is public nowhere, so history is for those who look after the platform or audit it;
pools and their prices are for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Max, Min

from haihe.compute.domain import FINAL, GIB, MILLI
from haihe.compute.models import Job, Node, Offer, Pool
from haihe.compute.services.centres import list_centres, offers_at
from haihe.compute.simulation.errors import NoHistory
from haihe.compute.simulation.network import ModelledCentre, ModelledPool, Network
from haihe.compute.simulation.workload import (
    MAX_MODELS,
    NO_DEADLINE_S,
    Workload,
    make_workload,
)
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField
from haihe.kernel.money import MICRO
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize

PLATFORM = Resource("Platform", "platform")
MAX_HISTORY_JOBS = 1_000_000
CHUNK_ROWS = 5_000
COLUMNS = (
    "pk", "created_at", "began_at", "ended_at", "deadline_at", "organisation_id", "created_by_id",
    "reservation__wall_s", "reservation__cpu_milli", "reservation__memory_bytes",
    "reservation__gpu_milli", "quote__spec_data__accelerator",
)  # fmt: skip


def read_history(principal: Principal, *, since: datetime | None = None) -> Workload:
    """The finished jobs that ran, the newest where there are too many to replay.

    A job that was tried more than once counts from the first start to the last end. The limit is
    the wall time that it was given.

    Raises
    ------
    NotAllowed
        If the caller neither operates nor audits the platform.
    NoHistory
        If no job has run.
    InvalidField
        If the jobs name more accelerators than can be told apart.
    """
    authorize(principal, "system.read", PLATFORM)
    jobs = Job.objects.filter(state__in=FINAL)
    if since is not None:
        jobs = jobs.filter(created_at__gte=since)
    ended = jobs.count()
    newest = (
        jobs.annotate(began_at=Min("attempts__started_at"), ended_at=Max("attempts__finished_at"))
        .filter(began_at__isnull=False, ended_at__isnull=False, reservation__isnull=False)
        .order_by("-pk")
        .values(*COLUMNS)[:MAX_HISTORY_JOBS]
    )
    rows = list(newest.iterator(chunk_size=CHUNK_ROWS))
    if not rows:
        raise NoHistory(ended=ended)
    return _workload(rows, never_ran=ended - len(rows))


def read_platform(principal: Principal) -> Network:
    """The platform's open pools at their present prices.

    A pool whose nodes were reported and are alike is modelled as these nodes; any other as one node
    for each card, or as one node where it has none.

    Raises
    ------
    InvalidField
        If no pool is open.
    """
    centres = list(list_centres(principal).filter(is_open=True).order_by("slug"))
    pools = [pool for centre in centres for pool in centre.pools.all() if pool.is_open]
    if not pools:
        raise InvalidField(field="network", value="", rule="open a pool first, or name a network")
    offers = offers_at(pools, now())
    nodes: dict[UUID, list[Node]] = {pool.pk: [] for pool in pools}
    for node in Node.objects.filter(pool__in=pools):
        nodes[node.pool_id].append(node)
    return Network(
        centre=tuple(
            ModelledCentre(
                slug=centre.slug,
                carbon_g_per_kwh=centre.carbon_g_per_kwh or 0,
                pool=tuple(_modelled(pool, nodes[pool.pk], offers.get(pool.pk)) for pool in open_),
            )
            for centre in centres
            if (open_ := [pool for pool in centre.pools.all() if pool.is_open])
        )
    )


def _workload(rows: Sequence[dict[str, Any]], *, never_ran: int) -> Workload:
    first = min(row["created_at"] for row in rows)

    def seconds(name: str) -> list[float]:
        return [(row[name] - first).total_seconds() for row in rows]

    def amounts(name: str) -> list[int]:
        return [row[f"reservation__{name}"] for row in rows]

    submit_s, began_s, ended_s = (seconds(name) for name in COLUMNS[1:4])
    wishes = [row["quote__spec_data__accelerator"] or "" for row in rows]
    models = sorted(set(filter(None, wishes)))
    if len(models) > MAX_MODELS:
        rule = f"at most {MAX_MODELS} can be told apart; name a shorter time"
        raise InvalidField(field="accelerator", value=len(models), rule=rule)
    return make_workload(
        name="history",
        submit_s=submit_s,
        run_s=[max(end - begin, 0.0) for begin, end in zip(began_s, ended_s, strict=True)],
        requested_s=amounts("wall_s"),
        cpu_milli=amounts("cpu_milli"),
        memory_bytes=amounts("memory_bytes"),
        gpu_milli=amounts("gpu_milli"),
        user=_codes([row["created_by_id"] for row in rows]),
        organisation=_codes([row["organisation_id"] for row in rows]),
        deadline_s=[
            (row["deadline_at"] - first).total_seconds() if row["deadline_at"] else NO_DEADLINE_S
            for row in rows
        ],
        models=[1 << models.index(wish) if wish else 0 for wish in wishes],
        model_names=tuple(models),
        observed_wait_s=[
            max(begin - submit, 0.0) for submit, begin in zip(submit_s, began_s, strict=True)
        ],
        label=[str(row["pk"]) for row in rows],
        notes={"never_ran": never_ran} if never_ran else {},
    )


def _codes(keys: Sequence[UUID]) -> list[int]:
    """A number for each key, in the order of the keys, so that the same history replays alike."""
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [numbers[key] for key in keys]


def _modelled(pool: Pool, nodes: Sequence[Node], offer: Offer | None) -> ModelledPool:
    kinds = {(node.cpu_milli, node.memory_bytes, node.gpus) for node in nodes}
    if len(kinds) == 1:
        count = len(nodes)
        [(cpu_milli, memory_bytes, gpus)] = kinds
        gpu_milli = gpus * MILLI
    else:
        count = max(1, pool.gpu_milli // MILLI)
        # Rounded up, so that what the whole pool can hold the model can hold too.
        cpu_milli, memory_bytes = -(-pool.cpu_milli // count), -(-pool.memory_bytes // count)
        gpu_milli = -(-pool.gpu_milli // count)
    price = offer.price if offer else None
    return ModelledPool(
        slug=pool.slug,
        nodes=count,
        cpu=cpu_milli / MILLI,
        memory_gib=memory_bytes / GIB,
        gpus=gpu_milli / MILLI,
        model=pool.gpu_model,
        cpu_hour_cny=Decimal(price.cpu_hour_micro if price else 0) / MICRO,
        gpu_hour_cny=Decimal(price.gpu_hour_micro if price else 0) / MICRO,
        idle_w=(pool.watts_idle or 0) / count,
        busy_w=(pool.watts_busy or 0) / count,
    )
