"""Pages of accounts, statements, deposits and the audit of the books."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField
from haihe.kernel.export import Listed, every_item, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.http import status_of
from haihe.kernel.ids import new_id, parse_id
from haihe.kernel.money import MICRO, format_micro, parse_amount_micro
from haihe.kernel.pagination import Page
from haihe.kernel.phrases import localized
from haihe.kernel.texts import with_currency
from haihe.ledger import services
from haihe.ledger.domain import available_micro
from haihe.ledger.forms import DepositForm, StatementFilter
from haihe.ledger.labels import RULES, account_label, purpose_label, reason_label
from haihe.ledger.models import Account
from haihe.ledger.services import Statement, StatementRow
from haihe.policy.domain import Resource
from haihe.policy.http import Request
from haihe.policy.names import ORGANISATIONS, Named, organisation_names
from haihe.policy.services import is_allowed

ACCOUNT_COLUMNS = (
    "id", "owner_id", "name", "code", "asset", "settled", "held", "incoming", "free",
    "posted_micro", "held_micro", "incoming_micro", "available_micro", "closed_at",
)  # fmt: skip
STATEMENT_COLUMNS = (
    "sequence", "transfer_id", "at", "kind", "reason", "reference", "counterparty", "asset",
    "amount", "change", "balance", "amount_micro", "change_micro", "balance_micro",
)  # fmt: skip
DISCREPANCY_COLUMNS = ("rule", "subject", "found_micro", "expected_micro")
BOOKS = Resource("Ledger", "all")


@require_GET
def accounts(request: Request) -> HttpResponse:
    """Accounts with their balances; without them for who only records deposits."""
    owner = request.GET.get("owner", "")
    owner_id = parse_id(owner, kind="organisation") if owner else None
    resource = Resource("Account", organisation=owner_id)
    deposits = owner_id is not None and is_allowed(request.principal, "account.deposit", resource)
    if owner_id is None:
        read = partial(services.readable_accounts, request.principal)
    elif deposits and not is_allowed(request.principal, "account.read", resource):
        return _accounts_for_deposits(request, owner_id)
    else:
        read = partial(services.accounts_of, request.principal, owner_id)
    if export_asked(request):
        rows = map(_exported_account, every_item(read))
        return export_table(request, rows, columns=ACCOUNT_COLUMNS, name="accounts")
    page = read(cursor=request.GET.get("cursor"))
    context = {
        "page": page,
        "rows": _shown_accounts(page.items),
        "owner_id": owner_id,
        "owner": organisation_names([owner_id]).get(owner_id, "") if owner_id else "",
        "may_deposit": deposits,
        "may_audit": is_allowed(request.principal, "ledger.audit", BOOKS),
        "as_of": now(),
    }
    return render(request, "ledger/accounts.html", context)


def _accounts_for_deposits(request: Request, owner_id: UUID) -> HttpResponse:
    page = services.depositable_accounts(
        request.principal, owner_id, cursor=request.GET.get("cursor")
    )
    context = {
        "page": page,
        "rows": _shown_accounts(page.items),
        "owner_id": owner_id,
        "owner": organisation_names([owner_id]).get(owner_id, ""),
        "as_of": now(),
    }
    return render(request, "ledger/accounts_for_deposits.html", context)


@require_GET
def statement(request: Request, account_id: UUID) -> HttpResponse:
    """What happened on an account, as of any time."""
    form = StatementFilter(request.GET)
    as_of = form.cleaned_data["as_of"] if form.is_valid() else None
    read = partial(services.statement, request.principal, account_id)
    status = 200 if form.is_valid() else 422
    if export_asked(request) and form.is_valid():
        return export_table(
            request,
            _all_rows(read, as_of),
            columns=STATEMENT_COLUMNS,
            name=f"statement-{account_id}",
        )
    try:
        found = read(as_of=as_of, cursor=request.GET.get("cursor"))
    except InvalidField as error:
        if error.field != "as_of":
            raise
        form.add_error("as_of", localized(error))
        status = status_of(error)
        found = read()
    account = found.account
    owners = _owners([account, *(row.counterparty for row in found.rows)])
    context = {
        "form": form,
        "account": account,
        "label": account_label(account, owners),
        "purpose": purpose_label(account.code),
        "statement": found,
        "page": Page([], found.next_cursor),
        "available_micro": available_micro(found.balance, account.floor_micro),
        "rows": [_shown_row(request, row, owners) for row in found.rows],
        "is_past": as_of is not None and status == 200,
        "may_deposit": account.is_currency
        and is_allowed(request.principal, "account.deposit", account.resource()),
    }
    return render(request, "ledger/statement.html", context, status=status)


@require_http_methods(["GET", "POST"])
def deposit(request: Request, account_id: UUID) -> HttpResponse:
    """Record money that reached an account from outside."""
    account = services.depositable_account(request.principal, account_id)
    form = DepositForm(request.POST or None, initial={"transfer_id": new_id()})
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            return _deposited(request, account, form.cleaned_data)
    [shown] = _shown_accounts([account])
    return render(request, "ledger/deposit.html", {"form": form, **shown}, status=form.status)


def _deposited(request: Request, account: Account, given: dict[str, Any]) -> HttpResponse:
    record = services.deposit(
        request.principal,
        account.pk,
        transfer_id=given["transfer_id"],
        amount_micro=parse_amount_micro(given["amount"]),
        reference=given["reference"],
    )
    amount = with_currency(format_micro(record.amount_micro, account.asset))
    messages.success(
        request,
        _("%(amount)s were deposited on %(account)s (%(reference)s).")
        % {
            "amount": amount,
            "account": account_label(account, _owners([account])),
            "reference": record.reference,
        },
    )
    if is_allowed(request.principal, "account.read", account.resource()):
        return redirect("ledger:statement", account.pk)
    return redirect("ledger:deposit", account.pk)


@require_GET
def audit(request: Request) -> HttpResponse:
    """Check all books now, and show what was found."""
    found = services.audit(request.principal)
    if export_asked(request):
        return export_table(
            request, map(asdict, found.discrepancies), columns=DISCREPANCY_COLUMNS, name="audit"
        )
    broken = {item.rule for item in found.discrepancies}
    context = {
        "audit": found,
        "rules": [{"text": text, "holds": rule not in broken} for rule, text in RULES.items()],
        "rows": [{"item": item, "text": RULES[item.rule]} for item in found.discrepancies],
    }
    return render(request, "ledger/audit.html", context)


def _owners(accounts: Sequence[Account]) -> Mapping[UUID, Named]:
    return ORGANISATIONS.get()({row.owner_id for row in accounts if row.owner_id is not None})


def _shown_accounts(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    owners = _owners(accounts)
    return [
        {
            "account": account,
            "label": account_label(account, owners),
            "purpose": purpose_label(account.code),
        }
        for account in accounts
    ]


def _shown_row(request: Request, row: StatementRow, owners: Mapping[UUID, Named]) -> dict[str, Any]:
    return {
        "row": row,
        "reason": reason_label(row.transfer.reason),
        # Only a reference of this form is a subject; a bank's number is not.
        "is_subject": ":" in row.transfer.reference,
        "counterparty": account_label(row.counterparty, owners),
        "counterparty_is_open": is_allowed(
            request.principal, "account.read", row.counterparty.resource()
        ),
    }


def _exported_account(account: Account) -> dict[str, Any]:
    """An account as a row of a file: amounts for a spreadsheet, and as exact micro-units."""
    free_micro = account.available_micro
    return {
        "id": account.pk,
        "owner_id": account.owner_id,
        "name": account.name,
        "code": account.code,
        "asset": account.asset,
        "settled": account.posted_micro / MICRO,
        "held": account.held_micro / MICRO,
        "incoming": account.incoming_micro / MICRO,
        "free": None if free_micro is None else free_micro / MICRO,
        "posted_micro": account.posted_micro,
        "held_micro": account.held_micro,
        "incoming_micro": account.incoming_micro,
        "available_micro": free_micro,
        "closed_at": account.closed_at,
    }


def _exported_row(row: StatementRow) -> dict[str, Any]:
    transfer = row.transfer
    return {
        "sequence": transfer.sequence,
        "transfer_id": transfer.transfer_id,
        "at": transfer.created_at,
        "kind": transfer.kind,
        "reason": transfer.reason,
        "reference": transfer.reference,
        "counterparty": row.counterparty.name,
        "asset": row.counterparty.asset,
        "amount": transfer.amount_micro / MICRO,
        "change": row.change_micro / MICRO,
        "balance": row.balance_micro / MICRO,
        "amount_micro": transfer.amount_micro,
        "change_micro": row.change_micro,
        "balance_micro": row.balance_micro,
    }


def _all_rows(read: Callable[..., Statement], as_of: datetime | None) -> Iterator[dict[str, Any]]:
    """The rows of all pages, all as of one time: that of the first, if none was asked for."""
    pinned = as_of

    def page(*, cursor: str | None, limit: int) -> Listed[StatementRow]:
        nonlocal pinned
        found = read(as_of=pinned, cursor=cursor, limit=limit)
        pinned = found.as_of
        return found

    return map(_exported_row, every_item(page))
