"""Accounts are opened once, closed empty, and funded by whom the policies allow."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.ledger.domain import Kind
from haihe.ledger.errors import AccountNotEmpty, FloorDiffers, TransferMismatch
from haihe.ledger.models import Account
from haihe.ledger.services import (
    accounts_of,
    close_account,
    deposit,
    external_account,
    open_account,
    transfer,
)
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, Role
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from tests.ledger.conftest import Watch
from tests.ledger.factories import balance, open_cash, pending, posted, resolve

pytestmark = pytest.mark.django_db
OPERATOR = Principal(id=UUID(int=1), platform_roles=frozenset({PlatformRole.OPERATOR}))


def member(organisation_id: UUID | None, role: Role = Role.MEMBER) -> Principal:
    assert organisation_id is not None
    return Principal(id=UUID(int=2), memberships=frozenset({(organisation_id, role)}))


@pytest.mark.parametrize("owner_id", [None, UUID(int=7)])
def test_an_account_is_opened_once(owner_id: UUID | None) -> None:
    first = open_account(owner_id, "voucher-pool", "voucher:tj-2025", name="Pool")
    again = open_account(owner_id, "voucher-pool", "voucher:tj-2025", name="Another name")
    other = open_account(owner_id, "voucher-pool", "CNY", name="Pool")
    assert (again.pk, again.name) == (first.pk, "Pool")
    assert other.pk != first.pk
    with pytest.raises(FloorDiffers):
        open_account(owner_id, "voucher-pool", "CNY", name="Pool", floor_micro=-5)


@pytest.mark.parametrize("owner_id", [None, UUID(int=7)])
def test_the_database_holds_one_account_per_owner_code_and_asset(owner_id: UUID | None) -> None:
    open_account(owner_id, "cash", "CNY", name="Cash")
    with pytest.raises(IntegrityError):
        Account.objects.create(owner_id=owner_id, code="cash", asset="CNY", name="Twin")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "No Slug"),
        ("asset", "yuan"),
        ("name", ""),
        ("name", "two\nlines"),
        ("floor_micro", 10**19),
        ("floor_micro", 0.5),
    ],
)
def test_a_malformed_account_is_refused_at_the_door(field: str, value: object) -> None:
    fields = {"code": "cash", "asset": "CNY", "name": "Cash", "floor_micro": 0} | {field: value}
    with pytest.raises(InvalidField, match=field):
        open_account(None, **fields)  # type: ignore[arg-type]


def test_only_an_empty_account_is_closed(payer: Account, payee: Account, watch: Watch) -> None:
    with pytest.raises(AccountNotEmpty):
        close_account(payer.pk)
    hold = pending(payer.pk, payee.pk, 1_000)
    transfer([hold])
    with pytest.raises(AccountNotEmpty):
        close_account(payee.pk)
    transfer([resolve(Kind.POST, hold.transfer_id)])
    closed_at = watch.at
    close_account(payer.pk)
    watch.pass_(seconds=5)
    close_account(payer.pk)
    payer.refresh_from_db()
    assert payer.closed_at == closed_at
    with pytest.raises(MissingRecord):
        close_account(new_id())


def test_a_deposit_is_recorded_by_the_operator_and_by_nobody_else(payee: Account) -> None:
    def pay_in(principal: Principal) -> None:
        deposit(
            principal,
            payee.pk,
            transfer_id=new_id(),
            amount_micro=500,
            reference="ICBC 2026-01-01 0042",
        )

    with pytest.raises(NotSignedIn):
        pay_in(ANONYMOUS)
    with pytest.raises(NotAllowed):
        pay_in(member(payee.owner_id, Role.OWNER))
    with pytest.raises(ScopeMissing):
        pay_in(
            Principal(id=OPERATOR.id, platform_roles=OPERATOR.platform_roles, scopes=frozenset())
        )
    assert balance(payee) == (0, 0, 0)
    pay_in(OPERATOR)
    assert balance(payee) == (500, 0, 0)
    assert balance(external_account("CNY")) == (-500, 0, 0)


def test_a_deposit_sent_twice_is_one_deposit_and_one_entry_with_its_author(payee: Account) -> None:
    transfer_id = new_id()

    def pay_in(amount_micro: int, reference: str = "budget 12") -> None:
        deposit(
            OPERATOR,
            payee.pk,
            transfer_id=transfer_id,
            amount_micro=amount_micro,
            reference=reference,
        )

    pay_in(500)
    pay_in(500)
    with pytest.raises(TransferMismatch), transaction.atomic():
        pay_in(501)
    with pytest.raises(InvalidField, match="reference"), transaction.atomic():
        pay_in(500, reference="")
    assert balance(payee) == (500, 0, 0)
    entry = EvidenceEntry.objects.get(kind="account.deposited")
    assert (entry.subject, entry.actor) == (f"account:{payee.pk}", OPERATOR.actor)
    assert entry.parties == (payee.owner_id,)
    assert entry.data == {
        "transfer": str(transfer_id),
        "asset": "CNY",
        "amount_micro": 500,
        "reference": "budget 12",
    }


def test_an_organisation_sees_its_own_accounts_only(payer: Account, payee: Account) -> None:
    assert payer.owner_id is not None
    open_account(payer.owner_id, "voucher", "voucher:tj-2025", name="Voucher")
    with pytest.raises(NotSignedIn):
        accounts_of(ANONYMOUS, payer.owner_id)
    with pytest.raises(NotAllowed):
        accounts_of(member(payee.owner_id), payer.owner_id)
    found = accounts_of(member(payer.owner_id), payer.owner_id)
    assert [account.name for account in found.items] == ["Voucher", "Payer"]


def test_the_floor_is_held_by_the_database_too(payer: Account) -> None:
    with pytest.raises(IntegrityError):
        Account.objects.filter(pk=payer.pk).update(held_micro=1_001)


def test_an_account_with_credit_may_owe_down_to_its_floor(payee: Account) -> None:
    credit = open_account(new_id(), "credit", "CNY", name="Credit", floor_micro=-300)
    transfer([posted(credit.pk, payee.pk, 300)])
    assert balance(credit) == (-300, 0, 0)
    assert credit.available_micro == 0
    assert open_cash("Empty").available_micro == 0
    assert external_account("CNY").available_micro is None
