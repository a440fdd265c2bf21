"""The ``haihe`` command: the commands of all domains under one roof."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Annotated

import typer
from django.db import OperationalError, ProgrammingError
from django.utils import translation
from django.utils.translation import gettext as _

from haihe import __version__
from haihe.cli import bench, platform
from haihe.kernel.errors import HaiheError
from haihe.kernel.terminal import err, exit_code_of, show_error
from haihe.parties import cli as parties
from haihe.policy.cli import AS_VARIABLE

LANGUAGE_VARIABLE = "HAIHE_CLI_LANGUAGE"

app = typer.Typer(
    name="haihe",
    help="Haihe (海河): the open platform that carries out a region's full-stack AI programme.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(parties.org, name="org")
app.add_typer(parties.people, name="people")
app.add_typer(parties.token, name="token")
app.add_typer(bench.app, name="bench")
_TYPERS = {
    "evidence": {"app": "evidence"},
    "ledger": {"app": "ledger"},
    "data": {"dataset": "dataset", "agreement": "agreement"},
    "compute": {n: n for n in ("centre", "pool", "offer", "contract", "quote", "job")},
    "packs": {"app": "packs", "evaluation": "evaluation"},
    "programme": {n: n for n in ("plan", "indicator", "scheme", "voucher", "scenario")},
}
for _domain, _names in _TYPERS.items():
    if importlib.util.find_spec(f"haihe.{_domain}.cli"):
        _module = importlib.import_module(f"haihe.{_domain}.cli")
        for _attribute, _name in _names.items():
            app.add_typer(getattr(_module, _attribute), name=_name)
platform.add_commands(app)


@app.callback()
def options(
    as_email: Annotated[
        str, typer.Option("--as", help="Act as the person with this e-mail address.")
    ] = "",
) -> None:
    """Options that stand before every command."""
    if as_email:
        os.environ[AS_VARIABLE] = as_email


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; errors of the domains become words and an exit code."""
    translation.activate(_language())
    try:
        app()
    except HaiheError as error:
        show_error(error, as_json="--json" in sys.argv)
        sys.exit(exit_code_of(error))
    except (OperationalError, ProgrammingError) as error:
        err.print(_("The database cannot be used: {error}").format(error=error))
        err.print(_("If this is a new installation, run: haihe init"))
        sys.exit(8)


def _language() -> str:
    """Chinese where the terminal's locale is, else English."""
    wanted = os.environ.get(LANGUAGE_VARIABLE) or os.environ.get("LC_ALL") or os.environ.get("LANG")
    return "zh-hans" if (wanted or "").lower().startswith("zh") else "en"
