"""``haihe bench``: measure, side by side with a peer or a bound in the same run.

Each benchmark runs in a process of its own on a home of its own, so that it neither sees nor
touches the installation's data.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Annotated, Any

import psutil
import typer

from haihe.cli import postgres
from haihe.cli.bench_packs import Benches
from haihe.cli.bench_placement import placement
from haihe.kernel.terminal import AsJson, print_json, show_record

Quick = Annotated[
    bool, typer.Option("--quick", help="Tiny sizes: shows that it runs; its figures say nothing.")
]

app = typer.Typer(cls=Benches, help="Measure what the documentation claims.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Measure what the documentation claims."""


@app.command("core")
def core(quick: Quick = False, as_json: AsJson = False) -> None:
    """Ledger, evidence, authorisation, job list and home page."""
    size = size_of(quick=quick)
    result = {"machine": machine(), **run_apart("all", size)}
    if postgres.binaries() is None:
        result["ledger"]["postgres_per_s"] = None
        result["ledger"]["postgres_missing"] = postgres.INSTALL
    else:
        with postgres.server(fast=False) as url:
            result["ledger"]["postgres_per_s"] = run_apart("postgres", size, database_url=url)[
                "per_s"
            ]
    if as_json:
        print_json(result)
        return
    for part, figures in result.items():
        show_record({part: "", **figures}, as_json=False)


@app.command("dispatch")
def dispatch(
    centres: Annotated[int, typer.Option(min=1, max=1_000, help="Centres, of one pool each.")] = 20,
    queued: Annotated[int, typer.Option(min=1, max=100_000, help="Jobs that wait.")] = 10_000,
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """A whole queue of jobs planned over all centres at once, and one by one."""
    result = run_apart(
        str(centres), str(queued), size_of(quick=quick), module="haihe.cli.bench_dispatch"
    )
    if as_json:
        print_json(result)
    else:
        show_record(result, as_json=False)


app.command("placement")(placement)


def size_of(*, quick: bool) -> str:
    """How a benchmark's module is told how much to measure."""
    return "quick" if quick else "full"


def machine() -> dict[str, Any]:
    """Where figures were measured: they compare only with others of the same machine."""
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def run_apart(
    *arguments: str, module: str = "haihe.cli.bench_core", database_url: str = ""
) -> dict[str, Any]:
    """Run a benchmark's module in a process and home of its own."""
    with tempfile.TemporaryDirectory(prefix="haihe-bench-") as home:
        environment: Mapping[str, str] = {
            **os.environ,
            "HAIHE_HOME": home,
            "HAIHE_DATABASE_URL": database_url,
            "HAIHE_LOG_LEVEL": "error",
        }
        done = subprocess.run(  # noqa: S603 (our own module)
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result
