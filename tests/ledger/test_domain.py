"""The rules over plain values: what is a well-formed order, and what any sequence of them keeps."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.kernel.errors import HaiheError, InvalidField
from haihe.kernel.money import CNY
from haihe.ledger.domain import (
    BALANCE_LIMIT_MICRO,
    RESOLVING,
    AccountState,
    Balance,
    Books,
    Kind,
    TransferOrder,
    available_micro,
)
from tests.ledger.truth import balance_by_definition

START = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = [UUID(int=n) for n in range(1, 5)]
FLOORS = [0, 0, -1_000, None]
GOOD: dict[str, Any] = {
    "transfer_id": UUID(int=99),
    "kind": Kind.POSTED,
    "reason": "job-payment",
    "reference": "作业 17",
    "debit_account_id": ACCOUNTS[0],
    "credit_account_id": ACCOUNTS[1],
    "amount_micro": 5,
    "asset": CNY,
}
RESOLUTION: dict[str, Any] = {
    "transfer_id": UUID(int=99),
    "kind": Kind.VOID,
    "reason": "job-cancelled",
    "reference": "17",
    "pending_id": UUID(int=98),
}


@pytest.mark.parametrize(
    "change",
    [
        {"amount_micro": 0},
        {"amount_micro": -5},
        {"amount_micro": 5.0},
        {"amount_micro": True},
        {"amount_micro": float("nan")},
        {"amount_micro": None},
        {"amount_micro": 10**18},
        {"asset": "yuan"},
        {"asset": None},
        {"reason": "Job payment"},
        {"reference": ""},
        {"reference": "x" * 201},
        {"reference": "a\x00b"},
        {"reference": "two\nlines"},
        {"reference": "\ud800"},
        {"debit_account_id": None},
        {"credit_account_id": ACCOUNTS[0]},
        {"pending_id": UUID(int=98)},
        {"expires_at": START},
        {"kind": Kind.PENDING, "expires_at": datetime(2026, 1, 1)},
    ],
    ids=repr,
)
def test_a_malformed_movement_is_refused_at_the_door(change: dict[str, Any]) -> None:
    TransferOrder(**GOOD)
    with pytest.raises(InvalidField):
        TransferOrder(**GOOD | change)


@pytest.mark.parametrize(
    "change",
    [
        {"pending_id": None},
        {"amount_micro": 5},
        {"kind": Kind.EXPIRE, "amount_micro": 5},
        {"kind": Kind.POST, "amount_micro": 0},
        {"asset": CNY},
        {"expires_at": START},
        {"debit_account_id": ACCOUNTS[0]},
        {"credit_account_id": ACCOUNTS[0]},
    ],
    ids=repr,
)
def test_a_malformed_resolution_is_refused_at_the_door(change: dict[str, Any]) -> None:
    TransferOrder(**RESOLUTION)
    with pytest.raises(InvalidField):
        TransferOrder(**RESOLUTION | change)


ids = st.integers(100, 130).map(lambda n: UUID(int=n))
amounts = st.integers(1, 700)
lifetimes = st.none() | st.integers(1, 20).map(lambda n: START + timedelta(seconds=n))
common = {"transfer_id": ids, "reason": st.just("test"), "reference": st.just("r")}
movements = st.builds(
    lambda pair, expires_at, **fields: TransferOrder(
        **fields,
        debit_account_id=pair[0],
        credit_account_id=pair[1],
        expires_at=expires_at if fields["kind"] is Kind.PENDING else None,
        asset=CNY,
    ),
    **common,
    kind=st.sampled_from([Kind.POSTED, Kind.PENDING]),
    pair=st.permutations(ACCOUNTS),
    amount_micro=amounts,
    expires_at=lifetimes,
)
resolutions = st.builds(
    lambda amount_micro, **fields: TransferOrder(
        **fields, amount_micro=amount_micro if fields["kind"] is Kind.POST else None
    ),
    **common,
    kind=st.sampled_from(sorted(RESOLVING)),
    pending_id=ids,
    amount_micro=st.none() | amounts,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(movements | resolutions, max_size=60))
def test_any_sequence_of_orders_keeps_the_books_right(orders: list[TransferOrder]) -> None:
    books = Books(
        AccountState(account_id, f"A{account_id.int}", CNY, floor)
        for account_id, floor in zip(ACCOUNTS, FLOORS, strict=True)
    )
    for step, order in enumerate(orders):
        before = deepcopy(books.accounts), list(books.fresh)
        try:
            record = books.apply(order, START + timedelta(seconds=step / 2))
        except HaiheError:
            assert (books.accounts, books.fresh) == before, "a refusal changes nothing"
            continue
        again = books.apply(order, START + timedelta(days=1))
        assert again is record, "and a repeat finds what the first one did"
    balances = {key: account.balance for key, account in books.accounts.items()}
    for account_id, floor in zip(ACCOUNTS, FLOORS, strict=True):
        balance = balances[account_id]
        assert balance == balance_by_definition(account_id, books.fresh)
        assert balance.held_micro >= 0
        assert (available_micro(balance, floor) or 0) >= 0
    assert sum(balance.posted_micro for balance in balances.values()) == 0
    changed = {key: balance for key, balance in balances.items() if balance != Balance()}
    assert books.deltas() == changed


@given(st.integers(-BALANCE_LIMIT_MICRO, BALANCE_LIMIT_MICRO), amounts)
def test_what_is_held_can_always_be_paid(posted_micro: int, amount_micro: int) -> None:
    payer = AccountState(ACCOUNTS[0], "A", CNY, None, balance=Balance(posted_micro))
    payee = AccountState(ACCOUNTS[1], "B", CNY, None, balance=Balance(-posted_micro))
    books = Books([payer, payee])
    hold = TransferOrder(**GOOD | {"kind": Kind.PENDING, "amount_micro": amount_micro})
    try:
        books.apply(hold, START)
    except HaiheError:
        return
    post = RESOLUTION | {"kind": Kind.POST, "transfer_id": UUID(int=1), "pending_id": UUID(int=99)}
    assert books.apply(TransferOrder(**post), START).amount_micro == amount_micro
