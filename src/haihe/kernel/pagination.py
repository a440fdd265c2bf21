"""Lists by cursor: as fast on the thousandth page as on the first, and stable under inserts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from haihe.kernel.errors import InvalidField

M = TypeVar("M", bound=Model)
DEFAULT_LIMIT = 50
MAX_LIMIT = 500


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page of rows, newest first, and the cursor of the next page if there is one."""

    items: Sequence[M]
    next_cursor: str | None


def paginate(
    rows: QuerySet[M], *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[M]:
    """The page of ``rows`` that begins after ``cursor``, by descending UUIDv7."""

    def fetch(before: UUID | None, size: int) -> Sequence[M]:
        wanted = rows.filter(pk__lt=before) if before else rows
        return list(wanted.order_by("-pk")[:size])

    return paginate_list(fetch, cursor=cursor, limit=limit)


def paginate_list(
    fetch: Callable[[UUID | None, int], Sequence[M]],
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[M]:
    """A page of whatever ``fetch(before, size)`` finds: at most ``size`` rows below ``before``."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidField(field="limit", value=limit, rule=f"give 1 to {MAX_LIMIT}")
    found = list(fetch(_decode(cursor) if cursor else None, limit + 1))
    items = found[:limit]
    return Page(items, _encode(items[-1].pk) if len(found) > limit else None)


def _encode(last: UUID) -> str:
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def _decode(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        raise InvalidField(
            field="cursor", value=cursor[:64], rule="use the next_cursor of the page before"
        ) from None
