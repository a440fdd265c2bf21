"""What was recorded in earlier sessions, used to shorten today's calibration.

Caps sit otherwise and skin conducts otherwise each day, which moves all covariances together; each
run is therefore brought to the identity as its mean when the decoder learns (Zanini 2018; He and Wu
2020). Only recordings of decoders that a therapist accepted are taken, and only if they are still
byte for byte what those decoders learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.decode.covariance import Floats
from bci_rehab.decode.model import Calibration, load
from bci_rehab.session.plan import SessionPlan
from bci_rehab.session.record_format import Recording, read_recording
from bci_rehab.station.cutting import Cutter, stretches_in
from bci_rehab.station.opening import RECORDING


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An accepted decoder of the same patient; its session's recording lies beside it."""

    decoder: Path
    sha256: str


@dataclass(frozen=True)
class EarlierLessons:
    """Windows (windows, bands, channels, samples) of earlier sessions, and what they were.

    ``decoders`` are the hashes of those that learned from them before.
    """

    windows: Floats
    labels: Any
    runs: Any
    calibrations: tuple[Calibration, ...]
    decoders: tuple[str, ...]


def lessons_of(
    earlier: Sequence[Earlier], today: Recording, plan: SessionPlan
) -> EarlierLessons | None:
    """The calibrations of earlier sessions that suit today's; None if none does.

    Suitable is one with the same rate and channels, in which the same was asked.

    Raises
    ------
    DecoderDamaged, CalibrationChanged
        A decoder is not the one that was accepted, or a recording not what it learned from.
    """
    windows, labels, runs, calibrations, decoders = [], [], [], [], []
    for number, one in enumerate(earlier):
        calibration = load(one.decoder, sha256=one.sha256).manifest.calibration[0]
        path = one.decoder.parent / RECORDING
        calibration.check(path)
        read = read_recording(path)
        asked = SessionPlan.from_json(read.info["plan"])
        same = (read.stream.rate_hz, read.stream.channels) == (
            today.stream.rate_hz,
            today.stream.channels,
        )
        if not same or set(asked.sides) != set(plan.sides) or asked.task is not plan.task:
            continue
        trials = [stretch for stretch in stretches_in(read) if stretch.trial]
        found = Cutter(read, until_s=trials[-1].ends_s).lessons(trials)
        windows.append(found.windows)
        labels.append(found.labels)
        runs.append(np.array([f"earlier {number} {run}" for run in found.runs]))
        calibrations.append(calibration)
        decoders.append(one.sha256)
    if not windows:
        return None
    return EarlierLessons(
        np.concatenate(windows),
        np.concatenate(labels),
        np.concatenate(runs),
        tuple(calibrations),
        tuple(decoders),
    )
