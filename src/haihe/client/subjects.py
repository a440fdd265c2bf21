"""What the subjects of the SDK share: a conversation, and what its answers are checked for."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote as escape

from haihe.client.http import Conversation, Record


class Subject:
    """Routes of one subject."""

    def __init__(self, http: Conversation) -> None:
        self.http = http


def part(text: object) -> str:
    """One part of a path, however it is written."""
    return escape(str(text), safe="")


def pool_part(path: str) -> str:
    """The two parts of ``centre/pool`` as the API's addresses have them."""
    centre, _, pool = path.partition("/")
    return f"{part(centre)}/pools/{part(pool)}"


def record(value: Any) -> Record:
    """One record, and nothing else."""
    assert isinstance(value, Record), f"expected one record, got {type(value).__name__}"
    return value
