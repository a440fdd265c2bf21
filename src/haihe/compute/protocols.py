"""What compute needs of its neighbours: sockets that ``haihe.app`` fills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from haihe.compute.domain import InputRef, Subsidy
from haihe.kernel.wiring import Slot
from haihe.policy.domain import Principal


@dataclass(frozen=True, kw_only=True)
class InputCard:
    """What a quote says of one input."""

    name: str
    dataset: str
    version: int
    bytes: int
    under: str
    centres: tuple[str, ...] = ()  # where it may go; anywhere, if it names none


class Inputs(Protocol):
    """Data for jobs, under the terms it is shared on."""

    def describe(
        self, principal: Principal, organisation_id: UUID, ref: InputRef, *, at: datetime
    ) -> InputCard:
        """The input, if the organisation may use it at ``at``; a named error if not."""

    def grant(
        self, principal: Principal, organisation_id: UUID, ref: InputRef, *, job_id: UUID
    ) -> None:
        """In the open unit of work: let ``job_id`` read the input until the grant expires."""

    def deliver(self, job_id: UUID, ref: InputRef, target: Path) -> None:
        """Put the input's content at ``target`` under the job's grant, and log the read."""


class Funding(Protocol):
    """Who else pays."""

    def subsidy(self, contract_id: UUID, *, at: datetime) -> tuple[Subsidy | None, str]:
        """What a voucher on the contract may pay, and in one sentence why or why not."""


INPUTS: Slot[Inputs] = Slot("inputs")
FUNDING: Slot[Funding] = Slot("funding")
