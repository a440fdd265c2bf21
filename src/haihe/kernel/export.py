"""Lists as files: every table of a page as CSV and XLSX, with the columns of the page and more."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, Protocol, TypeVar

from django.http import HttpRequest, HttpResponse

from haihe.kernel.pagination import MAX_LIMIT

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
EXPORT_ROWS = 10_000
FORMATS = ("csv", "xlsx")
# What a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export_asked(request: HttpRequest) -> bool:
    """Whether the address ends in ``?format=csv`` or ``?format=xlsx``."""
    return request.GET.get("format") in FORMATS


class Listed(Protocol[T_co]):
    """One page of a list by cursor."""

    @property
    def items(self) -> Sequence[T_co]:
        """The page's items."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins, if there is one."""


def every_item(read: Callable[..., Listed[T]]) -> Iterator[T]:
    """The items of all pages, as far as a file takes them.

    ``read`` is called with ``cursor`` and ``limit``, as the services that list are.
    """
    cursor: str | None = None
    for _page in range(EXPORT_ROWS // MAX_LIMIT):
        page = read(cursor=cursor, limit=MAX_LIMIT)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def export_table(
    request: HttpRequest,
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str],
    name: str,
) -> HttpResponse:
    """The first :data:`EXPORT_ROWS` rows as the file that the address asks for."""
    body = [[_cell(row.get(column)) for column in columns] for row in islice(rows, EXPORT_ROWS)]
    if request.GET.get("format") == "xlsx":
        content, kind, suffix = _xlsx(columns, body), _XLSX_TYPE, "xlsx"
    else:
        content, kind, suffix = _csv(columns, body), "text/csv; charset=utf-8", "csv"
    response = HttpResponse(content, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}.{suffix}"'
    return response


_XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def _cell(value: Any) -> str | int | float | None:
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(columns: Sequence[str], body: Sequence[Sequence[Any]]) -> bytes:
    """UTF-8 with a byte-order mark, without which Excel reads Chinese as another encoding."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(body)
    return file.getvalue().encode("utf-8-sig")


def _xlsx(columns: Sequence[str], body: Sequence[Sequence[Any]]) -> bytes:
    import xlsxwriter  # nobody but who asks for a workbook pays for it

    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, columns, book.add_format({"bold": True}))
        for number, row in enumerate(body, start=1):
            sheet.write_row(number, 0, row)
        sheet.freeze_panes(1, 0)
        sheet.autofit()
    return file.getvalue()
