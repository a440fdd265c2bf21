"""Commands about compute contracts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.compute.models import Contract
from haihe.compute.services import contracts as services
from haihe.kernel.money import format_micro, parse_amount_micro
from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.terminal import AsJson, Yes, ask_consent, show_record, show_rows
from haihe.policy.cli import caller, person

contract = typer.Typer(help="Compute contracts of buyers with operators.", no_args_is_help=True)

Day = typer.Option(formats=["%Y-%m-%d"])


@contract.command("list")
def list_contracts(cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    """List the contracts that you may read, the newest first."""
    page = paginate(services.list_contracts(caller()), cursor=cursor or None, limit=limit)
    show_rows(
        [_contract(row) for row in page.items],
        columns=["number", "buyer", "provider", "amount", "begins_on", "ends_on", "state"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No contract yet: haihe --as EMAIL contract create ..."),
    )


@contract.command("show")
def show_contract(number: str, as_json: AsJson = False) -> None:
    """Show a contract and what is committed of it."""
    found = services.find_contract(caller(), number)
    committed = found.committed_micro()
    show_record(
        {
            **_contract(found),
            "committed": format_micro(committed),
            "committed_micro": committed,
            "left": format_micro(found.amount_micro - committed),
        },
        as_json=as_json,
    )


@contract.command("create")
def create_contract(
    number: str,
    buyer: Annotated[str, typer.Option(help="Slug of the organisation that buys.")],
    provider: Annotated[str, typer.Option(help="Slug of the operator.")],
    amount: Annotated[str, typer.Option(help="Amount in CNY.")],
    eligible: Annotated[
        str, typer.Option(help="Of it for computing alone, in CNY: what vouchers subsidise.")
    ],
    begins: Annotated[datetime, Day],
    ends: Annotated[datetime, Day],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Draw up a contract for its buyer; it holds once the provider signs."""
    principal = person()
    ask_consent(
        [
            _("Draw up {number}: {buyer} buys from {provider} for {amount} CNY.").format(
                number=number, buyer=buyer, provider=provider, amount=amount
            )
        ],
        yes=yes,
    )
    created = services.create_contract(
        principal,
        number=number,
        buyer=buyer,
        provider=provider,
        amount_micro=parse_amount_micro(amount),
        eligible_micro=parse_amount_micro(eligible, field="eligible"),
        begins_on=begins.date(),
        ends_on=ends.date(),
    )
    show_record(_contract(created), as_json=as_json)


@contract.command("sign")
def sign_contract(number: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Sign a contract, for its provider."""
    principal = person()
    found = services.find_contract(principal, number)
    ask_consent(
        [
            _("Sign {number}: {buyer} buys for {amount}.").format(
                number=number, buyer=found.buyer.name, amount=format_micro(found.amount_micro)
            )
        ],
        yes=yes,
    )
    show_record(_contract(services.sign_contract(principal, number)), as_json=as_json)


def _contract(row: Contract) -> dict[str, Any]:
    return {
        "id": row.pk,
        "number": row.number,
        "buyer": row.buyer.slug,
        "provider": row.provider.slug,
        "amount": format_micro(row.amount_micro),
        "amount_micro": row.amount_micro,
        "eligible": format_micro(row.eligible_micro),
        "eligible_micro": row.eligible_micro,
        "begins_on": row.begins_on.isoformat(),
        "ends_on": row.ends_on.isoformat(),
        "state": row.state,
        "signed_on": row.signed_on.isoformat() if row.signed_on else None,
    }
