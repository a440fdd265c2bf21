"""Commands about scenarios."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.terminal import AsJson, Yes, ask_consent, show_record, show_rows
from haihe.kernel.texts import called
from haihe.policy.cli import caller, person
from haihe.programme.models import Scenario
from haihe.programme.services import scenarios

scenario = typer.Typer(help="Scenarios: propose, accept, decline, revoke.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="The reason; everybody concerned will read it.")]


@scenario.command("list")
def list_scenarios(
    state: Annotated[str, typer.Option(help=", ".join(Scenario.State.values))] = "",
    measure: Annotated[str, typer.Option(help="Of one measure only.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List accepted scenarios, and the proposals that one may see."""
    rows = scenarios.list_scenarios(caller(), state=state, measure=measure)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_scenario(row) for row in page.items],
        columns=["id", "title", "organisation", "measure", "state", "score"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No scenario yet: haihe --as EMAIL scenario propose EVALUATION ..."),
    )


@scenario.command("show")
def show_scenario(scenario_id: str, as_json: AsJson = False) -> None:
    """Show a scenario."""
    show_record(_scenario(scenarios.find_scenario(caller(), scenario_id)), as_json=as_json)


@scenario.command("propose")
def propose_scenario(
    evaluation: str,
    plan: Annotated[str, typer.Option(help="Slug of the plan.")],
    measure: Annotated[str, typer.Option(help="Id of the plan's measure.")],
    title: Annotated[str, typer.Option()],
    title_en: str = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Propose what a pack achieved as a scenario of a plan's measure."""
    principal = person()
    ask_consent(
        [
            _("Propose {title} under measure {measure} of {plan}.").format(
                title=title, measure=measure, plan=plan
            )
        ],
        yes=yes,
    )
    proposed = scenarios.propose_scenario(
        principal,
        evaluation=evaluation,
        plan=plan,
        measure=measure,
        title=title,
        title_en=title_en,
    )
    show_record(_scenario(proposed), as_json=as_json)


@scenario.command("accept")
def accept_scenario(
    scenario_id: str, note: str = "", yes: Yes = False, as_json: AsJson = False
) -> None:
    """Recognise a proposed scenario: the indicator that counts it goes up by one."""
    principal = person()
    found = scenarios.find_scenario(principal, scenario_id)
    _ask(
        scenario_id,
        _("Accept {title} of {organisation}."),
        *map(partial(_like, found), scenarios.accepted_like(principal, found)),
        yes=yes,
    )
    accepted = scenarios.accept_scenario(principal, scenario_id, note=note)
    show_record(_scenario(accepted), as_json=as_json)


@scenario.command("decline")
def decline_scenario(
    scenario_id: str, note: Reason, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Decline a proposed scenario, with the reason."""
    principal = person()
    _ask(scenario_id, _("Decline {title} of {organisation}."), yes=yes)
    declined = scenarios.decline_scenario(principal, scenario_id, note=note)
    show_record(_scenario(declined), as_json=as_json)


@scenario.command("revoke")
def revoke_scenario(
    scenario_id: str, note: Reason, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Take back a recognition, with the reason."""
    principal = person()
    _ask(scenario_id, _("Revoke the acceptance of {title} of {organisation}."), yes=yes)
    revoked = scenarios.revoke_scenario(principal, scenario_id, note=note)
    show_record(_scenario(revoked), as_json=as_json)


def _ask(scenario_id: str, text: str, *more: str, yes: bool) -> None:
    row = scenarios.find_scenario(caller(), scenario_id)
    first = text.format(title=called(row), organisation=called(row.organisation))
    ask_consent([first, *more], yes=yes)


def _like(scenario: Scenario, other: Scenario) -> str:
    """What an officer should know of a scenario that was accepted before."""
    text = _("Accepted already of the same pack, organisation and measure: {id}.")
    if scenarios.has_same_inputs(scenario, other):
        text = _("Accepted already of the same pack, organisation and measure, on the very same "
                 "data: {id}.")  # fmt: skip
    return text.format(id=other.pk)


def _scenario(row: Scenario) -> dict[str, Any]:
    return {
        "id": row.pk,
        "title": row.title,
        "title_en": row.title_en,
        "state": row.state,
        "organisation": row.organisation.slug,
        "plan": f"{row.plan.slug} v{row.plan.version}",
        "measure": row.measure_id,
        "evaluation": row.evaluation_id,
        "pack": row.evaluation.pack,
        "score": row.evaluation.score,
        "note": row.note,
        "proposed_at": row.created_at,
        "decided_at": row.decided_at,
    }
