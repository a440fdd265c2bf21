"""Which accounts a caller finds, and who may record deposits without reading balances."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from haihe.kernel.ids import new_id
from haihe.ledger.errors import NotFromOutside
from haihe.ledger.models import Account
from haihe.ledger.services import (
    deposit,
    depositable_account,
    depositable_accounts,
    external_account,
    open_account,
    readable_accounts,
    sweep,
    transfer,
)
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, Role, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from tests.ledger.conftest import Watch
from tests.ledger.factories import balance, open_cash, pending

pytestmark = pytest.mark.django_db
MINE, ALSO_MINE, THEIRS = (UUID(int=number) for number in (1, 2, 3))


def person(*roles: PlatformRole, **memberships: UUID) -> Principal:
    return Principal(
        id=new_id(),
        platform_roles=frozenset(roles),
        memberships=frozenset((org, Role(role)) for role, org in memberships.items()),
    )


OPERATOR, AUDITOR = person(PlatformRole.OPERATOR), person(PlatformRole.AUDITOR)
OFFICER = person(PlatformRole.OFFICER)


@pytest.fixture
def accounts(watch: Watch) -> dict[str, Account]:
    return {
        "mine": open_cash("Mine", owner_id=MINE, funds_micro=5),
        "also": open_cash("Also mine", owner_id=ALSO_MINE),
        "theirs": open_cash("Theirs", owner_id=THEIRS),
    }


def names(principal: Principal) -> set[str]:
    return {account.name for account in readable_accounts(principal).items}


def test_nobody_is_asked_to_sign_in(accounts: dict[str, Account]) -> None:
    with pytest.raises(NotSignedIn):
        readable_accounts(ANONYMOUS)


def test_members_find_the_accounts_of_all_their_organisations(
    accounts: dict[str, Account],
) -> None:
    assert names(person(member=MINE, auditor=ALSO_MINE)) == {"Mine", "Also mine"}
    assert names(person(owner=THEIRS)) == {"Theirs"}


@pytest.mark.parametrize("principal", [person(), OPERATOR, OFFICER])
def test_who_belongs_nowhere_finds_nothing(
    accounts: dict[str, Account], principal: Principal
) -> None:
    assert names(principal) == set()


@pytest.mark.parametrize("principal", [AUDITOR, system_principal("console")])
def test_auditor_and_platform_find_all(accounts: dict[str, Account], principal: Principal) -> None:
    assert names(principal) == {"Mine", "Also mine", "Theirs", "External CNY"}


def test_a_token_without_the_scope_finds_nothing(accounts: dict[str, Account]) -> None:
    token = Principal(
        id=new_id(), memberships=frozenset({(MINE, Role.OWNER)}), scopes=frozenset({"compute"})
    )
    with pytest.raises(ScopeMissing):
        readable_accounts(token)


def test_a_long_list_is_read_by_cursor(watch: Watch) -> None:
    opened = [open_cash(f"Account {n}", owner_id=UUID(int=100 + n)) for n in range(5)]
    first = readable_accounts(AUDITOR, limit=3)
    rest = readable_accounts(AUDITOR, limit=3, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == opened[::-1]
    assert rest.next_cursor is None


def test_only_the_operator_finds_accounts_to_deposit_on(accounts: dict[str, Account]) -> None:
    mine = accounts["mine"]
    assert list(depositable_accounts(OPERATOR, MINE).items) == [mine]
    assert depositable_account(OPERATOR, mine.pk) == mine
    for principal in (person(owner=MINE), AUDITOR, OFFICER):
        with pytest.raises(NotAllowed):
            depositable_accounts(principal, MINE)
        with pytest.raises(NotAllowed):
            depositable_account(principal, mine.pk)
    with pytest.raises(NotSignedIn):
        depositable_accounts(ANONYMOUS, MINE)


def test_vouchers_do_not_come_from_outside(accounts: dict[str, Account]) -> None:
    voucher = open_account(MINE, "voucher", "voucher:tj-2025", name="Voucher")
    assert list(depositable_accounts(OPERATOR, MINE).items) == [accounts["mine"]]
    with pytest.raises(NotFromOutside, match="by funding their scheme"):
        deposit(OPERATOR, voucher.pk, transfer_id=new_id(), amount_micro=5, reference="bank")
    with pytest.raises(NotAllowed):
        deposit(AUDITOR, voucher.pk, transfer_id=new_id(), amount_micro=5, reference="bank")
    assert balance(voucher) == (0, 0, 0)
    assert not Account.objects.filter(asset="voucher:tj-2025", code="external").exists()


def test_a_sweep_releases_what_ran_out(accounts: dict[str, Account], watch: Watch) -> None:
    mine = accounts["mine"]
    expires_at = watch.at + timedelta(seconds=10)
    outside = external_account("CNY")
    transfer([pending(mine.pk, outside.pk, 5, expires_at=expires_at)])
    assert sweep(OPERATOR) == 0
    watch.pass_(seconds=11)
    for principal in (person(owner=MINE), AUDITOR, OFFICER):
        with pytest.raises(NotAllowed):
            sweep(principal)
    assert balance(mine) == (5, 5, 0)
    assert sweep(OPERATOR) == 1
    assert balance(mine) == (5, 0, 0)
