"""Commands of agents: for the operator on the platform's side, and beside the scheduler."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from haihe.compute.agent.backends import BACKENDS, backend_from
from haihe.compute.agent.config import AgentConfig, check_url, read_config, write_config
from haihe.compute.agent.exporters import Exporters, measure_machine
from haihe.compute.agent.http_link import HttpLink
from haihe.compute.agent.http_link import enrol as join
from haihe.compute.agent.journal import Journal
from haihe.compute.agent.runner import Agent, Metrics
from haihe.compute.agent.signing import load_key, make_key
from haihe.compute.errors import BadAgentConfig
from haihe.compute.models import Agent as AgentRow
from haihe.compute.services import agents as services
from haihe.kernel.errors import MissingRecord
from haihe.kernel.terminal import AsJson, Yes, ask_consent, err, show_record
from haihe.policy.cli import caller, person

PAUSE_S = 1.0
agent = typer.Typer(help="Agents: what joins a centre to the network.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option(help="Where the agent keeps its key, journal and jobs.")]


@agent.command("invite")
def invite(centre: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make a one-time token with which an agent can join a centre within a day."""
    principal = person()
    ask_consent([_("Let an agent join {centre}.").format(centre=centre)], yes=yes)
    made = services.invite_agent(principal, centre)
    show_record(
        {"centre": centre, "token": made.token, "expires_at": made.enrolment.expires_at},
        as_json=as_json,
    )


@agent.command("show")
def show(centre: str, as_json: AsJson = False) -> None:
    """Show the agent that speaks for a centre."""
    found = services.find_agent(caller(), centre)
    if found is None:
        raise MissingRecord(kind="agent", id=centre)
    show_record(_agent(found), as_json=as_json)


@agent.command("revoke")
def revoke(centre: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Hear a centre's agent no more; what runs there goes on. See also `agent give-up`."""
    principal = person()
    ask_consent([_("Hear the agent of {centre} no more.").format(centre=centre)], yes=yes)
    show_record(_agent(services.revoke_agent(principal, centre)), as_json=as_json)


@agent.command("give-up")
def give_up(centre: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """End what a revoked agent had as lost: it runs elsewhere, and is not paid for."""
    principal = person()
    text = _("End all that runs at {centre} as lost. If it runs on there, it runs twice.")
    ask_consent([text.format(centre=centre)], yes=yes)
    ended = services.give_up_attempts(principal, centre)
    show_record({"centre": centre, "ended": ended}, as_json=as_json)


@agent.command("enrol")
def enrol(
    url: Annotated[str, typer.Option(help="The platform's address.")],
    token: Annotated[str, typer.Option(help="From `haihe agent invite`.", prompt=True)],
    folder: Folder,
    as_json: AsJson = False,
) -> None:
    """Join a platform, beside the scheduler: makes a key, and writes agent.toml."""
    check_url(url, where="--url")
    joined = join(url, token, make_key(folder), language=get_language() or "")
    path = write_config(folder, url=url, agent_id=joined["agent_id"], centre=joined["centre"])
    show_record({**joined, "config": path}, as_json=as_json)


@agent.command("run")
def run(
    folder: Folder,
    backend: Annotated[
        str,
        typer.Option(help=f"For all pools that agent.toml does not name: {', '.join(BACKENDS)}."),
    ] = "",
    pool: Annotated[
        list[str] | None, typer.Option(help="A pool of the centre; may be given several times.")
    ] = None,
    steps: Annotated[int, typer.Option(help="End after so many steps; 0: never.")] = 0,
) -> None:
    """Run the agent until it is interrupted. What it started goes on without it."""
    config = read_config(folder)
    wanted = {name: {"backend": backend} for name in pool or ()} | dict(config.pools)
    if not wanted:
        raise BadAgentConfig(
            path=str(folder), reason="it names no pool; add [pools.NAME] or give --backend, --pool"
        )
    unknown = sorted(set(config.exporters) - set(wanted))
    if unknown:
        raise BadAgentConfig(
            path=str(folder), reason=f"[exporters] names pool {unknown[0]}, which is none of its"
        )
    journal = Journal(folder)
    worker = Agent(
        journal=journal,
        link=HttpLink(
            config.url,
            agent_id=config.agent_id,
            key=load_key(folder),
            language=get_language() or "",
        ),
        backends={name: backend_from(name, data, folder) for name, data in wanted.items()},
        folder=lambda job_id, number: config.jobs / str(job_id) / str(number),
        metrics=_metrics(config, wanted),
    )
    err.print(
        _("Agent of {centre}, pools {pools}, platform {url}. Interrupt to end it.").format(
            centre=config.centre, pools=", ".join(sorted(wanted)), url=config.url
        )
    )
    done = 0
    try:
        while not steps or done < steps:
            done += 1
            if not worker.step():
                time.sleep(PAUSE_S)
    except KeyboardInterrupt:
        err.print(_("Ended. What was started goes on."))
    finally:
        journal.close()


def _metrics(config: AgentConfig, pools: Mapping[str, Mapping[str, Any]]) -> Metrics:
    """What is measured of each pool besides: by its exporters, and of this machine's cards."""
    exporters = {pool: Exporters(urls) for pool, urls in config.exporters.items()}

    def measure(pool: str) -> Mapping[str, float]:
        own = measure_machine() if pools[pool].get("backend") == "local" else {}
        return {**own, **exporters[pool].measure()} if pool in exporters else own

    return measure


def _agent(found: AgentRow) -> dict[str, Any]:
    silent = (datetime.now(UTC) - found.seen_at).total_seconds() if found.seen_at else None
    return {
        "centre": found.centre.slug,
        "id": found.pk,
        "version": found.version,
        "seen_at": found.seen_at,
        "silent_s": None if silent is None else round(silent, 1),
        "clock_ahead_ms": found.clock_ahead_ms,
        "epoch": found.epoch,
        "revoked_at": found.revoked_at,
    }
