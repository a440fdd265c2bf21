"""The ``haihe`` command: sets Django up, then hands over to the command line."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "haihe.app.settings")
    import django

    django.setup()
    from haihe.cli.main import main as command_line

    command_line()
