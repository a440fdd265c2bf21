"""A real Slurm for tests, without systemd: Debian's packages, in a temporary folder, on loopback.

    python -m tests.integration.slurm

runs it until it is interrupted, and prints how to reach it. Tests take
:func:`tests.integration.slurm.cluster.cluster`. ``PACKAGES`` is what apt-get must install.
"""

from __future__ import annotations

PACKAGES = (
    "mariadb-server",
    "munge",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurm-wlm-jwt-plugin",
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "slurmrestd",
)
INSTALL = f"apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
