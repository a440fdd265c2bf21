"""One small run of money, evidence, data and a job, that can be broken off and begun again.

Each step looks at what is there and does what is missing, as the platform's users and workers do
after a crash: a request is repeated with its key, the dispatcher ticks, the outbox delivers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid5

from django.db import OperationalError

from haihe.compute.domain import EndReason, JobState, spec_from
from haihe.compute.models import Contract, Job, Quote
from haihe.compute.services import centres, contracts, jobs, quotes
from haihe.compute.tasks import Dispatcher
from haihe.data import services as data
from haihe.data.domain import UsagePolicy
from haihe.data.models import Dataset
from haihe.evidence import services as evidence
from haihe.evidence.verify import main as verify
from haihe.kernel import outbox
from haihe.kernel.days import local_day
from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.money import CNY, MICRO
from haihe.kernel.storage import free_bytes
from haihe.ledger import services as ledger
from haihe.ledger.models import Account
from haihe.parties import services as parties
from haihe.parties.domain import credit_code_check_digit
from haihe.parties.models import Organisation
from haihe.policy.cli import CONSOLE
from haihe.policy.domain import SCOPES, PlatformRole, Principal
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import plans, vouchers

FIRM, SELLER, OFFICE = "firm", "seller", "office"
KINDS = {FIRM: "enterprise", SELLER: "centre-operator", OFFICE: "programme-office"}
TIMEOUT_S = 60


def prepare(home: Path) -> None:
    """Parties, a centre, money: what every broken run begins with."""
    for number, (slug, kind) in enumerate(KINDS.items()):
        parties.create_person(email=f"{slug}@haihe.test", name=slug)
        body = f"91120116MAFAX000{number}"
        parties.create_organisation(
            who(slug),
            slug=slug,
            name=slug,
            kind=kind,
            credit_code=body + credit_code_check_digit(body),
        )
        parties.verify_organisation(CONSOLE, slug)
    for role in (PlatformRole.OFFICER, PlatformRole.OPERATOR):
        parties.grant_platform_role(CONSOLE, email="office@haihe.test", role=role)
    token = parties.create_token(who(OFFICE), name="faults", scopes=SCOPES)
    (home / "token").write_text(token.secret)
    seller = who(SELLER)
    centres.create_centre(seller, operator=SELLER, slug="centre", name="centre")
    centres.create_pool(seller, "centre", slug="pool", cpu_milli=4_000, memory_bytes=8 << 30)
    centres.set_offer(seller, "centre/pool", cpu_hour_micro=MICRO, minimum_micro=10 * MICRO)


def who(slug: str) -> Principal:
    """The owner of one of the organisations."""
    return parties.principal_of_email(f"{slug}@haihe.test")


def run(home: Path) -> None:
    """Carry everything out that is not yet done, to the end."""
    _fund()
    _voucher()
    _dataset(home)
    _job()
    _finish()


def check(home: Path) -> None:
    """What must hold after any accident: nothing lost, nothing twice, all proofs good."""
    audit = ledger.audit(CONSOLE)
    assert audit.balanced, audit.discrepancies
    assert evidence.verify_log() is not None
    assert outbox.backlog() == {"waiting": 0, "dead": 0}
    job = Job.objects.get()
    assert job.state == JobState.SUCCEEDED
    assert job.settlement.amount_micro == 10 * MICRO
    assert job.attempts.filter(usage__isnull=False).count() == 1
    seller = Organisation.objects.get(slug=SELLER)
    claims = Account.objects.get(owner_id=seller.pk, code="voucher-receivable")
    cash = Account.objects.get(owner_id=seller.pk, code="cash")
    assert (claims.posted_micro, cash.posted_micro) == (2 * MICRO, 8 * MICRO)
    firm_cash = Account.objects.get(code="cash", owner_id=Organisation.objects.get(slug=FIRM).pk)
    assert (firm_cash.posted_micro, firm_cash.held_micro) == (92 * MICRO, 0)
    kinds = [entry.kind for entry in _entries()]
    for once in ("voucher.reserved", "job.submitted", "job.metered", "job.settled"):
        assert kinds.count(once) == 1, (once, kinds)
    file = home / "evidence.jsonl"
    evidence.export(CONSOLE, file)
    assert verify([str(file)]) == 0


def fill(home: Path) -> None:
    """Run a job that fills the disk, and make room when it has ended: it is neither lost nor free.

    While the disk is full the dispatcher cannot write down that the job ran, or that it ended.
    """
    _fund()
    command = ["sh", "-c", "cat /dev/zero > $HAIHE_OUTPUTS/zeros"]
    spec = spec_from({"name": "fill", "command": command, "wall_s": 60, "output_bytes": 1 << 40})
    quote = quotes.request_quote(who(FIRM), spec, organisation=FIRM)
    job = jobs.submit_job(who(FIRM), quote.pk)
    folder = jobs.attempt_folder(job.pk, 1)
    dispatcher = Dispatcher()
    _tick_until((folder / "result.json").exists, dispatcher)
    assert free_bytes() < MICRO
    for _ in range(3):
        with suppress(StorageUnavailable, OperationalError):
            dispatcher.tick()
    (folder / "outputs" / "zeros").unlink()
    _tick_until(Job.objects.filter(finished_at__isnull=False).exists, dispatcher)
    job.refresh_from_db()
    assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.EXITED)
    assert job.attempts.count() == 1
    assert job.settlement.amount_micro == 10 * MICRO
    assert ledger.audit(CONSOLE).balanced
    assert evidence.verify_log() is not None


def _tick_until(condition: Callable[[], bool], dispatcher: Dispatcher) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        with suppress(StorageUnavailable, OperationalError):
            dispatcher.tick()
        time.sleep(0.05)


def _entries() -> list[evidence.Entry]:
    kinds = ("voucher.reserved", "job.submitted", "job.metered", "job.settled")
    return [entry for kind in kinds for entry in evidence.entries_of(kind=kind)]


def _fund() -> None:
    firm = Organisation.objects.get(slug=FIRM)
    account = ledger.open_account(firm.pk, "cash", CNY, name=FIRM)
    ledger.deposit(
        CONSOLE,
        account.pk,
        transfer_id=uuid5(account.pk, "deposit"),
        amount_micro=100 * MICRO,
        reference="bank",
    )


def _voucher() -> None:
    today = local_day()
    if not Contract.objects.exists():
        contracts.create_contract(
            who(FIRM),
            number="C-1",
            buyer=FIRM,
            provider=SELLER,
            amount_micro=100 * MICRO,
            eligible_micro=100 * MICRO,
            begins_on=today,
            ends_on=today + timedelta(days=30),
        )
    if Contract.objects.get().state == Contract.State.DRAFT:
        contracts.sign_contract(who(SELLER), "C-1")
    if not Scheme.objects.exists():
        vouchers.open_scheme(
            who(OFFICE),
            slug="scheme",
            title="scheme",
            office=OFFICE,
            rules_file=plans.file_in("schemes", "beijing-2023.toml"),
            opens_on=today,
            closes_on=today,
        )
    scheme = Scheme.objects.get()
    vouchers.fund_scheme(
        who(OFFICE),
        "scheme",
        amount_micro=1_000 * MICRO,
        reference="budget",
        transfer_id=uuid5(scheme.pk, "budget"),
    )
    if not Voucher.objects.exists():
        vouchers.apply_for_voucher(
            who(FIRM),
            "scheme",
            contract="C-1",
            amount_micro=20 * MICRO,
            declared=[d.code for d in scheme.rules.declarations],
        )
    voucher = Voucher.objects.get()
    if voucher.state == Voucher.State.APPLIED:
        vouchers.approve_voucher(who(OFFICE), voucher.number)


def _dataset(home: Path) -> None:
    if not Dataset.objects.exists():
        data.create_dataset(
            who(FIRM),
            organisation=FIRM,
            slug="table",
            title="table",
            policy=UsagePolicy(purposes=("research",), days=30),
        )
    if not Dataset.objects.get().versions.exists():
        file = home / "table.csv"
        file.write_text("a,b\n1,2\n")
        data.add_version_from_path(who(FIRM), "table", file)


def _job() -> None:
    if Job.objects.exists():
        return
    spec = spec_from(
        {
            "name": "copy",
            "command": ["sh", "-c", "cat $HAIHE_INPUTS/table.csv > $HAIHE_OUTPUTS/out; sleep 0.3"],
            "wall_s": 30,
            "inputs": [{"name": "table", "dataset": "table", "version": 1}],
        }
    )
    quote = Quote.objects.first() or quotes.request_quote(
        who(FIRM), spec, organisation=FIRM, contract="C-1"
    )
    jobs.submit_job(who(FIRM), quote.pk)


def _finish() -> None:
    deadline = time.monotonic() + TIMEOUT_S
    with Dispatcher() as dispatcher:
        while time.monotonic() < deadline:
            dispatcher.tick()
            outbox.deliver_due()
            if Job.objects.get().finished_at and outbox.backlog()["waiting"] == 0:
                return
            time.sleep(0.05)
    raise TimeoutError("the job did not end")
