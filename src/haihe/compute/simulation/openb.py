"""The openb trace as a workload and a network (Alibaba, cluster-trace-gpu-v2023).

Amounts and nodes come from :mod:`haihe.compute.placement.traces`; here are the times, which packing
does not need and only some of the lists have: ``creation_time``, ``scheduled_time`` and
``deletion_time``, in seconds. The wait that the trace saw is from creation to scheduling, the run
time from scheduling to deletion. Pods that were never scheduled are left out, and counted.

The trace names no people; the class of service (``qos``) stands for the organisation. It has no
limits on run times either: as in a log without requests, schedulers know the run time exactly.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from haihe.compute.domain import MILLI
from haihe.compute.placement.model import Request
from haihe.compute.placement.traces import NODE_FILE, POD_FILE, read_nodes, read_requests
from haihe.compute.simulation.errors import BadTrace, NoTrace
from haihe.compute.simulation.network import MIB_PER_GIB, ModelledCentre, ModelledPool, Network
from haihe.compute.simulation.workload import MAX_MODELS, UNKNOWN, Workload, make_workload
from haihe.kernel.errors import InvalidField

MIB = 1 << 20
MAX_TIME_S = 10**12
TIMES = ("creation_time", "scheduled_time", "deletion_time")
PREFIX, SUFFIX = POD_FILE.split("{}")

Row = tuple[int, dict[str, str]]


def read_pods(path: Path) -> Workload:
    """The pods of a list (``openb_pod_list_*.csv``), as jobs.

    Raises
    ------
    NoTrace
        If there is no such file.
    InvalidField
        If it is named otherwise, lacks a column, or has an amount that is out of its range.
    BadTrace
        If a time is no whole number or runs backwards; the error has its line.
    """
    if not path.is_file():
        raise NoTrace(path=str(path), reason="there is no such file")
    if not (path.name.startswith(PREFIX) and path.name.endswith(SUFFIX)):
        rule = f"an openb pod list is called {PREFIX}NAME{SUFFIX}; other logs are SWF"
        raise InvalidField(field="trace", value=str(path), rule=rule)
    requests = read_requests(path.parent, path.name.removeprefix(PREFIX).removesuffix(SUFFIX))
    models = sorted({model for request in requests for model in request.models})
    if len(models) > MAX_MODELS:
        rule = f"name at most {MAX_MODELS} GPU models"
        raise InvalidField(field="gpu_spec", value=len(models), rule=rule)
    chosen: list[Request] = []
    times: list[list[int]] = []
    service: list[str] = []
    for request, (line, row) in zip(requests, _rows(path), strict=True):
        if row["scheduled_time"] and row["deletion_time"]:
            chosen.append(request)
            times.append(_times(path, line, row))
            service.append(row.get("qos") or "")
    if not chosen:
        raise BadTrace(path=str(path), line=1, rule="is followed by no pod that was scheduled")
    submit, start, end = np.array(times).T
    classes = {name: code for code, name in enumerate(sorted(set(service)))}
    return make_workload(
        name=path.name,
        submit_s=submit,
        run_s=end - start,
        cpu_milli=[request.cpu_milli for request in chosen],
        memory_bytes=[request.memory_mib * MIB for request in chosen],
        gpu_milli=[request.gpus * request.gpu_milli for request in chosen],
        organisation=[classes[name] if name else UNKNOWN for name in service],
        models=[sum(1 << models.index(model) for model in request.models) for request in chosen],
        model_names=tuple(models),
        observed_wait_s=start - submit,
        notes={"never_ran": len(requests) - len(chosen), "no_request": len(chosen)},
    )


def nodes_beside(path: Path) -> Network:
    """The nodes of the list that lies beside a pod list, a pool for each kind of node.

    Raises
    ------
    InvalidField
        If there is no such list, or it is wrong.
    """
    if not (path.parent / NODE_FILE).is_file():
        rule = "name a --network, or put the trace's node list there"
        raise InvalidField(field="trace", value=str(path.parent / NODE_FILE), rule=rule)
    kinds = Counter(
        (node.gpu_model, node.cpu_milli, node.memory_mib, node.gpus)
        for node in read_nodes(path.parent)
    )
    pools = [
        ModelledPool(
            slug=f"{(model or 'cpu').lower()}-{number}",
            nodes=count,
            cpu=cpu / MILLI,
            memory_gib=memory / MIB_PER_GIB,
            gpus=gpus,
            model=model,
        )
        for number, ((model, cpu, memory, gpus), count) in enumerate(sorted(kinds.items()), 1)
    ]
    return Network(centre=(ModelledCentre(slug="openb", pool=tuple(pools)),))


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in TIMES if name not in (reader.fieldnames or ())]
        if missing:
            rule = f"has no column {missing[0]}; only lists with times can be replayed"
            raise BadTrace(path=str(path), line=1, rule=rule)
        for row in reader:
            yield reader.line_num, row


def _times(path: Path, line: int, row: dict[str, str]) -> list[int]:
    """Creation, scheduling and deletion."""
    times = []
    for column in TIMES:
        text = row[column] or ""
        if not text.isascii() or not text.isdecimal() or int(text[:20]) > MAX_TIME_S:
            rule = f"has {text[:20]!r} in column {column}; it must be a whole number"
            raise BadTrace(path=str(path), line=line, rule=rule)
        times.append(int(text))
    if times != sorted(times):
        raise BadTrace(path=str(path), line=line, rule="has times that run backwards")
    return times
