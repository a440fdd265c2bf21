"""Centres, their pools, and the prices at which they offer them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Prefetch, QuerySet

from haihe.compute.domain import Capacity
from haihe.compute.domain.accelerators import is_known
from haihe.compute.domain.terms import CentreTerms, PoolTerms
from haihe.compute.errors import NotVerified, Taken
from haihe.compute.models import Centre, Offer, Pool, Reservation
from haihe.compute.services.embedded import embed_agent
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import check_slug
from haihe.kernel.money import check_amount_micro
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize

NAME_LENGTH = 200
GPU_MODEL_LENGTH = 80
CARD_LIMIT = 100_000
CAPACITY_LIMIT = 1_000_000_000_000_000
UNSAID_OF_CENTRE, UNSAID_OF_POOL = CentreTerms(), PoolTerms()


def create_centre(
    principal: Principal,
    *,
    operator: str,
    slug: str,
    name: str,
    name_en: str = "",
    terms: CentreTerms = UNSAID_OF_CENTRE,
) -> Centre:
    """Connect a centre. Its operator's credit code must have been confirmed."""
    organisation = find_organisation(principal, operator)
    authorize(principal, "centre.create", organisation.resource("Centre"))
    _check_verified(organisation)
    check_slug(slug, field="slug")
    if not name.strip() or max(len(name), len(name_en)) > NAME_LENGTH:
        raise InvalidField(field="name", value=name[:40], rule="give 1 to 200 characters")
    terms.check()
    with unit_of_work():
        try:
            centre = Centre.objects.create(
                operator=organisation, slug=slug, name=name, name_en=name_en, **asdict(terms)
            )
        except IntegrityError:
            raise Taken(kind="centre", name=slug) from None
        _record_centre("centre.connected", principal, centre, {"slug": slug, "name": name})
    return centre


def update_centre(principal: Principal, slug: str, terms: CentreTerms) -> Centre:
    """Say anew where a centre is, how clean its power is, how fast data gets there."""
    centre = find_centre(principal, slug)
    authorize(principal, "centre.update", centre.resource())
    terms.check()
    with unit_of_work():
        Centre.objects.filter(pk=centre.pk).update(**asdict(terms))
        _record_centre("centre.updated", principal, centre, asdict(terms))
    return find_centre(principal, slug)


def create_pool(
    principal: Principal,
    centre_slug: str,
    *,
    slug: str,
    cpu_milli: int,
    memory_bytes: int,
    gpu_milli: int = 0,
    gpu_model: str = "",
    card_tflops: int | None = None,
    card_watts: int | None = None,
    terms: PoolTerms = UNSAID_OF_POOL,
) -> Pool:
    """Add a pool to a centre; until an agent joins, the platform's own process speaks for it.

    ``card_tflops`` and ``card_watts`` are one card's peak dense half precision and board power, for
    a model that the platform's table does not have.
    """
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    check_slug(slug, field="slug")
    _check_capacity(Capacity(cpu_milli, memory_bytes, gpu_milli))
    if len(gpu_model) > GPU_MODEL_LENGTH:
        rule = f"give at most {GPU_MODEL_LENGTH} characters"
        raise InvalidField(field="gpu_model", value=gpu_model[:40], rule=rule)
    if gpu_milli:
        _check_card(gpu_model, card_tflops, card_watts)
    _check_terms(terms)
    with unit_of_work():
        try:
            pool = Pool.objects.create(
                centre=centre,
                slug=slug,
                **_columns(terms),
                cpu_milli=cpu_milli,
                memory_bytes=memory_bytes,
                gpu_milli=gpu_milli,
                gpu_model=gpu_model,
                card_tflops=card_tflops,
                card_watts=card_watts,
            )
        except IntegrityError:
            raise Taken(kind="pool", name=f"{centre_slug}/{slug}") from None
        embed_agent(centre)
        data = {"pool": slug, "backend": pool.backend, **asdict(pool.capacity)}
        _record_centre("pool.added", principal, centre, data)
    return pool


def update_pool(principal: Principal, pool_path: str, terms: PoolTerms) -> Pool:
    """Say anew how a pool is reached, what it has, whom it takes. What runs there goes on."""
    pool = find_pool(principal, pool_path)
    authorize(principal, "centre.update", pool.centre.resource())
    _check_terms(terms)
    with unit_of_work():
        Pool.objects.filter(pk=pool.pk).update(**_columns(terms))
        data = {"pool": pool.slug, **_columns(terms)}
        _record_centre("pool.updated", principal, pool.centre, data)
    return find_pool(principal, pool_path)


def set_pool_open(principal: Principal, pool_path: str, *, is_open: bool) -> Pool:
    """Let a pool take new jobs, or drain it: what runs there ends there, what waits moves on."""
    pool = find_pool(principal, pool_path)
    authorize(principal, "centre.update", pool.centre.resource())
    with unit_of_work():
        pool.is_open = is_open
        pool.save(update_fields=["is_open"])
        kind = "pool.opened" if is_open else "pool.drained"
        _record_centre(kind, principal, pool.centre, {"pool": pool.slug})
    return pool


def set_offer(
    principal: Principal,
    pool_path: str,
    *,
    cpu_hour_micro: int,
    gpu_hour_micro: int = 0,
    minimum_micro: int = 0,
) -> Offer:
    """Give a pool a new price from now on. Open quotes keep the price they were given."""
    pool = find_pool(principal, pool_path)
    authorize(principal, "centre.update", pool.centre.resource())
    check_amount_micro(cpu_hour_micro, field="cpu_hour_micro")
    for field, value in (("gpu_hour_micro", gpu_hour_micro), ("minimum_micro", minimum_micro)):
        if value:
            check_amount_micro(value, field=field)
    at = now()
    with unit_of_work():
        Pool.objects.select_for_update().get(pk=pool.pk)
        pool.offers.filter(ends_at=None).update(ends_at=at)
        offer = Offer.objects.create(
            pool=pool,
            cpu_hour_micro=cpu_hour_micro,
            gpu_hour_micro=gpu_hour_micro,
            minimum_micro=minimum_micro,
            begins_at=at,
        )
        _record_centre(
            "offer.set", principal, pool.centre, {"pool": pool.slug, **asdict(offer.price)}
        )
    return offer


def list_centres(principal: Principal) -> QuerySet[Centre]:
    """All centres with their pools, for everybody."""
    authorize(principal, "centre.read", Resource("Centre"))
    pools = Prefetch("pools", Pool.objects.order_by("slug"))
    return Centre.objects.select_related("operator").prefetch_related(pools)


def find_centre(principal: Principal, slug: str) -> Centre:
    """A centre with its pools, by slug."""
    centre = list_centres(principal).filter(slug=slug).first()
    if centre is None:
        raise MissingRecord(kind="centre", id=slug)
    return centre


def find_centre_by_id(principal: Principal, centre_id: UUID) -> Centre:
    """A centre by the id that evidence names it by."""
    centre = list_centres(principal).filter(pk=centre_id).first()
    if centre is None:
        raise MissingRecord(kind="centre", id=str(centre_id))
    return centre


def find_pool(principal: Principal, path: str) -> Pool:
    """A pool by ``centre/pool``."""
    centre, _, slug = path.partition("/")
    authorize(principal, "centre.read", Resource("Centre", centre))
    pool = (
        Pool.objects.select_related("centre__operator")
        .filter(centre__slug=centre, slug=slug)
        .first()
    )
    if pool is None:
        raise MissingRecord(kind="pool", id=path)
    return pool


@dataclass(frozen=True)
class PoolCard:
    """A pool with what started jobs hold of it, and the offer that holds now if there is one."""

    pool: Pool
    held: Capacity
    offer: Offer | None


def pool_cards(principal: Principal, pools: Iterable[Pool]) -> list[PoolCard]:
    """The cards of pools, for everybody; as many queries for many as for one."""
    authorize(principal, "centre.read", Resource("Centre"))
    shown = list(pools)
    held, offers = Reservation.objects.held_by_pool(shown), offers_at(shown, now())
    return [
        PoolCard(pool, held.get(pool.pk, Capacity(0, 0, 0)), offers.get(pool.pk)) for pool in shown
    ]


def offers_of(principal: Principal, pool_path: str) -> QuerySet[Offer]:
    """All offers of a pool, the newest first: its price history."""
    return find_pool(principal, pool_path).offers.order_by("-begins_at")


def offers_at(pools: Sequence[Pool], at: datetime) -> dict[UUID, Offer]:
    """The offer that holds for each pool at ``at``."""
    offers = Offer.objects.valid_at(at).filter(pool__in=pools).order_by("begins_at")
    return {offer.pool_id: offer for offer in offers}


def _check_capacity(capacity: Capacity) -> None:
    for field, value in asdict(capacity).items():
        least = 0 if field == "gpu_milli" else 1
        if not least <= value <= CAPACITY_LIMIT:
            rule = f"give a whole number {least} to {CAPACITY_LIMIT}"
            raise InvalidField(field=field, value=value, rule=rule)


def _check_card(model: str, tflops: int | None, watts: int | None) -> None:
    """Refuse a card whose peak nobody knows: it would count as nothing in every sum."""
    for field, value in (("card_tflops", tflops), ("card_watts", watts)):
        if value is not None and not 1 <= value <= CARD_LIMIT:
            raise InvalidField(
                field=field, value=value, rule=f"give a whole number 1 to {CARD_LIMIT}"
            )
    if model and tflops is None and not is_known(model):
        raise InvalidField(
            field="gpu_model",
            value=model,
            rule="the table of cards does not have it: give its peak too, as card_tflops (dense, "
            "half precision), and card_watts",
        )


def _check_terms(terms: PoolTerms) -> None:
    terms.check()
    if terms.backend not in Pool.Backend.values:
        rule = f"give one of {', '.join(Pool.Backend.values)}"
        raise InvalidField(field="backend", value=terms.backend[:40], rule=rule)


def _columns(terms: PoolTerms) -> dict[str, Any]:
    return {**asdict(terms), "software": sorted(set(terms.software))}


def _check_verified(organisation: Organisation) -> None:
    if organisation.verified_at is None:
        raise NotVerified(organisation=organisation.name)


def _record_centre(kind: str, principal: Principal, centre: Centre, data: dict[str, Any]) -> None:
    record(
        kind,
        subject=f"centre:{centre.pk}",
        actor=principal,
        data=data,
        parties=[centre.operator_id],
    )
