"""Money moves as ordered, wholly or not at all, and once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from haihe.kernel.errors import MissingRecord, WrongState
from haihe.kernel.ids import new_id
from haihe.kernel.money import MAX_AMOUNT_MICRO
from haihe.kernel.work import unit_of_work
from haihe.ledger import domain
from haihe.ledger.domain import Kind
from haihe.ledger.errors import (
    AccountClosed,
    AlreadyResolved,
    AssetMismatch,
    BalanceLimitReached,
    DuplicateOrder,
    GroupComplete,
    InsufficientFunds,
    PendingExpired,
    PendingNotDue,
    PostExceedsPending,
    TooManyOrders,
    TransferMismatch,
)
from haihe.ledger.models import Account, Expiry, Transfer
from haihe.ledger.services import close_account, expire_due, open_account, transfer
from tests.ledger.conftest import Watch
from tests.ledger.factories import balance, open_cash, pending, posted, resolve

pytestmark = pytest.mark.django_db


def test_a_posted_transfer_moves_its_amount_and_nothing_else(
    payer: Account, payee: Account, watch: Watch
) -> None:
    order = posted(payer.pk, payee.pk, 400, reason="job-payment", reference="作业 17")
    [record] = transfer([order])
    assert balance(payer) == (600, 0, 0)
    assert balance(payee) == (400, 0, 0)
    row = Transfer.objects.get(transfer_id=order.transfer_id)
    assert (row.kind, row.amount_micro, row.reason, row.reference, row.created_at) == (
        "posted", 400, "job-payment", "作业 17", watch.at,
    )  # fmt: skip
    assert Transfer.objects.records([order.transfer_id]) == [record]


def test_an_order_sent_twice_has_one_effect(payer: Account, payee: Account, watch: Watch) -> None:
    order = posted(payer.pk, payee.pk, 400)
    first = transfer([order])
    watch.pass_(seconds=60)
    assert transfer([order]) == first
    later = posted(payer.pk, payee.pk, 1)
    assert transfer([order, later])[0] == first[0], "old and new orders may share a batch"
    assert balance(payer) == (599, 0, 0)


def test_a_resolution_sent_twice_has_one_effect(
    payer: Account, payee: Account, watch: Watch
) -> None:
    hold = pending(payer.pk, payee.pk, 400, expires_at=watch.at + timedelta(hours=1))
    post = resolve(Kind.POST, hold.transfer_id, amount_micro=300)
    transfer([hold])
    first = transfer([post])
    watch.pass_(seconds=7_200)
    assert transfer([post]) == first, "though its pending transfer is resolved and past its time"
    assert transfer([hold])[0].amount_micro == 400
    assert balance(payer) == (700, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"amount_micro": 401},
        {"reason": "other"},
        {"reference": "job-2"},
        {"group_id": UUID(int=5)},
        {"kind": Kind.PENDING},
        {"debit_account_id": "payee", "credit_account_id": "payer"},
    ],
    ids=str,
)
def test_an_id_with_another_content_is_refused(
    payer: Account, payee: Account, change: dict[str, Any]
) -> None:
    order = posted(payer.pk, payee.pk, 400)
    transfer([order])
    ids = {"payer": payer.pk, "payee": payee.pk}
    other = replace(order, **{name: ids.get(value, value) for name, value in change.items()})
    with pytest.raises(TransferMismatch, match=str(order.transfer_id)):
        transfer([other])
    assert balance(payer) == (600, 0, 0)


def test_a_post_of_less_is_no_repeat_of_a_full_post(payer: Account, payee: Account) -> None:
    hold = pending(payer.pk, payee.pk, 400)
    post = resolve(Kind.POST, hold.transfer_id, amount_micro=300)
    transfer([hold, post])
    with pytest.raises(TransferMismatch):
        transfer([resolve(Kind.POST, hold.transfer_id, transfer_id=post.transfer_id)])


def test_held_funds_are_neither_spent_nor_available(payer: Account, payee: Account) -> None:
    transfer([pending(payer.pk, payee.pk, 700)])
    assert balance(payer) == (1_000, 700, 0)
    assert balance(payee) == (0, 0, 700)
    assert payer.available_micro == 300
    with pytest.raises(InsufficientFunds) as refusal:
        transfer([posted(payer.pk, payee.pk, 301)])
    assert str(refusal.value) == (
        "Payer has 0.0003 CNY available, and 0.000301 CNY is needed. Deposit the difference or "
        "ask for less."
    )
    with pytest.raises(InsufficientFunds):
        transfer([posted(payee.pk, payer.pk, 1)])
    transfer([posted(payer.pk, payee.pk, 300)])
    assert balance(payer) == (700, 700, 0)


@pytest.mark.parametrize(
    ("kind", "amount_micro", "paid_micro"),
    [(Kind.POST, None, 700), (Kind.POST, 250, 250), (Kind.VOID, None, 0)],
)
def test_a_resolution_pays_its_amount_and_releases_the_rest(
    payer: Account, payee: Account, kind: Kind, amount_micro: int | None, paid_micro: int
) -> None:
    hold = pending(payer.pk, payee.pk, 700)
    transfer([hold])
    transfer([resolve(kind, hold.transfer_id, amount_micro=amount_micro)])
    assert balance(payer) == (1_000 - paid_micro, 0, 0)
    assert balance(payee) == (paid_micro, 0, 0)
    for again in (Kind.POST, Kind.VOID):
        with pytest.raises(AlreadyResolved):
            transfer([resolve(again, hold.transfer_id)])


def test_no_more_is_posted_than_was_held(payer: Account, payee: Account) -> None:
    hold = pending(payer.pk, payee.pk, 700)
    transfer([hold])
    with pytest.raises(PostExceedsPending):
        transfer([resolve(Kind.POST, hold.transfer_id, amount_micro=701)])
    assert balance(payer) == (1_000, 700, 0)


def test_a_pending_transfer_past_its_time_cannot_be_posted_even_before_the_sweep(
    payer: Account, payee: Account, watch: Watch
) -> None:
    hold = pending(payer.pk, payee.pk, 700, expires_at=watch.at + timedelta(seconds=60))
    transfer([hold])
    with pytest.raises(PendingNotDue):
        transfer([resolve(Kind.EXPIRE, hold.transfer_id)])
    watch.pass_(seconds=60)
    with pytest.raises(PendingExpired):
        transfer([resolve(Kind.POST, hold.transfer_id)])
    transfer([resolve(Kind.VOID, hold.transfer_id)])
    assert balance(payer) == (1_000, 0, 0)


def test_the_sweep_releases_what_is_due_and_only_that(
    payer: Account, payee: Account, watch: Watch
) -> None:
    due, later = (watch.at + timedelta(seconds=wait) for wait in (60, 120))
    holds = [pending(payer.pk, payee.pk, 10, expires_at=due) for _ in range(4)]
    kept = pending(payer.pk, payee.pk, 50, expires_at=later)
    forever = pending(payer.pk, payee.pk, 500)
    voided = resolve(Kind.VOID, holds[0].transfer_id)
    transfer([*holds, kept, forever, voided])
    assert expire_due(watch.at) == 0
    at = watch.pass_(seconds=60)
    assert expire_due(at, limit=2) == 2
    assert expire_due(at) == 1
    assert expire_due(at) == 0
    assert balance(payer) == (1_000, 550, 0)
    assert Expiry.objects.count() == 1
    expired = Transfer.objects.filter(kind=Kind.EXPIRE)
    assert {row.reference for row in expired} == {"job-1"}


def test_a_batch_is_carried_out_in_its_order_or_not_at_all(payer: Account, payee: Account) -> None:
    third = open_cash("Third")
    onward = [posted(payer.pk, payee.pk, 900), posted(payee.pk, third.pk, 900)]
    with pytest.raises(InsufficientFunds, match="Payee"):
        transfer(onward[::-1])
    with pytest.raises(InsufficientFunds, match="Third"):
        transfer([*onward, posted(third.pk, payer.pk, 901)])
    assert (balance(payer), balance(payee), balance(third)) == ((1_000, 0, 0), (0, 0, 0), (0, 0, 0))
    assert not Transfer.objects.filter(debit_account=payer).exists()
    transfer(onward)
    assert balance(third) == (900, 0, 0)


def test_a_failure_after_the_transfer_undoes_it(payer: Account, payee: Account) -> None:
    @unit_of_work()
    def pay_and_fail() -> None:
        transfer([posted(payer.pk, payee.pk, 400)])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        pay_and_fail()
    assert balance(payer) == (1_000, 0, 0)


def test_a_group_is_written_whole(payer: Account, payee: Account) -> None:
    group_id = new_id()
    group = [posted(payer.pk, payee.pk, 10, group_id=group_id) for _ in range(3)]
    transfer(group)
    assert len(transfer(group)) == 3
    for other in (group[:2], [*group, posted(payer.pk, payee.pk, 10, group_id=group_id)]):
        with pytest.raises(GroupComplete, match="with 3 transfers"):
            transfer(other)
    assert balance(payer) == (970, 0, 0)


def test_assets_do_not_mix(payer: Account) -> None:
    voucher = open_account(payer.owner_id, "voucher", "voucher:tj-2025", name="Voucher")
    with pytest.raises(AssetMismatch, match="Voucher holds voucher:tj-2025"):
        transfer([posted(payer.pk, voucher.pk, 1)])
    with pytest.raises(AssetMismatch, match="Payer holds CNY"):
        transfer([posted(payer.pk, voucher.pk, 1, asset="voucher:tj-2025")])


def test_accounts_and_pending_transfers_must_exist(payer: Account, payee: Account) -> None:
    with pytest.raises(MissingRecord, match="account"):
        transfer([posted(payer.pk, new_id(), 1)])
    with pytest.raises(MissingRecord, match="pending transfer"):
        transfer([resolve(Kind.POST, new_id())])
    order = posted(payer.pk, payee.pk, 1)
    transfer([order])
    with pytest.raises(WrongState, match="is posted"):
        transfer([resolve(Kind.VOID, order.transfer_id)])


def test_a_closed_account_takes_part_in_nothing_new(payer: Account, payee: Account) -> None:
    order = posted(payer.pk, payee.pk, 1)
    transfer([order, posted(payee.pk, payer.pk, 1)])
    close_account(payee.pk)
    assert transfer([order])[0].amount_micro == 1, "what was done before can be sent again"
    for new in (posted(payer.pk, payee.pk, 1), pending(payer.pk, payee.pk, 1)):
        with pytest.raises(AccountClosed, match="Payee"):
            transfer([new])


def test_a_balance_stays_where_sums_are_exact(
    payer: Account, payee: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, sink = (
        open_account(None, code, "CNY", name=code, floor_micro=None) for code in ("vault", "sink")
    )
    big = MAX_AMOUNT_MICRO
    limit = 5 * big
    monkeypatch.setattr(domain, "BALANCE_LIMIT_MICRO", limit)
    for _ in range(4):
        transfer([pending(vault.pk, sink.pk, big)])
    transfer([posted(vault.pk, sink.pk, big)])
    assert balance(sink) == (big, 0, 4 * big)
    with pytest.raises(BalanceLimitReached, match="vault"):
        transfer([posted(vault.pk, payee.pk, 1)])
    with pytest.raises(BalanceLimitReached, match="sink"):
        transfer([posted(payer.pk, sink.pk, 1)])
    for hold in Transfer.objects.filter(kind=Kind.PENDING):
        transfer([resolve(Kind.POST, hold.transfer_id)])
    assert balance(sink) == (limit, 0, 0), "whatever was held can be paid"


def test_a_batch_has_a_limit_and_names_each_id_once(
    payer: Account, payee: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert transfer([]) == []
    order = posted(payer.pk, payee.pk, 1)
    with pytest.raises(DuplicateOrder, match=str(order.transfer_id)):
        transfer([order, posted(payer.pk, payee.pk, 1), order])
    monkeypatch.setattr(domain, "MAX_ORDERS", 2)
    with pytest.raises(TooManyOrders, match="3 orders"):
        transfer([posted(payer.pk, payee.pk, 1) for _ in range(3)])


def test_the_largest_batch_fits_both_databases(payer: Account, payee: Account) -> None:
    vault = open_account(None, "vault", "CNY", name="vault", floor_micro=None)
    holds = [pending(vault.pk, payee.pk, 1) for _ in range(domain.MAX_ORDERS)]
    transfer(holds)
    posts = [resolve(Kind.POST, hold.transfer_id) for hold in holds]
    assert len(transfer(posts)) == domain.MAX_ORDERS
    assert transfer(posts)[-1].transfer_id == posts[-1].transfer_id
    assert balance(payee) == (domain.MAX_ORDERS, 0, 0)
