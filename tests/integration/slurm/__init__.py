"""A real Slurm for tests, without systemd: Debian's packages, in a temporary folder, on loopback.

    python -m tests.integration.slurm up | down | packages

``up`` leaves it running and prints how to reach it; ``down`` ends it; ``packages`` prints what
Debian's apt-get must install. Tests take :func:`tests.integration.slurm.cluster.cluster`. Nothing
here needs more than the standard library, so that it works before Haihe is installed.
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
