"""The audit finds each way in which books can be wrong, and nothing in books that are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from haihe.kernel.money import MAX_AMOUNT_MICRO
from haihe.ledger.domain import Discrepancy, Kind, Rule
from haihe.ledger.models import Account, Expiry, Transfer
from haihe.ledger.services import audit, open_account, transfer
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.ledger.conftest import Watch
from tests.ledger.factories import pending, posted, resolve
from tests.triggers import LEDGER

pytestmark = pytest.mark.django_db
SYSTEM = system_principal("test")


@pytest.fixture
def books(payer: Account, payee: Account, watch: Watch) -> dict[str, UUID]:
    """Books with a transfer of each kind in them; the ids of the transfers by name."""
    expires_at = watch.at + timedelta(hours=1)
    orders = {
        "paid": posted(payer.pk, payee.pk, 10),
        "hold": pending(payer.pk, payee.pk, 100, expires_at=expires_at),
        "open": pending(payer.pk, payee.pk, 200, expires_at=expires_at),
        "dropped": pending(payer.pk, payee.pk, 300),
        "lapsed": pending(payer.pk, payee.pk, 50, expires_at=watch.at + timedelta(seconds=1)),
    }
    transfer(list(orders.values()))
    watch.pass_(seconds=1)
    ends = {
        "post": resolve(Kind.POST, orders["hold"].transfer_id, amount_micro=60),
        "void": resolve(Kind.VOID, orders["dropped"].transfer_id),
        "expire": resolve(Kind.EXPIRE, orders["lapsed"].transfer_id),
    }
    transfer(list(ends.values()))
    return {name: order.transfer_id for name, order in (orders | ends).items()}


@pytest.fixture
def tampered(books: dict[str, UUID]) -> Callable[..., None]:
    """Change transfers as somebody would who had removed the guards first."""
    connection.check_constraints()
    with connection.cursor() as cursor:
        for statement in LEDGER.DROP[connection.vendor]:
            cursor.execute(statement)

    def change(name: str, **fields: Any) -> None:
        Transfer.objects.filter(transfer_id=books[name]).update(**fields)

    return change


@contextmanager
def unchecked() -> Iterator[None]:
    """Switch off the CHECK constraints that the audit does not rely on."""
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        if sqlite:
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        else:
            connection.check_constraints()
            cursor.execute("ALTER TABLE ledger_account DROP CONSTRAINT ledger_floor_holds")
        try:
            yield
        finally:
            if sqlite:
                cursor.execute("PRAGMA ignore_check_constraints = OFF")


def found() -> set[tuple[Rule, str]]:
    return {(each.rule, each.subject) for each in audit(SYSTEM).discrepancies}


def test_the_audit_is_for_those_who_answer_for_the_books(books: dict[str, UUID]) -> None:
    with pytest.raises(NotSignedIn):
        audit(ANONYMOUS)
    with pytest.raises(NotAllowed):
        audit(Principal(id=UUID(int=1)))
    for role in PlatformRole:
        assert audit(Principal(id=UUID(int=1), platform_roles=frozenset({role}))).balanced


def test_right_books_balance(books: dict[str, UUID], watch: Watch) -> None:
    result = audit(SYSTEM)
    assert (result.at, result.accounts, result.transfers) == (watch.at, 3, 9)
    assert (result.open_pending, result.discrepancies, result.balanced) == (1, (), True)


def test_a_balance_that_no_transfer_made_is_found(books: dict[str, UUID], payer: Account) -> None:
    Account.objects.filter(pk=payer.pk).update(posted_micro=5_000)
    result = audit(SYSTEM)
    assert not result.balanced
    assert set(result.discrepancies) == {
        Discrepancy(Rule.ASSET_SUM, "CNY", 4_070, 0),
        Discrepancy(Rule.POSTED, str(payer.pk), 5_000, 930),
    }


@pytest.mark.parametrize(
    ("column", "rule"), [("held_micro", Rule.HELD), ("incoming_micro", Rule.INCOMING)]
)
def test_a_hold_that_no_transfer_made_is_found(
    books: dict[str, UUID], payee: Account, column: str, rule: Rule
) -> None:
    Account.objects.filter(pk=payee.pk).update(**{column: 7})
    assert found() == {(rule, str(payee.pk))}


def test_a_changed_amount_is_found(tampered: Callable[..., None]) -> None:
    tampered("paid", amount_micro=11)
    assert {rule for rule, _ in found()} == {Rule.POSTED}


def test_a_floor_raised_over_a_balance_is_found(books: dict[str, UUID], payee: Account) -> None:
    with unchecked():
        Account.objects.filter(pk=payee.pk).update(floor_micro=71)
    assert found() == {(Rule.FLOOR, str(payee.pk))}


def test_a_transfer_between_assets_is_found(
    tampered: Callable[..., None], books: dict[str, UUID]
) -> None:
    voucher = open_account(None, "pool", "voucher:tj-2025", name="Pool", floor_micro=None)
    tampered("open", debit_account=voucher)
    assert (Rule.ONE_ASSET, str(books["open"])) in found()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("post", {"amount_micro": 101}),
        ("void", {"amount_micro": 299}),
        ("void", {"kind": "expire"}),
        ("hold", {"kind": "posted", "expires_at": None}),
        ("hold", {"amount_micro": 59}),
        ("lapsed", {"expires_at": None}),
        ("post", {"created_at": "2026-02-01T00:00Z"}),
    ],
    ids=str,
)
def test_a_resolution_that_contradicts_its_pending_transfer_is_found(
    tampered: Callable[..., None], books: dict[str, UUID], name: str, change: dict[str, Any]
) -> None:
    resolution = {"hold": "post", "lapsed": "expire"}.get(name, name)
    tampered(name, **change)
    assert (Rule.RESOLUTION, str(books[resolution])) in found()


def test_a_resolution_on_other_accounts_is_found(
    tampered: Callable[..., None], books: dict[str, UUID], payer: Account, payee: Account
) -> None:
    tampered("void", debit_account=payee, credit_account=payer)
    assert (Rule.RESOLUTION, str(books["void"])) in found()


def test_a_lost_entry_of_the_expiry_list_is_found(books: dict[str, UUID]) -> None:
    Expiry.objects.all().delete()
    assert found() == {(Rule.EXPIRY, str(books["open"]))}


def test_a_stale_entry_of_the_expiry_list_is_found(books: dict[str, UUID], watch: Watch) -> None:
    Expiry.objects.create(pending_id=books["hold"], expires_at=watch.at)
    assert found() == {(Rule.EXPIRY, str(books["hold"]))}


def test_the_list_of_discrepancies_is_bounded(
    books: dict[str, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haihe.ledger.services.MAX_DISCREPANCIES", 2)
    Account.objects.update(incoming_micro=9)
    assert len(audit(SYSTEM).discrepancies) == 2


def test_turnover_beyond_64_bits_is_summed_exactly(watch: Watch) -> None:
    vault, sink = (
        open_account(None, code, "CNY", name=code, floor_micro=None) for code in ("vault", "sink")
    )
    times = 2**63 // MAX_AMOUNT_MICRO + 1
    orders = []
    for _ in range(times):
        orders.append(posted(vault.pk, sink.pk, MAX_AMOUNT_MICRO))
        orders.append(posted(sink.pk, vault.pk, MAX_AMOUNT_MICRO - 1))
    transfer(orders)
    assert audit(SYSTEM).balanced
    sink.refresh_from_db()
    assert sink.posted_micro == times
