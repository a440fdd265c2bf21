"""HTTP routes of the network: its state, its history, and who may do what at a centre."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.compute.api.centres import CapacityOut
from haihe.compute.models import Agent, Allocation, MaintenanceWindow, PersonAccount
from haihe.compute.services import accounts, agents, allocations, maintenance, network
from haihe.compute.services.allocations import AllocationCard
from haihe.kernel.api import Whole
from haihe.policy.http import Request

HISTORY_HOURS = 24 * 400

router = Router()


class PriceOut(Schema):
    """What a pool costs, in micro-units of CNY."""

    cpu_hour_micro: int
    gpu_hour_micro: int
    minimum_micro: int


class PeriodOut(Schema):
    """A time of maintenance."""

    begins_at: datetime
    ends_at: datetime
    reason: str


class PoolState(Schema):
    """A pool, now. Shares are 0 to 1; null is what is not known."""

    pool: str = Field(description="`centre/pool`")
    backend: str
    version: str = Field(description="Of its scheduler, in the scheduler's own words.")
    state: str = Field(description="`open`, `closed`, `silent`, `fault` or `maintenance`.")
    fault: str
    age_s: float | None = Field(description="How long ago its agent last reported.")
    is_stale: bool
    capacity: CapacityOut
    held: CapacityOut
    gpu_model: str
    normalised_cards: float = Field(description="Accelerators, counted in A100 by their peak.")
    software: list[str]
    nodes: dict[str, int] = Field(description="How many are up, draining, down.")
    used: dict[str, float]
    waiting: int = Field(description="Jobs in Haihe's queue.")
    pending: int = Field(description="Jobs in the scheduler's own queue.")
    running: int
    offer: PriceOut | None
    watts: float | None
    watts_source: str | None = Field(description="`measured` or `modelled`.")
    maintenance: PeriodOut | None


class AgentState(Schema):
    """What speaks for a centre."""

    is_embedded: bool = Field(description="Whether that is the platform's own process.")
    version: str
    seen_s: float | None


class CentreState(Schema):
    """A centre, now."""

    slug: str
    name: str
    name_en: str
    operator: str
    region: str
    is_open: bool
    carbon_g_per_kwh: int | None
    agent: AgentState
    pools: list[PoolState]


class NetworkState(Schema):
    """All centres at one instant."""

    format: str
    at: datetime
    jobs: dict[str, int] = Field(description="Unfinished jobs by state.")
    centres: list[CentreState]


class SampleOut(Schema):
    """What was measured in a span of time that begins `at`."""

    at: datetime
    mean: float
    low: float
    high: float
    count: int


class HistoryQuery(Schema):
    """How far back."""

    hours: Annotated[int, Field(ge=1, le=HISTORY_HOURS)] = 168


class MaintenanceIn(Schema):
    """A time in which a pool takes no job that would still run in it."""

    begins_at: datetime
    ends_at: datetime
    reason: str = Field(max_length=400)


class MaintenanceOut(PeriodOut):
    """A planned maintenance."""

    id: UUID
    withdrawn_at: datetime | None


class CentreAccountIn(Schema):
    """Who a person is at a centre."""

    email: str
    user: str = Field(max_length=64)
    account: str = Field("", max_length=64)
    qos: str = Field("", max_length=64)


class CentreAccountOut(CentreAccountIn):
    """Who a person is at a centre."""


class AllocationIn(Schema):
    """How much of a pool an organisation may use in a period, both days included."""

    organisation: str
    begins_on: date
    ends_on: date
    cpu_hours: Whole
    gpu_hours: Whole = 0


class AllocationOut(Schema):
    """An allocation and what has become of it, in milliseconds."""

    organisation: str
    begins_on: date
    ends_on: date
    cpu_ms: int
    gpu_milli_ms: int
    used_cpu_ms: int
    used_gpu_milli_ms: int
    pending_cpu_ms: int = Field(description="What unfinished jobs may still use.")
    pending_gpu_milli_ms: int


class EnrolmentOut(Schema):
    """A one-time token for an agent, shown this once."""

    centre: str
    token: str
    expires_at: datetime


class GaveUpOut(Schema):
    """How many attempts were given up."""

    ended: int


class AgentOut(Schema):
    """The agent of a centre."""

    id: UUID
    version: str
    seen_at: datetime | None
    clock_ahead_ms: int
    revoked_at: datetime | None


@router.get("/network", response=NetworkState)
def network_state(request: Request) -> NetworkState:
    """Every centre and pool: state, use, queue, price, power, and the age of each figure."""
    return NetworkState(**network.network_as_dict(network.look_at_network(request.principal)))


@router.get("/centres/{slug}/pools/{pool}/history", response=dict[str, list[SampleOut]])
def pool_history(
    request: Request, slug: str, pool: str, last: Query[HistoryQuery]
) -> dict[str, list[SampleOut]]:
    """What was measured of a pool, by metric, thinned out to a few hundred points."""
    found = network.pool_history(
        request.principal, f"{slug}/{pool}", last=timedelta(hours=last.hours)
    )
    return {metric: [SampleOut.from_orm(p) for p in points] for metric, points in found.items()}


# --- maintenance ---------------------------------------------------------------------------------


@router.get("/centres/{slug}/pools/{pool}/maintenance", response=list[MaintenanceOut])
def list_maintenance(request: Request, slug: str, pool: str) -> list[MaintenanceOut]:
    """A pool's present and coming maintenance."""
    return [*map(_window, maintenance.maintenance_of(request.principal, f"{slug}/{pool}"))]


@router.post("/centres/{slug}/pools/{pool}/maintenance", response={201: MaintenanceOut})
def plan_maintenance(
    request: Request, slug: str, pool: str, body: MaintenanceIn
) -> Status[MaintenanceOut]:
    """Keep a pool free of jobs in a time to come, for its operator."""
    window = maintenance.plan_maintenance(request.principal, f"{slug}/{pool}", **body.dict())
    return Status(201, _window(window))


@router.post("/maintenance/{window_id}/withdraw", response=MaintenanceOut)
def withdraw_maintenance(request: Request, window_id: str) -> MaintenanceOut:
    """Call a maintenance off, for the pool's operator."""
    return _window(maintenance.withdraw_maintenance(request.principal, window_id))


# --- accounts and allocations --------------------------------------------------------------------


@router.get("/centres/{slug}/accounts", response=list[CentreAccountOut])
def list_centre_accounts(request: Request, slug: str) -> list[CentreAccountOut]:
    """Who people are at a centre: all for its operator's managers, for others their own."""
    return [*map(_account, accounts.accounts_at(request.principal, slug))]


@router.put("/centres/{slug}/accounts", response=CentreAccountOut)
def set_centre_account(request: Request, slug: str, body: CentreAccountIn) -> CentreAccountOut:
    """Say who a person is at a centre, for its operator."""
    return _account(accounts.set_account(request.principal, slug, **body.dict()))


@router.delete("/centres/{slug}/accounts/{email}", response={204: None})
def drop_centre_account(request: Request, slug: str, email: str) -> Status[None]:
    """Forget who a person is at a centre, for its operator; running jobs go on."""
    accounts.drop_account(request.principal, slug, email=email)
    return Status(204, None)


@router.get("/centres/{slug}/pools/{pool}/allocations", response=list[AllocationOut])
def list_allocations(request: Request, slug: str, pool: str) -> list[AllocationOut]:
    """A pool's allocations: all for its operator's managers, for others those of their own."""
    return [*map(_allocation, allocations.allocations_of(request.principal, f"{slug}/{pool}"))]


@router.put("/centres/{slug}/pools/{pool}/allocations", response=AllocationOut)
def set_allocation(request: Request, slug: str, pool: str, body: AllocationIn) -> AllocationOut:
    """Let an organisation use so much of a pool in a period, for its operator."""
    path = f"{slug}/{pool}"
    row = allocations.set_allocation(request.principal, path, **body.dict())
    return _allocation(_card_of(request, path, row))


# --- agents --------------------------------------------------------------------------------------


@router.get("/centres/{slug}/agent", response=AgentOut | None)
def read_agent(request: Request, slug: str) -> AgentOut | None:
    """The agent that speaks for a centre; null where there is none."""
    found = agents.find_agent(request.principal, slug)
    return _agent(found) if found else None


@router.post("/centres/{slug}/agent/invite", response={201: EnrolmentOut})
def invite_agent(request: Request, slug: str) -> Status[EnrolmentOut]:
    """Make a one-time token with which an agent joins the centre within a day."""
    made = agents.invite_agent(request.principal, slug)
    body = EnrolmentOut(centre=slug, token=made.token, expires_at=made.enrolment.expires_at)
    return Status(201, body)


@router.post("/centres/{slug}/agent/revoke", response=AgentOut)
def revoke_agent(request: Request, slug: str) -> AgentOut:
    """Hear a centre's agent no more, for its operator; what runs there goes on."""
    return _agent(agents.revoke_agent(request.principal, slug))


@router.post("/centres/{slug}/agent/give-up", response=GaveUpOut)
def give_up_attempts(request: Request, slug: str) -> GaveUpOut:
    """End what a revoked agent had as lost, for its operator: it runs elsewhere, unpaid."""
    return GaveUpOut(ended=agents.give_up_attempts(request.principal, slug))


def _window(row: MaintenanceWindow) -> MaintenanceOut:
    return MaintenanceOut.from_orm(row)


def _account(row: PersonAccount) -> CentreAccountOut:
    return CentreAccountOut(email=row.person.email, user=row.user, account=row.account, qos=row.qos)


def _card_of(request: Request, path: str, row: Allocation) -> AllocationCard:
    cards = allocations.allocations_of(request.principal, path)
    return next(card for card in cards if card.allocation.pk == row.pk)


def _allocation(card: AllocationCard) -> AllocationOut:
    row = card.allocation
    return AllocationOut(
        organisation=row.organisation.slug,
        begins_on=row.begins_on,
        ends_on=row.ends_on,
        cpu_ms=row.cpu_ms,
        gpu_milli_ms=row.gpu_milli_ms,
        used_cpu_ms=card.used.cpu_ms,
        used_gpu_milli_ms=card.used.gpu_milli_ms,
        pending_cpu_ms=card.pending.cpu_ms,
        pending_gpu_milli_ms=card.pending.gpu_milli_ms,
    )


def _agent(row: Agent) -> AgentOut:
    return AgentOut.from_orm(row)
