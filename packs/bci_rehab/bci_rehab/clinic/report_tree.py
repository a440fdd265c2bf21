"""What a report is made of: sections of facts, tables, charts and texts, in the reader's language.

The page and the PDF draw the same tree, so that neither can say what the other does not. A value
that is None was not recorded; whoever draws it says so and never puts a number in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Fact:
    """A name and its value."""

    label: str
    value: str | None


@dataclass(frozen=True)
class Facts:
    """Names and values of one thing."""

    kind: ClassVar[str] = "facts"
    facts: Sequence[Fact]


@dataclass(frozen=True)
class Text:
    """A paragraph; ``is_warning`` is one that must not be overlooked."""

    kind: ClassVar[str] = "text"
    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table; ``share`` is its width against the others'."""

    title: str
    is_number: bool = False
    share: float = 1.0


@dataclass(frozen=True)
class Table:
    """Rows under columns. Without rows, ``empty`` stands in its place."""

    kind: ClassVar[str] = "table"
    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | None]]
    empty: str

    @property
    def cells(self) -> Sequence[Sequence[tuple[Column, str | None]]]:
        """Each row's cells with their columns."""
        return [list(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Point:
    """A value at ``x``, with its standard error if it is known; ``tick`` is the text below."""

    x: float
    tick: str
    value: float
    error: float | None = None
    is_marked: bool = False


@dataclass(frozen=True)
class Band:
    """A range of values that means something."""

    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A line through values on a scale from ``lowest`` to ``highest``; a table follows it."""

    kind: ClassVar[str] = "chart"
    label: str
    unit: str
    lowest: float
    highest: float
    points: Sequence[Point]
    band: Band | None = None


Block = Facts | Text | Table | Chart


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report. ``language`` is a code such as ``zh-hans``; ``missing`` is what is written
    for a fact that was not recorded, and ``legend`` explains the dash in a table.
    """

    title: str
    pseudonym: str
    session: str
    made: str
    disclaimer: str
    missing: str
    legend: str
    language: str
    sections: Sequence[Section]

    def section(self, title: str) -> Section:
        """The section under a heading."""
        return next(section for section in self.sections if section.title == title)
