"""The way from an agent to the platform."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from uuid import UUID

from haihe.compute.agent.messages import Answer, Exchange, Order


class Link(Protocol):
    """What an agent can ask of the platform. ``LinkDown`` means: try again later.

    ``shares_files`` says that the platform sees the folders of attempts itself, so that neither
    logs nor outputs need to be sent.
    """

    shares_files: bool

    def exchange(self, said: Exchange) -> Answer:
        """Say and hear what is new."""

    def fetch_inputs(self, order: Order, folder: Path) -> None:
        """Put the inputs below ``inputs`` and the job's own files below ``work``.

        May be repeated. An error that is not ``LinkDown`` is final: the job may not read it.
        """

    def send_outputs(self, attempt_id: UUID, folder: Path) -> list[str]:
        """Send the whole log and every output; the paths of those that the platform refused.

        May be repeated. What is refused once is refused for good: the rest comes all the same.
        """
