"""A brain that does not exist: EEG whose every cause is known, for training, demos and tests.

A decoder's on-line accuracy needs a truth, and only a patient whose intention is known has one.
The generator is pure: the same seeds and orders give the same samples, however they are cut.

Sources lie on the unit sphere and reach the electrodes with a Gaussian fall-off. Sizes follow the
literature: desynchronisation of mu and beta by 30 to 70 % contralateral to the hand and a beta
rebound after it (Pfurtscheller and Lopes da Silva 1999), flicker responses over the occipital lobe
about 0.14 s after the light, P300 over Pz at 0.3 to 0.4 s, blinks of 100 microvolts at the
forehead.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import signal as sps

from bci_rehab.errors import ChannelUnknown
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Floats

FRAME_S = 0.02
TRUTH_LIMIT = 20_000
ERP_S = 1.0
DETACHED_KOHM = 2_000.0
_BACKGROUND_SOURCES = 16
_MOTOR = ("C3", "C4", "Cz")


class Task(StrEnum):
    """What a patient may intend."""

    REST = "rest"
    LEFT_HAND = "left_hand"
    RIGHT_HAND = "right_hand"
    BOTH_HANDS = "both_hands"
    FEET = "feet"


# How far each intention activates the areas of C3, C4 and Cz. A hand's area lies on the other side;
# feet leave the hands' areas more synchronised than rest.
_ACTIVATION = {
    Task.REST: (0.0, 0.0, 0.0),
    Task.LEFT_HAND: (0.3, 1.0, 0.1),
    Task.RIGHT_HAND: (1.0, 0.3, 0.1),
    Task.BOTH_HANDS: (1.0, 1.0, 0.1),
    Task.FEET: (-0.3, -0.3, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class PatientProfile:
    """Who the synthetic patient is; amplitudes are root mean squares in microvolts.

    ``desynchronisation`` is the share of the rhythm that full intention takes away in the first
    session; ``learning`` how much that grows over many sessions (0.5 is half as much again), with
    ``learning_sessions`` as time constant; ``fatigue_per_hour`` the share lost in an hour.
    ``compliance`` is the chance that an order is followed at all.
    """

    session: int = 1
    desynchronisation: float = 0.55
    rebound: float = 0.5
    affected: Task | None = None
    affected_share: float = 0.6
    ssvep_uv: float = 4.0
    ssvep_latency_s: float = 0.14
    p300_uv: float = 6.0
    p300_latency_s: float = 0.35
    compliance: float = 0.9
    reaction_s: float = 0.35
    reaction_spread_s: float = 0.08
    learning: float = 0.6
    learning_sessions: float = 3.0
    fatigue_per_hour: float = 0.3
    background_uv: float = 8.0
    alpha_uv: float = 8.0
    mu_uv: float = 7.0
    beta_uv: float = 3.5
    sensor_uv: float = 0.8
    blinks_per_minute: float = 12.0
    blink_uv: float = 110.0
    bursts_per_minute: float = 1.0
    burst_uv: float = 20.0
    mains_hz: float = 50.0
    mains_uv: float = 2.0
    drift_uv: float = 15.0
    impedance_kohm: float = 8.0
    impedance_growth_per_hour: float = 0.5
    losses_per_minute: float = 0.0
    loss_s: float = 0.06
    clock_drift_ppm: float = 20.0

    def size(self, elapsed_s: float) -> float:
        """How large the patient's effects are now, against a rested first session."""
        learnt = 1.0 + self.learning * (1.0 - math.exp((1 - self.session) / self.learning_sessions))
        return learnt * math.exp(-self.fatigue_per_hour * elapsed_s / 3_600.0)


@dataclass(frozen=True, kw_only=True)
class Intention:
    """One order and what became of it, in sample numbers."""

    task: Task
    asked: int
    acts: int
    followed: bool


@dataclass
class _Rhythms:
    """Band noise of unit variance, one column for each generator."""

    sos: list[Floats]
    columns: list[slice]
    scale: list[float]
    state: list[Floats] = field(default_factory=list)


class SyntheticBrain:
    """Generates samples, shape (samples, channels) in microvolts.

    Parameters
    ----------
    profile : PatientProfile
        Sizes and habits.
    rate_hz : float
        Samples a second, at least 100.
    channels : sequence of str
        Electrodes of the 10-10 system.
    seed : int
        Who it is: places of sources, habits of electrodes. With the session it seeds the noise too.
    """

    def __init__(
        self, profile: PatientProfile, *, rate_hz: float, channels: Sequence[str], seed: int
    ) -> None:
        if rate_hz < 100.0:
            raise ValueError(f"a synthetic patient needs 100 samples a second, not {rate_hz}")
        self.profile = profile
        self.rate_hz = rate_hz
        self.channels = tuple(channels)
        self._places = layout.positions(self.channels)
        self._frame = max(1, round(FRAME_S * rate_hz))
        self._ready: deque[Floats] = deque()
        self._made = 0
        self._given = 0
        person = np.random.default_rng([seed, 0])
        noise, habits, accidents = np.random.SeedSequence([seed, 1, profile.session]).spawn(3)
        self._noise = np.random.default_rng(noise)
        self._habits = np.random.default_rng(habits)
        self._accidents = np.random.default_rng(accidents)
        self._build_sources(person)
        self._build_electrodes(person)
        self._plan: deque[tuple[int, Task]] = deque()
        self._task = Task.REST
        self._truth: deque[Intention] = deque(maxlen=TRUTH_LIMIT)
        self._flicker: tuple[float, float, int] | None = None
        self._flicker_plan: deque[tuple[int, tuple[float, float, int] | None]] = deque()
        self._evoked: list[tuple[int, Floats]] = []
        self._blink_at = self._in(profile.blinks_per_minute)
        self._burst_at = self._in(profile.bursts_per_minute)
        self._detached: set[int] = set()

    # --- orders ----------------------------------------------------------------------------------

    def intend(self, task: Task, at_s: float) -> Intention:
        """Ask for an intention at a time (seconds from the first sample); it may not be followed.

        Orders are given in the order of their times; an order displaces what came later.
        """
        asked = max(self._made, math.ceil(at_s * self.rate_hz))
        delay_s = self._habits.normal(self.profile.reaction_s, self.profile.reaction_spread_s)
        followed = task is Task.REST or bool(self._habits.random() < self.profile.compliance)
        acts = asked + round(max(0.1, delay_s) * self.rate_hz)
        while self._plan and self._plan[-1][0] >= acts:
            self._plan.pop()
        self._plan.append((acts, task if followed else Task.REST))
        intention = Intention(task=task, asked=asked, acts=acts, followed=followed)
        self._truth.append(intention)
        return intention

    def attend(self, frequency_hz: float | None, at_s: float, phase_rad: float = 0.0) -> None:
        """Look at a light that flickers from a time on, or (None) away from all."""
        starts = max(self._made, math.ceil(at_s * self.rate_hz))
        light = None if frequency_hz is None else (frequency_hz, phase_rad, starts)
        self._flicker_plan.append(
            (starts + round(self.profile.ssvep_latency_s * self.rate_hz), light)
        )

    def flash(self, *, target: bool, at_s: float) -> None:
        """See a flash: a small visual answer always, a P300 where it is the one counted."""
        starts = max(self._made, math.ceil(at_s * self.rate_hz))
        self._evoked.append((starts, self._response(target=target)))

    def detach(self, channel: str) -> None:
        """An electrode comes off: mains and slow wandering instead of the brain."""
        self._detached.add(self._column(channel))

    def attach(self, channel: str) -> None:
        """The electrode is put back."""
        self._detached.discard(self._column(channel))

    # --- what it gives ---------------------------------------------------------------------------

    @property
    def truth(self) -> tuple[Intention, ...]:
        """All intentions so far, followed or not."""
        return tuple(self._truth)

    @property
    def given(self) -> int:
        """How many samples were taken."""
        return self._given

    def impedances(self) -> dict[str, float]:
        """Kilo-ohm of each electrode now."""
        values = self._impedance_now()
        return {name: float(value) for name, value in zip(self.channels, values, strict=True)}

    def generate(self, count: int) -> Floats:
        """The next ``count`` samples, shape (count, channels)."""
        taken: list[Floats] = []
        missing = count
        while missing > 0:
            if not self._ready:
                self._ready.append(self._make_frame())
            frame = self._ready.popleft()
            if len(frame) > missing:
                self._ready.appendleft(frame[missing:])
                frame = frame[:missing]
            taken.append(frame)
            missing -= len(frame)
        self._given += count
        return np.concatenate(taken) if taken else np.empty((0, len(self.channels)))

    # --- anatomy ---------------------------------------------------------------------------------

    def _build_sources(self, person: np.random.Generator) -> None:
        profile = self.profile
        scattered = person.normal(size=(_BACKGROUND_SOURCES, 3))
        scattered[:, 2] = np.abs(scattered[:, 2])
        scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
        mixing = self._reach(scattered, width=0.6)
        mixing *= profile.background_uv / np.sqrt((mixing**2).sum(axis=0).mean())
        self._background_mix = mixing
        self._pink_sos = _pink(self.rate_hz)
        self._pink_state = np.zeros((len(self._pink_sos), 2, _BACKGROUND_SOURCES))
        bands = ((9.0, 11.5, 2), (10.0, 12.5, 3), (18.0, 24.0, 3))
        self._rhythms = _rhythms(bands, self.rate_hz, shift_hz=float(person.normal(0.0, 0.4)))
        motor = self._reach(layout.positions(_MOTOR), width=0.35)
        alpha = self._reach(layout.positions(("O1", "O2")), width=0.55)
        self._rhythm_mix = np.concatenate(
            [profile.alpha_uv * alpha, profile.mu_uv * motor, profile.beta_uv * motor]
        )
        self._activation = np.zeros((1, 3))
        self._slow = np.zeros((1, 3))
        self._visual = self._reach(layout.positions(("Oz",)), width=0.5)[0]
        self._parietal = self._reach(layout.positions(("Pz", "Cz")), width=0.5).mean(axis=0)
        self._front = self._reach(layout.positions(("Fp1", "Fp2")), width=0.45).sum(axis=0)
        self._temples = self._reach(layout.positions(("T7", "T8", "F7", "F8")), width=0.3)

    def _build_electrodes(self, person: np.random.Generator) -> None:
        count = len(self.channels)
        self._kohm = self.profile.impedance_kohm * person.lognormal(0.0, 0.35, size=count)
        self._kohm_growth = self.profile.impedance_growth_per_hour * person.gamma(2, 0.5, count)
        self._mains_share = person.uniform(0.6, 1.4, size=count)
        self._wander = np.zeros((1, count))
        self._muscle_sos = sps.butter(
            2, [20.0, min(90.0, 0.45 * self.rate_hz)], "bandpass", fs=self.rate_hz, output="sos"
        )
        self._muscle_state = np.zeros((len(self._muscle_sos), 2, len(self._temples)))
        self._burst: tuple[int, int, int] | None = None

    def _reach(self, sources: Floats, *, width: float) -> Floats:
        """Mixing of sources (rows) to electrodes (columns), 1 right above the source."""
        angle = np.arccos(np.clip(sources @ self._places.T, -1.0, 1.0))
        return np.asarray(np.exp(-0.5 * (angle / width) ** 2))

    # --- one frame -------------------------------------------------------------------------------

    def _make_frame(self) -> Floats:
        numbers = np.arange(self._made, self._made + self._frame)
        size = self.profile.size(self._made / self.rate_hz)
        rhythm_count = len(self._rhythm_mix)
        width = _BACKGROUND_SOURCES + rhythm_count + 2 * len(self.channels)
        draws = self._noise.standard_normal((self._frame, width))
        parts = np.split(
            draws,
            np.cumsum([_BACKGROUND_SOURCES, rhythm_count, len(self.channels)]),
            axis=1,
        )
        pink, self._pink_state = sps.sosfilt(self._pink_sos, parts[0], axis=0, zi=self._pink_state)
        samples: Floats = pink @ self._background_mix
        samples += (self._band_noise(parts[1]) * self._gains(numbers, size)) @ self._rhythm_mix
        self._add_seen(samples, numbers, size)
        self._add_artefacts(samples, numbers)
        samples += self._electrodes(parts[2], parts[3], numbers)
        if self._detached:
            columns = sorted(self._detached)
            hum = np.sin(2 * np.pi * self.profile.mains_hz * numbers / self.rate_hz)
            samples[:, columns] = 20.0 * self._wander_now[:, columns] + 200.0 * hum[:, None]
        self._made += self._frame
        return samples

    def _band_noise(self, white: Floats) -> Floats:
        rhythms = self._rhythms
        out = np.empty_like(white)
        for index, columns in enumerate(rhythms.columns):
            filtered, rhythms.state[index] = sps.sosfilt(
                rhythms.sos[index], white[:, columns], axis=0, zi=rhythms.state[index]
            )
            out[:, columns] = filtered * rhythms.scale[index]
        return out

    def _gains(self, numbers: NDArray[np.int64], size: float) -> Floats:
        """Amplitude of each rhythm: alpha steady, mu and beta by what is intended."""
        target = np.empty((len(numbers), 3))
        row = 0
        while self._plan and self._plan[0][0] <= numbers[-1]:
            acts, task = self._plan.popleft()
            until = max(row, acts - int(numbers[0]))
            target[row:until] = self._activation_of(self._task)
            row, self._task = until, task
        target[row:] = self._activation_of(self._task)
        active = _follow(target, self._activation, tau_s=0.2, rate_hz=self.rate_hz)
        slow = _follow(active, self._slow, tau_s=0.9, rate_hz=self.rate_hz)
        depth = min(0.95, self.profile.desynchronisation * size)
        mu = np.clip(1.0 - depth * active, 0.05, None)
        rebound = self.profile.rebound * size * np.clip(slow - active, 0.0, None)
        beta = np.clip(1.0 - depth * active, 0.05, None) + rebound
        return np.concatenate([np.ones((len(numbers), 2)), mu, beta], axis=1)

    def _activation_of(self, task: Task) -> Floats:
        share = self.profile.affected_share if task is self.profile.affected else 1.0
        return share * np.array(_ACTIVATION[task])

    def _add_seen(self, samples: Floats, numbers: NDArray[np.int64], size: float) -> None:
        while self._flicker_plan and self._flicker_plan[0][0] <= numbers[-1]:
            self._flicker = self._flicker_plan.popleft()[1]
        if self._flicker is not None:
            frequency_hz, phase, starts = self._flicker
            seconds = (numbers - starts) / self.rate_hz - self.profile.ssvep_latency_s
            rise = np.clip(seconds / 0.2, 0.0, 1.0)
            wave = sum(
                np.sin(harmonic * (2 * np.pi * frequency_hz * seconds + phase)) / harmonic
                for harmonic in (1, 2, 3)
                if harmonic * frequency_hz < 0.45 * self.rate_hz
            )
            uv = self.profile.ssvep_uv * math.sqrt(2.0) * size
            samples += uv * (rise * wave)[:, None] * self._visual
        begin, end = int(numbers[0]), int(numbers[-1]) + 1
        for starts, response in self._evoked:
            low, high = max(begin, starts), min(end, starts + len(response))
            if low < high:
                samples[low - begin : high - begin] += response[low - starts : high - starts]
        self._evoked = [item for item in self._evoked if item[0] + len(item[1]) > end]

    def _add_artefacts(self, samples: Floats, numbers: NDArray[np.int64]) -> None:
        seconds = (numbers - self._blink_at) / self.rate_hz
        if seconds[-1] >= 0.0:
            lid = np.where(
                (seconds >= 0) & (seconds < 0.3), np.sin(np.pi * seconds / 0.3) ** 2, 0.0
            )
            samples += self.profile.blink_uv * lid[:, None] * self._front
            if seconds[-1] >= 0.3:
                self._blink_at = int(numbers[-1]) + self._in(self.profile.blinks_per_minute)
        if self._burst is None and numbers[-1] >= self._burst_at:
            length = round(self._accidents.uniform(0.3, 1.2) * self.rate_hz)
            where = int(self._accidents.integers(len(self._temples)))
            self._burst = (int(numbers[-1]) + 1, length, where)
        elif self._burst is not None:
            starts, length, where = self._burst
            white = self._accidents.standard_normal((len(numbers), len(self._temples)))
            muscle, self._muscle_state = sps.sosfilt(
                self._muscle_sos, white, axis=0, zi=self._muscle_state
            )
            inside = (numbers >= starts) & (numbers < starts + length)
            strength = 2.0 * self.profile.burst_uv * inside * muscle[:, where]
            samples += strength[:, None] * self._temples[where]
            if numbers[-1] >= starts + length:
                self._burst = None
                self._burst_at = int(numbers[-1]) + self._in(self.profile.bursts_per_minute)

    def _electrodes(self, white: Floats, steps: Floats, numbers: NDArray[np.int64]) -> Floats:
        """Sensor noise and mains, which grow with impedance, and slow drift."""
        relative = np.sqrt(self._impedance_now() / 8.0)
        decay = math.exp(-1.0 / (20.0 * self.rate_hz))
        kick = self.profile.drift_uv * math.sqrt(1.0 - decay**2)
        wander, last = sps.lfilter([kick], [1.0, -decay], steps, axis=0, zi=self._wander)
        self._wander = last
        self._wander_now = wander
        hum = np.sin(2 * np.pi * self.profile.mains_hz * numbers / self.rate_hz) * math.sqrt(2.0)
        mains = self.profile.mains_uv * hum[:, None] * (self._mains_share * relative)
        return np.asarray(self.profile.sensor_uv * relative * white + wander + mains)

    def _response(self, *, target: bool) -> Floats:
        seconds = np.arange(round(ERP_S * self.rate_hz)) / self.rate_hz
        early = -2.0 * np.exp(-0.5 * ((seconds - 0.17) / 0.03) ** 2)
        response = early[:, None] * self._visual
        if target:
            latency_s = self._habits.normal(self.profile.p300_latency_s, 0.03)
            uv = self.profile.p300_uv * max(0.0, self._habits.normal(1.0, 0.25))
            size = self.profile.size(self._made / self.rate_hz)
            late = uv * size * np.exp(-0.5 * ((seconds - latency_s) / 0.07) ** 2)
            response = response + late[:, None] * self._parietal
        return np.asarray(response)

    def _impedance_now(self) -> Floats:
        values = self._kohm * (1.0 + self._kohm_growth * self._made / self.rate_hz / 3_600.0)
        values[sorted(self._detached)] = DETACHED_KOHM
        return np.asarray(values)

    def _in(self, per_minute: float) -> int:
        """Samples until the next of a kind of accident, by its rate."""
        if per_minute <= 0.0:
            return 2**62
        return round(self._accidents.exponential(60.0 / per_minute) * self.rate_hz)

    def _column(self, channel: str) -> int:
        if channel not in self.channels:
            raise ChannelUnknown(channel=channel)
        return self.channels.index(channel)


def _pink(rate_hz: float) -> Floats:
    """Filter white noise to power that falls as 1/f from 0.5 to 100 Hz, at unit variance.

    Poles and zeros alternate by a factor of four, which bends a first-order slope to half of it.
    """
    poles, zeros = [], []
    corner_hz = 0.5
    while corner_hz < min(100.0, 0.4 * rate_hz):
        poles.append(math.exp(-2 * math.pi * corner_hz / rate_hz))
        zeros.append(math.exp(-2 * math.pi * min(2 * corner_hz, 0.49 * rate_hz) / rate_hz))
        corner_hz *= 4.0
    sos = sps.zpk2sos(zeros, poles, 1.0)
    sos[0, :3] *= 1.0 / _deviation(sos, rate_hz)
    return np.asarray(sos)


def _rhythms(
    bands: Sequence[tuple[float, float, int]], rate_hz: float, *, shift_hz: float
) -> _Rhythms:
    made = _Rhythms(sos=[], columns=[], scale=[])
    start = 0
    for low_hz, high_hz, count in bands:
        edges = [low_hz + shift_hz, high_hz + shift_hz]
        sos = np.asarray(sps.butter(2, edges, "bandpass", fs=rate_hz, output="sos"))
        made.sos.append(sos)
        made.columns.append(slice(start, start + count))
        made.scale.append(1.0 / _deviation(sos, rate_hz))
        made.state.append(np.zeros((len(sos), 2, count)))
        start += count
    return made


def _deviation(sos: Floats, rate_hz: float) -> float:
    """The standard deviation of white noise of unit variance behind the filter."""
    _, response = sps.freqz_sos(sos, worN=round(20 * rate_hz), fs=rate_hz)
    return float(np.sqrt(np.mean(np.abs(response) ** 2)))


def _follow(target: Floats, state: Floats, *, tau_s: float, rate_hz: float) -> Floats:
    """First-order approach to a target; ``state`` is kept in place."""
    decay = math.exp(-1.0 / (tau_s * rate_hz))
    followed, last = sps.lfilter([1.0 - decay], [1.0, -decay], target, axis=0, zi=state)
    state[:] = last
    return np.asarray(followed)
