"""Errors of placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Conflict, gettext_noop


@dataclass(kw_only=True, eq=False)
class NoRoom(Conflict):
    """What is said to run on a node is more than the node has."""

    code: ClassVar[str] = "placement.no_room"
    template: ClassVar[str] = gettext_noop(
        "Node {node} has not the room for all that is said to run on it. Report its size anew."
    )

    node: str
