"""The pack's only door, and the callables that a pack offers.

Each step of a pack gets a context that shows what the step may see and takes what the step must
hand back. No step can see more: ``fit`` gets the training rows with their labels, ``run`` gets the
other rows without, and nothing gets a score before all predictions are in. A fresh pack object is
made for every step, so what ``run`` knows of ``fit`` is what ``fit`` left in an artifact folder,
and a fitted pack can be stored, moved and served.

Polars and NumPy are named here for type checkers and imported by those who use them, so that
reading a manifest stays cheap.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

from pydantic import Field

from haihe.kernel.errors import InvalidField
from haihe.packs.domain import NAME_PATTERN, Manifest, Name, Part, Text
from haihe.packs.errors import InputNotPermitted

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from haihe.packs.scoring import Scores

Progress = Callable[[float, str], None]


class Reason(Part):
    """Why a case got its score: one column's part in it.

    ``contribution`` is signed: above zero speaks for the positive class. Its scale is the pack's
    own, the same for all cases (log-odds in a linear model).
    """

    column: Name
    contribution: Annotated[float, Field(allow_inf_nan=False)]
    text: Text


class Explanation(Part):
    """The reasons of one case, the weightiest first."""

    id: str
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1, max_length=40)]


class Table(Part):
    """A table of the pack's own, such as operating points; ``columns`` titles the frame's."""

    name: Name
    title: Text
    columns: Mapping[Name, Text]
    frame: Any  # a polars.DataFrame, which the trial checks


@dataclass(frozen=True, kw_only=True)
class StepView:
    """What one step is given: rows it may see, a folder for its artifacts, its randomness."""

    manifest: Manifest
    inputs: Mapping[str, pl.DataFrame]
    folder: Path
    seed: tuple[int, ...]
    progress: Progress


class Context:
    """What every step may do."""

    def __init__(self, view: StepView) -> None:
        self.manifest = view.manifest
        self.log = logging.getLogger(f"haihe.pack.{view.manifest.name}")
        self._view = view

    def input(self, name: str) -> pl.DataFrame:
        """The rows of an input that this step may see; a copy, in the order of ids."""
        if name not in self.manifest.permissions.read:
            raise InputNotPermitted(pack=self.manifest.name, input=name)
        return self._view.inputs[name].clone()

    def rng(self, stream: int = 0) -> np.random.Generator:
        """A random generator that is the same whenever this step runs with the same seed.

        All randomness must come from here. ``stream`` gives one step several independent ones.
        """
        import numpy as np

        return np.random.default_rng([*self._view.seed, stream])

    def artifact(self, name: str) -> Path:
        """The folder ``name`` for files that outlive the step; ``fit``, ``run`` and ``explain``
        of one fold share it, and no two folds do."""
        if not re.fullmatch(NAME_PATTERN, name):
            raise InvalidField(field="artifact", value=name[:60], rule="use a name such as 'model'")
        folder = self._view.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def progress(self, share: float, text: str = "") -> None:
        """Say how much of this step is done, from 0 to 1."""
        self._view.progress(min(max(share, 0.0), 1.0), text)


class PrepareContext(Context):
    """Sees all rows, without the label; hands back cleaned tables."""

    def __init__(self, view: StepView) -> None:
        super().__init__(view)
        self.written: dict[str, pl.DataFrame] = {}

    def prepared(self, name: str, frame: pl.DataFrame) -> None:
        """Hand back input ``name``, cleaned; later steps see this one. An input that is not
        handed back stays as it was read."""
        if name not in self.manifest.permissions.read:
            raise InputNotPermitted(pack=self.manifest.name, input=name)
        self.written[name] = frame


class FitContext(Context):
    """Sees the training rows, the label among them as true (positive) or false."""


class RunContext(Context):
    """Sees the rows to predict, without the label; hands back one score each."""

    written: pl.DataFrame | None = None

    def predictions(self, frame: pl.DataFrame) -> None:
        """Hand back the raw predictions.

        Parameters
        ----------
        frame : polars.DataFrame
            One row per row of the cases: ``id`` as it was given; ``score``, the probability of
            the positive class; optionally ``decision``, true for positive, false for negative,
            null where the pack abstains. Without that column the manifest's threshold decides.
        """
        self.written = frame


class ExplainContext(Context):
    """Sees what ``run`` saw; hands back the reasons of each case."""

    written: Sequence[Explanation] | None = None

    def explanations(self, explanations: Sequence[Explanation]) -> None:
        """Hand back one explanation for each row."""
        self.written = explanations


class EvaluateContext(Context):
    """Sees the platform's judgement once all predictions are in; adds tables of the pack's own.

    ``scored`` has the columns id, fold, group, truth, score and decision; ``scores`` are the
    platform's figures over all rows. Whatever is handed back here is shown as the pack's own and
    never enters a score.
    """

    def __init__(self, view: StepView, *, scored: pl.DataFrame, scores: Scores) -> None:
        super().__init__(view)
        self.scored = scored
        self.scores = scores
        self.written: list[Table] = []

    def table(
        self, name: str, frame: pl.DataFrame, *, title: Text, columns: Mapping[str, Text]
    ) -> None:
        """Hand back a table; ``columns`` gives each column of ``frame`` its title."""
        self.written.append(Table(name=name, title=title, columns=columns, frame=frame))


class Pack(Protocol):
    """What a pack offers. The entry point names a class that is made without arguments."""

    def prepare(self, context: PrepareContext) -> None:
        """Check and clean the inputs, row by row: nothing may be learned from other rows here."""

    def run(self, context: RunContext) -> None:
        """Predict each row that the context shows."""

    def evaluate(self, context: EvaluateContext) -> None:
        """Add tables that people of the trade want to see beside the platform's scores."""

    def explain(self, context: ExplainContext) -> None:
        """Give the reasons for each prediction."""


@runtime_checkable
class LearningPack(Pack, Protocol):
    """A pack that learns from labelled rows."""

    def fit(self, context: FitContext) -> None:
        """Learn from the rows that the context shows, and leave the result in an artifact."""
