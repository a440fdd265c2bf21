"""Callers at the same moment: each floor holds, each hold resolves once, each id has one effect."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now, use_clock
from haihe.kernel.errors import HaiheError
from haihe.kernel.ids import new_id
from haihe.ledger.domain import Kind
from haihe.ledger.errors import (
    AlreadyResolved,
    InsufficientFunds,
    TransferMismatch,
    TransferRaced,
)
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import audit, deposit, expire_due, open_account, transfer
from haihe.policy.domain import system_principal
from tests.ledger.factories import balance, open_cash, pending, posted, resolve

pytestmark = pytest.mark.usefixtures("committed")
THREADS = 4
SYSTEM = system_principal("test")


def at_once(call: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """What ``call(n)`` returned or raised in each of several threads that start together."""
    barrier = Barrier(threads)

    def run(number: int) -> Any:
        barrier.wait(timeout=30)
        try:
            return call(number)
        except HaiheError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def kinds(outcomes: list[Any]) -> dict[str, int]:
    names = [type(outcome).__name__ for outcome in outcomes]
    return {name: names.count(name) for name in set(names)}


def test_of_several_resolutions_of_one_hold_exactly_one_wins() -> None:
    payer, payee = open_cash("Payer", funds_micro=1_000), open_cash("Payee")
    for _ in range(8):
        hold = pending(payer.pk, payee.pk, 10)
        transfer([hold])
        orders = [
            resolve(kind, hold.transfer_id) for kind in (Kind.POST, Kind.POST, Kind.VOID, Kind.POST)
        ]
        outcomes = at_once(lambda n: transfer([orders[n]]))  # noqa: B023
        assert kinds(outcomes) == {"list": 1, AlreadyResolved.__name__: 3}
    assert audit(SYSTEM).balanced
    assert balance(payer)[1] == 0


def test_many_who_drain_an_account_never_take_it_below_its_floor() -> None:
    payer = open_cash("Payer", funds_micro=100)
    payees = [open_cash(f"Payee {n}") for n in range(THREADS)]

    def drain(number: int) -> int:
        taken = 0
        for turn in range(40):
            hold = pending(payer.pk, payees[number].pk, 3)
            orders = [hold, resolve(Kind.POST, hold.transfer_id, amount_micro=1 + turn % 3)]
            try:
                transfer(orders if turn % 2 else [posted(payer.pk, payees[number].pk, 2)])
            except InsufficientFunds:
                continue
            taken += 1 + turn % 3 if turn % 2 else 2
        return taken

    taken = at_once(drain)
    left, held, _ = balance(payer)
    assert sum(taken) == 100 - left
    assert held == 0
    assert 0 <= left < 3
    assert [balance(payee)[0] for payee in payees] == taken
    assert audit(SYSTEM).balanced


def test_one_order_from_many_threads_has_one_effect() -> None:
    payer, payee = open_cash("Payer", funds_micro=1_000), open_cash("Payee")
    order = posted(payer.pk, payee.pk, 400)
    outcomes = at_once(lambda _: transfer([order]))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert kinds(outcomes) == {"list": THREADS}
    assert balance(payer) == (600, 0, 0)


def test_one_id_for_several_contents_goes_to_one_of_them() -> None:
    pairs = [(open_cash("Payer", funds_micro=9), open_cash("Payee")) for _ in range(THREADS)]
    transfer_id = new_id()
    outcomes = at_once(
        lambda n: transfer([posted(pairs[n][0].pk, pairs[n][1].pk, 5, transfer_id=transfer_id)])
    )
    lost = [outcome for outcome in outcomes if not isinstance(outcome, list)]
    assert len(lost) == THREADS - 1
    assert all(isinstance(error, TransferMismatch | TransferRaced) for error in lost)
    assert sum(balance(payee)[0] for _, payee in pairs) == 5
    assert audit(SYSTEM).balanced


def test_transfers_in_opposite_directions_do_not_lock_each_other_out() -> None:
    accounts = [open_cash(f"A{n}", funds_micro=1_000) for n in range(3)]

    def rotate(number: int) -> int:
        ring = accounts if number % 2 else accounts[::-1]
        for _ in range(15):
            transfer([posted(a.pk, b.pk, 7) for a, b in zip(ring, ring[1:], strict=False)])
        return number

    assert at_once(rotate) == list(range(THREADS))
    assert [balance(account)[0] for account in accounts] == [1_000] * 3


def test_an_account_opened_by_many_is_one() -> None:
    for owner_id in (None, UUID(int=3)):
        found = at_once(lambda _: open_account(owner_id, "pool", "CNY", name="Pool").pk)  # noqa: B023
        assert len(set(found)) == 1


def test_a_deposit_sent_by_many_is_logged_once() -> None:
    payee, transfer_id = open_cash("Payee"), new_id()
    at_once(
        lambda _: deposit(
            SYSTEM, payee.pk, transfer_id=transfer_id, amount_micro=5, reference="bank 1"
        )
    )
    assert balance(payee) == (5, 0, 0)
    assert EvidenceEntry.objects.filter(kind="account.deposited").count() == 1


def test_sweeps_and_voids_at_once_release_each_hold_once() -> None:
    payer, payee = open_cash("Payer", funds_micro=1_000), open_cash("Payee")
    soon = now() + timedelta(seconds=1)
    holds = [pending(payer.pk, payee.pk, 10, expires_at=soon) for _ in range(20)]
    transfer(holds)

    def release(number: int) -> int:
        with use_clock(lambda: soon):
            if number:
                return expire_due(soon)
            voids = [resolve(Kind.VOID, hold.transfer_id) for hold in holds[::3]]
            return sum(not isinstance(attempt(void), HaiheError) for void in voids)

    def attempt(order: Any) -> Any:
        try:
            return transfer([order])
        except AlreadyResolved as error:
            return error

    assert sum(at_once(release)) == len(holds)
    assert balance(payer) == (1_000, 0, 0)
    assert Transfer.objects.filter(pending__isnull=False).count() == len(holds)
    assert audit(SYSTEM).balanced


def test_an_audit_beside_writers_finds_nothing_wrong() -> None:
    accounts = [open_cash(f"A{n}", funds_micro=1_000) for n in range(3)]

    def work(number: int) -> bool:
        if number == 0:
            return all(audit(SYSTEM).balanced for _ in range(10))
        a, b = accounts[number - 1], accounts[number % 3]
        for _ in range(15):
            hold = pending(a.pk, b.pk, 2)
            transfer([hold])
            transfer([resolve(Kind.POST, hold.transfer_id)])
        return True

    assert at_once(work) == [True] * THREADS
    assert Account.objects.filter(held_micro__gt=0).count() == 0
