"""Evidence for an intention, gathered over windows until it is enough to act on.

One window of one second is wrong one time in ten, and windows come ten times in a second: acting on
each would move the patient's hand at random. The log-odds of each class against rest (or against
the other class) are therefore summed with a leak, and a decision is made where the sum passes a
threshold that was set on recorded rest to a wanted rate of false triggers. Everything is pure: time
comes with the windows, and the live stream and the off-line array run the same step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.stats import chi2

from bci_rehab.decode.settings import (
    CONFIDENCE,
    GAP_S,
    HALF_LIFE_S,
    REFRACTORY_S,
    rest_needed_min,
)
from bci_rehab.errors import TooLittleToLearn

# One window must not decide alone, however sure its decoder claims to be.
LOG_ODDS_LIMIT = 4.0
THRESHOLDS_LIMIT = 300


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How evidence is gathered and when it is enough.

    Attributes
    ----------
    classes : tuple of str
        The intentions that can be decided on; rest is the absence of a decision.
    threshold : float
        Natural log-odds.
    half_life_s : float
        After this long, half of the evidence is forgotten.
    refractory_s : float
        After a decision, evidence begins anew and none is gathered for this long.
    gap_s : float
        Windows further apart than this belong to different stretches: evidence begins anew.
    """

    classes: tuple[str, ...]
    threshold: float
    half_life_s: float = HALF_LIFE_S
    refractory_s: float = REFRACTORY_S
    gap_s: float = GAP_S

    def __post_init__(self) -> None:
        positive = (self.threshold, self.half_life_s, self.gap_s)
        if not self.classes or not all(math.isfinite(value) and value > 0 for value in positive):
            raise ValueError("a rule has classes, and a threshold and times above 0")
        if not math.isfinite(self.refractory_s) or self.refractory_s < 0:
            raise ValueError("the refractory time is at least 0")


@dataclass(frozen=True, kw_only=True)
class State:
    """Evidence so far: log-odds of each class, and the times of the last window and decision."""

    log_odds: tuple[float, ...]
    at_s: float | None = None
    decided_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An intention that the evidence was enough for."""

    label: str
    at_s: float
    log_odds: float


def begin(rule: Rule) -> State:
    """No evidence."""
    return State(log_odds=(0.0,) * len(rule.classes))


def step(
    rule: Rule, state: State, log_odds: Sequence[float], at_s: float, *, usable: bool = True
) -> tuple[State, Decision | None]:
    """Take one window's log-odds.

    Parameters
    ----------
    log_odds : sequence of float
        Of each class in the order of ``rule.classes``, as :func:`log_odds_of` gives them.
    at_s : float
        The time of the window's last sample; never earlier than the window before.
    usable : bool
        False for a window with lost samples or clipping: evidence leaks, and none is added.

    Raises
    ------
    ValueError
        Another number of classes, a value that is not a number, or time that runs backwards.
    """
    if len(log_odds) != len(rule.classes):
        raise ValueError(f"{len(log_odds)} log-odds for {len(rule.classes)} classes")
    if usable and any(math.isnan(value) for value in log_odds):
        raise ValueError("log-odds that are not a number")
    elapsed_s = 0.0 if state.at_s is None else at_s - state.at_s
    if elapsed_s < 0 or not math.isfinite(at_s):
        raise ValueError(f"a window at {at_s} s after one at {state.at_s} s")
    if state.decided_s is not None and at_s - state.decided_s < rule.refractory_s:
        return replace(begin(rule), at_s=at_s, decided_s=state.decided_s), None

    kept = 0.0 if elapsed_s > rule.gap_s else 0.5 ** (elapsed_s / rule.half_life_s)
    limit = LOG_ODDS_LIMIT
    gathered = tuple(
        kept * old + (min(max(float(new), -limit), limit) if usable else 0.0)
        for old, new in zip(state.log_odds, log_odds, strict=True)
    )
    best = max(range(len(gathered)), key=gathered.__getitem__)
    if not usable or gathered[best] < rule.threshold:
        return State(log_odds=gathered, at_s=at_s, decided_s=state.decided_s), None
    decision = Decision(label=rule.classes[best], at_s=at_s, log_odds=gathered[best])
    return replace(begin(rule), at_s=at_s, decided_s=at_s), decision


def run(
    rule: Rule,
    log_odds: Iterable[Sequence[float]],
    times_s: Iterable[float],
    usable: Iterable[bool] | None = None,
) -> list[Decision]:
    """All decisions over a recording: the same steps as live, so the same bits."""
    rows = [tuple(map(float, row)) for row in log_odds]
    flags = [True] * len(rows) if usable is None else list(usable)
    state, decisions = begin(rule), []
    for row, at_s, flag in zip(rows, times_s, flags, strict=True):
        state, decision = step(rule, state, row, float(at_s), usable=flag)
        if decision is not None:
            decisions.append(decision)
    return decisions


def log_odds_of(
    probabilities: Sequence[Sequence[float]], classes: Sequence[str], *, rest: str | None = None
) -> np.ndarray:
    """Log-odds of each class but rest, shape (windows, classes without rest).

    Against all the others together: with rest among the classes, a high value says that it is this
    movement and neither rest nor another.
    """
    table = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-12, 1.0 - 1e-12)
    columns = [index for index, label in enumerate(classes) if label != rest]
    odds: np.ndarray = np.log(table[:, columns]) - np.log1p(-table[:, columns])
    return odds


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A rule with its threshold, and what was seen of false triggers at it."""

    rule: Rule
    false_triggers: int
    idle_min: float
    upper_per_min: float


def calibrate(
    rule: Rule,
    idle: Sequence[tuple[Sequence[Sequence[float]], Sequence[float]]],
    *,
    wanted_per_min: float,
    confidence: float = CONFIDENCE,
) -> Calibrated:
    """Set the lowest threshold that keeps false triggers below a wanted rate.

    The rate's upper confidence bound (Garwood 1936, exact for a Poisson count) must be below what
    is wanted at this threshold and at every higher one that was tried.

    Parameters
    ----------
    rule : Rule
        Its threshold is replaced.
    idle : sequence of (log-odds, times)
        Stretches in which the patient wanted nothing, from runs the decoder did not learn from.
    wanted_per_min : float

    Raises
    ------
    TooLittleToLearn
        Rest is so short that even no false trigger would not bound the rate.
    """
    if not 0 < confidence < 1 or not wanted_per_min > 0:
        raise ValueError("the wanted rate is above 0 and the confidence between 0 and 1")
    idle_min = sum(_watched_s(times, rule.gap_s) for _, times in idle) / 60.0
    needed_min = rest_needed_min(wanted_per_min, confidence)
    if idle_min < needed_min:
        raise TooLittleToLearn(
            what=f"a threshold for {wanted_per_min:g} false triggers a minute",
            found=f"{idle_min:.1f} min of rest",
            needed=f"{needed_min:.1f} min",
        )
    best: Calibrated | None = None
    for threshold in reversed(_thresholds(rule, idle)):
        tried = replace(rule, threshold=threshold)
        count = sum(len(run(tried, odds, times)) for odds, times in idle)
        upper = upper_rate(count, idle_min, confidence)
        if upper > wanted_per_min:
            break
        best = Calibrated(rule=tried, false_triggers=count, idle_min=idle_min, upper_per_min=upper)
    if best is None:
        raise RuntimeError("a threshold that nothing passes has no false trigger")
    return best


def upper_rate(count: int, minutes: float, confidence: float = CONFIDENCE) -> float:
    """The upper confidence bound of a Poisson rate per minute."""
    return float(chi2.ppf(confidence, 2 * (count + 1)) / (2.0 * minutes))


def _watched_s(times_s: Sequence[float], gap_s: float) -> float:
    """How long a stretch was judged: where windows are missing, nothing could have triggered."""
    steps = (later - earlier for earlier, later in pairwise(times_s))
    return sum(step_s for step_s in steps if step_s <= gap_s)


def _thresholds(
    rule: Rule, idle: Sequence[tuple[Sequence[Sequence[float]], Sequence[float]]]
) -> list[float]:
    """Thresholds worth trying, growing; the last is above all evidence that rest gave."""
    unreachable = replace(rule, threshold=1e9)
    peaks = []
    for odds, times in idle:
        state = begin(unreachable)
        for row, at_s in zip(odds, times, strict=True):
            state, _ = step(unreachable, state, [float(value) for value in row], float(at_s))
            peaks.append(max(state.log_odds))
    positive = np.unique([peak for peak in peaks if peak > 0] or [1.0])
    if len(positive) > THRESHOLDS_LIMIT:
        positive = np.quantile(positive, np.linspace(0.0, 1.0, THRESHOLDS_LIMIT))
    return [*map(float, positive), float(positive[-1]) * 1.05 + 0.1]
