"""What a check is, what it is given, and what follows from its result."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import count
from pathlib import Path

import polars as pl

from haihe.kernel.errors import HaiheError
from haihe.packs.discovery import PackSource
from haihe.packs.domain import TIERS, Manifest, Text, Tier, tier_of
from haihe.packs.evaluation import Evaluation, evaluate
from haihe.packs.inputs import conform
from haihe.packs.protocol import PERMUTATION
from haihe.packs.trial import Trial, silent_meter

STALE = "the manifest foresees a failure, and it passes: take it out of expected_failed"
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Status(StrEnum):
    """How a check ended. ``EXPECTED`` is a failure that the manifest foresees, with a reason."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED = "expected-failure"


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one check ended, and why."""

    check: str
    title: str
    status: Status
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results, and the tier that follows from those that passed."""

    pack: str
    results: tuple[Result, ...]
    tier: Tier | None

    @property
    def conforms(self) -> bool:
        """Whether nothing failed that the manifest does not foresee."""
        return all(result.status is not Status.FAILED for result in self.results)


class CheckFailed(Exception):
    """The pack does not do what the check asks."""


class CheckSkipped(Exception):
    """The check could not be made."""


class Subject:
    """A pack under check, and what several checks need of it, computed once.

    Without ``inputs``, checks that need cases are skipped, and no tier is reached.
    """

    def __init__(
        self,
        source: PackSource,
        *,
        inputs: Mapping[str, pl.DataFrame] | None,
        folder: Path,
        seed: int = 0,
    ) -> None:
        self.source = source
        self.folder = folder
        self.seed = seed
        self._inputs = inputs
        self._numbers = count()

    @cached_property
    def manifest(self) -> Manifest:
        """What the pack says of itself."""
        return self.source.manifest()

    @cached_property
    def inputs(self) -> dict[str, pl.DataFrame]:
        """The given inputs, in their declared shape."""
        if self._inputs is None:
            raise CheckSkipped("no inputs were given")
        absent = [item.name for item in self.manifest.inputs if item.name not in self._inputs]
        if absent:
            raise CheckSkipped(f"no input {', '.join(absent)} was given")
        return {item.name: conform(self._inputs[item.name], item) for item in self.manifest.inputs}

    def trial(
        self,
        *,
        inputs: Mapping[str, pl.DataFrame] | None = None,
        folds: pl.DataFrame | None = None,
    ) -> Trial:
        """A new trial, with a folder of its own."""
        return Trial(
            pack=self.source.load(),
            manifest=self.manifest,
            inputs=self.inputs if inputs is None else inputs,
            folder=self.folder / f"trial_{next(self._numbers)}",
            seed=self.seed,
            meter=silent_meter(),
            folds=folds,
        )

    @cached_property
    def first(self) -> Trial:
        """The trial that others are compared with."""
        return self.trial()

    @cached_property
    def predictions(self) -> pl.DataFrame:
        """What the first trial predicts."""
        return self.first.predictions()

    @property
    def fitted(self) -> Trial:
        """The first trial, once its folds are fitted."""
        assert len(self.predictions) == len(self.first.truth)
        return self.first

    @cached_property
    def evaluation(self) -> Evaluation:
        """What the predictions are worth, with both controls."""
        permuted = None
        if self.first.learns:
            times = self.manifest.evaluation.permutations
            permuted = self.first.permuted_predictions(times).partition_by(PERMUTATION)
        return evaluate(
            self.manifest,
            self.first.truth,
            seed=self.seed,
            predictions=self.predictions,
            baseline=self.first.baseline_predictions(),
            permuted=permuted,
        )


Run = Callable[[Subject], str]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A named check. ``run`` returns what it saw, or raises why the pack fails."""

    id: str
    title: str
    run: Run


CHECKS: dict[str, Check] = {}


def run_checks(
    source: PackSource,
    *,
    inputs: Mapping[str, pl.DataFrame] | None,
    folder: Path,
    seed: int = 0,
) -> Report:
    """Make every check on a pack; ``folder`` takes what its trials leave."""
    subject = Subject(source, inputs=inputs, folder=folder, seed=seed)
    names = [name for needed in TIERS.values() for name in needed]
    results = tuple(run_check(subject, CHECKS[name]) for name in names)
    passed = [result.check for result in results if result.status is Status.PASSED]
    return Report(pack=source.name, results=results, tier=tier_of(passed))


def run_check(subject: Subject, check: Check) -> Result:
    """Make one check; whatever the pack raises in it is its failure."""
    try:
        status, reason = Status.PASSED, check.run(subject)
    except CheckSkipped as skipped:
        status, reason = Status.SKIPPED, str(skipped)
    except (CheckFailed, HaiheError) as failure:
        status, reason = Status.FAILED, str(failure)
    expected = _expected_failed(subject).get(check.id)
    if expected is not None and status is Status.FAILED:
        status, reason = Status.EXPECTED, f"{expected} ({reason})"
    elif expected is not None and status is Status.PASSED:
        # An excuse that nothing needs would hide the next failure.
        status, reason = Status.FAILED, f"{STALE} ({reason})"
    return Result(check=check.id, title=check.title, status=status, reason=reason)


def _expected_failed(subject: Subject) -> Mapping[str, str]:
    try:
        return subject.manifest.expected_failed
    except HaiheError:  # the check manifest.complete says what is wrong with it
        return {}


def check(name: str, title: str) -> Callable[[Run], Run]:
    """Register a function as the check ``name``, which never changes."""

    def register(run: Run) -> Run:
        assert name not in CHECKS, f"check {name} is defined twice"
        CHECKS[name] = Check(id=name, title=title, run=run)
        return run

    return register


def require(condition: bool, reason: str) -> None:
    """Fail the check with ``reason`` unless ``condition`` holds."""
    if not condition:
        raise CheckFailed(reason)


def is_bilingual(text: Text) -> bool:
    """Whether the Chinese text has Chinese in it, and the English one has none."""
    return bool(_CHINESE.search(text.zh)) and not _CHINESE.search(text.en)
