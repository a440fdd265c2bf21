"""Trials of a synthetic patient, to try the pack with: nobody's brain, and of known intention.

Six runs of a right hand that is asked to move or to rest in turn, in an order drawn from the seed.
Sixteen electrodes at 160 samples a second; a trial is the time from half a second after its cue.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from bci_rehab.signal.brain import PatientProfile, SyntheticBrain, Task
from bci_rehab.signal.layout import montage

RATE_HZ = 160.0
CHANNELS = montage(16)
RUNS, TRIALS = 6, 12
CUE_S, PAUSE_S, READ_S, WINDOW_S = 3.0, 2.0, 0.5, 2.0
MOVE, REST = "move", "rest"
SEED = 7


def frame(*, seed: int = SEED) -> pl.DataFrame:
    """One row a trial: its name and run, rate, channels, samples and intention."""
    brain = SyntheticBrain(PatientProfile(), rate_hz=RATE_HZ, channels=CHANNELS, seed=seed)
    rng = np.random.default_rng(seed)
    rows = []
    for run in range(1, RUNS + 1):
        asked = rng.permutation([MOVE, REST] * (TRIALS // 2))
        for number, intention in enumerate(asked, start=1):
            rows.append(_trial(brain, str(intention), run, number))
    return pl.DataFrame(rows, schema_overrides={"samples": pl.List(pl.Float64)})


def _trial(brain: SyntheticBrain, intention: str, run: int, number: int) -> dict[str, object]:
    begins_s = brain.given / RATE_HZ
    task = Task.RIGHT_HAND if intention == MOVE else Task.REST
    brain.intend(task, begins_s)
    cued = brain.generate(round(CUE_S * RATE_HZ))
    brain.intend(Task.REST, brain.given / RATE_HZ)
    brain.generate(round(PAUSE_S * RATE_HZ))
    first = round(READ_S * RATE_HZ)
    window = cued[first : first + round(WINDOW_S * RATE_HZ)]
    return {
        "trial": f"run{run}-{number:02d}",
        "run": f"run{run}",
        "rate_hz": RATE_HZ,
        "channels": ",".join(CHANNELS),
        "samples": window.T.ravel().tolist(),
        "intention": intention,
    }
