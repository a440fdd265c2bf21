"""Commands about voucher schemes, vouchers, and payments to providers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.kernel.ids import new_id, parse_id
from haihe.kernel.money import format_micro, parse_amount_micro
from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.terminal import AsJson, Yes, ask_consent, show_record, show_rows
from haihe.kernel.texts import called, spoken
from haihe.policy.cli import caller, person
from haihe.programme.domain.vouchers import Verdict, VoucherRules
from haihe.programme.labels import verdict_rows
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import payments, vouchers
from haihe.programme.services.books import VoucherBalance, scheme_balance, voucher_balances
from haihe.programme.services.plans import file_in

REFUSED = 6
DAY = ["%Y-%m-%d"]

scheme = typer.Typer(help="Voucher schemes: rules, dates, pools.", no_args_is_help=True)
voucher = typer.Typer(help="Vouchers: apply, review, close, pay.", no_args_is_help=True)

Amount = Annotated[str, typer.Option(help="In CNY, such as 200 or 199.50.")]
Contract = Annotated[str, typer.Option(help="Number of the signed compute contract.")]
Declared = Annotated[
    list[str] | None,
    typer.Option("--declare", help="Code of a declaration, once for each; see scheme show."),
]


@scheme.command("list")
def list_schemes(cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    """List all voucher schemes."""
    page = paginate(vouchers.list_schemes(caller()), cursor=cursor or None, limit=limit)
    show_rows(
        [_scheme(row, as_json=as_json) for row in page.items],
        columns=["slug", "title", "opens_on", "closes_on", "pool", "granted", "redeemed", "paid"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No scheme yet: haihe --as OFFICER scheme open SLUG ..."),
    )


@scheme.command("show")
def show_scheme(slug: str, as_json: AsJson = False) -> None:
    """Show a scheme: its rules with the status of each source, and where its vouchers are."""
    row = vouchers.find_scheme(caller(), slug)
    rules = row.rules
    if as_json:
        show_record({**_scheme(row, as_json=True), "rule_set": asdict(rules)}, as_json=True)
        return
    show_record(
        {
            **_scheme(row, as_json=False),
            "office": called(row.office),
            "rules": f"{spoken(rules.title)} ({rules.source}; {rules.status})",
            "in_force": f"{rules.in_force_from} - {rules.in_force_until}",
            "adopted": rules.is_adopted,
        },
        as_json=False,
    )
    show_rows(
        [
            {"code": clause.code, "text": spoken(clause), "status": clause.status}
            for clause in (*rules.conditions, *rules.declarations, *rules.remarks)
        ],
        columns=["code", "text", "status"],
        as_json=False,
    )


@scheme.command("open")
def open_scheme(
    slug: str,
    title: Annotated[str, typer.Option()],
    office: Annotated[str, typer.Option(help="Slug of the organisation whose money it is.")],
    rules: Annotated[
        str, typer.Option(help="A rule file, or the name of one that comes with Haihe.")
    ],
    opens: Annotated[datetime, typer.Option(formats=DAY)],
    closes: Annotated[datetime, typer.Option(formats=DAY)],
    title_en: str = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Open a voucher scheme under a rule set."""
    principal = person()
    shipped = file_in("schemes", f"{rules}.toml")
    ask_consent(
        [
            _("Open scheme {slug} from {opens} to {closes} under {rules}.").format(
                slug=slug, opens=opens.date(), closes=closes.date(), rules=rules
            )
        ],
        yes=yes,
    )
    opened = vouchers.open_scheme(
        principal,
        slug=slug,
        title=title,
        title_en=title_en,
        office=office,
        rules_file=shipped if "/" not in rules and shipped.exists() else Path(rules),
        opens_on=opens.date(),
        closes_on=closes.date(),
    )
    show_record(_scheme(opened, as_json=as_json), as_json=as_json)


@scheme.command("fund")
def fund_scheme(
    slug: str,
    amount: Amount,
    reference: Annotated[str, typer.Option(help="The budget document.")],
    transfer_id: Annotated[
        str, typer.Option("--id", help="An id of your choice: the same id funds once.")
    ] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put vouchers into a scheme's pool."""
    principal = person()
    amount_micro = parse_amount_micro(amount)
    ask_consent(
        [
            _("Put {amount} into the pool of {slug}, by {reference}.").format(
                amount=format_micro(amount_micro), slug=slug, reference=reference
            )
        ],
        yes=yes,
    )
    funded = vouchers.fund_scheme(
        principal,
        slug,
        amount_micro=amount_micro,
        reference=reference,
        transfer_id=parse_id(transfer_id, kind="transfer") if transfer_id else new_id(),
    )
    show_record(_scheme(funded, as_json=as_json), as_json=as_json)


@voucher.command("list")
def list_vouchers(
    scheme: Annotated[str, typer.Option(help="Slug of one scheme only.")] = "",
    state: Annotated[str, typer.Option(help=", ".join(Voucher.State.values))] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List vouchers."""
    rows = vouchers.list_vouchers(caller(), scheme=scheme, state=state)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    balances = voucher_balances(page.items)
    show_rows(
        [_voucher(row, balances[row.pk], as_json=as_json) for row in page.items],
        columns=["number", "organisation", "contract", "state", "amount", "left", "redeemed"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No voucher yet: haihe --as EMAIL voucher apply SCHEME ..."),
    )


@voucher.command("show")
def show_voucher(number: str, as_json: AsJson = False) -> None:
    """Show a voucher with its verdicts and balance."""
    _show(vouchers.find_voucher(caller(), number), as_json=as_json)


@voucher.command("check")
def check_application(
    scheme: str,
    contract: Contract,
    amount: Amount,
    declare: Declared = None,
    as_json: AsJson = False,
) -> None:
    """Show how an application would come out now; exit code 6 if a condition is not met."""
    found = vouchers.check_application(
        person(),
        scheme,
        contract=contract,
        amount_micro=parse_amount_micro(amount),
        declared=declare or [],
    )
    if as_json:
        verdicts = [asdict(verdict) for verdict in found.verdicts]
        show_record(
            {"passes": found.passes, "most_micro": found.most_micro, "verdicts": verdicts},
            as_json=True,
        )
    else:
        _show_verdicts(vouchers.find_scheme(caller(), scheme).rules, found.verdicts)
        show_record({"passes": found.passes, "most": format_micro(found.most_micro)}, as_json=False)
    if not found.passes:
        raise typer.Exit(REFUSED)


@voucher.command("apply")
def apply_for_voucher(
    scheme: str,
    contract: Contract,
    amount: Amount,
    declare: Declared = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Apply for a voucher on a signed contract."""
    principal = person()
    amount_micro = parse_amount_micro(amount)
    ask_consent(
        [
            _("Apply for {amount} of {scheme} on contract {contract}.").format(
                amount=format_micro(amount_micro), scheme=scheme, contract=contract
            ),
            *(_("We declare: {code}").format(code=code) for code in declare or []),
        ],
        yes=yes,
    )
    applied = vouchers.apply_for_voucher(
        principal, scheme, contract=contract, amount_micro=amount_micro, declared=declare or []
    )
    _show(applied, as_json=as_json)


@voucher.command("approve")
def approve_voucher(number: str, note: str = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Grant a voucher; every condition is judged again."""
    principal = person()
    _ask(number, _("Grant {amount} to {firm} ({number})."), yes=yes)
    _show(vouchers.approve_voucher(principal, number, note=note), as_json=as_json)


@voucher.command("refuse")
def refuse_voucher(
    number: str,
    note: Annotated[str, typer.Option(help="The reason that the firm will read.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Refuse an application, with the reason."""
    principal = person()
    _ask(number, _("Refuse {amount} to {firm} ({number})."), yes=yes)
    _show(vouchers.refuse_voucher(principal, number, note=note), as_json=as_json)


@voucher.command("withdraw")
def withdraw_application(number: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take back an application that was not decided yet."""
    principal = person()
    _ask(number, _("Withdraw the application for {amount} of {firm} ({number})."), yes=yes)
    _show(vouchers.withdraw_application(principal, number), as_json=as_json)


@voucher.command("close")
def close_voucher(number: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """End a voucher after its contract's term: what is left goes back to the pool."""
    principal = person()
    _ask(number, _("Close voucher {number} of {firm} over {amount}."), yes=yes)
    _show(vouchers.close_voucher(principal, number), as_json=as_json)


@voucher.command("claims")
def list_claims(scheme: str, as_json: AsJson = False) -> None:
    """List the providers that wait for payment."""
    show_rows(
        [
            {
                "provider": claim.provider.slug,
                "amount": format_micro(claim.amount_micro),
                "amount_micro": claim.amount_micro,
                "account": claim.account_id,
            }
            for claim in payments.open_claims(caller(), scheme)
        ],
        columns=["provider", "amount"],
        as_json=as_json,
        empty=_("Nobody waits for payment."),
    )


@voucher.command("pay")
def pay_provider(
    scheme: str,
    provider: Annotated[str, typer.Option(help="Slug of the provider.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Pay a provider for the vouchers it redeemed."""
    principal = person()
    ask_consent(
        [
            _("Pay {provider} all that it redeemed of {scheme}.").format(
                provider=provider, scheme=scheme
            )
        ],
        yes=yes,
    )
    amount = payments.pay_provider(principal, scheme, provider=provider)
    paid = {"amount_micro": amount} if as_json else {"amount": format_micro(amount)}
    show_record({"scheme": scheme, "provider": provider, **paid}, as_json=as_json)


def _ask(number: str, text: str, *, yes: bool) -> None:
    row = vouchers.find_voucher(caller(), number)
    amount, firm = format_micro(row.amount_micro), called(row.organisation)
    ask_consent([text.format(amount=amount, firm=firm, number=number)], yes=yes)


def _show(row: Voucher, *, as_json: bool) -> None:
    balance = voucher_balances([row])[row.pk]
    record = _voucher(row, balance, as_json=as_json)
    if as_json:
        show_record({**record, "declared": row.declared, "verdicts": row.verdicts}, as_json=True)
        return
    show_record(record, as_json=False)
    _show_verdicts(row.scheme.rules, [Verdict(**verdict) for verdict in row.verdicts])


def _show_verdicts(rules: VoucherRules, verdicts: Sequence[Verdict]) -> None:
    show_rows(
        verdict_rows(rules, list(verdicts)),
        columns=["code", "met", "value", "threshold"],
        as_json=False,
    )


def _scheme(row: Scheme, *, as_json: bool) -> dict[str, Any]:
    balance = scheme_balance(row)
    amounts = {
        "pool": balance.pool_micro,
        "granted": balance.granted_micro,
        "redeemed": balance.redeemed_micro,
        "paid": balance.paid_micro,
    }
    return {
        "slug": row.slug,
        "title": row.title if as_json else called(row),
        "opens_on": row.opens_on,
        "closes_on": row.closes_on,
        **_amounts(amounts, as_json=as_json),
    }


def _voucher(row: Voucher, balance: VoucherBalance, *, as_json: bool) -> dict[str, Any]:
    amounts = {
        "amount": row.amount_micro,
        "left": balance.left_micro,
        "held": balance.held_micro,
        "redeemed": balance.redeemed_micro,
        "returned": row.returned_micro,
    }
    return {
        "number": row.number,
        "scheme": row.scheme.slug,
        "organisation": row.organisation.slug,
        "provider": row.contract.provider.slug,
        "contract": row.contract.number,
        "state": row.state,
        **_amounts(amounts, as_json=as_json),
        "note": row.note,
        "applied_at": row.created_at,
        "decided_at": row.decided_at,
    }


def _amounts(amounts: dict[str, int], *, as_json: bool) -> dict[str, Any]:
    """Amounts for programs as integers of micro-units, for people in CNY."""
    if as_json:
        return {f"{name}_micro": value for name, value in amounts.items()}
    return {name: format_micro(value) for name, value in amounts.items()}
