"""Commands of the test cluster; see the package's docstring."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.integration import NotInstalled
from tests.integration.slurm import PACKAGES
from tests.integration.slurm import __doc__ as usage
from tests.integration.slurm.cluster import load, new

FOLDER = Path(tempfile.gettempdir()) / f"haihe-slurm-{os.getuid()}"


def up() -> None:
    """Start the cluster unless it runs, and print how to reach it."""
    running = load(FOLDER)
    if running is None:
        running = new(FOLDER)
        try:
            running.start()
        except BaseException:
            running.stop()
            raise
    print(f"export SLURM_CONF={running.environment['SLURM_CONF']}")
    print(f"# slurmrestd: {running.rest_url}; a token: scontrol token username=root")


def down() -> None:
    """End the cluster, if one runs."""
    running = load(FOLDER)
    if running is not None:
        running.stop()
    shutil.rmtree(FOLDER, ignore_errors=True)


def main(arguments: list[str]) -> None:
    """Run one command."""
    commands = {"up": up, "down": down, "packages": lambda: print(*PACKAGES)}
    if len(arguments) != 1 or arguments[0] not in commands:
        raise SystemExit(usage)
    try:
        commands[arguments[0]]()
    except NotInstalled as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
