"""Commands about datasets, their versions, and the agreements on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.data import services
from haihe.data.domain import PURPOSES, UsagePolicy, policy_from
from haihe.data.models import Agreement, Dataset, DatasetVersion
from haihe.data.services.versions import PREVIEW_ROWS
from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.terminal import AsJson, Yes, ask_consent, print_json, show_record, show_rows
from haihe.policy.cli import caller, person

dataset = typer.Typer(help="Datasets, their versions and their use.", no_args_is_help=True)
agreement = typer.Typer(help="Agreements on the use of datasets.", no_args_is_help=True)

Organisation = Annotated[str, typer.Option(help="Slug of the organisation.")]
Purpose = Annotated[str, typer.Option(help=", ".join(PURPOSES))]
Days = Annotated[int, typer.Option(help="How long the agreement lasts.")]


@dataset.command("list")
def list_datasets(
    text: Annotated[str, typer.Option(help="Part of a title, description or holder.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List the catalogue as you may see it."""
    rows = services.list_datasets(caller(), text=text)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_card(row) for row in page.items],
        columns=["slug", "title", "organisation", "is_published", "newest_version"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No dataset yet: haihe --as EMAIL dataset create ..."),
    )


@dataset.command("show")
def show_dataset(slug: str, as_json: AsJson = False) -> None:
    """Show a dataset's card and terms."""
    show_record(_card(services.find_dataset(caller(), slug)), as_json=as_json)


@dataset.command("create")
def create_dataset(
    slug: str,
    organisation: Organisation,
    title: Annotated[str, typer.Option()],
    purpose: Annotated[list[str], typer.Option(help="May be given several times.")],
    days: Annotated[int, typer.Option(help="How long one agreement lasts at most.")] = 365,
    download: Annotated[bool, typer.Option(help="The content may leave the platform.")] = False,
    standing: Annotated[
        bool, typer.Option(help="Organisations may accept the terms without asking.")
    ] = False,
    centre: Annotated[
        list[str] | None, typer.Option(help="Where jobs may take it; anywhere, if not given.")
    ] = None,
    title_en: str = "",
    description: str = "",
    licence: str = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Register a dataset, so far without content, and set its terms."""
    principal = person()
    policy = policy_from(
        {
            "purposes": purpose,
            "days": days,
            "download": download,
            "standing": standing,
            "centres": centre or (),
        }
    )
    ask_consent(
        [
            _("Register {slug} ({title}) for {organisation}.").format(
                slug=slug, title=title, organisation=organisation
            ),
            _terms(policy),
        ],
        yes=yes,
    )
    created = services.create_dataset(
        principal,
        organisation=organisation,
        slug=slug,
        title=title,
        title_en=title_en,
        description=description,
        licence=licence,
        policy=policy,
    )
    show_record(_card(created), as_json=as_json)


@dataset.command("add")
def add_version(
    slug: str,
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8, or Parquet.")],
    source: Annotated[str, typer.Option(help="Where the content comes from.")] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Register a file as the dataset's next version; it is read to its end first."""
    principal = person()
    ask_consent([_("Add {file} to {slug}.").format(file=file, slug=slug)], yes=yes)
    added = services.add_version_from_path(principal, slug, file, source=source)
    show_record(_version(added), as_json=as_json)


@dataset.command("publish")
def publish_dataset(slug: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """List a dataset in the public catalogue."""
    principal = person()
    ask_consent([_("Publish {slug}: anybody sees its card.").format(slug=slug)], yes=yes)
    show_record(_card(services.publish_dataset(principal, slug)), as_json=as_json)


@dataset.command("withdraw")
def withdraw_dataset(slug: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a dataset out of the public catalogue; agreements in force stay."""
    principal = person()
    ask_consent([_("Withdraw {slug} from the catalogue.").format(slug=slug)], yes=yes)
    withdrawn = services.publish_dataset(principal, slug, published=False)
    show_record(_card(withdrawn), as_json=as_json)


@dataset.command("versions")
def list_versions(
    slug: str, cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False
) -> None:
    """List a dataset's versions, the newest first."""
    rows = services.versions_of(caller(), slug)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_version(row) for row in page.items],
        columns=["number", "rows", "bytes", "format", "sha256", "created_at"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No content yet: haihe --as EMAIL dataset add {slug} FILE").format(slug=slug),
    )


@dataset.command("preview")
def preview(
    slug: str,
    number: Annotated[int, typer.Argument(help="Version; the newest if not given.")] = 0,
    rows: int = PREVIEW_ROWS,
    as_json: AsJson = False,
) -> None:
    """Print the first rows of a version; the look is logged for the holder."""
    principal = caller()
    wanted = number or services.find_version(principal, slug).number
    frame = services.preview(principal, slug, wanted, rows=rows)
    if as_json:
        # Polars writes dates and the like as JSON has them; print_json knows fewer types.
        print_json({"version": wanted, "rows": json.loads(frame.write_json())})
        return
    show_rows(frame.to_dicts(), columns=frame.columns, as_json=False)


@dataset.command("usage")
def list_usage(
    slug: str, cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False
) -> None:
    """List who read the content, which version, when and how: for the holder."""
    usage = services.usage_of(caller(), slug, cursor=cursor or None, limit=limit)
    show_rows(
        [{**vars(read), "reader": read.reader.slug} for read in usage.items],
        columns=["at", "version", "reader", "via", "actor"],
        as_json=as_json,
        next_cursor=usage.next_cursor,
        empty=_("Nobody has read it yet."),
    )


@agreement.command("list")
def list_agreements(
    dataset_slug: Annotated[str, typer.Option("--dataset", help="Those on one dataset.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List agreements of your organisations, the newest first."""
    rows = services.list_agreements(caller(), dataset=dataset_slug)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_agreement(row) for row in page.items],
        columns=["id", "dataset", "provider", "consumer", "purpose", "state", "expires_at"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No agreement yet: haihe --as EMAIL agreement propose ..."),
    )


@agreement.command("show")
def show_agreement(agreement_id: str, as_json: AsJson = False) -> None:
    """Show an agreement."""
    show_record(_agreement(services.find_agreement(caller(), agreement_id)), as_json=as_json)


@agreement.command("propose")
def propose_agreement(
    slug: str,
    consumer: Organisation,
    purpose: Purpose,
    days: Days,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Offer terms of use to an organisation, for the dataset's holder."""
    principal = person()
    ask_consent(
        [
            _("Offer {consumer} the use of {slug} for {purpose}, {days} days.").format(
                consumer=consumer, slug=slug, purpose=purpose, days=days
            )
        ],
        yes=yes,
    )
    proposed = services.propose_agreement(
        principal, slug, consumer=consumer, purpose=purpose, days=days
    )
    show_record(_agreement(proposed), as_json=as_json)


@agreement.command("accept")
def accept_agreement(agreement_id: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Accept terms that were offered, for the consumer."""
    principal = person()
    found = services.find_agreement(principal, agreement_id)
    ask_consent([_summary(found), _terms(found.policy)], yes=yes)
    show_record(_agreement(services.accept_agreement(principal, agreement_id)), as_json=as_json)


@agreement.command("end")
def end_agreement(agreement_id: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """End an agreement, for either side: no job reads under it any more."""
    principal = person()
    found = services.find_agreement(principal, agreement_id)
    ask_consent([_("End: {summary}").format(summary=_summary(found))], yes=yes)
    show_record(_agreement(services.end_agreement(principal, agreement_id)), as_json=as_json)


@agreement.command("take")
def take_terms(
    slug: str,
    organisation: Organisation,
    purpose: Purpose,
    days: Days,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Accept a published dataset's standing terms, for an organisation."""
    principal = person()
    found = services.find_dataset(principal, slug)
    ask_consent(
        [
            _("Accept the terms of {slug} for {organisation}: {purpose}, {days} days.").format(
                slug=slug, organisation=organisation, purpose=purpose, days=days
            ),
            _terms(found.policy),
        ],
        yes=yes,
    )
    accepted = services.accept_terms(
        principal, slug, organisation=organisation, purpose=purpose, days=days
    )
    show_record(_agreement(accepted), as_json=as_json)


def _terms(policy: UsagePolicy) -> str:
    text = _("Terms: {purposes}; at most {days} days; download: {download}; centres: {centres}.")
    return text.format(
        purposes=", ".join(policy.purposes),
        days=policy.days,
        download=_("yes") if policy.download else _("no"),
        centres=", ".join(policy.centres) or _("any"),
    )


def _summary(row: Agreement) -> str:
    return _("{consumer} uses {dataset} of {provider} for {purpose}, {days} days.").format(
        consumer=row.consumer.name,
        dataset=row.dataset.slug,
        provider=row.provider.name,
        purpose=row.purpose,
        days=row.days,
    )


def _card(row: Dataset) -> dict[str, Any]:
    return {
        "id": row.pk,
        "slug": row.slug,
        "title": row.title,
        "title_en": row.title_en,
        "organisation": row.organisation.slug,
        "licence": row.licence,
        "description": row.description,
        "policy": row.policy.as_dict(),
        "is_published": row.is_published,
        "newest_version": row.newest_number,
    }


def _version(row: DatasetVersion) -> dict[str, Any]:
    return {
        "id": row.pk,
        "number": row.number,
        "rows": row.rows,
        "bytes": row.bytes,
        "format": row.format,
        "sha256": row.sha256,
        "source": row.source,
        "columns": [column["name"] for column in row.columns],
        "created_at": row.created_at,
    }


def _agreement(row: Agreement) -> dict[str, Any]:
    return {
        "id": row.pk,
        "dataset": row.dataset.slug,
        "provider": row.provider.slug,
        "consumer": row.consumer.slug,
        "purpose": row.purpose,
        "days": row.days,
        "state": row.state,
        "accepted_at": row.accepted_at,
        "expires_at": row.expires_at,
        "ended_at": row.ended_at,
    }
