"""Use cases of organisations: the directory, their cards, and who holds a share of whom."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import check_slug
from haihe.kernel.work import unit_of_work
from haihe.ledger.services import open_cash
from haihe.parties.domain import check_credit_code, check_line, related_through
from haihe.parties.errors import AlreadyRegistered
from haihe.parties.models import Membership, Organisation, Ownership
from haihe.policy.domain import Principal, Resource, Role
from haihe.policy.services import authorize

PLATFORM = Resource("Platform", "platform")


def check_may_create(principal: Principal) -> None:
    """Return if the caller may register an organisation: before they fill in a form for it."""
    authorize(principal, "organisation.create", Resource("Organisation"))


def create_organisation(
    principal: Principal,
    *,
    slug: str,
    name: str,
    kind: str,
    credit_code: str,
    name_en: str = "",
) -> Organisation:
    """Register an organisation; whoever registers it is its first owner.

    Raises
    ------
    BadCreditCode
        If the credit code's check digit, length or characters are wrong.
    AlreadyRegistered
        If the slug or the credit code is taken.
    """
    authorize(principal, "organisation.create", Resource("Organisation"))
    check_slug(slug, field="slug")
    code = check_credit_code(credit_code)
    kind = _check_kind(kind)
    _check_names(name, name_en)
    for field, value in (("slug", slug), ("credit_code", code)):
        if Organisation.objects.filter(**{field: value}).exists():
            raise AlreadyRegistered(field=field, value=value)
    with unit_of_work():
        organisation = _insert_organisation(
            slug=slug, name=name, name_en=name_en, kind=kind, credit_code=code
        )
        if principal.id:
            Membership.objects.create(
                organisation=organisation, person_id=principal.id, role=Role.OWNER
            )
        record(
            "organisation.registered",
            subject=f"organisation:{organisation.pk}",
            actor=principal,
            data={"slug": slug, "name": name, "kind": kind, "credit_code": code},
            parties=[organisation.pk],
        )
    return organisation


def update_organisation(
    principal: Principal, slug: str, *, name: str, name_en: str = ""
) -> Organisation:
    """Change the names on an organisation's card. Slug and credit code never change."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.update", organisation.resource())
    _check_names(name, name_en)
    with unit_of_work():
        organisation.name, organisation.name_en = name, name_en
        organisation.save(update_fields=["name", "name_en"])
        record(
            "organisation.updated",
            subject=f"organisation:{organisation.pk}",
            actor=principal,
            data={"name": name, "name_en": name_en},
            parties=[organisation.pk],
        )
    return organisation


def verify_organisation(principal: Principal, slug: str) -> Organisation:
    """Confirm, as the operator, that the organisation is the one its credit code names.

    From then on it has an account of money, so that a first deposit has where to go.
    """
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.verify", organisation.resource())
    with unit_of_work():
        verified = Organisation.objects.filter(pk=organisation.pk, verified_at=None).update(
            verified_at=now()
        )
        if verified:
            record(
                "organisation.verified",
                subject=f"organisation:{organisation.pk}",
                actor=principal,
                data={"credit_code": organisation.credit_code},
                parties=[organisation.pk],
            )
            open_cash(organisation.pk, name=organisation.name)
    organisation.refresh_from_db()
    return organisation


def list_organisations(
    principal: Principal, *, text: str = "", kind: str = ""
) -> QuerySet[Organisation]:
    """The directory, optionally narrowed to a text and a kind."""
    authorize(principal, "organisation.list", PLATFORM)
    rows = Organisation.objects.matching(text) if text else Organisation.objects.all()
    return rows.filter(kind=_check_kind(kind)) if kind else rows


def find_organisation(principal: Principal, slug: str) -> Organisation:
    """An organisation's public card, by slug."""
    organisation = Organisation.objects.filter(slug=slug).first()
    if organisation is None:
        raise MissingRecord(kind="organisation", id=slug)
    authorize(principal, "organisation.read", organisation.resource())
    return organisation


def find_organisation_by_id(principal: Principal, organisation_id: UUID) -> Organisation:
    """An organisation's public card, by the id that ledger and evidence know it by."""
    organisation = Organisation.objects.filter(pk=organisation_id).first()
    if organisation is None:
        raise MissingRecord(kind="organisation", id=str(organisation_id))
    authorize(principal, "organisation.read", organisation.resource())
    return organisation


def organisations_of(principal: Principal, *roles: Role) -> list[Organisation]:
    """The organisations in which the caller has one of ``roles`` (any, if none is given)."""
    return list(
        Organisation.objects.filter(pk__in=principal.organisations(*roles)).order_by("slug")
    )


def record_ownership(
    principal: Principal, *, owner: str, owned: str, percent: int, source: str
) -> Ownership | None:
    """Note that one organisation holds a share of another, and where that is read from.

    A share of 0 ends the holding that is noted: who sold it is related no more. None is left then.
    """
    holder, held = find_organisation(principal, owner), find_organisation(principal, owned)
    authorize(principal, "organisation.verify", held.resource())
    if not 0 <= percent <= 100 or holder.pk == held.pk:
        raise InvalidField(field="percent", value=percent, rule="give 0 to 100, of another one")
    check_line(source, field="source")
    with unit_of_work():
        row = None
        if percent:
            row, _ = Ownership.objects.update_or_create(
                owner=holder, owned=held, defaults={"percent": percent, "source": source}
            )
        elif not Ownership.objects.filter(owner=holder, owned=held).delete()[0]:
            raise MissingRecord(kind="holding", id=f"{owner} of {owned}")
        record(
            "organisation.ownership_recorded",
            subject=f"organisation:{held.pk}",
            actor=principal,
            data={"owner": owner, "owned": owned, "percent": percent, "source": source},
            parties=[holder.pk, held.pk],
        )
    return row


def holdings_of(principal: Principal, slug: str) -> QuerySet[Ownership]:
    """The holdings that an organisation has and that others have in it, the largest first."""
    organisation = find_organisation(principal, slug)
    rows = Ownership.objects.of(organisation.pk).select_related("owner", "owned")
    return rows.order_by("-percent", "pk")


def relation_between(a: UUID, b: UUID, *, at_least_percent: int) -> list[str] | None:
    """The names along the chain that makes two organisations related; None if they are not."""
    chain = related_through(a, b, Ownership.objects.edges(), at_least_percent=at_least_percent)
    if chain is None:
        return None
    names = dict(Organisation.objects.filter(pk__in=chain).values_list("pk", "name"))
    return [names[organisation] for organisation in chain]


def _insert_organisation(**fields: str) -> Organisation:
    try:
        return Organisation.objects.create(**fields)
    except IntegrityError:
        raise AlreadyRegistered(field="credit_code", value=fields["credit_code"]) from None


def _check_kind(kind: str) -> str:
    if kind not in Organisation.Kind.values:
        raise InvalidField(
            field="kind", value=kind, rule="choose from " + ", ".join(Organisation.Kind.values)
        )
    return kind


def _check_names(name: str, name_en: str) -> None:
    check_line(name, field="name")
    if name_en:
        check_line(name_en, field="name_en")
