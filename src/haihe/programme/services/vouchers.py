"""Voucher schemes: opened and funded, applied for, reviewed, reserved, redeemed, paid.

The money is in the ledger and nowhere else. A scheme's pool, each voucher, each provider's claim
and what was burned are accounts of the scheme's own asset; a voucher's balance *is* what is left of
it. Redeeming happens where a job is settled; see ``haihe.compute.tasks``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from uuid import UUID, uuid5

from django.db.models import QuerySet

from haihe.compute.domain import Subsidy
from haihe.compute.models import Contract
from haihe.compute.services.contracts import find_contract
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import check_slug, new_id
from haihe.kernel.money import CNY, check_amount_micro, format_micro
from haihe.kernel.outbox import emit
from haihe.kernel.work import unit_of_work
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.models import Account
from haihe.ledger.services import open_account, transfer
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation, relation_between
from haihe.policy.domain import PlatformRole, Principal, Resource
from haihe.policy.services import authorize
from haihe.programme.domain import ApplicationFacts, Verdict, judge, rules_from
from haihe.programme.errors import NothingToPay, SchemeExists, VoucherRefused
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services.plans import read_toml

CASH = "cash"
ISSUE, POOL, BURNED, RECEIVABLE = (
    "voucher-issue",
    "voucher-pool",
    "voucher-burned",
    "voucher-receivable",
)


# --- schemes -------------------------------------------------------------------------------------


def open_scheme(
    principal: Principal,
    *,
    slug: str,
    title: str,
    office: str,
    rules_file: Path,
    opens_on: date,
    closes_on: date,
    title_en: str = "",
) -> Scheme:
    """Open a voucher scheme under a rule set."""
    holder = find_organisation(principal, office)
    authorize(principal, "scheme.manage", holder.resource("Scheme"))
    check_slug(slug, field="slug")
    if closes_on < opens_on:
        raise InvalidField(field="closes_on", value=closes_on.isoformat(), rule="give a later day")
    if Scheme.objects.filter(slug=slug).exists():
        raise SchemeExists(slug=slug)
    data, digest = read_toml(rules_file)
    rules = rules_from(data)
    with unit_of_work():
        scheme = Scheme.objects.create(
            slug=slug,
            title=title,
            title_en=title_en,
            office=holder,
            rules_data=data,
            rules_sha256=digest,
            opens_on=opens_on,
            closes_on=closes_on,
        )
        record(
            "scheme.opened",
            subject=f"scheme:{scheme.pk}",
            actor=principal,
            data={"slug": slug, "rules": rules.slug, "rules_sha256": digest},
            parties=[holder.pk],
        )
    return scheme


def fund_scheme(
    principal: Principal, slug: str, *, amount_micro: int, reference: str, transfer_id: UUID
) -> Scheme:
    """Put vouchers into a scheme's pool: what its budget lets it grant."""
    scheme = find_scheme(principal, slug)
    authorize(principal, "scheme.manage", scheme.resource())
    check_amount_micro(amount_micro)
    with unit_of_work():
        issue = open_account(
            scheme.office_id, ISSUE, scheme.asset, name=scheme.title, floor_micro=None
        )
        pool = scheme_account(scheme, POOL)
        transfer(
            [_move(scheme.asset, transfer_id, issue, pool, amount_micro, "fund-scheme", reference)]
        )
        record(
            "scheme.funded",
            subject=f"scheme:{scheme.pk}",
            actor=principal,
            data={"amount_micro": amount_micro, "reference": reference},
            parties=[scheme.office_id],
        )
    return scheme


def list_schemes(principal: Principal) -> QuerySet[Scheme]:
    """All schemes, for everybody."""
    authorize(principal, "scheme.read", _anything())
    return Scheme.objects.select_related("office").order_by("slug")


def find_scheme(principal: Principal, slug: str) -> Scheme:
    """A scheme by slug."""
    authorize(principal, "scheme.read", _anything())
    scheme = Scheme.objects.select_related("office").filter(slug=slug).first()
    if scheme is None:
        raise MissingRecord(kind="scheme", id=slug)
    return scheme


@dataclass(frozen=True)
class SchemeBalance:
    """Where a scheme's vouchers are, in micro-units."""

    pool_micro: int
    granted_micro: int
    redeemed_micro: int
    paid_micro: int


def scheme_balance(scheme: Scheme) -> SchemeBalance:
    """How much is in the pool, with firms, with providers, and paid."""
    pool, burned = scheme_account(scheme, POOL), scheme_account(scheme, BURNED)
    of_asset = Account.objects.filter(asset=scheme.asset)
    claims = sum(of_asset.filter(code=RECEIVABLE).values_list("posted_micro", flat=True))
    vouchers = of_asset.filter(code__startswith="voucher-v-")
    held = sum(vouchers.values_list("posted_micro", flat=True))
    return SchemeBalance(
        pool_micro=pool.posted_micro,
        granted_micro=held + claims + burned.posted_micro,
        redeemed_micro=claims + burned.posted_micro,
        paid_micro=burned.posted_micro,
    )


# --- applications --------------------------------------------------------------------------------


def check_application(
    principal: Principal, slug: str, *, contract: str, amount_micro: int, declared: Iterable[str]
) -> list[Verdict]:
    """How an application would come out now, condition by condition, without applying."""
    scheme, agreed = find_scheme(principal, slug), find_contract(principal, contract)
    authorize(principal, "voucher.apply", agreed.buyer.resource("Voucher"))
    check_amount_micro(amount_micro)
    facts = _facts(scheme, agreed, amount_micro, frozenset(declared), at=now())
    return judge(scheme.rules, facts)


def apply_for_voucher(
    principal: Principal, slug: str, *, contract: str, amount_micro: int, declared: Iterable[str]
) -> Voucher:
    """Apply for a voucher on a signed contract.

    Raises
    ------
    VoucherRefused
        If a condition is not met; the error names it, with value and threshold.
    """
    declared = frozenset(declared)
    with unit_of_work():
        verdicts = check_application(
            principal, slug, contract=contract, amount_micro=amount_micro, declared=declared
        )
        scheme = Scheme.objects.select_for_update().get(slug=slug)
        agreed = find_contract(principal, contract)
        _check_window(scheme)
        _refuse_unmet(verdicts)
        voucher = Voucher.objects.create(
            scheme=scheme,
            number=f"{scheme.slug}-{scheme.vouchers.count() + 1:05d}",
            organisation=agreed.buyer,
            contract=agreed,
            amount_micro=amount_micro,
            declared=sorted(declared),
            verdicts=_as_data(verdicts),
            applied_by_id=principal.person_id,
        )
        _record("voucher.applied", principal, voucher)
        emit("voucher.applied", {"voucher": voucher.number})
    return voucher


def withdraw_application(principal: Principal, number: str) -> Voucher:
    """Take back an application that was not decided yet."""
    voucher = find_voucher(principal, number)
    authorize(principal, "voucher.withdraw", voucher.resource())
    with unit_of_work():
        return _decide(principal, voucher, Voucher.State.WITHDRAWN, "voucher.withdrawn", "")


def approve_voucher(principal: Principal, number: str, *, note: str = "") -> Voucher:
    """Grant a voucher, as somebody else than who applied: all conditions are judged again.

    The amount moves from the scheme's pool to the voucher's own account, where it is reserved for
    the contract's jobs.
    """
    voucher = find_voucher(principal, number)
    authorize(principal, "voucher.review", voucher.resource())
    with unit_of_work():
        scheme = Scheme.objects.select_for_update().get(pk=voucher.scheme_id)
        facts = _facts(
            scheme,
            voucher.contract,
            voucher.amount_micro,
            frozenset(voucher.declared),
            at=now(),
            besides=voucher,
        )
        verdicts = judge(scheme.rules, facts)
        _refuse_unmet(verdicts)
        account = open_account(
            voucher.organisation_id,
            f"voucher-v-{voucher.pk.hex}",
            scheme.asset,
            name=f"{voucher.organisation.name} {number}",
        )
        voucher.account_id, voucher.verdicts = account.pk, _as_data(verdicts)
        voucher.save(update_fields=["account_id", "verdicts"])
        decided = _decide(principal, voucher, Voucher.State.RESERVED, "voucher.reserved", note)
        pool = scheme_account(scheme, POOL)
        grant = uuid5(voucher.pk, "grant")
        transfer(
            [
                _move(
                    scheme.asset, grant, pool, account, voucher.amount_micro, "grant-voucher",
                    f"voucher:{number}",
                )
            ]
        )  # fmt: skip
    return decided


def refuse_voucher(principal: Principal, number: str, *, note: str) -> Voucher:
    """Refuse an application, with the reason that the firm will read."""
    voucher = find_voucher(principal, number)
    authorize(principal, "voucher.review", voucher.resource())
    if not note.strip():
        raise InvalidField(field="note", value="", rule="say why")
    with unit_of_work():
        return _decide(principal, voucher, Voucher.State.REFUSED, "voucher.refused", note)


def close_voucher(principal: Principal, number: str) -> Voucher:
    """End a voucher after its contract's term: what was not redeemed goes back to the pool."""
    voucher = find_voucher(principal, number)
    authorize(principal, "scheme.manage", voucher.scheme.resource())
    if voucher.contract.ends_on >= now().date():
        raise WrongState(
            kind="contract",
            id=voucher.contract.number,
            state=f"in force until {voucher.contract.ends_on}",
            needed="over",
        )
    with unit_of_work():
        closed = _decide(
            principal,
            voucher,
            Voucher.State.CLOSED,
            "voucher.closed",
            voucher.note,
            needed=Voucher.State.RESERVED,
        )
        account = _account_of(voucher)
        if free_micro(account):
            closed.returned_micro = free_micro(account)
            closed.save(update_fields=["returned_micro"])
            back = uuid5(voucher.pk, "return")
            pool = scheme_account(voucher.scheme, POOL)
            transfer(
                [
                    _move(
                        voucher.scheme.asset, back, account, pool, free_micro(account),
                        "return-voucher", f"voucher:{number}",
                    )
                ]
            )  # fmt: skip
    return closed


def list_vouchers(principal: Principal) -> QuerySet[Voucher]:
    """Vouchers that the caller may see."""
    rows = Voucher.objects.select_related("scheme", "organisation", "contract__provider")
    if principal.platform_roles & {PlatformRole.OFFICER, PlatformRole.AUDITOR}:
        return rows
    return rows.visible_to(principal.organisations())


def find_voucher(principal: Principal, number: str) -> Voucher:
    """A voucher by its number."""
    voucher = (
        Voucher.objects.select_related(
            "scheme__office", "organisation", "contract__provider", "contract__buyer"
        )
        .filter(number=number)
        .first()
    )
    if voucher is None:
        raise MissingRecord(kind="voucher", id=number)
    authorize(principal, "voucher.read", voucher.resource())
    return voucher


@dataclass(frozen=True)
class VoucherBalance:
    """What became of a voucher's amount, in micro-units."""

    left_micro: int
    held_micro: int
    redeemed_micro: int


def voucher_balance(voucher: Voucher) -> VoucherBalance:
    """How much is free, held for jobs, and redeemed."""
    if voucher.account_id is None:
        return VoucherBalance(0, 0, 0)
    account = _account_of(voucher)
    return VoucherBalance(
        left_micro=free_micro(account),
        held_micro=account.held_micro,
        redeemed_micro=voucher.amount_micro - voucher.returned_micro - account.posted_micro,
    )


# --- redeem and pay ------------------------------------------------------------------------------


class VoucherFunding:
    """Fills compute's socket: what a voucher on a contract may pay."""

    def subsidy(self, contract_id: UUID, *, at: datetime) -> tuple[Subsidy | None, str]:
        """The voucher's ratio and what is left of it, or why there is none."""
        voucher = (
            Voucher.objects.select_related("scheme")
            .filter(contract_id=contract_id, state=Voucher.State.RESERVED)
            .first()
        )
        if voucher is None:
            return None, "the contract has no reserved voucher: the firm pays all"
        account = _account_of(voucher)
        ratio = voucher.scheme.rules.ratio_percent
        why = (
            f"voucher {voucher.number} pays {ratio} %, "
            f"{format_micro(free_micro(account))} are left of it"
        )
        subsidy = Subsidy(
            voucher.number, str(account.pk), voucher.scheme.asset, ratio, free_micro(account)
        )
        return subsidy, why


def pay_provider(principal: Principal, slug: str, *, provider: str) -> int:
    """Pay a provider for the vouchers it redeemed: the claim is burned, the office's money moves.

    Both happen or neither. Returns the amount in micro-units.
    """
    scheme, payee = find_scheme(principal, slug), find_organisation(principal, provider)
    authorize(principal, "voucher.pay", scheme.resource())
    with unit_of_work():
        claim = open_account(payee.pk, RECEIVABLE, scheme.asset, name=payee.name)
        Account.objects.select_for_update().get(pk=claim.pk)
        claim.refresh_from_db()
        amount = free_micro(claim)
        if amount <= 0:
            raise NothingToPay(provider=payee.name, scheme=slug)
        payment = new_id()
        office = open_account(scheme.office_id, CASH, CNY, name=scheme.office.name)
        cash = open_account(payee.pk, CASH, CNY, name=payee.name)
        reference = f"scheme:{slug}"
        burn, pay = uuid5(payment, "burn"), uuid5(payment, "pay")
        burned = scheme_account(scheme, BURNED)
        transfer(
            [
                _move(scheme.asset, burn, claim, burned, amount, "burn-voucher", reference),
                _move(CNY, pay, office, cash, amount, "pay-voucher", reference),
            ]
        )
        record(
            "voucher.paid",
            subject=f"scheme:{scheme.pk}",
            actor=principal,
            data={"provider": provider, "amount_micro": amount, "payment": str(payment)},
            parties=[scheme.office_id, payee.pk],
        )
    return amount


def scheme_account(scheme: Scheme, code: str) -> Account:
    """One of a scheme's own accounts."""
    return open_account(scheme.office_id, code, scheme.asset, name=scheme.title)


def free_micro(account: Account) -> int:
    """What can be taken from an account that has a floor."""
    free = account.available_micro
    assert free is not None, f"account {account} has no floor"
    return free


# --- helpers -------------------------------------------------------------------------------------


def _anything() -> Resource:
    return Resource("Scheme")


def _account_of(voucher: Voucher) -> Account:
    assert voucher.account_id is not None, "a granted voucher has an account"
    return Account.objects.get(pk=voucher.account_id)


def _move(
    asset: str,
    transfer_id: UUID,
    debit: Account,
    credit: Account,
    amount_micro: int,
    reason: str,
    reference: str,
) -> TransferOrder:
    return TransferOrder(
        transfer_id=transfer_id,
        kind=Kind.POSTED,
        debit_account_id=debit.pk,
        credit_account_id=credit.pk,
        amount_micro=amount_micro,
        asset=asset,
        reason=reason,
        reference=reference,
    )


def _facts(
    scheme: Scheme,
    contract: Contract,
    amount_micro: int,
    declared: frozenset[str],
    *,
    at: datetime,
    besides: Voucher | None = None,
) -> ApplicationFacts:
    """What is known of an application now; ``besides`` is the voucher that is being reviewed."""
    buyer: Organisation = contract.buyer
    others = Voucher.objects.filter(contract=contract).exclude(
        state__in=[Voucher.State.REFUSED, Voucher.State.WITHDRAWN]
    )
    if besides is not None:
        others = others.exclude(pk=besides.pk)
    return ApplicationFacts(
        amount_micro=amount_micro,
        applicant_kind=buyer.kind,
        eligible_micro=contract.eligible_micro,
        contract_signed_on=contract.signed_on,
        contract_begins_on=contract.begins_on,
        contract_ends_on=contract.ends_on,
        other_vouchers=tuple(others.values_list("number", flat=True)),
        granted_this_year_micro=Voucher.objects.filter(scheme=scheme).granted_in(buyer, at.year),
        pool_micro=free_micro(scheme_account(scheme, POOL)),
        relation=relation_between(
            buyer.pk,
            contract.provider_id,
            at_least_percent=scheme.rules.related_from_percent,
        ),
        declared=declared,
    )


def _check_window(scheme: Scheme) -> None:
    today = now().date()
    if not scheme.opens_on <= today <= scheme.closes_on:
        raise VoucherRefused(
            condition="scheme-window",
            value=today.isoformat(),
            threshold=f"{scheme.opens_on} to {scheme.closes_on}",
        )


def _refuse_unmet(verdicts: Iterable[Verdict]) -> None:
    unmet = next((verdict for verdict in verdicts if not verdict.met), None)
    if unmet is not None:
        raise VoucherRefused(
            condition=unmet.condition, value=unmet.value, threshold=unmet.threshold
        )


def _as_data(verdicts: Iterable[Verdict]) -> list[dict[str, object]]:
    return [
        {"condition": v.condition, "met": v.met, "value": v.value, "threshold": v.threshold}
        for v in verdicts
    ]


def _decide(
    principal: Principal,
    voucher: Voucher,
    state: str,
    kind: str,
    note: str,
    *,
    needed: str = Voucher.State.APPLIED,
) -> Voucher:
    """Move a voucher to its next state, once."""
    moved = Voucher.objects.filter(pk=voucher.pk, state=needed).update(
        state=state, decided_by_id=principal.person_id, decided_at=now(), note=note
    )
    if not moved:
        voucher.refresh_from_db(fields=["state"])
        raise WrongState(kind="voucher", id=voucher.number, state=voucher.state, needed=needed)
    voucher.refresh_from_db()
    _record(kind, principal, voucher)
    return voucher


def _record(kind: str, principal: Principal, voucher: Voucher) -> None:
    record(
        kind,
        subject=f"voucher:{voucher.number}",
        actor=principal,
        data={
            "scheme": voucher.scheme.slug,
            "contract": voucher.contract.number,
            "amount_micro": voucher.amount_micro,
            "verdicts": voucher.verdicts,
            "note": voucher.note,
        },
        parties={voucher.organisation_id, voucher.contract.provider_id, voucher.scheme.office_id},
    )
