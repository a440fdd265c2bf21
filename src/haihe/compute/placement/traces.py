"""Read the Alibaba GPU trace of 2023 ("openb") and what was published on it.

Nodes and pods are CSV files of the clusterdata repository (cluster-trace-gpu-v2023); the expected
figures are ``analysis_allo_discrete.csv`` of the FGD artifact (USENIX ATC 2023): GPU allocation in
percent at each whole percent of arrived load. Some pod lists have no ``gpu_spec`` column.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

from haihe.compute.placement.model import Node, Request
from haihe.kernel.errors import InvalidField

NODE_FILE = "openb_node_list_gpu_node.csv"
POD_FILE = "openb_pod_list_{}.csv"
EXPECTED_FILE = "analysis_allo_discrete.csv"
ROWS_LIMIT = 1_000_000

# Our names of the published policies, by theirs.
PUBLISHED = {
    "01-Random": "random",
    "02-DotProd": "dot-product",
    "03-GpuClustering": "clustering",
    "04-GpuPacking": "packing",
    "05-BestFit": "best-fit",
    "06-FGD": "fgd",
}

Row = Mapping[str, str]
Published = Mapping[tuple[str, str], Mapping[int, float]]


def read_nodes(folder: Path) -> list[Node]:
    """The nodes with GPUs, in the file's order."""
    return [
        Node(
            name=row["sn"],
            cpu_milli=_whole(row, "cpu_milli"),
            memory_mib=_whole(row, "memory_mib"),
            gpus=_whole(row, "gpu"),
            gpu_model=row["model"],
        )
        for row in _rows(folder / NODE_FILE, ("sn", "cpu_milli", "memory_mib", "gpu", "model"))
    ]


def read_requests(folder: Path, name: str) -> list[Request]:
    """The requests of one pod list, in the file's order."""
    needed = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    return [_request(row) for row in _rows(folder / POD_FILE.format(name), needed)]


def read_published(folder: Path) -> Published:
    """Published allocation, in percent: by pod list and policy, then by load; mean over seeds."""
    runs: dict[tuple[str, str], list[Row]] = {}
    for row in _rows(folder / EXPECTED_FILE, ("workload", "sc_policy", "100", "130")):
        name = row["workload"].removeprefix(POD_FILE.split("{", 1)[0])
        runs.setdefault((name, PUBLISHED.get(row["sc_policy"], row["sc_policy"])), []).append(row)
    return {
        key: {load: fmean(_figure(row, str(load)) for row in rows) for load in (100, 130)}
        for key, rows in runs.items()
    }


def _request(row: Row) -> Request:
    gpus = _whole(row, "num_gpu")
    models = row.get("gpu_spec") or ""
    return Request(
        cpu_milli=_whole(row, "cpu_milli"),
        memory_mib=_whole(row, "memory_mib"),
        gpus=gpus,
        gpu_milli=_whole(row, "gpu_milli") if gpus else 0,
        models=frozenset(filter(None, models.split("|"))) if gpus else frozenset(),
    )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    if not path.is_file():
        raise InvalidField(field="trace", value=str(path), rule="give a folder with this file")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            rule = f"its header lacks {', '.join(sorted(missing))}"
            raise InvalidField(field="trace", value=str(path), rule=rule)
        for number, row in enumerate(reader):
            if number >= ROWS_LIMIT:
                rule = f"give at most {ROWS_LIMIT:,} rows"
                raise InvalidField(field="trace", value=str(path), rule=rule)
            yield row


def _whole(row: Row, column: str) -> int:
    try:
        return int(row[column])
    except (TypeError, ValueError):
        rule = "give a whole number in every row"
        raise InvalidField(field=column, value=row[column], rule=rule) from None


def _figure(row: Row, column: str) -> float:
    try:
        return float(row[column])
    except (TypeError, ValueError):
        rule = "give a number in every row"
        raise InvalidField(field=column, value=row[column], rule=rule) from None
