"""Which day it is: terms, deadlines and budgets count days where the installation is."""

from __future__ import annotations

from datetime import date, datetime

from django.utils import timezone

from haihe.kernel.clock import now


def local_day(at: datetime | None = None) -> date:
    """The day that it is, or was at an instant, in the time zone of the settings."""
    return timezone.localdate(at or now())
