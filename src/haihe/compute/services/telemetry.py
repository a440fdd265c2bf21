"""What agents report of their pools, kept so that a week can be read in a moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from haihe.compute.agent.messages import PoolFault, PoolItem
from haihe.compute.models import Centre, Node, Pool, Sample
from haihe.kernel.clock import now

SPAN_S = 60
_NODE_FIELDS = (
    "condition", "reason", "cpu_milli", "memory_bytes", "gpus", "gpu_model",
    "used_cpu_milli", "used_memory_bytes", "used_gpu_milli", "reported_at",
)  # fmt: skip


def keep_pool_reports(
    centre: Centre, items: Iterable[PoolItem], faults: Iterable[PoolFault]
) -> None:
    """In the open unit of work: the present state of nodes, and a sample of each metric."""
    told = {item.pool: item for item in items}
    wrong = {fault.pool: fault.fault for fault in faults}
    if not told and not wrong:
        return
    for pool in Pool.objects.filter(centre=centre, slug__in={*told, *wrong}):
        fault = wrong.get(pool.slug, "")
        item = told.get(pool.slug)
        if item is not None:
            _keep_nodes(pool, item)
            _keep_samples(pool, metrics_of(item))
            pool.version, pool.reported_at = item.version, now() - timedelta(seconds=item.age_s)
            pool.pending, pool.running = item.pending, item.running
        if item is not None or pool.fault != fault:
            pool.fault = fault
            pool.save(update_fields=["fault", "version", "reported_at", "pending", "running"])


def metrics_of(item: PoolItem) -> dict[str, float]:
    """The metrics of a report: shares in 0..1, counts, and what the agent measured besides."""
    cpu = sum(node.cpu_milli for node in item.nodes)
    memory = sum(node.memory_bytes for node in item.nodes)
    gpu = sum(node.gpus for node in item.nodes) * 1_000
    return {
        "cpu": sum(node.used_cpu_milli for node in item.nodes) / cpu if cpu else 0.0,
        "memory": sum(node.used_memory_bytes for node in item.nodes) / memory if memory else 0.0,
        "gpu": sum(node.used_gpu_milli for node in item.nodes) / gpu if gpu else 0.0,
        "nodes_up": float(sum(node.condition == "up" for node in item.nodes)),
        "pending": float(item.pending),
        "running": float(item.running),
        **item.metrics,
    }


def _keep_nodes(pool: Pool, item: PoolItem) -> None:
    at = now() - timedelta(seconds=item.age_s)
    Node.objects.bulk_create(
        [Node(pool=pool, reported_at=at, **node.model_dump()) for node in item.nodes],
        update_conflicts=True,
        unique_fields=["pool", "name"],
        update_fields=_NODE_FIELDS,
    )
    pool.nodes.exclude(name__in=[node.name for node in item.nodes]).delete()


def _keep_samples(pool: Pool, metrics: dict[str, float]) -> None:
    """Add to the present minute's samples."""
    second = int(now().timestamp())
    at = datetime.fromtimestamp(second - second % SPAN_S, UTC)
    there = {
        sample.metric: sample for sample in Sample.objects.filter(pool=pool, span_s=SPAN_S, at=at)
    }
    fresh = []
    for metric, value in metrics.items():
        sample = there.get(metric)
        if sample is None:
            fresh.append(
                Sample(
                    pool=pool,
                    metric=metric,
                    span_s=SPAN_S,
                    at=at,
                    mean=value,
                    low=value,
                    high=value,
                )
            )
            continue
        sample.mean = (sample.mean * sample.count + value) / (sample.count + 1)
        sample.low, sample.high = min(sample.low, value), max(sample.high, value)
        sample.count += 1
    Sample.objects.bulk_create(fresh)
    Sample.objects.bulk_update(
        [sample for metric, sample in there.items() if metric in metrics],
        ["mean", "low", "high", "count"],
    )
