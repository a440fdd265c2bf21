"""Use cases of organisations: the directory, their cards, who holds whom."""

from __future__ import annotations

from typing import Any

import pytest

from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.ledger.models import Account
from haihe.parties import services
from haihe.parties.errors import (
    AlreadyRegistered,
    BadCreditCode,
)
from haihe.parties.models import (
    Membership,
    Organisation,
    Ownership,
    Person,
)
from haihe.policy.domain import ANONYMOUS, Role
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.factories import make_credit_code, make_member, make_organisation
from tests.parties.factories import CONSOLE, logged, of, platform

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def card(**changes: str) -> dict[str, str]:
    given = {
        "slug": "acme",
        "name": "极光",
        "name_en": "Aurora",
        "kind": "enterprise",
        "credit_code": make_credit_code(),
    }
    return given | changes


def test_whoever_registers_an_organisation_owns_it(ann: Person) -> None:
    made = services.create_organisation(of(ann), **card())
    assert Membership.objects.get(person=ann).role == Role.OWNER
    assert made.verified_at is None
    [entry] = logged("organisation.registered")
    assert (entry.subject, entry.actor) == (f"organisation:{made.pk}", f"person:{ann.pk}")
    assert entry.parties == (made.pk,)
    assert entry.data["credit_code"] == made.credit_code


def test_the_console_registers_without_owning() -> None:
    services.create_organisation(CONSOLE, **card())
    assert not Membership.objects.exists()


def test_nobody_registers_nothing() -> None:
    with pytest.raises(NotSignedIn):
        services.create_organisation(ANONYMOUS, **card())
    with pytest.raises(NotSignedIn):
        services.check_may_create(ANONYMOUS)
    assert not Organisation.objects.exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"slug": "Not a slug"}, InvalidField),
        ({"slug": ""}, InvalidField),
        ({"slug": "-"}, InvalidField),
        ({"name": " "}, InvalidField),
        ({"name": "a" * 201}, InvalidField),
        ({"name_en": "a" * 201}, InvalidField),
        ({"name_en": "two\nlines"}, InvalidField),
        ({"kind": "bank"}, InvalidField),
        ({"credit_code": "91120111MADEM0004A"}, BadCreditCode),
    ],
)
def test_a_bad_card_is_refused_and_leaves_nothing(
    ann: Person, change: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        services.create_organisation(of(ann), **card(**change))
    assert not Organisation.objects.exists()
    assert logged("organisation.registered") == []


def test_slug_and_credit_code_belong_to_one_organisation(ann: Person) -> None:
    first = card()
    services.create_organisation(of(ann), **first)
    with pytest.raises(AlreadyRegistered, match="slug"):
        services.create_organisation(of(ann), **card())
    with pytest.raises(AlreadyRegistered, match="credit_code"):
        same_code = first["credit_code"].lower()
        services.create_organisation(of(ann), **card(slug="other", credit_code=same_code))
    assert Organisation.objects.count() == 1


@pytest.mark.parametrize("role", ["owner", "manager"])
def test_those_who_bind_an_organisation_change_its_names(firm: Organisation, role: str) -> None:
    services.update_organisation(make_member(firm, role), "firm", name="新名", name_en="New")
    firm.refresh_from_db()
    assert (firm.name, firm.name_en) == ("新名", "New")
    assert logged("organisation.updated")[0].data == {"name": "新名", "name_en": "New"}


@pytest.mark.parametrize("role", ["member", "auditor"])
def test_others_change_no_names(firm: Organisation, role: str) -> None:
    with pytest.raises(NotAllowed):
        services.update_organisation(make_member(firm, role), "firm", name="X")
    with pytest.raises(NotAllowed):
        services.update_organisation(platform("operator"), "firm", name="X")
    firm.refresh_from_db()
    assert firm.name == "Firm"


def test_the_operator_verifies_once(ann: Person) -> None:
    make_organisation("new", verified=False, owner=ann)
    for wrong in (of(ann), platform("officer", "auditor")):
        with pytest.raises(NotAllowed):
            services.verify_organisation(wrong, "new")
    operator = platform("operator")
    first = services.verify_organisation(operator, "new").verified_at
    assert first is not None
    assert services.verify_organisation(operator, "new").verified_at == first
    assert len(logged("organisation.verified")) == 1


def test_a_verified_organisation_has_where_a_first_deposit_goes(ann: Person) -> None:
    new = make_organisation("new", verified=False, owner=ann)
    assert not Account.objects.filter(owner_id=new.pk).exists()
    services.verify_organisation(platform("operator"), "new")
    account = Account.objects.get(owner_id=new.pk)
    assert (account.asset, account.posted_micro) == ("CNY", 0)


def test_the_directory_is_for_people_who_are_signed_in(ann: Person, firm: Organisation) -> None:
    make_organisation("clinic", kind="hospital")
    listed = services.list_organisations(of(ann))
    assert {row.slug for row in listed} == {"firm", "clinic"}
    assert [row.slug for row in services.list_organisations(of(ann), text="LINI")] == ["clinic"]
    by_code = services.list_organisations(of(ann), text=firm.credit_code[-5:])
    assert [row.slug for row in by_code] == ["firm"]
    by_kind = services.list_organisations(of(ann), kind="hospital")
    assert [row.slug for row in by_kind] == ["clinic"]
    with pytest.raises(InvalidField):
        services.list_organisations(of(ann), kind="bank")
    with pytest.raises(NotSignedIn):
        services.list_organisations(ANONYMOUS)


def test_an_organisation_is_found_by_slug_and_by_id(ann: Person, firm: Organisation) -> None:
    assert services.find_organisation(of(ann), "firm") == firm
    assert services.find_organisation_by_id(of(ann), firm.pk) == firm
    for find, wrong in (
        (services.find_organisation, "other"),
        (services.find_organisation_by_id, new_id()),
    ):
        with pytest.raises(MissingRecord):
            find(of(ann), wrong)
    with pytest.raises(NotSignedIn):
        services.find_organisation(ANONYMOUS, "firm")
    with pytest.raises(NotSignedIn):
        services.find_organisation_by_id(ANONYMOUS, firm.pk)


def test_a_holding_is_recorded_by_the_operator_and_replaced(
    ann: Person, firm: Organisation
) -> None:
    mother = make_organisation("mother")
    share = {"owner": "mother", "owned": "firm", "percent": 30, "source": "register"}
    with pytest.raises(NotAllowed):
        services.record_ownership(of(ann), **share)
    operator = platform("operator")
    services.record_ownership(operator, **share)
    services.record_ownership(operator, **share | {"percent": 20})
    assert [row.percent for row in services.holdings_of(of(ann), "firm")] == [20]
    assert [row.percent for row in services.holdings_of(of(ann), "mother")] == [20]
    entry = logged("organisation.ownership_recorded")[-1]
    assert set(entry.parties) == {mother.pk, firm.pk}
    assert services.relation_between(firm.pk, mother.pk, at_least_percent=20) == ["Firm", "Mother"]
    assert services.relation_between(firm.pk, mother.pk, at_least_percent=21) is None
    with pytest.raises(NotSignedIn):
        services.holdings_of(ANONYMOUS, "firm")


def test_a_holding_that_was_sold_relates_nobody(ann: Person, firm: Organisation) -> None:
    make_organisation("mother")
    operator = platform("operator")
    share = {"owner": "mother", "owned": "firm", "percent": 30, "source": "register"}
    with pytest.raises(MissingRecord):
        services.record_ownership(operator, **share | {"percent": 0})
    row = services.record_ownership(operator, **share)
    assert row is not None
    with pytest.raises(NotAllowed):
        services.record_ownership(of(ann), **share | {"percent": 0})
    assert services.record_ownership(operator, **share | {"percent": 0}) is None
    assert not services.holdings_of(of(ann), "firm").exists()
    assert services.relation_between(row.owner_id, row.owned_id, at_least_percent=1) is None
    told = [entry.data["percent"] for entry in logged("organisation.ownership_recorded")]
    assert told == [30, 0]


@pytest.mark.parametrize(
    "change",
    [{"percent": -1}, {"percent": 101}, {"owner": "firm"}, {"source": ""}, {"source": "x" * 201}],
)
def test_a_holding_that_cannot_be_is_refused(firm: Organisation, change: dict[str, Any]) -> None:
    make_organisation("mother")
    share = {"owner": "mother", "owned": "firm", "percent": 30, "source": "register"}
    with pytest.raises(InvalidField):
        services.record_ownership(platform("operator"), **share | change)
    assert not Ownership.objects.exists()
