"""Agreements: terms of use, offered by a holder or standing, accepted by a consumer, ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from haihe.data.domain import check_terms
from haihe.data.errors import NoAgreement
from haihe.data.models import Agreement, Dataset, Grant
from haihe.data.services.catalogue import find_dataset
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import parse_id
from haihe.kernel.outbox import emit
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation, organisations_of
from haihe.policy.domain import MANAGING, Principal, Resource
from haihe.policy.services import authorize, is_allowed


def propose_agreement(
    principal: Principal, slug: str, *, consumer: str, purpose: str, days: int
) -> Agreement:
    """Offer, for the holder, terms of use to an organisation."""
    dataset = find_dataset(principal, slug)
    authorize(principal, "agreement.propose", dataset.resource())
    check_terms(dataset.policy, dataset=slug, purpose=purpose, days=days)
    partner = find_organisation(principal, consumer)
    if partner.pk == dataset.organisation_id:
        raise InvalidField(field="consumer", value=consumer, rule="give another organisation")
    with unit_of_work():
        agreement = _insert_agreement(principal, dataset, partner, purpose=purpose, days=days)
        emit("agreement.proposed", {"agreement": str(agreement.pk)})
    return agreement


def accept_agreement(principal: Principal, agreement_id: str | UUID) -> Agreement:
    """Accept, for the consumer, the terms that were offered."""
    agreement = find_agreement(principal, agreement_id)
    authorize(principal, "agreement.accept", agreement.resource_for_consumer())
    with unit_of_work():
        return _accept(principal, agreement)


def accept_terms(
    principal: Principal, slug: str, *, organisation: str, purpose: str, days: int
) -> Agreement:
    """Accept a published dataset's standing terms for an organisation, without asking first."""
    dataset = find_dataset(principal, slug)
    consumer = find_organisation(principal, organisation)
    only_consumer = Resource("Agreement", slug, parties=frozenset({consumer.pk}))
    authorize(principal, "agreement.accept", only_consumer)
    if consumer.pk == dataset.organisation_id:
        raise InvalidField(
            field="organisation", value=organisation, rule="give another organisation"
        )
    if consumer.verified_at is None:
        raise WrongState(
            kind="organisation", id=organisation, state="not verified", needed="verified"
        )
    if not (dataset.policy.standing and dataset.is_published):
        raise NoAgreement(organisation=consumer.name, dataset=slug)
    check_terms(dataset.policy, dataset=slug, purpose=purpose, days=days)
    with unit_of_work():
        agreement = _insert_agreement(principal, dataset, consumer, purpose=purpose, days=days)
        return _accept(principal, agreement)


def end_agreement(principal: Principal, agreement_id: str | UUID) -> Agreement:
    """End an agreement, for either side: its grants end at once."""
    agreement = find_agreement(principal, agreement_id)
    authorize(principal, "agreement.end", agreement.resource())
    at = now()
    with unit_of_work():
        ended = (
            Agreement.objects.filter(pk=agreement.pk)
            .exclude(state=Agreement.State.ENDED)
            .update(state=Agreement.State.ENDED, ended_at=at)
        )
        if ended:
            Grant.objects.filter(agreement=agreement, expires_at__gt=at).update(expires_at=at)
            _record_agreement("agreement.ended", principal, agreement)
    agreement.refresh_from_db()
    return agreement


def list_agreements(principal: Principal, *, dataset: str = "") -> QuerySet[Agreement]:
    """Agreements that the caller may read, optionally those on one dataset.

    Parties read theirs; auditors and the platform's own processes read all.
    """
    rows = Agreement.objects.select_related("dataset", "provider", "consumer")
    if not is_allowed(principal, "agreement.read", Resource("Agreement")):
        mine = principal.organisations()
        if mine or principal.id is None:
            own = Resource("Agreement", organisation=min(mine, default=None))
            authorize(principal, "agreement.read", own)
        rows = rows.visible_to(mine)
    return rows.filter(dataset__slug=dataset) if dataset else rows


def possible_consumers(principal: Principal) -> list[Organisation]:
    """The organisations for which the caller may accept terms; at least one."""
    own = organisations_of(principal, *MANAGING)
    parties = frozenset(organisation.pk for organisation in own[:1])
    authorize(principal, "agreement.accept", Resource("Agreement", parties=parties))
    return own


def find_agreement(principal: Principal, agreement_id: str | UUID) -> Agreement:
    """An agreement, for its parties and the auditor."""
    pk = parse_id(agreement_id, kind="agreement")
    agreement = (
        Agreement.objects.select_related("dataset", "provider", "consumer").filter(pk=pk).first()
    )
    if agreement is None:
        raise MissingRecord(kind="agreement", id=str(pk))
    authorize(principal, "agreement.read", agreement.resource())
    return agreement


def agreement_for(
    organisation: Organisation, dataset: Dataset, *, at: datetime
) -> Agreement | None:
    """The agreement under which an organisation may use a dataset; None for its own data.

    Raises
    ------
    NoAgreement
        If the data is somebody else's and no agreement is in force.
    """
    if dataset.organisation_id == organisation.pk:
        return None
    found = (
        Agreement.objects.in_force(at)
        .filter(dataset=dataset, consumer=organisation)
        .order_by("-expires_at")
        .first()
    )
    if found is None:
        raise NoAgreement(organisation=organisation.name, dataset=dataset.slug)
    return found


def _insert_agreement(
    principal: Principal, dataset: Dataset, consumer: Organisation, *, purpose: str, days: int
) -> Agreement:
    agreement = Agreement.objects.create(
        dataset=dataset,
        provider=dataset.organisation,
        consumer=consumer,
        purpose=purpose,
        days=days,
        policy_data=dataset.policy_data,
        proposed_by_id=principal.person_id,
    )
    _record_agreement("agreement.proposed", principal, agreement)
    return agreement


def _accept(principal: Principal, agreement: Agreement) -> Agreement:
    at = now()
    accepted = Agreement.objects.filter(pk=agreement.pk, state=Agreement.State.PROPOSED).update(
        state=Agreement.State.ACCEPTED,
        accepted_by_id=principal.person_id,
        accepted_at=at,
        expires_at=at + timedelta(days=agreement.days),
    )
    if not accepted:
        raise WrongState(
            kind="agreement", id=str(agreement.pk), state=agreement.state, needed="proposed"
        )
    agreement.refresh_from_db()
    _record_agreement("agreement.accepted", principal, agreement)
    return agreement


def _record_agreement(kind: str, principal: Principal, agreement: Agreement) -> None:
    record(
        kind,
        subject=f"agreement:{agreement.pk}",
        actor=principal,
        data={
            "dataset": agreement.dataset.slug,
            "purpose": agreement.purpose,
            "days": agreement.days,
            "policy": agreement.policy_data,
            "expires_at": agreement.expires_at.isoformat() if agreement.expires_at else "",
        },
        parties=[agreement.provider_id, agreement.consumer_id],
    )
