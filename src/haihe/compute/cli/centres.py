"""Commands about centres, their pools, and what these offer."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Annotated, Any, TypeVar

import typer
from django.utils.translation import gettext as _

from haihe.compute.domain import GIB, MILLI
from haihe.compute.domain.terms import CentreTerms, PoolTerms
from haihe.compute.models import Centre, Offer, Pool
from haihe.compute.services import centres as services
from haihe.compute.services.centres import PoolCard
from haihe.kernel.money import format_micro, parse_amount_micro
from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.quantities import whole_units
from haihe.kernel.terminal import AsJson, Yes, ask_consent, print_json, show_record, show_rows
from haihe.policy.cli import caller, person

centre = typer.Typer(help="Centres that operators have connected.", no_args_is_help=True)
pool = typer.Typer(help="Pools: capacity of one kind in a centre.", no_args_is_help=True)
offer = typer.Typer(help="Offers: a pool's prices.", no_args_is_help=True)

Terms = TypeVar("Terms", CentreTerms, PoolTerms)
PoolPath = Annotated[str, typer.Argument(help="CENTRE/POOL")]
Region = Annotated[str | None, typer.Option(help="Where it is.")]
Carbon = Annotated[int | None, typer.Option(help="Grams of CO2 per kWh of its power.")]
Link = Annotated[
    int | None, typer.Option(help="Bytes per second to the platform's data; none if shared.")
]
Backend = Annotated[Pool.Backend | None, typer.Option(help="What runs its jobs.")]
Partition = Annotated[str | None, typer.Option(help="Of its scheduler.")]
Software = Annotated[
    list[str] | None, typer.Option(help="What jobs may ask for; may be given several times.")
]
WattsIdle = Annotated[int | None, typer.Option(help="Of the whole pool, with no work.")]
WattsBusy = Annotated[int | None, typer.Option(help="Of the whole pool, fully used.")]
NeedsAllocation = Annotated[
    bool | None, typer.Option(help="Whether only organisations with an allocation may use it.")
]
NeedsAccount = Annotated[
    bool | None, typer.Option(help="Whether only people with an account there may use it.")
]
PendingLimit = Annotated[
    int | None, typer.Option(help="Jobs that may wait in its scheduler's own queue.")
]


@centre.command("list")
def list_centres(cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    """List all centres with their pools."""
    page = paginate(services.list_centres(caller()), cursor=cursor or None, limit=limit)
    show_rows(
        [_centre(row) for row in page.items],
        columns=["slug", "name", "operator", "pools"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No centre yet: haihe --as EMAIL centre create ..."),
    )


@centre.command("show")
def show_centre(slug: str, as_json: AsJson = False) -> None:
    """Show a centre's pools: what they have, what is held of it, what they cost."""
    principal = caller()
    found = services.find_centre(principal, slug)
    cards = services.pool_cards(principal, found.pools.all())
    if as_json:
        print_json({**_centre(found), "pools": [_pool(card) for card in cards]})
        return
    show_record(_centre(found), as_json=False)
    show_rows(
        [{**_pool(card), **_price(card)} for card in cards],
        columns=["pool", "is_open", "cpu_milli", "held_cpu_milli", "gpu_milli", "cpu_hour"],
        as_json=False,
        empty=_("No pool yet: haihe --as EMAIL pool create {slug} ...").format(slug=slug),
    )


@centre.command("create")
def create_centre(
    slug: str,
    operator: Annotated[str, typer.Option(help="Slug of the organisation that operates it.")],
    name: Annotated[str, typer.Option()],
    name_en: str = "",
    region: Region = None,
    carbon_g_per_kwh: Carbon = None,
    link_bytes_per_s: Link = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Connect a centre, for a verified operator."""
    principal = person()
    ask_consent(
        [
            _("Connect {slug} ({name}) for {operator}.").format(
                slug=slug, name=name, operator=operator
            )
        ],
        yes=yes,
    )
    terms = CentreTerms(
        region=region or "", carbon_g_per_kwh=carbon_g_per_kwh, link_bytes_per_s=link_bytes_per_s
    )
    created = services.create_centre(
        principal, operator=operator, slug=slug, name=name, name_en=name_en, terms=terms
    )
    show_record(_centre(created), as_json=as_json)


@centre.command("set")
def set_centre(
    slug: str,
    region: Region = None,
    carbon_g_per_kwh: Carbon = None,
    link_bytes_per_s: Link = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say anew where a centre is, how clean its power is, how fast data gets there."""
    principal = person()
    terms = _changed(
        _terms_of(services.find_centre(principal, slug), CentreTerms),
        region=region,
        carbon_g_per_kwh=carbon_g_per_kwh,
        link_bytes_per_s=link_bytes_per_s,
    )
    ask_consent([f"{slug}: {_told(terms)}"], yes=yes)
    show_record(_centre(services.update_centre(principal, slug, terms)), as_json=as_json)


@pool.command("create")
def create_pool(
    centre_slug: Annotated[str, typer.Argument(metavar="CENTRE")],
    slug: str,
    cpu: Annotated[float, typer.Option(help="CPUs, in steps of 0.001.")],
    memory_gib: Annotated[int, typer.Option(help="Memory in GiB.")],
    gpu: Annotated[float, typer.Option(help="GPUs, in steps of 0.001.")] = 0,
    gpu_model: str = "",
    card_tflops: Annotated[
        int | None,
        typer.Option(help="One card's peak, dense half precision, if the table lacks its model."),
    ] = None,
    card_watts: Annotated[int | None, typer.Option(help="One card's board power.")] = None,
    backend: Backend = None,
    partition: Partition = None,
    software: Software = None,
    watts_idle: WattsIdle = None,
    watts_busy: WattsBusy = None,
    needs_allocation: NeedsAllocation = None,
    needs_account: NeedsAccount = None,
    pending_limit: PendingLimit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Add a pool to a centre."""
    principal = person()
    cpu_milli = whole_units(cpu, MILLI, field="cpu")
    gpu_milli = whole_units(gpu, MILLI, field="gpu")
    terms = _changed(
        PoolTerms(),
        backend=backend,
        partition=partition,
        software=software,
        watts_idle=watts_idle,
        watts_busy=watts_busy,
        needs_allocation=needs_allocation,
        needs_account=needs_account,
        pending_limit=pending_limit,
    )
    ask_consent(
        [
            _("Add pool {pool}: {cpu:g} CPUs, {memory} GiB, {gpu:g} GPUs.").format(
                pool=f"{centre_slug}/{slug}", cpu=cpu, memory=memory_gib, gpu=gpu
            )
        ],
        yes=yes,
    )
    created = services.create_pool(
        principal,
        centre_slug,
        slug=slug,
        cpu_milli=cpu_milli,
        memory_bytes=memory_gib * GIB,
        gpu_milli=gpu_milli,
        gpu_model=gpu_model,
        card_tflops=card_tflops,
        card_watts=card_watts,
        terms=terms,
    )
    [card] = services.pool_cards(principal, [created])
    show_record(_pool(card), as_json=as_json)


@pool.command("set")
def set_pool(
    path: PoolPath,
    backend: Backend = None,
    partition: Partition = None,
    software: Software = None,
    watts_idle: WattsIdle = None,
    watts_busy: WattsBusy = None,
    needs_allocation: NeedsAllocation = None,
    needs_account: NeedsAccount = None,
    pending_limit: PendingLimit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say anew how a pool is reached, what it has, whom it takes; what runs there goes on."""
    principal = person()
    terms = _changed(
        _terms_of(services.find_pool(principal, path), PoolTerms),
        backend=backend,
        partition=partition,
        software=software,
        watts_idle=watts_idle,
        watts_busy=watts_busy,
        needs_allocation=needs_allocation,
        needs_account=needs_account,
        pending_limit=pending_limit,
    )
    ask_consent([f"{path}: {_told(terms)}"], yes=yes)
    [card] = services.pool_cards(principal, [services.update_pool(principal, path, terms)])
    show_record(_pool(card), as_json=as_json)


@pool.command("open")
def open_pool(path: PoolPath, yes: Yes = False, as_json: AsJson = False) -> None:
    """Let a pool take new jobs."""
    _set_open(path, is_open=True, yes=yes, as_json=as_json)


@pool.command("drain")
def drain_pool(path: PoolPath, yes: Yes = False, as_json: AsJson = False) -> None:
    """Let a pool take no new jobs; what runs there ends there, what waits goes elsewhere."""
    _set_open(path, is_open=False, yes=yes, as_json=as_json)


@offer.command("list")
def list_offers(
    path: PoolPath, cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False
) -> None:
    """List a pool's prices, the newest first."""
    rows = services.offers_of(caller(), path)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_offer(row) for row in page.items],
        columns=["begins_at", "ends_at", "cpu_hour", "gpu_hour", "minimum"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No price yet: haihe --as EMAIL offer set {path} --cpu-hour 1.20").format(
            path=path
        ),
    )


@offer.command("set")
def set_offer(
    path: PoolPath,
    cpu_hour: Annotated[str, typer.Option(help="CNY per CPU-hour.")],
    gpu_hour: Annotated[str, typer.Option(help="CNY per GPU-hour.")] = "",
    minimum: Annotated[str, typer.Option(help="Minimum charge per job in CNY.")] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give a pool new prices from now on; open quotes keep theirs."""
    principal = person()
    prices = {
        "cpu_hour_micro": parse_amount_micro(cpu_hour, field="cpu_hour"),
        "gpu_hour_micro": parse_amount_micro(gpu_hour, field="gpu_hour") if gpu_hour else 0,
        "minimum_micro": parse_amount_micro(minimum, field="minimum") if minimum else 0,
    }
    ask_consent(
        [
            _(
                "{pool} costs {cpu} per CPU-hour, {gpu} per GPU-hour, at least {minimum} per job."
            ).format(
                pool=path,
                cpu=format_micro(prices["cpu_hour_micro"]),
                gpu=format_micro(prices["gpu_hour_micro"]),
                minimum=format_micro(prices["minimum_micro"]),
            )
        ],
        yes=yes,
    )
    show_record(_offer(services.set_offer(principal, path, **prices)), as_json=as_json)


def _terms_of(row: Centre | Pool, kind: type[Terms]) -> Terms:
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})


def _changed(terms: Terms, **given: Any) -> Terms:
    """The terms with what was given; what was not stays."""
    return replace(terms, **{name: value for name, value in given.items() if value is not None})


def _told(terms: CentreTerms | PoolTerms) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(terms).items())


def _set_open(path: str, *, is_open: bool, yes: bool, as_json: bool) -> None:
    principal = person()
    text = _("{pool} takes new jobs.") if is_open else _("{pool} takes no new jobs.")
    ask_consent([text.format(pool=path)], yes=yes)
    changed = services.set_pool_open(principal, path, is_open=is_open)
    [card] = services.pool_cards(principal, [changed])
    show_record(_pool(card), as_json=as_json)


def _centre(row: Centre) -> dict[str, Any]:
    return {
        "id": row.pk,
        "slug": row.slug,
        "name": row.name,
        "name_en": row.name_en,
        "operator": row.operator.slug,
        **asdict(_terms_of(row, CentreTerms)),
        "pools": [pool.slug for pool in row.pools.all()],
    }


def _pool(card: PoolCard) -> dict[str, Any]:
    row = card.pool
    return {
        "pool": str(row),
        "is_open": row.is_open,
        **asdict(_terms_of(row, PoolTerms)),
        "cpu_milli": row.cpu_milli,
        "held_cpu_milli": card.held.cpu_milli,
        "memory_bytes": row.memory_bytes,
        "held_memory_bytes": card.held.memory_bytes,
        "gpu_milli": row.gpu_milli,
        "held_gpu_milli": card.held.gpu_milli,
        "gpu_model": row.gpu_model,
        "offer": _offer(card.offer) if card.offer else None,
    }


def _price(card: PoolCard) -> dict[str, Any]:
    return _offer(card.offer) if card.offer else {}


def _offer(row: Offer) -> dict[str, Any]:
    return {
        "id": row.pk,
        "begins_at": row.begins_at,
        "ends_at": row.ends_at,
        "cpu_hour": format_micro(row.cpu_hour_micro),
        "cpu_hour_micro": row.cpu_hour_micro,
        "gpu_hour": format_micro(row.gpu_hour_micro),
        "gpu_hour_micro": row.gpu_hour_micro,
        "minimum": format_micro(row.minimum_micro),
        "minimum_micro": row.minimum_micro,
    }
