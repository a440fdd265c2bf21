"""A statement leads from a balance to the transfers that make it, as of any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.ledger.domain import Balance, Kind
from haihe.ledger.models import Account
from haihe.ledger.services import StatementRow, balance_of, statement, transfer
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, Role, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.ledger.conftest import Watch
from tests.ledger.factories import open_cash, pending, posted, resolve

pytestmark = pytest.mark.django_db
SYSTEM = system_principal("test")


def shown(rows: list[StatementRow]) -> list[tuple[str, str, int, int]]:
    return [
        (row.transfer.kind, row.counterparty.name, row.change_micro, row.balance_micro)
        for row in rows
    ]


def test_a_statement_is_for_the_owner_and_the_auditor(payer: Account, payee: Account) -> None:
    with pytest.raises(NotSignedIn):
        statement(ANONYMOUS, payer.pk)
    for stranger in (
        Principal(
            id=UUID(int=1), memberships=frozenset({(payee.owner_id or new_id(), Role.OWNER)})
        ),
        Principal(id=UUID(int=1), platform_roles=frozenset({PlatformRole.OPERATOR})),
    ):
        with pytest.raises(NotAllowed):
            statement(stranger, payer.pk)
        with pytest.raises(NotAllowed):
            balance_of(stranger, payer.pk)
    auditor = Principal(id=UUID(int=1), platform_roles=frozenset({PlatformRole.AUDITOR}))
    member = Principal(
        id=UUID(int=1), memberships=frozenset({(payer.owner_id or new_id(), Role.AUDITOR)})
    )
    for reader in (auditor, member):
        assert statement(reader, payer.pk).closing_micro == 1_000
        assert balance_of(reader, payer.pk) == Balance(1_000)
    with pytest.raises(MissingRecord):
        statement(auditor, new_id())


def test_rows_carry_the_running_balance_and_the_other_side(
    payer: Account, payee: Account, watch: Watch
) -> None:
    hold = pending(payer.pk, payee.pk, 300)
    transfer([hold])
    transfer([posted(payer.pk, payee.pk, 50)])
    transfer([resolve(Kind.POST, hold.transfer_id, amount_micro=200)])
    transfer([posted(payee.pk, payer.pk, 10)])
    page = statement(SYSTEM, payer.pk)
    assert shown(list(page.rows)) == [
        ("posted", "Payee", 10, 760),
        ("post", "Payee", -200, 750),
        ("posted", "Payee", -50, 950),
        ("pending", "Payee", 0, 1_000),
        ("posted", "External CNY", 1_000, 1_000),
    ]
    assert (page.opening_micro, page.closing_micro) == (0, 760)
    assert page.balance == Balance(760, 0, 0)
    assert page.next_cursor is None
    assert page.as_of == watch.at


def test_pages_join_end_to_end_and_new_transfers_do_not_move_them(
    payer: Account, payee: Account
) -> None:
    for amount in range(1, 7):
        debit, credit = (payer, payee) if amount % 2 else (payee, payer)
        transfer([posted(debit.pk, credit.pk, amount if amount % 2 else 1)])
    first = statement(SYSTEM, payer.pk, limit=3)
    transfer([posted(payer.pk, payee.pk, 500)])
    second = statement(SYSTEM, payer.pk, limit=3, cursor=first.next_cursor)
    third = statement(SYSTEM, payer.pk, limit=3, cursor=second.next_cursor)
    assert first.opening_micro == second.closing_micro
    assert second.opening_micro == third.closing_micro
    assert third.opening_micro == 0
    assert third.next_cursor is None
    rows = [*first.rows, *second.rows, *third.rows]
    assert [row.change_micro for row in rows] == [1, -5, 1, -3, 1, -1, 1_000]
    assert [row.balance_micro for row in rows] == [994, 993, 998, 997, 1_000, 999, 1_000]


def test_a_statement_as_of_a_time_stays_as_it_was(
    payer: Account, payee: Account, watch: Watch
) -> None:
    hold = pending(payer.pk, payee.pk, 300, expires_at=watch.at + timedelta(hours=5))
    steps = [
        posted(payer.pk, payee.pk, 50),
        hold,
        resolve(Kind.POST, hold.transfer_id, amount_micro=120),
        posted(payee.pk, payer.pk, 20),
    ]
    seen = {}
    for step in steps:
        at = watch.pass_(seconds=60)
        transfer([step])
        seen[at] = [
            (balance_of(SYSTEM, account.pk), statement(SYSTEM, account.pk).rows)
            for account in (payer, payee)
        ]
    assert [by_account[0][0] for by_account in seen.values()] == [
        Balance(950, 0, 0), Balance(950, 300, 0), Balance(830, 0, 0), Balance(850, 0, 0),
    ]  # fmt: skip
    assert [by_account[1][0] for by_account in seen.values()] == [
        Balance(50, 0, 0), Balance(50, 0, 300), Balance(170, 0, 0), Balance(150, 0, 0),
    ]  # fmt: skip
    watch.pass_(seconds=60)
    for at, by_account in seen.items():
        for account, (balance, rows) in zip((payer, payee), by_account, strict=True):
            for later in (at, at + timedelta(seconds=59)):
                page = statement(SYSTEM, account.pk, as_of=later)
                assert (page.as_of, page.balance, page.rows) == (later, balance, rows)
                assert balance_of(SYSTEM, account.pk, as_of=later) == balance
    before = statement(SYSTEM, payer.pk, as_of=datetime(2025, 12, 31, tzinfo=UTC))
    assert (before.rows, before.closing_micro, before.balance) == ([], 0, Balance())


def test_a_clock_that_steps_back_tears_no_hole_in_a_statement(
    payer: Account, payee: Account, watch: Watch
) -> None:
    ahead = watch.pass_(seconds=10)
    transfer([posted(payer.pk, payee.pk, 1)])
    back = watch.pass_(seconds=-4)
    transfer([posted(payer.pk, payee.pk, 2)])
    watch.pass_(seconds=60)
    for as_of in (back, ahead):
        page = statement(SYSTEM, payee.pk, as_of=as_of)
        assert [row.balance_micro for row in page.rows] == [3, 1]
        assert page.balance == Balance(3)


def test_an_account_without_transfers_has_an_empty_statement() -> None:
    page = statement(SYSTEM, open_cash("New").pk)
    assert (page.rows, page.opening_micro, page.closing_micro) == ([], 0, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("as_of", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("as_of", datetime(2026, 1, 2, tzinfo=UTC)),
        ("cursor", "-1"),
        ("cursor", "٣"),
        ("cursor", "9" * 19),
        ("limit", 0),
        ("limit", 501),
    ],
)
def test_a_malformed_question_is_refused(payer: Account, field: str, value: object) -> None:
    with pytest.raises(InvalidField, match=field):
        statement(SYSTEM, payer.pk, **{field: value})  # type: ignore[arg-type]
