"""Voucher schemes: opened, funded once, and looked at without a trace."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.kernel.money import MICRO
from haihe.ledger.errors import TransferMismatch
from haihe.ledger.models import Account
from haihe.policy.domain import ANONYMOUS
from haihe.policy.errors import NotAllowed, NotSignedIn
from haihe.programme.errors import BadRules, SchemeExists
from haihe.programme.models import Scheme
from haihe.programme.services import vouchers
from haihe.programme.services.books import scheme_balance
from tests.programme.factories import POOL, RULES, World, make_scheme

pytestmark = pytest.mark.django_db


def open_fields(world: World) -> dict[str, Any]:
    today = local_day()
    return {
        "slug": "autumn",
        "title": "秋",
        "office": world.office.slug,
        "rules_file": RULES,
        "opens_on": today,
        "closes_on": today,
    }


def test_only_the_officer_opens_and_funds_a_scheme(world: World) -> None:
    fields = open_fields(world)
    for caller, error in ((ANONYMOUS, NotSignedIn), (world.manager, NotAllowed)):
        with pytest.raises(error):
            vouchers.open_scheme(caller, **fields)
    vouchers.open_scheme(world.officer, **fields)
    money = {"amount_micro": MICRO, "reference": "r", "transfer_id": new_id()}
    for caller, error in ((ANONYMOUS, NotSignedIn), (world.manager, NotAllowed)):
        with pytest.raises(error):
            vouchers.fund_scheme(caller, "autumn", **money)
    scheme = vouchers.fund_scheme(world.officer, "autumn", **money)
    assert scheme_balance(scheme).pool_micro == MICRO


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"slug": "Not a slug"}, InvalidField, "slug"),
        ({"slug": "a" * 41}, InvalidField, "at most 40"),
        ({"title": " "}, InvalidField, "title"),
        ({"title_en": "x" * 201}, InvalidField, "title_en"),
        ({"closes_on": datetime(2020, 1, 1).date()}, InvalidField, "a later day"),  # noqa: DTZ001
        ({"rules_file": b"[rules]"}, BadRules, "lacks"),
        ({"office": "nowhere"}, MissingRecord, "nowhere"),
    ],
)
def test_a_bad_scheme_is_refused_by_name(
    change: dict[str, Any], error: type[Exception], says: str, world: World
) -> None:
    with pytest.raises(error, match=says):
        vouchers.open_scheme(world.officer, **{**open_fields(world), **change})
    assert not Scheme.objects.exists()


def test_a_slug_is_taken_once(world: World, scheme: Scheme) -> None:
    with pytest.raises(SchemeExists):
        vouchers.open_scheme(world.officer, **{**open_fields(world), "slug": "spring"})


def test_funding_that_is_sent_twice_counts_once(world: World, scheme: Scheme) -> None:
    transfer_id = new_id()
    for _ in range(2):
        vouchers.fund_scheme(
            world.officer,
            "spring",
            amount_micro=MICRO,
            reference="second budget",
            transfer_id=transfer_id,
        )
    assert scheme_balance(scheme).pool_micro == POOL + MICRO
    assert EvidenceEntry.objects.filter(kind="scheme.funded").count() == 2
    with pytest.raises(TransferMismatch):
        vouchers.fund_scheme(
            world.officer,
            "spring",
            amount_micro=2 * MICRO,
            reference="second budget",
            transfer_id=transfer_id,
        )


def test_looking_at_a_scheme_opens_no_account(world: World) -> None:
    scheme = make_scheme(world, "dry", pool_micro=0)
    before = Account.objects.count()
    balance = scheme_balance(scheme)
    assert (balance.pool_micro, balance.pool_account) == (0, None)
    assert Account.objects.count() == before
