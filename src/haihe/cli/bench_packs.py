"""The benchmarks that packs bring: ``haihe bench NAME`` where a manifest has ``[commands.bench]``.

Their names come from the manifests. A pack's code is imported, in its own environment, only when
its benchmark is called.
"""

from __future__ import annotations

from typing import Any

import typer
from django.utils.translation import gettext as _
from typer.core import TyperGroup

from haihe.packs.cli import enter_environment
from haihe.packs.discovery import PackSource, installed_packs


class Benches(TyperGroup):
    """The platform's own benchmarks, and those of installed packs."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return [*super().list_commands(ctx), *sorted(brought())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A benchmark, as far as help needs to know it."""
        own = super().get_command(ctx, cmd_name)
        return own or (_named(cmd_name) if cmd_name in brought() else None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The benchmark that is called; a pack's is imported where its libraries are."""
        source = None if super().get_command(ctx, args[0]) else brought().get(args[0])
        if source is None:
            return super().resolve_command(ctx, args)
        enter_environment(source)
        app: typer.Typer = source.load_object(source.manifest().commands.bench[args[0]])
        return args[0], typer.main.get_command(app), args[1:]


def brought() -> dict[str, PackSource]:
    """Which pack brings which benchmark."""
    return {
        name: source for source in installed_packs() for name in source.manifest().commands.bench
    }


def _named(name: str) -> Any:
    """A command that says whose it is; called, it is replaced by the pack's own."""
    app = typer.Typer()
    text = _("Of pack {pack}; its options: haihe bench {name} --help").format(
        pack=brought()[name].name, name=name
    )
    app.command(name, help=text)(lambda: None)
    return typer.main.get_command(app)
