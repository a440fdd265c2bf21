"""Tables of compute."""

from haihe.compute.models.centres import (
    Allocation,
    Centre,
    MaintenanceWindow,
    Node,
    Offer,
    PersonAccount,
    Pool,
)
from haihe.compute.models.contracts import Contract, Quote
from haihe.compute.models.jobs import (
    Attempt,
    Job,
    JobFile,
    JobKind,
    Reservation,
    Settlement,
    UsageRecord,
)
from haihe.compute.models.network import Agent, Decision, Enrolment, Sample, StartRecord

__all__ = [
    "Agent",
    "Allocation",
    "Attempt",
    "Centre",
    "Contract",
    "Decision",
    "Enrolment",
    "Job",
    "JobFile",
    "JobKind",
    "MaintenanceWindow",
    "Node",
    "Offer",
    "PersonAccount",
    "Pool",
    "Quote",
    "Reservation",
    "Sample",
    "Settlement",
    "StartRecord",
    "UsageRecord",
]
