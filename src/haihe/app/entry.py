"""The ``haihe`` command: sets Django up, then hands over to the command line."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "haihe.app.settings")
    import django

    django.setup()
    from django.core.management import execute_from_command_line

    execute_from_command_line()
