"""Reader of the openb trace: pods and nodes of a GPU cluster (Alibaba, cluster-trace-gpu-v2023).

A pod list is a CSV with ``name, cpu_milli, memory_mib, num_gpu, gpu_milli`` and, in the lists that
can be replayed, ``gpu_spec`` (the models that the pod takes, separated by ``|``), ``qos``,
``creation_time``, ``scheduled_time`` and ``deletion_time`` in seconds. The wait that the trace saw
is from creation to scheduling, the run time from scheduling to deletion. Pods that were never
scheduled are left out, and counted.

The trace names no people; the class of service (``qos``) stands for the organisation. It has no
limits on run times either: as in a log without requests, schedulers know the run time exactly.

A node list is a CSV with ``sn, cpu_milli, memory_mib, gpu, model``; nodes that are alike become
one pool.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from haihe.compute.domain import MILLI
from haihe.compute.simulation.errors import BadTrace, NoTrace, TraceTooLarge
from haihe.compute.simulation.network import MAX_POOLS, ModelledCentre, ModelledPool, Network
from haihe.compute.simulation.workload import MAX_JOBS, MAX_MODELS, UNKNOWN, Workload, make_workload

MIB_PER_GIB = 1_024
MIB = 1 << 20
MAX_VALUE = 10**12
MAX_FIELD_CHARACTERS = 1_000
POD_AMOUNTS = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
POD_TIMES = ("creation_time", "scheduled_time", "deletion_time")
NODE_AMOUNTS = ("cpu_milli", "memory_mib", "gpu")
NODE_LISTS = ("openb_node_list_all_node.csv", "openb_node_list_gpu_node.csv")

Row = tuple[int, dict[str, str]]


def read_pods(path: Path) -> Workload:
    """The pods of a list, as jobs.

    Raises
    ------
    NoTrace
        If the file cannot be read.
    BadTrace
        If a column is missing or a value is no whole number; the error has its line.
    """
    jobs: dict[str, list[int]] = {name: [] for name in ("submit", "start", "run", "cpu", "memory")}
    jobs |= {"gpu": [], "models": [], "organisation": []}
    models: dict[str, int] = {}
    classes: dict[str, int] = {}
    notes: Counter[str] = Counter()
    for line, row in _rows(path, (*POD_AMOUNTS, *POD_TIMES)):
        if not row["scheduled_time"] or not row["deletion_time"]:
            notes["never_ran"] += 1
            continue
        values = {name: _whole(path, line, row, name) for name in (*POD_AMOUNTS, *POD_TIMES)}
        if not values["creation_time"] <= values["scheduled_time"] <= values["deletion_time"]:
            raise BadTrace(path=str(path), line=line, rule="has times that run backwards")
        jobs["submit"].append(values["creation_time"])
        jobs["start"].append(values["scheduled_time"])
        jobs["run"].append(values["deletion_time"] - values["scheduled_time"])
        jobs["cpu"].append(values["cpu_milli"])
        jobs["memory"].append(values["memory_mib"] * MIB)
        jobs["gpu"].append(values["num_gpu"] * values["gpu_milli"])
        jobs["models"].append(_bits(path, line, row.get("gpu_spec") or "", models))
        service = row.get("qos") or ""
        jobs["organisation"].append(
            classes.setdefault(service, len(classes)) if service else UNKNOWN
        )
        if len(jobs["submit"]) > MAX_JOBS:
            raise TraceTooLarge(path=str(path), limit=MAX_JOBS, unit="pods")
    if not jobs["submit"]:
        raise BadTrace(path=str(path), line=1, rule="is followed by no pod that was scheduled")
    return make_workload(
        name=path.name,
        submit_s=jobs["submit"],
        run_s=jobs["run"],
        cpu_milli=jobs["cpu"],
        memory_bytes=jobs["memory"],
        gpu_milli=jobs["gpu"],
        organisation=jobs["organisation"],
        models=jobs["models"],
        model_names=tuple(models),
        observed_wait_s=np.subtract(jobs["start"], jobs["submit"]),
        notes={**notes, "no_request": len(jobs["submit"])},
    )


def read_nodes(path: Path) -> Network:
    """The nodes of a list, as one centre with a pool for each kind of node. Errors: as above."""
    kinds: Counter[tuple[int, int, int, str]] = Counter()
    for line, row in _rows(path, (*NODE_AMOUNTS, "model")):
        cpu, memory, gpus = (_whole(path, line, row, name) for name in NODE_AMOUNTS)
        kinds[cpu, memory, gpus, row["model"]] += 1
    if not kinds or len(kinds) > MAX_POOLS:
        rule = f"is followed by {len(kinds)} kinds of node; 1 to {MAX_POOLS} can be modelled"
        raise BadTrace(path=str(path), line=1, rule=rule)
    pools = [
        ModelledPool(
            slug=f"{(model or 'cpu').lower()}-{number}",
            nodes=count,
            cpu=cpu / MILLI,
            memory_gib=memory / MIB_PER_GIB,
            gpus=gpus,
            model=model,
        )
        for number, ((cpu, memory, gpus, model), count) in enumerate(sorted(kinds.items()), 1)
    ]
    return Network(centre=(ModelledCentre(slug="openb", pool=tuple(pools)),))


def nodes_beside(path: Path) -> Path:
    """The node list that lies beside a pod list.

    Raises
    ------
    NoTrace
        If there is none.
    """
    for name in NODE_LISTS:
        if (path.parent / name).is_file():
            return path.parent / name
    reason = f"a pod list needs {NODE_LISTS[0]} beside it, or a network of its own"
    raise NoTrace(path=str(path.parent / NODE_LISTS[0]), reason=reason)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            csv.field_size_limit(MAX_FIELD_CHARACTERS)
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                rule = f"has no column {missing[0]}; only lists with times can be replayed"
                raise BadTrace(path=str(path), line=1, rule=rule)
            for row in reader:
                if None in row or None in row.values():
                    rule = f"has not the {len(reader.fieldnames or ())} columns of the first line"
                    raise BadTrace(path=str(path), line=reader.line_num, rule=rule)
                yield reader.line_num, row
    except csv.Error as error:
        raise BadTrace(path=str(path), line=reader.line_num, rule=f"is no CSV: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NoTrace(path=str(path), reason=reason) from None


def _whole(path: Path, line: int, row: Mapping[str, str], column: str) -> int:
    text = row[column]
    if not text.isascii() or not text.isdecimal() or int(text) > MAX_VALUE:
        rule = f"has {text[:20]!r} in column {column}; it must be a whole number"
        raise BadTrace(path=str(path), line=line, rule=rule)
    return int(text)


def _bits(path: Path, line: int, spec: str, models: dict[str, int]) -> int:
    bits = 0
    for name in filter(None, spec.split("|")):
        if name not in models and len(models) == MAX_MODELS:
            rule = f"names a model beyond the {MAX_MODELS} that can be told apart"
            raise BadTrace(path=str(path), line=line, rule=rule)
        bits |= 1 << models.setdefault(name, len(models))
    return bits
