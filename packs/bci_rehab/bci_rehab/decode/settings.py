"""The settings of the decoder that drives a hand, in one place.

The calibration at the station, the live session and the benchmark of the continuous stream all take
them from here, so that what was scored is what a patient gets. A decoder's manifest keeps its own
copy of what its evidence is gathered by: a change here alters no decoder that was accepted.

The standard library alone: the portal plans sessions with it and has no library of signals.
"""

from __future__ import annotations

import math

# The window that is decided on, and how often one is looked at.
WINDOW_S, STEP_S = 1.0, 0.1
# After HALF_LIFE_S half of the evidence is forgotten; after a decision none is gathered for
# REFRACTORY_S; windows further apart than GAP_S belong to different stretches. The half-life was
# chosen on executed runs, which no benchmark asks.
HALF_LIFE_S, REFRACTORY_S, GAP_S = 0.5, 2.0, 0.5
# The mean that a session follows: a minute of it counts as much as all of calibration, and what is
# older than some five minutes is forgotten, so that an old artefact is too.
PRIOR_WINDOWS, MEMORY_WINDOWS = 60.0 / STEP_S, 300.0 / STEP_S
# Which share of calibration's windows may pull at the mean with all their weight.
REACH = 0.99
# A swing above this, slow drifts apart, is no EEG over the sensorimotor cortex.
SWING_UV = 150.0
# The confidence with which a rate of false triggers is bounded.
CONFIDENCE = 0.95


def rest_needed_min(wanted_per_min: float, confidence: float = CONFIDENCE) -> float:
    """How much rest without a single false trigger bounds their rate (Garwood 1936, none seen)."""
    return -math.log(1.0 - confidence) / wanted_per_min
