"""Compute contracts: what a buyer may spend with a provider, over which term."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from haihe.compute.errors import ContractLimit, Taken
from haihe.compute.models import Contract
from haihe.compute.services.own import listed_organisations
from haihe.evidence.services import record
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import parse_id
from haihe.kernel.money import check_amount_micro, format_micro
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation
from haihe.policy.domain import WORKING, Principal, Resource
from haihe.policy.services import authorize, is_allowed


def create_contract(
    principal: Principal,
    *,
    number: str,
    buyer: str,
    provider: str,
    amount_micro: int,
    eligible_micro: int,
    begins_on: date,
    ends_on: date,
) -> Contract:
    """Draw up a compute contract for its buyer; it holds once the provider signs.

    ``eligible_micro`` is the part for computing alone, without storage, network or security.
    """
    firm, seller = find_organisation(principal, buyer), find_organisation(principal, provider)
    authorize(principal, "contract.create", firm.resource("Contract"))
    check_amount_micro(amount_micro)
    check_amount_micro(eligible_micro, field="eligible_micro")
    if eligible_micro > amount_micro:
        raise InvalidField(
            field="eligible_micro", value=eligible_micro, rule="give at most amount_micro"
        )
    if ends_on < begins_on:
        raise InvalidField(field="ends_on", value=ends_on.isoformat(), rule="give a later day")
    if number != number.strip() or not number.isprintable() or not 1 <= len(number) <= 80:
        raise InvalidField(
            field="number", value=number[:80], rule="give 1 to 80 printable characters"
        )
    if firm.pk == seller.pk:
        raise InvalidField(field="provider", value=provider, rule="give another organisation")
    with unit_of_work():
        try:
            contract = Contract.objects.create(
                number=number,
                buyer=firm,
                provider=seller,
                amount_micro=amount_micro,
                eligible_micro=eligible_micro,
                begins_on=begins_on,
                ends_on=ends_on,
                created_by_id=principal.person_id,
            )
        except IntegrityError:
            raise Taken(kind="contract", name=number) from None
        _record_contract("contract.drawn_up", principal, contract)
    return contract


def sign_contract(principal: Principal, number: str) -> Contract:
    """Sign a contract for its provider."""
    contract = find_contract(principal, number)
    authorize(principal, "contract.sign", contract.resource_for_provider())
    with unit_of_work():
        signed = Contract.objects.filter(pk=contract.pk, state=Contract.State.DRAFT).update(
            state=Contract.State.SIGNED, signed_on=local_day()
        )
        if not signed:
            raise WrongState(kind="contract", id=number, state=contract.state, needed="draft")
        contract.refresh_from_db()
        _record_contract("contract.signed", principal, contract)
    return contract


def find_contract(principal: Principal, number: str) -> Contract:
    """A contract by its number."""
    return _readable(principal, Contract.objects.filter(number=number), number)


def find_contract_by_id(principal: Principal, contract_id: str | UUID) -> Contract:
    """A contract by its id: unlike a number, an id stands in an address as it is."""
    pk = parse_id(contract_id, kind="contract")
    return _readable(principal, Contract.objects.filter(pk=pk), str(pk))


def list_contracts(principal: Principal, *, number: str = "") -> QuerySet[Contract]:
    """Contracts that the caller may read, optionally the one with a number.

    The parties read theirs; officers, auditors and the platform's own processes read all.
    """
    rows = Contract.objects.select_related("buyer", "provider")
    if not is_allowed(principal, "contract.read", Resource("Contract")):
        rows = rows.visible_to(listed_organisations(principal, "contract.read", "Contract"))
    return rows.filter(number=number) if number else rows


def usable_contracts(principal: Principal) -> QuerySet[Contract]:
    """Signed contracts whose term covers today and for whose buyer the caller works."""
    today = local_day()
    return list_contracts(principal).filter(
        buyer__in=principal.organisations(*WORKING),
        state=Contract.State.SIGNED,
        begins_on__lte=today,
        ends_on__gte=today,
    )


def contract_in_force(
    principal: Principal, number: str, buyer: Organisation, at: datetime
) -> Contract:
    """The buyer's contract, if it is signed and its term covers ``at``; the error says which."""
    contract = find_contract(principal, number)
    if contract.buyer_id != buyer.pk:
        raise ContractLimit(number=number, reason=f"it was not drawn up for {buyer.name}")
    if contract.state != Contract.State.SIGNED:
        raise ContractLimit(number=number, reason="its provider has not signed it")
    if not contract.covers(local_day(at)):
        term = f"{contract.begins_on} to {contract.ends_on}"
        raise ContractLimit(number=number, reason=f"its term is {term}, today is {local_day(at)}")
    return contract


def check_within_contract(contract: Contract, amount_micro: int) -> None:
    """Refuse what would go beyond the contract's amount, counting unfinished jobs at their most."""
    committed = contract.committed_micro()
    if committed + amount_micro > contract.amount_micro:
        raise ContractLimit(
            number=contract.number,
            reason=(
                f"{format_micro(committed)} of {format_micro(contract.amount_micro)} are "
                f"committed, this job may cost {format_micro(amount_micro)}"
            ),
        )


def _readable(principal: Principal, rows: QuerySet[Contract], wanted: str) -> Contract:
    contract = rows.select_related("buyer", "provider").first()
    if contract is None:
        raise MissingRecord(kind="contract", id=wanted)
    authorize(principal, "contract.read", contract.resource())
    return contract


def _record_contract(kind: str, principal: Principal, contract: Contract) -> None:
    record(
        kind,
        subject=f"contract:{contract.pk}",
        actor=principal,
        data={
            "number": contract.number,
            "amount_micro": contract.amount_micro,
            "eligible_micro": contract.eligible_micro,
            "begins_on": contract.begins_on.isoformat(),
            "ends_on": contract.ends_on.isoformat(),
        },
        parties=[contract.buyer_id, contract.provider_id],
    )
