"""The hazard log and the table of requirements name only what is there, and leave nothing out.

Code and tests are read as text (ast), so that this runs without the pack's heavy libraries.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from bci_rehab.clinic.domain import QUESTIONS
from bci_rehab.session.interlock import StopReason

PACK = Path(__file__).parents[1]
CODE = PACK / "bci_rehab"
DOCS = PACK.parents[1] / "docs"
HAZARDS = DOCS / "explanation" / "rehabilitation-hazards.md"
REQUIREMENTS = DOCS / "reference" / "rehabilitation-requirements.md"

Row = Mapping[str, str]
ID = re.compile(r"BCI-([A-Z])-(\d\d)")
CODED = re.compile(r"`([^`]+)`")
OUTSIDE = "outside the software"
SCALE = frozenset("12345")


@dataclass(frozen=True, kw_only=True)
class Log:
    """The tables of both pages."""

    questions: Sequence[Row]
    risks: Sequence[Row]
    controls: Sequence[Row]
    seen: Sequence[Row]
    requirements: Sequence[Row]


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """Each table of a page of Markdown, its rows by the names of their columns.

    A row with another number of cells than its head is an error: its columns would be mixed up.
    """
    block: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif block:
            head, _, *rows = block
            yield [dict(zip(head, row, strict=True)) for row in rows]
            block = []


def with_columns(text: str, *columns: str) -> list[dict[str, str]]:
    """The rows of all tables that have these columns."""
    wanted = set(columns)
    return [row for table in tables(text) for row in table if wanted <= row.keys()]


def read(hazards: str, requirements: str) -> Log:
    """The log of two pages."""
    return Log(
        questions=with_columns(hazards, "question", "source"),
        risks=with_columns(hazards, "id", "hazard"),
        controls=with_columns(hazards, "id", "control"),
        seen=with_columns(hazards, "id", "stops", "accidents"),
        requirements=with_columns(requirements, "id", "requirement"),
    )


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of the test functions that a file defines."""
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def accidents() -> frozenset[str]:
    """The accidents of the benchmark; those that are numbered, by their first."""
    tree = ast.parse((CODE / "session" / "accidents.py").read_text("utf-8"))
    [made] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "accidents"]
    keys = chain.from_iterable(n.keys for n in ast.walk(made) if isinstance(n, ast.Dict))
    names = {k.value for k in keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
    formatted = [node for node in ast.walk(made) if isinstance(node, ast.JoinedStr)]
    stems = [part.values[0] for part in formatted]
    numbered = {f"{stem.value!s}1" for stem in stems if isinstance(stem, ast.Constant)}
    return frozenset(names | numbered)


def problems(log: Log) -> list[str]:
    """Everything that is wrong with the tables, in words."""
    return [
        *_of_ids(log),
        *_of_hazards(log),
        *_of_tests([*log.controls, *log.requirements]),
        *_of_requirements(log.requirements),
        *_of_completeness(log),
    ]


def _of_ids(log: Log) -> Iterator[str]:
    for what, rows in (("risk", log.risks), ("seen", log.seen), ("requirement", log.requirements)):
        if not rows:
            yield f"no {what}"
        expected: dict[str, int] = {}
        for row in rows:
            matched = ID.fullmatch(row["id"])
            if matched is None:
                yield f"{row['id']}: no id"
                continue
            letter, number = matched[1], int(matched[2])
            expected[letter] = expected.get(letter, 0) + 1
            if number != expected[letter]:
                yield f"{row['id']}: {what} out of order or twice"
                expected[letter] = number


def _of_hazards(log: Log) -> Iterator[str]:
    ids = [row["id"] for row in log.risks]
    if [row["id"] for row in log.seen] != ids:
        yield "what remains is not said of the same hazards"
    yield from (
        f"{row['id']}: a control of no hazard" for row in log.controls if row["id"] not in ids
    )
    for row in log.risks:
        if not {row[name] for name in ("severity", "before", "after")} <= SCALE:
            yield f"{row['id']}: severity and probability go from 1 to 5"
        elif row["after"] > row["before"]:
            yield f"{row['id']}: more probable with its controls"
        own = [control for control in log.controls if control["id"] == row["id"]]
        outside = any(OUTSIDE in control["control"] for control in own)
        if not outside and not any(control["code"] and control["tests"] for control in own):
            yield f"{row['id']}: no control with code and test"
    for row in log.controls:
        if row["kind"] not in ("design", "protective", "information"):
            yield f"{row['id']}: {row['kind']!r} is no kind of control"
        if OUTSIDE not in row["control"] and not (row["code"] and row["tests"]):
            yield f"{row['id']}: a control without code or test"
        for path in CODED.findall(row["code"]):
            if not (CODE / path).is_file():
                yield f"{row['id']}: no code {path}"
    yield from (
        f"{row['id']}: nothing is said of what remains"
        for row in log.seen
        if not row["what remains"]
    )


def _of_tests(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["tests"] and not CODED.findall(row["tests"]):
            yield f"{row['id']}: tests are written as `path::name`"
        for test in CODED.findall(row["tests"]):
            path, _, name = test.partition("::")
            if not (PACK / path).is_file():
                yield f"{row['id']}: no file {path}"
            elif not name.startswith("test_") or name not in functions_of(PACK / path):
                yield f"{row['id']}: no test {test}"


def _of_requirements(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        status, has_tests = row["status"], bool(row["tests"])
        if status not in ("met", "partly", "open"):
            yield f"{row['id']}: {status!r} is no status"
        if status == "met" and not has_tests:
            yield f"{row['id']}: met without a test"
        if status == "met" and row["missing"]:
            yield f"{row['id']}: met, and something is missing"
        if status in ("partly", "open") and not row["missing"]:
            yield f"{row['id']}: not said what is missing"
        if status == "open" and has_tests:
            yield f"{row['id']}: open with a test is partly"


def _of_completeness(log: Log) -> Iterator[str]:
    questions = {CODED.findall(row["question"])[0]: row["source"] for row in log.questions}
    kinds = (
        ("stop", {reason.value for reason in StopReason}, _coded(log.seen, "stops")),
        ("accident", accidents(), {n for n in _coded(log.seen, "accidents") if not _later(n)}),
        ("question", {question.code for question in QUESTIONS}, set(questions)),
    )
    for what, there, named in kinds:
        yield from (f"{what} {name} is left out" for name in sorted(there - named))
        yield from (f"there is no {what} {name}" for name in sorted(named - there))
    yield from (
        f"question {code} has no source" for code, source in questions.items() if not source
    )


def _coded(rows: Sequence[Row], column: str) -> set[str]:
    return {name for row in rows for name in CODED.findall(row[column])}


def _later(name: str) -> bool:
    """Whether it is a repetition of a numbered accident."""
    return re.search(r"killed_[2-9]$", name) is not None


def test_the_pages_say_what_is_there() -> None:
    log = read(HAZARDS.read_text("utf-8"), REQUIREMENTS.read_text("utf-8"))
    assert problems(log) == []
    assert {row["id"].split("-")[1] for row in log.requirements} == set("SDTCA")


def test_accidents_are_found_in_their_source() -> None:
    assert {"stream_stops", "disk_full", "session_killed_1"} <= accidents()
    assert len(accidents()) > 15


BROKEN_HAZARDS = """
| question | blocks | source |
|---|---|---|
| `epilepsy` | all | |
| `height` | all | Nobody, Nowhere, 1900 |

| id | hazard | severity | before | after |
|---|---|---|---|---|
| BCI-H-01 | First | 6 | 2 | 1 |
| BCI-H-01 | Again | 1 | 2 | 3 |
| BCI-H-03 | Leap | 1 | 1 | 1 |
| hazard 4 | Nameless | 1 | 1 | 1 |

| id | kind | control | code | tests |
|---|---|---|---|---|
| BCI-H-01 | design | Somewhere | `session/nowhere.py` | `tests/test_hazards.py::test_nowhere` |
| BCI-H-01 | hope | Elsewhere | `session/interlock.py` | `tests/nowhere.py::test_it` |
| BCI-H-09 | design | Of nothing | `session/interlock.py` | test_it |

| id | stops | accidents | what remains |
|---|---|---|---|
| BCI-H-01 | `data_stale` `boredom` | `stream_stops` `rain` | |
"""
BROKEN_REQUIREMENTS = """
| id | requirement | status | tests | missing |
|---|---|---|---|---|
| BCI-S-01 | One | met | | |
| BCI-S-02 | Two | open | `tests/test_hazards.py::test_a_broken_table_is_found` | |
| BCI-S-02 | Three | done | `tests/test_hazards.py::problems` | |
| BCI-D-01 | Four | met | `tests/test_hazards.py::test_a_broken_table_is_found` | All |
"""


@pytest.mark.parametrize(
    "problem",
    [
        "question epilepsy has no source",
        "there is no question height",
        "question implant is left out",
        "BCI-H-01: severity and probability go from 1 to 5",
        "BCI-H-01: more probable with its controls",
        "BCI-H-01: risk out of order or twice",
        "BCI-H-03: risk out of order or twice",
        "hazard 4: no id",
        "BCI-H-03: no control with code and test",
        "BCI-H-01: no code session/nowhere.py",
        "BCI-H-01: no test tests/test_hazards.py::test_nowhere",
        "BCI-H-01: no file tests/nowhere.py",
        "BCI-H-01: 'hope' is no kind of control",
        "BCI-H-09: a control of no hazard",
        "BCI-H-09: tests are written as `path::name`",
        "what remains is not said of the same hazards",
        "BCI-H-01: nothing is said of what remains",
        "stop emergency_key is left out",
        "there is no stop boredom",
        "accident disk_full is left out",
        "there is no accident rain",
        "BCI-S-01: met without a test",
        "BCI-S-02: not said what is missing",
        "BCI-S-02: open with a test is partly",
        "BCI-S-02: requirement out of order or twice",
        "BCI-S-02: 'done' is no status",
        "BCI-S-02: no test tests/test_hazards.py::problems",
        "BCI-D-01: met, and something is missing",
    ],
)
def test_a_broken_table_is_found(problem: str) -> None:
    assert problem in problems(read(BROKEN_HAZARDS, BROKEN_REQUIREMENTS))


def test_what_is_outside_of_the_software_needs_no_test_and_else_a_control_does() -> None:
    def found(control: str) -> list[str]:
        risk = {"id": "BCI-H-01", "severity": "1", "before": "2", "after": "1"}
        given = {
            "id": "BCI-H-01",
            "kind": "information",
            "control": control,
            "code": "",
            "tests": "",
        }
        seen = {"id": "BCI-H-01", "what remains": "All of it"}
        return list(
            _of_hazards(
                Log(questions=[], risks=[risk], controls=[given], seen=[seen], requirements=[])
            )
        )

    assert found("Isolation: outside the software") == []
    assert found("Isolation") == [
        "BCI-H-01: no control with code and test",
        "BCI-H-01: a control without code or test",
    ]


def test_a_row_with_too_few_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(tables("| id | hazard |\n|---|---|\n| BCI-H-01 |\n"))
