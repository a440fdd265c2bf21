"""Commands about plans and the indicators computed from evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils import timezone
from django.utils.translation import gettext as _

from haihe.kernel.errors import InvalidField
from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.terminal import AsJson, Yes, ask_consent, show_record, show_rows
from haihe.kernel.texts import spoken
from haihe.policy.cli import caller
from haihe.programme.domain.changes import PlanChange
from haihe.programme.models import Plan
from haihe.programme.services import overview, plans
from haihe.programme.services.chain import Link, links_of

plan = typer.Typer(help="Plans: targets, measures, responsible units.", no_args_is_help=True)
indicator = typer.Typer(help="Indicators, computed from evidence.", no_args_is_help=True)

AsOf = Annotated[
    str, typer.Option(help="An instant in the past, such as 2026-06-30 or 2026-06-30T12:00+08:00.")
]


@plan.command("list")
def list_plans(cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    """List the current version of each plan."""
    page = paginate(plans.list_plans(caller()), cursor=cursor or None, limit=limit)
    show_rows(
        [_plan(row) for row in page.items],
        columns=["slug", "version", "status", "title", "begins", "ends", "targets"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No plan yet: haihe plan import FILE.toml"),
    )


@plan.command("show")
def show_plan(
    slug: str,
    version: Annotated[int, typer.Option(help="The current one if not given.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show a plan: its targets with their definitions, and its measures with their units."""
    row = plans.find_plan(caller(), slug, version or None)
    document = row.document
    if as_json:
        parts = {
            name: [asdict(item) for item in getattr(document, name)]
            for name in ("targets", "measures", "systems")
        }
        show_record({**_plan(row), "notes": list(document.notes), **parts}, as_json=True)
        return
    show_record(_plan(row), as_json=False)
    show_rows(
        [
            {
                "target": target.code,
                "title": spoken(target.title),
                "value": target.value,
                "unit": spoken(target.unit),
                "definition": spoken(target.definition),
            }
            for target in document.targets
        ],
        columns=["target", "title", "value", "unit", "definition"],
        as_json=False,
    )
    show_rows(
        [
            {
                "measure": measure.id,
                "title": spoken(measure.title),
                "units": [spoken(unit) for unit in measure.units],
            }
            for measure in document.measures
        ],
        columns=["measure", "title", "units"],
        as_json=False,
    )


@plan.command("import")
def import_plan(file: Path, yes: Yes = False, as_json: AsJson = False) -> None:
    """Bring in a plan, or a higher version of one; what it changes is shown first."""
    principal = caller()
    document, changes = plans.preview_plan(principal, file)
    ask_consent(
        [
            _("Import {slug} version {version}: {targets} targets, {measures} measures.").format(
                slug=document.slug,
                version=document.version,
                targets=len(document.targets),
                measures=len(document.measures),
            ),
            *(_change_line(change) for change in changes),
        ],
        yes=yes,
    )
    row, changes = plans.import_plan(principal, file)
    show_record({**_plan(row), "changes": [asdict(change) for change in changes]}, as_json=as_json)


@plan.command("diff")
def diff_plan(
    slug: Annotated[str, typer.Argument(help="Of an imported plan; leave out with --file.")] = "",
    old: Annotated[int, typer.Option(help="Version; the one before --new if not given.")] = 0,
    new: Annotated[int, typer.Option(help="Version; the current one if not given.")] = 0,
    file: Annotated[
        Path | None, typer.Option(help="A plan file, compared with the current version.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what one version of a plan changes in another, or what a file would change."""
    principal = caller()
    if file is not None:
        changes = plans.preview_plan(principal, file)[1]
    elif slug:
        later = new or plans.find_plan(principal, slug).version
        changes = plans.compare_versions(principal, slug, old=old or later - 1, new=later)
    else:
        raise InvalidField(field="slug", value="", rule="name an imported plan, or give --file")
    show_rows(
        [asdict(change) for change in changes]
        if as_json
        else [{"change": _change_line(change)} for change in changes],
        columns=["change"],
        as_json=as_json,
        empty=_("Nothing is changed."),
    )


@plan.command("chain")
def show_chain(as_json: AsJson = False) -> None:
    """Count each step of the chain, from a plan's targets to accepted scenarios."""
    found = overview.read_overview(caller())
    show_record({"as_of": found.as_of, **found.counts}, as_json=as_json)


@indicator.command("list")
def list_indicators(as_of: AsOf = "", as_json: AsJson = False) -> None:
    """List every target of the current plans with its value, or "-" without a rule."""
    found = plans.list_indicators(caller(), as_of=_instant(as_of))
    show_rows(
        [_indicator(item) for item in found],
        columns=["plan", "target", "title", "value", "wanted", "unit", "as_of"],
        as_json=as_json,
        empty=_("No plan yet: haihe plan import FILE.toml"),
    )


@indicator.command("show")
def show_indicator(plan_slug: str, code: str, as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Show a target's value with the evidence of every fact that makes it up."""
    principal = caller()
    found = plans.find_indicator(principal, plan_slug, code, as_of=_instant(as_of))
    facts = found.observation.facts if found.observation else ()
    rows = [_fact(link) for link in links_of(principal, facts)]
    record = {
        **_indicator(found),
        "definition": spoken(found.target.definition),
        "units": [spoken(unit) for unit in found.document.responsible_units(found.target)],
        "counts": str(found.target.indicator) if found.target.indicator else None,
    }
    if as_json:
        show_record({**record, "facts": rows}, as_json=True)
        return
    show_record(record, as_json=False)
    show_rows(
        rows,
        columns=["at", "title", "evaluation", "job", "amount_micro", "voucher", "evidence"],
        as_json=False,
        empty=_("No fact is counted yet."),
    )


def _instant(text: str) -> datetime | None:
    """An instant from the command line; a day is taken to its end, in the portal's zone."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidField(field="--as-of", value=text[:40], rule="give a day or a time") from None
    if len(text) == len("2026-06-30"):
        at = at.replace(hour=23, minute=59, second=59)
    return at if at.tzinfo else timezone.make_aware(at)


def _plan(row: Plan) -> dict[str, Any]:
    document = row.document
    return {
        "slug": row.slug,
        "version": row.version,
        "status": document.status,
        "title": spoken(document.title),
        "begins": document.begins,
        "ends": document.ends,
        "targets": len(document.targets),
        "measures": len(document.measures),
        "sha256": row.sha256,
        "imported_at": row.created_at,
        "superseded_at": row.superseded_at,
    }


def _change_line(change: PlanChange) -> str:
    what = f"{change.part} {change.key}"
    if change.kind == "added":
        return _("{what} is new").format(what=what)
    if change.kind == "removed":
        return _("{what} is gone").format(what=what)
    before, after = _words(change.before), _words(change.after)
    return _("{what}, {field}: {before} -> {after}").format(
        what=what, field=change.field, before=before, after=after
    )


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return spoken(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_words(item) for item in value)
    return "-" if value is None else str(value)


def _indicator(found: plans.Indicator) -> dict[str, Any]:
    return {
        "plan": found.plan.slug,
        "target": found.target.code,
        "title": spoken(found.target.title),
        "value": found.observation.value if found.observation else None,
        "wanted": found.target.value,
        "unit": spoken(found.target.unit),
        "is_reached": found.is_reached,
        "as_of": found.observation.as_of if found.observation else None,
    }


def _fact(link: Link) -> dict[str, Any]:
    return {
        "at": link.fact.at,
        "kind": link.fact.kind,
        "subject": link.fact.subject,
        "title": link.scenario.title if link.scenario else None,
        "evaluation": link.scenario.evaluation_id if link.scenario else None,
        "job": link.job.pk if link.job else None,
        "amount_micro": link.settlement.amount_micro if link.settlement else None,
        "voucher": link.voucher.number if link.voucher else None,
        "evidence": link.fact.entry_id,
    }
