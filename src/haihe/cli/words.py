"""What arguments and options are that mean the same in every command that takes them.

A command says in its own signature what is particular to it; what is left without a word there is
described here, once, by its name, or by the name of its group and its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption

WORDS: Mapping[str, str] = {
    "account_id": "Id of the account, as `haihe ledger accounts --json` gives it.",
    "agreement_id": "Id of the agreement.",
    "begins": "First day of the term.",
    "begins_on": "First day.",
    "centre": "Slug of the centre.",
    "centre_slug": "Slug of the centre.",
    "closes": "Last day on which is applied.",
    "code": "Code of the target.",
    "cpu_hours": "CPU-hours in the period.",
    "cursor": "Where the page begins, as the page before it says.",
    "days": "Days for which it opens anything.",
    "delivery_id": "Id of the delivery, as `haihe events list` gives it.",
    "description": "What is in it.",
    "email": "E-mail address of the person.",
    "ends": "Last day of the term.",
    "ends_on": "Last day.",
    "entry_id": "Id of the entry.",
    "evaluation": "Id of the evaluation.",
    "evaluation_id": "Id of the evaluation.",
    "file": "The file.",
    "gpu_hours": "GPU-hours in the period.",
    "gpu_model": "Model of its GPUs.",
    "hours": "How many hours back.",
    "job_id": "Id of the job.",
    "licence": "Under which it may be used, such as CC BY 4.0.",
    "limit": "Rows of a page at most.",
    "name": "Name, in Chinese where it has two.",
    "name_en": "Name in English.",
    "note": "A note to the decision.",
    "number": "Its number.",
    "opens": "First day on which is applied.",
    "organisation": "Slug of the organisation.",
    "owned": "Slug of the organisation that is held.",
    "owner": "Slug of the organisation that holds.",
    "password": "At least twelve characters; asked for if not given.",
    "percent": "Share, in percent.",
    "plan_slug": "Slug of the plan.",
    "qos": "Quality of service in the centre's scheduler.",
    "quote_id": "Id of the quote.",
    "reason": "Why; those concerned will read it.",
    "role": "The role.",
    "rows": "How many rows.",
    "scenario_id": "Id of the scenario.",
    "scheme": "Slug of the scheme.",
    "slug": "Its slug: letters, digits and hyphens.",
    "title": "Title in Chinese.",
    "title_en": "Title in English.",
    "token_id": "Id of the token.",
    "window_id": "Id of the maintenance.",
}
GROUPS: Mapping[str, str] = {
    "agreement.slug": "Slug of the dataset.",
    "dataset.slug": "Slug of the dataset.",
    "evidence.file": "The file to write; its anchor is put beside it, as FILE.trust.",
    "org.email": "Who alone may accept, by e-mail address; whoever has the link, if not given.",
    "org.slug": "Slug of the organisation.",
    "packs.name": "Name of the pack.",
    "plan.file": "The plan's TOML file.",
    "plan.slug": "Slug of the plan.",
    "scheme.slug": "Slug of the scheme.",
    "token.name": "What the token is for.",
}


class Described(TyperGroup):
    """A group in whose commands every argument and option has a word of help."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, or a group with all that is in it."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _describe(found, cmd_name)
        return found


def _describe(command: Any, group: str) -> None:
    for part in getattr(command, "commands", {}).values():
        _describe(part, group)
    for parameter in command.params:
        if isinstance(parameter, TyperArgument | TyperOption) and not parameter.help:
            parameter.help = word_for(group, parameter.name or "")


def word_for(group: str, name: str) -> str | None:
    """The word for a parameter of a group's commands, if there is one."""
    return GROUPS.get(f"{group}.{name}") or WORDS.get(name)
