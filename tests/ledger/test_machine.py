"""Any history of calls leaves the database where the rules over plain values leave their model.

The model is :class:`Books`, held beside the service over the whole history. What both might have
wrong is held against two readings that share nothing with them: balances by definition, from the
list of all transfers, and the audit's SQL.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from haihe.kernel.clock import use_clock
from haihe.kernel.errors import HaiheError
from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY
from haihe.ledger.domain import (
    AccountState,
    Balance,
    Books,
    Kind,
    TransferOrder,
    TransferRecord,
    check_batch,
    check_groups,
)
from haihe.ledger.errors import AccountNotEmpty
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import (
    audit,
    balance_of,
    close_account,
    expire_due,
    open_account,
    statement,
    transfer,
)
from haihe.policy.domain import system_principal
from tests.ledger.truth import balance_by_definition

SYSTEM = system_principal("test")
VOUCHER = "voucher:tj-2025"
PLAN = [
    ("outside", CNY, None),
    ("credit", CNY, -500),
    ("cash", CNY, 0),
    ("savings", CNY, 0),
    ("outside", VOUCHER, None),
    ("pool", VOUCHER, 0),
]
MOVEMENTS = [Kind.POSTED, Kind.PENDING, Kind.PENDING]
RESOLUTIONS = [Kind.POST, Kind.POST, Kind.VOID, Kind.EXPIRE]
seldom = st.sampled_from([*[False] * 14, True])


class Ledger(RuleBasedStateMachine):
    """Calls of the service, and the same on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        owner_id = new_id()
        accounts = [
            open_account(owner_id, code, asset, name=code, floor_micro=floor)
            for code, asset, floor in PLAN
        ]
        self.assets = {account.pk: account.asset for account in accounts}
        self.model = Books(
            AccountState(account.pk, account.name, account.asset, account.floor_micro)
            for account in accounts
        )
        self.ids_given = 1_000
        self.batches: list[list[TransferOrder]] = []
        self.history: list[tuple[datetime, int]] = []
        funds = ((accounts[0], accounts[2]), (accounts[4], accounts[5]))
        self._both([self._funding(outside.pk, account.pk) for outside, account in funds])

    def teardown(self) -> None:
        try:
            assert audit(SYSTEM).discrepancies == ()
        finally:
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)

    @rule(data=st.data(), size=st.integers(1, 4), seconds=st.integers(0, 9))
    def carry_out(self, data: st.DataObject, size: int, seconds: int) -> None:
        """A batch of any orders."""
        self.at += timedelta(seconds=seconds)
        batch: list[TransferOrder] = []
        for _ in range(size):
            batch.append(self._draw(data, MOVEMENTS + RESOLUTIONS, batch))
        self._both(batch)

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        """One order that most likely succeeds."""
        self._both([self._draw(data, MOVEMENTS, [])])

    @precondition(lambda self: self._open())
    @rule(data=st.data(), seconds=st.integers(0, 9))
    def end(self, data: st.DataObject, seconds: int) -> None:
        """A resolution of a pending transfer that most likely is open."""
        self.at += timedelta(seconds=seconds)
        self._both([self._draw(data, RESOLUTIONS, [])])

    @rule(data=st.data(), part=st.slices(4))
    def repeat(self, data: st.DataObject, part: slice) -> None:
        """Some orders of an earlier batch once more, or none of them."""
        self._both(data.draw(st.sampled_from(self.batches), label="repeated")[part])

    @rule(seconds=st.integers(5, 30))
    def sweep(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)
        due = [
            record
            for record in self._open()
            if record.expires_at is not None and record.expires_at <= self.at
        ]
        # The sweep releases the longest overdue first.
        for record in sorted(due, key=lambda record: (record.expires_at, record.transfer_id)):
            order = TransferOrder(
                transfer_id=uuid5(record.transfer_id, "expire"),
                kind=Kind.EXPIRE,
                pending_id=record.transfer_id,
                reason="expired",
                reference=record.reference,
            )
            self.model.apply(order, self.at)
        with use_clock(lambda: self.at):
            assert expire_due(self.at) == len(due)
        self.history.append((self.at, len(self.model.fresh)))

    @rule()
    def close(self) -> None:
        savings = list(self.model.accounts.values())[3]
        with use_clock(lambda: self.at):
            if savings.balance == Balance():
                close_account(savings.account_id)
                savings.closed = True
            else:
                with pytest.raises(AccountNotEmpty):
                    close_account(savings.account_id)

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        """A statement as of then shows what was then."""
        at, _ = data.draw(st.sampled_from(self.history), label="as of")
        count = max(count for then, count in self.history if then == at)
        account_id = data.draw(st.sampled_from(sorted(self.assets)), label="account")
        records = self.model.fresh[:count]
        balance = balance_by_definition(account_id, records)
        own = [
            record.transfer_id
            for record in records
            if account_id in (record.debit_account_id, record.credit_account_id)
        ]
        with use_clock(lambda: self.at):
            assert balance_of(SYSTEM, account_id, as_of=at) == balance
            page = statement(SYSTEM, account_id, as_of=at, limit=500)
        assert page.balance == balance
        assert page.closing_micro == balance.posted_micro
        assert page.opening_micro == 0
        assert [row.transfer.transfer_id for row in page.rows] == own[::-1]

    @invariant()
    def database_and_model_agree(self) -> None:
        stored = {account.pk: account.balance for account in Account.objects.all()}
        for account_id, account in self.model.accounts.items():
            by_definition = balance_by_definition(account_id, self.model.fresh)
            assert stored[account_id] == account.balance == by_definition
        rows = Transfer.objects.order_by("sequence").values_list("transfer_id", flat=True)
        assert list(rows) == [record.transfer_id for record in self.model.fresh]

    def _both(self, batch: list[TransferOrder]) -> None:
        """Run a batch on the model and on the service; both say the same, errors too."""
        expected = self._on_model(batch)
        try:
            with use_clock(lambda: self.at), transaction.atomic():
                outcome: Any = transfer(batch)
        except HaiheError as error:
            outcome = type(error), str(error)
        assert outcome == expected
        self.batches.append(batch)
        self.history.append((self.at, len(self.model.fresh)))

    def _on_model(self, batch: list[TransferOrder]) -> list[TransferRecord] | tuple[type, str]:
        trial = deepcopy(self.model)
        groups: dict[UUID, set[UUID]] = {}
        for record in trial.fresh:
            if record.group_id is not None:
                groups.setdefault(record.group_id, set()).add(record.transfer_id)
        try:
            check_batch(batch)
            check_groups(batch, groups)
            records = [trial.apply(order, self.at) for order in batch]
        except HaiheError as error:
            return type(error), str(error)
        self.model = trial
        return records

    def _open(self) -> list[TransferRecord]:
        records = self.model.fresh
        ended = self.model.resolved
        return [r for r in records if r.kind is Kind.PENDING and r.transfer_id not in ended]

    def _draw(
        self, data: st.DataObject, kinds: list[Kind], batch: list[TransferOrder]
    ) -> TransferOrder:
        known = [*[order.transfer_id for order in batch], *self.model.records]
        pending = [order.transfer_id for order in batch if order.kind is Kind.PENDING]
        pending += [record.transfer_id for record in self._open()]
        kind = data.draw(st.sampled_from(kinds if pending else MOVEMENTS), label="kind")
        fields: dict[str, Any] = {
            "kind": kind,
            "transfer_id": self._mostly_new(data, known),
            "group_id": UUID(int=1) if data.draw(seldom, label="grouped") else None,
            "reason": "test",
            "reference": "r",
        }
        if kind in MOVEMENTS:
            return TransferOrder(**fields | self._movement(data, kind))
        ended = known if data.draw(seldom, label="astray") else pending
        fields["pending_id"] = data.draw(st.sampled_from(ended), label="pending")
        if kind is Kind.POST:
            fields["amount_micro"] = data.draw(st.none() | st.integers(1, 300), label="amount")
        return TransferOrder(**fields)

    def _movement(self, data: st.DataObject, kind: Kind) -> dict[str, Any]:
        crossing = data.draw(seldom, label="crossing")
        asset = data.draw(st.sampled_from([CNY, CNY, VOUCHER]), label="asset")
        own = [key for key, held in self.assets.items() if crossing or held == asset]
        debit, credit = data.draw(st.permutations(own), label="accounts")[:2]
        lifetime = data.draw(st.none() | st.integers(1, 20), label="lifetime")
        expires = kind is Kind.PENDING and lifetime is not None
        return {
            "debit_account_id": debit,
            "credit_account_id": credit,
            "asset": asset,
            "amount_micro": data.draw(st.integers(1, 300), label="amount"),
            "expires_at": self.at + timedelta(seconds=lifetime or 0) if expires else None,
        }

    def _funding(self, outside: UUID, account: UUID) -> TransferOrder:
        self.ids_given += 1
        return TransferOrder(
            transfer_id=UUID(int=self.ids_given),
            kind=Kind.POSTED,
            debit_account_id=outside,
            credit_account_id=account,
            asset=self.assets[account],
            amount_micro=1_000,
            reason="test",
            reference="r",
        )

    def _mostly_new(self, data: st.DataObject, known: list[UUID]) -> UUID:
        if known and data.draw(seldom, label="known id"):
            return data.draw(st.sampled_from(known), label="id")
        self.ids_given += 1
        return UUID(int=self.ids_given)


@pytest.mark.django_db
def test_every_history_leaves_database_and_model_alike() -> None:
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=50,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
