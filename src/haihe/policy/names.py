"""What organisations are called, for floors that know them by id only.

The ledger and the evidence log lie below the directory of organisations; their pages show a name
where they keep an id. The directory is open to everybody, so a name needs no permission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol
from uuid import UUID

from haihe.kernel.texts import called
from haihe.kernel.wiring import Slot


class Named(Protocol):
    """Something with a name in its own language, and perhaps one in English."""

    name: str
    name_en: str


ORGANISATIONS: Slot[Callable[[Iterable[UUID]], Mapping[UUID, Named]]] = Slot(
    "names of organisations"
)


def organisation_names(ids: Iterable[UUID]) -> dict[UUID, str]:
    """Names in the reader's language, in the order of ``ids``; without those nobody knows."""
    wanted = list(dict.fromkeys(ids))
    found = ORGANISATIONS.get()(wanted) if wanted else {}
    return {key: called(found[key]) for key in wanted if key in found}
