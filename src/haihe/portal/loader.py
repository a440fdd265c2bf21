"""The loader of templates: Cotton's, which also writes table cells out when it compiles.

``<c-td>`` reads like any component, but a page of fifty rows has hundreds of cells, and rendering
each as a component of its own took a third of the page's time. A cell depends on nothing but its
attributes, so it becomes plain HTML once, when its template is compiled. Its attributes:

``label``
    the column's heading, shown beside the cell when rows stack on a narrow screen, where an empty
    cell is left out;
``num``
    a number, aligned as such;
``head``
    the cell names its row.

A cell with any other attribute is left to Cotton, which does not know it and says so.
"""

from __future__ import annotations

import re
from typing import Any

from django.template.engine import Engine
from django_cotton.compiler_regex import CottonCompiler  # type: ignore[import-untyped]
from django_cotton.cotton_loader import Loader as CottonLoader  # type: ignore[import-untyped]

_COMMENT = r"{%\s*comment\s*%}.*?{%\s*endcomment\s*%}"
_CELL = re.compile(
    rf'{_COMMENT}|<c-td(?P<given>(?:\s+(?:label="[^"]*"|num|head))*)\s*>(?P<content>.*?)</c-td>',
    re.DOTALL,
)
_LABEL = re.compile(r'\slabel="([^"]*)"')


def write_out_cells(source: str) -> str:
    """Replace each ``<c-td>`` of a template by the cell that it stands for."""
    return _CELL.sub(_cell, source)


def _cell(match: re.Match[str]) -> str:
    given = match["given"]
    if given is None:
        return match[0]
    label = _LABEL.search(given)
    flags = _LABEL.sub("", given).split()
    tag, scope = ("th", ' scope="row"') if "head" in flags else ("td", "")
    kind = ' class="hh-num"' if "num" in flags else ""
    name = f' data-label="{label[1]}"' if label else ""
    return f"<{tag}{scope}{kind}{name}>{match['content']}</{tag}>"


class Compiler(CottonCompiler):  # type: ignore[misc]
    """Turns components into template tags, and cells into HTML."""

    def process(self, html: str) -> str:
        """The template that Django parses."""
        return str(super().process(write_out_cells(html)))


class Loader(CottonLoader):  # type: ignore[misc]
    """Finds templates where Cotton does, and compiles them with :class:`Compiler`."""

    def __init__(self, engine: Engine, dirs: Any = None) -> None:
        super().__init__(engine, dirs)
        self.cotton_compiler = Compiler()
