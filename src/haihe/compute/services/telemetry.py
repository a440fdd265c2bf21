"""What agents report of their pools, kept so that a week can be read in a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import structlog

from haihe.compute.agent.messages import PoolFault, PoolItem, SampleItem, metrics_of
from haihe.compute.domain.telemetry import KEPT, SPAN_S, Point, condense, span_of
from haihe.compute.models import Centre, Node, Pool, Sample
from haihe.kernel.clock import now
from haihe.kernel.work import unit_of_work

log = structlog.get_logger(__name__)
_NODE_FIELDS = (
    "condition", "reason", "cpu_milli", "memory_bytes", "gpus", "gpu_model",
    "used_cpu_milli", "used_memory_bytes", "used_gpu_milli", "reported_at",
)  # fmt: skip


def keep_pool_reports(
    centre: Centre,
    items: Iterable[PoolItem],
    faults: Iterable[PoolFault],
    earlier: Iterable[SampleItem] = (),
) -> None:
    """In the open unit of work: the present state of nodes, and a sample of each metric.

    ``earlier`` are samples of a time when the agent could not reach the platform: each belongs to
    the minute that its age says, and changes nothing of the present.
    """
    _keep_earlier(centre, earlier)
    told = {item.pool: item for item in items}
    wrong = {fault.pool: fault.fault for fault in faults}
    if not told and not wrong:
        return
    pools = list(Pool.objects.filter(centre=centre, slug__in={*told, *wrong}))
    for name in sorted({*told, *wrong} - {pool.slug for pool in pools}):
        log.warning("telemetry.unknown_pool", centre=centre.slug, pool=name)
    for pool in pools:
        fault = wrong.get(pool.slug, "")
        item = told.get(pool.slug)
        if item is not None:
            _keep_nodes(pool, item)
            _keep_samples(pool, metrics_of(item), now() - timedelta(seconds=item.age_s))
            pool.version, pool.reported_at = item.version, now() - timedelta(seconds=item.age_s)
            pool.pending, pool.running = item.pending, item.running
        if item is not None or pool.fault != fault:
            pool.fault = fault
            pool.save(update_fields=["fault", "version", "reported_at", "pending", "running"])


def _keep_nodes(pool: Pool, item: PoolItem) -> None:
    at = now() - timedelta(seconds=item.age_s)
    Node.objects.bulk_create(
        [Node(pool=pool, reported_at=at, **node.model_dump()) for node in item.nodes],
        update_conflicts=True,
        unique_fields=["pool", "name"],
        update_fields=_NODE_FIELDS,
    )
    pool.nodes.exclude(name__in=[node.name for node in item.nodes]).delete()


def _keep_earlier(centre: Centre, items: Iterable[SampleItem]) -> None:
    told = list(items)
    pools = {pool.slug: pool for pool in Pool.objects.filter(centre=centre)} if told else {}
    for item in told:
        if item.pool in pools:
            at = now() - timedelta(seconds=item.age_s)
            _keep_samples(pools[item.pool], item.metrics, at)


def _keep_samples(pool: Pool, metrics: Mapping[str, float], moment: datetime) -> None:
    """Add to the samples of the minute in which ``moment`` lies."""
    at = span_of(moment, SPAN_S)
    there = {
        sample.metric: sample for sample in Sample.objects.filter(pool=pool, span_s=SPAN_S, at=at)
    }
    for metric, value in metrics.items():
        old = there.get(metric)
        points = [Point(at, value, value, value)] + ([old.point] if old is not None else [])
        [there[metric]] = (_sample(pool.pk, metric, SPAN_S, p) for p in condense(points, SPAN_S))
    _write([there[metric] for metric in metrics])


def thin_out(at: datetime) -> str:
    """Put samples that have grown old into longer spans, and drop the oldest.

    Each step is one transaction, so that a reading is in one span, whatever happens.
    """
    gone = 0
    for (span_s, kept), (longer_s, _) in pairwise(KEPT):
        old = Sample.objects.filter(span_s=span_s, at__lt=span_of(at - kept, longer_s))
        for pool, metric in list(old.values_list("pool", "metric").distinct()):
            with unit_of_work():
                rows = old.select_for_update().filter(pool=pool, metric=metric)
                points = [row.point for row in rows]
                longer = Sample.objects.filter(pool=pool, metric=metric, span_s=longer_s)
                since = span_of(min(point.at for point in points), longer_s) if points else at
                points += [row.point for row in longer.filter(at__gte=since)]
                _write([_sample(pool, metric, longer_s, p) for p in condense(points, longer_s)])
                gone += rows.delete()[0]
    span_s, kept = KEPT[-1]
    gone += Sample.objects.filter(span_s=span_s, at__lt=at - kept).delete()[0]
    return f"{gone} samples thinned out"


def _sample(pool_id: UUID, metric: str, span_s: int, point: Point) -> Sample:
    return Sample(pool_id=pool_id, metric=metric, span_s=span_s, **asdict(point))


def _write(samples: list[Sample]) -> None:
    Sample.objects.bulk_create(
        samples,
        update_conflicts=True,
        unique_fields=["pool", "metric", "span_s", "at"],
        update_fields=["mean", "low", "high", "count"],
    )
