"""Vouchers through the services: every condition, every decision, and where the money is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from haihe.compute.services.contracts import sign_contract
from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now, use_clock
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField, WrongState
from haihe.kernel.money import MICRO
from haihe.ledger.services import audit
from haihe.parties.models import Membership, Organisation
from haihe.parties.services import principal_of, record_ownership
from haihe.policy.domain import ANONYMOUS, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, PersonNeeded, ScopeMissing
from haihe.programme.domain.vouchers import last_day
from haihe.programme.errors import VoucherRefused
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import vouchers
from haihe.programme.services.books import (
    redemptions_of,
    scheme_balance,
    voucher_balance,
)
from tests.callers import person_of
from tests.factories import make_organisation, make_person
from tests.programme.factories import (
    DECLARED,
    POOL,
    World,
    apply,
    grant,
    make_contract,
    make_job,
    make_scheme,
    settle,
)

pytestmark = pytest.mark.django_db
CONSOLE = system_principal("console")


def kinds_about(voucher: Voucher) -> list[str]:
    entries = EvidenceEntry.objects.filter(subject=f"voucher:{voucher.number}").order_by("index")
    return list(entries.values_list("kind", flat=True))


def refused(world: World, contract: Any, **fields: Any) -> VoucherRefused:
    with pytest.raises(VoucherRefused) as caught:
        apply(world, contract, **fields)
    assert not Voucher.objects.filter(contract=contract, state="applied").exists()
    return caught.value


# --- applications --------------------------------------------------------------------------------


def test_only_managers_of_the_buyer_apply(world: World, scheme: Scheme) -> None:
    contract = make_contract(world)
    fields: dict[str, Any] = {
        "contract": contract.number,
        "amount_micro": MICRO,
        "declared": DECLARED,
    }
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (world.stranger, NotAllowed),
        (world.member, NotAllowed),
        (world.seller, NotAllowed),
    ):
        with pytest.raises(error):
            vouchers.check_application(caller, "spring", **fields)
        with pytest.raises(error):
            vouchers.apply_for_voucher(caller, "spring", **fields)
    assert not Voucher.objects.exists()
    applied = vouchers.apply_for_voucher(world.manager, "spring", **fields)
    assert (applied.number, applied.state) == ("spring-00001", "applied")
    assert kinds_about(applied) == ["voucher.applied"]


def test_a_check_tells_all_and_does_nothing(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    fields = {"contract": contract.number, "declared": DECLARED}
    good = vouchers.check_application(world.manager, "spring", amount_micro=200 * MICRO, **fields)
    assert good.passes
    assert good.most_micro == 200 * MICRO
    bad = vouchers.check_application(world.manager, "spring", amount_micro=201 * MICRO, **fields)
    assert not bad.passes
    assert [v.condition for v in bad.verdicts if not v.met] == ["ratio"]
    assert not Voucher.objects.exists()
    with pytest.raises(InvalidField):
        vouchers.check_application(world.manager, "spring", amount_micro=0, **fields)


def test_a_hospital_is_refused_as_applicant(world: World, scheme: Scheme) -> None:
    Organisation.objects.filter(pk=world.firm.pk).update(kind="hospital")
    error = refused(world, make_contract(world))
    assert (error.condition, error.value, error.threshold) == (
        "applicant-kind", "hospital", "enterprise",
    )  # fmt: skip


def test_an_unsigned_contract_is_refused(world: World, scheme: Scheme) -> None:
    error = refused(world, make_contract(world, signed=False))
    assert (error.condition, error.value) == ("contract-window", "not signed")


def test_a_contract_signed_before_the_window_is_refused(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, signed=False)
    with use_clock(lambda: datetime(2023, 8, 31, 12, tzinfo=UTC)):
        sign_contract(world.seller, contract.number)
    error = refused(world, contract)
    assert (error.condition, error.value) == ("contract-window", "signed 2023-08-31")


def test_a_contract_of_more_than_a_year_is_refused(world: World, scheme: Scheme) -> None:
    last = last_day(local_day(), 12)
    error = refused(world, make_contract(world, ends_on=last + timedelta(days=1)))
    assert error.condition == "contract-term"
    assert error.threshold == f"until {last} at the latest, 12 months"
    assert apply(world, make_contract(world, ends_on=last)).state == "applied"


def test_more_than_the_ratio_is_refused(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=50 * MICRO)
    error = refused(world, contract, amount_micro=10 * MICRO + 1)
    assert (error.condition, error.value) == ("ratio", "10.000001 CNY")
    assert error.threshold == "at most 20 % of 50.00 CNY = 10.00 CNY"


def test_more_than_the_pool_is_refused(world: World) -> None:
    make_scheme(world, pool_micro=5 * MICRO)
    error = refused(world, make_contract(world), amount_micro=5 * MICRO + 1)
    assert (error.condition, error.threshold) == (
        "pool", "at most 5.00 CNY, what is left of the pool",
    )  # fmt: skip


def test_the_cap_of_a_firm_counts_over_all_schemes_under_its_rules(world: World) -> None:
    for slug in ("one", "two"):
        make_scheme(world, slug)
    dear = 10_000_000 * MICRO
    first = apply(world, make_contract(world, amount_micro=dear), scheme="one")
    waiting = apply(world, make_contract(world, amount_micro=dear), scheme="two")
    vouchers.approve_voucher(world.officer, first.number)
    error = refused(world, make_contract(world), scheme="two")
    assert error.condition == "cap"
    assert error.value == "2,020,000.00 CNY in this calendar year"
    with pytest.raises(VoucherRefused, match="cap"):
        vouchers.approve_voucher(world.officer, waiting.number)


def test_an_application_outside_the_schemes_window_is_refused(world: World) -> None:
    today = local_day()
    make_scheme(world, "over", opens_on=today - timedelta(days=9), closes_on=today)
    contract = make_contract(world)
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=2)):
        error = refused(world, contract, scheme="over")
    assert error.condition == "scheme-window"


def test_a_missing_declaration_is_named(world: World, scheme: Scheme) -> None:
    error = refused(
        world, make_contract(world), declared=["registered-in-region", "sector", "made-up"]
    )
    assert error.condition == "declarations"
    assert error.value == "missing no-other-subsidy, no-dishonesty"


def test_a_provider_related_through_a_chain_of_holdings_is_refused(
    world: World, scheme: Scheme
) -> None:
    holding, middle = make_organisation("holding"), make_organisation("middle")
    contract = make_contract(world)
    for owner, owned, percent in (
        (holding, world.firm, 25), (holding, middle, 60), (middle, world.provider, 24),
    ):  # fmt: skip
        record_ownership(
            CONSOLE, owner=owner.slug, owned=owned.slug, percent=percent, source="register"
        )
    assert vouchers.check_application(
        world.manager, "spring", contract=contract.number, amount_micro=MICRO, declared=DECLARED
    ).passes
    record_ownership(
        CONSOLE, owner="middle", owned=world.provider.slug, percent=25, source="register"
    )
    error = refused(world, contract)
    assert error.condition == "unrelated-provider"
    assert error.value == "Firm - Holding - Middle - Seller"
    assert "25 %" in error.threshold


def test_one_contract_has_one_voucher_until_it_is_refused_or_withdrawn(
    world: World, scheme: Scheme
) -> None:
    make_scheme(world, "other")
    contract = make_contract(world)
    first = apply(world, contract)
    for slug in ("spring", "other"):
        with pytest.raises(VoucherRefused, match=first.number):
            apply(world, contract, scheme=slug)
    vouchers.withdraw_application(world.manager, first.number)
    second = apply(world, contract)
    assert second.number == "spring-00002"
    vouchers.refuse_voucher(world.officer, second.number, note="附件不全")
    third = apply(world, contract)
    vouchers.approve_voucher(world.officer, third.number)
    with pytest.raises(VoucherRefused, match=third.number):
        apply(world, contract)


# --- decisions -----------------------------------------------------------------------------------


def test_only_another_officer_reviews(world: World, scheme: Scheme) -> None:
    voucher = apply(world, make_contract(world))
    insider = make_person(roles=("officer",))
    Membership.objects.create(organisation=world.firm, person=insider, role="member")
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (world.stranger, NotAllowed),
        (world.manager, NotAllowed),
        (world.seller, NotAllowed),
        (world.auditor, NotAllowed),
        (principal_of(insider), NotAllowed),
        (CONSOLE, PersonNeeded),
    ):
        with pytest.raises(error):
            vouchers.approve_voucher(caller, voucher.number)
        with pytest.raises(error):
            vouchers.refuse_voucher(caller, voucher.number, note="no")
    voucher.refresh_from_db()
    assert voucher.state == "applied"
    assert scheme_balance(scheme).pool_micro == POOL


def test_nobody_reviews_what_they_applied_for_themselves(world: World, scheme: Scheme) -> None:
    person = person_of(world.manager)
    person.platform_grants.create(role="officer")
    voucher = apply(world, make_contract(world))
    Membership.objects.filter(person=person).delete()
    with pytest.raises(NotAllowed):
        vouchers.approve_voucher(principal_of(person), voucher.number)


def test_an_approval_moves_the_amount_from_the_pool_to_the_voucher(
    world: World, scheme: Scheme
) -> None:
    voucher = grant(world, make_contract(world, eligible_micro=1_000 * MICRO))
    assert (voucher.state, voucher.decided_by_id) == ("reserved", world.officer.id)
    assert scheme_balance(scheme).pool_micro == POOL - 200 * MICRO
    assert voucher_balance(voucher).left_micro == 200 * MICRO
    assert kinds_about(voucher) == ["voucher.applied", "voucher.reserved"]
    assert audit(CONSOLE).balanced


def test_what_is_decided_is_decided_once(world: World, scheme: Scheme) -> None:
    voucher = grant(world, make_contract(world))
    for decide in (
        lambda: vouchers.approve_voucher(world.colleague, voucher.number),
        lambda: vouchers.refuse_voucher(world.colleague, voucher.number, note="late"),
        lambda: vouchers.withdraw_application(world.manager, voucher.number),
    ):
        with pytest.raises(WrongState, match="is reserved"):
            decide()
    assert scheme_balance(scheme).granted_micro == voucher.amount_micro


def test_a_refusal_needs_its_reason(world: World, scheme: Scheme) -> None:
    voucher = apply(world, make_contract(world))
    with pytest.raises(InvalidField, match="say why"):
        vouchers.refuse_voucher(world.officer, voucher.number, note="  ")
    refusal = vouchers.refuse_voucher(world.officer, voucher.number, note="附件不全")
    assert (refusal.state, refusal.note) == ("refused", "附件不全")
    assert kinds_about(voucher)[-1] == "voucher.refused"


def test_only_the_firms_managers_withdraw(world: World, scheme: Scheme) -> None:
    voucher = apply(world, make_contract(world))
    for caller in (world.officer, world.member, world.seller):
        with pytest.raises(NotAllowed):
            vouchers.withdraw_application(caller, voucher.number)
    assert vouchers.withdraw_application(world.manager, voucher.number).state == "withdrawn"


def test_conditions_are_judged_again_at_the_approval(world: World, scheme: Scheme) -> None:
    voucher = apply(world, make_contract(world))
    record_ownership(
        CONSOLE, owner=world.firm.slug, owned=world.provider.slug, percent=51, source="register"
    )
    with pytest.raises(VoucherRefused, match="unrelated-provider"):
        vouchers.approve_voucher(world.officer, voucher.number)
    voucher.refresh_from_db()
    assert (voucher.state, voucher.account_id) == ("applied", None)


def test_an_application_in_time_is_approved_after_the_scheme_closed(world: World) -> None:
    today = local_day()
    make_scheme(world, "short", opens_on=today - timedelta(days=1), closes_on=today)
    voucher = apply(world, make_contract(world), scheme="short")
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=10)):
        assert vouchers.approve_voucher(world.officer, voucher.number).state == "reserved"


def test_a_pool_is_exhausted_and_never_overdrawn(world: World) -> None:
    scheme = make_scheme(world, pool_micro=300 * MICRO)
    pair = [
        apply(world, make_contract(world, eligible_micro=1_000 * MICRO), amount_micro=200 * MICRO)
        for _ in range(2)
    ]
    vouchers.approve_voucher(world.officer, pair[0].number)
    with pytest.raises(VoucherRefused, match="what is left of the pool") as caught:
        vouchers.approve_voucher(world.officer, pair[1].number)
    assert caught.value.condition == "pool"
    assert scheme_balance(scheme).pool_micro == 100 * MICRO


def test_the_cap_holds_for_a_firm_and_a_calendar_year(world: World, scheme: Scheme) -> None:
    million = 1_000_000 * MICRO
    big = {"amount_micro": 10 * million, "eligible_micro": 10 * million}
    granted = grant(world, make_contract(world, **big), amount_micro=3 * million // 2)
    contract = make_contract(world, **big)
    error = refused(world, contract, amount_micro=million)
    assert error.condition == "cap"
    assert error.value == "2,500,000.00 CNY in this calendar year"
    assert error.threshold == "at most 2,000,000.00 CNY"
    assert apply(world, contract, amount_micro=million // 2).state == "applied"
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=366)):
        later = make_contract(world, **big)
        assert apply(world, later, amount_micro=2 * million).state == "applied"
    assert granted.state == "reserved"


def test_a_calendar_year_is_that_of_the_portals_zone(world: World, scheme: Scheme) -> None:
    """Two grants within an hour around midnight UTC are in one year in Shanghai."""
    million = 1_000_000 * MICRO
    big = {"amount_micro": 10 * million, "eligible_micro": 10 * million}
    year = now().year
    for at, error in (
        (datetime(year, 12, 31, 17, tzinfo=UTC), None),
        (datetime(year, 12, 31, 23, tzinfo=UTC), VoucherRefused),
        (datetime(year + 1, 1, 1, 1, tzinfo=UTC), VoucherRefused),
    ):
        with use_clock(lambda at=at: at):  # type: ignore[misc]
            contract = make_contract(world, **big)
            if error is None:
                grant(world, contract, amount_micro=2 * million)
            else:
                with pytest.raises(error, match="cap"):
                    apply(world, contract, amount_micro=million)


# --- use and end ---------------------------------------------------------------------------------


def test_a_voucher_is_redeemed_by_its_share_of_a_settled_job(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    voucher = grant(world, contract)
    job = make_job(world, contract, hours=10)
    held = voucher_balance(voucher)
    assert (held.left_micro, held.held_micro, held.redeemed_micro) == (198 * MICRO, 2 * MICRO, 0)
    settle(job, hours=4)
    after = voucher_balance(voucher)
    assert after.redeemed_micro == 8 * MICRO // 10
    assert (after.left_micro, after.held_micro) == (200 * MICRO - 8 * MICRO // 10, 0)
    [redemption] = redemptions_of(voucher, limit=10)
    assert redemption.settlement.job_id == job.pk
    assert redemption.amount_micro == after.redeemed_micro
    assert scheme_balance(scheme).redeemed_micro == after.redeemed_micro


def test_closing_returns_what_is_left_after_the_contracts_term(
    world: World, scheme: Scheme
) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    voucher = grant(world, contract)
    settle(make_job(world, contract, hours=10), hours=5)
    with pytest.raises(WrongState, match="in force until"):
        vouchers.close_voucher(world.officer, voucher.number)
    decided_at = voucher.decided_at
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=400)):
        with pytest.raises(NotAllowed):
            vouchers.close_voucher(world.manager, voucher.number)
        closed = vouchers.close_voucher(world.officer, voucher.number)
        with pytest.raises(WrongState, match="is closed"):
            vouchers.close_voucher(world.officer, voucher.number)
    assert (closed.state, closed.returned_micro) == ("closed", 199 * MICRO)
    assert voucher_balance(closed).left_micro == 0
    assert voucher_balance(closed).redeemed_micro == MICRO
    assert scheme_balance(scheme).pool_micro == POOL - MICRO
    assert kinds_about(voucher)[-1] == "voucher.closed"
    closed.refresh_from_db()
    assert closed.decided_at == decided_at
    assert audit(CONSOLE).balanced


def test_a_voucher_that_a_job_still_holds_is_not_closed(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    voucher = grant(world, contract)
    job = make_job(world, contract, hours=10)
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=400)):
        with pytest.raises(WrongState, match="held with 2.00 CNY"):
            vouchers.close_voucher(world.officer, voucher.number)
        settle(job, hours=0)
        assert vouchers.close_voucher(world.officer, voucher.number).returned_micro == 200 * MICRO


def test_what_was_closed_still_counts_in_the_year_of_its_grant(
    world: World, scheme: Scheme
) -> None:
    voucher = grant(world, make_contract(world))
    year = now().year
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=400)):
        vouchers.close_voucher(world.officer, voucher.number)
    rows = Voucher.objects.all()
    assert rows.granted_in(world.firm, year) == voucher.amount_micro
    assert rows.granted_in(world.firm, year + 1) == 0


# --- who sees what -------------------------------------------------------------------------------


def test_a_voucher_is_seen_by_its_firm_its_provider_the_office_and_the_auditor(
    world: World, scheme: Scheme
) -> None:
    voucher = apply(world, make_contract(world))
    for caller in (
        world.manager, world.member, world.seller, world.officer, world.auditor, CONSOLE,
    ):  # fmt: skip
        assert list(vouchers.list_vouchers(caller)) == [voucher]
        assert vouchers.find_voucher(caller, voucher.number) == voucher
    assert not vouchers.list_vouchers(world.stranger).exists()
    with pytest.raises(NotAllowed):
        vouchers.find_voucher(world.stranger, voucher.number)
    for call in (vouchers.list_vouchers, lambda c: vouchers.find_voucher(c, voucher.number)):
        with pytest.raises(NotSignedIn):
            call(ANONYMOUS)


def test_a_list_can_be_narrowed(world: World, scheme: Scheme) -> None:
    voucher = apply(world, make_contract(world))
    assert list(vouchers.list_vouchers(world.officer, state="applied")) == [voucher]
    assert not vouchers.list_vouchers(world.officer, state="closed").exists()
    assert not vouchers.list_vouchers(world.officer, scheme="other").exists()
    with pytest.raises(InvalidField):
        vouchers.list_vouchers(world.officer, state="lost")


def test_a_token_without_the_scope_lists_no_voucher(world: World, scheme: Scheme) -> None:
    member = world.member
    narrow = Principal(
        id=member.id, memberships=member.memberships, scopes=frozenset({"programme"})
    )
    with pytest.raises(ScopeMissing):
        vouchers.list_vouchers(narrow)
