"""What states, reasons and bill lines are called on pages, and in which tone a state is shown.

The words of the API and the command line are the stable ones of ``domain``; these are their labels.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from haihe.compute.domain import AttemptState, EndReason, JobSpec, JobState
from haihe.compute.domain.metering import Doubt
from haihe.compute.models import Decision
from haihe.compute.quantities import quantity
from haihe.compute.services.network import PoolState, Watts
from haihe.kernel.errors import gettext_noop
from haihe.kernel.texts import called
from haihe.parties.models import Organisation

Label = str | Promise

STATES: Mapping[str, Label] = {
    JobState.QUEUED: _("Queued"),
    JobState.STARTING: _("Starting"),
    JobState.RUNNING: _("Running"),
    JobState.SUCCEEDED: _("Succeeded"),
    JobState.FAILED: _("Failed"),
    JobState.CANCELLED: _("Cancelled"),
    AttemptState.LOST: _("Lost"),
    AttemptState.WITHDRAWN: _("Withdrawn"),
}
TONES: Mapping[str, str] = {
    JobState.QUEUED: "idle",
    JobState.STARTING: "busy",
    JobState.RUNNING: "busy",
    JobState.SUCCEEDED: "good",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "warn",
    AttemptState.LOST: "bad",
    AttemptState.WITHDRAWN: "idle",
}
REASONS: Mapping[str, Label] = {
    EndReason.EXITED: _("Its command ended"),
    EndReason.CPU_LIMIT: _("Reached its limit of CPU time"),
    EndReason.MEMORY_LIMIT: _("Reached its limit of memory"),
    EndReason.WALL_LIMIT: _("Reached its limit of time"),
    EndReason.OUTPUT_LIMIT: _("Reached its limit of output"),
    EndReason.CANCELLED: _("Cancelled"),
    EndReason.LOST: _("Its supervisor was lost"),
    EndReason.NODE_FAILED: _("Its node failed"),
    EndReason.ENDED_BY_CENTRE: _("Ended by the centre"),
    EndReason.NOT_STARTED: _("Could not be started"),
    EndReason.DEADLINE: _("Could not be done by its deadline"),
    EndReason.WITHDRAWN: _("Taken back, to run elsewhere"),
}
DOUBTS: Mapping[str, Label] = {
    Doubt.WALL_TOO_LONG: _("more time than it can have run: not billed"),
    Doubt.CPU_BEYOND_POOL: _("more CPU time than the pool has: not billed"),
    Doubt.MEMORY_BEYOND_POOL: _("more memory than the pool has"),
    Doubt.GPU_BEYOND_SHARE: _("more GPU time than its share: not billed"),
}
ITEMS: Mapping[str, Label] = {
    "cpu": _("CPU"),
    "gpu": _("GPU"),
    "minimum": _("Minimum charge"),
}
UNITS: Mapping[str, Label] = {
    "CPU-hour": _("CPU-hours"),
    "GPU-hour": _("GPU-hours"),
    "job": _("job"),
}
POOL_STATES: Mapping[str, Label] = {
    PoolState.OPEN: _("Takes jobs"),
    PoolState.MAINTENANCE: _("Maintenance"),
    PoolState.CLOSED: _("Takes no new jobs"),
    PoolState.FAULT: _("Its scheduler does not answer"),
    PoolState.SILENT: _("Not heard of"),
}
POOL_TONES: Mapping[str, str] = {
    PoolState.OPEN: "good",
    PoolState.MAINTENANCE: "info",
    PoolState.CLOSED: "idle",
    PoolState.FAULT: "bad",
    PoolState.SILENT: "bad",
}
WATTS: Mapping[str, Label] = {
    Watts.MEASURED: pgettext_lazy("power", "measured"),
    Watts.MODELLED: pgettext_lazy("power", "modelled"),
}
NODE_TONES: Mapping[str, str] = {"up": "good", "draining": "warn", "down": "bad"}
OCCASIONS: Mapping[str, Label] = {
    "quoted": _("Quoted"),
    Decision.Occasion.PLACED: _("Placed"),
    Decision.Occasion.MOVED: _("Moved"),
    Decision.Occasion.AGAIN: _("Placed again"),
}
CONTRACT_TONES: Mapping[str, str] = {"draft": "info", "signed": "good"}
# Patterns of the reasons that quotes give, for the catalogue: values are numbered fields.
QUOTE_REASONS = (
    gettext_noop("{0}: no offer now"),
    gettext_noop("{0}: needs {1} {2}, has {3}"),
    gettext_noop("{0}: is not among the centres that were asked for"),
    gettext_noop("{0}: takes no jobs now"),
    gettext_noop("{0}: its centre is not heard of"),
    gettext_noop("{0}: {1} of its nodes fit, {2} are needed"),
    gettext_noop("{0}: has {1}, not {2}"),
    gettext_noop("{0}: lacks {1}"),
    gettext_noop("{0}: {1} may not go there"),
    gettext_noop("{0}: the person has no account there"),
    gettext_noop("{0}: is not of the contract's provider"),
    gettext_noop("{0}: no allocation today"),
    gettext_noop("{0}: starts a job on one node only"),
    gettext_noop(
        "{0}: runs all jobs as one user, and the person has an account of their own there"
    ),
    gettext_noop("{0}: the allocation would be exceeded"),
    gettext_noop("{0}: {1} needed, {2} there"),
    gettext_noop("{0}: {1} needed, {2} left in the contract"),
    gettext_noop("{0}: its cost could be more than any amount"),
    gettext_noop("{0}: its maintenance begins before the job could end"),
    gettext_noop("{0}: the job would end after its deadline"),
    gettext_noop("{0}: no room now"),
    gettext_noop("{0}: {1} needed, {2} held"),
    gettext_noop("{0}: its free room is in pieces too small for the job"),
    gettext_noop("{0}: its free room is kept for job {1}, which comes first"),
    gettext_noop("{0}: fits, at most {1}, score {2}"),
    gettext_noop("chosen {0}: the best score, {1}"),
    gettext_noop("no contract, no voucher"),
    gettext_noop("the contract has no reserved voucher: the firm pays all"),
    gettext_noop("voucher {0} pays {1} %, {2} are left of it"),
    gettext_noop("{0}: {1}@{2}, agreement {3} until {4}"),
    gettext_noop("{0}: {1}@{2}, own data"),
)


def bill_rows(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bill lines as a table shows them."""
    return [
        {
            "item": ITEMS.get(line["item"], line["item"]),
            "quantity": quantity(line["quantity_milli"]),
            "unit": UNITS.get(line["unit"], line["unit"]),
            "price_micro": line["price_micro"],
            "amount_micro": line["amount_micro"],
            "why": gettext(line["why"]),
        }
        for line in lines
    ]


def share_rows(
    shares: Iterable[Mapping[str, Any]], organisation: Organisation
) -> list[dict[str, Any]]:
    """Who pays what: the firm by its name in the reader's language, a voucher by its number."""
    return [
        {
            **share,
            "label": called(organisation)
            if share["payer"] == organisation.name
            else share["payer"],
        }
        for share in shares
    ]


def spec_facts(spec: JobSpec) -> dict[str, Any]:
    """What a job runs and asks for, in words and units of people."""
    return {
        "command": shlex.join(spec.command),
        "inputs": spec.inputs,
        "files": spec.files,
        "cpus": quantity(spec.cpu_milli),
        "gpus": quantity(spec.gpu_milli),
        "memory_bytes": spec.memory_bytes,
        "output_bytes": spec.output_bytes,
        "minutes": quantity(spec.wall_s * 1_000 // 60),
        "cpu_limit_s": spec.cpu_limit_s,
        "nodes": spec.nodes,
        "array": spec.array,
        "accelerator": spec.accelerator,
        "software": spec.software,
        "centres": spec.centres,
        "deadline": spec.deadline_at,
        "environment": sorted(spec.environment.items()),
    }
