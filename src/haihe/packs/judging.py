"""Benchmarks of packs: the pack hands in raw predictions, the platform gives the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from haihe.kernel.errors import InvalidField

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from haihe.packs.scoring import Estimate


@dataclass(frozen=True, kw_only=True)
class RawPredictions:
    """What one method said of cases whose truth was kept from it.

    Attributes
    ----------
    metric : str
        ``accuracy``: ``predicted`` are classes. ``roc_auc``: ``truth`` is true or false, and
        ``predicted`` grows with the belief that it is true.
    groups : array of shape (cases,)
        Cases of one group are not independent: windows of a trial, trials of a person.
    shuffled : sequence of arrays of shape (cases,)
        What the same method said after learning from labels that were shuffled; empty, if it
        learns from none. Then ``permuted_truth`` holds shuffled truths to compare with instead.
    """

    task: str
    method: str
    ours: bool
    metric: Literal["accuracy", "roc_auc"]
    truth: ArrayLike
    predicted: ArrayLike
    groups: ArrayLike
    shuffled: Sequence[ArrayLike] = ()
    permuted_truth: Sequence[ArrayLike] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """When something was wanted in a stream, from cue to end, and what; seconds of the stream."""

    begin_s: float
    end_s: float
    label: str


@dataclass(frozen=True, kw_only=True)
class RawStream:
    """What a decoder said of one recording that came to it as a continuous stream.

    Attributes
    ----------
    name : str
        The recording's.
    duration_s : float
        How long the decoder listened.
    truth, predicted : arrays of shape (windows,)
        What was wanted in each window, rest included, and what the decoder took it for.
    trials : sequence of Trial
        By growing time, apart from each other.
    triggers : sequence of (seconds, label)
        When it decided to act, and on what.
    """

    name: str
    duration_s: float
    truth: ArrayLike
    predicted: ArrayLike
    trials: Sequence[Trial]
    triggers: Sequence[tuple[float, str]]


def judge_streams(raws: Sequence[RawStream], *, grace_s: float = 0.5) -> dict[str, Any]:
    """The row of a decoder that was left alone with streams: figures, and the same of each stream.

    A trial's first trigger, up to ``grace_s`` after its end, is a hit or, on another class, wrong;
    without one the trial is missed. A trigger outside of all trials is false; their rate is by
    minutes outside of trials. ``bit_per_min`` is Wolpaw's rate of the choices made: hits, wrong and
    false ones, the share of hits among them, and how many of them a minute of the whole stream has.
    ``bit_per_min_of_trials`` takes each trial for a choice, and a miss for an error. ``_sd`` is the
    standard deviation over streams, None of a single one.

    Raises
    ------
    InvalidField
        If there is no stream, or one without windows, trials or rest.
    """
    from statistics import fmean, stdev

    if not raws:
        raise InvalidField(field="streams", value=0, rule="give at least one")
    classes = len({trial.label for raw in raws for trial in raw.trials})
    each = [_judged(raw, grace_s, classes) for raw in raws]
    row: dict[str, Any] = {}
    for name in ("nmcc", "bit_per_min", "bit_per_min_of_trials", "false_per_min"):
        values = [figures[name] for figures in each]
        row[name] = fmean(values)
        row[f"{name}_sd"] = stdev(values) if len(values) > 1 else None
    for name in ("hits", "wrong", "misses", "false_triggers", "trials", "windows"):
        row[name] = sum(figures[name] for figures in each)
    return {**row, "rest_min": sum(figures["rest_min"] for figures in each), "runs": each}


def _judged(raw: RawStream, grace_s: float, classes: int) -> dict[str, Any]:
    import numpy as np

    from haihe.packs.scoring import information_rate, normalised_matthews

    truth, predicted = np.asarray(raw.truth), np.asarray(raw.predicted)
    wanted_s = sum(trial.end_s + grace_s - trial.begin_s for trial in raw.trials)
    rest_min = (raw.duration_s - wanted_s) / 60.0
    if len(truth) != len(predicted) or not len(truth) or classes < 2 or rest_min <= 0.0:
        raise InvalidField(
            field=raw.name, value=len(truth), rule="give windows, trials of two classes, and rest"
        )
    outcomes = [_outcome(trial, raw.triggers, grace_s) for trial in raw.trials]
    hits = outcomes.count("hit")
    false = sum(
        not any(trial.begin_s <= at_s <= trial.end_s + grace_s for trial in raw.trials)
        for at_s, _ in raw.triggers
    )
    choices = len(outcomes) - outcomes.count("miss") + false
    minutes = raw.duration_s / 60.0
    return {
        "run": raw.name,
        "nmcc": normalised_matthews(truth, predicted),
        "bit_per_min": information_rate(
            hits / max(1, choices), classes=classes, choices_per_min=choices / minutes
        ),
        "bit_per_min_of_trials": information_rate(
            hits / max(1, len(outcomes)), classes=classes, choices_per_min=len(outcomes) / minutes
        ),
        "false_per_min": false / rest_min,
        "hits": hits,
        "wrong": outcomes.count("wrong"),
        "misses": outcomes.count("miss"),
        "false_triggers": false,
        "trials": len(outcomes),
        "windows": len(truth),
        "rest_min": rest_min,
    }


def _outcome(trial: Trial, triggers: Sequence[tuple[float, str]], grace_s: float) -> str:
    for at_s, label in triggers:
        if trial.begin_s <= at_s <= trial.end_s + grace_s:
            return "hit" if label == trial.label else "wrong"
    return "miss"


def judge(raw: RawPredictions) -> dict[str, Any]:
    """The row of a method: score and error, chance, and its controls' mean with its error.

    Controls that lie further from chance than a few of their errors are a leak, or too few.

    Raises
    ------
    InvalidField
        If lengths differ, there is no case, or there is no control.
    """
    cases = len(raw.truth)  # type: ignore[arg-type]
    columns = [raw.predicted, raw.groups, *raw.shuffled, *raw.permuted_truth]
    lengths = {len(column) for column in columns}  # type: ignore[arg-type]
    if lengths != {cases} or not cases:
        raise InvalidField(
            field=f"{raw.task} {raw.method}", value=cases, rule="give each case one prediction"
        )
    controls = [_figure(raw.metric, raw.truth, said, raw.groups) for said in raw.shuffled]
    controls += [
        _figure(raw.metric, true, raw.predicted, raw.groups) for true in raw.permuted_truth
    ]
    if not controls:
        raise InvalidField(
            field=f"{raw.task} {raw.method}",
            value="no control",
            rule="shuffle labels at least once",
        )
    found = _figure(raw.metric, raw.truth, raw.predicted, raw.groups)
    values = [control.value for control in controls]
    return {
        "task": raw.task,
        "method": raw.method,
        "ours": raw.ours,
        "metric": raw.metric,
        "cases": cases,
        "score": found.value,
        "se": found.error,
        "chance": _chance(raw.metric, raw.truth),
        "shuffled": fmean(values),
        "shuffled_se": stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        "shufflings": len(values),
    }


def _chance(metric: str, truth: ArrayLike) -> float:
    """What one reaches who knows how often each class comes, and nothing else."""
    import numpy as np

    if metric == "roc_auc":
        return 0.5
    _, counts = np.unique(np.asarray(truth), return_counts=True)
    return float(counts.max() / counts.sum())


def _figure(metric: str, truth: ArrayLike, said: ArrayLike, groups: ArrayLike) -> Estimate:
    import numpy as np

    from haihe.packs.scoring import accuracy, area

    if metric == "roc_auc":
        return area(
            np.asarray(truth, dtype=bool), np.asarray(said, np.float64), groups=np.asarray(groups)
        )
    return accuracy(np.asarray(truth), np.asarray(said), groups=np.asarray(groups))
