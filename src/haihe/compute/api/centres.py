"""HTTP routes of centres, their pools, and what these offer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.compute.domain import Capacity
from haihe.compute.domain.terms import CentreTerms, PoolTerms
from haihe.compute.models import Centre, Offer, Pool
from haihe.compute.services import centres
from haihe.compute.services.centres import PoolCard
from haihe.kernel.api import AmountMicro, CursorPage, PageQuery, PriceMicro, Whole, as_page
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request

router = Router()


class CapacityOut(Schema):
    """An amount of schedulable resources."""

    cpu_milli: int
    memory_bytes: int
    gpu_milli: int


class OfferOut(Schema):
    """A pool's capacity at a price, in micro-units of CNY."""

    id: UUID
    cpu_hour_micro: int
    gpu_hour_micro: int
    minimum_micro: int
    begins_at: datetime
    ends_at: datetime | None


class PoolOut(Schema):
    """A pool, what started jobs hold of it, and the offer that holds now."""

    path: str = Field(description="`centre/pool`")
    terms: PoolTermsSchema
    gpu_model: str
    is_open: bool
    capacity: CapacityOut
    held: CapacityOut
    offer: OfferOut | None


class CentreTermsSchema(Schema):
    """Where a centre is, how clean its power is, how fast data gets there."""

    region: str = Field("", max_length=80)
    carbon_g_per_kwh: Whole | None = None
    link_bytes_per_s: Whole | None = Field(None, description="Null where nothing has to move.")


class PoolTermsSchema(Schema):
    """How a pool is reached, what it has beside processors, and whom it takes."""

    backend: str = "local"
    partition: str = Field("", max_length=80)
    software: list[str] = []
    watts_idle: Whole | None = Field(None, description="Of the whole pool.")
    watts_busy: Whole | None = None
    needs_allocation: bool = False
    needs_account: bool = False
    pending_limit: Whole = Field(0, description="Jobs that may wait in its scheduler's queue.")


class CentreOut(Schema):
    """A centre with its pools."""

    id: UUID
    slug: str
    name: str
    name_en: str
    operator: str = Field(description="Slug of the organisation that operates it.")
    is_open: bool
    terms: CentreTermsSchema
    pools: list[PoolOut]


class CentreIn(Schema):
    """A new centre."""

    operator: str
    slug: str = Field(max_length=80)
    name: str = Field(max_length=200)
    name_en: str = Field("", max_length=200)
    terms: CentreTermsSchema = Field(default_factory=lambda: CentreTermsSchema.model_validate({}))


class PoolIn(Schema):
    """A new pool."""

    slug: str = Field(max_length=80)
    cpu_milli: Whole
    memory_bytes: Whole
    gpu_milli: Whole = 0
    gpu_model: str = Field("", max_length=80)
    card_tflops: Whole | None = Field(
        None, description="One card's peak, dense half precision, if the table lacks its model."
    )
    card_watts: Whole | None = Field(None, description="One card's board power.")
    terms: PoolTermsSchema = Field(default_factory=lambda: PoolTermsSchema.model_validate({}))


class OfferIn(Schema):
    """New prices, in micro-units of CNY."""

    cpu_hour_micro: AmountMicro
    gpu_hour_micro: PriceMicro = 0
    minimum_micro: PriceMicro = 0


@router.get("/centres", response=CursorPage[CentreOut])
def list_centres(request: Request, page: Query[PageQuery]) -> CursorPage[CentreOut]:
    """All centres with their pools and prices."""
    rows = paginate(centres.list_centres(request.principal), cursor=page.cursor, limit=page.limit)
    pools = [pool for centre in rows.items for pool in centre.pools.all()]
    cards = {card.pool.pk: card for card in centres.pool_cards(request.principal, pools)}
    return as_page(
        rows, lambda centre: _centre(centre, [cards[pool.pk] for pool in centre.pools.all()])
    )


@router.post("/centres", response={201: CentreOut})
def create_centre(request: Request, body: CentreIn) -> Status[CentreOut]:
    """Connect a centre. Its operator's credit code must have been confirmed."""
    terms = CentreTerms(**body.terms.dict())
    made = centres.create_centre(request.principal, **{**body.dict(), "terms": terms})
    return Status(201, _centre(made, []))


@router.get("/centres/{slug}", response=CentreOut)
def read_centre(request: Request, slug: str) -> CentreOut:
    """A centre with its pools and prices."""
    centre = centres.find_centre(request.principal, slug)
    return _centre(centre, centres.pool_cards(request.principal, centre.pools.all()))


@router.get("/centres/{slug}/terms", response=CentreTermsSchema)
def read_centre_terms(request: Request, slug: str) -> CentreTermsSchema:
    """A centre's terms alone: what a change of them is compared with."""
    return CentreTermsSchema.from_orm(centres.find_centre(request.principal, slug))


@router.put("/centres/{slug}/terms", response=CentreOut)
def update_centre(request: Request, slug: str, body: CentreTermsSchema) -> CentreOut:
    """Say anew where a centre is, how clean its power is, how fast data gets there."""
    centres.update_centre(request.principal, slug, CentreTerms(**body.dict()))
    return read_centre(request, slug)


@router.get("/centres/{slug}/pools", response=list[PoolOut])
def list_pools(request: Request, slug: str) -> list[PoolOut]:
    """A centre's pools."""
    return read_centre(request, slug).pools


@router.post("/centres/{slug}/pools", response={201: PoolOut})
def create_pool(request: Request, slug: str, body: PoolIn) -> Status[PoolOut]:
    """Add a pool to a centre, for its operator."""
    terms = PoolTerms(**body.terms.dict())
    made = centres.create_pool(request.principal, slug, **{**body.dict(), "terms": terms})
    return Status(201, _card(request, made))


@router.get("/centres/{slug}/pools/{pool}", response=PoolOut)
def read_pool(request: Request, slug: str, pool: str) -> PoolOut:
    """A pool."""
    return _card(request, centres.find_pool(request.principal, f"{slug}/{pool}"))


@router.get("/centres/{slug}/pools/{pool}/terms", response=PoolTermsSchema)
def read_pool_terms(request: Request, slug: str, pool: str) -> PoolTermsSchema:
    """A pool's terms alone: what a change of them is compared with."""
    return PoolTermsSchema.from_orm(centres.find_pool(request.principal, f"{slug}/{pool}"))


@router.put("/centres/{slug}/pools/{pool}/terms", response=PoolOut)
def update_pool(request: Request, slug: str, pool: str, body: PoolTermsSchema) -> PoolOut:
    """Say anew how a pool is reached, what it has, whom it takes; what runs there goes on."""
    terms = PoolTerms(**body.dict())
    return _card(request, centres.update_pool(request.principal, f"{slug}/{pool}", terms))


@router.post("/centres/{slug}/pools/{pool}/open", response=PoolOut)
def open_pool(request: Request, slug: str, pool: str) -> PoolOut:
    """Let a pool take new jobs, for its operator."""
    path = f"{slug}/{pool}"
    return _card(request, centres.set_pool_open(request.principal, path, is_open=True))


@router.post("/centres/{slug}/pools/{pool}/drain", response=PoolOut)
def drain_pool(request: Request, slug: str, pool: str) -> PoolOut:
    """Let a pool take no new jobs, for its operator; what runs there ends there."""
    path = f"{slug}/{pool}"
    return _card(request, centres.set_pool_open(request.principal, path, is_open=False))


@router.get("/centres/{slug}/pools/{pool}/offers", response=CursorPage[OfferOut])
def list_offers(
    request: Request, slug: str, pool: str, page: Query[PageQuery]
) -> CursorPage[OfferOut]:
    """A pool's offers: its price history."""
    rows = centres.offers_of(request.principal, f"{slug}/{pool}")
    return as_page(paginate(rows, cursor=page.cursor, limit=page.limit), _offer)


@router.post("/centres/{slug}/pools/{pool}/offers", response={201: OfferOut})
def set_offer(request: Request, slug: str, pool: str, body: OfferIn) -> Status[OfferOut]:
    """Give a pool new prices from now on; open quotes keep theirs."""
    return Status(
        201, _offer(centres.set_offer(request.principal, f"{slug}/{pool}", **body.dict()))
    )


def _centre(row: Centre, cards: list[PoolCard]) -> CentreOut:
    return CentreOut(
        id=row.pk,
        slug=row.slug,
        name=row.name,
        name_en=row.name_en,
        operator=row.operator.slug,
        is_open=row.is_open,
        terms=CentreTermsSchema.from_orm(row),
        pools=[_pool(card) for card in cards],
    )


def _card(request: Request, row: Pool) -> PoolOut:
    [card] = centres.pool_cards(request.principal, [row])
    return _pool(card)


def _pool(card: PoolCard) -> PoolOut:
    return PoolOut(
        path=str(card.pool),
        terms=PoolTermsSchema.from_orm(card.pool),
        gpu_model=card.pool.gpu_model,
        is_open=card.pool.is_open,
        capacity=_capacity(card.pool.capacity),
        held=_capacity(card.held),
        offer=_offer(card.offer) if card.offer else None,
    )


def _capacity(capacity: Capacity) -> CapacityOut:
    return CapacityOut(
        cpu_milli=capacity.cpu_milli,
        memory_bytes=capacity.memory_bytes,
        gpu_milli=capacity.gpu_milli,
    )


def _offer(row: Offer) -> OfferOut:
    return OfferOut.from_orm(row)
