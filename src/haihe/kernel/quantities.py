"""Quantities as people write them, in the whole small units that are kept."""

from __future__ import annotations

import math

from haihe.kernel.errors import InvalidField

LIMIT = 1e15


def whole_units(value: float, unit: int, *, field: str) -> int:
    """``value`` as a number of the small units of which ``unit`` make one: 1.5 CPUs, 1,500 milli.

    Raises
    ------
    InvalidField
        If it is no number, or beyond :data:`LIMIT` small units, where floats skip integers.
    """
    if not math.isfinite(value) or abs(value) * unit > LIMIT:
        raise InvalidField(field=field, value=str(value), rule="give a number of ordinary size")
    return round(value * unit)
