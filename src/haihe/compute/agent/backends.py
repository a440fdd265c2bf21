"""Which back-ends an agent can drive, made from its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from haihe.compute.backends import Backend
from haihe.compute.backends.local import local_from
from haihe.compute.backends.ray import ray_from
from haihe.compute.backends.slurm import slurm_from
from haihe.compute.errors import BadAgentConfig

Maker = Callable[[Mapping[str, Any], Path], Backend]

BACKENDS: Mapping[str, Maker] = {"local": local_from, "ray": ray_from, "slurm": slurm_from}


def backend_from(pool: str, data: Mapping[str, Any], folder: Path) -> Backend:
    """The back-end of a pool as agent.toml describes it.

    Raises
    ------
    BadAgentConfig
        If there is no such back-end, or a field is unknown, missing or of a wrong kind.
    """
    kind = str(data.get("backend", ""))
    if kind not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise BadAgentConfig(
            path=str(folder), reason=f"pool {pool} has backend {kind!r}; give one of {known}"
        )
    fields = {name: value for name, value in data.items() if name != "backend"}
    try:
        return BACKENDS[kind](fields, folder)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("pools", pool, *map(str, first["loc"])))
        raise BadAgentConfig(path=str(folder), reason=f"{where}: {first['msg']}") from None
