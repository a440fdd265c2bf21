"""Use cases of members, and of the invitations by which they come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from haihe.kernel.errors import HaiheError, InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.parties import services
from haihe.parties.errors import (
    DeadInvitation,
    LastOwner,
)
from haihe.parties.models import (
    Invitation,
    Membership,
    Organisation,
    Person,
)
from haihe.policy.domain import ANONYMOUS, Role
from haihe.policy.errors import NotAllowed, NotSignedIn, PersonNeeded
from tests.factories import make_member, make_organisation, make_person
from tests.parties.conftest import Watch
from tests.parties.factories import CONSOLE, logged, of, platform

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def at_once(act: Callable[[Person], None], *people: Person) -> list[HaiheError]:
    """Have each person act in a thread of their own, all together; the refusals."""
    barrier, refused = threading.Barrier(len(people)), []

    def run(person: Person) -> None:
        barrier.wait()
        try:
            act(person)
        except HaiheError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


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
    services.change_member(of(ann), "firm", bob.person_id, role="manager")
    assert Membership.objects.get(person_id=bob.person_id).role == Role.MANAGER
    [entry] = logged("membership.changed")
    assert entry.data == {"person": str(bob.person_id), "role": "manager", "duties": []}
    services.change_member(of(ann), "firm", bob.person_id, role="manager")
    assert len(logged("membership.changed")) == 1


def test_an_owner_entrusts_members_with_duties_that_packs_have(
    firm: Organisation, ann: Person
) -> None:
    bob = make_member(firm, "member")
    services.entrust(of(ann), "firm", bob.person_id, ["bci_rehab.therapist"] * 2)
    treating = services.principal_of(Person.objects.get(pk=bob.person_id))
    assert treating.entrusted_by("bci_rehab.therapist") == {firm.pk}
    assert treating.entrusted_by("bci_rehab.technician") == frozenset()
    [entry] = logged("membership.entrusted")
    assert entry.data["duties"] == ["bci_rehab.therapist"]
    with pytest.raises(InvalidField, match="bci_rehab.technician"):
        services.entrust(of(ann), "firm", bob.person_id, ["surgeon"])
    with pytest.raises(NotAllowed):
        services.entrust(bob, "firm", bob.person_id, ["bci_rehab.researcher"])
    services.entrust(of(ann), "firm", bob.person_id, [])
    services.entrust(of(ann), "firm", bob.person_id, [])
    assert len(logged("membership.entrusted")) == 2
    assert not services.principal_of(Person.objects.get(pk=bob.person_id)).duties


def test_a_role_and_duties_change_together_or_not_at_all(firm: Organisation, ann: Person) -> None:
    bob = make_member(firm, "member")
    with pytest.raises(InvalidField):
        services.change_member(of(ann), "firm", bob.person_id, role="manager", duties=["nonsense"])
    assert Membership.objects.get(person_id=bob.person_id).role == Role.MEMBER
    both = {"role": "manager", "duties": ["bci_rehab.therapist"]}
    changed = services.change_member(of(ann), "firm", bob.person_id, **both)
    assert (changed.role, changed.duties) == ("manager", ["bci_rehab.therapist"])
    kept = services.change_member(of(ann), "firm", bob.person_id, role="member")
    assert kept.duties == ["bci_rehab.therapist"], "duties that are not given stay"
    assert len(logged("membership.entrusted")) == 1


@pytest.mark.parametrize("role", ["manager", "member", "auditor"])
def test_who_is_no_owner_manages_no_members(firm: Organisation, ann: Person, role: str) -> None:
    bob = make_member(firm, role)
    with pytest.raises(NotAllowed):
        services.change_member(bob, "firm", bob.person_id, role="owner")
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
        services.change_member(of(ann), "firm", ann.pk, role="member")
    with pytest.raises(LastOwner):
        services.remove_member(of(ann), "firm", ann.pk)
    bob = make_member(firm, "owner")
    services.remove_member(bob, "firm", ann.pk)
    assert [row.person_id for row in firm.memberships.all()] == [bob.person_id]
    assert logged("membership.removed")[0].data["person"] == str(ann.pk)


def test_a_role_or_member_that_is_not_there_is_named(firm: Organisation, ann: Person) -> None:
    with pytest.raises(InvalidField):
        services.change_member(of(ann), "firm", ann.pk, role="boss")
    for wrong in (new_id(), "no-id"):
        with pytest.raises(MissingRecord):
            services.change_member(of(ann), "firm", wrong, role="member")
        with pytest.raises(MissingRecord):
            services.remove_member(of(ann), "firm", wrong)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_two_owners_who_leave_at_once_leave_one() -> None:
    one, two = make_person(), make_person()
    firm = make_organisation("firm", owner=one)
    Membership.objects.create(organisation=firm, person=two, role=Role.OWNER)

    def leave(person: Person) -> None:
        services.remove_member(of(person), "firm", person.pk)

    refused = at_once(leave, one, two)
    assert [type(error) for error in refused] == [LastOwner]
    assert firm.memberships.filter(role=Role.OWNER).count() == 1


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_two_who_open_one_link_at_once_become_one_member() -> None:
    owner = make_person()
    firm = make_organisation("firm", owner=owner)
    _, secret = services.invite(of(owner), "firm", role="member")

    def accept(person: Person) -> None:
        services.accept_invitation(of(person), secret)

    refused = at_once(accept, make_person(), make_person())
    assert [type(error) for error in refused] == [DeadInvitation]
    assert firm.memberships.count() == 2


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


def test_who_is_removed_does_not_come_back_by_an_invitation_of_their_own(
    firm: Organisation, ann: Person
) -> None:
    manager = make_member(firm, "manager")
    _, theirs = services.invite(manager, "firm", role="manager")
    kept, _ = services.invite(of(ann), "firm", role="member")
    services.remove_member(of(ann), "firm", manager.person_id)
    with pytest.raises(DeadInvitation, match="withdrawn"):
        services.accept_invitation(of(make_person()), theirs)
    assert list(services.open_invitations(of(ann), "firm")) == [kept]
    assert [e.data["role"] for e in logged("invitation.made")] == ["manager", "member"]
    [withdrawn] = logged("invitation.withdrawn")
    assert withdrawn.actor == f"person:{ann.pk}"


def test_only_an_open_invitation_opens_sign_up(
    firm: Organisation, ann: Person, client: Client, watch: Watch
) -> None:
    closed = "Accounts are by invitation"
    assert closed in client.get("/accounts/signup/").text
    invitation, secret = services.invite(of(ann), "firm", role="member")
    client.get(f"/invitations/{secret}")
    assert closed not in client.get("/accounts/signup/").text
    services.revoke_invitation(of(ann), "firm", invitation.pk)
    assert closed in client.get("/accounts/signup/").text
    signed_up = {
        "email": "bob@example.test",
        "password1": "a long enough password",
        "password2": "a long enough password",
    }
    client.post("/accounts/signup/", signed_up)
    assert not Person.objects.filter(email="bob@example.test").exists()


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
