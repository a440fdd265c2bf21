"""The wheel holds all that Haihe needs away from its checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "haihe"
NOT_SHIPPED = {".pyc", ".po"}
READ_WHAT_THE_DEMO_READS = """
import django
django.setup()
from haihe.cli import demo_ground as demo
from haihe.programme.domain.plans import plan_from
from haihe.programme.domain.vouchers import rules_from
from haihe.programme.services.plans import file_in, read_toml
plan = file_in("plans", f"{demo.PLAN}.toml")
rules = file_in("schemes", "beijing-2023.toml")
print(demo.__file__, plan, rules, sep="\\n")
plan_from(read_toml(plan)[0])
rules_from(read_toml(rules)[0])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installation has it."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".tools" / "bin"))
    if uv is None:
        pytest.skip("needs uv: make .tools/bin/uv")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True
    )
    (wheel,) = folder.glob("haihe-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_package_is_in(installed: Path) -> None:
    wanted = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in NOT_SHIPPED
    }
    assert wanted - set(_files(installed / "haihe")) == set()
    assert "locale/zh_Hans/LC_MESSAGES/django.mo" in wanted
    assert any(name.startswith("portal/static/vendor/tabler/") for name in wanted)


@pytest.mark.parametrize("folder", ["plans", "schemes"])
def test_the_plans_and_rules_of_the_checkout_are_in(installed: Path, folder: str) -> None:
    wanted = {f"programme/{folder}/{name}" for name in _files(ROOT / folder)}
    assert wanted
    assert wanted - set(_files(installed / "haihe")) == set()


def test_the_demo_finds_its_plan_and_its_rules(installed: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "HAIHE_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", READ_WHAT_THE_DEMO_READS],
        cwd=tmp_path,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(installed), line


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
