"""Commands about accounts, statements, deposits and the audit of the books."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from haihe.kernel import errors
from haihe.kernel.errors import InvalidField
from haihe.kernel.ids import new_id, parse_id
from haihe.kernel.money import format_micro, parse_amount_micro
from haihe.kernel.pagination import DEFAULT_LIMIT
from haihe.kernel.terminal import (
    EXIT_CODES,
    AsJson,
    Yes,
    ask_consent,
    print_json,
    show_record,
    show_rows,
)
from haihe.ledger import services
from haihe.ledger.domain import Audit
from haihe.ledger.models import Account
from haihe.ledger.services import StatementRow
from haihe.policy.cli import caller

app = typer.Typer(help="Accounts, statements, deposits, the audit.", no_args_is_help=True)


@app.command("accounts")
def list_accounts(
    owner: Annotated[str, typer.Option(help="Id of one organisation.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List accounts with their balances: of one organisation, or all that you may read."""
    if owner:
        organisation_id = parse_id(owner, kind="organisation")
        page = services.accounts_of(caller(), organisation_id, cursor=cursor or None, limit=limit)
    else:
        page = services.readable_accounts(caller(), cursor=cursor or None, limit=limit)
    show_rows(
        [_account(row) for row in page.items],
        columns=["id", "name", "code", "settled", "held", "free"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No account that you may read. The first contract or deposit opens one."),
    )


@app.command("statement")
def show_statement(
    account_id: str,
    as_of: Annotated[str, typer.Option(help="A time, such as 2026-01-31T18:00.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Show what happened on an account, newest first."""
    found = services.statement(
        caller(),
        parse_id(account_id, kind="account"),
        as_of=_instant(as_of) if as_of else None,
        cursor=cursor or None,
        limit=limit,
    )
    asset = found.account.asset
    rows = [_row(row, asset) for row in found.rows]
    if as_json:
        print_json(
            {
                "account": _account(found.account),
                "as_of": found.as_of,
                "balance": asdict(found.balance),
                "opening_micro": found.opening_micro,
                "closing_micro": found.closing_micro,
                "items": rows,
                "next_cursor": found.next_cursor,
            }
        )
        return
    show_record(
        {
            "account": found.account.name,
            "as_of": found.as_of,
            "settled": format_micro(found.balance.posted_micro, asset),
            "held": format_micro(found.balance.held_micro, asset),
            "incoming": format_micro(found.balance.incoming_micro, asset),
        },
        as_json=False,
    )
    show_rows(
        rows,
        columns=["at", "reason", "reference", "amount", "change", "balance"],
        as_json=False,
        next_cursor=found.next_cursor,
        empty=_("No transfer up to then."),
    )


@app.command("deposit")
def deposit(
    account_id: str,
    amount: Annotated[str, typer.Argument(help="In the account's asset, such as 1200.50.")],
    reference: Annotated[str, typer.Option(help="The proof outside, such as a bank's number.")],
    transfer_id: Annotated[
        str, typer.Option("--id", help="An id of your choice: the same id deposits once.")
    ] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Record money that reached an account from outside, as the platform's operator."""
    principal = caller()
    account = services.depositable_account(principal, parse_id(account_id, kind="account"))
    amount_micro = parse_amount_micro(amount)
    ask_consent(
        [
            _("Deposit {amount} on {account} ({reference}).").format(
                amount=format_micro(amount_micro, account.asset),
                account=account.name,
                reference=reference,
            )
        ],
        yes=yes,
    )
    record = services.deposit(
        principal,
        account.pk,
        transfer_id=parse_id(transfer_id, kind="transfer") if transfer_id else new_id(),
        amount_micro=amount_micro,
        reference=reference,
    )
    show_record(
        {
            "transfer_id": record.transfer_id,
            "account_id": account.pk,
            "amount_micro": record.amount_micro,
            "amount": format_micro(record.amount_micro, account.asset),
            "reference": record.reference,
            "at": record.created_at,
        },
        as_json=as_json,
    )


@app.command("audit")
def audit(as_json: AsJson = False) -> None:
    """Check all books against the transfers alone; exit code 9 if they do not balance."""
    found = services.audit(caller())
    show_record(_audit(found), as_json=as_json)
    if not found.balanced:
        raise typer.Exit(EXIT_CODES[errors.Corrupt])


@app.command("expire")
def expire(as_json: AsJson = False) -> None:
    """Release held funds whose time ran out; `haihe up` does this all the time."""
    show_record({"released": services.sweep(caller())}, as_json=as_json)


def _instant(text: str) -> datetime:
    """A time in the installation's zone, unless it names another."""
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise InvalidField(field="as_of", value=text[:40], rule="give a time: 2026-01-31T18:00")
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def _account(row: Account) -> dict[str, Any]:
    free = row.available_micro
    return {
        "id": row.pk,
        "owner_id": row.owner_id,
        "name": row.name,
        "code": row.code,
        "asset": row.asset,
        "settled": format_micro(row.posted_micro, row.asset),
        "held": format_micro(row.held_micro, row.asset),
        "incoming": format_micro(row.incoming_micro, row.asset),
        "free": None if free is None else format_micro(free, row.asset),
        "posted_micro": row.posted_micro,
        "held_micro": row.held_micro,
        "incoming_micro": row.incoming_micro,
        "available_micro": free,
        "closed_at": row.closed_at,
    }


def _row(row: StatementRow, asset: str) -> dict[str, Any]:
    transfer = row.transfer
    return {
        "sequence": transfer.sequence,
        "transfer_id": transfer.transfer_id,
        "at": transfer.created_at,
        "kind": transfer.kind,
        "reason": transfer.reason,
        "reference": transfer.reference,
        "counterparty": row.counterparty.name,
        "amount": format_micro(transfer.amount_micro, asset),
        "change": format_micro(row.change_micro, asset),
        "balance": format_micro(row.balance_micro, asset),
        "amount_micro": transfer.amount_micro,
        "change_micro": row.change_micro,
        "balance_micro": row.balance_micro,
    }


def _audit(found: Audit) -> dict[str, Any]:
    return {
        "balanced": found.balanced,
        "at": found.at,
        "accounts": found.accounts,
        "transfers": found.transfers,
        "open_pending": found.open_pending,
        "discrepancies": [asdict(item) for item in found.discrepancies],
    }
