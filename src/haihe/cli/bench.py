"""``haihe bench``: measure, side by side with a peer or a bound in the same run."""

from __future__ import annotations

import typer

app = typer.Typer(help="Measure what the documentation claims.", no_args_is_help=True)
