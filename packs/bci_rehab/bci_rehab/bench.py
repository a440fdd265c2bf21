"""``haihe bench bci``: what the pack's decoders, its live path and its interlock are worth.

The pack makes raw predictions and measurements; scores are the platform's, computed from
predictions and a truth that the decoders did not see.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bci_rehab.decode.tasks import PERMUTATIONS, TASKS, Predictions, run_tasks
from bci_rehab.decode.tasks import RawPredictions as Said
from bci_rehab.session.accidents import Row, run_accidents
from bci_rehab.session.online_bench import online_rows
from haihe.packs import RawPredictions, judge

app = typer.Typer(help="Decoders, live path and interlock of the rehabilitation pack.")
VARIABLE = "HAIHE_SHARED"
AREA = "auc"
WINDOWS = "_window"
DIGITS = 4
ROUNDED = ("score", "se", "chance", "shuffled", "shuffled_se")


@app.command()
def bci(
    offline: Annotated[bool, typer.Option("--offline", help="Decoders on recordings.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Live path, a stream with rest, latency.")
    ] = False,
    faults: Annotated[bool, typer.Option("--faults", help="Accidents in a session.")] = False,
    motor: Annotated[
        Path | None, typer.Option(help="Other motor recordings, in PhysioNet's layout.")
    ] = None,
    ssvep: Annotated[
        Path | None, typer.Option(help="Other flicker recordings, in the exoskeleton's layout.")
    ] = None,
    p300: Annotated[
        Path | None, typer.Option(help="Other P300 recordings, in the Muse's layout.")
    ] = None,
    permutations: Annotated[
        int, typer.Option(min=1, help="Shuffled controls of each method.")
    ] = PERMUTATIONS,
    seconds: Annotated[float, typer.Option(min=2.0, help="Of each measured stream.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="Of shuffled labels and of accidents.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure; without a choice, everything. Exit code 1 after an accident that was not safe."""
    everything = not (offline or online or faults)
    given = {"motor": motor, "ssvep": ssvep, "p300": p300}
    rows: list[dict[str, Any]] = []
    unsafe: list[str] = []
    if offline or everything:
        folders = {name: path for name, path in given.items() if path is not None}
        rows += _told(offline_rows(folders, seed=seed, permutations=permutations), as_json=as_json)
    if online or everything:
        folder = motor or _public(PHYSIONET)
        rows += _told(online_rows(folder, seconds=seconds), as_json=as_json)
    if faults or everything:
        rows += _told(_watched_over(run_accidents(seed=seed), unsafe), as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"rows": rows}, ensure_ascii=False, indent=2))
    if unsafe:
        typer.echo(f"not as promised: {', '.join(unsafe)}", err=True)
        raise typer.Exit(1)


def _watched_over(accidents: Iterable[Row], unsafe: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of accidents; the names of those that did not end as promised go to ``unsafe``."""
    for row in accidents:
        if not row.is_safe:
            unsafe.append(row.accident)
        yield row.to_json()


def offline_rows(
    folders: Mapping[str, Path], *, seed: int = 0, permutations: int = PERMUTATIONS
) -> Iterator[dict[str, Any]]:
    """A row for each task and method, over the public recordings or the ``folders`` given.

    With folders, only the tasks on their kinds of recording (``motor``, ``ssvep``, ``p300``) run.
    """
    wanted: dict[Path, list[str]] = {}
    for name, task in TASKS.items():
        kind = KINDS[task.folder]
        if folders and kind not in folders:
            continue
        wanted.setdefault(folders.get(kind) or _public(task.folder), []).append(name)
    for folder, names in wanted.items():
        for said in run_tasks(names, folder, seed=seed, permutations=permutations):
            row = judge(as_raw(said))
            yield {
                **row,
                **{name: _rounded(row[name]) for name in ROUNDED},
                "protocol": said.protocol,
            }


def as_raw(said: Said) -> RawPredictions:
    """What a method said, beside the truth, in the order of the cases."""
    ids = sorted(said.truth)
    truth = np.array([said.truth[row] for row in ids])
    turns = [said.shuffled.permutation == turn for turn in np.unique(said.shuffled.permutation)]
    return RawPredictions(
        task=said.task,
        method=said.method,
        ours=said.ours,
        metric="roc_auc" if said.metric == AREA else "accuracy",
        truth=truth == said.classes[-1] if said.metric == AREA else truth,
        predicted=_answers(said, said.predictions, slice(None), ids),
        groups=_groups(said, ids),
        shuffled=[_answers(said, said.shuffled, turn, ids) for turn in turns],
    )


PHYSIONET = "physionet_eegmmidb_S001"
KINDS = {
    PHYSIONET: "motor",
    "ssvep_exo": "ssvep",
    "muse_p300": "p300",
}


def _answers(said: Said, table: Predictions, rows: Any, ids: list[str]) -> Any:
    """The classes, or for an area the belief in the last class."""
    values = table.predicted[rows]
    if said.metric == AREA:
        scores = table.scores[rows]
        values = scores[:, -1] - np.logaddexp.reduce(scores[:, :-1], axis=1)
    return _by_id(table.ids[rows], values, ids)


def _groups(said: Said, ids: list[str]) -> Any:
    """Whose errors go together: a subject's; where there is one subject, a trial's windows."""
    subjects = _by_id(said.predictions.ids, said.predictions.groups, ids)
    if len(np.unique(subjects)) > 1:
        return subjects
    return np.array([row.rpartition("/")[0] if WINDOWS in said.task else row for row in ids])


def _by_id(found: Any, values: Any, ids: list[str]) -> Any:
    place = {row: index for index, row in enumerate(found)}
    return values[[place[row] for row in ids]]


def _public(name: str) -> Path:
    """Where the public recordings lie: beside the checkout, or where the variable says."""
    shared = os.environ.get(VARIABLE)
    folder = Path(shared) if shared else Path.cwd().parent / "shared"
    return folder / "data" / "bci" / name


def _told(rows: Iterable[dict[str, Any]], *, as_json: bool) -> list[dict[str, Any]]:
    """All rows; each is printed as it comes, unless JSON is wanted at the end."""
    found = []
    for row in rows:
        found.append(row)
        line = "  ".join(f"{name} {value}" for name, value in row.items() if value != "")
        typer.echo(line, err=as_json)
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
