"""Slurm, from version 20 to 25: through its commands, or through slurmrestd."""

from __future__ import annotations

from haihe.compute.backends.slurm.backend import SlurmBackend
from haihe.compute.backends.slurm.cli import CliTransport
from haihe.compute.backends.slurm.rest import RestTransport
from haihe.compute.backends.slurm.settings import slurm_from

__all__ = ["CliTransport", "RestTransport", "SlurmBackend", "slurm_from"]
