"""What a manifest says of services, the check that holds it to that, and where one sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from haihe.packs.checks import CHECKS, Status, Subject, run_check
from haihe.packs.discovery import PackSource, find_pack, pack_in_folder
from haihe.packs.domain import parse_manifest
from haihe.packs.errors import ManifestInvalid, ManifestUnknownKeys
from haihe.packs.serving import note_failure
from tests.callers import haihe
from tests.packs.serving.conftest import DECLARED, PACK, SERVICE, Installed, make_pack

MODULE = f"{PACK}/talking.py"


def checked(source: PackSource, folder: Path) -> tuple[Status, str]:
    result = run_check(Subject(source, inputs=None, folder=folder), CHECKS["service.answers"])
    return result.status, result.reason


def test_a_manifest_names_services_with_entry_and_title(installed: Installed) -> None:
    rule = installed.source.manifest().services[SERVICE]
    assert rule.entry == f"{PACK}.talking:make"
    assert rule.title.zh == "会话服务"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (".talking:make", ".talking", ManifestInvalid),
        (f"services.{SERVICE}", "services.Station", ManifestInvalid),
        (f"services.{SERVICE}", 'services."../x"', ManifestInvalid),
        ("title", "restart = true\ntitle", ManifestUnknownKeys),
        ("title = {", "# title = {", ManifestInvalid),
    ],
)
def test_a_service_that_breaks_a_rule_is_refused(
    installed: Installed, old: str, new: str, error: type[Exception]
) -> None:
    text = (installed.source.folder / "pack.toml").read_text("utf-8")
    plain = text.removesuffix(DECLARED)
    assert plain != text
    with pytest.raises(error):
        parse_manifest(plain + DECLARED.replace(old, new))
    many = "".join(DECLARED.replace(SERVICE, f"service_{number}") for number in range(9))
    with pytest.raises(ManifestInvalid):
        parse_manifest(plain + many)


def test_a_pack_without_services_passes(source: PackSource, tmp_path: Path) -> None:
    assert checked(source, tmp_path) == (Status.PASSED, "it runs no services")


def test_a_service_that_starts_answers_and_ends_passes(tmp_path: Path) -> None:
    source = pack_in_folder(make_pack(tmp_path))
    assert checked(source, tmp_path) == (Status.PASSED, "1 services")


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda text: "raise ImportError('no such amplifier')\n", "no such amplifier"),
        (lambda text: text.replace("def make(", "def other("), "has no attribute 'make'"),
        (lambda text: text.replace('"start")', '"start")\n        raise OSError("no port")'),
         "no port"),
    ],
    ids=["import", "entry", "start"],
)  # fmt: skip
def test_a_service_that_does_not_start_fails_and_says_why(
    tmp_path: Path, bend: Callable[[str], str], reason: str
) -> None:
    root = make_pack(tmp_path)
    (root / MODULE).write_text(bend((root / MODULE).read_text()))
    status, said = checked(pack_in_folder(root), tmp_path)
    assert status is Status.FAILED
    assert reason in said


def test_a_service_that_heeds_no_sigterm_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKING", "deaf")
    status, said = checked(pack_in_folder(make_pack(tmp_path)), tmp_path)
    assert status is Status.FAILED
    assert "runs on" in said


def test_services_have_texts_in_both_languages(tmp_path: Path) -> None:
    root = make_pack(tmp_path)
    manifest = root / PACK / "pack.toml"
    manifest.write_text(manifest.read_text("utf-8").replace("会话服务", "Station"), "utf-8")
    subject = Subject(find_pack(str(root)), inputs=None, folder=tmp_path)
    result = run_check(subject, CHECKS["manifest.translated"])
    assert (result.status, f"manifest.services.{SERVICE}" in result.reason) == (
        Status.FAILED, True,
    )  # fmt: skip


@pytest.mark.django_db
def test_lists_say_how_services_are(installed: Installed) -> None:
    note_failure(installed.context, "RuntimeError: no amplifier is connected")
    listed = json.loads(haihe("packs", "list", "--json").output)["items"]
    [told] = next(item for item in listed if item["name"] == PACK)["services"]
    assert (told["service"], told["state"], told["since"]) == (
        f"{PACK}.{SERVICE}", "stopped", None,
    )  # fmt: skip
    assert "no amplifier" in told["failure"]
    assert f"{SERVICE} stopped" in haihe("packs", "list").output
    shown = haihe("packs", "show", PACK).output
    assert f"{SERVICE}: stopped" in shown
    assert "no amplifier is connected" in shown
