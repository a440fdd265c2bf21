"""The synthetic patient as a source: the generator of ``brain`` behind a clock.

It loses samples as wireless amplifiers do, its clock runs a little fast, and it takes orders: what
to intend, where to look. Times of orders are seconds of the host's monotonic clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from bci_rehab.errors import SourceClosed
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.signal.brain import Intention, PatientProfile, SyntheticBrain, Task
from bci_rehab.signal.sources import Clock, Sleep

# A reader that slept gets the past in pieces of this length, never all of it at once.
READ_LIMIT_S = 2.0
BLOCK_S = 0.01
TRUTH_PER_CALL = 500


class SyntheticPatient:
    """A patient whose truth is known, at the speed of the clock it is given.

    Parameters
    ----------
    profile : PatientProfile
        Who it is; a fresh one by default.
    rate_hz : float
        Samples a second of the device's own clock.
    channels : int or sequence of str
        A montage of 8 to 64 electrodes by number, or the electrodes by name.
    seed : int
        Which patient.
    """

    commands: ClassVar[frozenset[str]] = frozenset(
        {"intend", "attend", "flash", "impedances", "truth", "detach", "attach", "now"}
    )

    def __init__(
        self,
        profile: PatientProfile | None = None,
        *,
        rate_hz: float = 250.0,
        channels: int | Sequence[str] = 16,
        seed: int = 0,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._profile = profile or PatientProfile()
        self._rate_hz = rate_hz
        self._names = layout.montage(channels) if isinstance(channels, int) else tuple(channels)
        self._seed = seed
        self._clock = clock
        self._sleep = sleep
        self._brain: SyntheticBrain | None = None
        self._began_s = 0.0
        self._losses = np.random.default_rng([seed, 2, self._profile.session])
        self._loss: tuple[int, int] = (0, 0)

    @property
    def info(self) -> StreamInfo:
        """What the source is, also before it is opened."""
        return StreamInfo(
            name="Synthetic patient",
            source_id=f"synthetic-{self._seed}",
            rate_hz=self._rate_hz,
            channels=tuple(Channel(name=name) for name in self._names),
        )

    def open(self) -> StreamInfo:
        """Begin the session's first sample now."""
        self._brain = SyntheticBrain(
            self._profile, rate_hz=self._rate_hz, channels=self._names, seed=self._seed
        )
        self._began_s = self._clock()
        self._loss = self._next_loss(0)
        return self.info

    def read(self, timeout_s: float) -> Block | None:
        """All samples that are due, up to the next loss."""
        brain = self._opened()
        first = brain.given
        lost_from, lost_to = self._loss
        if first == lost_from:
            if not self._wait(lost_to - first, timeout_s):
                return None
            brain.generate(lost_to - first)
            self._loss = self._next_loss(lost_to)
            return None
        self._wait(max(1, round(BLOCK_S * self._rate_hz)), timeout_s)
        due = min(self._due(), round(READ_LIMIT_S * self._rate_hz))
        if due < 1:
            return None
        samples = brain.generate(min(due, lost_from - first))
        device_s = np.arange(first, brain.given) / self._rate_hz
        return Block(first=first, samples=samples, device_s=device_s, host_s=self._clock())

    def close(self) -> None:
        """End the session; opening begins it anew."""
        self._brain = None

    # --- orders ----------------------------------------------------------------------------------

    def intend(self, task: Task | str, at: float) -> Intention:
        """Ask for an intention at a time of the host's clock."""
        return self._opened().intend(Task(task), self._seconds(at))

    def attend(self, frequency_hz: float | None, at: float, phase_rad: float = 0.0) -> None:
        """Look at a flickering light, or away."""
        self._opened().attend(frequency_hz, self._seconds(at), phase_rad)

    def flash(self, target: bool, at: float) -> None:
        """See a flash."""
        self._opened().flash(target=target, at_s=self._seconds(at))

    def detach(self, channel: str) -> None:
        """Let an electrode come off."""
        self._opened().detach(channel)

    def attach(self, channel: str) -> None:
        """Put it back."""
        self._opened().attach(channel)

    def impedances(self) -> dict[str, float]:
        """Kilo-ohm by electrode."""
        return self._opened().impedances()

    def truth(self, since: int = 0) -> tuple[Intention, ...]:
        """What was asked from a sample number on, and whether it was followed; the newest 500."""
        asked = [intention for intention in self._opened().truth if intention.asked >= since]
        return tuple(asked[-TRUTH_PER_CALL:])

    def now(self) -> int:
        """The number of the sample that is being taken."""
        return self._opened().given

    # --- inside ----------------------------------------------------------------------------------

    @property
    def _true_rate_hz(self) -> float:
        return self._rate_hz * (1.0 + self._profile.clock_drift_ppm * 1e-6)

    def _wait(self, count: int, timeout_s: float) -> bool:
        """Sleep until so many samples are due, no longer than the timeout; whether they are."""
        missing = count - self._due()
        if missing > 0:
            # A little more than exact: a clock that falls a rounding short would return nothing.
            self._sleep(min(timeout_s, (missing + 0.01) / self._true_rate_hz))
        return self._due() >= count

    def _due(self) -> int:
        elapsed_s = self._clock() - self._began_s
        return math.floor(elapsed_s * self._true_rate_hz) - self._opened().given

    def _seconds(self, host_s: float) -> float:
        return max(0.0, (host_s - self._began_s) * self._true_rate_hz / self._rate_hz)

    def _next_loss(self, after: int) -> tuple[int, int]:
        """From which sample to which nothing will arrive."""
        if self._profile.losses_per_minute <= 0.0:
            return 2**62, 2**62
        wait_s = self._losses.exponential(60.0 / self._profile.losses_per_minute)
        starts = after + 1 + round(wait_s * self._rate_hz)
        length_s = self._losses.exponential(self._profile.loss_s)
        return starts, starts + max(1, round(length_s * self._rate_hz))

    def _opened(self) -> SyntheticBrain:
        if self._brain is None:
            raise SourceClosed(source="Synthetic patient")
        return self._brain
