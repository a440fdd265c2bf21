"""Which back-ends an agent can drive, made from its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from haihe.compute.backends import Backend
from haihe.compute.backends.local import LocalBackend
from haihe.compute.errors import BadAgentConfig

Maker = Callable[[Mapping[str, Any], Path], Backend]


def _local(data: Mapping[str, Any], folder: Path) -> Backend:
    """Processes of this machine, confined unless the file says otherwise."""
    return LocalBackend(home=folder.resolve(), isolate=bool(data.get("isolate", True)))


BACKENDS: Mapping[str, Maker] = {"local": _local}


def backend_from(pool: str, data: Mapping[str, Any], folder: Path) -> Backend:
    """The back-end of a pool as agent.toml describes it."""
    kind = str(data.get("backend", ""))
    if kind not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise BadAgentConfig(
            path=str(folder), reason=f"pool {pool} has backend {kind!r}; give one of {known}"
        )
    return BACKENDS[kind](data, folder)
