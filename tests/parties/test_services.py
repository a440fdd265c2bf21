"""Use cases of organisations, members, people and tokens: who may, what is kept, what is logged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import use_clock
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.parties import services
from haihe.parties.errors import (
    AlreadyRegistered,
    BadCreditCode,
    BadToken,
    DeadInvitation,
    EmailTaken,
    LastOwner,
)
from haihe.parties.models import (
    ApiToken,
    Invitation,
    Membership,
    Organisation,
    Ownership,
    Person,
    PlatformGrant,
)
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, Role, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, PersonNeeded, ScopeMissing
from tests.factories import make_credit_code, make_member, make_organisation, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
CONSOLE = system_principal("console")


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def watch() -> Iterator[Watch]:
    clock = Watch()
    with use_clock(clock):
        yield clock


@pytest.fixture
def ann() -> Person:
    return make_person("ann@example.test")


@pytest.fixture
def firm(ann: Person) -> Organisation:
    return make_organisation("firm", owner=ann)


def of(person: Person) -> Principal:
    return services.principal_of(person)


def platform(*roles: str) -> Principal:
    return of(make_person(roles=roles))


def logged(kind: str) -> list[EvidenceEntry]:
    return list(EvidenceEntry.objects.filter(kind=kind).order_by("index"))


def card(**changes: str) -> dict[str, str]:
    given = {
        "slug": "acme",
        "name": "极光",
        "name_en": "Aurora",
        "kind": "enterprise",
        "credit_code": make_credit_code(),
    }
    return given | changes


# Who is asking


def test_a_principal_knows_memberships_and_platform_roles(ann: Person, firm: Organisation) -> None:
    PlatformGrant.objects.create(person=ann, role="auditor")
    principal = of(ann)
    assert principal.memberships == {(firm.pk, Role.OWNER)}
    assert principal.platform_roles == {PlatformRole.AUDITOR}
    assert services.principal_of_email(" ANN@example.test").id == ann.pk


def test_an_unknown_or_closed_person_has_no_principal(ann: Person) -> None:
    with pytest.raises(MissingRecord):
        services.principal_of_email("bob@example.test")
    Person.objects.update(is_active=False)
    with pytest.raises(MissingRecord):
        services.principal_of_email(ann.email)


# Organisations


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


@pytest.mark.parametrize(
    "change",
    [{"percent": 0}, {"percent": 101}, {"owner": "firm"}, {"source": ""}, {"source": "x" * 201}],
)
def test_a_holding_that_cannot_be_is_refused(firm: Organisation, change: dict[str, Any]) -> None:
    make_organisation("mother")
    share = {"owner": "mother", "owned": "firm", "percent": 30, "source": "register"}
    with pytest.raises(InvalidField):
        services.record_ownership(platform("operator"), **share | change)
    assert not Ownership.objects.exists()


# Members


def test_members_are_seen_by_members_operator_and_auditor(firm: Organisation, ann: Person) -> None:
    for reader in (
        of(ann),
        make_member(firm, "auditor"),
        platform("operator"),
        platform("auditor"),
    ):
        found = services.members_of(reader, "firm")
        assert ann in [row.person for row in found]
        assert services.find_member(reader, "firm", ann.pk).person == ann
    for stranger in (of(make_person()), platform("officer")):
        with pytest.raises(NotAllowed):
            services.members_of(stranger, "firm")
        with pytest.raises(NotAllowed):
            services.find_member(stranger, "firm", ann.pk)
    with pytest.raises(NotSignedIn):
        services.members_of(ANONYMOUS, "firm")


def test_one_reads_ones_own_memberships(firm: Organisation, ann: Person) -> None:
    assert [row.organisation for row in services.memberships_of(of(ann))] == [firm]
    assert list(services.memberships_of(of(make_person()))) == []
    with pytest.raises(NotSignedIn):
        services.memberships_of(ANONYMOUS)


def test_an_owner_gives_roles_and_it_is_logged(firm: Organisation, ann: Person) -> None:
    bob = make_member(firm, "member")
    services.change_role(of(ann), "firm", bob.person_id, "manager")
    assert Membership.objects.get(person_id=bob.person_id).role == Role.MANAGER
    [entry] = logged("membership.changed")
    assert entry.data == {"person": str(bob.person_id), "role": "manager"}
    services.change_role(of(ann), "firm", bob.person_id, "manager")
    assert len(logged("membership.changed")) == 1


@pytest.mark.parametrize("role", ["manager", "member", "auditor"])
def test_who_is_no_owner_manages_no_members(firm: Organisation, ann: Person, role: str) -> None:
    bob = make_member(firm, role)
    with pytest.raises(NotAllowed):
        services.change_role(bob, "firm", bob.person_id, "owner")
    with pytest.raises(NotAllowed):
        services.remove_member(bob, "firm", ann.pk)
    assert firm.memberships.count() == 2


def test_the_owner_of_another_organisation_manages_no_members(firm: Organisation) -> None:
    stranger = make_person()
    make_organisation(owner=stranger)
    with pytest.raises(NotAllowed):
        services.remove_member(of(stranger), "firm", firm.memberships.get().person_id)


def test_the_last_owner_stays_one(firm: Organisation, ann: Person) -> None:
    with pytest.raises(LastOwner):
        services.change_role(of(ann), "firm", ann.pk, "member")
    with pytest.raises(LastOwner):
        services.remove_member(of(ann), "firm", ann.pk)
    bob = make_member(firm, "owner")
    services.remove_member(bob, "firm", ann.pk)
    assert [row.person_id for row in firm.memberships.all()] == [bob.person_id]
    assert logged("membership.removed")[0].data["person"] == str(ann.pk)


def test_a_role_or_member_that_is_not_there_is_named(firm: Organisation, ann: Person) -> None:
    with pytest.raises(InvalidField):
        services.change_role(of(ann), "firm", ann.pk, "boss")
    for wrong in (new_id(), "no-id"):
        with pytest.raises(MissingRecord):
            services.change_role(of(ann), "firm", wrong, "member")
        with pytest.raises(MissingRecord):
            services.remove_member(of(ann), "firm", wrong)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_two_owners_who_leave_at_once_leave_one(home: object) -> None:
    one, two = make_person(), make_person()
    firm = make_organisation("firm", owner=one)
    Membership.objects.create(organisation=firm, person=two, role=Role.OWNER)
    barrier, refused = threading.Barrier(2), []

    def leave(person: Person) -> None:
        principal = of(person)
        barrier.wait()
        try:
            services.remove_member(principal, "firm", person.pk)
        except LastOwner as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[person]) for person in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert firm.memberships.filter(role=Role.OWNER).count() == 1


# Invitations


def test_an_invitation_makes_a_member_once(firm: Organisation, ann: Person) -> None:
    invitation, secret = services.invite(of(ann), "firm", role="manager", email=" Bob@Example.Test")
    assert invitation.email == "bob@example.test"
    assert secret not in str(Invitation.objects.values())
    assert services.invitation_link(secret).endswith(f"/invitations/{secret}")
    bob = make_person()
    assert services.look_at_invitation(secret) == invitation
    membership = services.accept_invitation(of(bob), secret)
    assert (membership.person, membership.role) == (bob, Role.MANAGER)
    assert logged("membership.joined")[0].actor == f"person:{bob.pk}"
    with pytest.raises(DeadInvitation, match="used"):
        services.accept_invitation(of(make_person()), secret)
    assert firm.memberships.count() == 2


def test_a_member_who_accepts_keeps_the_role_they_have(firm: Organisation, ann: Person) -> None:
    _, secret = services.invite(of(ann), "firm", role="auditor")
    assert services.accept_invitation(of(ann), secret).role == Role.OWNER
    assert logged("membership.joined") == []


def test_managers_invite_and_only_owners_invite_owners(firm: Organisation) -> None:
    manager = make_member(firm, "manager")
    services.invite(manager, "firm", role="member")
    with pytest.raises(NotAllowed):
        services.invite(manager, "firm", role="owner")
    for role in ("member", "auditor"):
        with pytest.raises(NotAllowed):
            services.invite(make_member(firm, role), "firm", role="member")
    for outsider in (of(make_person()), platform("operator")):
        with pytest.raises(NotAllowed):
            services.invite(outsider, "firm", role="member")
    assert Invitation.objects.count() == 1


def test_a_bad_invitation_is_refused(firm: Organisation, ann: Person) -> None:
    for wrong in ({"role": "boss"}, {"role": "member", "email": "nowhere"}):
        with pytest.raises(InvalidField):
            services.invite(of(ann), "firm", **wrong)
    with pytest.raises(PersonNeeded):
        services.invite(CONSOLE, "firm", role="member")
    assert not Invitation.objects.exists()


def test_an_invitation_ends_by_time_and_by_withdrawal(
    firm: Organisation, ann: Person, watch: Watch
) -> None:
    _, old = services.invite(of(ann), "firm", role="member")
    watch.at += timedelta(days=14)
    new, withdrawn = services.invite(of(ann), "firm", role="member")
    assert list(services.open_invitations(of(ann), "firm")) == [new]
    services.revoke_invitation(of(ann), "firm", new.pk)
    assert list(services.open_invitations(of(ann), "firm")) == []
    for secret, reason in ((old, "expired"), (withdrawn, "withdrawn"), ("haihe_x", "unknown")):
        with pytest.raises(DeadInvitation, match=reason):
            services.look_at_invitation(secret)
        with pytest.raises(DeadInvitation, match=reason):
            services.accept_invitation(of(make_person()), secret)
    assert firm.memberships.count() == 1
    with pytest.raises(MissingRecord):
        services.revoke_invitation(of(ann), "firm", new.pk)


def test_an_invitation_is_withdrawn_by_its_own_organisation(
    firm: Organisation, ann: Person
) -> None:
    invitation, _ = services.invite(of(ann), "firm", role="member")
    stranger = make_person()
    make_organisation("other", owner=stranger)
    with pytest.raises(NotAllowed):
        services.revoke_invitation(of(stranger), "firm", invitation.pk)
    with pytest.raises(MissingRecord):
        services.revoke_invitation(of(stranger), "other", invitation.pk)
    with pytest.raises(NotAllowed):
        services.open_invitations(of(stranger), "firm")
    invitation.refresh_from_db()
    assert invitation.revoked_at is None


def test_an_invitation_is_accepted_by_somebody(firm: Organisation, ann: Person) -> None:
    _, secret = services.invite(of(ann), "firm", role="member")
    with pytest.raises(NotSignedIn):
        services.accept_invitation(ANONYMOUS, secret)
    with pytest.raises(PersonNeeded):
        services.accept_invitation(CONSOLE, secret)
    assert Invitation.objects.get().accepted_at is None


# People


def test_an_address_belongs_to_one_person(ann: Person) -> None:
    with pytest.raises(EmailTaken):
        services.create_person(email="ANN@example.test", name="Another")


def test_one_changes_ones_own_profile(ann: Person) -> None:
    services.update_profile(of(ann), name="安娜", language="en")
    ann.refresh_from_db()
    assert (ann.name, ann.language) == ("安娜", "en")
    assert services.find_self(of(ann)) == ann
    for wrong in (
        {"name": "", "language": "en"},
        {"name": "a" * 81, "language": "en"},
        {"name": "Ann", "language": "tlh"},
    ):
        with pytest.raises(InvalidField):
            services.update_profile(of(ann), **wrong)
    with pytest.raises(NotSignedIn):
        services.update_profile(ANONYMOUS, name="X", language="en")
    with pytest.raises(PersonNeeded):
        services.find_self(CONSOLE)


def test_platform_roles_are_given_and_taken_by_the_operator(ann: Person) -> None:
    for wrong in (of(ann), platform("officer", "auditor")):
        with pytest.raises(NotAllowed):
            services.grant_platform_role(wrong, email=ann.email, role="operator")
    operator = platform("operator")
    for _ in range(2):
        services.grant_platform_role(operator, email="ANN@example.test ", role="officer")
    assert of(ann).platform_roles == {PlatformRole.OFFICER}
    for _ in range(2):
        services.revoke_platform_role(operator, email=ann.email, role="officer")
    assert of(ann).platform_roles == frozenset()
    assert [e.data for e in logged("platform.role_granted")] == [{"role": "officer"}]
    assert [e.subject for e in logged("platform.role_revoked")] == [f"person:{ann.pk}"]


def test_a_platform_role_that_is_none_is_refused(ann: Person) -> None:
    for change in (services.grant_platform_role, services.revoke_platform_role):
        with pytest.raises(InvalidField):
            change(CONSOLE, email=ann.email, role="owner")
        with pytest.raises(MissingRecord):
            change(CONSOLE, email="bob@example.test", role="officer")
    assert not PlatformGrant.objects.exists()


def test_platform_roles_are_seen_by_operator_and_auditor(ann: Person) -> None:
    for reader in (platform("operator"), platform("auditor"), CONSOLE):
        assert services.platform_grants(reader).exists()
    for wrong in (of(ann), platform("officer")):
        with pytest.raises(NotAllowed):
            services.platform_grants(wrong)


# Tokens


def test_a_token_stands_for_its_person_within_its_scopes(ann: Person, firm: Organisation) -> None:
    made = services.create_token(of(ann), name="ci", scopes=["read"])
    assert made.secret not in str(ApiToken.objects.values())
    principal = services.principal_of_token(made.secret)
    assert (principal.id, principal.scopes) == (ann.pk, {"read"})
    assert services.find_organisation(principal, "firm") == firm
    with pytest.raises(ScopeMissing):
        services.update_organisation(principal, "firm", name="X")
    with pytest.raises(ScopeMissing):
        services.create_token(principal, name="more", scopes=["admin"])


def test_a_token_opens_nothing_once_it_ended(ann: Person, watch: Watch) -> None:
    short = services.create_token(of(ann), name="short", scopes=["read"], days=1)
    revoked = services.create_token(of(ann), name="revoked", scopes=["read"])
    services.revoke_token(of(ann), revoked.row.pk)
    watch.at += timedelta(days=1)
    for secret, reason in (
        (short.secret, "expired"),
        (revoked.secret, "revoked"),
        ("haihe_x", "unknown"),
        ("", "unknown"),
    ):
        with pytest.raises(BadToken, match=reason):
            services.principal_of_token(secret)
    with pytest.raises(MissingRecord):
        services.revoke_token(of(ann), revoked.row.pk)


def test_a_closed_persons_token_opens_nothing(ann: Person) -> None:
    made = services.create_token(of(ann), name="ci", scopes=["read"])
    Person.objects.update(is_active=False)
    with pytest.raises(BadToken):
        services.principal_of_token(made.secret)


def test_the_last_use_is_noted_by_the_minute(ann: Person, watch: Watch) -> None:
    made = services.create_token(of(ann), name="ci", scopes=["read"])
    began = watch.at
    for seconds, noted in ((0, 0), (59, 0), (60, 60), (61, 60)):
        watch.at = began + timedelta(seconds=seconds)
        services.principal_of_token(made.secret)
        made.row.refresh_from_db()
        assert made.row.last_used_at == began + timedelta(seconds=noted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a" * 81},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"days": 0},
        {"days": 367},
    ],
)
def test_a_bad_token_is_not_made(ann: Person, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        services.create_token(of(ann), **{"name": "ci", "scopes": ["read"]} | wrong)
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    "use",
    [
        lambda principal: services.tokens_of(principal),
        lambda principal: services.create_token(principal, name="x", scopes=["read"]),
        lambda principal: services.revoke_token(principal, new_id()),
    ],
)
def test_tokens_are_ones_own(ann: Person, use: Callable[[Principal], object]) -> None:
    mine = services.create_token(of(ann), name="ci", scopes=["read"])
    with pytest.raises(NotSignedIn):
        use(ANONYMOUS)
    bob = of(make_person())
    assert list(services.tokens_of(bob)) == []
    with pytest.raises(MissingRecord):
        services.revoke_token(bob, mine.row.pk)
    assert list(services.tokens_of(of(ann))) == [mine.row]
