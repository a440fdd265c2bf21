"""A new pack is complete: its own tests pass, and nothing of the template shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from haihe.kernel.errors import InvalidField
from haihe.packs.errors import FolderNotEmpty
from haihe.packs.scaffold import scaffold


def test_a_new_packs_own_tests_pass(tmp_path: Path) -> None:
    root = scaffold("crane_watch", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    root = scaffold("crane_watch", tmp_path)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert (root / "crane_watch" / "pack.toml") in files
    assert not [path for path in files if path.suffix == ".tmpl" or "$" in path.read_text("utf-8")]


@pytest.mark.parametrize(
    "name",
    ["", "Crane", "crane-watch", "../crane", "crane__watch", "1crane", "class", "json", "a" * 61],
)
def test_a_name_that_no_pack_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidField):
        scaffold(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "crane_watch").mkdir()
    scaffold("crane_watch", tmp_path)
    with pytest.raises(FolderNotEmpty):
        scaffold("crane_watch", tmp_path)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FolderNotEmpty):
        scaffold("taken", tmp_path)
