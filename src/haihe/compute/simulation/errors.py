"""Errors of the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Invalid, NotFound, Refused, TooLarge, gettext_noop


@dataclass(kw_only=True, eq=False)
class NoTrace(NotFound):
    """A path at which there is no readable file."""

    code: ClassVar[str] = "simulation.no_trace"
    template: ClassVar[str] = gettext_noop("Cannot read {path}: {reason}.")

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class BadTrace(Invalid):
    """A line of a trace that is not what its format says."""

    code: ClassVar[str] = "simulation.bad_trace"
    template: ClassVar[str] = gettext_noop("{path}, line {line}: {rule}.")

    path: str
    line: int
    rule: str


@dataclass(kw_only=True, eq=False)
class TraceTooLarge(TooLarge):
    """A trace beyond what is read into memory."""

    code: ClassVar[str] = "simulation.trace_too_large"
    template: ClassVar[str] = gettext_noop(
        "{path} has more than {limit} {unit}. Cut it into parts and replay them one by one."
    )

    path: str
    limit: int
    unit: str


@dataclass(kw_only=True, eq=False)
class BadWorkload(Invalid):
    """A column of a workload is wrong."""

    code: ClassVar[str] = "simulation.bad_workload"
    template: ClassVar[str] = gettext_noop("The workload's {field} {rule}.")

    field: str
    rule: str


@dataclass(kw_only=True, eq=False)
class BadNetwork(Invalid):
    """The description of a modelled network is wrong."""

    code: ClassVar[str] = "simulation.bad_network"
    template: ClassVar[str] = gettext_noop("{path}: {field} {rule}.")

    path: str
    field: str
    rule: str


@dataclass(kw_only=True, eq=False)
class NothingToRun(Refused):
    """No job of the trace fits into any pool of the network."""

    code: ClassVar[str] = "simulation.nothing_to_run"
    template: ClassVar[str] = gettext_noop(
        "None of the {jobs} jobs of {trace} fits into a pool of the network. Name a larger network."
    )

    trace: str
    jobs: int


@dataclass(kw_only=True, eq=False)
class NoHistory(NotFound):
    """No finished job of the platform ran in the time that was asked for."""

    code: ClassVar[str] = "simulation.no_history"
    template: ClassVar[str] = gettext_noop(
        "There is no job to replay: of {ended} that ended, none ran. Run jobs first, or name a "
        "trace."
    )

    ended: int
