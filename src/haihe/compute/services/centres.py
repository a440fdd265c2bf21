"""Centres, their pools, and the prices at which they offer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from haihe.compute.errors import NotVerified, Taken
from haihe.compute.models import Centre, Offer, Pool
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


def create_centre(
    principal: Principal, *, operator: str, slug: str, name: str, name_en: str = ""
) -> Centre:
    """Connect a centre. Its operator's credit code must have been confirmed."""
    organisation = find_organisation(principal, operator)
    authorize(principal, "centre.create", organisation.resource("Centre"))
    _check_verified(organisation)
    check_slug(slug, field="slug")
    if Centre.objects.filter(slug=slug).exists():
        raise Taken(kind="centre", name=slug)
    with unit_of_work():
        centre = Centre.objects.create(operator=organisation, slug=slug, name=name, name_en=name_en)
        _record_centre("centre.connected", principal, centre, {"slug": slug, "name": name})
    return centre


def create_pool(
    principal: Principal,
    centre_slug: str,
    *,
    slug: str,
    cpu_milli: int,
    memory_bytes: int,
    gpu_milli: int = 0,
    gpu_model: str = "",
) -> Pool:
    """Add a pool of local processes to a centre."""
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    check_slug(slug, field="slug")
    for field, value in (("cpu_milli", cpu_milli), ("memory_bytes", memory_bytes)):
        if value < 1:
            raise InvalidField(field=field, value=value, rule="give 1 or more")
    if centre.pools.filter(slug=slug).exists():
        raise Taken(kind="pool", name=f"{centre_slug}/{slug}")
    with unit_of_work():
        pool = Pool.objects.create(
            centre=centre,
            slug=slug,
            backend=Pool.Backend.LOCAL,
            cpu_milli=cpu_milli,
            memory_bytes=memory_bytes,
            gpu_milli=gpu_milli,
            gpu_model=gpu_model,
        )
        _record_centre("pool.added", principal, centre, {"pool": slug, **asdict(pool.capacity)})
    return pool


def set_pool_open(principal: Principal, pool_path: str, *, is_open: bool) -> Pool:
    """Let a pool take new jobs, or drain it: jobs already queued still run."""
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
    """All centres, for everybody."""
    authorize(principal, "centre.read", Resource("Centre"))
    return Centre.objects.select_related("operator").prefetch_related("pools")


def find_centre(principal: Principal, slug: str) -> Centre:
    """A centre by slug."""
    authorize(principal, "centre.read", Resource("Centre", slug))
    centre = Centre.objects.select_related("operator").filter(slug=slug).first()
    if centre is None:
        raise MissingRecord(kind="centre", id=slug)
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


def offers_at(pools: Sequence[Pool], at: datetime) -> dict[UUID, Offer]:
    """The offer that holds for each pool at ``at``."""
    offers = Offer.objects.valid_at(at).filter(pool__in=pools).order_by("begins_at")
    return {offer.pool_id: offer for offer in offers}


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
