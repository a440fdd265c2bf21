"""Commands about the network: its state and history, maintenance, and who may do what where."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.compute.domain import HOUR_MS, MILLI
from haihe.compute.models import MaintenanceWindow, PersonAccount
from haihe.compute.services import accounts as accounts_of_people
from haihe.compute.services import allocations as allocations_of_pools
from haihe.compute.services import maintenance as maintenance_of_pools
from haihe.compute.services import network as services
from haihe.compute.services.allocations import AllocationCard
from haihe.compute.services.network import PoolCondition
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField
from haihe.kernel.money import format_micro
from haihe.kernel.terminal import (
    AsJson,
    Yes,
    ask_consent,
    print_json,
    show_record,
    show_rows,
)
from haihe.policy.cli import caller, person

network = typer.Typer(
    help="The network: every centre and pool, now and over time.", no_args_is_help=True
)
maintenance = typer.Typer(help="Maintenance of pools.", no_args_is_help=True)
account = typer.Typer(help="Who people are at a centre.", no_args_is_help=True)
allocation = typer.Typer(help="How much of a pool organisations may use.", no_args_is_help=True)

PoolPath = Annotated[str, typer.Argument(help="CENTRE/POOL")]
Instant = Annotated[str, typer.Option(help="As 2026-12-31T18:00+08:00.")]
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]
PERCENT = 100


@network.command("show")
def show_network(as_json: AsJson = False) -> None:
    """Show every pool: state, use, queue, price, power, and how old the figures are."""
    found = services.look_at_network(caller())
    if as_json:
        print_json(services.network_as_dict(found))
        return
    show_rows(
        [_pool(pool) for one in found.centres for pool in one.pools],
        columns=["pool", "state", "used", "waiting", "pending", "running", "cpu_hour", "gpu_hour",
                 "watts", "age_s"],
        as_json=False,
        empty=_("No centre yet: haihe --as EMAIL centre create ..."),
    )  # fmt: skip


@network.command("export")
def export_network(file: Path, as_json: AsJson = False) -> None:
    """Write the network's state to a new JSON file, for a system above this one."""
    content = services.network_as_dict(services.look_at_network(caller()))
    try:
        with file.open("x", encoding="utf-8") as target:
            json.dump(content, target, ensure_ascii=False, indent=2)
    except FileExistsError:
        raise InvalidField(field="file", value=str(file), rule="give a new name") from None
    show_record(
        {"file": file, "bytes": file.stat().st_size, "format": content["format"]}, as_json=as_json
    )


@network.command("history")
def history(
    path: PoolPath,
    hours: Annotated[int, typer.Option(min=1, max=9_600)] = 24,
    as_json: AsJson = False,
) -> None:
    """Show what was measured of a pool, metric by metric."""
    found = services.pool_history(caller(), path, last=timedelta(hours=hours))
    if as_json:
        print_json({metric: [vars(point) for point in found[metric]] for metric in found})
        return
    rows = [
        {"metric": metric, **{k: _round(v) for k, v in vars(point).items()}}
        for metric, points in found.items()
        for point in points
    ]
    show_rows(rows, columns=["metric", "at", "mean", "low", "high", "count"], as_json=False)


# --- maintenance ---------------------------------------------------------------------------------


@maintenance.command("list")
def list_maintenance(path: PoolPath, as_json: AsJson = False) -> None:
    """List a pool's present and coming maintenance."""
    rows = maintenance_of_pools.maintenance_of(caller(), path)
    columns = ["id", "begins_at", "ends_at", "reason"]
    show_rows(map(_window, rows), columns=columns, as_json=as_json)


@maintenance.command("plan")
def plan_maintenance(
    path: PoolPath,
    begins: Instant,
    ends: Instant,
    reason: Annotated[str, typer.Option()],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Keep a pool free of jobs in a time to come."""
    principal = person()
    begins_at, ends_at = _instant(begins, "begins"), _instant(ends, "ends")
    text = _("{pool} takes no job that would run between {begins} and {ends}.")
    ask_consent([text.format(pool=path, begins=begins_at, ends=ends_at)], yes=yes)
    row = maintenance_of_pools.plan_maintenance(
        principal, path, begins_at=begins_at, ends_at=ends_at, reason=reason
    )
    show_record(_window(row), as_json=as_json)


@maintenance.command("withdraw")
def withdraw_maintenance(window_id: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Call a maintenance off."""
    principal = person()
    ask_consent([_("Call maintenance {id} off.").format(id=window_id)], yes=yes)
    row = maintenance_of_pools.withdraw_maintenance(principal, window_id)
    show_record(_window(row), as_json=as_json)


# --- accounts ------------------------------------------------------------------------------------


@account.command("list")
def list_accounts(centre: str, as_json: AsJson = False) -> None:
    """List who people are at a centre: all for its managers, for others their own."""
    rows = accounts_of_people.accounts_at(caller(), centre)
    columns = ["email", "user", "account", "qos"]
    show_rows(map(_account, rows), columns=columns, as_json=as_json)


@account.command("set")
def set_account(
    centre: str,
    email: str,
    user: Annotated[str, typer.Option(help="In the centre's scheduler.")],
    account: Annotated[str, typer.Option(help="That its scheduler books on.")] = "",
    qos: str = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say who a person is at a centre."""
    principal = person()
    text = _("{email} is {user} at {centre}.")
    ask_consent([text.format(email=email, user=user, centre=centre)], yes=yes)
    row = accounts_of_people.set_account(
        principal, centre, email=email, user=user, account=account, qos=qos
    )
    show_record(_account(row), as_json=as_json)


@account.command("drop")
def drop_account(centre: str, email: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget who a person is at a centre; running jobs go on."""
    principal = person()
    text = _("Forget who {email} is at {centre}.")
    ask_consent([text.format(email=email, centre=centre)], yes=yes)
    accounts_of_people.drop_account(principal, centre, email=email)
    show_record({"centre": centre, "email": email}, as_json=as_json)


# --- allocations ---------------------------------------------------------------------------------


@allocation.command("list")
def list_allocations(path: PoolPath, as_json: AsJson = False) -> None:
    """List a pool's allocations: all for its managers, for others those of their own."""
    rows = allocations_of_pools.allocations_of(caller(), path)
    columns = [
        "organisation", "begins_on", "ends_on", "cpu_hours", "used_cpu_hours",
        "pending_cpu_hours", "gpu_hours", "used_gpu_hours", "pending_gpu_hours",
    ]  # fmt: skip
    show_rows(map(_allocation, rows), columns=columns, as_json=as_json)


@allocation.command("set")
def set_allocation(
    path: PoolPath,
    organisation: str,
    begins_on: Day,
    ends_on: Day,
    cpu_hours: Annotated[int, typer.Option(min=0)],
    gpu_hours: Annotated[int, typer.Option(min=0)] = 0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let an organisation use so much of a pool in a period, both days included."""
    principal = person()
    text = _("{organisation} may use {cpu} CPU-hours and {gpu} GPU-hours of {pool}.")
    ask_consent(
        [text.format(organisation=organisation, cpu=cpu_hours, gpu=gpu_hours, pool=path)], yes=yes
    )
    row = allocations_of_pools.set_allocation(
        principal,
        path,
        organisation=organisation,
        begins_on=begins_on.date(),
        ends_on=ends_on.date(),
        cpu_hours=cpu_hours,
        gpu_hours=gpu_hours,
    )
    cards = allocations_of_pools.allocations_of(principal, path)
    show_record(
        next(_allocation(card) for card in cards if card.allocation.pk == row.pk), as_json=as_json
    )


# --- words ---------------------------------------------------------------------------------------


def _pool(one: PoolCondition) -> dict[str, Any]:
    price = one.offer.price if one.offer else None
    return {
        "pool": str(one.pool),
        "state": one.state,
        "used": ", ".join(f"{name} {share * PERCENT:.0f} %" for name, share in one.used.items()),
        "waiting": one.waiting,
        "pending": one.pool.pending,
        "running": one.pool.running,
        "cpu_hour": format_micro(price.cpu_hour_micro) if price else None,
        "gpu_hour": format_micro(price.gpu_hour_micro) if price else None,
        "watts": None if one.watts is None else f"{one.watts:.0f} {one.watts_source}",
        "age_s": f"{one.age_s} {_('stale')}" if one.is_stale and one.age_s else one.age_s,
    }


def _window(row: MaintenanceWindow) -> dict[str, Any]:
    return {
        "id": row.pk,
        "begins_at": row.begins_at,
        "ends_at": row.ends_at,
        "reason": row.reason,
        "withdrawn_at": row.withdrawn_at,
    }


def _account(row: PersonAccount) -> dict[str, Any]:
    return {"email": row.person.email, "user": row.user, "account": row.account, "qos": row.qos}


def _allocation(card: AllocationCard) -> dict[str, Any]:
    row, card_ms = card.allocation, HOUR_MS * MILLI
    return {
        "organisation": row.organisation.slug,
        "begins_on": row.begins_on,
        "ends_on": row.ends_on,
        "cpu_hours": row.cpu_ms / HOUR_MS,
        "used_cpu_hours": round(card.used.cpu_ms / HOUR_MS, 3),
        "pending_cpu_hours": round(card.pending.cpu_ms / HOUR_MS, 3),
        "gpu_hours": row.gpu_milli_ms / card_ms,
        "used_gpu_hours": round(card.used.gpu_milli_ms / card_ms, 3),
        "pending_gpu_hours": round(card.pending.gpu_milli_ms / card_ms, 3),
    }


def _round(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _instant(text: str, field: str) -> datetime:
    """An instant as people write it; without a time zone it is of this machine."""
    try:
        return datetime.fromisoformat(text).astimezone(now().tzinfo)
    except ValueError:
        rule = "write it as 2026-12-31T18:00+08:00"
        raise InvalidField(field=field, value=text[:40], rule=rule) from None
