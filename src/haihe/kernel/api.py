"""What the routers of all domains share: pages of lists, and numbers that are meant as such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

from django.db.models import Model
from ninja import Schema
from pydantic import Field

from haihe.kernel.money import MAX_AMOUNT_MICRO
from haihe.kernel.pagination import DEFAULT_LIMIT, MAX_LIMIT, Page

T = TypeVar("T")
M = TypeVar("M", bound=Model)

# Strict, for what a body gives: JSON's true, 1.0 and "1" are no amounts, and neither is NaN.
Whole = Annotated[int, Field(strict=True)]
AmountMicro = Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT_MICRO)]
PriceMicro = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MICRO)]


class CursorPage(Schema, Generic[T]):
    """One page of a list, newest first."""

    items: list[T]
    next_cursor: str | None = Field(
        None, description="Give it as `cursor` to read on; null on the last page."
    )


class PageQuery(Schema):
    """Where in a list to read."""

    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)


def as_page(page: Page[M], convert: Callable[[M], T]) -> CursorPage[T]:
    """A page of rows as a page of what a router answers with."""
    return CursorPage[T](items=[convert(item) for item in page.items], next_cursor=page.next_cursor)
