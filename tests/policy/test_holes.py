"""Acts that a rule beside the policies forbids, whoever is permitted the action."""

from __future__ import annotations

from datetime import timedelta

import pytest

from haihe.data import services as data
from haihe.data.domain import UsagePolicy
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField, WrongState
from haihe.parties import services as parties
from haihe.parties.errors import BeyondToken
from haihe.parties.models import ApiToken, Organisation
from haihe.policy.domain import SCOPES
from haihe.programme.models import Scheme
from haihe.programme.services.vouchers import open_scheme
from tests.data.factories import make_dataset
from tests.factories import make_person
from tests.programme.factories import RULES
from tests.sides import make_side

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def test_a_token_makes_no_token_that_may_more_than_itself() -> None:
    person = make_person()
    for scopes in (frozenset({"admin"}), frozenset(SCOPES) - {"data"}):
        token = parties.principal_of(person, scopes=scopes)
        parties.create_token(token, name="less", scopes=["admin"])
        with pytest.raises(BeyondToken, match="'data'"):
            parties.create_token(token, name="more", scopes=["admin", "data"])
    assert not ApiToken.objects.filter(name="more").exists()


def test_no_officer_opens_a_scheme_on_another_organisations_money() -> None:
    officer = parties.principal_of(make_person(roles=("officer",)))
    today = local_day()
    firm = make_side("firm").organisation
    with pytest.raises(InvalidField, match="programme office"):
        open_scheme(
            officer,
            slug="spring",
            title="春季",
            office=firm.slug,
            rules_file=RULES,
            opens_on=today,
            closes_on=today + timedelta(days=1),
        )
    assert not Scheme.objects.exists()


def test_standing_terms_are_for_organisations_that_were_confirmed() -> None:
    holder, consumer = make_side("hospital", "hospital"), make_side("firm")
    policy = UsagePolicy(purposes=("research",), days=9, download=True, standing=True)
    dataset = make_dataset(holder.organisation, holder.manager, policy=policy)
    Organisation.objects.filter(slug="firm").update(verified_at=None)
    terms = {"organisation": "firm", "purpose": "research", "days": 9}
    with pytest.raises(WrongState, match="not verified"):
        data.accept_terms(consumer.manager, dataset.slug, **terms)
    Organisation.objects.filter(slug="firm").update(verified_at=now())
    assert data.accept_terms(consumer.manager, dataset.slug, **terms).state == "accepted"
