"""The Django application of the pack's pages and tables."""

from __future__ import annotations

from django.apps import AppConfig


class ClinicConfig(AppConfig):
    """Tables are called ``bci_rehab_…``; addresses begin with ``/bci-rehab/``."""

    name = "bci_rehab.clinic"
    label = "bci_rehab"
