"""Writes the reference pages and the OpenAPI document from the code.

python tools/reference.py            write them
python tools/reference.py --check    fail if what is committed differs from the code
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HAIHE_HOME"] = tempfile.mkdtemp(prefix="haihe-reference-")
os.environ["HAIHE_CONFIG"] = os.devnull
os.environ["DJANGO_SETTINGS_MODULE"] = "haihe.app.settings"
import django

django.setup()

import click
import typer.main
from django.utils import translation

import haihe
from haihe.api.v1 import api
from haihe.cli.main import app
from haihe.kernel import metrics
from haihe.kernel.errors import HaiheError
from haihe.kernel.http import status_of
from haihe.kernel.settings import VARIABLES, HaiheSettings
from haihe.kernel.terminal import EXIT_CODES, NO_CONSENT
from haihe.packs.checks import CHECKS
from haihe.packs.domain import TIERS
from haihe.policy.domain import ACTIONS
from haihe.policy.services import policy_text

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py from the code; do not edit. -->\n\n"


def settings_page() -> str:
    """Every setting in one table."""
    lines = [
        "# Settings\n",
        "Set a variable in the environment, or the setting's name in the TOML file that",
        "`HAIHE_CONFIG` names (default `haihe.toml`). The environment wins.\n",
        "| setting | variable | default | what it does |",
        "|---|---|---|---|",
    ]
    for name, field in HaiheSettings.model_fields.items():
        default = field.default
        shown = (
            "(empty)" if str(default) in ("", "**********") or default == Path() else f"`{default}`"
        )
        text = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name}` | `HAIHE_{name.upper()}` | {shown} | {text} |")
    lines += [
        "\n## Other variables\n",
        "Any other variable whose name begins with `HAIHE_` is refused.\n",
        "| variable | what it does |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in VARIABLES.items()),
    ]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every error with its code, status, exit code and text."""
    rows = []
    for error in sorted(_errors(), key=lambda kind: kind.code):
        example = error.__new__(error)
        status = status_of(example)
        code = next((exit_ for kind, exit_ in EXIT_CODES.items() if issubclass(error, kind)), 1)
        what = inspect.getdoc(error) or ""
        text = error.template.replace("|", "\\|").replace("{", "&#123;").replace("}", "&#125;")
        rows.append(f"| `{error.code}` | {status} | {code} | {what.splitlines()[0]} | {text} |")
    head = [
        "# Errors\n",
        "Each error has a stable code. The API answers with RFC 9457 problem details and the",
        "status below; a command ends with the exit code below. A command whose question was",
        f"answered with no ends with {NO_CONSENT}.\n",
        "| code | status | exit | meaning | text |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _errors() -> Iterator[type[HaiheError]]:
    for module in pkgutil.walk_packages(haihe.__path__, "haihe."):
        if module.name.endswith(".errors"):
            importlib.import_module(module.name)
    found: set[type[HaiheError]] = set()

    def walk(kind: type[HaiheError]) -> None:
        for child in kind.__subclasses__():
            if "code" in vars(child):
                found.add(child)
            walk(child)

    walk(HaiheError)
    yield from found


def policies_page() -> str:
    """Every action and the policies themselves."""
    lines = [
        "# Actions and policies\n",
        "Every service asks `authorize(principal, action, resource)` first. An action that no",
        "policy permits is denied. A token also needs the action's scope.\n",
        "| action | scope | what it allows |",
        "|---|---|---|",
    ]
    lines += [f"| `{a.name}` | `{a.scope}` | {a.text} |" for a in ACTIONS.actions.values()]
    lines += ["\n## The policies\n", "```cedar", policy_text().strip(), "```"]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its options."""
    lines = ["# Commands\n"]
    root = typer.main.get_command(app)
    lines += list(_command(root, "haihe"))
    return "\n".join(lines) + "\n"


def _command(command: Any, path: str) -> Iterator[str]:
    if isinstance(command, click.Group) or hasattr(command, "commands"):
        for name in sorted(command.commands):
            yield from _command(command.commands[name], f"{path} {name}")
        return
    yield f"## `{path}`\n"
    yield f"{(command.help or '').strip()}\n"
    rows = [_parameter(item) for item in command.params if item.name != "help"]
    if rows:
        yield "| argument | meaning |"
        yield "|---|---|"
        yield from rows
        yield ""


def _parameter(item: Any) -> str:
    if item.param_type_name == "argument":
        return f"| `{item.name.upper()}` | {getattr(item, 'help', None) or ''} |"
    names = ", ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))
    return f"| {names} | {(item.help or '').strip()} |"


def metrics_page() -> str:
    """Every metric of our own."""
    lines = [
        "# Metrics\n",
        "`/metrics` gives them to Prometheus, with those of the Python process. Counts of rows are",
        "read from the database when they are asked for.\n",
        "| metric | labels | what it tells |",
        "|---|---|---|",
    ]
    for name, text, labels in metrics.described():
        lines.append(f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {text} |")
    return "\n".join(lines) + "\n"


def checks_page() -> str:
    """Every conformance check, under the tier that needs it."""
    lines = [
        "# Conformance checks of packs\n",
        "`haihe packs check NAME` makes them all. A pack has the highest tier whose checks it",
        "passes, with those of the tiers below; a check that could not be made is not passed.\n",
        "A pack that cannot pass one names it in its manifest, with the reason:\n",
        "```toml",
        "[expected_failed]",
        '"score.calibrated" = "Probabilities are means over bands and too timid."',
        "```\n",
        "The check then does not fail the pack and does not count for its tier. Once it passes,",
        "the line has to go: an excuse that nothing needs is a failure.\n",
    ]
    for tier, needed in TIERS.items():
        lines += [f"## {tier.value}\n", "| check | what it asks |", "|---|---|"]
        lines += [f"| `{name}` | {CHECKS[name].title} |" for name in needed]
        lines.append("")
    return "\n".join(lines)


def openapi() -> str:
    """The API's document."""
    return json.dumps(api.get_openapi_schema(), indent=1, ensure_ascii=False, default=str) + "\n"


def api_page() -> str:
    """Every route with its words."""
    lines = [
        "# HTTP API\n",
        "The machine-readable form is [openapi.json](openapi.json), and",
        "`/api/v1/openapi.json` on a running installation.\n",
        f"{api.description}\n",
        "| route | what it does |",
        "|---|---|",
    ]
    schema = api.get_openapi_schema()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            text = (operation.get("description") or operation.get("summary", "")).strip()
            lines.append(f"| `{method.upper()} {path}` | {text.splitlines()[0]} |")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "policies.md": policies_page,
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "checks.md": checks_page,
    "api.md": api_page,
    "openapi.json": openapi,
}


def main(arguments: list[str]) -> int:
    """Write all pages, or compare them."""
    translation.activate("en")
    stale = []
    for name, make in PAGES.items():
        text = make() if name.endswith(".json") else NOTE + make()
        path = FOLDER / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    if stale and "--check" in arguments:
        print(f"Differ from the code: {', '.join(stale)}. Run: make reference")
        return 1
    print("reference:", ", ".join(stale) + " written" if stale else "up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
