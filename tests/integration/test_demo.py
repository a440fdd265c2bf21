"""The demonstration over three kinds of centre, as the README's reader runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration import NotInstalled
from tests.integration.ray import cluster as ray
from tests.integration.slurm import cluster as slurm

pytestmark = pytest.mark.integration


def test_one_plans_work_runs_over_three_kinds_of_centre(tmp_path: Path) -> None:
    try:
        slurm.check_installed()
        ray.check_installed()
    except NotInstalled as error:
        pytest.skip(str(error))
    command = [str(Path(sys.executable).with_name("haihe")), "demo", "--with", "slurm,ray"]
    environment = {
        **os.environ,
        "HAIHE_HOME": str(tmp_path),
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    done = subprocess.run(
        [*command, "--json"], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["settlement"]["balanced"]
    ran = {job["objective"]: job for job in facts["network"]}
    assert {name: job["backend"] for name, job in ran.items()} == {
        "cheapest": "slurm",
        "soonest": "local",
        "greenest": "ray",
    }
    assert {job["backend"]: job["measured_by"] for job in ran.values()} == {
        "slurm": "slurm accounting",
        "local": "local",
        "ray": "supervisor on ray",
    }
    for job in ran.values():
        assert job["state"] == "succeeded"
        assert job["amount_micro"] > 0
        assert len(job["comparison"]["verdicts"]) == 3
        assert job["log"].startswith("mean radius 14.1273")
