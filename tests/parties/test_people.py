"""Use cases of people: who is asking, profiles, platform roles, tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.parties import services
from haihe.parties.errors import (
    BadToken,
    EmailTaken,
)
from haihe.parties.models import (
    ApiToken,
    Organisation,
    Person,
    PlatformGrant,
)
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, Role
from haihe.policy.errors import NotAllowed, NotSignedIn, PersonNeeded, ScopeMissing
from tests.factories import make_person
from tests.parties.conftest import Watch
from tests.parties.factories import CONSOLE, logged, of, platform

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


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
