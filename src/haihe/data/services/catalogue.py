"""The catalogue: register, describe, publish, find datasets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from haihe.data.domain import UsagePolicy
from haihe.data.errors import SlugTaken
from haihe.data.models import Dataset
from haihe.evidence.services import record
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import check_slug
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation, organisations_of
from haihe.policy.domain import WORKING, Principal, Resource
from haihe.policy.services import authorize

TEXT_LENGTH = 200
DESCRIPTION_LENGTH = 10_000


def create_dataset(
    principal: Principal,
    *,
    organisation: str,
    slug: str,
    title: str,
    policy: UsagePolicy,
    title_en: str = "",
    description: str = "",
    licence: str = "",
) -> Dataset:
    """Register a dataset of an organisation, so far without content."""
    holder = find_organisation(principal, organisation)
    authorize(principal, "dataset.create", holder.resource("Dataset"))
    check_slug(slug, field="slug")
    card = _check_card(title=title, title_en=title_en, description=description, licence=licence)
    with unit_of_work():
        dataset = _insert_dataset(
            organisation=holder,
            slug=slug,
            **card,
            policy_data=policy.as_dict(),
            created_by_id=principal.person_id,
        )
        _record(
            "dataset.registered",
            principal,
            dataset,
            {"slug": slug, "title": title, "licence": licence, "policy": policy.as_dict()},
        )
    return dataset


def update_dataset(
    principal: Principal,
    slug: str,
    *,
    title: str,
    policy: UsagePolicy,
    title_en: str = "",
    description: str = "",
    licence: str = "",
) -> Dataset:
    """Change a dataset's card, and its terms for new agreements: those in force keep theirs."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.update", dataset.resource())
    card = _check_card(title=title, title_en=title_en, description=description, licence=licence)
    before = dataset.policy
    changed = {**card, "policy_data": policy.as_dict()}
    for name, value in changed.items():
        setattr(dataset, name, value)
    with unit_of_work():
        dataset.save(update_fields=list(changed))
        if policy != before:
            _record(
                "dataset.policy_changed",
                principal,
                dataset,
                {"before": before.as_dict(), "after": policy.as_dict()},
            )
        _record(
            "dataset.changed",
            principal,
            dataset,
            {"title": title, "licence": licence, "policy": policy.as_dict()},
        )
    return dataset


def publish_dataset(principal: Principal, slug: str, *, published: bool = True) -> Dataset:
    """List a dataset in the public catalogue, or take it out; agreements in force stay."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "dataset.update", dataset.resource())
    with unit_of_work():
        dataset.is_published = published
        dataset.save(update_fields=["is_published"])
        kind = "dataset.published" if published else "dataset.withdrawn"
        _record(kind, principal, dataset, {"slug": slug})
    return dataset


def list_datasets(principal: Principal, *, text: str = "") -> QuerySet[Dataset]:
    """The catalogue as the caller may see it, optionally narrowed to a text.

    The platform's own processes see all.
    """
    authorize(principal, "dataset.read", Resource("Dataset", public=True))
    rows = Dataset.objects.with_newest_version().select_related("organisation")
    if not principal.system:
        rows = rows.visible_to(principal.organisations())
    return rows.matching(text) if text else rows


def find_dataset(principal: Principal, slug: str) -> Dataset:
    """A dataset's card; one that the caller may not know of reads as missing."""
    return _known(principal, list_datasets(principal).filter(slug=slug), slug)


def find_dataset_by_id(principal: Principal, dataset_id: UUID) -> Dataset:
    """A dataset's card by the id that evidence names it by."""
    return _known(principal, list_datasets(principal).filter(pk=dataset_id), str(dataset_id))


def _known(principal: Principal, rows: QuerySet[Dataset], label: str) -> Dataset:
    dataset = rows.first()
    if dataset is None:
        raise MissingRecord(kind="dataset", id=label)
    consumers = frozenset(dataset.agreements.values_list("consumer_id", flat=True))
    authorize(principal, "dataset.read", dataset.resource(parties=consumers))
    return dataset


def possible_holders(principal: Principal) -> list[Organisation]:
    """The organisations for which the caller may register datasets; at least one."""
    own = organisations_of(principal, *WORKING)
    resource = own[0].resource("Dataset") if own else Resource("Dataset")
    authorize(principal, "dataset.create", resource)
    return own


def _check_card(*, title: str, title_en: str, description: str, licence: str) -> dict[str, str]:
    if not title.strip() or len(title) > TEXT_LENGTH:
        raise InvalidField(field="title", value=title[:40], rule="give 1 to 200 characters")
    for field, value in (("title_en", title_en), ("licence", licence)):
        if len(value) > TEXT_LENGTH:
            raise InvalidField(field=field, value=value[:40], rule="give at most 200 characters")
    if len(description) > DESCRIPTION_LENGTH:
        rule = f"give at most {DESCRIPTION_LENGTH} characters"
        raise InvalidField(field="description", value=description[:40], rule=rule)
    return {
        "title": title, "title_en": title_en, "description": description, "licence": licence,
    }  # fmt: skip


def _insert_dataset(**fields: Any) -> Dataset:
    try:
        return Dataset.objects.create(**fields)
    except IntegrityError:
        raise SlugTaken(slug=fields["slug"]) from None


def _record(kind: str, principal: Principal, dataset: Dataset, data: dict[str, Any]) -> None:
    record(
        kind,
        subject=f"dataset:{dataset.pk}",
        actor=principal,
        data=data,
        parties=[dataset.organisation_id],
    )
