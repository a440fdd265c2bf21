"""What can be told of channels from a short stretch of raw samples: pure measures, one a function.

The watchdog holds them against limits; the page before a session colours the head by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bci_rehab.signal.blocks import Floats
from bci_rehab.signal.pieces import Bools

# Wet electrodes; dry and active ones work at ten times that (Ferree 2001; Kappenman and Luck 2010).
GOOD_KOHM = 10.0
FAIR_KOHM = 50.0
OFF_KOHM = 500.0


class ContactGrade(StrEnum):
    """How well an electrode sits, by its impedance."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Per channel over a stretch, in microvolts; each of shape (channels,)."""

    deviation: Floats
    span: Floats
    mean: Floats
    edge_share: Floats
    """Which part of the samples stands exactly at the stretch's highest or lowest value."""


def contact_grade(kohm: float, *, good_kohm: float = GOOD_KOHM) -> ContactGrade:
    """Grade an impedance; ``good_kohm`` is set higher for dry or active electrodes."""
    if not kohm >= 0.0:
        raise ValueError(f"an impedance is not {kohm} kilo-ohm")
    stretched = good_kohm / GOOD_KOHM
    if kohm <= good_kohm:
        return ContactGrade.GOOD
    if kohm <= FAIR_KOHM * stretched:
        return ContactGrade.FAIR
    return ContactGrade.POOR if kohm < OFF_KOHM * stretched else ContactGrade.OFF


def spread(samples: Floats) -> Spread:
    """How far each channel swings; ``samples`` has the shape (samples, channels)."""
    low, high = samples.min(axis=0), samples.max(axis=0)
    at_edge = np.maximum((samples == low).mean(axis=0), (samples == high).mean(axis=0))
    return Spread(
        deviation=samples.std(axis=0),
        span=high - low,
        mean=samples.mean(axis=0),
        edge_share=at_edge,
    )


def mains_uv(samples: Floats, *, rate_hz: float, mains_hz: float) -> Floats:
    """Root mean square of mains and its first harmonic in each channel.

    Best over a whole number of periods, or many; the mean is taken out first.
    """
    centred = samples - samples.mean(axis=0)
    seconds = np.arange(len(samples)) / rate_hz
    power = np.zeros(samples.shape[1])
    for line_hz in (mains_hz, 2.0 * mains_hz):
        if line_hz >= 0.48 * rate_hz:
            continue
        turn = 2.0 * np.pi * line_hz * seconds
        power += (np.cos(turn) @ centred) ** 2 + (np.sin(turn) @ centred) ** 2
    return np.asarray(np.sqrt(2.0 * power) / len(samples))


def still_rows(samples: Floats, before: Floats | None) -> Bools:
    """Which rows repeat the row before them in every channel; ``before`` precedes the first."""
    head = samples[:1] * np.nan if before is None else before[None, :]
    return np.asarray((np.concatenate([head, samples[:-1]]) == samples).all(axis=1))
