"""Voucher schemes: opened and funded, applied for, reviewed, reserved, redeemed.

The money is in the ledger and nowhere else; see :mod:`haihe.programme.services.books`. Redeeming
happens where a job is settled; see ``haihe.compute.tasks`` and
:mod:`haihe.programme.services.funding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from uuid import UUID, uuid5

from django.db.models import QuerySet

from haihe.compute.models import Contract
from haihe.compute.services.contracts import find_contract
from haihe.compute.services.own import listed_organisations
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import check_slug
from haihe.kernel.money import check_amount_micro, format_micro
from haihe.kernel.outbox import emit
from haihe.kernel.work import unit_of_work
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import open_account, open_cash, transfer
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation, relation_between
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize, is_allowed
from haihe.programme.domain.vouchers import (
    ApplicationFacts,
    Verdict,
    ceiling_micro,
    judge,
    rules_from,
)
from haihe.programme.errors import SchemeExists, VoucherRefused
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services.books import (
    ISSUE,
    POOL,
    VOUCHER_PREFIX,
    free_micro,
    move,
    scheme_account,
    voucher_account,
)
from haihe.programme.services.plans import read_toml

SCHEME_SLUG_LENGTH = 40
TITLE_LENGTH = 200

# --- schemes -------------------------------------------------------------------------------------


def open_scheme(
    principal: Principal,
    *,
    slug: str,
    title: str,
    office: str,
    rules_file: Path | bytes,
    opens_on: date,
    closes_on: date,
    title_en: str = "",
) -> Scheme:
    """Open a voucher scheme that a programme office pays for, under rules from a TOML file or text.

    Raises
    ------
    BadRules
        If it is no rule set; the error names the place.
    SchemeExists
        If there is a scheme of that slug.
    """
    holder = find_organisation(principal, office)
    authorize(principal, "scheme.manage", holder.resource("Scheme"))
    if holder.kind != Organisation.Kind.PROGRAMME_OFFICE:
        raise InvalidField(field="office", value=office, rule="give a programme office")
    check_slug(slug, field="slug")
    if len(slug) > SCHEME_SLUG_LENGTH:
        raise InvalidField(
            field="slug", value=slug, rule=f"give at most {SCHEME_SLUG_LENGTH} characters"
        )
    for field, text in (("title", title), ("title_en", title_en or title)):
        if not text.strip() or len(text) > TITLE_LENGTH:
            raise InvalidField(
                field=field, value=text[:40], rule=f"give 1 to {TITLE_LENGTH} characters"
            )
    if closes_on < opens_on:
        raise InvalidField(field="closes_on", value=closes_on.isoformat(), rule="give a later day")
    if Scheme.objects.filter(slug=slug).exists():
        raise SchemeExists(slug=slug)
    data, digest = read_toml(rules_file)
    rules = rules_from(data)
    with unit_of_work():
        scheme = Scheme.objects.create(
            slug=slug,
            title=title,
            title_en=title_en,
            office=holder,
            rules_data=data,
            rules_sha256=digest,
            opens_on=opens_on,
            closes_on=closes_on,
        )
        record(
            "scheme.opened",
            subject=f"scheme:{scheme.pk}",
            actor=principal,
            data={"slug": slug, "rules": rules.slug, "rules_sha256": digest},
            parties=[holder.pk],
        )
        # Providers are paid from it; it must be there for the office to put money into.
        open_cash(holder.pk, name=holder.name)
    return scheme


def fund_scheme(
    principal: Principal, slug: str, *, amount_micro: int, reference: str, transfer_id: UUID
) -> Scheme:
    """Put vouchers into a scheme's pool: what its budget lets it grant.

    ``reference`` names the budget document. A call that is repeated with the same ``transfer_id``
    has no further effect.
    """
    scheme = find_scheme(principal, slug)
    authorize(principal, "scheme.manage", scheme.resource())
    check_amount_micro(amount_micro)
    with unit_of_work():
        Scheme.objects.select_for_update().get(pk=scheme.pk)
        repeated = Transfer.objects.filter(transfer_id=transfer_id).exists()
        issue = open_account(
            scheme.office_id, ISSUE, scheme.asset, name=scheme.title, floor_micro=None
        )
        pool = scheme_account(scheme, POOL)
        transfer(
            [move(scheme.asset, transfer_id, issue, pool, amount_micro, "fund-scheme", reference)]
        )
        if not repeated:
            record(
                "scheme.funded",
                subject=f"scheme:{scheme.pk}",
                actor=principal,
                data={"amount_micro": amount_micro, "reference": reference},
                parties=[scheme.office_id],
            )
    return scheme


def list_schemes(principal: Principal) -> QuerySet[Scheme]:
    """All schemes, for everybody."""
    authorize(principal, "scheme.read", _anything())
    return Scheme.objects.select_related("office").order_by("slug")


def find_scheme(principal: Principal, slug: str) -> Scheme:
    """A scheme by slug."""
    scheme = list_schemes(principal).filter(slug=slug).first()
    if scheme is None:
        raise MissingRecord(kind="scheme", id=slug)
    return scheme


def find_scheme_by_id(principal: Principal, scheme_id: UUID) -> Scheme:
    """A scheme by the id that evidence names it by."""
    scheme = list_schemes(principal).filter(pk=scheme_id).first()
    if scheme is None:
        raise MissingRecord(kind="scheme", id=str(scheme_id))
    return scheme


# --- applications --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ApplicationCheck:
    """How an application would come out, and the most that could be granted on its contract."""

    verdicts: Sequence[Verdict]
    most_micro: int

    @property
    def passes(self) -> bool:
        """Whether every condition is met."""
        return all(verdict.met for verdict in self.verdicts)


def check_application(
    principal: Principal, slug: str, *, contract: str, amount_micro: int, declared: Iterable[str]
) -> ApplicationCheck:
    """How an application would come out now, condition by condition, without applying."""
    scheme, agreed = find_scheme(principal, slug), find_contract(principal, contract)
    authorize(principal, "voucher.apply", agreed.buyer.resource("Voucher"))
    check_amount_micro(amount_micro)
    facts = _facts(scheme, agreed, amount_micro, declared, applied_at=now())
    return ApplicationCheck(judge(scheme.rules, facts), ceiling_micro(scheme.rules, facts))


def apply_for_voucher(
    principal: Principal, slug: str, *, contract: str, amount_micro: int, declared: Iterable[str]
) -> Voucher:
    """Apply for a voucher on a signed contract.

    Raises
    ------
    VoucherRefused
        If a condition is not met; the error names it, with value and threshold.
    """
    scheme, agreed = find_scheme(principal, slug), find_contract(principal, contract)
    authorize(principal, "voucher.apply", agreed.buyer.resource("Voucher"))
    declared = sorted(set(declared))
    with unit_of_work():
        # Of two applications at once on one contract the second is judged after the first.
        _lock(scheme)
        Contract.objects.select_for_update().get(pk=agreed.pk)
        check = check_application(
            principal, slug, contract=contract, amount_micro=amount_micro, declared=declared
        )
        _refuse_unmet(check.verdicts)
        voucher = Voucher.objects.create(
            scheme=scheme,
            number=f"{scheme.slug}-{scheme.vouchers.count() + 1:05d}",
            organisation=agreed.buyer,
            contract=agreed,
            amount_micro=amount_micro,
            declared=declared,
            verdicts=[asdict(verdict) for verdict in check.verdicts],
            applied_by_id=principal.person_id,
        )
        _record("voucher.applied", principal, voucher)
        emit("voucher.applied", {"voucher": voucher.number})
    return voucher


def withdraw_application(principal: Principal, number: str) -> Voucher:
    """Take back an application that was not decided yet."""
    voucher = find_voucher(principal, number)
    authorize(principal, "voucher.withdraw", voucher.resource())
    with unit_of_work():
        _decide(principal, voucher, Voucher.State.WITHDRAWN, "voucher.withdrawn", "")
    return voucher


def approve_voucher(principal: Principal, number: str, *, note: str = "") -> Voucher:
    """Grant a voucher, as somebody else than who applied: all conditions are judged again.

    The amount moves from the scheme's pool to the voucher's own account, where it is reserved for
    the contract's jobs.

    Raises
    ------
    VoucherRefused
        If a condition that was met at the application is not met any more.
    """
    voucher = find_voucher(principal, number)
    authorize(principal, "voucher.review", voucher.resource())
    with unit_of_work():
        scheme = _lock(voucher.scheme)
        _check_state(voucher, Voucher.State.APPLIED)
        facts = _facts(
            scheme,
            voucher.contract,
            voucher.amount_micro,
            voucher.declared,
            applied_at=voucher.created_at,
            besides=voucher,
        )
        verdicts = judge(scheme.rules, facts)
        _refuse_unmet(verdicts)
        account = open_account(
            voucher.organisation_id,
            f"{VOUCHER_PREFIX}{voucher.pk.hex}",
            scheme.asset,
            name=f"{voucher.organisation.name} {number}",
        )
        voucher.account_id = account.pk
        voucher.verdicts = [asdict(verdict) for verdict in verdicts]
        voucher.save(update_fields=["account_id", "verdicts"])
        _decide(principal, voucher, Voucher.State.RESERVED, "voucher.reserved", note)
        _move_between(voucher, scheme_account(scheme, POOL), account, voucher.amount_micro, "grant")
    return voucher


def refuse_voucher(principal: Principal, number: str, *, note: str) -> Voucher:
    """Refuse an application, with the reason that the firm will read."""
    voucher = find_voucher(principal, number)
    authorize(principal, "voucher.review", voucher.resource())
    if not note.strip():
        raise InvalidField(field="note", value="", rule="say why")
    with unit_of_work():
        _decide(principal, voucher, Voucher.State.REFUSED, "voucher.refused", note)
    return voucher


def close_voucher(principal: Principal, number: str) -> Voucher:
    """End a voucher after its contract's term: what was not redeemed goes back to the pool.

    Who decided on the application, and when, stays: the grant counts in the year it was made in.

    Raises
    ------
    WrongState
        If the contract's term is not over, or a job still holds a part of the voucher.
    """
    voucher = find_voucher(principal, number)
    authorize(principal, "scheme.manage", voucher.scheme.resource())
    contract = voucher.contract
    if contract.ends_on >= local_day():
        raise WrongState(
            kind="contract",
            id=contract.number,
            state=f"in force until {contract.ends_on}",
            needed="over",
        )
    with unit_of_work():
        Scheme.objects.select_for_update().get(pk=voucher.scheme_id)
        _check_state(voucher, Voucher.State.RESERVED)
        account = voucher_account(voucher)
        if account.held_micro:
            raise WrongState(
                kind="voucher",
                id=number,
                state=f"held with {format_micro(account.held_micro)} for jobs",
                needed="free of jobs",
            )
        left = free_micro(account)
        voucher.state, voucher.returned_micro = Voucher.State.CLOSED, left
        voucher.save(update_fields=["state", "returned_micro"])
        _record("voucher.closed", principal, voucher)
        if left:
            pool = scheme_account(voucher.scheme, POOL)
            _move_between(voucher, account, pool, left, "return")
    return voucher


def list_vouchers(principal: Principal, *, scheme: str = "", state: str = "") -> QuerySet[Voucher]:
    """Vouchers that the caller may see, optionally of one scheme or in one state."""
    rows = Voucher.objects.select_related("scheme", "organisation", "contract__provider")
    rows = rows.filter(scheme__slug=scheme) if scheme else rows
    rows = rows.filter(state=_check_known_state(state)) if state else rows
    if is_allowed(principal, "voucher.read", Resource("Voucher")):
        return rows
    return rows.visible_to(listed_organisations(principal, "voucher.read", "Voucher"))


def find_voucher(principal: Principal, number: str) -> Voucher:
    """A voucher by its number."""
    voucher = (
        Voucher.objects.select_related(
            "scheme__office", "organisation", "contract__provider", "contract__buyer"
        )
        .filter(number=number)
        .first()
    )
    if voucher is None:
        raise MissingRecord(kind="voucher", id=number)
    authorize(principal, "voucher.read", voucher.resource())
    return voucher


# --- helpers -------------------------------------------------------------------------------------


def _anything() -> Resource:
    return Resource("Scheme")


def _lock(scheme: Scheme) -> Scheme:
    """The scheme, and with it all others under its rules: the cap of a firm counts over them."""
    same_rules = Scheme.objects.under_rules(scheme.rules.slug).select_for_update().order_by("pk")
    return next(row for row in same_rules if row.pk == scheme.pk)


def _facts(
    scheme: Scheme,
    contract: Contract,
    amount_micro: int,
    declared: Iterable[str],
    *,
    applied_at: datetime,
    besides: Voucher | None = None,
) -> ApplicationFacts:
    """What is known of an application now; ``besides`` is the voucher that is being reviewed."""
    buyer: Organisation = contract.buyer
    others = Voucher.objects.filter(contract=contract).standing()
    if besides is not None:
        others = others.exclude(pk=besides.pk)
    year = local_day().year
    return ApplicationFacts(
        applied_on=local_day(applied_at),
        opens_on=scheme.opens_on,
        closes_on=scheme.closes_on,
        amount_micro=amount_micro,
        applicant_kind=buyer.kind,
        contract_micro=contract.amount_micro,
        eligible_micro=contract.eligible_micro,
        contract_signed_on=contract.signed_on,
        contract_begins_on=contract.begins_on,
        contract_ends_on=contract.ends_on,
        other_vouchers=tuple(others.values_list("number", flat=True)),
        granted_this_year_micro=Voucher.objects.under_rules(scheme.rules.slug).granted_in(
            buyer, year
        ),
        pool_micro=free_micro(scheme_account(scheme, POOL)),
        relation=relation_between(
            buyer.pk,
            contract.provider_id,
            at_least_percent=scheme.rules.related_from_percent,
        ),
        declared=frozenset(declared),
    )


def _refuse_unmet(verdicts: Iterable[Verdict]) -> None:
    unmet = next((verdict for verdict in verdicts if not verdict.met), None)
    if unmet is not None:
        raise VoucherRefused(
            condition=unmet.condition, value=unmet.value, threshold=unmet.threshold
        )


def _check_state(voucher: Voucher, needed: str) -> None:
    """Read the state anew, now that the scheme is locked, and refuse another one."""
    voucher.refresh_from_db(fields=["state"])
    if voucher.state != needed:
        raise _wrong_state(voucher, needed)


def _wrong_state(voucher: Voucher, needed: str) -> WrongState:
    return WrongState(kind="voucher", id=voucher.number, state=voucher.state, needed=needed)


def _check_known_state(state: str) -> str:
    if state not in Voucher.State.values:
        raise InvalidField(
            field="state",
            value=state[:20],
            rule="choose from " + ", ".join(Voucher.State.values),
        )
    return state


def _decide(principal: Principal, voucher: Voucher, state: str, kind: str, note: str) -> None:
    """Decide on an application, once."""
    moved = Voucher.objects.filter(pk=voucher.pk, state=Voucher.State.APPLIED).update(
        state=state, decided_by_id=principal.person_id, decided_at=now(), note=note
    )
    if not moved:
        voucher.refresh_from_db(fields=["state"])
        raise _wrong_state(voucher, Voucher.State.APPLIED)
    voucher.refresh_from_db(fields=["state", "decided_by", "decided_at", "note"])
    _record(kind, principal, voucher)


def _move_between(
    voucher: Voucher, debit: Account, credit: Account, amount_micro: int, why: str
) -> None:
    """Move an amount of a voucher between the pool and its account, once for each reason."""
    asset, reference = voucher.scheme.asset, f"voucher:{voucher.number}"
    transfer_id = uuid5(voucher.pk, why)
    transfer([move(asset, transfer_id, debit, credit, amount_micro, f"{why}-voucher", reference)])


def _record(kind: str, principal: Principal, voucher: Voucher) -> None:
    record(
        kind,
        subject=f"voucher:{voucher.number}",
        actor=principal,
        data={
            "scheme": voucher.scheme.slug,
            "contract": voucher.contract.number,
            "amount_micro": voucher.amount_micro,
            "verdicts": voucher.verdicts,
            "note": voucher.note,
        },
        parties={voucher.organisation_id, voucher.contract.provider_id, voucher.scheme.office_id},
    )
