"""HTTP routes of voucher schemes, vouchers, and payments to providers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.kernel.api import AmountMicro, CursorPage, PageQuery, as_page
from haihe.kernel.ids import new_id
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import payments, vouchers
from haihe.programme.services.books import VoucherBalance, scheme_balance, voucher_balances

router = Router(tags=["programme"])


class SchemeOut(Schema):
    """A voucher scheme, and where its vouchers are, in micro-units of CNY.

    `granted_micro` is what firms hold or used; `redeemed_micro` the part that providers received;
    `paid_micro` the part of that which was paid out.
    """

    slug: str
    title: str
    title_en: str
    office: str
    opens_on: date
    closes_on: date
    rules: str
    rules_sha256: str
    pool_micro: int
    granted_micro: int
    redeemed_micro: int
    paid_micro: int


class SchemeDetail(SchemeOut):
    """A scheme with its rule set: conditions and declarations with the status of each source."""

    rule_set: dict[str, Any]
    pool_account: UUID | None
    burned_account: UUID | None


class SchemeIn(Schema):
    """A new voucher scheme."""

    slug: str = Field(max_length=40)
    title: str = Field(max_length=200)
    title_en: str = Field("", max_length=200)
    office: str = Field(description="Slug of the organisation whose money it is.")
    rules_toml: str = Field(description="The content of the rule set's TOML file.")
    opens_on: date
    closes_on: date


class FundIn(Schema):
    """Vouchers for a scheme's pool."""

    amount_micro: AmountMicro
    reference: str = Field(max_length=200, description="The budget document.")


class ApplicationIn(Schema):
    """What is applied for, on which contract, and what the applicant declares."""

    contract: str = Field(description="Number of the signed compute contract.")
    amount_micro: AmountMicro
    declared: list[str] = Field([], description="Codes of the rule set's declarations.")


class VoucherIn(ApplicationIn):
    """An application for a voucher of a scheme."""

    scheme: str


class VerdictOut(Schema):
    """How one condition came out."""

    condition: str
    met: bool
    value: str
    threshold: str


class CheckOut(Schema):
    """How an application would come out now."""

    passes: bool
    most_micro: int = Field(description="The most that could be granted on this contract.")
    verdicts: list[VerdictOut]


class VoucherOut(Schema):
    """A voucher, and what became of its amount."""

    number: str
    scheme: str
    organisation: str
    provider: str
    contract: str
    state: str
    amount_micro: int
    left_micro: int
    held_micro: int
    redeemed_micro: int
    returned_micro: int
    declared: list[str]
    verdicts: list[VerdictOut]
    note: str
    applied_at: datetime
    decided_at: datetime | None


class VoucherQuery(PageQuery):
    """Which vouchers."""

    scheme: str = Field("", description="Slug of one scheme only.")
    state: str = Field("", description="One state only.")


class NoteIn(Schema):
    """A remark that the firm will read."""

    note: str = Field("", max_length=2_000)


class ReasonIn(Schema):
    """The reason that the firm will read."""

    note: str = Field(min_length=1, max_length=2_000)


class PaymentIn(Schema):
    """Whom to pay."""

    provider: str = Field(description="Slug of the provider.")


class PaymentOut(Schema):
    """What was paid to a provider for the vouchers it had redeemed."""

    scheme: str
    provider: str
    amount_micro: int


class ClaimOut(Schema):
    """What a provider redeemed and was not paid yet."""

    provider: str
    account_id: UUID
    amount_micro: int


@router.get("/schemes", response=CursorPage[SchemeOut])
def list_schemes(request: Request, page: Query[PageQuery]) -> CursorPage[SchemeOut]:
    """All voucher schemes."""
    rows = paginate(vouchers.list_schemes(request.principal), cursor=page.cursor, limit=page.limit)
    return as_page(rows, lambda row: SchemeOut(**_scheme(row)))


@router.post("/schemes", response={201: SchemeDetail})
def open_scheme(request: Request, body: SchemeIn) -> Status[SchemeDetail]:
    """Open a voucher scheme under a rule set, as the programme officer."""
    fields = body.dict(exclude={"rules_toml"})
    scheme = vouchers.open_scheme(request.principal, rules_file=body.rules_toml.encode(), **fields)
    return Status(201, _detail(scheme))


@router.get("/schemes/{slug}", response=SchemeDetail)
def read_scheme(request: Request, slug: str) -> SchemeDetail:
    """A scheme with its rules, its conditions and their sources, and its balances."""
    return _detail(vouchers.find_scheme(request.principal, slug))


@router.post("/schemes/{slug}/fund", response=SchemeDetail)
def fund_scheme(request: Request, slug: str, body: FundIn) -> SchemeDetail:
    """Put vouchers into a scheme's pool, as the programme officer."""
    scheme = vouchers.fund_scheme(request.principal, slug, transfer_id=new_id(), **body.dict())
    return _detail(scheme)


@router.post("/schemes/{slug}/check", response=CheckOut)
def check_application(request: Request, slug: str, body: ApplicationIn) -> CheckOut:
    """How an application would come out now, condition by condition, without applying."""
    found = vouchers.check_application(request.principal, slug, **body.dict())
    return CheckOut(
        passes=found.passes,
        most_micro=found.most_micro,
        verdicts=[VerdictOut(**asdict(verdict)) for verdict in found.verdicts],
    )


@router.get("/schemes/{slug}/claims", response=list[ClaimOut])
def list_claims(request: Request, slug: str) -> list[ClaimOut]:
    """The providers that wait for payment, the largest claim first."""
    return [
        ClaimOut(
            provider=claim.provider.slug,
            account_id=claim.account_id,
            amount_micro=claim.amount_micro,
        )
        for claim in payments.open_claims(request.principal, slug)
    ]


@router.post("/schemes/{slug}/payments", response={201: PaymentOut})
def pay_provider(request: Request, slug: str, body: PaymentIn) -> Status[PaymentOut]:
    """Pay a provider for the vouchers it redeemed: its claim is burned, the office pays it."""
    amount = payments.pay_provider(request.principal, slug, provider=body.provider)
    return Status(201, PaymentOut(scheme=slug, provider=body.provider, amount_micro=amount))


@router.get("/vouchers", response=CursorPage[VoucherOut])
def list_vouchers(request: Request, query: Query[VoucherQuery]) -> CursorPage[VoucherOut]:
    """Vouchers of the caller's organisations, on either side; all of them for the office."""
    rows = vouchers.list_vouchers(request.principal, scheme=query.scheme, state=query.state)
    page = paginate(rows, cursor=query.cursor, limit=query.limit)
    balances = voucher_balances(page.items)
    return as_page(page, lambda row: _voucher(row, balances[row.pk]))


@router.post("/vouchers", response={201: VoucherOut})
def apply_for_voucher(request: Request, body: VoucherIn) -> Status[VoucherOut]:
    """Apply for a voucher on a signed contract; a condition that is not met refuses it."""
    fields = body.dict(exclude={"scheme"})
    return Status(201, _read(vouchers.apply_for_voucher(request.principal, body.scheme, **fields)))


@router.get("/vouchers/{number}", response=VoucherOut)
def read_voucher(request: Request, number: str) -> VoucherOut:
    """A voucher with its verdicts and balance."""
    return _read(vouchers.find_voucher(request.principal, number))


@router.post("/vouchers/{number}/approve", response=VoucherOut)
def approve_voucher(request: Request, number: str, body: NoteIn) -> VoucherOut:
    """Grant a voucher: every condition is judged again, and the amount is reserved."""
    return _read(vouchers.approve_voucher(request.principal, number, note=body.note))


@router.post("/vouchers/{number}/refuse", response=VoucherOut)
def refuse_voucher(request: Request, number: str, body: ReasonIn) -> VoucherOut:
    """Refuse an application, with the reason."""
    return _read(vouchers.refuse_voucher(request.principal, number, note=body.note))


@router.post("/vouchers/{number}/withdraw", response=VoucherOut)
def withdraw_application(request: Request, number: str) -> VoucherOut:
    """Take back an application that was not decided yet."""
    return _read(vouchers.withdraw_application(request.principal, number))


@router.post("/vouchers/{number}/close", response=VoucherOut)
def close_voucher(request: Request, number: str) -> VoucherOut:
    """End a voucher after its contract's term: what was not redeemed goes back to the pool."""
    return _read(vouchers.close_voucher(request.principal, number))


def _scheme(row: Scheme) -> dict[str, Any]:
    balance = scheme_balance(row)
    amounts = ("pool_micro", "granted_micro", "redeemed_micro", "paid_micro")
    return {
        "slug": row.slug,
        "title": row.title,
        "title_en": row.title_en,
        "office": row.office.slug,
        "opens_on": row.opens_on,
        "closes_on": row.closes_on,
        "rules": row.rules.slug,
        "rules_sha256": row.rules_sha256,
        **{name: getattr(balance, name) for name in amounts},
    }


def _detail(row: Scheme) -> SchemeDetail:
    balance = scheme_balance(row)
    return SchemeDetail(
        **_scheme(row),
        rule_set=asdict(row.rules),
        pool_account=balance.pool_account,
        burned_account=balance.burned_account,
    )


def _read(row: Voucher) -> VoucherOut:
    return _voucher(row, voucher_balances([row])[row.pk])


def _voucher(row: Voucher, balance: VoucherBalance) -> VoucherOut:
    return VoucherOut(
        number=row.number,
        scheme=row.scheme.slug,
        organisation=row.organisation.slug,
        provider=row.contract.provider.slug,
        contract=row.contract.number,
        state=row.state,
        amount_micro=row.amount_micro,
        **asdict(balance),
        returned_micro=row.returned_micro,
        declared=row.declared,
        verdicts=[VerdictOut(**verdict) for verdict in row.verdicts],
        note=row.note,
        applied_at=row.created_at,
        decided_at=row.decided_at,
    )
