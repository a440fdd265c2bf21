"""Run a Slurm cluster of three nodes until interrupted; see the package's docstring."""

from __future__ import annotations

import getpass
from collections.abc import Mapping

from tests.integration import serve
from tests.integration.slurm.cluster import Cluster, cluster


def tell(running: Cluster) -> str:
    """How to reach it, for a shell."""
    return (
        f"export SLURM_CONF={running.conf}\n"
        f"# slurmrestd: {running.rest_url}; a token: scontrol token username=root"
    )


def pool(running: Cluster) -> Mapping[str, object]:
    """How an agent on this machine reaches it."""
    return {
        "backend": "slurm", "conf": running.conf, "partition": "main",
        "default_user": getpass.getuser(),
    }  # fmt: skip


if __name__ == "__main__":
    serve(cluster, tell, pool)
