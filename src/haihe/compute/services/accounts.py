"""Who people are at a centre: each job runs there under its person's own identity."""

from __future__ import annotations

import re

from django.db.models import QuerySet

from haihe.compute.models import Centre, PersonAccount
from haihe.compute.services.centres import find_centre
from haihe.evidence.services import record
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Person
from haihe.policy.domain import Principal
from haihe.policy.services import authorize, is_allowed

# What useradd and sacctmgr accept; nothing that a shell or a scheduler could take for an option.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_FIELDS = ("user", "account", "qos")


def set_account(
    principal: Principal,
    centre_slug: str,
    *,
    email: str,
    user: str,
    account: str = "",
    qos: str = "",
) -> PersonAccount:
    """Say who a person is at a centre: a user, and what its scheduler books and ranks them by."""
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    values = {"user": user, "account": account, "qos": qos}
    for field, value in values.items():
        if (value or field == "user") and not _NAME.fullmatch(value):
            rule = "give 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter"
            raise InvalidField(field=field, value=value[:40], rule=rule)
    person = _person(email)
    with unit_of_work():
        row, _ = PersonAccount.objects.update_or_create(
            centre=centre, person=person, defaults=values
        )
        _record("account.mapped", principal, row)
    return row


def drop_account(principal: Principal, centre_slug: str, *, email: str) -> None:
    """Forget who a person is at a centre. Their jobs that run there go on."""
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    row = PersonAccount.objects.filter(centre=centre, person=_person(email)).first()
    if row is None:
        raise MissingRecord(kind="account", id=email)
    with unit_of_work():
        _record("account.unmapped", principal, row)
        row.delete()


def accounts_at(principal: Principal, centre_slug: str) -> QuerySet[PersonAccount]:
    """Who people are at a centre: all for its operator's managers, and for others their own."""
    centre = find_centre(principal, centre_slug)
    rows = centre.accounts.select_related("person").order_by("person__email")
    if is_allowed(principal, "centre.update", centre.resource()):
        return rows
    return rows.filter(person=principal.person_id) if principal.id else rows.none()


def has_account(principal: Principal, centre: Centre) -> bool:
    """Whether the caller is known at a centre."""
    return bool(principal.id) and centre.accounts.filter(person=principal.person_id).exists()


def _person(email: str) -> Person:
    person = Person.objects.filter(email=email.strip().lower()).first()
    if person is None:
        raise MissingRecord(kind="person", id=email)
    return person


def _record(kind: str, principal: Principal, row: PersonAccount) -> None:
    record(
        kind,
        subject=f"centre:{row.centre_id}",
        actor=principal,
        data={"person": str(row.person_id), **{field: getattr(row, field) for field in _FIELDS}},
        parties=[row.centre.operator_id],
    )
