"""Packs are found and read without running their code, and loaded only if they fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from haihe.packs.discovery import find_pack, installed_packs, pack_in_folder
from haihe.packs.errors import ManifestInvalid, PackNotFound, PackNotLoadable
from haihe.packs.scaffold import scaffold


def in_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sdk_and_a_manifest_need_neither_django_nor_numbers() -> None:
    in_new_process(
        "import sys, haihe.packs\n"
        "for name in ('django', 'numpy', 'polars', 'scipy', 'sklearn'):\n"
        "    assert name not in sys.modules, name\n"
    )


def test_the_runner_and_the_checks_never_import_django() -> None:
    in_new_process(
        "import sys, haihe.packs.runner, haihe.packs.checks, haihe.packs.scaffold\n"
        "assert 'django' not in sys.modules\n"
    )


def test_an_installed_pack_is_read_without_importing_it() -> None:
    pytest.importorskip("tumour_triage", reason="uv pip install -e packs/tumour_triage")
    in_new_process(
        "import sys\n"
        "from haihe.packs.discovery import find_pack, installed_packs\n"
        "source = find_pack('tumour_triage')\n"
        "assert source.manifest().name == 'tumour_triage'\n"
        "assert 'tumour_triage' in [pack.name for pack in installed_packs()]\n"
        "assert 'tumour_triage' not in sys.modules\n"
        "assert source.licence == 'Apache-2.0' and source.has_licence_file\n"
        "assert 'not a medical device' in source.readme\n"
    )


def test_a_folder_is_read_without_importing_it(tmp_path: Path) -> None:
    root = scaffold("unread_pack", tmp_path)
    (root / "unread_pack" / "pack.py").write_text("raise SystemExit('was run')")
    (root / "unread_pack" / "__init__.py").write_text("raise SystemExit('was run')")
    source = find_pack(str(root))
    assert source.manifest().name == "unread_pack"
    assert "unread_pack" not in sys.modules


def test_an_unknown_name_is_not_found(tmp_path: Path) -> None:
    for name in ("no_such_pack", str(tmp_path)):
        with pytest.raises(PackNotFound):
            find_pack(name)
    assert isinstance(installed_packs(), list)


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("raise ValueError('broken')", "broken"),
        ("import no_such_library", "no_such_library"),
        ("class Other: ...", "no attribute"),
        ("class {pack}: ...", "it has no prepare, run, evaluate, explain"),
    ],
)
def test_code_that_cannot_be_used_is_refused(
    tmp_path: Path, code: str, match: str, request: pytest.FixtureRequest
) -> None:
    name = f"broken_{abs(hash(request.node.name))}"
    root = scaffold(name, tmp_path)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    (root / name / "pack.py").write_text(code.replace("{pack}", class_name))
    with pytest.raises(PackNotLoadable, match=match):
        pack_in_folder(root).load()


def test_other_code_of_the_same_name_is_refused(tmp_path: Path) -> None:
    scaffold("twin_pack", tmp_path / "a")
    scaffold("twin_pack", tmp_path / "b")
    pack_in_folder(tmp_path / "a" / "twin_pack").load()
    with pytest.raises(PackNotLoadable, match="comes from"):
        pack_in_folder(tmp_path / "b" / "twin_pack").load()


@pytest.mark.parametrize(
    "project",
    [
        "",
        "[project",
        '[project]\nversion = "1"\nlicense = "MIT"\n[project.entry-points.other]\na = "a:A"\n',
        '[project]\nversion="1"\nlicense="MIT"\n[project.entry-points."haihe.packs"]\na="a:A"\n',
    ],
)
def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path, project: str) -> None:
    (tmp_path / "pyproject.toml").write_text(project)
    with pytest.raises(PackNotLoadable):
        pack_in_folder(tmp_path)


def test_a_manifest_that_is_no_text_or_too_long_is_refused(tmp_path: Path) -> None:
    root = scaffold("long_pack", tmp_path)
    source = pack_in_folder(root)
    for content in (b"\xff\xfe", b"#" * 1_000_001):
        (root / "long_pack" / "pack.toml").write_bytes(content)
        with pytest.raises(ManifestInvalid):
            source.manifest()
    (root / "long_pack" / "pack.toml").unlink()
    with pytest.raises(ManifestInvalid):
        source.manifest()


def test_the_hash_changes_with_any_code(tmp_path: Path) -> None:
    root = scaffold("hashed_pack", tmp_path)
    source = pack_in_folder(root)
    before = source.sha256()
    assert source.sha256() == before
    with (root / "hashed_pack" / "data.py").open("a") as file:
        file.write("\n")
    assert source.sha256() != before
