"""Packs and evaluations on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from haihe.compute.models import Job
from haihe.kernel.errors import InvalidField, WrongState
from haihe.kernel.terminal import NO_CONSENT, exit_code_of
from haihe.packs import cli, local
from haihe.packs.discovery import PackSource
from haihe.packs.errors import FolderNotEmpty, NoSampleData, PackNotFound
from haihe.packs.models import Evaluation, PackCheck
from haihe.policy.errors import NotAllowed, PersonNeeded
from tests.callers import haihe, said
from tests.packs.conftest import NAME
from tests.packs.platform.conftest import Lab
from tests.packs.platform.test_services import report

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no table wraps."""
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def small(source: PackSource, cases: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample data of a size that a test has time for."""
    monkeypatch.setattr(local, "sample_inputs", lambda found: {"cases": cases})


def test_packs_are_listed_and_shown(lab: Lab) -> None:
    [listed] = said(haihe("packs", "list", "--json"))["items"]
    assert (listed["name"], listed["tier"]) == (NAME, None)
    shown = haihe("packs", "show", NAME).output
    assert "disclaimer" in shown
    assert said(haihe("packs", "show", NAME, "--json"))["manifest"]["name"] == NAME
    missing = haihe("packs", "show", "other").exception
    assert isinstance(missing, PackNotFound)
    assert exit_code_of(missing) == 4


def test_a_new_pack_is_written_and_never_over_another(tmp_path: Path) -> None:
    made = said(haihe("packs", "new", "my_pack", "--folder", tmp_path, "--yes", "--json"))
    assert (tmp_path / "my_pack" / "my_pack" / "pack.toml").is_file()
    assert made["folder"] == str(tmp_path / "my_pack")
    again = haihe("packs", "new", "my_pack", "--folder", tmp_path, "--yes").exception
    assert isinstance(again, FolderNotEmpty)
    assert isinstance(haihe("packs", "new", "My-Pack", "--yes").exception, InvalidField)


@pytest.mark.usefixtures("small")
def test_checks_say_what_passed_and_can_be_kept(lab: Lab, pack_folder: Path) -> None:
    told = haihe("packs", "check", pack_folder, "--json")
    result = said(told)
    assert {item["status"] for item in result["checks"]} <= {"passed", "failed"}
    assert result["conforms"] == (told.exit_code == 0)
    assert not PackCheck.objects.exists()
    assert isinstance(
        haihe("packs", "check", NAME, "--record", caller=lab.manager).exception, NotAllowed
    )
    kept = said(haihe("packs", "check", NAME, "--record", "--json"))
    assert PackCheck.objects.get().tier == (kept["tier"] or "")


def test_a_failed_check_ends_with_status_one(
    source: PackSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "check_pack", lambda found: report())
    monkeypatch.setattr(cli, "find_pack", lambda name: source)
    told = haihe("packs", "check", NAME)
    assert told.exit_code == 1
    assert "score.calibrated" in told.output
    assert "slope 2" in told.output


def test_a_pack_runs_on_its_sample_data_without_the_platform(
    pack_folder: Path, small: None, lab: Lab
) -> None:
    result = haihe("packs", "run", pack_folder, "--local", "--json")
    assert said(result)["score"] > 0.75
    assert "done" in result.stderr
    assert not Job.objects.exists()


def test_sample_data_is_what_the_packs_data_module_gives(
    source: PackSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = local.sample_inputs(source)
    assert found is not None
    assert len(found["cases"]) == 600
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    assert local.sample_inputs(source) is None
    with pytest.raises(NoSampleData):
        local.run_on_sample(source, out=tmp_path, report=lambda share, text: None)


def test_a_run_shows_its_price_first(lab: Lab) -> None:
    run = ["packs", "run", NAME, "--organisation", "firm", "--input", "cases=cases@1"]
    assert isinstance(haihe(*run, "--yes").exception, PersonNeeded)
    assert isinstance(haihe(*run, "--yes", caller=lab.stranger).exception, NotAllowed)
    asked = haihe(*run, caller=lab.member, input="n\n")
    assert asked.exit_code == NO_CONSENT
    assert "At most" in asked.stderr
    assert "cases@1" in asked.stderr
    assert not Job.objects.exists()
    bad = haihe(*run[:-1], "cases", "--yes", caller=lab.member).exception
    assert isinstance(bad, InvalidField)


def test_a_run_that_is_not_done_in_time_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "PAUSE_S", 0.01)
    run = ["packs", "run", NAME, "--organisation", "firm", "--input", "cases=cases@1", "--yes"]
    late = haihe(*run, "--timeout", 1, caller=lab.member).exception
    assert isinstance(late, WrongState)
    assert "is queued" in str(late)
    assert Job.objects.get().state == "queued"


def test_a_run_waits_for_its_evaluation(
    lab: Lab, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "submit_job", lambda principal, quote: evaluation.job)
    run = ["packs", "run", NAME, "--organisation", "firm", "--input", "cases=cases@1", "--yes"]
    shown: dict[str, Any] = said(haihe(*run, "--json", caller=lab.member))
    assert (shown["id"], shown["state"]) == (str(evaluation.pk), "scored")


def test_evaluations_are_listed_shown_and_explained(lab: Lab, evaluation: Evaluation) -> None:
    [listed] = said(haihe("evaluation", "list", "--pack", NAME, "--json"))["items"]
    assert listed["score"] == evaluation.score
    assert said(haihe("evaluation", "list", "--json", caller=lab.stranger))["items"] == []
    shown = said(haihe("evaluation", "show", evaluation.pk, "--json", caller=lab.reader))
    assert shown["details"]["rows"] == 240
    assert str(evaluation.pk) in haihe("evaluation", "show", evaluation.pk).output
    cases = ["evaluation", "cases", evaluation.pk]
    assert isinstance(haihe(*cases, caller=lab.officer).exception, NotAllowed)
    page = said(haihe(*cases, "--limit", 3, "--json", caller=lab.member))
    assert [case["id"] for case in page["items"]] == ["c0000", "c0001", "c0002"]
    assert page["next_cursor"] == "c0002"
    told = haihe(*cases, "--decision", "positive", caller=lab.member).output
    assert "negative" not in told
