"""What a simulation replays: jobs as columns of numbers, wherever they come from.

A log in Standard Workload Format, the openb trace, the synthetic generator and the platform's own
history all become one :class:`Workload`, so that the engine knows one shape only. The columns are
arrays because a log has 10^5 jobs; a class per job would cost more than the simulation.

Times are seconds from the beginning of the log, amounts are the units of
:class:`haihe.compute.domain.Capacity` (milli-CPUs, bytes, milli-GPUs). A processor of a log is
1,000 milli-CPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haihe.compute.simulation.errors import BadWorkload

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Labels = NDArray[Any]

MILLI = 1_000
MAX_JOBS = 5_000_000
MAX_MODELS = 62  # a job's models are the bits of one signed 64-bit number
UNKNOWN = -1
NO_DEADLINE_S = float("inf")
LEAST_REQUEST_S = 1.0  # a job that is still to end at this instant must be planned to end later
RESOURCES = ("cpu_milli", "memory_bytes", "gpu_milli")
_TIMES = ("submit_s", "run_s", "requested_s")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Jobs in the order of their submission; every column has one value per job.

    ``requested_s`` is the limit that the job was given, never below ``run_s``: the engine promises
    starts by it. ``user`` and ``organisation`` are codes, :data:`UNKNOWN` where the source names
    none. Bit *m* of ``models`` says that the job takes ``model_names[m]``; 0 takes any.
    ``observed_wait_s`` is the wait that the source recorded, NaN where it did not. ``label`` is how
    the source calls a job: its number or its id. ``notes`` counts what the reader left out or
    changed.
    """

    name: str
    submit_s: Floats
    run_s: Floats
    requested_s: Floats
    cpu_milli: Ints
    memory_bytes: Ints
    gpu_milli: Ints
    user: Ints
    organisation: Ints
    deadline_s: Floats
    models: Ints
    observed_wait_s: Floats
    label: Labels
    model_names: tuple[str, ...] = ()
    notes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __len__(self) -> int:
        return len(self.submit_s)

    @property
    def columns(self) -> dict[str, Any]:
        """The arrays by name."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def only(self, chosen: Bools | Ints) -> Workload:
        """The same workload with the chosen jobs only, in their order."""
        return replace(self, **{name: column[chosen] for name, column in self.columns.items()})

    def at_load(self, factor: float) -> Workload:
        """The same jobs, submitted ``factor`` times as fast: the usual way to raise the load.

        A job keeps the time from its submission to its deadline.
        """
        if not 0.001 <= factor <= 1_000:
            raise BadWorkload(field="load factor", rule="must be 0.001 to 1,000")
        begin_s = self.submit_s[:1].sum()
        submit_s = begin_s + (self.submit_s - begin_s) / factor
        deadline_s = self.deadline_s + (submit_s - self.submit_s)
        return replace(self, submit_s=submit_s, deadline_s=deadline_s)

    def needs(self) -> list[Ints]:
        """The amounts per resource, in the order of :data:`RESOURCES`."""
        return [getattr(self, name) for name in RESOURCES]


def make_workload(
    *,
    name: str,
    submit_s: ArrayLike,
    run_s: ArrayLike,
    requested_s: ArrayLike | None = None,
    cpu_milli: ArrayLike = 0,
    memory_bytes: ArrayLike = 0,
    gpu_milli: ArrayLike = 0,
    user: ArrayLike = UNKNOWN,
    organisation: ArrayLike = UNKNOWN,
    deadline_s: ArrayLike = NO_DEADLINE_S,
    models: ArrayLike = 0,
    observed_wait_s: ArrayLike = float("nan"),
    label: ArrayLike | None = None,
    model_names: tuple[str, ...] = (),
    notes: Mapping[str, int] | None = None,
) -> Workload:
    """Columns, checked, brought to one length and sorted by submission (stable).

    ``requested_s`` is raised to ``run_s`` where it is less or not given, and to
    :data:`LEAST_REQUEST_S`. Without ``label`` the jobs are numbered from 1, as they are given.

    Raises
    ------
    BadWorkload
        If a column has a wrong length, a negative or endless value, or a job asks for nothing.
    """
    count = np.asarray(submit_s).size
    if count > MAX_JOBS:
        raise BadWorkload(field="submit_s", rule=f"has {count} jobs; give at most {MAX_JOBS}")
    run = _column("run_s", run_s, count, np.float64)
    requested = run if requested_s is None else _column("requested_s", requested_s, count, float)
    columns: dict[str, Any] = {
        "submit_s": _column("submit_s", submit_s, count, np.float64),
        "run_s": run,
        "requested_s": np.maximum(np.maximum(requested, run), LEAST_REQUEST_S),
        "cpu_milli": _column("cpu_milli", cpu_milli, count, np.int64),
        "memory_bytes": _column("memory_bytes", memory_bytes, count, np.int64),
        "gpu_milli": _column("gpu_milli", gpu_milli, count, np.int64),
        "user": _column("user", user, count, np.int64),
        "organisation": _column("organisation", organisation, count, np.int64),
        "deadline_s": _column("deadline_s", deadline_s, count, np.float64),
        "models": _column("models", models, count, np.int64),
        "observed_wait_s": _column("observed_wait_s", observed_wait_s, count, np.float64),
        "label": _column("label", np.arange(1, count + 1) if label is None else label, count, None),
    }
    _check(columns, model_names)
    order = np.argsort(columns["submit_s"], kind="stable")
    ordered = {column: values[order] for column, values in columns.items()}
    return Workload(name=name, model_names=model_names, notes=dict(notes or {}), **ordered)


def _column(name: str, values: ArrayLike, count: int, kind: Any) -> Any:
    try:
        return np.array(np.broadcast_to(np.asarray(values, dtype=kind), (count,)))
    except (ValueError, TypeError, OverflowError):
        raise BadWorkload(field=name, rule=f"must be {count} numbers, or one for all") from None


def _check(columns: Mapping[str, Any], model_names: tuple[str, ...]) -> None:
    for name in _TIMES:
        if not np.isfinite(columns[name]).all() or (columns[name] < 0).any():
            raise BadWorkload(field=name, rule="must be finite and not negative")
    if np.isnan(columns["deadline_s"]).any():
        raise BadWorkload(field="deadline_s", rule="must be a number, or infinite for none")
    for name in RESOURCES:
        if (columns[name] < 0).any():
            raise BadWorkload(field=name, rule="must not be negative")
    asked = sum((columns[name] > 0).astype(np.int64) for name in RESOURCES)
    if columns["submit_s"].size and not np.all(asked):
        raise BadWorkload(field="cpu_milli", rule="must be more than 0 where nothing else is asked")
    if len(model_names) > MAX_MODELS or (columns["models"] >> len(model_names)).any():
        raise BadWorkload(field="models", rule=f"must be bits of at most {MAX_MODELS} model names")
