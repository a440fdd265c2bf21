"""The ``haihe`` command: the commands of all domains under one roof."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer
from django.db import DatabaseError
from django.utils import translation
from django.utils.translation import gettext as _

from haihe import __version__
from haihe.cli import bench, platform
from haihe.cli.simulate import simulate
from haihe.cli.words import Described
from haihe.compute import cli as compute
from haihe.data import cli as data
from haihe.evidence import cli as evidence
from haihe.kernel.errors import HaiheError, Unavailable
from haihe.kernel.storage import storage_failure
from haihe.kernel.terminal import EXIT_CODES, AsJson, err, exit_code_of, print_json, show_error
from haihe.ledger import cli as ledger
from haihe.packs import cli as packs
from haihe.parties import cli as parties
from haihe.policy.cli import AS_VARIABLE
from haihe.programme import cli as programme

LANGUAGE_VARIABLE = "HAIHE_CLI_LANGUAGE"

app = typer.Typer(
    name="haihe",
    cls=Described,
    help="Haihe (海河): the open platform that carries out a region's full-stack AI programme.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
COMMANDS = {
    "org": parties.org,
    "people": parties.people,
    "token": parties.token,
    "evidence": evidence.app,
    "ledger": ledger.app,
    "dataset": data.dataset,
    "agreement": data.agreement,
    "network": compute.network,
    "agent": compute.agent,
    "centre": compute.centre,
    "pool": compute.pool,
    "offer": compute.offer,
    "maintenance": compute.maintenance,
    "account": compute.account,
    "allocation": compute.allocation,
    "contract": compute.contract,
    "quote": compute.quote,
    "job": compute.job,
    "packs": packs.app,
    "evaluation": packs.evaluation,
    "plan": programme.plan,
    "indicator": programme.indicator,
    "scheme": programme.scheme,
    "voucher": programme.voucher,
    "scenario": programme.scenario,
    "bench": bench.app,
}
for _name, _commands in COMMANDS.items():
    app.add_typer(_commands, name=_name)
platform.add_commands(app)
app.command("simulate")(simulate)


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
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        typer.echo(__version__)


def main() -> None:
    """Run the command line; errors of the domains become words and an exit code."""
    translation.activate(_language())
    try:
        app()
    except HaiheError as error:
        _end(error)
    except (DatabaseError, OSError) as error:
        failure = storage_failure(error)
        if failure is not None:
            _end(failure)
        if isinstance(error, OSError):
            raise
        err.print(_("The database cannot be used: {error}").format(error=error))
        err.print(_("If this is a new installation, run: haihe init"))
        sys.exit(EXIT_CODES[Unavailable])


def _end(error: HaiheError) -> NoReturn:
    show_error(error, as_json="--json" in sys.argv)
    sys.exit(exit_code_of(error))


def _language() -> str:
    """Chinese where the terminal's locale is, else English."""
    wanted = os.environ.get(LANGUAGE_VARIABLE) or os.environ.get("LC_ALL") or os.environ.get("LANG")
    return "zh-hans" if (wanted or "").lower().startswith("zh") else "en"
