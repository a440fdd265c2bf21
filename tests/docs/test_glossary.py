"""One word for one thing: the glossary against names, routes, commands, pages and documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from tests.docs.sources import (
    ROOT,
    catalogues,
    commands,
    documents,
    in_words,
    modules,
    names,
    openapi,
    place,
)

GLOSSARY = ROOT / "docs" / "glossary.md"
# Where somebody else's word is meant, and none of ours.
OTHERS_WORDS = {
    ("cluster", "src/haihe/compute/placement/"): "what a published replay of traces calls it",
    ("cluster", "src/haihe/compute/simulation/packing.py"): "a replay's",
    ("cluster", "src/haihe/cli/bench_placement.py"): "a replay's",
    ("cluster", "src/haihe/packs/scoring.py"): "the statistician's: rows that belong together",
    ("cluster", "docs/how-to/connect-"): "what Slurm and Ray call themselves",
    ("cluster", "docs/how-to/look-after-a-centre.md"): "the scheduler that others use too",
    ("cluster", "docs/explanation/agents.md"): "the scheduler beside an agent",
    ("cluster", "changelog.d/network.added.md"): "what Slurm and Ray call themselves",
    ("product", "docs/explanation/placement.md"): "the policy dot-product",
    ("product", "src/haihe/compute/placement/scoring.py"): "the policy dot-product",
}


class Row(NamedTuple):
    """One word of the glossary."""

    words: list[str]
    meaning: str
    chinese: list[str]
    avoided: list[str]


@cache
def rows() -> list[Row]:
    """The glossary's table."""
    lines = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    return [
        Row(_listed(a), b.strip(), _listed(c), _listed(d)) for a, b, c, d in map(_cells, lines)
    ][1:]


def _cells(line: str) -> list[str]:
    return line.strip().strip("|").split("|")


def _listed(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(",") if word.strip()]


@cache
def texts() -> list[tuple[str, str]]:
    """Everything that has words in it: the place, and its words."""
    found = [(place(m), ". ".join(sorted(map(in_words, names(m))))) for m in modules()]
    found += [(place(page), page.read_text()) for page in documents() if page != GLOSSARY]
    found += [(where, english) for where, english, _ in catalogues()]
    found += [(name, " ".join(_said(command))) for name, command in commands()]
    found.append(("openapi.json", ". ".join(_published())))
    return found


def _said(command: object) -> Iterator[str]:
    yield str(getattr(command, "help", "") or "")
    for parameter in getattr(command, "params", ()):
        yield in_words(parameter.name)
        yield getattr(parameter, "help", None) or ""


def _published() -> Iterator[str]:
    document = openapi()
    for path, operations in document["paths"].items():
        yield in_words(path)
        for operation in operations.values():
            yield f"{operation['summary']} {operation.get('description', '')}"
    for name, schema in document["components"]["schemas"].items():
        yield f"{in_words(name)} {schema.get('description', '')}"
        for field, about in schema.get("properties", {}).items():
            yield f"{in_words(field)} {about.get('description', '')}"


def _spoken(word: str) -> re.Pattern[str]:
    """A word in a text, in either number, and not inside another one."""
    stem = in_words(word)
    plural = rf"{stem[:-1]}(?:y|ies)" if stem.endswith("y") else rf"{stem}(?:s|es)?"
    return re.compile(rf"(?<![\w@]){plural}(?![\w@])", re.IGNORECASE)


def test_the_table_is_whole() -> None:
    words = [word for row in rows() for word in row.words]
    assert len(words) == len(set(words)) > 50
    for row in rows():
        assert row.meaning, row
        assert len(row.chinese) == len(row.words), row
        assert not set(row.avoided) & set(words), row


@pytest.mark.parametrize("word", sorted({word for row in rows() for word in row.avoided}))
def test_a_word_that_the_glossary_avoids_is_said_nowhere(word: str) -> None:
    excused = [start for other, start in OTHERS_WORDS if other == word]
    spoken = _spoken(word)
    found = {where for where, text in texts() if spoken.search(text)}
    assert not {where for where in found if not where.startswith(tuple(excused))}
    for start in excused:
        assert any(where.startswith(start) for where in found), f"no {word} at {start} any more"


@pytest.mark.parametrize("word", [word for row in rows() for word in row.words])
def test_a_word_of_the_glossary_is_in_use(word: str) -> None:
    assert any(_spoken(word).search(text) for _, text in texts())


@pytest.mark.parametrize(
    ("word", "chinese"),
    [pair for row in rows() for pair in zip(row.words, row.chinese, strict=True)],
)
def test_a_label_of_a_page_says_it_in_the_glossarys_chinese(word: str, chinese: str) -> None:
    for where, english, translated in catalogues():
        if _spoken(word).fullmatch(english):
            assert chinese in translated, (where, english)
