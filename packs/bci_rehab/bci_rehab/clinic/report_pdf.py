"""A report as a PDF: A4, numbered pages, what it is not at the foot of each.

Equal reports make equal bytes, so that a file can be told from another by its hash. Latin letters
are set in Helvetica, all else in STSong-Light, a font that readers of PDF bring along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    PageTemplate,
    Paragraph,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Table as Grid

from bci_rehab.clinic.report_drawing import INK, LINE, QUIET, WARNING, drawing_of
from bci_rehab.clinic.report_tree import Block, Chart, Facts, Report, Section, Table, Text

SIDE, TOP, FOOT = 18 * mm, 16 * mm, 20 * mm
WIDTH = A4[0] - 2 * SIDE
CJK = "STSong-Light"
LABEL_SHARE = 0.32
MIN_ROOM: float = 32 * mm
# What Helvetica has no glyph for; of the rest of Latin-1 it has all.
_FOREIGN = re.compile(r"[^\x20-\x7e\u00a0-\u00ff\u2013\u2014\u2026]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_IDEOGRAPH = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
# STSong-Light is addressed by two bytes a character: what needs more has no glyph in it.
_BEYOND = re.compile(r"[\U00010000-\U0010ffff]")

pdfmetrics.registerFont(UnicodeCIDFont(CJK))


def pdf_of(report: Report) -> bytes:
    """The PDF of a report."""
    file = BytesIO()
    document = BaseDocTemplate(
        file,
        pagesize=A4,
        title=f"{report.title} · {report.pseudonym} · {report.session}",
        author="Haihe",
        lang="zh-CN" if report.language.startswith("zh") else report.language,
        invariant=1,
    )
    frame = Frame(SIDE, FOOT, WIDTH, A4[1] - TOP - FOOT, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate(frames=[frame])])
    document.build(_story(report), canvasmaker=partial(_Pages, report=report))
    return file.getvalue()


class _Pages(Canvas):  # type: ignore[misc]
    """Writes each page's foot when the last one is done: only then is their number known."""

    def __init__(self, *args: Any, report: Report, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._report = report
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802
        """Keep a page until all are there."""
        self._kept.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write all pages."""
        for number, page in enumerate(self._kept, start=1):
            self.__dict__.update(page)
            self._foot(f"{number}/{len(self._kept)}")
            super().showPage()
        super().save()

    def _foot(self, number: str) -> None:
        self.setStrokeColor(LINE)
        self.line(SIDE, FOOT - 3 * mm, A4[0] - SIDE, FOOT - 3 * mm)
        texts = (
            (SIDE, WIDTH * 0.6, self._report.disclaimer, "small"),
            (
                SIDE + WIDTH * 0.6,
                WIDTH * 0.4,
                f"{self._report.pseudonym} · {number}",
                "small-right",
            ),
        )
        for x, width, text, style in texts:
            paragraph = _paragraph(text, style)
            _width, height = paragraph.wrap(width, FOOT)
            paragraph.drawOn(self, x, FOOT - 5 * mm - height)


def _story(report: Report) -> list[Flowable]:
    story = [
        _paragraph(report.title, "title"),
        _paragraph(f"{report.pseudonym} · {report.session} · {report.made}", "quiet"),
        Spacer(0, 2 * mm),
        _paragraph(report.disclaimer, "warning"),
    ]
    for section in report.sections:
        story += _section(section, report)
    story += [Spacer(0, 4 * mm), _paragraph(report.legend, "small")]
    return story


def _section(section: Section, report: Report) -> list[Flowable]:
    story: list[Flowable] = [CondPageBreak(_room(section)), _paragraph(section.title, "heading")]
    for block in section.blocks:
        story += [*DRAWN[type(block)](block, report), Spacer(0, 2 * mm)]
    return story


def _room(section: Section) -> float:
    """What a heading needs below it, so that it does not stand alone at the foot of a page."""
    first = section.blocks[0]
    drawing = drawing_of(first, WIDTH) if isinstance(first, Chart) else None
    return MIN_ROOM + (0.0 if drawing is None else float(drawing.height))


def _facts(block: Facts, report: Report) -> list[Flowable]:
    rows = [
        [
            _paragraph(fact.label, "quiet"),
            _paragraph(report.missing, "quiet")
            if fact.value is None
            else _paragraph(fact.value, "text"),
        ]
        for fact in block.facts
    ]
    widths = [WIDTH * LABEL_SHARE, WIDTH * (1 - LABEL_SHARE)]
    return [Grid(rows, colWidths=widths, style=_PLAIN, splitInRow=1)]


def _text(block: Text, report: Report) -> list[Flowable]:
    return [_paragraph(block.text, "warning" if block.is_warning else "text")]


def _table(block: Table, report: Report) -> list[Flowable]:
    if not block.rows:
        return [_paragraph(block.empty, "text")]
    columns = block.columns
    head = [_paragraph(c.title, "head-right" if c.is_number else "head") for c in columns]
    body = [
        [
            _paragraph(cell if cell is not None else "–", "right" if c.is_number else "text")
            for c, cell in row
        ]
        for row in block.cells
    ]
    shares = sum(column.share for column in columns)
    widths = [WIDTH * column.share / shares for column in columns]
    return [Grid([head, *body], colWidths=widths, repeatRows=1, style=_RULED, splitInRow=1)]


def _chart(block: Chart, report: Report) -> list[Flowable]:
    drawing = drawing_of(block, WIDTH)
    named = _paragraph(f"{block.label} ({block.unit})", "quiet")
    return [] if drawing is None else [CondPageBreak(drawing.height + 8 * mm), named, drawing]


DRAWN: Mapping[type[Block], Callable[[Any, Report], list[Flowable]]] = {
    Facts: _facts,
    Text: _text,
    Table: _table,
    Chart: _chart,
}


def _paragraph(text: str, style: str) -> Paragraph:
    """A text in a style; one with ideographs breaks between any two of them."""
    wrap = "CJK" if _IDEOGRAPH.search(text) else None
    return Paragraph(_marked(text), STYLES[style, wrap])


def _marked(text: str) -> str:
    """A text with the font of each of its parts, and nothing that is read as markup."""
    plain = _BEYOND.sub("□", _CONTROL.sub(" ", text))
    return _FOREIGN.sub(
        lambda found: f'<font name="{CJK}">{found[0]}</font>', escape(plain, {'"': "&quot;"})
    )


def _styles() -> dict[tuple[str, str | None], ParagraphStyle]:
    plain = {"fontName": "Helvetica", "fontSize": 9, "leading": 12.5, "textColor": INK}
    bold = {"fontName": "Helvetica-Bold"}
    given: dict[str, dict[str, Any]] = {
        "text": {},
        "right": {"alignment": TA_RIGHT},
        "quiet": {"textColor": QUIET},
        "small": {"fontSize": 8, "leading": 10, "textColor": QUIET},
        "small-right": {"fontSize": 8, "leading": 10, "textColor": QUIET, "alignment": TA_RIGHT},
        "head": {"fontSize": 8, "leading": 10.5, "textColor": QUIET},
        "head-right": {
            "fontSize": 8, "leading": 10.5, "textColor": QUIET, "alignment": TA_RIGHT,
        },
        "title": {**bold, "fontSize": 17, "leading": 23},
        "heading": {**bold, "fontSize": 11.5, "leading": 15, "spaceBefore": 9, "spaceAfter": 4},
        "warning": {
            "borderColor": WARNING, "borderWidth": 0.8, "borderPadding": (3, 5, 4, 5),
            "leftIndent": 6, "rightIndent": 6, "spaceBefore": 5, "spaceAfter": 7,
        },
    }  # fmt: skip
    return {
        (name, wrap): ParagraphStyle(f"{name}-{wrap}", **{**plain, **changes}, wordWrap=wrap)
        for name, changes in given.items()
        for wrap in (None, "CJK")
    }


STYLES = _styles()
_PLAIN = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
)
_RULED = TableStyle(
    [
        *_PLAIN.getCommands(),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, LINE),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, LINE),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
    ]
)
