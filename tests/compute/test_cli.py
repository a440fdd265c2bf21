"""Compute on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.compute.errors import BadJobSpec, JobTooLarge, NoSuchFile
from haihe.compute.models import Job
from haihe.compute.services import centres
from haihe.kernel.errors import InvalidField
from haihe.kernel.money import MICRO
from haihe.kernel.terminal import NO_CONSENT
from haihe.policy.errors import NotAllowed, PersonNeeded
from tests.callers import haihe, said
from tests.compute.conftest import POOL
from tests.compute.factories import run_job
from tests.sides import Side

pytestmark = pytest.mark.django_db


def test_an_operator_sets_up_a_centre(operator: Side, firm: Side) -> None:
    boss = operator.manager
    centre = ["centre", "create", "south", "--operator", "operator", "--name", "南方"]
    assert haihe(*centre, caller=boss, input="n\n").exit_code == NO_CONSENT
    assert said(haihe(*centre, "--yes", "--json", caller=boss))["slug"] == "south"
    pool = ["pool", "create", "south", "gpu", "--cpu", 8, "--memory-gib", 4, "--gpu", 0.5]
    assert said(haihe(*pool, "--yes", "--json", caller=boss))["gpu_milli"] == 500
    price = ["offer", "set", "south/gpu", "--cpu-hour", "1.25", "--minimum", "2"]
    asked = haihe(*price, caller=boss, input="n\n")
    assert "1.25 CNY per CPU-hour" in asked.stderr
    offer = said(haihe(*price, "--yes", "--json", caller=boss))
    assert (offer["cpu_hour_micro"], offer["minimum_micro"]) == (1_250_000, 2_000_000)
    assert len(said(haihe("offer", "list", "south/gpu", "--json"))["items"]) == 1
    for step, is_open in (("drain", False), ("open", True)):
        pool_now = said(haihe("pool", step, "south/gpu", "--yes", "--json", caller=boss))
        assert pool_now["is_open"] is is_open
    assert "south/gpu" in haihe("centre", "show", "south").output
    shown = said(haihe("centre", "show", "south", "--json"))
    assert shown["pools"][0]["offer"]["minimum"] == "2.00 CNY"
    assert {c["slug"] for c in said(haihe("centre", "list", "--json"))["items"]} == {
        "north",
        "south",
    }
    denied = haihe("pool", "drain", "south/gpu", "--yes", caller=firm.manager)
    assert isinstance(denied.exception, NotAllowed)
    assert isinstance(haihe("pool", "drain", "south/gpu", "--yes").exception, PersonNeeded)
    wrong = haihe("offer", "set", "south/gpu", "--cpu-hour", "-1", "--yes", caller=boss)
    assert isinstance(wrong.exception, InvalidField)


def test_a_contract_is_drawn_up_and_signed(firm: Side, operator: Side) -> None:
    draw_up = [
        "contract", "create", "C/1", "--buyer", "firm", "--provider", "operator",
        "--amount", "10.50", "--eligible", "10", "--begins", "2026-01-01", "--ends", "2099-12-31",
    ]  # fmt: skip
    assert haihe(*draw_up, caller=firm.manager, input="n\n").exit_code == NO_CONSENT
    drawn = said(haihe(*draw_up, "--yes", "--json", caller=firm.manager))
    assert (drawn["amount_micro"], drawn["state"]) == (10_500_000, "draft")
    sign = ["contract", "sign", "C/1", "--yes", "--json"]
    assert isinstance(haihe(*sign, caller=firm.manager).exception, NotAllowed)
    assert said(haihe(*sign, caller=operator.manager))["state"] == "signed"
    shown = said(haihe("contract", "show", "C/1", "--json", caller=firm.member))
    assert (shown["committed_micro"], shown["left"]) == (0, "10.50 CNY")
    assert len(said(haihe("contract", "list", "--json"))["items"]) == 1


def test_a_job_runs_with_its_bill_shown_its_log_printed_and_its_files_fetched(
    firm: Side, operator: Side, tmp_path: Path
) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=MICRO, minimum_micro=MICRO)
    command = ["--", "sh", "-c", "echo 第一行; echo $SEED; echo kept > $HAIHE_OUTPUTS/r.txt"]
    run = ["job", "run", "--organisation", "firm", "--name", "hello", "--minutes", 1]
    run += ["--env", "SEED=7", "--dispatch"]
    refused = haihe(*run, *command, caller=firm.member, input="n\n")
    assert refused.exit_code == NO_CONSENT
    assert not Job.objects.exists()
    for words in ("hello: at most 1.00 CNY on north/cpu", "Firm pays at most 1.00 CNY", "chosen"):
        assert words in refused.stderr
    done = haihe(*run, "--yes", *command, caller=firm.member)
    assert done.exit_code == 0
    assert done.stdout.startswith("第一行\n7\n")
    assert "succeeded" in done.stdout
    job = str(Job.objects.get().pk)
    assert haihe("job", "log", job, caller=firm.member).stdout == "第一行\n7\n"
    assert haihe("job", "log", job, "--follow", caller=firm.member).stdout == "第一行\n7\n"
    assert said(haihe("job", "log", job, "--offset", -2, "--json"))["text"] == "7\n"
    assert said(haihe("job", "files", job, "--json"))["items"] == [{"path": "r.txt", "bytes": 5}]
    target = tmp_path / "fetched.txt"
    get = ["job", "get", job, "r.txt", "--to", target]
    assert said(haihe(*get, "--json", caller=firm.member))["bytes"] == 5
    assert target.read_text() == "kept\n"
    assert isinstance(haihe(*get, caller=firm.member).exception, InvalidField)
    assert isinstance(haihe("job", "get", job, "../log.txt").exception, NoSuchFile)
    shown = said(haihe("job", "show", job, "--json", caller=firm.auditor))
    assert shown["attempts"][0]["exit_code"] == 0
    assert sum(line["amount_micro"] for line in shown["bill"]) == shown["cost_micro"]
    assert "Firm paid 1.00 CNY" in haihe("job", "show", job).output


def test_a_run_that_fails_says_so_in_its_exit_code_and_keeps_json_clean(firm: Side) -> None:
    run = ["job", "run", "--organisation", "firm", "--name", "bad", "--dispatch", "--yes", "--json"]
    done = haihe(*run, "--", "sh", "-c", "echo words; exit 3", caller=firm.member)
    assert done.exit_code == 1
    assert '"state": "failed"' in done.stdout
    assert "words" not in done.stdout
    assert "words" in done.stderr


def test_a_job_comes_from_a_file_and_options_win(firm: Side, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'organisation = "firm"\nname = "filed"\ncommand = ["true"]\nwall_s = 60\n'
        '[environment]\nSEED = "7"\n'
    )
    quote = said(haihe("quote", "request", file, "--minutes", 60, "--json", caller=firm.member))
    assert (quote["name"], quote["amount"]) == ("filed", "3.60 CNY")
    assert said(haihe("quote", "show", quote["id"], "--json", caller=firm.auditor)) == quote
    assert "chosen north/cpu" in haihe("quote", "show", quote["id"]).output
    submit = ["job", "submit", file, "--priority", 5, "--yes", "--json"]
    submitted = said(haihe(*submit, caller=firm.member))
    assert submitted["state"] == "queued"
    cancelled = ["job", "cancel", submitted["id"], "--yes", "--json"]
    assert said(haihe(*cancelled, caller=firm.member))["id"] == submitted["id"]
    assert said(haihe("job", "dispatch", "--until-idle", "--json"))["unfinished"] == 0
    assert Job.objects.get().state == "cancelled"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name = ", "cannot be read"),
        ('name = "a"\ncommand = "true"\norganisation = "firm"', "command must be a list"),
        ('name = "a"\ncommand = ["true"]', "organisation is missing"),
        ('name = "a"\ncommand = ["true"]\norganisation = "firm"\ngpus = 1', "gpus is not a field"),
    ],
)
def test_a_file_that_is_wrong_says_where(
    content: str, words: str, firm: Side, tmp_path: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_text(content)
    error = haihe("quote", "request", file, caller=firm.member).exception
    assert isinstance(error, BadJobSpec)
    assert words in str(error)


def test_what_cannot_be_is_refused_before_anything_is_asked(firm: Side) -> None:
    ask = ["job", "submit", "--organisation", "firm", "--name", "a"]
    big = haihe(*ask, "--cpu", 64, "--", "true", caller=firm.member)
    assert isinstance(big.exception, JobTooLarge)
    for wrong in (["--input", "wdbc"], ["--env", "SEED"]):
        assert isinstance(
            haihe(*ask, *wrong, "--", "true", caller=firm.member).exception, BadJobSpec
        )
    assert isinstance(haihe(*ask, "--", "true").exception, PersonNeeded)


def test_the_console_lists_all_jobs_and_a_stranger_none(firm: Side, stranger: Side) -> None:
    job = run_job(firm.member, "true")
    [listed] = said(haihe("job", "list", "--json"))["items"]
    assert (listed["id"], listed["state"]) == (str(job.pk), "succeeded")
    assert said(haihe("job", "list", "--json", caller=stranger.member))["items"] == []


def test_dispatching_is_the_platforms(firm: Side) -> None:
    assert isinstance(haihe("job", "dispatch", caller=firm.manager).exception, NotAllowed)
    assert said(haihe("job", "dispatch", "--json")) == {"unfinished": 0, "idle": False}
