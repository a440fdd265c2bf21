"""Quotes, choices, jobs and bills as the command line shows them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from haihe.compute.domain.choice import Choice, Term, choice_from, reason_of
from haihe.compute.labels import bill_rows
from haihe.compute.models import Attempt, Job, Quote
from haihe.kernel.money import format_micro
from haihe.kernel.phrases import translated
from haihe.kernel.terminal import out, print_json, show_record, show_rows


def bill(row: Quote) -> list[str]:
    """A quote as lines to consent to."""
    total = _("{name}: at most {amount} on {pool}").format(
        name=row.spec.name, amount=format_micro(row.amount_micro), pool=row.pool
    )
    paid_by = payers(row.shares, _("{payer} pays at most {amount}"))
    reasons = [translated(reason) for reason in row.reasons]
    return [total, *bill_lines(row.lines), *paid_by, *reasons]


def bill_lines(lines: list[dict[str, Any]]) -> list[str]:
    """The lines of a bill, each with what it multiplies and why."""
    return [
        f"{line['item']}: {line['quantity']} {line['unit']} x {format_micro(line['price_micro'])} "
        f"= {format_micro(line['amount_micro'])} ({line['why']})"
        for line in bill_rows(lines)
    ]


def payers(shares: list[dict[str, Any]], text: str) -> list[str]:
    """Who pays which part, in the words of ``text``."""
    return [
        text.format(
            payer=share["payer"], amount=format_micro(share["amount_micro"], share["asset"])
        )
        for share in shares
    ]


def show_choice(choice: Choice, title: str) -> None:
    """Each pool with its terms, the chosen one marked; a pool that may not, with the reason."""
    out.print(f"\n{title}: {choice.objective} -> {choice.chosen or _('no pool')}")
    rows = []
    for verdict in choice.verdicts:
        terms = {
            f"{term.name} ({term.unit}) x{term.weight:g}": _term(term) for term in verdict.terms
        }
        why = "; ".join(translated(reason_of(verdict.pool, check)) for check in verdict.failed)
        mark = "*" if verdict.pool == choice.chosen else ""
        rows.append({"pool": f"{verdict.pool}{mark}", "score": verdict.score, **terms, "why": why})
    columns = list(dict.fromkeys(name for row in rows for name in row if name != "why"))
    show_rows(rows, columns=[*columns, "why"], as_json=False)


def _term(term: Term) -> str:
    value = "?" if term.value is None else f"{term.value:g}"
    return f"{value}: {term.score:.3f}"


def show_bill(row: Quote, *, as_json: bool) -> None:
    """Print a quote: every line, each reason, who pays, and every centre."""
    if as_json:
        print_json(_quote(row))
        return
    show_record(
        {"id": row.pk, "contract": row.contract, "expires_at": row.expires_at}, as_json=False
    )
    for line in bill(row):
        out.print(line)
    if row.comparison:
        show_choice(choice_from(row.comparison["result"]), _("Comparison of centres"))


def _quote(row: Quote) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.spec.name,
        "organisation": row.organisation.slug,
        "pool": str(row.pool),
        "contract": row.contract.number if row.contract else "",
        "amount": format_micro(row.amount_micro),
        "amount_micro": row.amount_micro,
        "lines": row.lines,
        "paid_by": row.shares,
        "reasons": row.reasons,
        "comparison": row.comparison.get("result"),
        "expires_at": row.expires_at,
    }


def job_row(row: Job) -> dict[str, Any]:
    """A job in a list."""
    settlement = getattr(row, "settlement", None)
    return {
        "id": row.pk,
        "name": row.name,
        "array_index": row.array_index,
        "organisation": row.organisation.slug,
        "provider": row.provider.slug,
        "pool": str(row.pool),
        "state": row.state,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "cost": format_micro(settlement.amount_micro) if settlement else None,
        "cost_micro": settlement.amount_micro if settlement else None,
    }


def attempt_row(row: Attempt) -> dict[str, Any]:
    """One try at a job, with its times and its use."""
    usage = getattr(row, "usage", None)
    return {
        "number": row.number,
        "pool": str(row.pool),
        "state": row.state,
        "external_id": row.external_id,
        "nodes": row.nodes,
        "offered_at": row.created_at,
        "claimed_at": row.claimed_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "end_reason": row.end_reason,
        "exit_code": row.exit_code,
        "cpu_ms": usage.cpu_ms if usage else None,
        "wall_ms": usage.wall_ms if usage else None,
        "peak_memory_bytes": usage.peak_memory_bytes if usage else None,
        "output_bytes": usage.output_bytes if usage else None,
        "doubts": ", ".join(usage.doubts) if usage else "",
    }
