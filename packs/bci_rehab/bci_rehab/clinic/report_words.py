"""How a report writes numbers, times and what things are called; None for what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from bci_rehab.clinic.session_forms import ACTUATORS, SOURCES


def number(value: float | None, unit: str = "", *, digits: int = 1) -> str | None:
    """A number with its unit, without zeros that say nothing."""
    if value is None:
        return None
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {unit}".rstrip()


def count(value: int | None) -> str | None:
    """A whole number."""
    return None if value is None else f"{value:,}"


def percent(share: float | None, error: float | None = None, *, digits: int = 1) -> str | None:
    """A share from 0 to 1 in percent, with its standard error if there is one."""
    if share is None:
        return None
    spread = "" if error is None else f" ± {error * 100:.{digits}f}"
    return f"{share * 100:.{digits}f}{spread} %"


def instant(at: datetime | None) -> str | None:
    """A time of day in the installation's zone, which is named."""
    if at is None:
        return None
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def day(at: datetime | None) -> str | None:
    """The day of an instant in the installation's zone."""
    return None if at is None else f"{timezone.localtime(at):%Y-%m-%d}"


def pair(p50: float | None, p99: float | None) -> str | None:
    """A middle and a late time in ms; what is missing of a pair is a dash."""
    if p50 is None and p99 is None:
        return None
    return f"{number(p50) or '–'} / {number(p99) or '–'} ms"


def named(value: object) -> str | None:
    """What a person or a decoder is called."""
    return None if value is None else str(value)


def is_synthetic(source: Mapping[str, Any]) -> bool:
    """Whether a program made the signal: the synthetic patient, or BrainFlow's synthetic board."""
    return source.get("kind") == "synthetic" or "synthetic" in str(source.get("name", "")).lower()


def source_words(source: Mapping[str, Any]) -> str | None:
    """What the signal came from."""
    if not source:
        return None
    kind = str(source.get("kind", ""))
    words = str(SOURCES.get(kind, kind))
    if kind == "synthetic":
        return words
    named = f"{words}: {source['name']}" if source.get("name") else words
    mark = pgettext("source", "synthetic")
    return f"{named} ({mark})" if is_synthetic(source) else named


def actuator_words(actuator: Mapping[str, Any]) -> str | None:
    """What was to be moved."""
    kind = str(actuator.get("kind", ""))
    if not kind:
        return None
    if kind == "none":
        return _("None: feedback on the screen only")
    words, name = str(ACTUATORS.get(kind, kind)), (actuator.get("given") or {}).get("name", "")
    return words if kind in ("simulated", "lsl") or not name else f"{words}: {name}"


def recording_words(recording: Mapping[str, Any]) -> str | None:
    """Whether the file is whole."""
    if recording.get("intact") is None:
        return None
    if recording["intact"]:
        return pgettext("recording", "intact")
    said = pgettext("recording", "damaged")
    return f"{said}: {recording['damage']}" if recording.get("damage") else said
