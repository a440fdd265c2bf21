"""Slurm's resources in Haihe's words: GPUs and parts of one to ask for, nodes to report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from haihe.compute.backends import NodeCondition, NodeReport
from haihe.compute.backends.slurm.records import Gres, NodeRecord, Refusal

MIB = 2**20
WHOLE_MILLI = 1_000
# The generic resources by which a cluster cuts a GPU into parts, the one preferred first.
PART_NAMES = ("shard", "mps")
_DOWN = frozenset({"DOWN", "ERROR", "FAIL", "FAILING", "NOT_RESPONDING", "UNKNOWN"})
_DRAINING = frozenset({"DRAIN", "DRAINED", "DRAINING", "MAINT", "REBOOT", "REBOOT_ISSUED"})


def whole_gres(gpu_milli: int, kind: str) -> str:
    """Whole GPUs, of a type if one is named."""
    typed = f":{kind}" if kind else ""
    return f"gpu{typed}:{gpu_milli // WHOLE_MILLI}"


def part_gres(gpu_milli: int, kind: str, nodes: Sequence[NodeRecord]) -> tuple[str, int]:
    """A part of one GPU, and into how many parts this cluster cuts one at most.

    Parts have no type of their own in all versions: a type can be had only where every node that
    cuts GPUs has that one. Where nodes cut differently, enough is asked for on any of them.

    Raises
    ------
    Refusal
        If the cluster cannot give that, with what it could.
    """
    if gpu_milli > WHOLE_MILLI:
        raise Refusal(f"Slurm gives whole GPUs or a part of one, not {gpu_milli / WHOLE_MILLI:g}")
    for name in PART_NAMES:
        cutting = [node for node in nodes if _count(node.gres, name)]
        if not cutting:
            continue
        kinds = {item.type for node in cutting for item in node.gres if item.name == "gpu"}
        if kind and kinds != {kind}:
            raise Refusal(
                f"parts of GPUs are here of {', '.join(sorted(kinds)) or 'no type'}; "
                f"a part of one {kind} cannot be asked for"
            )
        per_gpu = max(
            _count(node.gres, name) // max(1, _count(node.gres, "gpu")) for node in cutting
        )
        return f"{name}:{-(-gpu_milli * per_gpu // WHOLE_MILLI)}", per_gpu
    raise Refusal(
        f"this cluster cuts no GPUs into parts (it has no gres/shard or gres/mps); ask for whole "
        f"ones instead of {gpu_milli / WHOLE_MILLI:g}"
    )


def node_report(node: NodeRecord, models: Mapping[str, str]) -> NodeReport:
    """A node in Haihe's words. ``models`` gives Haihe's name of a GPU for Slurm's type."""
    gpus, kind, used_gpu_milli = _gpus_of(node)
    condition = NodeCondition.UP
    if not _DRAINING.isdisjoint(node.states):
        condition = NodeCondition.DRAINING
    if not _DOWN.isdisjoint(node.states):
        condition = NodeCondition.DOWN
    return NodeReport(
        name=node.name,
        condition=condition,
        cpu_milli=node.cpus * 1_000,
        memory_bytes=node.memory_mib * MIB,
        gpus=gpus,
        gpu_model=models.get(kind, kind),
        used_cpu_milli=node.used_cpus * 1_000,
        used_memory_bytes=node.used_memory_mib * MIB,
        used_gpu_milli=used_gpu_milli,
        reason=node.reason,
    )


def _gpus_of(node: NodeRecord) -> tuple[int, str, int]:
    """A node's GPUs, the type most of them are of, and the milli-GPUs in use."""
    whole = _count(node.gres, "gpu")
    gpus = [item for item in node.gres if item.name == "gpu"]
    kind = max(gpus, key=lambda item: item.count).type if gpus else ""
    used = _count(node.used_gres, "gpu") * WHOLE_MILLI
    for name in PART_NAMES:
        parts = _count(node.gres, name)
        if parts:
            used += _count(node.used_gres, name) * whole * WHOLE_MILLI // parts
    return whole, kind, min(used, whole * WHOLE_MILLI)


def _count(items: Sequence[Gres], name: str) -> int:
    return sum(item.count for item in items if item.name == name)
