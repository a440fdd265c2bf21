"""What an agent's folder says: which platform, which centre, and what runs each pool.

``agent.toml`` is written by ``haihe agent enrol`` and completed by the operator::

    url = "https://haihe.example.org"
    agent_id = "01a2..."
    centre = "north"

    [pools.gpu]
    backend = "slurm"
    partition = "gpu"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from haihe.compute.errors import BadAgentConfig

FILE = "agent.toml"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class AgentConfig:
    """An agent's folder, read."""

    folder: Path
    url: str
    agent_id: str
    centre: str
    pools: Mapping[str, Mapping[str, Any]]


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
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadAgentConfig(path=str(path), reason=str(error)) from None
    missing = [name for name in ("url", "agent_id", "centre") if not data.get(name)]
    if missing:
        raise BadAgentConfig(path=str(path), reason=f"{missing[0]} is missing")
    pools = data.get("pools", {})
    if not isinstance(pools, dict) or any("backend" not in pool for pool in pools.values()):
        raise BadAgentConfig(path=str(path), reason="each [pools.NAME] needs a backend")
    check_url(data["url"], where=str(path))
    return AgentConfig(folder, data["url"], data["agent_id"], data["centre"], pools)


def check_url(url: str, *, where: str) -> None:
    """Refuse to speak to a platform in the clear, but for one on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    raise BadAgentConfig(path=where, reason=f"url {url!r} is neither https nor on this machine")
