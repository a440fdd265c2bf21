"""A programme office, a firm and a provider, and short ways along the chain between them.

Jobs are submitted through the services; where a test needs a settlement, the job is closed with
the use it is said to have had, by what the dispatcher itself calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Any

from haihe.compute.domain import EndReason, JobState, Usage, spec_from
from haihe.compute.models import Contract, Job
from haihe.compute.services import centres, contracts
from haihe.compute.services.jobs import submit_job
from haihe.compute.services.quotes import request_quote
from haihe.compute.services.settlement import close_job, lock_job
from haihe.kernel.days import local_day
from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY, MICRO
from haihe.kernel.work import unit_of_work
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.models import Account
from haihe.ledger.services import external_account, open_account, transfer
from haihe.packs.models import Evaluation
from haihe.parties.models import Organisation
from haihe.parties.services import principal_of
from haihe.policy.domain import Principal
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import plans, vouchers
from tests.factories import make_member, make_organisation, make_person

DECLARED = ("registered-in-region", "sector", "no-other-subsidy", "no-dishonesty")
RULES = plans.file_in("schemes", "beijing-2023.toml")
PLAN_FILE = plans.file_in("plans", "tianjin-2025-2027.toml")
PLAN = "tianjin-2025-2027"
POOL = 5_000_000 * MICRO
HOUR_MS = 3_600_000
_numbers = count(1)


@dataclass(frozen=True)
class World:
    """The parties of the programme, with a principal for each role that matters."""

    office: Organisation
    officer: Principal
    colleague: Principal
    firm: Organisation
    manager: Principal
    member: Principal
    provider: Organisation
    seller: Principal
    stranger: Principal
    auditor: Principal


def make_world() -> World:
    """Everybody, a centre with a priced pool, and money where it is needed."""
    office = make_organisation("office", kind="programme-office")
    firm, provider = make_organisation("firm"), make_organisation("seller", kind="centre-operator")
    world = World(
        office=office,
        officer=principal_of(make_person(roles=("officer",))),
        colleague=principal_of(make_person(roles=("officer",))),
        firm=firm,
        manager=make_member(firm),
        member=make_member(firm, "member"),
        provider=provider,
        seller=make_member(provider),
        stranger=make_member(make_organisation("stranger")),
        auditor=principal_of(make_person(roles=("auditor",))),
    )
    make_centre(world.seller, "seller")
    for owner in (firm, office):
        put_money(owner, 1_000_000 * MICRO)
    return world


def make_centre(seller: Principal, operator: str) -> None:
    """A centre with one pool: 1 CNY per CPU-hour, nothing less than that."""
    centres.create_centre(seller, operator=operator, slug=f"{operator}-centre", name="Centre")
    centres.create_pool(
        seller, f"{operator}-centre", slug="local", cpu_milli=64_000, memory_bytes=1 << 38
    )
    centres.set_offer(seller, f"{operator}-centre/local", cpu_hour_micro=MICRO)


def put_money(owner: Organisation, amount_micro: int) -> None:
    """Money from outside on an organisation's account."""
    account = open_account(owner.pk, "cash", CNY, name=owner.name)
    _move(external_account(CNY), account, amount_micro)


def take_money(owner: Organisation, amount_micro: int) -> None:
    """Money from an organisation's account to the outside."""
    account = open_account(owner.pk, "cash", CNY, name=owner.name)
    _move(account, external_account(CNY), amount_micro)


def _move(debit: Account, credit: Account, amount_micro: int) -> None:
    order = TransferOrder(
        transfer_id=new_id(),
        kind=Kind.POSTED,
        debit_account_id=debit.pk,
        credit_account_id=credit.pk,
        amount_micro=amount_micro,
        asset=CNY,
        reason="test",
        reference="test",
    )
    transfer([order])


def make_scheme(
    world: World,
    slug: str = "spring",
    *,
    pool_micro: int = POOL,
    opens_on: date | None = None,
    closes_on: date | None = None,
) -> Scheme:
    """A scheme that is open today, with vouchers in its pool unless that is zero."""
    today = local_day()
    scheme = vouchers.open_scheme(
        world.officer,
        slug=slug,
        title="春季算力券",
        title_en="Spring vouchers",
        office=world.office.slug,
        rules_file=RULES,
        opens_on=opens_on or today - timedelta(days=30),
        closes_on=closes_on or today + timedelta(days=3_000),
    )
    if pool_micro:
        vouchers.fund_scheme(
            world.officer, slug, amount_micro=pool_micro, reference="budget", transfer_id=new_id()
        )
    return scheme


def make_contract(
    world: World, *, amount_micro: int = 100_000 * MICRO, signed: bool = True, **fields: Any
) -> Contract:
    """A compute contract of the firm with the provider, over half a year from today."""
    today = local_day()
    number = f"K-{next(_numbers):04d}"
    contract = contracts.create_contract(
        world.manager,
        **{
            "number": number,
            "buyer": world.firm.slug,
            "provider": world.provider.slug,
            "amount_micro": amount_micro,
            "eligible_micro": amount_micro,
            "begins_on": today,
            "ends_on": today + timedelta(days=180),
            **fields,
        },
    )
    return contracts.sign_contract(world.seller, number) if signed else contract


def apply(world: World, contract: Contract, **fields: Any) -> Voucher:
    """An application of the firm that meets every condition unless ``fields`` say otherwise."""
    wanted = {
        "contract": contract.number,
        "amount_micro": contract.eligible_micro // 5,
        "declared": DECLARED,
        **fields,
    }
    return vouchers.apply_for_voucher(world.manager, wanted.pop("scheme", "spring"), **wanted)


def grant(world: World, contract: Contract, **fields: Any) -> Voucher:
    """A voucher that was applied for and approved."""
    return vouchers.approve_voucher(world.officer, apply(world, contract, **fields).number)


def make_job(world: World, contract: Contract | None = None, *, hours: int = 10) -> Job:
    """A job under the contract, submitted: its funds are held at ``hours`` CPU-hours."""
    spec = spec_from({"name": "work", "command": ["true"], "wall_s": hours * 3_600})
    quote = request_quote(
        world.member,
        spec,
        organisation=world.firm.slug,
        contract=contract.number if contract else "",
    )
    return submit_job(world.member, quote.pk)


def settle(job: Job, *, hours: int, state: JobState = JobState.SUCCEEDED) -> Job:
    """End a job that used so many CPU-hours: what the dispatcher does when an attempt ends."""
    usage = Usage(hours * HOUR_MS, 0, hours * HOUR_MS, 1 << 20, 0)
    with unit_of_work():
        close_job(lock_job(job.pk), state, EndReason.EXITED, usage=usage)
    return Job.objects.select_related("settlement", "organisation").get(pk=job.pk)


def make_evaluation(
    world: World, contract: Contract | None = None, *, score: float = 0.95, **fields: Any
) -> Evaluation:
    """An evaluation of a settled job."""
    job = settle(make_job(world, contract, hours=1), hours=1)
    return Evaluation.objects.create(
        **{
            "organisation": world.firm,
            "job": job,
            "pack": "tumour_triage",
            "pack_version": "0.1.0",
            "inputs": {"cases": "wdbc@1"},
            "state": Evaluation.State.SCORED,
            "metric": "roc_auc",
            "score": score,
            "low": score - 0.02,
            "high": min(score + 0.02, 1.0),
            "baseline": 0.5,
            "permuted": 0.49,
            "details": {},
            **fields,
        }
    )
