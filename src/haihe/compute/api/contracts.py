"""HTTP routes of compute contracts."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.compute.models import Contract
from haihe.compute.services import contracts
from haihe.kernel.api import AmountMicro, CursorPage, PageQuery, as_page
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request

router = Router()


class ContractIn(Schema):
    """A new compute contract; amounts in micro-units of CNY."""

    number: str = Field(max_length=80)
    buyer: str
    provider: str
    amount_micro: AmountMicro
    eligible_micro: AmountMicro = Field(
        description="The part for computing alone: what voucher schemes subsidise."
    )
    begins_on: date
    ends_on: date


class ContractOut(Schema):
    """A compute contract: what a buyer may spend with a provider, over which term."""

    id: UUID
    number: str
    buyer: str
    provider: str
    amount_micro: int
    eligible_micro: int
    begins_on: date
    ends_on: date
    state: str
    signed_on: date | None
    created_at: datetime


class ContractDetail(ContractOut):
    """A compute contract with what is committed of it."""

    committed_micro: int = Field(
        description="What settled jobs cost, and what unfinished ones may cost at most."
    )


@router.get("/contracts", response=CursorPage[ContractOut])
def list_contracts(
    request: Request, page: Query[PageQuery], number: str = ""
) -> CursorPage[ContractOut]:
    """Contracts of the caller's organisations, optionally the one with a number."""
    rows = contracts.list_contracts(request.principal, number=number)
    return as_page(paginate(rows, cursor=page.cursor, limit=page.limit), _contract)


@router.post("/contracts", response={201: ContractOut})
def create_contract(request: Request, body: ContractIn) -> Status[ContractOut]:
    """Draw up a compute contract for its buyer; it holds once the provider signs."""
    return Status(201, _contract(contracts.create_contract(request.principal, **body.dict())))


@router.get("/contracts/{contract_id}", response=ContractDetail)
def read_contract(request: Request, contract_id: str) -> ContractDetail:
    """A contract, for its parties, with what is committed of it."""
    row = contracts.find_contract_by_id(request.principal, contract_id)
    return ContractDetail(**_contract(row).dict(), committed_micro=row.committed_micro())


@router.post("/contracts/{contract_id}/sign", response=ContractOut)
def sign_contract(request: Request, contract_id: str) -> ContractOut:
    """Sign a contract, for its provider."""
    row = contracts.find_contract_by_id(request.principal, contract_id)
    return _contract(contracts.sign_contract(request.principal, row.number))


def _contract(row: Contract) -> ContractOut:
    return ContractOut(
        id=row.pk,
        number=row.number,
        buyer=row.buyer.slug,
        provider=row.provider.slug,
        amount_micro=row.amount_micro,
        eligible_micro=row.eligible_micro,
        begins_on=row.begins_on,
        ends_on=row.ends_on,
        state=row.state,
        signed_on=row.signed_on,
        created_at=row.created_at,
    )
