"""Cedar's policies and the reference authoriser decide alike, on every action and any request."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.policy.domain import (
    ACTIONS,
    ANONYMOUS,
    DUTIES,
    SCOPES,
    PlatformRole,
    Principal,
    Resource,
    Role,
    system_principal,
)
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from haihe.policy.services import authorize, is_allowed, policy_text
from tests.policy import reference
from tests.policy.reference import PERMITS, permits

ORGANISATIONS = [UUID(int=n) for n in range(1, 4)]
PEOPLE = [UUID(int=n) for n in range(101, 104)]

principals = st.one_of(
    st.just(ANONYMOUS),
    st.just(system_principal("dispatcher")),
    st.builds(
        Principal,
        id=st.sampled_from(PEOPLE),
        memberships=st.frozensets(
            st.tuples(st.sampled_from(ORGANISATIONS), st.sampled_from(Role)), max_size=3
        ),
        duties=st.frozensets(
            st.tuples(st.sampled_from(ORGANISATIONS), st.sampled_from(sorted(DUTIES.duties))),
            max_size=2,
        ),
        platform_roles=st.frozensets(st.sampled_from(PlatformRole), max_size=2),
        scopes=st.none() | st.frozensets(st.sampled_from(SCOPES)),
    ),
)
resources = st.builds(
    Resource,
    kind=st.just("Thing"),
    organisation=st.none() | st.sampled_from(ORGANISATIONS),
    parties=st.frozensets(st.sampled_from(ORGANISATIONS), max_size=2),
    public=st.booleans(),
    creator=st.none() | st.sampled_from(PEOPLE),
)


def test_the_reference_can_be_checked_by_reading() -> None:
    assert len(Path(reference.__file__).read_text().splitlines()) < 100


def test_every_action_has_a_rule_in_both_authorisers() -> None:
    assert set(PERMITS) == set(ACTIONS.actions)
    text = policy_text()
    unnamed = [name for name in ACTIONS.actions if f'Action::"{name}"' not in text]
    assert unnamed == ["job.dispatch"], "only the system may what no policy names"


@pytest.mark.long
@settings(max_examples=500, deadline=None)
@given(principals, resources)
def test_cedar_and_the_reference_decide_alike(principal: Principal, resource: Resource) -> None:
    for action in ACTIONS.actions:
        assert is_allowed(principal, action, resource) == permits(principal, action, resource)


def test_an_operator_cannot_read_an_organisations_data() -> None:
    operator = Principal(id=PEOPLE[0], platform_roles=frozenset({PlatformRole.OPERATOR}))
    resource = Resource("Dataset", "d", organisation=ORGANISATIONS[0])
    closed = (
        "dataset.read",
        "dataset.download",
        "dataset.read_usage",
        "job.read",
        "job.read_log",
        "account.read",
        "agreement.read",
        "evidence.read",
        "quote.read",
        "voucher.read",
    )
    for action in closed:
        with pytest.raises(NotAllowed):
            authorize(operator, action, resource)


def test_the_error_names_the_reason() -> None:
    resource = Resource("Job", "j-1", organisation=ORGANISATIONS[0])
    with pytest.raises(NotSignedIn):
        authorize(ANONYMOUS, "job.read", resource)
    stranger = Principal(id=PEOPLE[0])
    with pytest.raises(NotAllowed, match="job.read on Job j-1"):
        authorize(stranger, "job.read", resource)
    token = Principal(
        id=PEOPLE[0],
        memberships=frozenset({(ORGANISATIONS[0], Role.OWNER)}),
        scopes=frozenset({"data"}),
    )
    with pytest.raises(ScopeMissing, match="'read'"):
        authorize(token, "job.read", resource)


def test_nobody_reviews_what_they_or_their_organisation_asked_for() -> None:
    officer = Principal(
        id=PEOPLE[0],
        memberships=frozenset({(ORGANISATIONS[0], Role.AUDITOR)}),
        platform_roles=frozenset({PlatformRole.OFFICER}),
    )
    own = Resource("Voucher", "v", organisation=ORGANISATIONS[1], creator=PEOPLE[0])
    house = Resource("Voucher", "v", organisation=ORGANISATIONS[0], creator=PEOPLE[1])
    other = Resource("Voucher", "v", organisation=ORGANISATIONS[1], creator=PEOPLE[1])
    assert [is_allowed(officer, "voucher.review", r) for r in (own, house, other)] == [
        False,
        False,
        True,
    ]


def test_an_unknown_action_is_a_defect_and_never_permitted() -> None:
    with pytest.raises(KeyError):
        is_allowed(system_principal("x"), "job.readd", Resource("Job"))
