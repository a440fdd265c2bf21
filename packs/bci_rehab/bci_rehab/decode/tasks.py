"""The off-line tasks: recordings in, raw predictions out, with the truth kept apart.

Nothing here scores itself: the platform holds predictions against the truth. Each method also
learns from labels that were permuted within its training data; what it then predicts must be at
chance, or something other than the labels' meaning leaks into the test data.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.decode import methods as known
from bci_rehab.decode import p300, recordings
from bci_rehab.decode.covariance import Floats, Labels, log_probabilities
from bci_rehab.decode.following import fitted
from bci_rehab.decode.methods import Method
from bci_rehab.decode.recordings import Cut, Source, Windows
from bci_rehab.decode.ssvep import REST_HZ
from bci_rehab.errors import FolderUnsuitable, OfflineTaskUnknown

PERMUTATIONS = 5
_BLOCKS = 4
_FISTS_FEET = ((6, 10, 14), {"T1": "fists", "T2": "feet"})
_LEFT_RIGHT = ((4, 8, 12), {"T1": "left", "T2": "right"})
# From when the patient has read the cue until shortly before the trial ends, at 4.1 s.
_WHOLE_TRIAL = Cut(begin_s=0.5, end_s=3.5, length_s=3.0)
# The same three seconds, in windows as long and as often as a session decides on.
_SLIDING = Cut(begin_s=0.5, end_s=3.5, length_s=1.0, hop_s=0.1)
# The gaze has to move and the answer to build up: a second after the lights begin.
_FLICKER = Cut(begin_s=1.0, end_s=4.0, length_s=3.0)
_EVOKED = Cut(begin_s=p300.BEGIN_S, end_s=p300.END_S, length_s=p300.END_S - p300.BEGIN_S)
_EVOKED_FACTOR = 4


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One row for each predicted window or trial; arrays of one length.

    ``scores`` has a column for each class. ``permutation`` is 0 for the true labels, and counts the
    permutations from 1 in the shuffled control.
    """

    ids: Labels
    groups: Labels
    folds: Labels
    permutation: Labels
    predicted: Labels
    scores: Floats


@dataclass(frozen=True, kw_only=True)
class RawPredictions:
    """What one method says in one task.

    Attributes
    ----------
    metric : str
        ``accuracy`` or ``auc`` (of the class ``classes[-1]``).
    classes : tuple of str
        The columns of the scores.
    truth : mapping of id to label
        Kept apart from the predictions.
    protocol : str
        What was left out together.
    """

    task: str
    method: str
    ours: bool
    metric: str
    classes: tuple[str, ...]
    truth: Mapping[str, str]
    predictions: Predictions
    shuffled: Predictions
    protocol: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """An off-line task: how to read a folder, what to compare, what is left out together.

    ``folder`` is where its public recordings lie below ``data/bci``.
    """

    folder: str
    protocol: str
    sources: Callable[[Path], Iterator[Source]]
    windows: Callable[[Sequence[Source], recordings.Bands], list[Windows]]
    methods: Callable[[], tuple[Method, ...]]
    metric: str = "accuracy"
    trained: bool = True
    # A task whose windows are combined for each trial here; it has nothing to train of its own.
    windows_of: str | None = None


def _motor_task(
    runs: tuple[tuple[int, ...], dict[str, str]], part: Cut, *, windows_of: str | None = None
) -> Task:
    return Task(
        folder="physionet_eegmmidb_S001",
        protocol="leave one run out, within each subject",
        sources=partial(recordings.motor, runs=runs[0], names=runs[1]),
        windows=partial(recordings.cut, part=part),
        methods=known.motor_methods,
        windows_of=windows_of,
    )


TASKS: dict[str, Task] = {
    "fists_feet_cv": _motor_task(_FISTS_FEET, _WHOLE_TRIAL),
    "fists_feet_causal_window": _motor_task(_FISTS_FEET, _SLIDING),
    "fists_feet_causal_trial": _motor_task(
        _FISTS_FEET, _SLIDING, windows_of="fists_feet_causal_window"
    ),
    "left_right_cv": _motor_task(_LEFT_RIGHT, _WHOLE_TRIAL),
    "ssvep_free_3": Task(
        folder="ssvep_exo",
        protocol="nothing is trained; 3 s from 1 s after the lights begin",
        sources=recordings.exoskeleton,
        windows=lambda sources, bands_hz: _without_rest(
            recordings.cut(sources, bands_hz, _FLICKER)
        ),
        methods=known.free_flicker_methods,
        trained=False,
    ),
    "ssvep_calibrated_4": Task(
        folder="ssvep_exo",
        protocol=f"leave one session out within each subject; one of {_BLOCKS} consecutive blocks "
        "where a subject has one session",
        sources=recordings.exoskeleton,
        windows=partial(recordings.cut, part=_FLICKER),
        methods=known.calibrated_flicker_methods,
    ),
    "p300_auc": Task(
        folder="muse_p300",
        protocol="leave one recording out, within each subject's first session",
        sources=recordings.muse,
        windows=lambda sources, bands_hz: recordings.epochs(
            sources, bands_hz[0], _EVOKED, factor=_EVOKED_FACTOR
        ),
        methods=known.p300_methods,
        metric="auc",
    ),
}


def run_task(
    name: str,
    folder: Path,
    *,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> Iterator[RawPredictions]:
    """Run the methods of a task over a folder, one after another.

    Parameters
    ----------
    methods : sequence of str, optional
        Only those of these names.
    seed : int
        Of the permutations, which are the same for every method.
    permutations : int
        How many shuffled controls; chance is then known to within a fifth of a single one's noise.

    Raises
    ------
    OfflineTaskUnknown, FolderUnsuitable
    """
    yield from run_tasks((name,), folder, methods=methods, seed=seed, permutations=permutations)


def run_tasks(
    names: Sequence[str],
    folder: Path,
    *,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> Iterator[RawPredictions]:
    """Several tasks over one folder. Tasks on the same windows share the training."""
    done: dict[tuple[str, str], RawPredictions] = {}
    for name in names:
        task = TASKS.get(name)
        if task is None:
            raise OfflineTaskUnknown(name=name, names=", ".join(TASKS))
        trained = task.windows_of or name
        sources: list[Source] = []
        windows: dict[tuple[recordings.Bands, bool], list[Windows]] = {}
        for method in task.methods():
            if methods is not None and method.name not in methods:
                continue
            key = (trained, method.name)
            if key not in done:
                sources = sources or _sources(name, task, folder)
                sort = (method.bands_hz, method.strip)
                if sort not in windows:
                    picked = recordings.sensorimotor(sources) if method.strip else sources
                    windows[sort] = task.windows(picked, method.bands_hz)
                done[key] = _predicted(trained, task, method, windows[sort], seed, permutations)
            yield _combined(done[key], name) if task.windows_of else done[key]


def _sources(name: str, task: Task, folder: Path) -> list[Source]:
    sources = list(task.sources(folder))
    if not sources:
        raise FolderUnsuitable(
            folder=str(folder), task=name, reason="no file in it is named as the task needs"
        )
    return sources


def _predicted(
    name: str,
    task: Task,
    method: Method,
    subjects: Sequence[Windows],
    seed: int,
    permutations: int,
) -> RawPredictions:
    """Train and predict, with the true labels and with permuted ones."""
    labels = np.unique(np.concatenate([subject.labels for subject in subjects]))
    run = _crossed if task.trained else _untrained
    tables = [
        run(method, subject, labels, permutation, seed)
        for permutation in range(permutations + 1)
        for subject in subjects
    ]
    first = len(subjects)
    return RawPredictions(
        task=name,
        method=method.name,
        ours=method.ours,
        metric=task.metric,
        classes=tuple(_text(label) for label in labels),
        truth={
            str(row): _text(label)
            for subject in subjects
            for row, label in zip(subject.ids, subject.labels, strict=True)
        },
        predictions=_stacked(tables[:first]),
        shuffled=_stacked(tables[first:]),
        protocol=task.protocol,
    )


def _crossed(
    method: Method, subject: Windows, labels: Labels, permutation: int, seed: int
) -> Predictions:
    """Each fold predicted by what was learned from the others."""
    folds = _folds(subject)
    scores = np.full((len(subject.ids), len(labels)), -np.inf)
    for number, fold in enumerate(np.unique(folds)):
        test = folds == fold
        taught = subject.labels[~test]
        if permutation:
            rng = _rng(seed, permutation, subject, number)
            taught = _permuted(taught, subject.trials[~test], rng)
        if len(np.unique(taught)) < 2:
            raise FolderUnsuitable(
                folder=subject.subject,
                task=method.name,
                reason=f"without {fold}, only one class is left to learn from",
            )
        estimator = fitted(method.make(), subject.samples[~test], taught, folds[~test])
        columns = np.searchsorted(labels, estimator.classes_)
        scores[np.ix_(test, columns)] = log_probabilities(estimator, subject.samples[test])
    return _table(subject, folds, labels, scores, permutation)


def _untrained(
    method: Method, subject: Windows, labels: Labels, permutation: int, seed: int
) -> Predictions:
    """The control of a method that learns nothing: each answer is given to another trial."""
    estimator = method.make().fit()
    scores = np.full((len(subject.ids), len(labels)), -np.inf)
    columns = np.searchsorted(labels, estimator.classes_)
    scores[:, columns] = estimator.decision_function(subject.samples)
    if permutation:
        scores = _rng(seed, permutation, subject).permutation(scores)
    return _table(subject, subject.folds, labels, scores, permutation)


def _rng(seed: int, permutation: int, subject: Windows, fold: int = 0) -> np.random.Generator:
    """One for each subject: recordings of one design would otherwise share their luck."""
    name = zlib.crc32(subject.subject.encode())
    return np.random.default_rng((seed, permutation, fold, name))


def _permuted(labels: Labels, trials: Labels, rng: np.random.Generator) -> Labels:
    """Labels dealt to other trials; windows of one trial keep one label."""
    names, first, inverse = np.unique(trials, return_index=True, return_inverse=True)
    dealt: Labels = labels[first][rng.permutation(len(names))][inverse]
    return dealt


def _folds(subject: Windows) -> Labels:
    """The recordings, or consecutive blocks of trials where there is one recording."""
    if len(np.unique(subject.folds)) > 1:
        return subject.folds
    order = {trial: number for number, trial in enumerate(dict.fromkeys(subject.trials))}
    numbers = np.array([order[trial] for trial in subject.trials])
    return np.array([f"block {number}" for number in numbers * _BLOCKS // len(order)])


def _combined(windows: RawPredictions, name: str) -> RawPredictions:
    """One prediction for each trial: the sum of its windows' log-probabilities."""
    return RawPredictions(
        task=name,
        method=windows.method,
        ours=windows.ours,
        metric=windows.metric,
        classes=windows.classes,
        truth={_trial(row): label for row, label in windows.truth.items()},
        predictions=_summed(windows.predictions, windows.classes),
        shuffled=_summed(windows.shuffled, windows.classes),
        protocol=windows.protocol,
    )


def _summed(table: Predictions, classes: tuple[str, ...]) -> Predictions:
    keys = np.array(
        [f"{turn} {_trial(row)}" for turn, row in zip(table.permutation, table.ids, strict=True)]
    )
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    scores = np.zeros((len(first), len(classes)))
    np.add.at(scores, inverse, table.scores)
    return Predictions(
        ids=np.array([_trial(row) for row in table.ids[first]]),
        groups=table.groups[first],
        folds=table.folds[first],
        permutation=table.permutation[first],
        predicted=np.array(classes)[scores.argmax(axis=1)],
        scores=scores,
    )


def _table(
    subject: Windows, folds: Labels, labels: Labels, scores: Floats, permutation: int
) -> Predictions:
    count = len(subject.ids)
    return Predictions(
        ids=subject.ids,
        groups=np.full(count, subject.subject),
        folds=folds,
        permutation=np.full(count, permutation),
        predicted=np.array([_text(label) for label in labels[scores.argmax(axis=1)]]),
        scores=scores,
    )


def _stacked(tables: Sequence[Predictions]) -> Predictions:
    def column(name: str) -> Any:
        return np.concatenate([getattr(table, name) for table in tables])

    return Predictions(
        ids=column("ids"),
        groups=column("groups"),
        folds=column("folds"),
        permutation=column("permutation"),
        predicted=column("predicted"),
        scores=column("scores"),
    )


def _without_rest(subjects: list[Windows]) -> list[Windows]:
    return [_kept(subject, subject.labels != REST_HZ) for subject in subjects]


def _kept(subject: Windows, kept: Labels) -> Windows:
    return Windows(
        samples=subject.samples[kept],
        labels=subject.labels[kept],
        trials=subject.trials[kept],
        folds=subject.folds[kept],
        ids=subject.ids[kept],
        subject=subject.subject,
        rate_hz=subject.rate_hz,
    )


def _trial(window: str) -> str:
    return str(window).rsplit("/", 1)[0]


def _text(label: object) -> str:
    """Frequencies as ``13 Hz`` and ``rest``; names as they are."""
    if isinstance(label, float):
        return "rest" if label == REST_HZ else f"{label:g} Hz"
    return str(label)
