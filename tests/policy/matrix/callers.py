"""Everybody who calls: each role of each organisation, each role of the platform, and nobody.

Principals are written down here as they were made, and not asked of the application, so that an
application that takes somebody for more than they are is found out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.test import Client

from haihe.kernel.clock import now
from haihe.parties.models import ApiToken, Membership, Organisation, Person, PlatformGrant
from haihe.policy.domain import ANONYMOUS, SCOPES, PlatformRole, Principal, Role
from tests.factories import make_organisation, make_person, make_token

NOBODY = "nobody"
KINDS = {
    "own": "enterprise",
    "party": "centre-operator",
    "stranger": "enterprise",
    "office": "programme-office",
}
# Who belongs where, as what; then who has which role for the platform.
MEMBERS = {
    **{f"{org}-{role}": (org, role) for org in ("own", "party", "stranger") for role in Role},
    "office-manager": ("office", Role.MANAGER),
    "maker": ("own", Role.MEMBER),
    "officer-of-own": ("own", Role.MEMBER),
}
# Whom an organisation entrusts with what in packs.
DUTIES = {
    "own-member": "bci_rehab.therapist",
    "own-auditor": "bci_rehab.technician",
    "maker": "bci_rehab.researcher",
    "stranger-member": "bci_rehab.therapist",
}
OFFICIALS = {
    "officer": PlatformRole.OFFICER,
    "operator": PlatformRole.OPERATOR,
    "auditor": PlatformRole.AUDITOR,
    "officer-of-own": PlatformRole.OFFICER,
    "officer-who-asked": PlatformRole.OFFICER,
}
NEWCOMER = "newcomer"
NAMES = (*MEMBERS, *(name for name in OFFICIALS if name not in MEMBERS), NEWCOMER, NOBODY)


@dataclass(frozen=True)
class Caller:
    """Somebody: what they are, and the token and session that they call with."""

    name: str
    principal: Principal
    person: Person | None = None
    token: str = ""
    session: str = ""

    def with_scopes(self, scopes: frozenset[str]) -> Caller:
        """The same person with a token of these scopes only."""
        assert self.person is not None
        token = make_token(self.person, *sorted(scopes))
        return replace(self, principal=replace(self.principal, scopes=scopes), token=token)


def make_organisations() -> dict[str, Organisation]:
    """The owner of things, its partner, a stranger, and the programme office."""
    return {name: make_organisation(f"{name}-org", kind=kind) for name, kind in KINDS.items()}


def make_people(organisations: dict[str, Organisation]) -> dict[str, Person]:
    """A person for each name; who asked for a voucher still manages the firm they asked for."""
    people = {name: make_person(f"{name}@example.test") for name in NAMES if name != NOBODY}
    for name, (organisation, role) in MEMBERS.items():
        _join(organisations[organisation], people[name], role, DUTIES.get(name))
    _join(organisations["own"], people["officer-who-asked"], Role.MANAGER)
    for name, platform_role in OFFICIALS.items():
        if name != "officer-who-asked":
            PlatformGrant.objects.create(person=people[name], role=platform_role)
    return people


def change_sides(person: Person) -> None:
    """Who asked for things leaves their firm and becomes an officer."""
    person.memberships.all().delete()
    PlatformGrant.objects.create(person=person, role=PlatformRole.OFFICER)


def make_callers(
    organisations: dict[str, Organisation], people: dict[str, Person]
) -> dict[str, Caller]:
    """Everybody with a token of all scopes and a session."""
    callers = {NOBODY: Caller(NOBODY, ANONYMOUS)}
    for name, person in people.items():
        client = Client()
        client.force_login(person)
        callers[name] = Caller(
            name,
            _principal(name, person, organisations),
            person,
            make_token(person, *SCOPES),
            client.cookies[settings.SESSION_COOKIE_NAME].value,
        )
    # No call needs to write down anew when its token was last used.
    ApiToken.objects.update(last_used_at=now() + timedelta(days=1))
    return callers


def _principal(name: str, person: Person, organisations: dict[str, Organisation]) -> Principal:
    home = MEMBERS.get(name)
    official = OFFICIALS.get(name)
    return Principal(
        id=person.pk,
        memberships=frozenset({(organisations[home[0]].pk, home[1])} if home else ()),
        duties=frozenset(
            {(organisations[home[0]].pk, DUTIES[name])} if home and name in DUTIES else ()
        ),
        platform_roles=frozenset({official} if official else ()),
    )


def _join(organisation: Organisation, person: Person, role: Role, duty: str | None = None) -> None:
    Membership.objects.create(
        organisation=organisation, person=person, role=role, duties=[duty] if duty else []
    )
