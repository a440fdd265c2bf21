"""What an agent's folder says: which platform, which centre, and what runs each pool.

``agent.toml`` is written by ``haihe agent enrol`` and completed by the operator::

    url = "https://haihe.example.org"
    agent_id = "01a2..."
    centre = "north"
    jobs = "/shared/haihe-jobs"    # where jobs run; else in the agent's own folder

    [pools.gpu]
    backend = "slurm"
    partition = "gpu"
    gres_types = { "H200" = "nvidia_h200" }
    rest_url = "http://127.0.0.1:6820"
    token_file = "slurm.jwt"

    [pools.train]
    backend = "ray"
    url = "http://10.0.0.7:8265"

    [exporters]
    gpu = ["http://10.0.0.7:9400/metrics"]

What a pool can say is in ``SlurmSettings``, ``RaySettings`` and ``LocalSettings``, beside each
back-end. A centre that the platform's own process serves has a file of pools alone, in its folder
under ``agents`` in the platform's home.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from haihe.compute.errors import BadAgentConfig

FILE = "agent.toml"
Pools = Mapping[str, Mapping[str, Any]]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class AgentConfig:
    """An agent's folder, read."""

    folder: Path
    url: str
    agent_id: str
    centre: str
    jobs: Path
    pools: Pools
    exporters: Mapping[str, Sequence[str]]


def write_config(folder: Path, *, url: str, agent_id: str, centre: str) -> Path:
    """Write the file of an agent that has just enrolled; pools that were there stay."""
    path = folder / FILE
    kept = ""
    if path.exists():
        text = path.read_text("utf-8")
        kept = text[text.index("[") :] if "[" in text else ""
    head = f'url = "{url}"\nagent_id = "{agent_id}"\ncentre = "{centre}"\n'
    path.write_text(f"{head}\n{kept}", "utf-8")
    return path


def read_config(folder: Path) -> AgentConfig:
    """Read and check an agent's file.

    Raises
    ------
    BadAgentConfig
        If it is missing, is no TOML, or lacks a field.
    """
    path = folder / FILE
    data = _read(path)
    missing = [name for name in ("url", "agent_id", "centre") if not data.get(name)]
    if missing:
        raise BadAgentConfig(path=str(path), reason=f"{missing[0]} is missing")
    check_url(data["url"], where=str(path))
    return AgentConfig(
        folder, data["url"], data["agent_id"], data["centre"],
        folder.resolve() / str(data.get("jobs", "jobs")), _pools(data, path),
        _exporters(data, path),
    )  # fmt: skip


def read_pools(folder: Path) -> Pools:
    """What a folder's file says of pools; nothing if there is no file.

    Raises
    ------
    BadAgentConfig
        If it is no TOML, or a pool in it has no back-end.
    """
    path = folder / FILE
    return _pools(_read(path), path) if path.exists() else {}


def check_url(url: str, *, where: str) -> None:
    """Refuse to speak to a platform in the clear, but for one on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    raise BadAgentConfig(path=where, reason=f"url {url!r} is neither https nor on this machine")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadAgentConfig(path=str(path), reason=str(error)) from None


def _exporters(data: Mapping[str, Any], path: Path) -> Mapping[str, Sequence[str]]:
    exporters = data.get("exporters", {})
    is_good = isinstance(exporters, dict) and all(
        isinstance(urls, list) and all(urlsplit(str(url)).hostname for url in urls)
        for urls in exporters.values()
    )
    if not is_good:
        reason = "[exporters] gives a list of addresses to the names of pools"
        raise BadAgentConfig(path=str(path), reason=reason)
    return {pool: [str(url) for url in urls] for pool, urls in exporters.items()}


def _pools(data: Mapping[str, Any], path: Path) -> Pools:
    pools = data.get("pools", {})
    is_good = isinstance(pools, dict) and all(
        isinstance(pool, dict) and "backend" in pool for pool in pools.values()
    )
    if not is_good:
        raise BadAgentConfig(path=str(path), reason="each [pools.NAME] needs a backend")
    return dict(pools)
