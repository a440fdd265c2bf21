"""A calibration session that nobody sat through: recorded at once, with a synthetic brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bci_rehab.session.engine import Engine
from bci_rehab.session.events import PhaseBegan
from bci_rehab.session.plan import Phase, SessionPlan, Side, Timings
from bci_rehab.session.record_format import RecordKind
from bci_rehab.session.recorder import Recorder
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.signal.brain import PatientProfile, SyntheticBrain, Task
from bci_rehab.signal.layout import montage

RATE_HZ = 250.0
TICK_S = 0.02
BEGINS_S = 1_000.0
QUICK = Timings(
    check_s=1.0, rest_s=60.0, fixation_s=0.8, cue_s=0.5, active_s=3.5, feedback_s=1.0,
    pause_least_s=0.5, pause_most_s=0.8, break_s=1.0,
)  # fmt: skip
CALIBRATION = SessionPlan(
    calibration_runs=2, feedback_runs=0, trials_per_side=8, timings=QUICK, seed=1
)
INFO = StreamInfo(
    name="synthetic",
    source_id="synthetic",
    rate_hz=RATE_HZ,
    channels=tuple(Channel(name=name) for name in montage(16)),
)


def recorded_calibration(
    path: Path,
    *,
    plan: SessionPlan = CALIBRATION,
    desynchronisation: float = 0.55,
    swap: bool = False,
    seed: int = 2,
    contact: np.ndarray | float = 1.0,
) -> Path:
    """Record a whole calibration in the synthetic patient's own time.

    ``swap`` makes what the patient does unrelated to what is asked: a fair coin decides.
    ``contact`` is by how much each electrode conducts better than usually.
    """
    profile = PatientProfile(desynchronisation=desynchronisation, compliance=1.0)
    brain = SyntheticBrain(
        profile, rate_hz=RATE_HZ, channels=[c.name for c in INFO.channels], seed=seed
    )
    coin = np.random.default_rng(seed)
    recorder = Recorder.create(path, INFO, {"plan": plan.to_json()})
    engine = Engine(plan)
    for event in engine.begin(BEGINS_S):
        recorder.append(RecordKind.EVENT, event.to_json(), at_s=event.at_s)
    size = round(TICK_S * RATE_HZ)
    while not engine.state.ended:
        first = brain.given
        samples = brain.generate(size) * contact
        now_s = BEGINS_S + brain.given / RATE_HZ
        times = np.arange(first, first + size) / RATE_HZ
        recorder.append_block(Block(first=first, samples=samples, device_s=times, host_s=now_s))
        for event in engine.tick(now_s, signal_good=True):
            recorder.append(RecordKind.EVENT, event.to_json(), at_s=event.at_s)
            if isinstance(event, PhaseBegan):
                moves = event.side is not Side.REST
                if swap:
                    moves = bool(coin.integers(2))
                active = event.phase is Phase.ACTIVE and moves
                brain.intend(Task.RIGHT_HAND if active else Task.REST, brain.given / RATE_HZ)
        if recorder.status().behind_s > 0.2:
            recorder._synced.wait(0.05)  # the maker is faster than any amplifier
    recorder.close()
    return path
