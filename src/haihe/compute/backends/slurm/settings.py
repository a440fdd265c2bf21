"""A Slurm pool as an agent's file describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator

from haihe.compute.backends.slurm.backend import ARRAY_LIMIT, SlurmBackend
from haihe.compute.backends.slurm.cli import CliTransport
from haihe.compute.backends.slurm.fallback import FallbackTransport
from haihe.compute.backends.slurm.records import Transport
from haihe.compute.backends.slurm.rest import RestTransport


class SlurmSettings(BaseModel, extra="forbid", frozen=True):
    """The fields of ``[pools.NAME]`` with ``backend = "slurm"``."""

    partition: str = Field(
        "",
        description="The partition; empty: as the platform has it, or the cluster's default.",
    )
    account: str = Field("", description="Slurm's account for people without one of their own.")
    qos: str = Field("", description="The quality of service for people without one of their own.")
    default_user: str = Field(
        "", description="Whom jobs of people without an account run as; empty: they do not run."
    )
    gres_types: dict[str, str] = Field({}, description="Slurm's type of a GPU by Haihe's model.")
    search_path: str = Field(
        "/usr/local/bin:/usr/bin:/bin",
        description="Where jobs, and this agent, find programs, Slurm's own among them.",
    )
    array_limit: int = Field(
        ARRAY_LIMIT, ge=2, le=100_000, description="Largest array; below MaxArraySize."
    )
    conf: Path | None = Field(None, description="slurm.conf, where the commands need to be told.")
    rest_url: str = Field(
        "",
        description="slurmrestd's address; the commands are used without it, or while it is away.",
    )
    rest_user: str = Field("root", description="Whom the token is for.")
    token_file: Path | None = Field(None, description="The file with slurmrestd's token.")

    @model_validator(mode="after")
    def _rest_needs_a_token(self) -> SlurmSettings:
        if self.rest_url and self.token_file is None:
            raise ValueError("rest_url needs a token_file")
        return self


def slurm_from(data: Mapping[str, Any], folder: Path) -> SlurmBackend:
    """The back-end that an agent's file in ``folder`` describes."""
    settings = SlurmSettings.model_validate(dict(data))
    return SlurmBackend(
        transport=_transport(settings, folder),
        partition=settings.partition,
        account=settings.account,
        qos=settings.qos,
        default_user=settings.default_user,
        gres_types=settings.gres_types,
        search_path=settings.search_path,
        array_limit=settings.array_limit,
    )


def _transport(settings: SlurmSettings, folder: Path) -> Transport:
    commands = CliTransport(path=settings.search_path, conf=settings.conf)
    if not settings.rest_url or settings.token_file is None:
        return commands
    rest = RestTransport(
        url=settings.rest_url,
        user=settings.rest_user,
        token_file=folder / settings.token_file,
        search_path=settings.search_path,
    )
    return FallbackTransport(rest, commands)
