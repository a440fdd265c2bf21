"""Commands about the installation itself: set it up, serve it, look after it, demonstrate it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from django.core.management import call_command
from django.utils.translation import gettext as _
from rich.text import Text

from haihe.kernel import outbox
from haihe.kernel.errors import InvalidField
from haihe.kernel.ids import parse_id
from haihe.kernel.settings import HaiheSettings, load_settings
from haihe.kernel.terminal import AsJson, Yes, ask_consent, out, print_json, show_record, show_rows
from haihe.policy.cli import caller
from haihe.policy.domain import Resource
from haihe.policy.services import authorize

events = typer.Typer(help="Events on their way, and those given up.", no_args_is_help=True)
PLATFORM = Resource("Platform", "platform")


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the root."""
    app.command("init")(init)
    app.command("up")(up)
    app.command("demo")(demo)
    app.command("settings")(settings)
    app.add_typer(events, name="events")


def init(as_json: AsJson = False) -> None:
    """Make the home folder and the database, or bring the database up to this version."""
    migrate()
    where = load_settings()
    show_record(
        {"home": where.home.resolve(), "database": where.shown()["database_url"] or "SQLite"},
        as_json=as_json,
    )


def migrate() -> None:
    """Bring the database up to this version of Haihe."""
    load_settings().home.resolve().mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0, interactive=False)


def up(
    host: Annotated[str, typer.Option(help="Address to listen on; the setting if not given.")] = "",
    port: Annotated[int, typer.Option(help="Port to listen on; the setting if not given.")] = -1,
    jobs: Annotated[bool, typer.Option(help="Also dispatch jobs.")] = True,
    services: Annotated[bool, typer.Option(help="Also run the services of packs.")] = True,
) -> None:
    """Serve portal and API, dispatch jobs, deliver events, run packs' services, until stopped."""
    from haihe.cli.serve import serve

    migrate()
    where = load_settings()
    serve(
        host=host or where.host,
        port=where.port if port < 0 else port,
        jobs=jobs,
        services=services,
    )


def demo(
    kinds: Annotated[
        str, typer.Option("--with", help="Start these beside, and place jobs: slurm,ray.")
    ] = "",
    pack: Annotated[
        str, typer.Option(help="Run this pack in the chain, and what it has to show itself.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run the whole chain once, from a voucher to an indicator, on this machine."""
    from haihe.cli.demo import Demo
    from haihe.cli.demo_network import NetworkDemo, check_kinds
    from haihe.cli.demo_pack import PackDemo

    migrate()
    say: Callable[[str, str], None] = (lambda step, text: None) if as_json else _say
    wanted = tuple(kinds.split(",")) if kinds else ()
    check_kinds(wanted)
    if pack and wanted:
        raise InvalidField(field="pack", value=pack, rule=_("give either --pack or --with"))
    chain: Demo = NetworkDemo(say=say, kinds=wanted) if wanted else Demo(say=say)
    if pack:
        chain = PackDemo(say=say, pack=pack)
    if as_json:
        print_json(chain.run())
        return
    out.print(
        Text(_("Haihe: one run of the chain, with real parts and fictional parties."), "bold")
    )
    result = chain.run()
    indicator = result["indicator"]
    out.print()
    out.print(
        _(
            "Indicator {code} moved from {before} to {after}. Each figure opens its evidence."
        ).format(**indicator)
    )
    _where_to_look(result)


def settings(as_json: AsJson = False) -> None:
    """Print every setting: its variable, its value, and what it does. Secrets are masked."""
    authorize(caller(), "system.read", PLATFORM)
    values = load_settings().shown()
    rows = [
        {
            "setting": name,
            "variable": f"HAIHE_{name.upper()}",
            "value": values[name],
            "default": str(field.default),
            "text": field.description,
        }
        for name, field in HaiheSettings.model_fields.items()
    ]
    show_rows(rows, columns=["variable", "value", "text"], as_json=as_json)


@events.command("list")
def list_events(as_json: AsJson = False) -> None:
    """List deliveries that were given up, with their errors."""
    authorize(caller(), "system.read", PLATFORM)
    show_rows(
        [_delivery(row) for row in outbox.dead_letters()],
        columns=["id", "topic", "handler", "attempts", "error"],
        as_json=as_json,
        empty=_("No dead letters: every event was delivered, or is on its way."),
    )


@events.command("retry")
def retry_event(delivery_id: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Put a dead letter back in line."""
    authorize(caller(), "system.manage", PLATFORM)
    ask_consent([_("Send delivery {id} again.").format(id=delivery_id)], yes=yes)
    outbox.retry_dead_letter(parse_id(delivery_id, kind="dead letter"))
    show_record({"id": delivery_id, "state": "waiting"}, as_json=as_json)


@events.command("deliver")
def deliver_events(as_json: AsJson = False) -> None:
    """Deliver what is due now; `haihe up` does this all the time."""
    authorize(caller(), "system.manage", PLATFORM)
    show_record({"delivered": outbox.deliver_due(), **outbox.backlog()}, as_json=as_json)


def _delivery(row: Any) -> dict[str, Any]:
    last = row.last_error.strip().splitlines()
    return {
        "id": row.pk,
        "topic": row.event.topic,
        "handler": row.handler,
        "attempts": row.attempts,
        "error": last[-1] if last else "",
    }


def _say(step: str, text: str) -> None:
    out.print(Text(f"  {step:<12}", style="cyan") + Text(text))
    sys.stdout.flush()


def _where_to_look(result: dict[str, Any]) -> None:
    where = load_settings()
    password = (where.home.resolve() / "demo-password").read_text()
    out.print()
    out.print(Text(_("Now look around:"), style="bold"))
    for line in (
        _("make up            serves the portal at {url}").format(url=result["open"]),
        _("sign in as         demo-firm@haihe.test, demo-office@haihe.test,"),
        _("                   demo-hospital@, demo-centre-operator@ or demo-auditor@haihe.test"),
        _("with password      {password}").format(password=password),
        _("start at           {url}/plans/{plan}/targets/{code}").format(
            url=result["open"], plan=result["plan"], code=result["indicator"]["code"]
        ),
    ):
        out.print("  " + line)
