"""Measure one live decision: ``python -m bci_rehab.decode.timing``.

A window of 64 channels and one second at 1,000 Hz, behind the filter bank and decimated to 250 Hz
as the live path does, goes through the default decoder one at a time. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from bci_rehab.decode import motor
from bci_rehab.decode.covariance import Floats

CHANNELS = 64
DECIMATED_HZ = 250


def measure(
    steps: int = 500, *, seed: int = 0, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Milliseconds of a decision: ``p50_ms``, ``p99_ms``, ``max_ms``, and ``steps``."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((CHANNELS, CHANNELS))
    shape = (len(motor.MU_BETA_HZ), CHANNELS, DECIMATED_HZ)
    windows: Floats = np.einsum("cd,nbdt->nbct", mixing, rng.standard_normal((80, *shape)))
    labels = np.tile(["feet", "fists"], 40)
    windows[labels == "feet", :, 0] *= 1.5
    decoder = motor.default_decoder().fit(windows, labels)
    taken_ms = []
    for step in range(steps):
        window = windows[step % len(windows)][None]
        begun = clock()
        decoder.predict_proba(window)
        taken_ms.append(1e3 * (clock() - begun))
    return {
        "steps": float(steps),
        "p50_ms": float(np.percentile(taken_ms, 50)),
        "p99_ms": float(np.percentile(taken_ms, 99)),
        "max_ms": float(np.max(taken_ms)),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
