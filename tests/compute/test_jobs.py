"""Jobs: funds held and paid, limits, cancelling, what they read and write, and who sees it.

Jobs run on the real local back-end.
"""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from haihe.compute.domain import JobState
from haihe.compute.errors import NoSuchFile, QuoteExpired, QuoteUsed
from haihe.compute.models import Job, UsageRecord
from haihe.compute.services import centres, jobs
from haihe.compute.tasks import Dispatcher
from haihe.evidence import services as evidence
from haihe.kernel.clock import now, use_clock
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.money import MICRO
from haihe.ledger.errors import InsufficientFunds
from haihe.ledger.services import audit
from haihe.parties.services import principal_of
from haihe.policy.domain import ANONYMOUS, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from tests.compute.conftest import CPU_HOUR_MICRO, POOL
from tests.compute.factories import (
    cash_of,
    copy_job,
    make_job,
    make_quote,
    run_job,
    run_jobs,
)
from tests.data.factories import CSV, make_agreement, make_dataset
from tests.factories import make_person
from tests.sides import Side

pytestmark = pytest.mark.django_db
BURN = "import time\nwhile time.process_time() < 0.5: pass"


def balanced() -> bool:
    return audit(system_principal("test")).balanced


# --- submit --------------------------------------------------------------------------------------


def test_submitting_holds_the_quoted_amount(firm: Side, operator: Side) -> None:
    job = make_job(firm.member, wall_s=3_600)
    assert job.state == JobState.QUEUED
    assert cash_of(firm.organisation).held_micro == CPU_HOUR_MICRO
    assert cash_of(operator.organisation).posted_micro == 0


def test_without_the_funds_there_is_no_job_and_nothing_is_held(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=60 * MICRO)
    make_job(firm.member, wall_s=3_600)
    quote = make_quote(firm.member, wall_s=3_600)
    with pytest.raises(InsufficientFunds):
        jobs.submit_job(firm.member, quote.pk)
    assert Job.objects.count() == 1
    assert cash_of(firm.organisation).held_micro == 60 * MICRO


def test_a_quote_makes_one_job(firm: Side) -> None:
    quote = make_quote(firm.member)
    job = jobs.submit_job(firm.member, quote.pk)
    with pytest.raises(QuoteUsed, match=str(job.pk)):
        jobs.submit_job(firm.member, quote.pk)


def test_a_price_holds_for_its_time_and_no_longer(firm: Side, operator: Side) -> None:
    quote = make_quote(firm.member, wall_s=3_600)
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=90 * MICRO)
    later = now() + timedelta(minutes=16)
    with use_clock(lambda: later), pytest.raises(QuoteExpired):
        jobs.submit_job(firm.member, quote.pk)
    assert jobs.submit_job(firm.member, quote.pk).quote.amount_micro == CPU_HOUR_MICRO


def test_who_works_for_the_payer_submits(firm: Side, stranger: Side) -> None:
    quote = make_quote(firm.member)
    for principal, error in (
        (ANONYMOUS, NotSignedIn),
        (stranger.manager, NotAllowed),
        (firm.auditor, NotAllowed),
    ):
        with pytest.raises(error):
            jobs.submit_job(principal, quote.pk)
    for priority in (-101, 101):
        with pytest.raises(InvalidField, match="priority"):
            jobs.submit_job(firm.member, quote.pk, priority=priority)
    assert jobs.submit_job(firm.member, quote.pk, priority=100).priority == 100


# --- run and pay ---------------------------------------------------------------------------------


def test_a_job_is_paid_by_its_measured_use_to_the_fen(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=1_000 * MICRO)
    job = run_job(firm.member, "python", "-c", BURN, wall_s=120)
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0)
    usage = UsageRecord.objects.get(attempt__job=job)
    assert 500 <= usage.cpu_ms < 20_000
    cost = job.settlement.amount_micro
    assert abs(cost - usage.cpu_ms * 1_000 * MICRO // 3_600_000) <= 5_000
    assert cost % 10_000 == 0
    assert sum(line["amount_micro"] for line in job.settlement.lines) == cost
    assert sum(share["amount_micro"] for share in job.settlement.shares) == cost
    payer, seller = cash_of(firm.organisation), cash_of(operator.organisation)
    assert (payer.posted_micro, payer.held_micro) == (100 * MICRO - cost, 0)
    assert seller.posted_micro == cost
    assert balanced()
    entry = evidence.get(firm.auditor, job.settlement.evidence_id)
    assert (entry.kind, entry.data["amount_micro"]) == ("job.settled", cost)


def test_a_failed_job_is_paid_too(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=MICRO, minimum_micro=2 * MICRO)
    job = run_job(firm.member, "sh", "-c", "exit 3")
    assert (job.state, job.end_reason, job.exit_code) == (JobState.FAILED, "exited", 3)
    assert job.settlement.amount_micro == 2 * MICRO


def test_a_job_that_could_not_start_costs_nothing(firm: Side) -> None:
    job = run_job(firm.member, "no-such-program")
    assert (job.state, job.end_reason) == (JobState.FAILED, "not-started")
    assert "no-such-program" in job.message
    assert job.settlement.amount_micro == 0
    assert cash_of(firm.organisation).held_micro == 0
    assert balanced()


def test_a_job_at_its_limit_pays_at_most_its_quote(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=3_600 * MICRO)
    job = run_job(firm.member, "python", "-c", "while True: pass", wall_s=60, cpu_s=1)
    assert (job.state, job.end_reason) == (JobState.FAILED, "cpu-limit")
    assert job.settlement.amount_micro == job.quote.amount_micro == MICRO


def test_a_lost_attempt_is_tried_again_and_its_log_begins_anew(firm: Side) -> None:
    job = make_job(firm.member, "sh", "-c", "echo start; sleep 1; echo end")
    dispatcher = Dispatcher()
    dispatcher.tick()
    folder = jobs.attempt_folder(job.pk, 1)
    os.kill(json.loads((folder / "supervisor.json").read_text())["pid"], signal.SIGKILL)
    run_jobs(dispatcher)
    found = jobs.find_job(firm.member, job.pk)
    assert [attempt.state for attempt in found.tries()] == ["lost", "succeeded"]
    assert found.state == JobState.SUCCEEDED
    assert jobs.read_log(firm.member, job.pk).text == "start\nend\n"
    assert balanced()


def test_jobs_wait_while_their_pool_is_full(firm: Side) -> None:
    first, second, third = (make_job(firm.member, "sleep", "1", cpu_milli=1_000) for _ in range(3))
    dispatcher = Dispatcher()
    dispatcher.tick()
    states = dict(Job.objects.values_list("pk", "state"))
    assert [states[job.pk] for job in (first, second, third)] == ["running", "running", "queued"]
    run_jobs(dispatcher)
    assert not Job.objects.exclude(state=JobState.SUCCEEDED).exists()


# --- cancel --------------------------------------------------------------------------------------


def test_a_queued_job_that_is_cancelled_costs_nothing(firm: Side) -> None:
    job = make_job(firm.member, "sleep", "60", wall_s=3_600)
    jobs.cancel_job(firm.member, job.pk)
    run_jobs()
    found = jobs.find_job(firm.member, job.pk)
    assert (found.state, found.settlement.amount_micro) == (JobState.CANCELLED, 0)
    assert cash_of(firm.organisation).held_micro == 0
    assert not found.tries().exists()


def test_a_running_job_that_is_cancelled_pays_what_it_used(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=MICRO, minimum_micro=MICRO)
    job = make_job(firm.member, "sleep", "60", wall_s=3_600)
    dispatcher = Dispatcher()
    dispatcher.tick()
    jobs.cancel_job(firm.member, job.pk)
    jobs.cancel_job(firm.member, job.pk)
    run_jobs(dispatcher)
    found = jobs.find_job(firm.member, job.pk)
    assert (found.state, found.end_reason) == (JobState.CANCELLED, "cancelled")
    assert found.settlement.amount_micro == MICRO
    with pytest.raises(WrongState, match="cancelled"):
        jobs.cancel_job(firm.member, job.pk)


def test_a_job_is_cancelled_by_who_submitted_it_or_manages(
    firm: Side, operator: Side, stranger: Side
) -> None:
    job = make_job(firm.manager, "sleep", "60")
    for principal, error in (
        (ANONYMOUS, NotSignedIn),
        (stranger.manager, NotAllowed),
        (firm.member, NotAllowed),
        (operator.manager, NotAllowed),
    ):
        with pytest.raises(error):
            jobs.cancel_job(principal, job.pk)
    jobs.cancel_job(firm.manager, job.pk)


# --- read ----------------------------------------------------------------------------------------


def test_a_job_reads_its_inputs_under_an_agreement_and_the_copies_go(
    firm: Side, operator: Side
) -> None:
    dataset = make_dataset(operator.organisation, operator.manager)
    make_agreement(dataset, operator.manager, firm.organisation, firm.manager)
    wanted = [{"name": "cases", "dataset": dataset.slug, "version": 1}]
    job = run_job(firm.member, "sh", "-c", "cat $HAIHE_INPUTS/cases.csv", inputs=wanted)
    assert jobs.read_log(firm.member, job.pk).text == CSV.decode()
    assert not (jobs.attempt_folder(job.pk, 1) / "inputs").exists()


def test_who_ran_a_job_sees_that_it_ran_and_not_its_inside(
    firm: Side, operator: Side, stranger: Side
) -> None:
    job = run_job(firm.member, "sh", "-c", "echo secret; echo secret > $HAIHE_OUTPUTS/r.txt")
    auditor = principal_of(make_person(roles=("auditor",)))
    for principal in (firm.auditor, operator.member, auditor):
        assert jobs.find_job(principal, job.pk) == job
    for principal in (firm.auditor, operator.manager, auditor):
        for read in (jobs.read_log, jobs.list_outputs):
            with pytest.raises(NotAllowed):
                read(principal, job.pk)
        with pytest.raises(NotAllowed):
            jobs.open_output(principal, job.pk, "r.txt")
    for principal, error in ((ANONYMOUS, NotSignedIn), (stranger.manager, NotAllowed)):
        with pytest.raises(error):
            jobs.find_job(principal, job.pk)
    with pytest.raises(MissingRecord):
        jobs.find_job(firm.member, "none")


def test_a_log_is_read_from_a_byte_on_or_from_its_end(firm: Side) -> None:
    job = make_job(firm.member, "echo", "0123456789")
    assert jobs.read_log(firm.member, job.pk).text == ""
    run_jobs()
    assert jobs.read_log(firm.member, job.pk, offset=8).text == "89\n"
    assert jobs.read_log(firm.member, job.pk, offset=-3).text == "89\n"
    beyond = jobs.read_log(firm.member, job.pk, offset=11)
    assert (beyond.text, beyond.next_offset) == ("", 11)


OUTPUTS = (
    "cd $HAIHE_OUTPUTS; mkdir -p deep/er; echo one > one.txt; echo two > deep/er/two.txt; "
    "echo three > '三 个.txt'; ln -s one.txt link; ln -s deep dir; ln -s /etc/passwd out; "
    "mkfifo pipe; printf x > $(printf 'bad\\377name')"
)


def test_outputs_are_the_files_that_a_job_wrote(firm: Side) -> None:
    job = run_job(firm.member, "sh", "-c", OUTPUTS)
    found = jobs.list_outputs(firm.member, job.pk)
    assert [file.path for file in found] == ["one.txt", "三 个.txt", "deep/er/two.txt"]
    assert found[0].bytes == 4
    for path, content in (("one.txt", b"one\n"), ("deep/er/two.txt", b"two\n")):
        with jobs.open_output(firm.member, job.pk, path) as file:
            assert file.read() == content


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "none.txt",
        "deep",
        "../log.txt",
        "deep/../../log.txt",
        "/etc/passwd",
        "deep//er/two.txt",
        "link",
        "dir/er/two.txt",
        "out",
        "pipe",
        "one.txt\0",
        "one.txt/",
        "x" * 5_000,
        "/".join("x" * 100),
    ],
)
def test_a_path_that_leads_to_no_file_of_the_outputs_is_refused(path: str, firm: Side) -> None:
    job = run_job(firm.member, "sh", "-c", OUTPUTS)
    with pytest.raises(NoSuchFile):
        jobs.open_output(firm.member, job.pk, path)


def test_a_folder_swapped_for_a_link_is_not_followed(firm: Side, files: Path) -> None:
    job = run_job(firm.member, "sh", "-c", "mkdir $HAIHE_OUTPUTS/d; echo x > $HAIHE_OUTPUTS/d/f")
    folder = jobs.attempt_folder(job.pk, 1) / "outputs"
    (files / "f").write_text("a secret")
    (folder / "d" / "f").unlink()
    (folder / "d").rmdir()
    (folder / "d").symlink_to(files)
    with pytest.raises(NoSuchFile):
        jobs.open_output(firm.member, job.pk, "d/f")


# --- list ----------------------------------------------------------------------------------------


def test_jobs_are_listed_to_both_sides_and_the_auditor_newest_first(
    firm: Side, operator: Side, stranger: Side
) -> None:
    made = [make_job(firm.member).pk for _ in range(3)][::-1]
    auditor = principal_of(make_person(roles=("auditor",)))
    for principal in (firm.auditor, operator.member, auditor, system_principal("console")):
        assert [job.pk for job in jobs.list_jobs(principal).items] == made
    for principal in (stranger.manager, principal_of(make_person())):
        assert jobs.list_jobs(principal).items == []
    with pytest.raises(NotSignedIn):
        jobs.list_jobs(ANONYMOUS)
    blind = Principal(
        id=firm.member.id, memberships=firm.member.memberships, scopes=frozenset({"compute"})
    )
    with pytest.raises(ScopeMissing):
        jobs.list_jobs(blind)


def test_a_list_is_read_to_its_end_by_cursor(firm: Side) -> None:
    job = make_job(firm.member)
    made = {job.pk, *(copy_job(job) for _ in range(6))}
    seen: list[Any] = []
    cursor = None
    for _ in range(10):
        page = jobs.list_jobs(firm.member, cursor=cursor, limit=3)
        seen += [found.pk for found in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)


def test_a_list_takes_as_many_queries_for_many_as_for_one(
    firm: Side, django_assert_num_queries: Any
) -> None:
    job = run_job(firm.member)
    for count in (1, 50):
        with django_assert_num_queries(3):  # the newest ids on either side, then their rows
            page = jobs.list_jobs(firm.member)
            assert len(page.items) == count
            assert {found.settlement.amount_micro for found in page.items if found == job}
            assert {str(found.pool) for found in page.items} == {POOL}
        while Job.objects.count() < 50:
            copy_job(job)
