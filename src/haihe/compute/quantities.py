"""Times, powers, energies and weights as people read them: three digits and a fitting unit."""

from __future__ import annotations

from collections.abc import Sequence

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext, gettext_noop

from haihe.compute.domain import MILLI

# From how many seconds on a unit is used, how many it has, and how it is written.
_TIMES: Sequence[tuple[int, int, str]] = (
    (172_800, 86_400, gettext_noop("%(number)s d")),
    (7_200, 3_600, gettext_noop("%(number)s h")),
    (120, 60, gettext_noop("%(number)s min")),
    (0, 1, gettext_noop("%(number)s s")),
)
_WHOLE_TIMES, _WHOLE_AMOUNTS = 10, 100


def quantity(milli: int) -> str:
    """Milli-units as a number of units: all three decimals, or none if they are zero."""
    whole, part = divmod(milli, MILLI)
    return f"{whole:,}.{part:03d}" if part else f"{whole:,}"


def duration(seconds: float) -> str:
    """A length of time in its largest unit of which it has two."""
    length_s = max(0.0, seconds)
    unit_s, text = next((unit, text) for least, unit, text in _TIMES if length_s >= least)
    number = length_s / unit_s
    return gettext(text) % {
        "number": f"{number:.0f}" if number >= _WHOLE_TIMES else f"{number:.2g}"
    }


def power(watts: float) -> str:
    """A power in W, kW or MW."""
    return _scaled(watts, ("W", "kW", "MW", "GW"))


def energy(watt_hours: float) -> str:
    """An energy in Wh, kWh or MWh."""
    return _scaled(watt_hours, ("Wh", "kWh", "MWh", "GWh"))


def weight(grams: float) -> str:
    """A weight in g, kg or t."""
    return _scaled(grams, ("g", "kg", "t"))


def rate(bytes_per_s: float) -> str:
    """A rate of bytes, in the decimal units of networks."""
    return _scaled(bytes_per_s, ("B/s", "kB/s", "MB/s", "GB/s"))


def size(amount_bytes: int) -> str:
    """A number of bytes in the reader's language."""
    return str(filesizeformat(amount_bytes))


def percent(share: float) -> str:
    """A share of 0 to 1 in percent."""
    return f"{share * 100:.0f} %"


def _scaled(value: float, units: Sequence[str]) -> str:
    for unit in units[:-1]:
        if value < MILLI:
            return f"{_short(value)} {unit}"
        value /= MILLI
    return f"{_short(value)} {units[-1]}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_AMOUNTS else f"{value:.3g}"
